//! JOBS of the mirror: straight lines, no SQL, no HTTP of their own.
//!
//! [`run_at`] is every worker's run: take the lease, do the job, write down what came of it. A job takes no
//! input but the tick, always does the whole comparison, and answers with a [`Report`]. What went wrong is in
//! the report too: a run that failed must be as visible as one that did not.

mod kind;
mod projects;
mod upstream;
mod vitals;
mod workers;

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use uuid::Uuid;

use crate::config::WorkerConfig;
use crate::database::{self, DatabaseError, Pool};
use crate::digitalocean::{self, Client, ClientError};
use crate::inventory::{self, Actor, Verdict};
use crate::kinds::Kind;
use crate::kinds::project::PROJECT;
use crate::runs::{self, Clock, Finish, Lease, Refused, Tick};
use crate::secrets::Secrets;
use upstream::Upstream;

pub use vitals::{Vitals, vitals};
pub use workers::*;

/// What a worker keeps between runs: made once per sandbox.
pub struct Station {
    /// Settings.
    pub config: WorkerConfig,
    /// The database.
    pub pool: Pool,
    /// Upstream, with this purpose's token.
    pub client: Client,
}

/// A station could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// The database's address could not be had.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// No HTTP client.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Station {
    /// Reads secrets and makes the pool and the client; connects to nothing yet.
    ///
    /// # Errors
    /// When a secret cannot be read or TLS cannot be set up.
    pub async fn set_up(config: WorkerConfig, secrets: Secrets) -> Result<Self, SetUpError> {
        let pool = database::pool(database::options(&config.database, &secrets).await?);
        let client = Client::new(&config.digitalocean, secrets)?;
        Ok(Self { config, pool, client })
    }
}

/// What became of a run: logged once, stored in `sync_runs`, and the Lambda's result.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which worker.
    pub worker: &'static str,
    /// Its run; `None` if it did not begin.
    pub run_id: Option<Uuid>,
    /// The tick it was for.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// Which attempt at that tick.
    pub attempt: Option<i32>,
    /// One word.
    pub outcome: RunOutcome,
    /// What became of each kind.
    pub kinds: Vec<KindReport>,
    /// What the membership pass did, if this worker does one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settled: Option<inventory::Settled>,
    /// Things worth knowing that did not stop the run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Requests sent to DigitalOcean.
    pub requests: u32,
    /// What the run took, in milliseconds.
    pub elapsed_ms: u64,
    /// Class of the error, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_class: Option<&'static str>,
    /// The error in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// DigitalOcean's name for the last request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub do_request_id: Option<String>,
}

/// One word for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Every kind was listed whole and believed.
    Complete,
    /// At least one was not listed whole.
    Incomplete,
    /// At least one is missing too much to be believed.
    Suspect,
    /// At least one may not be read with this token.
    Unreadable,
    /// Somebody else is at work; the next tick does it.
    Busy,
    /// The token has no requests left for now.
    RateLimited,
    /// Something is broken: see the error.
    Failed,
    /// Did not begin: the tick was too old.
    Stale,
    /// Did not begin: the tick had been done.
    Done,
}

impl RunOutcome {
    /// The word in logs and in `sync_runs`.
    pub fn name(self) -> &'static str {
        match self {
            RunOutcome::Complete => "complete",
            RunOutcome::Incomplete => "incomplete",
            RunOutcome::Suspect => "suspect",
            RunOutcome::Unreadable => "unreadable",
            RunOutcome::Busy => "busy",
            RunOutcome::RateLimited => "rate_limited",
            RunOutcome::Failed => "failed",
            RunOutcome::Stale => "stale",
            RunOutcome::Done => "done",
        }
    }
}

/// What became of one kind.
#[derive(Debug, Serialize)]
pub struct KindReport {
    /// Its name.
    pub kind: &'static str,
    /// Items read, each listing for itself.
    pub seen: usize,
    /// What was done about them.
    #[serde(flatten)]
    pub outcome: inventory::Outcome,
}

