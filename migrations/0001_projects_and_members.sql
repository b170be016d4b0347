-- Projects of the mirrored account, who is in them, and whose account it is.
-- Sole writer: shared::inventory. Written under the mirror lock, one event per meaningful change.

-- The team whose account is mirrored. A listing fetched with another team's token is refused before any write.
CREATE TABLE cloud_accounts (
    provider      text        PRIMARY KEY,
    account_id    text        NOT NULL CHECK (account_id <> ''),   -- DO: the team's uuid, not the user's
    name          text        NOT NULL,
    first_seen_at timestamptz NOT NULL
);

CREATE TABLE cloud_projects (
    id                 uuid        PRIMARY KEY,
    provider           text        NOT NULL,
    provider_id        text        NOT NULL CHECK (provider_id <> ''),
    name               text        NOT NULL,
    description        text        NOT NULL,
    provider_purpose   text        NOT NULL,             -- DO's free text, its `Other: ` prefix taken off
    environment        text        NOT NULL,             -- lower case; '' where never set
    is_default         boolean     NOT NULL,
    tenant_id          text        CHECK (tenant_id <> ''),   -- ours: text, because tenants have uuids and slugs
    purpose            text        NOT NULL DEFAULT 'unclassified'
                       CHECK (purpose IN ('unclassified', 'internal', 'tenant', 'shared')),
    version            integer     NOT NULL CHECK (version >= 1),
    first_seen_at      timestamptz NOT NULL,
    last_seen_at       timestamptz NOT NULL,
    last_struck_at     timestamptz,
    stale_strike_count smallint    NOT NULL DEFAULT 0 CHECK (stale_strike_count BETWEEN 0 AND 3),
    deleted_at         timestamptz,
    inserted_at        timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    UNIQUE (provider, provider_id),
    CHECK ((purpose = 'tenant') = (tenant_id IS NOT NULL))
);

-- What DO says is in which project. Attribution is a join with this table, so the order of syncs does not matter.
CREATE TABLE cloud_project_members (
    provider         text        NOT NULL,
    urn              text        NOT NULL,               -- do:droplet:123, as DO wrote it
    cloud_project_id uuid        NOT NULL REFERENCES cloud_projects (id),
    kind             text        NOT NULL,               -- the URN read: our kind ...
    provider_id      text        NOT NULL,               -- ... and DO's id, so that the join is plain
    assigned_at      timestamptz,                        -- absent for members that predate DO's projects
    status           text        NOT NULL,
    PRIMARY KEY (provider, kind, provider_id),           -- DO has two URN types for some kinds: one thing, one row
    UNIQUE (provider, urn)
);
CREATE INDEX cloud_project_members_project ON cloud_project_members (cloud_project_id);
