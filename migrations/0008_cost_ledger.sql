-- The cost ledger: what DigitalOcean says we owe, every invoice, every line, and which resource caused it.
-- Sole writer: shared::billing, as arcadia_billing. Tenants see none of it.
-- Money is numeric; its CHECK also refuses NaN (which counts as greater than everything) and infinity.

-- One row per figure that DigitalOcean has computed: polling the same one twice is one reading.
CREATE TABLE cloud_balance_snapshots (
    provider              text        NOT NULL,
    generated_at          timestamptz NOT NULL,          -- when DO computed it
    fetched_at            timestamptz NOT NULL,          -- when it was first read
    month_to_date_balance numeric     NOT NULL CHECK (abs(month_to_date_balance) < 1e15),
    account_balance       numeric     NOT NULL CHECK (abs(account_balance) < 1e15),
    month_to_date_usage   numeric     NOT NULL CHECK (abs(month_to_date_usage) < 1e15),
    PRIMARY KEY (provider, generated_at)
);

-- The header is the outbox: committed first, its message sent after, and whatever is still pending is sent again.
CREATE TABLE cloud_invoices (
    id             uuid        PRIMARY KEY,
    provider       text        NOT NULL,
    invoice_uuid   text        NOT NULL CHECK (invoice_uuid ~ '^[A-Za-z0-9-]{1,64}$'),
    -- The running month goes by the word `preview`, as in DO's own paths: no invoice, and never counted as one.
    preview        boolean     NOT NULL GENERATED ALWAYS AS (invoice_uuid = 'preview') STORED,
    invoice_id     text,                                 -- the number on the PDF; absent on old ones
    period         date        NOT NULL CHECK (extract(day FROM period) = 1),   -- the billed month; several may share it
    amount         numeric     NOT NULL CHECK (abs(amount) < 1e15),
    issued_at      timestamptz NOT NULL,
    ingest_status  text        NOT NULL DEFAULT 'pending' CHECK (ingest_status IN ('pending', 'ingested', 'quarantined')),
    -- Of the stored set of lines; null until there is one. A later refusal does not touch them.
    csv_sha256     bytea       CHECK (length(csv_sha256) = 32),
    line_count     integer     CHECK (line_count >= 0),
    lines_total    numeric     CHECK (abs(lines_total) < 1e15),
    reconciliation text        CHECK (reconciliation IN ('reconciled', 'rounded', 'mismatch')),
    resource_lines integer     CHECK (resource_lines BETWEEN 0 AND line_count),     -- lines that some resource caused ...
    matched_lines  integer     CHECK (matched_lines BETWEEN 0 AND line_count),      -- ... and those we know which
    ingested_at    timestamptz,
    enqueued_at    timestamptz,                          -- its newest message
    last_error     text,                                 -- why it is quarantined, or what the last attempt failed with
    first_seen_at  timestamptz NOT NULL,
    UNIQUE (provider, invoice_uuid),
    CHECK (num_nulls(csv_sha256, line_count, lines_total, reconciliation, resource_lines, matched_lines, ingested_at) IN (0, 7)),
    CHECK (ingest_status <> 'ingested' OR ingested_at IS NOT NULL),
    CHECK (ingest_status <> 'quarantined' OR last_error IS NOT NULL)
);
CREATE INDEX cloud_invoices_period ON cloud_invoices (period, id);
CREATE INDEX cloud_invoices_pending ON cloud_invoices (enqueued_at) WHERE ingest_status = 'pending' AND NOT preview;

CREATE TABLE cloud_cost_lines (
    cloud_invoice_id     uuid        NOT NULL REFERENCES cloud_invoices (id),
    line_no              integer     NOT NULL CHECK (line_no >= 1),   -- its place among the rows of the CSV
    product              text        NOT NULL,
    group_description    text        NOT NULL,
    description          text        NOT NULL,
    hours                numeric     CHECK (hours >= 0 AND hours < 1e9),
    starts_at            timestamptz,
    ends_at              timestamptz,
    amount               numeric     NOT NULL CHECK (abs(amount) < 1e15),
    project_name         text        NOT NULL,           -- at the time of the invoice; '' where not said
    category             text        NOT NULL,
    class                text        NOT NULL CHECK (class IN ('resource', 'tax', 'credit', 'account', 'unknown')),
    kind                 text        CHECK (kind ~ '^[a-z][a-z0-9_]*$'),
    resource_name        text,                           -- read from the description
    provider_resource_id text,                           -- from the JSON items, which alone know it
    cloud_resource_id    uuid        REFERENCES cloud_resources (id),
    match_rule           text        CHECK (match_rule IN ('resource_id', 'address', 'group', 'name', 'backup_parent')),
    PRIMARY KEY (cloud_invoice_id, line_no),
    CHECK ((cloud_resource_id IS NULL) = (match_rule IS NULL))
);
CREATE INDEX cloud_cost_lines_kind ON cloud_cost_lines (cloud_invoice_id, kind, line_no);
CREATE INDEX cloud_cost_lines_class ON cloud_cost_lines (cloud_invoice_id, class, line_no);
CREATE INDEX cloud_cost_lines_resource ON cloud_cost_lines (cloud_resource_id) WHERE cloud_resource_id IS NOT NULL;
-- What matching again has to look at.
CREATE INDEX cloud_cost_lines_unmatched ON cloud_cost_lines (cloud_invoice_id, line_no)
    WHERE cloud_resource_id IS NULL AND class IN ('resource', 'account', 'unknown');

