-- History as callers may read it, the past as it was, and the operator's edits through the API.
-- Whose history it is: a tenant reads the events of the time in which it owned a resource, with everybody else's
-- words taken out, and it sees the resource leave. An operator's name and reason are the operators' alone.

-- Who is asking; null, and so nobody, unless this transaction says so.
CREATE FUNCTION calling_tenant() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT NULLIF(current_setting('app.tenant', true), '') $$;

-- Row-level security is forced on the owner of the tables too. The functions below that are SECURITY DEFINER run as
-- the owner, because what they leave out has to be read first. It may read, and nothing more.
CREATE POLICY owner_reads ON cloud_projects FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY owner_reads ON cloud_resources FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY owner_reads ON cloud_resource_events FOR SELECT TO CURRENT_USER USING (true);

-- Which events there are is the tenant's to know. What they say comes from own_event alone: the columns that may
-- name somebody else (changes, both tenants, actor, reason) are not granted.
CREATE POLICY tenant_reads ON cloud_resource_events FOR SELECT TO arcadia_tenant
    USING (resource_id IS NOT NULL AND (tenant_id = calling_tenant() OR left_tenant_id = calling_tenant()));
GRANT SELECT (id, resource_id, version, occurred_at) ON cloud_resource_events TO arcadia_tenant;
CREATE INDEX cloud_resource_events_left ON cloud_resource_events (left_tenant_id, id) WHERE left_tenant_id IS NOT NULL;

-- A project as this tenant may see it: null, unless it is or was its own.
CREATE FUNCTION own_project(project text, tenant text) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT project::uuid WHERE EXISTS (
        SELECT FROM cloud_resource_events p WHERE p.project_id = project::uuid AND p.tenant_id = tenant)
$$;

