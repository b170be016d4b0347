//! JOBS of the mirror: straight lines, no SQL, no HTTP of their own.
//!
//! [`run_at`] is every worker's run: take the lease, do the job, write down what came of it. A job takes no
//! input but the tick, always does the whole comparison, and answers with a [`Report`]. What went wrong is in
//! the report too: a run that failed must be as visible as one that did not.

mod failure;
mod kind;
mod projects;
mod reach;
mod upstream;
mod vitals;
mod workers;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use uuid::Uuid;

use crate::billing::{self, Backfill, LedgerReport, Queue};
use crate::config::WorkerConfig;
use crate::database::{self, DatabaseError, Pool};
use crate::digitalocean::listing::PER_PAGE;
use crate::digitalocean::remembered::Memory;
use crate::digitalocean::{Client, ClientError};
use crate::inventory::{self, Actor, Verdict};
use crate::kinds::Kind;
use crate::kinds::project::PROJECT;
use crate::runs::{self, Clock, Finish, Lease, Refused, Tick};
use crate::secrets::Secrets;
pub(crate) use failure::Failure;
pub(crate) use upstream::{Token, Upstream};

pub use reach::{Reach, Refusal, reach};
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
    /// Where invoices wait to be ingested, once one has been sent there.
    pub queue: OnceLock<Queue>,
    /// What listings held the last time.
    pub memory: Memory,
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
        Ok(Self {
            config,
            pool,
            client,
            queue: OnceLock::new(),
            memory: Memory::default(),
        })
    }
}

/// What became of a run: logged once, stored in `sync_runs`, and the Lambda's result.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which worker.
    pub worker: &'static str,
    /// Its run; `None` if it did not begin.
    pub run_id: Option<Uuid>,
    #[serde(skip)]
    tick: Tick,
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
    /// What was done to the ledger, by workers that keep it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<LedgerReport>,
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

/// What a worker is started with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The firing of a schedule that it answers, if it does.
    pub tick: Tick,
    /// Of `sync-billing-history`: what is to be ingested again.
    pub backfill: Option<Backfill>,
}

impl From<Tick> for Order {
    fn from(tick: Tick) -> Self {
        Self { tick, backfill: None }
    }
}

/// Does one run of a worker. `now` is the one time of the run; `time_left` is what the invocation has, if known.
/// Boxed, so that it is compiled here and not again in every binary.
pub fn run_at<'a>(
    station: &'a Station,
    worker: &'static Worker,
    order: impl Into<Order>,
    now: DateTime<Utc>,
    time_left: Option<Duration>,
) -> BoxFuture<'a, Report> {
    let order = order.into();
    let report = Report::of(worker.name, order.tick);
    under_lease(
        station,
        worker.name,
        report,
        now,
        time_left,
        move |upstream, report| {
            async move {
                let done = (worker.work.0)(upstream, worker, order, report).await;
                if let Err(failure) = &done
                    && failure.leaves_a_blind_spot()
                {
                    blind(upstream, worker, report, &failure.to_string()).await;
                }
                done
            }
            .boxed()
        },
    )
    .boxed()
}

/// What a run of a worker would do now: the same listings, the same plan, written and taken back. It keeps nobody out,
/// leaves no run on record, and makes no project; only the requests that it sends are counted, as everybody's are. What
/// is to be read off something that is not there yet (whose a thing is, before its project is known) it cannot know.
pub fn rehearse_at<'a>(
    station: &'a Station,
    worker: &'static Worker,
    order: impl Into<Order>,
    now: DateTime<Utc>,
) -> BoxFuture<'a, Report> {
    let order = order.into();
    async move {
        let clock = Clock::at(now);
        let mut report = Report::of(worker.name, order.tick);
        let mut upstream = Upstream::new(station, &clock, Lease::rehearsal(&clock), None);
        if let Err(failure) = (worker.work.0)(&mut upstream, worker, order, &mut report).await {
            report.fail(&failure);
        }
        upstream.give_back().await;
        report.requests = upstream.requests();
        report.do_request_id = upstream.last_request_id().map(str::to_owned);
        report.closed(&clock)
    }
    .boxed()
}

