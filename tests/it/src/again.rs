//! What comes again byte for byte is not read again, and nothing goes unnoticed for that.
//!
//! One station is one sandbox: it remembers between its runs what listings held. Each test has it remember an account
//! of several pages, changes something behind its back, and lets it run again: upstream, in the database, by another
//! sandbox. Without what is remembered all of this would be seen; so it must be with it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::runs::Tick;
use shared::sync::{self, Report, RunOutcome};
use simulator::{Fault, FaultKind, Scenario};

use crate::invariants;
use crate::stage::{Stage, Stored, station};

/// Three pages, the last one not full.
const VOLUMES: usize = 450;

/// A stage whose station remembers all volumes of its account: it has read them, and has found them again.
async fn remembering() -> Stage {
    let mut stage = Stage::with(Scenario::Empty).await;
    for number in 0..VOLUMES {
        let volume = json!({"name": format!("volume-{number:04}"), "size_gigabytes": 10});
        stage.sim.create("volumes", volume).unwrap();
    }
    let report = stage.run(&sync::VOLUMES).await;
    assert_eq!(report.kinds[0].outcome.discovered as usize, VOLUMES, "{report:?}");
    let before = stage.places().await;
    assert_eq!(next(&mut stage).await, (VOLUMES, 0));
    assert_eq!(stage.places().await, before, "an unchanged row was written");
    stage
}

/// A complete run some minutes later: how many things it saw, and how many events it wrote.
async fn next(stage: &mut Stage) -> (usize, u32) {
    let report = stage.later(15).run(&sync::VOLUMES).await;
    complete(&report)
}

fn complete(report: &Report) -> (usize, u32) {
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    (report.kinds[0].seen, report.kinds[0].outcome.events())
}

/// The id of a volume, by its number.
fn id(stage: &Stage, number: usize) -> String {
    let name = format!("volume-{number:04}");
    let items = stage.sim.items("volumes");
    let item = items.iter().find(|item| item["name"] == name.as_str()).unwrap();
    item["id"].as_str().unwrap().to_owned()
}

async fn row(stage: &Stage, id: &str) -> Stored {
    stage.row("volume", id).await
}

async fn sql(stage: &Stage, statement: &'static str, id: &str) {
    let done = sqlx::query(statement)
        .bind(id)
        .execute(&stage.pool)
        .await
        .unwrap();
    assert_eq!(done.rows_affected(), 1, "{statement}");
}

fn resize(stage: &Stage, id: &str, size: u32) {
    let patch: Value = json!({"size_gigabytes": size});
    stage.sim.change("volumes", id, patch).unwrap();
}

