//! Whether the mirror is true to its own history: what must hold whatever has happened to it.
//!
//! For the operator's program, at any time and beside running workers: one read-only snapshot, one statement per rule,
//! each naming its first offender. It reads as `arcadia_operator` or `arcadia_sync`, whichever the login may become,
//! because row-level security would show anybody else nothing, and nothing has no faults. It mends nothing.

use sqlx::{Postgres, Transaction};

use crate::database::{DatabaseError, READERS};
use crate::database::{Pool, explain};
use crate::kinds::PROVIDER;

/// What was looked at, and the first offender of each rule that does not hold.
#[derive(Clone, Debug, Default)]
pub struct Verification {
    /// Resources, tombstones included.
    pub resources: i64,
    /// Projects, tombstones included.
    pub projects: i64,
    /// Events.
    pub events: i64,
    /// What became of each rule, in their order.
    pub rules: Vec<Judged>,
}

/// One rule, and who breaks it first.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What must hold.
    pub rule: &'static str,
    /// The first offender; `None`: it holds.
    pub breach: Option<Breach>,
}

/// Who breaks a rule, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Such as `droplet 486200148`.
    pub subject: String,
    /// What is wrong with it.
    pub what: String,
}

/// Nothing could be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Every table would look empty.
    #[error("the login {0} sees no rows: make it a member of arcadia_operator or arcadia_sync")]
    Blind(String),
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Verification {
    /// Whether every rule holds.
    pub fn holds(&self) -> bool {
        self.rules.iter().all(|judged| judged.breach.is_none())
    }
}

/// Looks at everything there is.
///
/// # Errors
/// When the login may see nothing, or the database cannot be used.
pub async fn verify(pool: &Pool) -> Result<Verification, VerifyError> {
    match look(pool).await {
        Ok(Ok(verification)) => Ok(verification),
        Ok(Err(login)) => Err(VerifyError::Blind(login)),
        Err(error) => Err(explain(pool, error).await.into()),
    }
}

/// The team whose account is mirrored; `None` before the first run.
///
/// # Errors
/// As [`verify`].
pub async fn mirrored_team(pool: &Pool) -> Result<Option<String>, VerifyError> {
    let read = async {
        let mut snapshot = match snapshot(pool).await? {
            Ok(snapshot) => snapshot,
            Err(login) => return Ok(Err(login)),
        };
        sqlx::query_scalar!(
            "SELECT account_id FROM cloud_accounts WHERE provider = $1",
            PROVIDER
        )
        .fetch_optional(&mut *snapshot)
        .await
        .map(Ok)
    };
    match read.await {
        Ok(Ok(team)) => Ok(team),
        Ok(Err(login)) => Err(VerifyError::Blind(login)),
        Err(error) => Err(explain(pool, error).await.into()),
    }
}

/// One moment for all rules, read as somebody who sees every row; else the login's name.
async fn snapshot(pool: &Pool) -> Result<Result<Transaction<'static, Postgres>, String>, sqlx::Error> {
    let mut snapshot = pool.begin().await?;
    sqlx::raw_sql(
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '15min'",
    )
    .execute(&mut *snapshot)
    .await?;
    let login = sqlx::query!(
        r#"SELECT current_user::text AS "name!",
                  (SELECT r.rolname::text FROM unnest($1::text[]) WITH ORDINALITY AS w(name, place)
                   JOIN pg_roles r ON r.rolname = w.name
                   WHERE pg_has_role(r.oid, 'MEMBER') ORDER BY w.place LIMIT 1) AS role"#,
        &READERS.map(str::to_owned)
    )
    .fetch_one(&mut *snapshot)
    .await?;
    match login.role.as_deref() {
        Some("arcadia_operator") => sqlx::raw_sql("SET LOCAL ROLE arcadia_operator"),
        Some("arcadia_sync") => sqlx::raw_sql("SET LOCAL ROLE arcadia_sync"),
        _ => return Ok(Err(login.name)),
    }
    .execute(&mut *snapshot)
    .await?;
    Ok(Ok(snapshot))
}

