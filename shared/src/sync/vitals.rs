//! The signs of life of a worker beyond its own report: how old its picture is, and what its token has left.
//!
//! Asked after every run, also of one that failed: those are what it is for. What cannot be had is left out, and
//! whoever watches takes silence for the worst. It sends nothing and writes nothing.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Job, Station, Worker};
use crate::billing;
use crate::inventory::{self, Age};
use crate::kinds::project::PROJECT;
use crate::runs::{self, budget};

/// How a worker is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Age in seconds of the oldest picture that the worker keeps; `None`: it has none, or it could not be read.
    pub age: Option<i64>,
    /// Every kind's own.
    pub ages: Vec<Age>,
    /// Requests that its token has left this hour, by our own count.
    pub requests_left: Option<u32>,
    /// Invoices that are not ingested yet; `None`: the worker has nothing to do with them.
    pub invoices_pending: Option<u32>,
}

/// Takes them. Boxed, so that it is compiled here and not again in every binary.
pub fn vitals<'a>(station: &'a Station, worker: &'static Worker) -> BoxFuture<'a, Vitals> {
    async move {
        let ages = ages(station, worker).await.unwrap_or_default();
        // A kind that was never listed shows nothing that could be old: it is in the blind-spot report.
        let oldest = ages.iter().filter_map(|age| age.seconds).max();
        let age = match oldest {
            None if ages.is_empty() => runs::since_complete(&station.pool, worker.name)
                .await
                .ok()
                .flatten(),
            oldest => oldest,
        };
        let requests_left = match station.client.open(false).await {
            Ok(session) => budget::left(&station.pool, &session.fingerprint()).await.ok(),
            Err(_) => None,
        };
        let invoices_pending = match worker.job {
            Job::Balance | Job::BillingHistory => {
                let waiting = billing::waiting(&station.pool, None).await.ok();
                waiting.and_then(|invoices| u32::try_from(invoices.len()).ok())
            }
            Job::Kinds(_) | Job::Projects => None,
        };
        Vitals {
            age,
            ages,
            requests_left,
            invoices_pending,
        }
    }
    .boxed()
}

async fn ages(station: &Station, worker: &'static Worker) -> Result<Vec<Age>, sqlx::Error> {
    let kinds: Vec<&str> = if let Job::Kinds(kinds) = worker.job {
        kinds.iter().map(|kind| kind.name).collect()
    } else if matches!(worker.job, Job::Projects) {
        vec![PROJECT.name]
    } else {
        Vec::new()
    };
    inventory::ages(&station.pool, &kinds).await
}
