-- How the mirror is kept: runs and their leases, what each kind's last listing was worth, what a token has left.
-- Writers: shared::runs (sync_runs, token_budgets) and shared::inventory (sync_markers).

CREATE TABLE sync_runs (
    id               uuid        PRIMARY KEY,
    worker           text        NOT NULL,
    scheduled_for    timestamptz,                        -- the tick; null when started by hand
    attempt          integer     NOT NULL CHECK (attempt >= 1),
    lease_owner      uuid        NOT NULL,               -- the sandbox that holds it
    fence            bigint      NOT NULL,               -- grows with every lease: an old holder's writes are refused
    lease_expires_at timestamptz NOT NULL,
    started_at       timestamptz NOT NULL,
    finished_at      timestamptz,
    outcome          text        CHECK (outcome IN ('complete', 'incomplete', 'suspect', 'unreadable', 'busy',
                                                    'rate_limited', 'failed', 'abandoned')),
    counts           jsonb       NOT NULL DEFAULT '{}',
    error_class      text,
    error_message    text,
    do_request_id    text,
    UNIQUE (worker, scheduled_for, attempt),
    CHECK ((finished_at IS NULL) = (outcome IS NULL))
);
-- One run at a time per worker, as a constraint.
CREATE UNIQUE INDEX sync_runs_one_at_a_time ON sync_runs (worker) WHERE finished_at IS NULL;
CREATE INDEX sync_runs_started ON sync_runs (started_at, id);

CREATE SEQUENCE sync_run_fences AS bigint;

-- One row per kind: the blind-spot report, and the last_seen_at of every unchanged resource.
CREATE TABLE sync_markers (
    provider             text        NOT NULL,
    kind                 text        NOT NULL,
    last_attempt_at      timestamptz NOT NULL,           -- when the newest listing was begun; an older one is refused
    verdict              text        NOT NULL CHECK (verdict IN ('complete', 'incomplete', 'suspect', 'unreadable')),
    error                text,
    last_complete_at     timestamptz,
    last_complete_size   integer,
    suspect_since        timestamptz,
    suspect_fingerprint  bigint,                         -- of the set of missing rows: "identical" means this
    suspect_count        integer     NOT NULL DEFAULT 0,
    released_by          text,
    released_at          timestamptz,
    released_until       timestamptz,
    released_fingerprint bigint,                         -- a release is for one state only
    PRIMARY KEY (provider, kind)
);

-- Requests of everybody who shares a token, as rings of counters: 13 x 5 s and 61 x 1 min. The partial oldest
-- slot counts whole, so neither sliding limit of DO can be passed.
CREATE TABLE token_budgets (
    fingerprint text        PRIMARY KEY,                 -- of the token; never the token
    minute_slot bigint      NOT NULL,                    -- unix time / 5 of the newest slot
    minute_ring smallint[]  NOT NULL,
    hour_slot   bigint      NOT NULL,                    -- unix time / 60 of the newest slot
    hour_ring   smallint[]  NOT NULL,
    not_before  timestamptz                              -- DO said: not before then
);
