-- An index over a column that may be null holds the rows that have a value there: nobody asks for the others by it, since
-- `tenant_id = …` cannot be true of a null. What belongs to nobody yet, as all of a first sync does, had an entry in each.
-- The new ones are built first, while everybody reads on; those of events come in a migration of their own, so that no
-- transaction keeps readers from both tables.

CREATE INDEX tenant ON cloud_resources (tenant_id, id) WHERE tenant_id IS NOT NULL;
CREATE INDEX tenant_kind ON cloud_resources (tenant_id, kind, id) WHERE tenant_id IS NOT NULL;
CREATE INDEX tenant_name ON cloud_resources (tenant_id, name_key, id) WHERE tenant_id IS NOT NULL;
CREATE INDEX tenant_updated ON cloud_resources (tenant_id, updated_at, id) WHERE tenant_id IS NOT NULL;
CREATE INDEX project ON cloud_resources (cloud_project_id, id) WHERE cloud_project_id IS NOT NULL;
CREATE INDEX region ON cloud_resources (region, id) WHERE region IS NOT NULL;

DROP INDEX cloud_resources_tenant, cloud_resources_tenant_kind, cloud_resources_tenant_name, cloud_resources_tenant_updated,
           cloud_resources_project, cloud_resources_region;
ALTER INDEX tenant RENAME TO cloud_resources_tenant;
ALTER INDEX tenant_kind RENAME TO cloud_resources_tenant_kind;
ALTER INDEX tenant_name RENAME TO cloud_resources_tenant_name;
ALTER INDEX tenant_updated RENAME TO cloud_resources_tenant_updated;
ALTER INDEX project RENAME TO cloud_resources_project;
ALTER INDEX region RENAME TO cloud_resources_region;
