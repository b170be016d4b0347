//! Reading as somebody: a transaction that shows what a scope may see, and what became of it if it failed.
//!
//! For every read of the API. The role and the tenant are set for one transaction and gone with it. It refuses to
//! write, and to tell callers what the database said.

use sqlx::{Postgres, Transaction};

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
/// whatever the query says. It begins in one message; the tenant is a parameter of a second one, never text of a statement.
///
/// # Errors
/// When the database cannot be used.
pub(crate) async fn read_as(
    pool: &Pool,
    scope: &Scope,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let Some(tenant) = scope.tenant() else {
        return pool
            .begin_with("BEGIN READ ONLY; SET LOCAL ROLE arcadia_operator")
            .await;
    };
    let mut transaction = pool
        .begin_with("BEGIN READ ONLY; SET LOCAL ROLE arcadia_tenant")
        .await?;
    sqlx::query_scalar!("SELECT set_config('app.tenant', $1, true)", tenant)
        .fetch_one(&mut *transaction)
        .await?;
    Ok(transaction)
}
