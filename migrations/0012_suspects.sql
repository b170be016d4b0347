-- Who was missing while too much was. A suspicion is about things, not about one exact set of them: where things come
-- and go all the time, no two listings lack the same, and a hash of the set would never be the same twice.
-- Bookkeeping of shared::inventory, not the mirror: a row goes when its thing is back or has its tombstone.

CREATE TABLE sync_suspects (
    provider       text        NOT NULL,
    kind           text        NOT NULL,
    provider_id    text        NOT NULL,
    since          timestamptz NOT NULL,                 -- when it was first missing under suspicion
    listings       integer     NOT NULL CHECK (listings >= 1),  -- complete listings in a row without it, from then on
    released       boolean     NOT NULL DEFAULT false,   -- the operator has said that it is gone
    released_until timestamptz,                          -- and believes it until then; null: while it is missing
    PRIMARY KEY (provider, kind, provider_id),
    FOREIGN KEY (provider, kind) REFERENCES sync_markers
);
ALTER TABLE sync_suspects ENABLE ROW LEVEL SECURITY;
ALTER TABLE sync_suspects FORCE ROW LEVEL SECURITY;

-- Each suspicion has a time and a length; what it is about stands above. No release of this service has used these two.
DROP POLICY editor_releases ON sync_markers;
ALTER TABLE sync_markers DROP COLUMN suspect_fingerprint, DROP COLUMN released_fingerprint;
COMMENT ON COLUMN sync_markers.suspect_since IS 'when the present suspicion began';
COMMENT ON COLUMN sync_markers.suspect_count IS 'complete listings in a row that were suspect';

CREATE POLICY sync_works ON sync_suspects TO arcadia_sync USING (true) WITH CHECK (true);
CREATE POLICY operator_reads ON sync_suspects FOR SELECT TO arcadia_operator USING (true);
CREATE POLICY editor_reads ON sync_suspects FOR SELECT TO arcadia_editor USING (true);
CREATE POLICY editor_releases ON sync_suspects FOR UPDATE TO arcadia_editor USING (true) WITH CHECK (released);
CREATE POLICY editor_releases ON sync_markers FOR UPDATE TO arcadia_editor
    USING (suspect_since IS NOT NULL) WITH CHECK (released_by IS NOT NULL);
GRANT SELECT, INSERT, UPDATE, DELETE ON sync_suspects TO arcadia_sync;
GRANT SELECT ON sync_suspects TO arcadia_operator, arcadia_editor;
GRANT UPDATE (released, released_until) ON sync_suspects TO arcadia_editor;