#[tokio::test]
async fn one_that_changes_is_seen_wherever_it_stands() {
    let mut stage = remembering().await;
    for number in [0, 199, 200, 311, 449] {
        let id = id(&stage, number);
        let before = row(&stage, &id).await;
        resize(&stage, &id, 20);
        assert_eq!(next(&mut stage).await, (VOLUMES, 1), "{number}");
        let after = row(&stage, &id).await;
        assert_eq!((after.version, after.updated_at), (before.version + 1, stage.now));
        assert_ne!(after.attrs, before.attrs);
        // What it said before is not what is remembered now.
        assert_eq!(next(&mut stage).await, (VOLUMES, 0), "{number}");
        resize(&stage, &id, 10);
        assert_eq!(next(&mut stage).await, (VOLUMES, 1), "{number}");
        assert_eq!(row(&stage, &id).await.attrs, before.attrs);
    }
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn one_that_is_gone_is_struck_though_all_behind_it_have_moved() {
    let mut stage = remembering().await;
    let gone = id(&stage, 3);
    stage.sim.destroy("volumes", &gone).unwrap();
    let mut history = Vec::new();
    for _ in 0..4 {
        let (seen, events) = next(&mut stage).await;
        let row = row(&stage, &gone).await;
        history.push((seen, events, row.strikes, row.deleted_at.is_some()));
    }
    let left = VOLUMES - 1;
    let expected = [
        (left, 0, 1, false),
        (left, 0, 2, false),
        (left, 1, 3, true),
        (left, 0, 3, true),
    ];
    assert_eq!(history, expected);
    let live = stage.rows("volume").await;
    assert!(live.iter().all(|row| row.provider_id == gone || row.strikes == 0));
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn what_the_database_does_not_hold_is_read_though_it_is_remembered() {
    let mut stage = remembering().await;
    let [forgotten, buried, misread, struck] = [7, 207, 307, 407].map(|number| id(&stage, number));
    let before = row(&stage, &misread).await;
    // A row cannot be taken away, for it has a history; its name can.
    let other = "UPDATE cloud_resources SET provider_id = provider_id || '-other' WHERE provider_id = $1";
    sql(&stage, other, &forgotten).await;
    let tombstone = "UPDATE cloud_resources SET deleted_at = last_seen_at, stale_strike_count = 3,
                            last_struck_at = last_seen_at WHERE provider_id = $1";
    sql(&stage, tombstone, &buried).await;
    let wrong =
        "UPDATE cloud_resources SET content_hash = content_hash + 1, name = 'wrong' WHERE provider_id = $1";
    sql(&stage, wrong, &misread).await;
    let strike = "UPDATE cloud_resources SET stale_strike_count = 2, last_struck_at = last_seen_at WHERE provider_id = $1";
    sql(&stage, strike, &struck).await;
    let report = stage.later(15).run(&sync::VOLUMES).await;
    let outcome = &report.kinds[0].outcome;
    assert_eq!(complete(&report).0, VOLUMES);
    assert_eq!(
        (
            outcome.discovered,
            outcome.restored,
            outcome.updated,
            outcome.cleared,
            outcome.struck
        ),
        (1, 1, 1, 1, 1),
        "{report:?}"
    );
    assert_eq!(row(&stage, &forgotten).await.version, 1);
    assert_eq!(row(&stage, &buried).await.deleted_at, None);
    assert_eq!(row(&stage, &misread).await.name, before.name);
    assert_eq!(row(&stage, &struck).await.strikes, 0);
    assert_eq!(next(&mut stage).await, (VOLUMES, 0));
}

/// It says again what this sandbox remembers, and the mirror holds what another one has read meanwhile.
#[tokio::test]
async fn what_another_sandbox_has_written_counts_and_not_what_is_remembered() {
    let mut stage = remembering().await;
    let changed = id(&stage, 250);
    let before = row(&stage, &changed).await;
    resize(&stage, &changed, 20);
    let other = station(&stage.database, &stage.sim, &[]).await;
    stage.later(15);
    let report = sync::run_at(&other, &sync::VOLUMES, Tick::default(), stage.now, None).await;
    assert_eq!(complete(&report), (VOLUMES, 1));
    resize(&stage, &changed, 10);
    assert_eq!(next(&mut stage).await, (VOLUMES, 1));
    let after = row(&stage, &changed).await;
    assert_eq!((after.version, &after.attrs), (3, &before.attrs));
    invariants::hold(&stage.pool).await;
}

/// A walk that is not whole is not remembered, nor is half of it; a page that has to be asked for again is.
#[tokio::test]
async fn after_a_walk_that_failed_everything_is_still_seen() {
    let mut stage = remembering().await;
    let on = |kind, page| Fault::new(kind).exactly_on("/v2/volumes").page(page);
    let first = id(&stage, 0);
    for (turn, kind) in [
        FaultKind::NotAnArray,
        FaultKind::Status500,
        FaultKind::LyingTotalLow { by: 3 },
    ]
    .into_iter()
    .enumerate()
    {
        let size = 20 + u32::try_from(turn).unwrap();
        let name = kind.name();
        let fault = stage.sim.fault(on(kind, 2));
        resize(&stage, &first, size);
        let report = stage.later(15).run(&sync::VOLUMES).await;
        assert_ne!(report.outcome, RunOutcome::Complete, "{name}: {report:?}");
        assert_eq!(report.kinds[0].outcome.events(), 1, "{name}: {report:?}");
        assert_eq!(report.kinds[0].outcome.struck, 0, "{name}: {report:?}");
        stage.sim.clear_fault(fault);
        // What the page that could not be had says is read now.
        let behind = id(&stage, 250);
        resize(&stage, &behind, size);
        assert_eq!(next(&mut stage).await, (VOLUMES, 1), "{name}");
        assert_eq!(next(&mut stage).await, (VOLUMES, 0), "{name}");
    }
    stage.sim.fault(on(FaultKind::Status503, 2).once());
    let again = id(&stage, 300);
    resize(&stage, &again, 30);
    assert_eq!(next(&mut stage).await, (VOLUMES, 1));
    assert_eq!(next(&mut stage).await, (VOLUMES, 0));
    invariants::hold(&stage.pool).await;
}

/// A run that is dropped while one connection reads and the other writes leaves neither a lock nor half a batch, and
/// what it had taken out of memory is read anew.
#[tokio::test]
async fn a_run_that_is_dropped_on_the_way_leaves_nothing_in_the_way() {
    let mut stage = remembering().await;
    for number in VOLUMES..3_000 {
        let volume = json!({"name": format!("volume-{number:04}"), "size_gigabytes": 10});
        stage.sim.create("volumes", volume).unwrap();
    }
    let mut dropped = 0;
    for turn in 0..12 {
        stage.later(1);
        let time = Duration::from_millis(20 + 15 * turn);
        dropped += usize::from(
            tokio::time::timeout(time, stage.run(&sync::VOLUMES))
                .await
                .is_err(),
        );
        // Nobody has to wait for a lease whose holder is gone.
        sqlx::query("UPDATE sync_runs SET lease_expires_at = started_at WHERE finished_at IS NULL")
            .execute(&stage.pool)
            .await
            .unwrap();
    }
    assert!(dropped > 2, "{dropped} were dropped");
    let begun = Instant::now();
    assert_eq!(next(&mut stage).await.0, 3_000);
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "somebody was in the way"
    );
    assert_eq!(next(&mut stage).await, (3_000, 0));
    assert_eq!(invariants::hold(&stage.pool).await, 3_000);
    // The connections that were written with are gone, and the one that stays holds nothing.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let left: Vec<String> = sqlx::query_scalar(
        "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND usename = 'arcadia_sync_login'",
    )
    .fetch_all(&stage.pool)
    .await
    .unwrap();
    assert_eq!(left, ["idle"]);
}
