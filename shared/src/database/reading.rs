//! Reading as somebody: a transaction that shows what a scope may see, and what became of it if it failed.
//!
//! For every read of the API. The role and the tenant are set for one transaction and gone with it. It refuses to
//! write, and to tell callers what the database said.

use sqlx::{AssertSqlSafe, Postgres, Transaction};

use super::{DatabaseError, Pool, explain};
use crate::auth::Scope;

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database is away; asking again later helps.
    #[error(transparent)]
    Away(DatabaseError),
    /// The question is wrong, or the answer is not what the code expects; asking again does not help.
    #[error(transparent)]
    Fault(DatabaseError),
}

impl ReadError {
    /// What a driver's error means to whoever asked.
    pub(crate) async fn of(pool: &Pool, error: sqlx::Error) -> Self {
        match explain(pool, error).await {
            DatabaseError::Driver(sqlx::Error::Database(error)) => {
                // Connection, resources, operator's intervention (timeouts among them), login, missing database.
                let away = error.code().is_some_and(|code| {
                    ["08", "53", "57", "28", "3D", "25P0"]
                        .iter()
                        .any(|class| code.starts_with(class))
                });
                let error = DatabaseError::Driver(sqlx::Error::Database(error));
                if away {
                    Self::Away(error)
                } else {
                    Self::Fault(error)
                }
            }
            error @ DatabaseError::Driver(
                sqlx::Error::Decode(_)
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::Encode(_),
            ) => Self::Fault(error),
            error => Self::Away(error),
        }
    }
}

/// A read-only transaction in which row-level security lets through what the scope may see, and nothing else,
/// whatever the query says. Everything that it needs is one message, and so one round trip.
///
/// # Errors
/// When the database cannot be used.
pub(crate) async fn read_as(
    pool: &Pool,
    scope: &Scope,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let begin = match scope.tenant() {
        None => "BEGIN READ ONLY; SET LOCAL ROLE arcadia_operator".to_owned(),
        Some(tenant) => format!(
            "BEGIN READ ONLY; SET LOCAL ROLE arcadia_tenant; \
             SELECT set_config('app.tenant', convert_from('\\x{}', 'UTF8'), true)",
            hexadecimal(tenant)
        ),
    };
    // A message of several statements takes no parameters. Hexadecimal digits cannot end a literal.
    pool.begin_with(AssertSqlSafe(begin)).await
}

fn hexadecimal(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}
