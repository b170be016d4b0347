-- Two indexes of each resource do the work of three, one of them without folding its name.
-- An id is looked for with its kind (by every sync) and without (by the operator, and by an invoice's lines): with the kind
-- last, the unique index answers both. And the operator's names come from the folded column that tenants' have had since
-- migration 11. The new ones are built first, while everybody reads on, and under the mirror lock: nobody who has read
-- then waits to write, while the old indexes wait for whoever has read.
-- The release before finds names and bare ids without an index until it is replaced, or after a rollback: slower, not wrong.

SELECT pg_advisory_xact_lock(7021784038971629825);
CREATE UNIQUE INDEX cloud_resources_identity ON cloud_resources (provider, provider_id, kind);
CREATE INDEX folded_name ON cloud_resources (name_key, id);

-- One kind, one id, one row, as before.
ALTER TABLE cloud_resources DROP CONSTRAINT cloud_resources_provider_kind_provider_id_key;
ALTER TABLE cloud_resources ADD CONSTRAINT cloud_resources_identity UNIQUE USING INDEX cloud_resources_identity;
DROP INDEX cloud_resources_provider_id, cloud_resources_name;
ALTER INDEX folded_name RENAME TO cloud_resources_name;
