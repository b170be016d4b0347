-- What each project cost in the last month of which an invoice has been read: the lines that are tied to what is in it
-- now, as everywhere. No rows before the first invoice. Added up once, however many projects are asked for.
CREATE VIEW cloud_project_costs WITH (security_invoker = true) AS
WITH newest AS MATERIALIZED (
    SELECT max(period) AS period FROM cloud_invoices WHERE NOT preview AND ingested_at IS NOT NULL
), spent AS MATERIALIZED (
    SELECT r.cloud_project_id, sum(l.amount) AS amount
    FROM cloud_invoices i
    JOIN cloud_cost_lines l ON l.cloud_invoice_id = i.id
    JOIN cloud_resources r ON r.id = l.cloud_resource_id
    WHERE NOT i.preview AND i.period = (SELECT period FROM newest)
    GROUP BY r.cloud_project_id
)
SELECT p.id AS cloud_project_id, newest.period, COALESCE(spent.amount, 0) AS amount
FROM cloud_projects p
CROSS JOIN newest
LEFT JOIN spent ON spent.cloud_project_id = p.id
WHERE newest.period IS NOT NULL;
GRANT SELECT ON cloud_project_costs TO arcadia_operator;