async fn look(pool: &Pool) -> Result<Result<Verification, String>, sqlx::Error> {
    let mut snapshot = match snapshot(pool).await? {
        Ok(snapshot) => snapshot,
        Err(login) => return Ok(Err(login)),
    };
    let counts = sqlx::query!(
        r#"SELECT (SELECT count(*) FROM cloud_resources) AS "resources!",
                  (SELECT count(*) FROM cloud_projects) AS "projects!",
                  (SELECT count(*) FROM cloud_resource_events) AS "events!""#
    )
    .fetch_one(&mut *snapshot)
    .await?;
    let mut judged = Vec::new();
    for (rule, breach) in [
        (
            "versions are gapless from 1 and the row has the newest",
            versions(&mut snapshot).await?,
        ),
        (
            "events follow one another in order, the first and only the first a discovery",
            order(&mut snapshot).await?,
        ),
        (
            "every change begins where the one before it ended",
            chain(&mut snapshot).await?,
        ),
        (
            "an event names the owner, and whom it left",
            owners(&mut snapshot).await?,
        ),
        (
            "nothing dies twice, and the dead have three strikes",
            lives(&mut snapshot).await?,
        ),
        (
            "the events of a resource, replayed, give its row",
            resources(&mut snapshot).await?,
        ),
        (
            "the events of a project, replayed, give its row",
            projects(&mut snapshot).await?,
        ),
    ] {
        judged.push(Judged { rule, breach });
    }
    Ok(Ok(Verification {
        resources: counts.resources,
        projects: counts.projects,
        events: counts.events,
        rules: judged,
    }))
}

type Snapshot = Transaction<'static, Postgres>;

async fn versions(snapshot: &mut Snapshot) -> Result<Option<Breach>, sqlx::Error> {
    sqlx::query_as!(
        Breach,
        r#"WITH subjects AS (
               SELECT id, kind, provider_id, version FROM cloud_resources
               UNION ALL SELECT id, 'project', provider_id, version FROM cloud_projects),
           told AS (
               SELECT COALESCE(resource_id, project_id) AS id, count(*) AS events, min(version) AS oldest,
                      max(version) AS newest
               FROM cloud_resource_events GROUP BY 1)
           SELECT s.kind || ' ' || s.provider_id AS "subject!",
                  format('is at version %s and has %s events, from %s to %s', s.version, COALESCE(t.events, 0),
                         COALESCE(t.oldest, 0), COALESCE(t.newest, 0)) AS "what!"
           FROM subjects s LEFT JOIN told t ON t.id = s.id
           WHERE t.id IS NULL OR t.oldest <> 1 OR t.newest <> t.events OR s.version <> t.newest
           ORDER BY s.id LIMIT 1"#
    )
    .fetch_optional(&mut **snapshot)
    .await
}

async fn order(snapshot: &mut Snapshot) -> Result<Option<Breach>, sqlx::Error> {
    sqlx::query_as!(
        Breach,
        r#"WITH told AS (
               SELECT id, resource_id, project_id, version, event_type,
                      lag(id) OVER (PARTITION BY resource_id, project_id ORDER BY version) AS before
               FROM cloud_resource_events)
           SELECT COALESCE(r.kind || ' ' || r.provider_id, 'project ' || p.provider_id) AS "subject!",
                  format('version %s is event %s (%s), and the version before it is event %s', t.version, t.id,
                         t.event_type, COALESCE(t.before::text, 'none')) AS "what!"
           FROM told t
           LEFT JOIN cloud_resources r ON r.id = t.resource_id
           LEFT JOIN cloud_projects p ON p.id = t.project_id
           WHERE t.before > t.id OR (t.before IS NULL) <> (t.event_type = 'discovered')
           ORDER BY t.id LIMIT 1"#
    )
    .fetch_optional(&mut **snapshot)
    .await
}

