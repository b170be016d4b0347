//! COST LEDGER: what DigitalOcean says we owe, every invoice, every line, tied to what caused it.
//!
//! Sole writer of `cloud_balance_snapshots`, `cloud_invoices` and `cloud_cost_lines`. Jobs: the balance (hourly), the
//! history (daily: headers, messages, the running month, matching again), one invoice (per message). The CSV is the
//! ledger and the JSON items know the ids; reading ([`csv`], [`product`], [`reconcile`]) and deciding ([`matching`])
//! are pure. Money is decimal from the first digit to the last: it refuses binary floats, and a lint of sorts in the
//! tests keeps it so.

mod balance;
pub mod correct;
pub mod csv;
mod directory;
pub mod focus;
mod history;
mod ids;
mod ingest;
pub mod items;
mod lines;
pub mod matching;
mod outbox;
pub mod product;
mod queue;
pub mod read;
pub mod reconcile;
mod rematch;
mod store;

use rust_decimal::Decimal;
use serde::Serialize;

pub use history::{Backfill, Plan};
pub use ingest::{INGEST, Ingested, ingest_at};
pub use outbox::waiting;
pub use queue::{Queue, QueueError};

pub(crate) use {balance::run as balance, history::run as history};

/// What the running month goes by, in DigitalOcean's paths and in ours.
pub const PREVIEW: &str = "preview";

/// Why the ledger could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error("database: {0}")]
    Driver(#[from] sqlx::Error),
    /// Somebody else took the lease over.
    #[error("this run's lease was taken over: it writes nothing")]
    Fenced,
    /// An invoice cannot be read.
    #[error("the CSV cannot be read: {0}")]
    Refused(#[from] csv::Refusal),
    /// A figure of DigitalOcean's cannot be read.
    #[error("{0}")]
    Figure(String),
    /// The queue does not take messages.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// There is no such invoice.
    #[error("the invoice {0} is not known")]
    Unknown(String),
}

/// What a run did to the ledger.
#[derive(Debug, Default, Serialize)]
pub struct LedgerReport {
    /// `recorded`, or `known` if DigitalOcean had computed nothing new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<&'static str>,
    /// Invoices in the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoices: Option<usize>,
    /// Those of them that were not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<u64>,
    /// Messages sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<usize>,
    /// The running month.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<Ingested>,
    /// Lines whose resource was found by looking again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rematched: Option<u32>,
    /// The invoice of an ingest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingested: Option<Ingested>,
    /// What a dry run would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
}

/// A figure that DigitalOcean writes as text.
fn figure(name: &str, text: &str) -> Result<Decimal, Error> {
    csv::amount(text.trim()).map_err(|_| Error::Figure(format!("{name} is not an amount")))
}
