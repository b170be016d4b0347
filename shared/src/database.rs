//! The way to Postgres: where it is, a pool sized for Lambda, the mirror lock, roles, and the migrations.
//!
//! For every binary. A Lambda serves one event at a time, so its pool holds one connection, opened when first
//! needed. Only `migrate` applies migrations; everything else asks [`check_schema`] and refuses a
//! schema that is too old. Nothing but `migrate` takes a session-level lock: a frozen sandbox would keep it
//! for ever. Limits on time are part of the connection, so that what a frozen sandbox holds is given back.

mod examine;
mod reading;

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Postgres, Transaction};
use tracing::log::LevelFilter;
use url::Url;

use crate::config::{DatabaseConfig, Source};
use crate::secrets::{SecretError, Secrets};

pub use examine::{Examination, examine};
pub use reading::ReadError;
pub(crate) use reading::read_as;

/// Every migration, compiled in.
pub static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Roles of the cluster that the migrations grant to. They cannot log in; logins are members of them.
pub const ROLES: [&str; 6] = [
    "arcadia_tenant",
    "arcadia_operator",
    "arcadia_editor",
    "arcadia_api",
    "arcadia_sync",
    "arcadia_billing",
];

/// Those of [`ROLES`] that see every row of the mirror; whoever verifies becomes the first one that it may become.
pub(crate) const READERS: [&str; 2] = ["arcadia_operator", "arcadia_sync"];

/// Makes [`ROLES`]. They belong to the cluster, so two databases may do this at the same moment: lost races are fine.
/// `arcadia_api` may become a tenant, the operator or the editor and inherits nothing of any: a read that forgets to is
/// refused.
/// Nobody but the owner makes temporary tables: one could stand before a view of the same name.
const MAKE_ROLES: &str = "
DO $$
DECLARE role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['arcadia_tenant', 'arcadia_operator', 'arcadia_editor', 'arcadia_api', 'arcadia_sync', 'arcadia_billing'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
    END LOOP;
    FOREACH role IN ARRAY ARRAY['arcadia_tenant', 'arcadia_operator', 'arcadia_editor'] LOOP
        IF NOT pg_has_role('arcadia_api', role, 'MEMBER') THEN
            BEGIN
                EXECUTE format('GRANT %I TO arcadia_api', role);
            EXCEPTION WHEN unique_violation OR internal_error THEN NULL;
            END;
        END IF;
    END LOOP;
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END $$";

/// The advisory lock that every writer of the mirror takes first. Any constant would do; this one is ours.
const MIRROR_LOCK: i64 = 0x6172_6361_6469_6101;

/// The pool that rooms work with; the edge passes it on without looking inside.
pub type Pool = PgPool;

/// The database cannot be used, with the reason in one sentence and no password in it.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The secret that says where it is could not be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The secret was read, but does not say where the database is.
    #[error("the database secret {0}")]
    Malformed(&'static str),
    /// No answer, or a refusal, from the server.
    #[error("the database at {address} cannot be used: {reason}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the driver or the server said.
        reason: String,
    },
    /// Code is newer than the schema.
    #[error("the database schema is at version {found} and this program needs {needed}: run migrate first")]
    SchemaTooOld {
        /// The newest applied migration; 0 when there is none.
        found: i64,
        /// The newest migration this program knows.
        needed: i64,
    },
    /// The login may not even read how new the schema is.
    #[error(
        "the login {login} may not read the schema's version, and this program needs {needed}: \
             run migrate first, and make the login a member of arcadia_api, arcadia_sync or arcadia_billing"
    )]
    SchemaHidden {
        /// Who asked.
        login: String,
        /// The newest migration this program knows.
        needed: i64,
    },
    /// A migration failed; the ones before it stay.
    #[error("migration failed: {0}")]
    Migration(String),
    /// Anything else the driver reports.
    #[error("database: {0}")]
    Driver(#[from] sqlx::Error),
}

/// Reads a database URL.
///
/// # Errors
/// The rest of a sentence that begins with the variable's name; it never repeats the URL.
pub fn parse_url(url: &SecretString) -> Result<PgConnectOptions, &'static str> {
    let parsed = Url::parse(url.expose_secret()).map_err(|_| "is not a URL")?;
    if !matches!(parsed.scheme(), "postgres" | "postgresql") {
        return Err("is not a postgres:// URL");
    }
    let options = PgConnectOptions::from_str(url.expose_secret());
    let options = options.map_err(|_| "is not a usable postgres:// URL")?;
    let here = parsed
        .host_str()
        .is_none_or(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"));
    let said = parsed
        .query_pairs()
        .any(|(name, _)| matches!(name.as_ref(), "sslmode" | "ssl-mode"));
    // The driver's default falls back to plain text without a word.
    Ok(if here || said {
        options
    } else {
        options.ssl_mode(PgSslMode::Require)
    })
}

