-- Who may read and write what. The roles are made before (shared::database::ROLES): they belong to the cluster,
-- not to one database. NOLOGIN; logins are members of them.
--   arcadia_tenant    reads one tenant's rows: app.tenant names it, unset means none
--   arcadia_operator  reads everything; a policy of its own, because `OR admin` in one policy loses the index
--   arcadia_api       what the API logs in as: may become one of those two, and inherits nothing of them
--   arcadia_sync      writes the mirror; cannot delete, and can only add events

GRANT USAGE ON SCHEMA public TO arcadia_tenant, arcadia_operator, arcadia_api, arcadia_sync;
GRANT SELECT ON _sqlx_migrations TO arcadia_api, arcadia_sync;

ALTER TABLE cloud_accounts ENABLE ROW LEVEL SECURITY;
ALTER TABLE cloud_accounts FORCE ROW LEVEL SECURITY;
ALTER TABLE cloud_projects ENABLE ROW LEVEL SECURITY;
ALTER TABLE cloud_projects FORCE ROW LEVEL SECURITY;
ALTER TABLE cloud_project_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE cloud_project_members FORCE ROW LEVEL SECURITY;
ALTER TABLE cloud_resources ENABLE ROW LEVEL SECURITY;
ALTER TABLE cloud_resources FORCE ROW LEVEL SECURITY;
ALTER TABLE cloud_resource_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE cloud_resource_events FORCE ROW LEVEL SECURITY;
ALTER TABLE sync_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE sync_runs FORCE ROW LEVEL SECURITY;
ALTER TABLE sync_markers ENABLE ROW LEVEL SECURITY;
ALTER TABLE sync_markers FORCE ROW LEVEL SECURITY;
ALTER TABLE token_budgets ENABLE ROW LEVEL SECURITY;
ALTER TABLE token_budgets FORCE ROW LEVEL SECURITY;

-- The tenant. After its first use the setting reads as '' rather than NULL, hence NULLIF.
CREATE POLICY tenant_reads ON cloud_projects FOR SELECT TO arcadia_tenant
    USING (tenant_id = NULLIF(current_setting('app.tenant', true), ''));
CREATE POLICY tenant_reads ON cloud_resources FOR SELECT TO arcadia_tenant
    USING (tenant_id = NULLIF(current_setting('app.tenant', true), ''));
CREATE POLICY tenant_reads ON sync_markers FOR SELECT TO arcadia_tenant USING (true);
GRANT SELECT (id, provider, provider_id, name, description, environment, tenant_id, purpose,
              first_seen_at, last_seen_at, deleted_at) ON cloud_projects TO arcadia_tenant;
GRANT SELECT ON cloud_resources, cloud_inventory TO arcadia_tenant;
-- Only what last_seen_at needs: sizes and errors speak of the whole account.
GRANT SELECT (provider, kind, last_complete_at) ON sync_markers TO arcadia_tenant;

-- The operator.
CREATE POLICY operator_reads ON cloud_accounts FOR SELECT TO arcadia_operator USING (true);
CREATE POLICY operator_reads ON cloud_projects FOR SELECT TO arcadia_operator USING (true);
CREATE POLICY operator_reads ON cloud_project_members FOR SELECT TO arcadia_operator USING (true);
CREATE POLICY operator_reads ON cloud_resources FOR SELECT TO arcadia_operator USING (true);
CREATE POLICY operator_reads ON cloud_resource_events FOR SELECT TO arcadia_operator USING (true);
CREATE POLICY operator_reads ON sync_runs FOR SELECT TO arcadia_operator USING (true);
CREATE POLICY operator_reads ON sync_markers FOR SELECT TO arcadia_operator USING (true);
GRANT SELECT ON cloud_accounts, cloud_projects, cloud_project_members, cloud_resources, cloud_resource_events,
                sync_runs, sync_markers, cloud_inventory TO arcadia_operator;

-- The workers.
CREATE POLICY sync_works ON cloud_accounts TO arcadia_sync USING (true) WITH CHECK (true);
CREATE POLICY sync_works ON cloud_projects TO arcadia_sync USING (true) WITH CHECK (true);
CREATE POLICY sync_works ON cloud_project_members TO arcadia_sync USING (true) WITH CHECK (true);
CREATE POLICY sync_works ON cloud_resources TO arcadia_sync USING (true) WITH CHECK (true);
CREATE POLICY sync_works ON cloud_resource_events TO arcadia_sync USING (true) WITH CHECK (true);
CREATE POLICY sync_works ON sync_runs TO arcadia_sync USING (true) WITH CHECK (true);
CREATE POLICY sync_works ON sync_markers TO arcadia_sync USING (true) WITH CHECK (true);
CREATE POLICY sync_works ON token_budgets TO arcadia_sync USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON cloud_accounts, cloud_resource_events TO arcadia_sync;
GRANT SELECT, INSERT, UPDATE ON cloud_projects, cloud_project_members, cloud_resources, sync_markers, token_budgets
    TO arcadia_sync;
-- Old runs are pruned; nothing else is ever deleted.
GRANT SELECT, INSERT, UPDATE, DELETE ON sync_runs TO arcadia_sync;
GRANT USAGE ON SEQUENCE sync_run_fences TO arcadia_sync;
