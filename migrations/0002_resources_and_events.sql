-- The mirror: every resource of every kind in one table, and its append-only audit trail.
-- Sole writer: shared::inventory. Row and event are written in one transaction under the mirror lock.

CREATE TABLE cloud_resources (
    id                 uuid        PRIMARY KEY,          -- ours, version 7: ordered by discovery
    provider           text        NOT NULL,
    kind               text        NOT NULL CHECK (kind ~ '^[a-z][a-z0-9_]*$'),
    provider_id        text        NOT NULL CHECK (provider_id <> ''),
    name               text        NOT NULL,
    region             text,                             -- null: global, or not said
    status             text        NOT NULL,
    tags               text[]      NOT NULL,             -- sorted, without repetition
    attrs              jsonb       NOT NULL CHECK (jsonb_typeof(attrs) = 'object'),   -- the kind's allow-list, never secrets
    cloud_project_id   uuid        REFERENCES cloud_projects (id),
    tenant_id          text        CHECK (tenant_id <> ''),
    attribution        text        NOT NULL
                       CHECK (attribution IN ('operator', 'item', 'membership', 'parent', 'fallback', 'none')),
    content_hash       bigint      NOT NULL,             -- of the last sighting; equal means nothing to compare
    version            integer     NOT NULL CHECK (version >= 1),
    first_seen_at      timestamptz NOT NULL,
    last_seen_at       timestamptz NOT NULL,             -- read it through cloud_inventory: see 0004
    last_struck_at     timestamptz,
    stale_strike_count smallint    NOT NULL DEFAULT 0 CHECK (stale_strike_count BETWEEN 0 AND 3),
    deleted_at         timestamptz,
    inserted_at        timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,             -- the last meaningful change; strikes do not move it
    UNIQUE (provider, kind, provider_id),
    CHECK ((stale_strike_count = 0) = (last_struck_at IS NULL))
) WITH (fillfactor = 90);

-- Each tenant plan starts from tenant_id; each operator filter and sort has its index. Keyset pages end in id.
-- Names are compared as bytes: the same order for sorting, paging and prefixes, whatever the database's locale.
CREATE INDEX cloud_resources_tenant ON cloud_resources (tenant_id, id);
CREATE INDEX cloud_resources_tenant_kind ON cloud_resources (tenant_id, kind, id);
CREATE INDEX cloud_resources_tenant_name ON cloud_resources (tenant_id, lower(name) COLLATE "C", id);
CREATE INDEX cloud_resources_tenant_updated ON cloud_resources (tenant_id, updated_at, id);
CREATE INDEX cloud_resources_kind ON cloud_resources (kind, id);
CREATE INDEX cloud_resources_project ON cloud_resources (cloud_project_id, id);
CREATE INDEX cloud_resources_name ON cloud_resources (lower(name) COLLATE "C", id);
CREATE INDEX cloud_resources_updated ON cloud_resources (updated_at, id);
CREATE INDEX cloud_resources_provider_id ON cloud_resources (provider_id, id);
CREATE INDEX cloud_resources_status ON cloud_resources (status, id);
CREATE INDEX cloud_resources_region ON cloud_resources (region, id);
CREATE INDEX cloud_resources_attribution ON cloud_resources (attribution, id);
CREATE INDEX cloud_resources_tags ON cloud_resources USING gin (tags);
-- The few rows under suspicion: what the next listing has to look at.
CREATE INDEX cloud_resources_struck ON cloud_resources (kind, id) WHERE stale_strike_count BETWEEN 1 AND 2;

CREATE TABLE cloud_resource_events (
    id             bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,   -- follows commit order: allocated under the lock
    resource_id    uuid        REFERENCES cloud_resources (id),
    project_id     uuid        REFERENCES cloud_projects (id),
    version        integer     NOT NULL CHECK (version >= 1),
    event_type     text        NOT NULL
                   CHECK (event_type IN ('discovered', 'updated', 'tagged', 'deleted', 'restored', 'drift_detected')),
    changes        jsonb       NOT NULL CHECK (jsonb_typeof(changes) = 'object'),
    tenant_id      text,                                 -- the owner once this event had happened
    left_tenant_id text,                                 -- the owner it was taken from, if this event did that
    actor          text        NOT NULL CHECK (actor <> ''),
    reason         text,                                 -- an operator's, for the operator's eyes
    sync_run_id    uuid,
    occurred_at    timestamptz NOT NULL,
    CHECK (num_nonnulls(resource_id, project_id) = 1),
    -- Gapless from 1 per subject, by the one door: two events cannot claim the same step.
    UNIQUE (resource_id, version),
    UNIQUE (project_id, version)
);
CREATE INDEX cloud_resource_events_tenant ON cloud_resource_events (tenant_id, id);
CREATE INDEX cloud_resource_events_occurred ON cloud_resource_events (occurred_at, id);

-- Append-only: not even the owner of the table rewrites history. ALWAYS fires in replica mode too.
CREATE FUNCTION refuse_rewriting_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % refused: events are append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER append_only_rows BEFORE UPDATE OR DELETE ON cloud_resource_events
    FOR EACH ROW EXECUTE FUNCTION refuse_rewriting_history();
CREATE TRIGGER append_only_table BEFORE TRUNCATE ON cloud_resource_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting_history();
ALTER TABLE cloud_resource_events ENABLE ALWAYS TRIGGER append_only_rows;
ALTER TABLE cloud_resource_events ENABLE ALWAYS TRIGGER append_only_table;