/// Where the database is, its secret read if need be.
///
/// # Errors
/// When the secret cannot be had or does not say.
pub async fn options(config: &DatabaseConfig, secrets: &Secrets) -> Result<PgConnectOptions, DatabaseError> {
    let text = secrets.get(&config.source).await?;
    let options = match &config.source {
        Source::Secret(_) if text.expose_secret().starts_with('{') => from_json(config, &text)?,
        _ => parse_url(&text).map_err(DatabaseError::Malformed)?,
    };
    Ok(options
        .application_name("arcadia-cloud")
        // Statements hold names of customers' things: not for the log, however slow.
        .log_statements(LevelFilter::Trace)
        .log_slow_statements(LevelFilter::Off, Duration::ZERO)
        .options([
            ("timezone", "UTC"),
            ("statement_timeout", "15s"),
            // What a frozen sandbox may hold up: a transaction it sits in, or an answer it does not read.
            ("idle_in_transaction_session_timeout", "10s"),
            ("tcp_user_timeout", "15000"),
            // The mirror fits into memory: an index on the tenant beats a walk along the primary key.
            ("random_page_cost", "1.1"),
            // Compiling a plan takes longer than any of ours runs.
            ("jit", "off"),
        ]))
}

/// RDS's own secret format: user and password, and the address if RDS manages it.
fn from_json(config: &DatabaseConfig, text: &SecretString) -> Result<PgConnectOptions, DatabaseError> {
    #[derive(serde::Deserialize)]
    struct Rds {
        username: String,
        password: String,
        host: Option<String>,
        port: Option<u16>,
        dbname: Option<String>,
    }
    let rds: Rds = serde_json::from_str(text.expose_secret())
        .map_err(|_| DatabaseError::Malformed("is JSON without username and password"))?;
    let host = config.host.clone().or(rds.host);
    let host = host.ok_or(DatabaseError::Malformed(
        "names no host, and DATABASE_HOST is not set",
    ))?;
    let name = config.name.clone().or(rds.dbname);
    let name = name.ok_or(DatabaseError::Malformed(
        "names no database, and DATABASE_NAME is not set",
    ))?;
    let port = config.port.or(rds.port).unwrap_or(5432);
    Ok(PgConnectOptions::new_without_pgpass()
        .host(&host)
        .port(port)
        .database(&name)
        .username(&rds.username)
        .password(&rds.password)
        .ssl_mode(PgSslMode::Require))
}

/// A pool for one sandbox: opened lazily, so that a database that is briefly away does not fail the start. Of one
/// connection: a connection is given back a moment after it was let go of, and a pool that may open another one would
/// do so rather than wait for that moment. Whoever reads on while something is written needs another pool.
pub fn pool(options: PgConnectOptions) -> Pool {
    PgPoolOptions::new()
        .min_connections(0)
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(5))
        .max_lifetime(Duration::from_secs(600))
        .test_before_acquire(true) // a thawed sandbox wakes with dead sockets; `read_as` notices by itself
        .connect_lazy_with(options)
}

/// The one clock: the database's. Read once per run and passed down from there.
///
/// # Errors
/// [`DatabaseError::Unreachable`] with the reason a direct connection gives, because a pool that waits only
/// says that it has waited.
pub async fn now(pool: &Pool) -> Result<DateTime<Utc>, DatabaseError> {
    match sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#)
        .fetch_one(pool)
        .await
    {
        Ok(now) => Ok(now),
        Err(error) => Err(explain(pool, error).await),
    }
}

/// Says why the database cannot be used, where a driver error alone would not.
pub async fn explain(pool: &Pool, error: sqlx::Error) -> DatabaseError {
    let options = pool.connect_options();
    let address = format!("{}:{}", options.get_host(), options.get_port());
    let reason = match error {
        sqlx::Error::PoolTimedOut => {
            let attempt = PgConnection::connect_with(&options);
            match tokio::time::timeout(Duration::from_secs(2), attempt).await {
                Ok(Ok(connection)) => {
                    drop(connection.close().await);
                    "no connection became free in time".to_owned()
                }
                Ok(Err(error)) => said(&options, &error),
                Err(_) => "no answer within 2 s".to_owned(),
            }
        }
        error @ (sqlx::Error::Io(_) | sqlx::Error::Tls(_)) => error.to_string(),
        // What a server that is going down says to a newcomer: nothing.
        sqlx::Error::Protocol(_) => "it hangs up, or does not speak Postgres".to_owned(),
        // A refused login, or no such database.
        error if has_code(&error, |code| code.starts_with("28") || code == "3D000") => said(&options, &error),
        other => return DatabaseError::Driver(other),
    };
    DatabaseError::Unreachable { address, reason }
}