/// A discovery tells all of `attrs` at once, later events tell single fields of it (`attrs.size`).
async fn chain(snapshot: &mut Snapshot) -> Result<Option<Breach>, sqlx::Error> {
    sqlx::query_as!(
        Breach,
        r#"WITH told AS (
               SELECT e.id, e.resource_id, e.project_id, e.version, f.key,
                      COALESCE(f.value->'from', 'null') AS was, COALESCE(f.value->'to', 'null') AS becomes
               FROM cloud_resource_events e
               CROSS JOIN LATERAL (
                   SELECT key, value FROM jsonb_each(e.changes) WHERE key NOT IN ('attrs', 'reason')
                   UNION ALL
                   SELECT 'attrs.' || key, jsonb_build_object('from', NULL, 'to', value)
                   FROM jsonb_each(CASE WHEN jsonb_typeof(e.changes->'attrs'->'to') = 'object'
                                        THEN e.changes->'attrs'->'to' ELSE '{}' END)) AS f(key, value)),
           linked AS (
               SELECT *, COALESCE(lag(becomes) OVER (PARTITION BY resource_id, project_id, key ORDER BY version), 'null')
                         AS before
               FROM told)
           SELECT COALESCE(r.kind || ' ' || r.provider_id, 'project ' || p.provider_id) AS "subject!",
                  format('event %s (version %s): %s was %s before it, and it says %s', l.id, l.version, l.key,
                         left(l.before::text, 80), left(l.was::text, 80)) AS "what!"
           FROM linked l
           LEFT JOIN cloud_resources r ON r.id = l.resource_id
           LEFT JOIN cloud_projects p ON p.id = l.project_id
           WHERE CASE WHEN l.key = 'deleted_at'
                      THEN (l.before #>> '{}')::timestamptz IS DISTINCT FROM (l.was #>> '{}')::timestamptz
                      ELSE l.before <> l.was END
              OR (l.version > 1 AND l.was = l.becomes)
           ORDER BY l.id LIMIT 1"#
    )
    .fetch_optional(&mut **snapshot)
    .await
}

async fn owners(snapshot: &mut Snapshot) -> Result<Option<Breach>, sqlx::Error> {
    sqlx::query_as!(
        Breach,
        r#"WITH spans AS (
               SELECT *, count(*) FILTER (WHERE changes ? 'tenant_id')
                         OVER (PARTITION BY resource_id, project_id ORDER BY version) AS span
               FROM cloud_resource_events),
           owned AS (
               SELECT *, first_value(changes->'tenant_id'->>'to')
                         OVER (PARTITION BY resource_id, project_id, span ORDER BY version) AS owner,
                      CASE WHEN changes->'tenant_id'->>'from' IS DISTINCT FROM changes->'tenant_id'->>'to'
                           THEN changes->'tenant_id'->>'from' END AS left_by
               FROM spans)
           SELECT COALESCE(r.kind || ' ' || r.provider_id, 'project ' || p.provider_id) AS "subject!",
                  format('event %s (version %s) names %s as the owner and %s as left; its changes say %s and %s', o.id,
                         o.version, COALESCE(o.tenant_id, 'nobody'), COALESCE(o.left_tenant_id, 'nobody'),
                         COALESCE(o.owner, 'nobody'), COALESCE(o.left_by, 'nobody')) AS "what!"
           FROM owned o
           LEFT JOIN cloud_resources r ON r.id = o.resource_id
           LEFT JOIN cloud_projects p ON p.id = o.project_id
           WHERE o.tenant_id IS DISTINCT FROM o.owner
              OR (o.resource_id IS NOT NULL AND o.left_tenant_id IS DISTINCT FROM o.left_by)
           ORDER BY o.id LIMIT 1"#
    )
    .fetch_optional(&mut **snapshot)
    .await
}