-- One side of a change as this tenant may see it: of a provider's document, not the provider's project.
CREATE FUNCTION own_value(field text, value jsonb, tenant text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN field = 'cloud_project_id' THEN to_jsonb(own_project(value #>> '{}', tenant))
        WHEN field = 'attrs' AND jsonb_typeof(value) = 'object' THEN value - 'project_id'
        ELSE value
    END
$$;

-- One of a tenant's events, without a word of anybody else's:
--   it arrived:     what the fields were before is not shown;
--   it was theirs:  shown;
--   it left:        shown as a plain update of whose it is, without where to and without what else changed.
-- A worker's name is no secret, an operator's is: whoever changed something without a run was an operator.
CREATE FUNCTION own_event(event bigint, tenant text)
RETURNS TABLE (kind text, provider_id text, event_type text, changes jsonb, tenant_id text, left_tenant_id text, actor text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT r.kind, r.provider_id,
           CASE WHEN w.leaves THEN 'updated' ELSE e.event_type END,
           (SELECT COALESCE(jsonb_object_agg(f.key, jsonb_build_object(
                       'from', CASE WHEN NOT w.arrives THEN own_value(f.key, f.value->'from', tenant) END,
                       'to', CASE WHEN NOT w.leaves THEN own_value(f.key, f.value->'to', tenant) END)), '{}')
            FROM jsonb_each(e.changes) AS f(key, value)
            WHERE f.key <> 'attrs.project_id'
              AND (NOT w.leaves OR f.key IN ('tenant_id', 'cloud_project_id', 'attribution'))),
           CASE WHEN NOT w.leaves THEN tenant END,
           CASE WHEN w.leaves THEN tenant END,
           CASE WHEN e.sync_run_id IS NULL THEN 'operator' ELSE e.actor END
    FROM cloud_resource_events e
    JOIN cloud_resources r ON r.id = e.resource_id
    CROSS JOIN LATERAL (SELECT e.tenant_id IS DISTINCT FROM tenant AS leaves,
                               e.tenant_id IS NOT DISTINCT FROM tenant AND e.changes ? 'tenant_id' AS arrives) AS w
    WHERE e.id = event AND tenant = calling_tenant() AND (e.tenant_id = tenant OR e.left_tenant_id = tenant)
$$;
REVOKE ALL ON FUNCTION own_event(bigint, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION own_event(bigint, text) TO arcadia_tenant;

-- A resource as its events tell it up to the last one that had happened by then; no row if none had. Events are
-- replayed by version, not by time: a run writes the moment it began, and another one may have finished in between.
CREATE FUNCTION state_at(subject uuid, moment timestamptz)
RETURNS TABLE (version integer, name text, region text, status text, tags text[], attrs jsonb, cloud_project_id uuid,
               tenant_id text, attribution text, deleted_at timestamptz, updated_at timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT t.version, t.told->>'name', t.told->>'region', t.told->>'status',
           ARRAY(SELECT jsonb_array_elements_text(t.told->'tags')),
           (t.told->'attrs') || COALESCE(t.attrs, '{}'),
           (t.told->>'cloud_project_id')::uuid, t.told->>'tenant_id', t.told->>'attribution',
           (t.told->>'deleted_at')::timestamptz, t.updated_at
    FROM (SELECT max(e.version) AS version,
                 jsonb_object_agg(f.key, f.value->'to' ORDER BY e.version) AS told,
                 jsonb_object_agg(substr(f.key, 7), f.value->'to' ORDER BY e.version)
                     FILTER (WHERE starts_with(f.key, 'attrs.')) AS attrs,
                 (array_agg(e.occurred_at ORDER BY e.version DESC))[1] AS updated_at
          FROM cloud_resource_events e CROSS JOIN LATERAL jsonb_each(e.changes) AS f(key, value)
          WHERE e.resource_id = subject
            AND e.version <= (SELECT max(l.version) FROM cloud_resource_events l
                              WHERE l.resource_id = subject AND l.occurred_at <= moment)) AS t
    WHERE t.version IS NOT NULL
$$;

-- The whole inventory at a past moment, for whoever may read events: what has not changed since is still there to be
-- read, with its indexes; the rest is replayed. Sightings and strikes are not history, and so are not known.
CREATE FUNCTION cloud_inventory_at(moment timestamptz)
RETURNS TABLE (id uuid, provider text, kind text, provider_id text, name text, region text, status text, tags text[],
               attrs jsonb, cloud_project_id uuid, tenant_id text, attribution text, version integer,
               first_seen_at timestamptz, last_seen_at timestamptz, stale_strike_count smallint,
               deleted_at timestamptz, updated_at timestamptz)
LANGUAGE sql STABLE AS $$
    -- Both halves in the order of pages: they are then merged row by row, and a page replays a page, not everything.
    (SELECT r.id, r.provider, r.kind, r.provider_id, r.name, r.region, r.status, r.tags, r.attrs, r.cloud_project_id,
            r.tenant_id, r.attribution, r.version, r.first_seen_at, NULL::timestamptz, NULL::smallint, r.deleted_at,
            r.updated_at
     FROM cloud_resources r
     WHERE r.updated_at <= moment AND r.first_seen_at <= moment
     ORDER BY r.id)
    UNION ALL
    (SELECT r.id, r.provider, r.kind, r.provider_id, s.name, s.region, s.status, s.tags, s.attrs, s.cloud_project_id,
            s.tenant_id, s.attribution, s.version, r.first_seen_at, NULL::timestamptz, NULL::smallint, s.deleted_at,
            s.updated_at
     FROM cloud_resources r CROSS JOIN LATERAL state_at(r.id, moment) AS s
     WHERE r.updated_at > moment AND r.first_seen_at <= moment
     ORDER BY r.id)
$$;

-- A resource at a past moment at which this tenant owned it.
CREATE FUNCTION own_state(subject uuid, moment timestamptz, tenant text)
RETURNS TABLE (provider text, kind text, provider_id text, name text, region text, status text, tags text[],
               attrs jsonb, cloud_project_id uuid, tenant_id text, attribution text, version integer,
               first_seen_at timestamptz, deleted_at timestamptz, updated_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT r.provider, r.kind, r.provider_id, s.name, s.region, s.status, s.tags, s.attrs - 'project_id',
           own_project(s.cloud_project_id::text, tenant),
           s.tenant_id, s.attribution, s.version, r.first_seen_at, s.deleted_at, s.updated_at
    FROM cloud_resources r CROSS JOIN LATERAL state_at(r.id, moment) AS s
    WHERE r.id = subject AND r.first_seen_at <= moment AND s.tenant_id = tenant AND tenant = calling_tenant()
$$;
REVOKE ALL ON FUNCTION own_state(uuid, timestamptz, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION own_state(uuid, timestamptz, text) TO arcadia_tenant;

-- A tenant's inventory at a past moment. The policy on events says which resources it may ask about at all.
CREATE FUNCTION own_inventory_at(moment timestamptz, tenant text)
RETURNS TABLE (id uuid, provider text, kind text, provider_id text, name text, region text, status text, tags text[],
               attrs jsonb, cloud_project_id uuid, tenant_id text, attribution text, version integer,
               first_seen_at timestamptz, last_seen_at timestamptz, stale_strike_count smallint,
               deleted_at timestamptz, updated_at timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT e.resource_id, s.provider, s.kind, s.provider_id, s.name, s.region, s.status, s.tags, s.attrs,
           s.cloud_project_id, s.tenant_id, s.attribution, s.version, s.first_seen_at, NULL::timestamptz,
           NULL::smallint, s.deleted_at, s.updated_at
    FROM (SELECT DISTINCT resource_id FROM cloud_resource_events WHERE occurred_at <= moment) AS e
    CROSS JOIN LATERAL own_state(e.resource_id, moment, tenant) AS s
$$;

-- A release is for one state, and somebody had a reason for it.
ALTER TABLE sync_markers ADD COLUMN released_reason text;

-- Newest first: what an operator looks at.
CREATE INDEX sync_runs_worker ON sync_runs (worker, started_at, id);
CREATE INDEX cloud_projects_tenant ON cloud_projects (tenant_id, id);

-- The operator's edits. arcadia_editor changes whose things are and releases suspicions: no content, no new row but
-- events, and only events that are an operator's.
GRANT USAGE ON SCHEMA public TO arcadia_editor;
CREATE POLICY editor_reads ON cloud_projects FOR SELECT TO arcadia_editor USING (true);
CREATE POLICY editor_reads ON cloud_project_members FOR SELECT TO arcadia_editor USING (true);
CREATE POLICY editor_reads ON cloud_resources FOR SELECT TO arcadia_editor USING (true);
CREATE POLICY editor_reads ON cloud_resource_events FOR SELECT TO arcadia_editor USING (true);
CREATE POLICY editor_reads ON sync_markers FOR SELECT TO arcadia_editor USING (true);
CREATE POLICY editor_edits ON cloud_projects FOR UPDATE TO arcadia_editor USING (true) WITH CHECK (true);
CREATE POLICY editor_edits ON cloud_resources FOR UPDATE TO arcadia_editor USING (true) WITH CHECK (true);
CREATE POLICY editor_releases ON sync_markers FOR UPDATE TO arcadia_editor
    USING (suspect_fingerprint IS NOT NULL) WITH CHECK (released_fingerprint = suspect_fingerprint);
CREATE POLICY editor_tells ON cloud_resource_events FOR INSERT TO arcadia_editor
    WITH CHECK (event_type = 'updated' AND sync_run_id IS NULL AND reason IS NOT NULL);
GRANT SELECT ON cloud_projects, cloud_project_members, cloud_resources, cloud_resource_events, sync_markers,
                cloud_inventory TO arcadia_editor;
GRANT UPDATE (tenant_id, purpose, version, updated_at) ON cloud_projects TO arcadia_editor;
GRANT UPDATE (cloud_project_id, tenant_id, attribution, version, updated_at) ON cloud_resources TO arcadia_editor;
GRANT UPDATE (released_fingerprint, released_by, released_at, released_until, released_reason) ON sync_markers
    TO arcadia_editor;
GRANT INSERT (resource_id, project_id, version, event_type, changes, tenant_id, left_tenant_id, actor, reason,
              sync_run_id, occurred_at) ON cloud_resource_events TO arcadia_editor;
