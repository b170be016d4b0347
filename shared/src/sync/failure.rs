//! Why a run ended early, and what that makes of it.
//!
//! Every job answers with one of these; its class is for alarms and for whoever greps, its sentence for people. It
//! decides nothing else: whether to try again is the next tick's business.

use std::io;

use chrono::{DateTime, SecondsFormat, Utc};

use super::RunOutcome;
use crate::billing;
use crate::database::DatabaseError;
use crate::digitalocean;
use crate::inventory;

/// Why a run ended early. The class is for alarms and for whoever greps.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The mirror refused, or could not write.
    #[error(transparent)]
    Inventory(#[from] inventory::Error),
    /// The ledger refused, or could not be written.
    #[error(transparent)]
    Ledger(#[from] billing::Error),
    /// Upstream refused before anything was listed.
    #[error("{0}")]
    Upstream(#[from] digitalocean::Error),
    /// 401, also after the token was read again.
    #[error("DigitalOcean refuses the token of {0} (401)")]
    Unauthorized(String),
    /// The token may not be used for now.
    #[error("the token has no requests left before {}", .0.to_rfc3339_opts(SecondsFormat::Secs, true))]
    NotBefore(DateTime<Utc>),
    /// This invocation has no time left to wait.
    #[error("there is no time left to wait for the token's rate limit")]
    NoTime,
    /// Somebody else took the lease over.
    #[error("this run's lease was taken over: it writes nothing")]
    Fenced,
    /// The database failed.
    #[error("{0}")]
    Database(#[from] DatabaseError),
    /// There is no thread to write with.
    #[error("there is no thread to write with: {0}")]
    Thread(#[from] io::Error),
    /// The database failed in the middle.
    #[error("database: {0}")]
    Driver(#[from] sqlx::Error),
}

impl Failure {
    /// Whether kinds went unlisted for a reason that the operator has to see beside them.
    pub(super) fn leaves_a_blind_spot(&self) -> bool {
        matches!(
            self,
            Failure::Upstream(_) | Failure::Unauthorized(_) | Failure::NotBefore(_) | Failure::NoTime
        )
    }

    /// Whether other kinds can be synced all the same.
    pub(super) fn is_of_one_kind(&self) -> bool {
        matches!(
            self,
            Failure::Inventory(
                inventory::Error::Contradiction { .. }
                    | inventory::Error::Overtaken(_)
                    // A statement that Postgres refused, which another kind's need not be.
                    | inventory::Error::Driver(sqlx::Error::Database(_))
            )
        )
    }

    pub(super) fn classify(&self) -> (RunOutcome, &'static str) {
        match self {
            Failure::Inventory(inventory::Error::Busy) => (RunOutcome::Busy, "mirror_busy"),
            Failure::Inventory(inventory::Error::Fenced) | Failure::Fenced => (RunOutcome::Failed, "fenced"),
            Failure::Inventory(inventory::Error::Overtaken(_)) => (RunOutcome::Busy, "overtaken"),
            Failure::Inventory(inventory::Error::OtherTeam { .. }) => (RunOutcome::Failed, "other_team"),
            Failure::Inventory(inventory::Error::Contradiction { .. }) => {
                (RunOutcome::Failed, "contradiction")
            }
            Failure::Ledger(error) => match error {
                billing::Error::Driver(_) => (RunOutcome::Failed, "database"),
                billing::Error::Fenced => (RunOutcome::Failed, "fenced"),
                billing::Error::Refused(_) => (RunOutcome::Failed, "unreadable_invoice"),
                billing::Error::Figure(_) => (RunOutcome::Failed, "upstream_malformed"),
                billing::Error::Queue(_) => (RunOutcome::Failed, "queue"),
                billing::Error::Unknown(_) => (RunOutcome::Failed, "unknown_invoice"),
            },
            Failure::Upstream(error) => match error {
                digitalocean::Error::Burst(_) | digitalocean::Error::Exhausted(_) => {
                    (RunOutcome::RateLimited, error.class())
                }
                _ => (RunOutcome::Failed, error.class()),
            },
            Failure::Unauthorized(_) => (RunOutcome::Failed, "unauthorized"),
            Failure::NotBefore(_) | Failure::NoTime => (RunOutcome::RateLimited, "rate_limited"),
            Failure::Thread(_) => (RunOutcome::Failed, "runtime"),
            Failure::Inventory(inventory::Error::Driver(_)) | Failure::Database(_) | Failure::Driver(_) => {
                (RunOutcome::Failed, "database")
            }
        }
    }
}