async fn lives(snapshot: &mut Snapshot) -> Result<Option<Breach>, sqlx::Error> {
    sqlx::query_as!(
        Breach,
        r#"WITH turns AS (
               SELECT id, resource_id, project_id, event_type,
                      lag(event_type, 1, 'restored') OVER (PARTITION BY resource_id, project_id ORDER BY version) AS before
               FROM cloud_resource_events WHERE event_type IN ('deleted', 'restored')),
           faults AS (
               SELECT t.id AS place, t.resource_id, t.project_id,
                      format('event %s: %s comes after %s', t.id, t.event_type, t.before) AS what
               FROM turns t WHERE t.event_type = t.before
               UNION ALL
               SELECT 0, r.id, NULL, format('%s strikes, deleted at %s', r.stale_strike_count, r.deleted_at)
               FROM cloud_resources r WHERE (r.deleted_at IS NOT NULL) <> (r.stale_strike_count = 3)
               UNION ALL
               SELECT 0, NULL, p.id, format('%s strikes, deleted at %s', p.stale_strike_count, p.deleted_at)
               FROM cloud_projects p WHERE (p.deleted_at IS NOT NULL) <> (p.stale_strike_count = 3))
           SELECT COALESCE(r.kind || ' ' || r.provider_id, 'project ' || p.provider_id) AS "subject!", f.what AS "what!"
           FROM faults f
           LEFT JOIN cloud_resources r ON r.id = f.resource_id
           LEFT JOIN cloud_projects p ON p.id = f.project_id
           ORDER BY f.place LIMIT 1"#
    )
    .fetch_optional(&mut **snapshot)
    .await
}

/// By the function that answers questions about the past, so that it is held to the truth as well.
async fn resources(snapshot: &mut Snapshot) -> Result<Option<Breach>, sqlx::Error> {
    sqlx::query_as!(
        Breach,
        r#"SELECT r.kind || ' ' || r.provider_id AS "subject!",
                  format('%s is %s, its events say %s', f.name, left((to_jsonb(r)->f.name)::text, 80),
                         COALESCE(left((to_jsonb(s)->f.name)::text, 80), 'nothing')) AS "what!"
           FROM cloud_resources r
           LEFT JOIN LATERAL state_at(r.id, 'infinity') AS s ON true
           CROSS JOIN LATERAL (
               SELECT name FROM unnest(ARRAY['version', 'name', 'region', 'status', 'tags', 'attrs', 'cloud_project_id',
                                             'tenant_id', 'attribution', 'deleted_at']) AS n(name)
               WHERE to_jsonb(r)->name IS DISTINCT FROM to_jsonb(s)->name LIMIT 1) AS f
           ORDER BY r.id LIMIT 1"#
    )
    .fetch_optional(&mut **snapshot)
    .await
}

async fn projects(snapshot: &mut Snapshot) -> Result<Option<Breach>, sqlx::Error> {
    sqlx::query_as!(
        Breach,
        r#"WITH told AS (
               SELECT e.project_id, jsonb_object_agg(f.key, f.value->'to' ORDER BY e.version) AS fields
               FROM cloud_resource_events e CROSS JOIN LATERAL jsonb_each(e.changes) AS f(key, value)
               WHERE e.project_id IS NOT NULL GROUP BY 1)
           SELECT 'project ' || p.provider_id AS "subject!",
                  format('%s is %s, its events say %s', f.name, left((to_jsonb(p)->f.name)::text, 80),
                         COALESCE(left((t.fields->f.name)::text, 80), 'nothing')) AS "what!"
           FROM cloud_projects p
           LEFT JOIN told t ON t.project_id = p.id
           CROSS JOIN LATERAL (
               SELECT name FROM unnest(ARRAY['name', 'description', 'provider_purpose', 'environment', 'is_default',
                                             'purpose', 'tenant_id', 'deleted_at']) AS n(name)
               WHERE CASE WHEN name = 'deleted_at' THEN (t.fields->>'deleted_at')::timestamptz IS DISTINCT FROM p.deleted_at
                          ELSE COALESCE(t.fields->name, 'null') <> to_jsonb(p)->name END
               LIMIT 1) AS f
           ORDER BY p.id LIMIT 1"#
    )
    .fetch_optional(&mut **snapshot)
    .await
}