-- A line carries the name that its resource had then: renames are looked up in the history.
CREATE INDEX cloud_resource_events_renamed ON cloud_resource_events (lower(changes #>> '{name,from}'))
    WHERE (changes #>> '{name,from}') IS NOT NULL;

-- Reading: each line with its invoice and with whose it is now.
CREATE VIEW cloud_ledger WITH (security_invoker = true) AS
SELECT l.cloud_invoice_id, l.line_no, i.invoice_uuid, i.invoice_id, i.provider, i.period, i.preview,
       l.product, l.group_description, l.description, l.hours, l.starts_at, l.ends_at, l.amount,
       l.project_name, l.category, l.class, l.kind, l.resource_name, l.provider_resource_id,
       l.cloud_resource_id, l.match_rule,
       r.kind AS matched_kind, r.provider_id AS matched_provider_id, r.name AS matched_name, r.region, r.tags,
       r.tenant_id, r.cloud_project_id,
       p.provider_id AS matched_project_provider_id, p.name AS matched_project_name, p.purpose
FROM cloud_cost_lines l
JOIN cloud_invoices i ON i.id = l.cloud_invoice_id
LEFT JOIN cloud_resources r ON r.id = l.cloud_resource_id
LEFT JOIN cloud_projects p ON p.id = r.cloud_project_id;

ALTER TABLE cloud_balance_snapshots ENABLE ROW LEVEL SECURITY;
ALTER TABLE cloud_balance_snapshots FORCE ROW LEVEL SECURITY;
ALTER TABLE cloud_invoices ENABLE ROW LEVEL SECURITY;
ALTER TABLE cloud_invoices FORCE ROW LEVEL SECURITY;
ALTER TABLE cloud_cost_lines ENABLE ROW LEVEL SECURITY;
ALTER TABLE cloud_cost_lines FORCE ROW LEVEL SECURITY;

-- arcadia_billing writes the ledger, keeps its own runs and budgets, and reads of the mirror what it matches with.
GRANT USAGE ON SCHEMA public TO arcadia_billing;
GRANT SELECT ON _sqlx_migrations TO arcadia_billing;
CREATE POLICY billing_works ON cloud_balance_snapshots TO arcadia_billing USING (true) WITH CHECK (true);
CREATE POLICY billing_works ON cloud_invoices TO arcadia_billing USING (true) WITH CHECK (true);
CREATE POLICY billing_works ON cloud_cost_lines TO arcadia_billing USING (true) WITH CHECK (true);
CREATE POLICY billing_works ON sync_runs TO arcadia_billing USING (true) WITH CHECK (true);
CREATE POLICY billing_works ON token_budgets TO arcadia_billing USING (true) WITH CHECK (true);
CREATE POLICY billing_works ON cloud_accounts TO arcadia_billing USING (true) WITH CHECK (true);
CREATE POLICY billing_reads ON cloud_resources FOR SELECT TO arcadia_billing USING (true);
CREATE POLICY billing_reads ON cloud_projects FOR SELECT TO arcadia_billing USING (true);
CREATE POLICY billing_reads ON cloud_resource_events FOR SELECT TO arcadia_billing USING (true);
GRANT SELECT, INSERT ON cloud_balance_snapshots, cloud_accounts TO arcadia_billing;
GRANT SELECT, INSERT, UPDATE ON cloud_invoices, token_budgets TO arcadia_billing;
-- A set of lines is replaced, never a line; what matching may change again is the match.
GRANT SELECT, INSERT, DELETE, UPDATE (cloud_resource_id, match_rule) ON cloud_cost_lines TO arcadia_billing;
GRANT SELECT, INSERT, UPDATE, DELETE ON sync_runs TO arcadia_billing;
GRANT USAGE ON SEQUENCE sync_run_fences TO arcadia_billing;
GRANT SELECT ON cloud_resources, cloud_projects, cloud_resource_events TO arcadia_billing;

-- The operator reads everything, sends an invoice back to the queue, and has it matched again.
CREATE POLICY operator_reads ON cloud_balance_snapshots FOR SELECT TO arcadia_operator USING (true);
CREATE POLICY operator_reads ON cloud_invoices FOR SELECT TO arcadia_operator USING (true);
CREATE POLICY operator_reads ON cloud_cost_lines FOR SELECT TO arcadia_operator USING (true);
CREATE POLICY operator_corrects ON cloud_invoices FOR UPDATE TO arcadia_operator USING (true) WITH CHECK (true);
CREATE POLICY operator_corrects ON cloud_cost_lines FOR UPDATE TO arcadia_operator USING (true) WITH CHECK (true);
GRANT SELECT ON cloud_balance_snapshots, cloud_invoices, cloud_cost_lines, cloud_ledger TO arcadia_operator;
GRANT UPDATE (ingest_status, enqueued_at, last_error, matched_lines) ON cloud_invoices TO arcadia_operator;
GRANT UPDATE (cloud_resource_id, match_rule) ON cloud_cost_lines TO arcadia_operator;
