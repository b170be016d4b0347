//! The operator's word: whose a resource or a project is, and that a suspicious listing is true after all.
//!
//! For operators, through the API. An edit takes the mirror lock before it reads anything, as every writer does, and
//! becomes `arcadia_editor`, which may do this and nothing else. Each change is one event with the operator's name and
//! reason. It refuses to overwrite what somebody has changed since it was read, and to touch tombstones: history is
//! not edited.

mod project;
mod release;
mod resource;

use chrono::{DateTime, Utc};
use sqlx::{Postgres, Transaction};

use super::read::ReadError;
use super::read::history::Event;
use super::{Actor, Error};
use crate::database::{LockError, Pool, lock_mirror_to_edit};

pub use project::{Classification, classify, classify_project};
pub use release::release;
pub use resource::attribute;

/// Who edits, why, and what they have read before.
#[derive(Clone, Copy, Debug)]
pub struct Edit<'a> {
    /// The operator's subject.
    pub by: &'a str,
    /// For the audit trail.
    pub reason: &'a str,
    /// The versions that the operator would change; `None`: whatever it is.
    pub versions: Option<&'a [i32]>,
    /// The one time of this edit, from the database's clock.
    pub now: DateTime<Utc>,
}

/// What an edit came to.
#[derive(Debug)]
pub struct Edited<T> {
    /// The row as it is now.
    pub row: T,
    /// The audit entry; `None`: it was so already, and nothing was written.
    pub event: Option<Event>,
    /// Other resources that followed, each with an event of its own.
    pub moved: usize,
}

/// Why nothing was edited.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// There is no such thing.
    #[error("there is nothing of this id")]
    Missing,
    /// It is a tombstone.
    #[error("it is deleted, and what is deleted stays as it was")]
    Deleted,
    /// Somebody, or a sync, has changed it since it was read.
    #[error("it is at version {0}")]
    Overtaken(i32),
    /// The kind is not under suspicion.
    #[error("its listing is not suspect")]
    NotSuspect,
    /// Another writer held the mirror for too long.
    #[error("the mirror is busy: another writer held its lock for 20 s")]
    Busy,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] ReadError),
}

impl Edit<'_> {
    fn actor(&self) -> Actor<'_> {
        Actor {
            name: self.by,
            lease: None,
        }
    }

    /// The row is not a tombstone, and nobody was quicker.
    fn check(&self, version: i32, deleted_at: Option<DateTime<Utc>>) -> Result<(), Stop> {
        if deleted_at.is_some() {
            return Err(Stop::Because(EditError::Deleted));
        }
        match self.versions {
            Some(seen) if !seen.contains(&version) => Err(Stop::Because(EditError::Overtaken(version))),
            _ => Ok(()),
        }
    }
}

/// Why an edit ended before its end: a reason of its own, or the database's.
enum Stop {
    Because(EditError),
    Driver(sqlx::Error),
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Stop::Driver(error)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error {
            Error::Driver(error) => Stop::Driver(error),
            Error::Busy => Stop::Because(EditError::Busy),
            // The other errors are those of leases and listings, which an edit has none of.
            other => Stop::Driver(sqlx::Error::Protocol(other.to_string())),
        }
    }
}

impl Stop {
    async fn explained(self, pool: &Pool) -> EditError {
        match self {
            Stop::Because(error) => error,
            Stop::Driver(error) => EditError::Database(ReadError::of(pool, error).await),
        }
    }
}

/// A transaction in which an operator may edit.
async fn enter(pool: &Pool) -> Result<Transaction<'static, Postgres>, Stop> {
    lock_mirror_to_edit(pool).await.map_err(|error| match error {
        LockError::Busy => Stop::Because(EditError::Busy),
        LockError::Driver(error) => Stop::Driver(error),
    })
}
