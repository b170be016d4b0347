//! What a login finds in a database: who it is, what it may become, and whether the guards stand.
//!
//! For the operator's program, before anything else works. It reads the system's own catalogues, so that it can answer
//! where the schema is missing, too old, or not to be read. It changes nothing and judges nothing: what is too little
//! depends on what the login is for.

use chrono::{DateTime, Utc};

use super::{DatabaseError, Pool, ROLES, explain};

/// What was found.
#[derive(Clone, Debug)]
pub struct Examination {
    /// Who asked.
    pub login: String,
    /// Whether row-level security does not concern it.
    pub sees_past_row_security: bool,
    /// The server's version, such as `15.18`.
    pub server: String,
    /// Its clock.
    pub now: DateTime<Utc>,
    /// Roles of ours that the cluster does not have.
    pub roles_missing: Vec<String>,
    /// Roles of ours that the login is a member of.
    pub member_of: Vec<String>,
    /// Tables whose row-level security is not forced on everybody.
    pub unguarded_tables: Vec<String>,
    /// Roles of ours that may change or delete events.
    pub rewriters: Vec<String>,
    /// Whether the triggers that keep events append-only stand and fire always.
    pub append_only: bool,
}

/// Looks around.
///
/// # Errors
/// When the database cannot be used.
pub async fn examine(pool: &Pool) -> Result<Examination, DatabaseError> {
    match look(pool).await {
        Ok(found) => Ok(found),
        Err(error) => Err(explain(pool, error).await),
    }
}

async fn look(pool: &Pool) -> Result<Examination, sqlx::Error> {
    let ours = ROLES.map(str::to_owned);
    let login = sqlx::query!(
        r#"SELECT rolname::text AS "name!", rolsuper OR rolbypassrls AS "free!",
                  current_setting('server_version') AS "server!", clock_timestamp() AS "now!"
           FROM pg_roles WHERE rolname = current_user"#
    )
    .fetch_one(pool)
    .await?;
    let roles = sqlx::query!(
        r#"SELECT w.name AS "name!", r.oid IS NOT NULL AS "there!",
                  COALESCE(pg_has_role(r.oid, 'MEMBER'), false) AS "member!"
           FROM unnest($1::text[]) WITH ORDINALITY AS w(name, place) LEFT JOIN pg_roles r ON r.rolname = w.name
           ORDER BY w.place"#,
        &ours
    )
    .fetch_all(pool)
    .await?;
    let unguarded_tables = sqlx::query_scalar!(
        r#"SELECT relname::text AS "name!" FROM pg_class
           WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> '_sqlx_migrations'
             AND NOT (relrowsecurity AND relforcerowsecurity)
           ORDER BY 1"#
    )
    .fetch_all(pool)
    .await?;
    let rewriters = sqlx::query_scalar!(
        r#"SELECT r.rolname::text AS "name!" FROM pg_roles r
           CROSS JOIN (SELECT oid FROM pg_class WHERE oid = to_regclass('public.cloud_resource_events')) AS events
           WHERE r.rolname = ANY($1) AND has_table_privilege(r.oid, events.oid, 'UPDATE, DELETE, TRUNCATE')
           ORDER BY 1"#,
        &ours
    )
    .fetch_all(pool)
    .await?;
    let guards = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM pg_trigger
           WHERE tgrelid = to_regclass('public.cloud_resource_events') AND tgenabled = 'A'
             AND tgname IN ('append_only_rows', 'append_only_table')"#
    )
    .fetch_one(pool)
    .await?;
    let (missing, there): (Vec<_>, Vec<_>) = roles.into_iter().partition(|role| !role.there);
    Ok(Examination {
        login: login.name,
        sees_past_row_security: login.free,
        server: login.server,
        now: login.now,
        roles_missing: missing.into_iter().map(|role| role.name).collect(),
        member_of: there
            .into_iter()
            .filter(|role| role.member)
            .map(|role| role.name)
            .collect(),
        unguarded_tables,
        rewriters,
        append_only: guards == 2,
    })
}
