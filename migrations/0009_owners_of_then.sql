-- Whose a line was when it was charged, and how far a long invoice's items have been read.

-- Changes of whose a resource is, after its discovery: few, and what the past of its owners is read from.
CREATE INDEX cloud_resource_events_owner ON cloud_resource_events (resource_id, version)
    WHERE event_type <> 'discovered' AND (changes ? 'tenant_id' OR changes ? 'cloud_project_id');

-- Each line with its invoice and with whose its resource was when the charge ended: the present owner, unless the
-- history tells of a change since; then the one before the first such change. "Since" is by version, as everywhere
-- (see state_at): a change had happened by then if anything at or after it in that order had. Of a time before we
-- knew the resource the first owner counts that it came to have: nothing else is known, and nobody is no answer.
CREATE OR REPLACE VIEW cloud_ledger WITH (security_invoker = true) AS
SELECT l.cloud_invoice_id, l.line_no, i.invoice_uuid, i.invoice_id, i.provider, i.period, i.preview,
       l.product, l.group_description, l.description, l.hours, l.starts_at, l.ends_at, l.amount,
       l.project_name, l.category, l.class, l.kind, l.resource_name, l.provider_resource_id,
       l.cloud_resource_id, l.match_rule,
       r.kind AS matched_kind, r.provider_id AS matched_provider_id, r.name AS matched_name, r.region, r.tags,
       o.tenant_id, o.cloud_project_id,
       p.provider_id AS matched_project_provider_id, p.name AS matched_project_name, p.purpose
FROM cloud_cost_lines l
JOIN cloud_invoices i ON i.id = l.cloud_invoice_id
LEFT JOIN cloud_resources r ON r.id = l.cloud_resource_id
CROSS JOIN LATERAL (SELECT COALESCE(l.ends_at, (i.period + interval '1 month') AT TIME ZONE 'UTC') AS moment) AS m
LEFT JOIN LATERAL (
    SELECT e.changes->'tenant_id' AS change FROM cloud_resource_events e
    WHERE e.resource_id = r.id AND e.event_type <> 'discovered' AND e.changes ? 'tenant_id'
      AND NOT EXISTS (SELECT FROM cloud_resource_events h
                      WHERE h.resource_id = e.resource_id AND h.version >= e.version AND h.occurred_at < m.moment)
    ORDER BY e.version LIMIT 1) AS t ON true
LEFT JOIN LATERAL (
    SELECT e.changes->'cloud_project_id' AS change FROM cloud_resource_events e
    WHERE e.resource_id = r.id AND e.event_type <> 'discovered' AND e.changes ? 'cloud_project_id'
      AND NOT EXISTS (SELECT FROM cloud_resource_events h
                      WHERE h.resource_id = e.resource_id AND h.version >= e.version AND h.occurred_at < m.moment)
    ORDER BY e.version LIMIT 1) AS q ON true
CROSS JOIN LATERAL (
    SELECT CASE WHEN t.change IS NULL THEN r.tenant_id
                WHEN r.first_seen_at >= m.moment THEN COALESCE(t.change->>'from', t.change->>'to')
                ELSE t.change->>'from' END AS tenant_id,
           (CASE WHEN q.change IS NULL THEN r.cloud_project_id::text
                 WHEN r.first_seen_at >= m.moment THEN COALESCE(q.change->>'from', q.change->>'to')
                 ELSE q.change->>'from' END)::uuid AS cloud_project_id) AS o
LEFT JOIN cloud_projects p ON p.id = o.cloud_project_id;

-- A long invoice is stored and matched by names at once; the ids of its items are read behind, page by page.
ALTER TABLE cloud_invoices ADD COLUMN items_page integer CHECK (items_page >= 1);   -- the next page; null: none is left
-- The id that an item gives a line comes with the match that follows from it.
GRANT UPDATE (provider_resource_id) ON cloud_cost_lines TO arcadia_billing;