/// Why a run ended early. The class is for alarms and for whoever greps.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The mirror refused, or could not write.
    #[error(transparent)]
    Inventory(#[from] inventory::Error),
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
    /// The database failed in the middle.
    #[error("database: {0}")]
    Driver(#[from] sqlx::Error),
}

impl Failure {
    /// Whether kinds went unlisted for a reason that the operator has to see beside them.
    fn leaves_a_blind_spot(&self) -> bool {
        matches!(
            self,
            Failure::Upstream(_) | Failure::Unauthorized(_) | Failure::NotBefore(_) | Failure::NoTime
        )
    }

    /// Whether other kinds can be synced all the same.
    fn is_of_one_kind(&self) -> bool {
        matches!(
            self,
            Failure::Inventory(inventory::Error::Contradiction { .. } | inventory::Error::Overtaken(_))
        )
    }

    fn classify(&self) -> (RunOutcome, &'static str) {
        match self {
            Failure::Inventory(inventory::Error::Busy) => (RunOutcome::Busy, "mirror_busy"),
            Failure::Inventory(inventory::Error::Fenced) | Failure::Fenced => (RunOutcome::Failed, "fenced"),
            Failure::Inventory(inventory::Error::Overtaken(_)) => (RunOutcome::Busy, "overtaken"),
            Failure::Inventory(inventory::Error::OtherTeam { .. }) => (RunOutcome::Failed, "other_team"),
            Failure::Inventory(inventory::Error::Contradiction { .. }) => {
                (RunOutcome::Failed, "contradiction")
            }
            Failure::Upstream(error) => match error {
                digitalocean::Error::Burst(_) | digitalocean::Error::Exhausted(_) => {
                    (RunOutcome::RateLimited, error.class())
                }
                _ => (RunOutcome::Failed, error.class()),
            },
            Failure::Unauthorized(_) => (RunOutcome::Failed, "unauthorized"),
            Failure::NotBefore(_) | Failure::NoTime => (RunOutcome::RateLimited, "rate_limited"),
            Failure::Inventory(inventory::Error::Driver(_)) | Failure::Database(_) | Failure::Driver(_) => {
                (RunOutcome::Failed, "database")
            }
        }
    }
}

/// Does one run of a worker. `now` is the one time of the run; `time_left` is what the invocation has, if known.
/// Boxed, so that it is compiled here and not again in every binary.
pub fn run_at<'a>(
    station: &'a Station,
    worker: &'static Worker,
    tick: Tick,
    now: DateTime<Utc>,
    time_left: Option<Duration>,
) -> BoxFuture<'a, Report> {
    async move {
        let clock = Clock::at(now);
        let mut report = Report::of(worker, tick);
        let begun = runs::begin(&station.pool, worker.name, tick, &clock, station.config.lease).await;
        let lease = match begun {
            Ok(Ok(lease)) => lease,
            Ok(Err(refused)) => {
                report.outcome = match refused {
                    Refused::Stale => RunOutcome::Stale,
                    Refused::Busy => RunOutcome::Busy,
                    Refused::Done => RunOutcome::Done,
                };
                return report.closed(&clock);
            }
            Err(error) => {
                report.fail(&Failure::Driver(error));
                return report.closed(&clock);
            }
        };
        report.run_id = Some(lease.run_id());
        report.attempt = Some(lease.attempt());
        let mut upstream = Upstream::new(station, &clock, lease, time_left);
        if let Err(failure) = work(&mut upstream, worker, &mut report).await {
            report.fail(&failure);
            if failure.leaves_a_blind_spot() {
                blind(&upstream, worker, &mut report, &failure.to_string()).await;
            }
        }
        report.requests = upstream.requests();
        report.do_request_id = upstream.last_request_id().map(str::to_owned);
        let report = report.closed(&clock);
        close(station, &clock, upstream.into_lease(), &report).await;
        report
    }
    .boxed()
}

