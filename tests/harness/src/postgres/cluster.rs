//! A server as tests see it: logins, one migrated template, and a database of one's own for whoever asks.
//!
//! Roles belong to the server, so they are made once and a lost race is fine. The template is migrated once per
//! run; a clone of it takes tens of milliseconds. A [`Database`] is dropped after its owner, sessions and all, and
//! what was not dropped in time goes with the template. It refuses connections to the template, because Postgres
//! cannot clone a database that somebody uses.

use std::str::FromStr;
use std::sync::Mutex;
use std::thread::JoinHandle;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use url::Url;
use uuid::Uuid;

use crate::failure::{Doing, Failure};

use super::server::PASSWORD;

/// The roles that migrations grant to; a test holds them against the service's own list.
pub const ROLES: [&str; 6] = [
    "arcadia_tenant",
    "arcadia_operator",
    "arcadia_editor",
    "arcadia_api",
    "arcadia_sync",
    "arcadia_billing",
];

/// Logins as a deployment has them.
const LOGINS: [(&str, &[&str]); 3] = [
    ("arcadia_api_login", &["arcadia_api"]),
    ("arcadia_sync_login", &["arcadia_sync"]),
    ("arcadia_billing_login", &["arcadia_billing"]),
];

/// Whose databases and tables are: as in a deployment no superuser, and so under row-level security itself.
pub(crate) const OWNER: &str = "arcadia_owner_login";

/// A server that databases can be had from.
#[derive(Clone, Debug)]
pub struct Cluster {
    url: String,
    template: String,
}

impl Cluster {
    /// A server and template that somebody else has prepared.
    pub fn attach(url: &str, template: &str) -> Self {
        Self {
            url: url.to_owned(),
            template: template.to_owned(),
        }
    }

    /// The superuser's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The template's name.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// A migrated database of one's own.
    pub async fn database(&self) -> Result<Database, Failure> {
        // Postgres cuts names at 63 bytes: what is left of a version 7 is the millisecond, which two tests may share.
        self.named(&format!("{}{}", self.prefix(), Uuid::new_v4().simple()))
            .await
    }

    /// What the names of this template's clones begin with: part of its own, because Postgres cuts names at 63 bytes.
    fn prefix(&self) -> String {
        let end: String = self.template.chars().rev().take(12).collect();
        let end: String = end.chars().rev().collect();
        format!("arcadia_test_{end}_")
    }

    /// The same under a given name.
    pub async fn named(&self, name: &str) -> Result<Database, Failure> {
        execute(
            &self.url,
            &format!("CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {}", self.template),
        )
        .await?;
        Ok(Database {
            server: self.url.clone(),
            name: name.to_owned(),
        })
    }

    /// An empty database, not migrated.
    pub async fn empty(&self) -> Result<Database, Failure> {
        Database::empty(&self.url).await
    }
}

/// The template, removed with this value: the server may be somebody else's and live on.
#[derive(Debug)]
pub struct Template {
    cluster: Cluster,
}

impl Template {
    /// Makes roles, logins and the template.
    #[cfg(feature = "stack")]
    pub async fn prepare(server: &super::Server) -> Result<Self, Failure> {
        let name = format!("arcadia_template_{}", Uuid::now_v7().simple());
        make_logins(server.url()).await?;
        execute(
            server.url(),
            &format!("CREATE DATABASE {name} OWNER {OWNER} TEMPLATE template0"),
        )
        .await?;
        let template = Self {
            cluster: Cluster::attach(server.url(), &name),
        };
        migrate(&as_login(&with_database(server.url(), &name)?, OWNER)?).await?;
        let closed = format!("ALTER DATABASE {name} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false");
        execute(server.url(), &closed).await?;
        Ok(template)
    }

    /// What can be cloned from it.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }
}

/// By this version's migrations, or by another version's `ops`: whether our code suits its schema (`make upgrade`).
#[cfg(feature = "stack")]
async fn migrate(url: &str) -> Result<(), Failure> {
    let Some(program) = crate::place::variable("ARCADIA_MIGRATE") else {
        let options = PgConnectOptions::from_str(url).doing("read the template's URL")?;
        shared::database::migrate(&options)
            .await
            .doing("migrate the template database")?;
        return Ok(());
    };
    let mut command = std::process::Command::new(&program);
    crate::place::forget_accounts(&mut command);
    let migrated = command.arg("migrate").env("DATABASE_URL", url).output();
    let migrated = migrated.doing(format!("run {program}"))?;
    if migrated.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&migrated.stderr);
    Err(Failure::new(format!(
        "{program} migrate: {}",
        crate::python::last_line(&said)
    )))
}

impl Drop for Template {
    fn drop(&mut self) {
        let leaving = LEAVING.lock().map(|mut leaving| std::mem::take(&mut *leaving));
        for database in leaving.unwrap_or_default() {
            let _ = database.join();
        }
        let (url, name) = (self.cluster.url.clone(), self.cluster.template.clone());
        let prefix = self.cluster.prefix();
        let dropped = in_background(async move {
            for clone in names(&url, &prefix).await? {
                execute(&url, &format!("DROP DATABASE IF EXISTS {clone} WITH (FORCE)")).await?;
            }
            let open = format!("ALTER DATABASE {name} WITH IS_TEMPLATE false;\n");
            execute(&url, &(open + &format!("DROP DATABASE {name} WITH (FORCE)"))).await
        });
        let _ = dropped.join();
    }
}

