//! `ops sync`: runs of workers, as their schedules would start them, told as a table.
//!
//! The run is the same in everything, lease and record included, so it may be started beside the deployed workers: of
//! two at once, one says that the other is at work. It makes the bootstrap project too, unless `BOOTSTRAP_PROJECT` is
//! set and empty. A dry run is the same work, taken back at the end: it needs no lease and leaves nothing behind.

use shared::config::Environment;
use shared::database;
use shared::inventory::Outcome;
use shared::kinds::project::PROJECT;
use shared::runs::Tick;
use shared::secrets::Secrets;
use shared::sync::{self, Job, Report, RunOutcome, Station, WORKERS, Worker};

use crate::{End, Trouble, said};

pub(crate) async fn run(what: &[String], dry: bool) -> Result<End, Trouble> {
    let mut workers: Vec<&'static Worker> = Vec::new();
    for word in what {
        let found = named(word);
        if found.is_empty() {
            let mut names: Vec<&str> = WORKERS.iter().map(|worker| worker.name).collect();
            names.sort_unstable();
            eprintln!(
                "ops: {word} is neither a kind that is listed nor a worker; workers: {}",
                names.join(", ")
            );
            return Ok(End::Refused);
        }
        for worker in found {
            if !workers.iter().any(|known| known.name == worker.name) {
                workers.push(worker);
            }
        }
    }
    let ledger = workers
        .iter()
        .find(|worker| matches!(worker.job, Job::Balance | Job::BillingHistory));
    if let Some(worker) = ledger.filter(|_| dry) {
        eprintln!(
            "ops: {} keeps no kind; what a backfill would do: ops backfill --dry-run",
            worker.name
        );
        return Ok(End::Refused);
    }
    let mut end = End::Well;
    let secrets = Secrets::default();
    for worker in workers {
        let report = one(worker, &secrets, dry).await?;
        tell(&report, dry);
        if !matches!(report.outcome, RunOutcome::Complete) {
            end = End::Badly;
        }
    }
    Ok(end)
}

/// The workers that a word means; `all` are those of the mirror, which need nothing but a database and a token.
fn named(word: &str) -> Vec<&'static Worker> {
    let mirrors = |worker: &Worker| matches!(worker.job, Job::Kinds(_) | Job::Projects);
    let keeps = |worker: &Worker| match worker.job {
        Job::Kinds(kinds) => kinds.iter().any(|kind| kind.name == word),
        _ => word == PROJECT.name && worker.name == sync::PROJECTS.name,
    };
    let meant = |worker: &&&'static Worker| {
        (word == "all" && mirrors(worker)) || worker.name == word || keeps(worker)
    };
    WORKERS.iter().filter(meant).copied().collect()
}

async fn one(worker: &'static Worker, secrets: &Secrets, dry: bool) -> Result<Report, Trouble> {
    let config = Environment::process().worker(worker.purpose).map_err(said)?;
    let station = Station::set_up(config, secrets.clone()).await.map_err(said)?;
    database::check_schema(&station.pool).await.map_err(said)?;
    let now = database::now(&station.pool).await.map_err(said)?;
    Ok(if dry {
        sync::rehearse_at(&station, worker, Tick::default(), now).await
    } else {
        sync::run_at(&station, worker, Tick::default(), now, None).await
    })
}

fn tell(report: &Report, dry: bool) {
    println!(
        "{}{}: {} in {} ms, {} requests",
        report.worker,
        if dry { " (dry run: nothing is kept)" } else { "" },
        report.outcome.name(),
        report.elapsed_ms,
        report.requests
    );
    for kind in &report.kinds {
        println!(
            "  {:<22} {:<10} {:>6} seen{}",
            kind.kind,
            kind.outcome.verdict.name(),
            kind.seen,
            changes(&kind.outcome)
        );
        if let Some(reason) = &kind.outcome.reason {
            println!("    {reason}");
        }
    }
    for note in &report.notes {
        println!("  note: {note}");
    }
    if let Some(error) = &report.error {
        println!("  {}: {error}", report.error_class.unwrap_or("error"));
    }
}

/// What was done, without what was not.
fn changes(outcome: &Outcome) -> String {
    [
        ("discovered", outcome.discovered),
        ("updated", outcome.updated),
        ("tagged", outcome.tagged),
        ("restored", outcome.restored),
        ("struck", outcome.struck),
        ("cleared", outcome.cleared),
        ("deleted", outcome.deleted),
        ("contradicted", outcome.contradicted),
        ("held", outcome.held),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(word, count)| format!(", {count} {word}"))
    .collect()
}
