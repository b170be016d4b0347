//! Reading as somebody: a transaction that shows what a scope may see, and what became of it if it failed.
//!
//! For every read of the API. The role and the tenant are set for one transaction and gone with it. A read waits for
//! the database as seldom as it can: the message that begins it also shows whether the connection is alive, and its end
//! is sent before there is an answer, but not waited for (decision 22). It refuses to write, to use a connection again
//! whose transaction was not ended in order, and to tell callers what the database said.

use std::future::{Future, poll_fn};
use std::ops::{Deref, DerefMut};
use std::task::Poll;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};
use tokio::task::coop::unconstrained;
use tokio::time::timeout;

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

/// How long a connection may take to begin or to end: as long as the pool waits for one.
const PATIENCE: Duration = Duration::from_secs(5);

/// A read-only transaction in which row-level security lets through what the scope may see, and nothing else,
/// whatever the query says. Questions are asked of it as of a connection; then it is to be [ended](Reading::end).
pub(crate) struct Reading {
    connection: PoolConnection<Postgres>,
    /// Role and tenant are gone, and the connection is as it was.
    ended: bool,
}

impl Reading {
    /// Begins it. Nothing else has been sent on this connection yet: whoever has another one may begin there instead.
    async fn begin(
        connection: PoolConnection<Postgres>,
        statement: &'static str,
    ) -> Result<Self, sqlx::Error> {
        let mut reading = Self {
            connection,
            ended: false,
        };
        let begun = timeout(PATIENCE, sqlx::raw_sql(statement).execute(&mut *reading)).await;
        begun.map_err(|_| sqlx::Error::PoolTimedOut)??;
        Ok(reading)
    }

    /// Ends it: the word is on its way when this returns, so that a sandbox that is frozen with its answer leaves no
    /// transaction open. What Postgres says to it is read while the answer is sent; only then is the connection used
    /// again. Every row must have been read: the word waits behind those that are still to come.
    pub(crate) async fn end(self) {
        // Unconstrained: no budget of the runtime's may hold the word back.
        let mut ending = Box::pin(unconstrained(self.ended()));
        let first = poll_fn(|context| Poll::Ready(ending.as_mut().poll(context))).await;
        if first.is_pending() {
            tokio::spawn(ending);
        }
    }

    async fn ended(mut self) {
        // A sandbox that was frozen here may wait for an answer that has long been lost.
        let said = timeout(PATIENCE, sqlx::raw_sql("ROLLBACK").execute(&mut *self)).await;
        self.ended = matches!(said, Ok(Ok(_)));
    }
}

impl Drop for Reading {
    /// Whatever was not ended in order takes its connection with it: nothing of one caller is left for the next.
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Reading {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Reading {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

/// Begins to read as the scope: in one message, and the tenant is a parameter of a second one, never text of a
/// statement. A connection that died while the sandbox was frozen is noticed by the first, and another one is opened.
///
/// # Errors
/// When the database cannot be used.
pub(crate) async fn read_as(pool: &Pool, scope: &Scope) -> Result<Reading, sqlx::Error> {
    let statement = match scope.tenant() {
        None => "BEGIN READ ONLY; SET LOCAL ROLE arcadia_operator",
        Some(_) => "BEGIN READ ONLY; SET LOCAL ROLE arcadia_tenant",
    };
    // Of the connection that is there, without the pool's own question whether it is alive.
    let begun = match pool.try_acquire() {
        Some(used) => Some(Reading::begin(used, statement).await),
        None => None,
    };
    let mut reading = match begun {
        Some(Ok(reading)) => reading,
        // It says nothing at all: a new one would hardly do better.
        Some(Err(error @ sqlx::Error::PoolTimedOut)) => return Err(error),
        Some(Err(_)) | None => Reading::begin(pool.acquire().await?, statement).await?,
    };
    if let Some(tenant) = scope.tenant() {
        sqlx::query_scalar!("SELECT set_config('app.tenant', $1, true)", tenant)
            .fetch_one(&mut *reading)
            .await?;
    }
    Ok(reading)
}
