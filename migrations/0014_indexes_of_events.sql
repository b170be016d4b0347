-- The same of events: those of resources have no project, and those of what belongs to nobody no tenant.

CREATE INDEX tenant ON cloud_resource_events (tenant_id, id) WHERE tenant_id IS NOT NULL;
-- Gapless from 1 per project, as before: nulls were never equal to one another.
CREATE UNIQUE INDEX cloud_resource_events_project_version ON cloud_resource_events (project_id, version)
    WHERE project_id IS NOT NULL;

DROP INDEX cloud_resource_events_tenant;
ALTER INDEX tenant RENAME TO cloud_resource_events_tenant;
ALTER TABLE cloud_resource_events DROP CONSTRAINT cloud_resource_events_project_id_version_key;