/// One piece of work under a lease of its own: begun, done, written down, whatever comes of it.
pub(crate) async fn under_lease<W>(
    station: &Station,
    lease: &str,
    mut report: Report,
    now: DateTime<Utc>,
    time_left: Option<Duration>,
    work: W,
) -> Report
where
    W: for<'u, 's> FnOnce(&'u mut Upstream<'s>, &'u mut Report) -> BoxFuture<'u, Result<(), Failure>> + Send,
{
    let clock = Clock::at(now);
    let tick = report.tick;
    let lease = match runs::begin(&station.pool, lease, tick, &clock, station.config.lease).await {
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
    if let Err(failure) = work(&mut upstream, &mut report).await {
        report.fail(&failure);
    }
    upstream.give_back().await;
    report.requests = upstream.requests();
    report.do_request_id = upstream.last_request_id().map(str::to_owned);
    let report = report.closed(&clock);
    close(station, &clock, upstream.into_lease(), &report).await;
    report
}

/// The job of workers that keep kinds.
fn kinds<'u>(
    upstream: &'u mut Upstream<'_>,
    worker: &'static Worker,
    _: Order,
    report: &'u mut Report,
) -> BoxFuture<'u, Result<(), Failure>> {
    async move {
        let Job::Kinds(kinds) = worker.job else {
            return Ok(());
        };
        let sizes = inventory::sizes(&upstream.station().pool, kinds).await?;
        upstream.expect(1 + kinds.iter().map(|kind| requests(kind, &sizes)).sum::<usize>());
        let token = upstream.open().await?;
        for kind in kinds {
            let size = sizes.get(kind.name).copied().unwrap_or(0);
            match kind::sync(upstream, &token, worker, kind, size).await {
                Ok(done) => report.add(done),
                // The others are none the worse for it.
                Err(failure) if failure.is_of_one_kind() && kinds.len() > 1 => {
                    report.fail(&failure);
                    report.notes.push(format!("{}: {failure}", kind.name));
                    unlisted(upstream, worker, report, kind, &failure.to_string()).await;
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }
    .boxed()
}

/// The job of `sync-projects`.
fn projects<'u>(
    upstream: &'u mut Upstream<'_>,
    worker: &'static Worker,
    _: Order,
    report: &'u mut Report,
) -> BoxFuture<'u, Result<(), Failure>> {
    async move {
        let token = upstream.open().await?;
        projects::sync(upstream, &token, worker, report).await
    }
    .boxed()
}

/// The job of `sync-balance`.
fn balance<'u>(
    upstream: &'u mut Upstream<'_>,
    _: &'static Worker,
    _: Order,
    report: &'u mut Report,
) -> BoxFuture<'u, Result<(), Failure>> {
    async move {
        let token = upstream.open().await?;
        billing::balance(upstream, &token, report).await
    }
    .boxed()
}

/// The job of `sync-billing-history`.
fn billing_history<'u>(
    upstream: &'u mut Upstream<'_>,
    _: &'static Worker,
    order: Order,
    report: &'u mut Report,
) -> BoxFuture<'u, Result<(), Failure>> {
    async move {
        let token = upstream.open().await?;
        billing::history(upstream, &token, order.backfill, report).await
    }
    .boxed()
}

/// Requests that listing a kind will take, if it is as large as it was the last time.
fn requests(kind: &Kind, sizes: &BTreeMap<String, usize>) -> usize {
    let items = sizes.get(kind.name).copied().unwrap_or(0);
    items.div_ceil(PER_PAGE as usize).max(1) + kind.listings.len().saturating_sub(1)
}

/// Remembers of every kind that was not listed why it was not: what cannot be seen is said, too.
async fn blind(upstream: &Upstream<'_>, worker: &'static Worker, report: &mut Report, reason: &str) {
    let kinds: &[&'static Kind] = match worker.job {
        Job::Kinds(kinds) => kinds,
        Job::Projects => &[&PROJECT],
        Job::Balance | Job::BillingHistory => return,
    };
    for kind in kinds {
        if !report.kinds.iter().any(|done| done.kind == kind.name) {
            unlisted(upstream, worker, report, kind, reason).await;
        }
    }
}

/// Remembers why one kind was not listed.
async fn unlisted(
    upstream: &Upstream<'_>,
    worker: &'static Worker,
    report: &mut Report,
    kind: &'static Kind,
    reason: &str,
) {
    let actor = Actor {
        name: worker.name,
        lease: Some(upstream.lease()),
    };
    let (pool, now) = (&upstream.station().pool, upstream.now());
    if let Err(error) = inventory::note_unlisted(pool, actor, kind, reason, now).await {
        let unwritten = format!("the marker of {} was not written: {error}", kind.name);
        report.notes.push(unwritten);
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
            "kinds": report.kinds, "settled": report.settled, "ledger": report.ledger, "notes": report.notes, "requests": report.requests
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
    /// Of work that has not begun.
    pub(crate) fn of(worker: &'static str, tick: Tick) -> Self {
        Self {
            worker,
            run_id: None,
            tick,
            scheduled_for: tick.scheduled_for,
            attempt: None,
            outcome: RunOutcome::Complete,
            kinds: Vec::new(),
            settled: None,
            ledger: None,
            notes: Vec::new(),
            requests: 0,
            elapsed_ms: 0,
            error_class: None,
            error: None,
            do_request_id: None,
        }
    }

    /// A run that could not even ask what time it is.
    pub fn failed(worker: &'static str, tick: Tick, class: &'static str, error: String) -> Self {
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

    /// Something was not read whole; the next run does the whole comparison again.
    pub(crate) fn incomplete(&mut self, note: String) {
        self.outcome = worse(self.outcome, Verdict::Incomplete);
        self.notes.push(note);
    }

    pub(crate) fn fail(&mut self, failure: &Failure) {
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