/// A database that lives as long as this value.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// An empty one, not migrated.
    pub async fn empty(server: &str) -> Result<Self, Failure> {
        let name = format!("arcadia_test_{}", Uuid::now_v7().simple());
        execute(server, &format!("CREATE DATABASE {name} TEMPLATE template0")).await?;
        Ok(Self {
            server: server.to_owned(),
            name,
        })
    }

    /// The superuser's URL: sees all rows, whatever row-level security says.
    pub fn url(&self) -> String {
        with_database(&self.server, &self.name).unwrap_or_default()
    }

    /// The URL of one of the logins, such as `arcadia_sync_login`.
    pub fn url_as(&self, login: &str) -> String {
        as_login(&self.url(), login).unwrap_or_default()
    }

    /// Drops it and waits until that is done: whoever measures wants no checkpoint in the middle of what comes next.
    pub async fn remove(self) -> Result<(), Failure> {
        let (server, name) = (self.server.clone(), self.name.clone());
        std::mem::forget(self);
        execute(&server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Nobody waits for it: Postgres may wait for a session that is just logging in, whose client may be another
        // task of the runtime that drops this.
        let (server, name) = (self.server.clone(), self.name.clone());
        let dropping = in_background(async move {
            execute(&server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
        });
        if let Ok(mut leaving) = LEAVING.lock() {
            leaving.push(dropping);
        }
    }
}

/// Databases that are being dropped: whoever drops the template waits for them.
static LEAVING: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// For destructors: on a thread of its own, because a runtime cannot be entered twice. A server that is gone
/// took everything along.
fn in_background(work: impl Future<Output = Result<(), Failure>> + Send + 'static) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            let _ = runtime.block_on(work);
        }
    })
}

/// The databases whose names begin with this.
async fn names(url: &str, prefix: &str) -> Result<Vec<String>, Failure> {
    let options = PgConnectOptions::from_str(url).doing("read a Postgres URL")?;
    let mut connection: PgConnection = options.connect().await.doing("reach Postgres")?;
    sqlx::query_scalar("SELECT datname::text FROM pg_database WHERE starts_with(datname::text, $1)")
        .bind(prefix)
        .fetch_all(&mut connection)
        .await
        .doing("list databases")
}

/// Makes the roles and the logins, as often as wanted and by as many at once.
pub(crate) async fn make_logins(server: &str) -> Result<(), Failure> {
    let mut statements = String::new();
    let mut tolerant = |statement: &str| {
        statements.push_str(&format!(
            "DO $$ BEGIN {statement}; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;\n"
        ));
    };
    for role in ROLES {
        // As the service makes them: what a role may become, it does not inherit.
        tolerant(&format!("CREATE ROLE {role} NOLOGIN NOINHERIT"));
    }
    // Who may make roles may not hand out those of others (Postgres 16): the owner finds this done.
    for role in ["arcadia_tenant", "arcadia_operator", "arcadia_editor"] {
        tolerant(&format!("GRANT {role} TO arcadia_api"));
    }
    let options = format!("LOGIN CREATEROLE NOSUPERUSER NOBYPASSRLS PASSWORD '{PASSWORD}'");
    tolerant(&format!("CREATE ROLE {OWNER} {options}"));
    for (login, roles) in LOGINS {
        let options = format!("LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '{PASSWORD}'");
        tolerant(&format!("CREATE ROLE {login} {options}"));
        for role in roles {
            // One that is granted already is only a notice.
            tolerant(&format!("GRANT {role} TO {login}"));
        }
    }
    execute(server, &statements).await
}

/// Statements that only contain names made here.
pub(crate) async fn execute(url: &str, statements: &str) -> Result<(), Failure> {
    let options = PgConnectOptions::from_str(url).doing("read a Postgres URL")?;
    let mut connection: PgConnection = options.connect().await.doing("reach Postgres")?;
    for statement in statements.split_inclusive(";\n") {
        let done = sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await;
        let first = statement.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        done.doing(format!("do {first}"))?;
    }
    connection.close().await.doing("leave Postgres")
}

/// The same database, somebody else.
fn as_login(url: &str, login: &str) -> Result<String, Failure> {
    let mut url = Url::parse(url).doing("read a Postgres URL")?;
    let _ = url.set_username(login);
    let _ = url.set_password(Some(PASSWORD));
    Ok(url.into())
}

/// The same server, another database.
pub(crate) fn with_database(server: &str, name: &str) -> Result<String, Failure> {
    let mut url = Url::parse(server).doing("read a Postgres URL")?;
    url.set_path(name);
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "stack")]
    #[test]
    fn the_roles_are_those_of_the_service() {
        assert_eq!(ROLES, shared::database::ROLES);
    }

    #[test]
    fn urls_keep_everything_but_what_is_changed() {
        let database = Database {
            server: "postgres://p:x@127.0.0.1:5433/postgres".into(),
            name: "a".into(),
        };
        assert_eq!(database.url(), "postgres://p:x@127.0.0.1:5433/a");
        assert_eq!(
            database.url_as("arcadia_sync_login"),
            "postgres://arcadia_sync_login:local@127.0.0.1:5433/a"
        );
        std::mem::forget(database);
    }
}
