-- What the API reads. security_invoker: the caller's row-level security applies, not the owner's.

-- A live row without a strike was seen by the last complete listing of its kind; nothing was written to say so.
CREATE VIEW cloud_inventory WITH (security_invoker = true) AS
SELECT r.id, r.provider, r.kind, r.provider_id, r.name, r.region, r.status, r.tags, r.attrs,
       r.cloud_project_id, r.tenant_id, r.attribution, r.version,
       r.first_seen_at,
       CASE WHEN r.deleted_at IS NULL AND r.stale_strike_count = 0
            THEN GREATEST(r.last_seen_at, m.last_complete_at)
            ELSE r.last_seen_at
       END AS last_seen_at,
       r.stale_strike_count, r.deleted_at, r.inserted_at, r.updated_at
FROM cloud_resources r
LEFT JOIN sync_markers m ON m.provider = r.provider AND m.kind = r.kind;