async fn work(
    upstream: &mut Upstream<'_>,
    worker: &'static Worker,
    report: &mut Report,
) -> Result<(), Failure> {
    let token = upstream.open().await?;
    match worker.job {
        Job::Projects => projects::sync(upstream, &token, worker, report).await,
        Job::Kinds(kinds) => {
            for kind in kinds {
                match kind::sync(upstream, &token, worker, kind).await {
                    Ok(done) => report.add(done),
                    // The others are none the worse for it.
                    Err(failure) if failure.is_of_one_kind() && kinds.len() > 1 => {
                        report.fail(&failure);
                        report.notes.push(format!("{}: {failure}", kind.name));
                    }
                    Err(failure) => return Err(failure),
                }
            }
            Ok(())
        }
    }
}

/// Remembers of every kind that was not listed why it was not: what cannot be seen is said, too.
async fn blind(upstream: &Upstream<'_>, worker: &'static Worker, report: &mut Report, reason: &str) {
    let kinds: &[&'static Kind] = match worker.job {
        Job::Kinds(kinds) => kinds,
        Job::Projects => &[&PROJECT],
    };
    let actor = Actor {
        name: worker.name,
        lease: Some(upstream.lease()),
    };
    for kind in kinds {
        if report.kinds.iter().any(|done| done.kind == kind.name) {
            continue;
        }
        if let Err(error) =
            inventory::note_unlisted(&upstream.station().pool, actor, kind, reason, upstream.now()).await
        {
            report
                .notes
                .push(format!("the marker of {} was not written: {error}", kind.name));
        }
    }
}

/// The run's word is that of its worst kind.
fn worse(outcome: RunOutcome, verdict: Verdict) -> RunOutcome {
    let rank = |outcome| match outcome {
        RunOutcome::Complete => 0,
        RunOutcome::Incomplete => 1,
        RunOutcome::Unreadable => 2,
        RunOutcome::Suspect => 3,
        _ => 4,
    };
    let other = match verdict {
        Verdict::Complete => RunOutcome::Complete,
        Verdict::Incomplete => RunOutcome::Incomplete,
        Verdict::Suspect => RunOutcome::Suspect,
        Verdict::Unreadable => RunOutcome::Unreadable,
    };
    if rank(other) > rank(outcome) {
        other
    } else {
        outcome
    }
}

async fn close(station: &Station, clock: &Clock, lease: Lease, report: &Report) {
    let finish = Finish {
        outcome: report.outcome.name(),
        counts: serde_json::json!({
            "kinds": report.kinds, "settled": report.settled, "notes": report.notes, "requests": report.requests
        }),
        error_class: report.error_class,
        error_message: report.error.as_deref(),
        do_request_id: report.do_request_id.as_deref(),
    };
    if let Err(error) = lease.finish(&station.pool, clock, &finish).await {
        // Nothing is lost: the lease expires by itself, and the next tick does the whole comparison again.
        tracing::warn!(worker = report.worker, run_id = ?report.run_id, %error, "the run's end was not written");
    }
}

impl Report {
    fn of(worker: &'static Worker, tick: Tick) -> Self {
        Self {
            worker: worker.name,
            run_id: None,
            scheduled_for: tick.scheduled_for,
            attempt: None,
            outcome: RunOutcome::Complete,
            kinds: Vec::new(),
            settled: None,
            notes: Vec::new(),
            requests: 0,
            elapsed_ms: 0,
            error_class: None,
            error: None,
            do_request_id: None,
        }
    }

    /// A run that could not even ask what time it is.
    pub fn failed(worker: &'static Worker, tick: Tick, class: &'static str, error: String) -> Self {
        let mut report = Self::of(worker, tick);
        report.outcome = RunOutcome::Failed;
        report.error_class = Some(class);
        report.error = Some(error);
        report
    }

    fn add(&mut self, done: KindReport) {
        self.outcome = worse(self.outcome, done.outcome.verdict);
        self.kinds.push(done);
    }

    fn fail(&mut self, failure: &Failure) {
        let (outcome, class) = failure.classify();
        self.outcome = outcome;
        self.error_class = Some(class);
        self.error = Some(failure.to_string());
    }

    fn closed(mut self, clock: &Clock) -> Self {
        self.elapsed_ms = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        self
    }
}