/// What the driver or the server said, and to whom: a refusal is about a login, and rarely names it.
fn said(options: &PgConnectOptions, error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => format!("{} (login {})", error.message(), options.get_username()),
        error => error.to_string(),
    }
}

fn has_code(error: &sqlx::Error, is: impl Fn(&str) -> bool) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().is_some_and(|code| is(&code)))
}

/// The newest migration this program knows, and so the oldest schema that it works with.
pub fn newest_migration() -> i64 {
    let versions = MIGRATIONS.iter().map(|migration| migration.version);
    versions.max().unwrap_or(0)
}

/// Refuses a schema older than this program; a newer one is fine, because migrations go first.
///
/// # Errors
/// [`DatabaseError::SchemaTooOld`], or that the database cannot be used.
pub async fn check_schema(pool: &Pool) -> Result<(), DatabaseError> {
    let needed = newest_migration();
    let found = sqlx::query_scalar!(r#"SELECT max(version) AS version FROM _sqlx_migrations WHERE success"#)
        .fetch_one(pool)
        .await;
    let found = match found {
        Ok(version) => version.unwrap_or(0),
        // No such table: an empty database.
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => 0,
        // The newest migration grants this: either it is missing, or the login is a member of nothing.
        Err(error) if has_code(&error, |code| code == "42501") => {
            let login = pool.connect_options().get_username().to_owned();
            return Err(DatabaseError::SchemaHidden { login, needed });
        }
        Err(error) => return Err(explain(pool, error).await),
    };
    if found < needed {
        Err(DatabaseError::SchemaTooOld { found, needed })
    } else {
        Ok(())
    }
}

/// Makes the roles and applies every migration that is missing. Twice is as good as once; of two at once, one waits
/// for the other, for ten seconds at most.
///
/// # Errors
/// When the login may not make roles or own tables, or a migration fails; what was applied before stays.
pub async fn migrate(options: &PgConnectOptions) -> Result<i64, DatabaseError> {
    // No time limits of a request here: an index may take its time. Waiting for locks may not.
    let options = options
        .clone()
        .options([("statement_timeout", "0"), ("lock_timeout", "10s")]);
    let address = format!("{}:{}", options.get_host(), options.get_port());
    let unusable = |error: sqlx::Error| DatabaseError::Unreachable {
        address: address.clone(),
        reason: said(&options, &error),
    };
    let attempt = tokio::time::timeout(Duration::from_secs(5), PgConnection::connect_with(&options));
    let mut connection = match attempt.await {
        Ok(connected) => connected.map_err(unusable)?,
        Err(_) => {
            let reason = "no answer within 5 s".to_owned();
            return Err(DatabaseError::Unreachable { address, reason });
        }
    };
    sqlx::raw_sql(MAKE_ROLES)
        .execute(&mut connection)
        .await
        .map_err(unusable)?;
    MIGRATIONS
        .run(&mut connection)
        .await
        .map_err(|error| DatabaseError::Migration(error.to_string()))?;
    let version =
        sqlx::query_scalar!(r#"SELECT max(version) AS version FROM _sqlx_migrations WHERE success"#)
            .fetch_one(&mut connection)
            .await?;
    connection.close().await?;
    Ok(version.unwrap_or(0))
}

/// Why a transaction on the mirror could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else has been writing for 20 s; the next tick does the work.
    #[error("the mirror is busy: another writer held its lock for 20 s")]
    Busy,
    /// Anything else.
    #[error("database: {0}")]
    Driver(#[from] sqlx::Error),
}

/// A transaction that holds the mirror lock. The lock is a statement of its own before anything is read or any
/// id is allocated: event ids follow commit order, and two writers can neither deadlock nor overtake each other.
///
/// # Errors
/// [`LockError::Busy`] after 20 s.
pub(crate) async fn lock_mirror(pool: &Pool) -> Result<Transaction<'static, Postgres>, LockError> {
    let mut transaction = pool.begin().await?;
    let statement = format!(
        "SET LOCAL lock_timeout = '20s'; SET LOCAL statement_timeout = '25s'; \
         SELECT pg_advisory_xact_lock({MIRROR_LOCK}); SET LOCAL statement_timeout = '15s'"
    );
    match sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(&mut *transaction)
        .await
    {
        Ok(_) => Ok(transaction),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => Err(LockError::Busy),
        Err(error) => Err(error.into()),
    }
}

/// The same as the operator who edits: the API's login becomes `arcadia_editor`, which may change whose things are and
/// nothing else.
///
/// # Errors
/// As [`lock_mirror`].
pub(crate) async fn lock_mirror_to_edit(pool: &Pool) -> Result<Transaction<'static, Postgres>, LockError> {
    let mut transaction = lock_mirror(pool).await?;
    sqlx::raw_sql("SET LOCAL ROLE arcadia_editor")
        .execute(&mut *transaction)
        .await?;
    Ok(transaction)
}
