//! `ops backfill`: the whole ledger by hand, with nothing but Postgres and a token.
//!
//! First the run of `sync-billing-history`, as its schedule would start it, without a queue; then each invoice that
//! waits, oldest first, as `ingest-invoice` would take it. Leases keep it apart from deployed workers: what they are at
//! is left to them. One invoice that cannot be had does not stop the others; an hour that is used up does. It shows a bar
//! where there is a terminal, and a line per invoice where there is none.

use std::io::IsTerminal;
use std::time::Duration;

use chrono::NaiveDate;
use indicatif::{ProgressBar, ProgressStyle};
use shared::billing::{self, Backfill, Ingested, Plan};
use shared::config::{Environment, Purpose};
use shared::database;
use shared::secrets::Secrets;
use shared::sync::{self, Order, Report, RunOutcome, Station};

use crate::{End, Trouble, said};

/// What one invoice may take, waiting for the token's minute included.
const PATIENCE: Duration = Duration::from_secs(300);
/// What reading the history, and matching everything again, may take.
const LONG: Duration = Duration::from_secs(3_600);

/// A month as it is typed.
pub(crate) fn month(text: &str) -> Result<NaiveDate, String> {
    NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d")
        .map_err(|_| "not a month such as 2014-01".to_owned())
}

pub(crate) async fn run(backfill: Backfill) -> Result<End, Trouble> {
    let config = Environment::process().by_hand(Purpose::Billing).map_err(said)?;
    let station = Station::set_up(config, Secrets::default()).await.map_err(said)?;
    database::check_schema(&station.pool).await.map_err(said)?;
    let now = database::now(&station.pool).await.map_err(said)?;
    let order = Order {
        backfill: Some(backfill),
        ..Order::default()
    };
    let history = &sync::BILLING_HISTORY;
    let report = if backfill.dry_run {
        sync::rehearse_at(&station, history, order, now).await
    } else {
        sync::run_at(&station, history, order, now, Some(LONG)).await
    };
    if let Some(plan) = report.ledger.as_ref().and_then(|ledger| ledger.plan.as_ref()) {
        tell_plan(plan, backfill.from);
    }
    let invoices = report.ledger.as_ref().and_then(|ledger| ledger.invoices);
    match (&report.error, invoices) {
        (Some(error), _) => return Err(format!("the history cannot be read: {error}")),
        (None, None) => return Err(format!("the history was not read: {}", report.outcome.name())),
        (None, Some(_)) if backfill.dry_run => return Ok(End::Well),
        (None, Some(found)) => println!("{found} invoices in the history"),
    }
    let waiting = billing::waiting(&station.pool, backfill.from)
        .await
        .map_err(said)?;
    ingest(&station, &waiting).await
}

fn tell_plan(plan: &Plan, from: Option<NaiveDate>) {
    let since = from.map_or_else(String::new, |from| format!(" since {}", from.format("%Y-%m")));
    println!(
        "{} invoices{since}: {} ingested, {} quarantined; {} to ingest, for {} requests and {} minutes at least",
        plan.found, plan.ingested, plan.quarantined, plan.to_send, plan.requests, plan.minutes
    );
}

/// What has become of them so far.
#[derive(Default)]
struct Tally {
    ingested: usize,
    lines: u64,
    of_resources: u64,
    matched: u64,
    /// Not ingested, or not whole: each with its reason.
    odd: usize,
}

async fn ingest(station: &Station, waiting: &[String]) -> Result<End, Trouble> {
    let shown = std::io::stderr().is_terminal();
    let bar = if shown {
        let bar = ProgressBar::new(waiting.len() as u64);
        let style = ProgressStyle::with_template("{bar:32} {pos}/{len} invoices, {eta} left  {msg}");
        bar.set_style(style.map_err(said)?);
        bar
    } else {
        ProgressBar::hidden()
    };
    let mut tally = Tally::default();
    for (done, invoice) in waiting.iter().enumerate() {
        let now = database::now(&station.pool).await.map_err(said)?;
        bar.set_message(invoice.clone());
        let report = billing::ingest_at(station, invoice, now, Some(PATIENCE)).await;
        let (line, is_well) = tally.count(invoice, &report);
        if !shown {
            println!("[{}/{}] {line}", done + 1, waiting.len());
        } else if !is_well {
            bar.println(&line);
        }
        bar.inc(1);
        if report.outcome == RunOutcome::RateLimited {
            bar.abandon();
            tally.tell(waiting.len());
            println!("the token has no requests left for now: run it again in an hour, it goes on from here");
            return Ok(End::Badly);
        }
    }
    bar.finish_and_clear();
    tally.tell(waiting.len());
    Ok(if tally.odd == 0 { End::Well } else { End::Badly })
}

impl Tally {
    /// Counts one, and says what there is to say of it.
    fn count(&mut self, invoice: &str, report: &Report) -> (String, bool) {
        let ingested = report.ledger.as_ref().and_then(|ledger| ledger.ingested.as_ref());
        let (said, is_well) = match (ingested, &report.error) {
            (Some(ingested), _) => {
                self.lines += u64::from(ingested.lines);
                self.of_resources += u64::from(ingested.of_resources);
                self.matched += u64::from(ingested.matched);
                told(ingested)
            }
            (None, Some(error)) => (format!("not ingested: {error}"), false),
            // Done or under way elsewhere: a deployed worker was quicker.
            (None, None) => (format!("left to another worker: {}", report.outcome.name()), true),
        };
        if is_well {
            self.ingested += 1;
        } else {
            self.odd += 1;
        }
        (format!("{invoice}: {said}"), is_well)
    }

    fn tell(&self, of: usize) {
        println!(
            "{} of {of} invoices ingested, {} lines, {} of {} that a resource caused are matched, {} need a person",
            self.ingested, self.lines, self.matched, self.of_resources, self.odd
        );
    }
}

fn told(ingested: &Ingested) -> (String, bool) {
    if let Some(reason) = &ingested.reason {
        return (format!("quarantined: {reason}"), false);
    }
    let sums = ingested.reconciliation.unwrap_or("unknown");
    let said = format!("{} lines, {} USD, {sums}", ingested.lines, ingested.total);
    (said, sums != "mismatch")
}
