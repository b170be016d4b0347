//! Each tick once, one run at a time, and nothing for a tick that nobody waits for any more.
//!
//! EventBridge delivers ticks twice, late, out of order, and after an outage all at once. A tick counts when it
//! is finished: a failed or dead run of it is done again, a finished one never.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use shared::runs::{self, Clock, Tick};
use shared::sync::{self, DROPLETS, Report, RunOutcome, Station};
use simulator::{Fault, FaultKind, Scenario};
use sqlx::Row;

use crate::stage::{self, Stage};

/// A small account: these tests are about runs, not about droplets.
async fn small() -> Stage {
    let stage = Stage::with(Scenario::Empty).await;
    for name in ["a", "b", "c"] {
        stage.sim.create("droplets", json!({"name": name})).unwrap();
    }
    stage
}

fn tick(at: DateTime<Utc>) -> Tick {
    Tick {
        scheduled_for: Some(at),
        max_age: None,
    }
}

async fn deliver(stage: &Stage, tick: Tick) -> Report {
    sync::run_at(&stage.station, &DROPLETS, tick, stage.now, None).await
}

/// Outcomes of all runs, oldest first.
async fn outcomes(stage: &Stage) -> Vec<(String, i32)> {
    let rows = sqlx::query("SELECT COALESCE(outcome, 'running'), attempt FROM sync_runs ORDER BY fence")
        .fetch_all(&stage.pool)
        .await
        .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

async fn starts(rounds: i64) {
    let mut stage = small().await;
    let stations: Vec<Station> =
        join_all((0..10).map(|_| stage::station(&stage.database, &stage.sim, &[]))).await;
    for round in 0..rounds {
        stage.later(1);
        let runs = (0..50).map(|n| {
            let station = &stations[n % stations.len()];
            sync::run_at(station, &DROPLETS, tick(stage.now), stage.now, None)
        });
        let reports = join_all(runs).await;
        let begun: Vec<_> = reports.iter().filter(|report| report.run_id.is_some()).collect();
        assert_eq!(begun.len(), 1, "round {round}: {begun:?}");
        assert_eq!(begun[0].outcome, RunOutcome::Complete, "{begun:?}");
        let refused = [RunOutcome::Complete, RunOutcome::Busy, RunOutcome::Done];
        assert!(reports.iter().all(|report| refused.contains(&report.outcome)));
        assert_eq!(deliver(&stage, tick(stage.now)).await.outcome, RunOutcome::Done);
    }
    assert_eq!(
        outcomes(&stage).await,
        vec![("complete".to_owned(), 1); usize::try_from(rounds).unwrap()]
    );
}

#[tokio::test]
async fn of_fifty_starts_at_once_exactly_one_proceeds() {
    starts(10).await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_of_fifty_starts_at_once_exactly_one_proceeds() {
    starts(100).await;
}

async fn deliveries(ticks: i64) {
    let mut stage = small().await;
    let first = stage.now;
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    // Each tick one to five times, up to ten minutes late, in any order.
    let mut all: Vec<(i64, i64)> = Vec::new();
    for minute in 0..ticks {
        for _ in 0..rng.random_range(1..=5) {
            all.push((minute + rng.random_range(0..10), minute));
        }
    }
    all.shuffle(&mut rng);
    all.sort_by_key(|(delivered, _)| *delivered);
    let gone = stage.droplet("b");
    let mut done = 0;
    for (delivered, minute) in all {
        stage.now = first + TimeDelta::minutes(delivered);
        if minute == 3 {
            drop(stage.sim.destroy("droplets", &gone));
        }
        let report = deliver(&stage, tick(first + TimeDelta::minutes(minute))).await;
        match report.outcome {
            RunOutcome::Complete => done += 1,
            other => assert_eq!(other, RunOutcome::Done, "{report:?}"),
        }
    }
    assert_eq!(done, ticks, "runs for {ticks} ticks");
    let twice: i64 = sqlx::query_scalar("SELECT count(*) - count(DISTINCT scheduled_for) FROM sync_runs")
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    assert_eq!(twice, 0);
    let row = stage.row("droplet", &gone).await;
    assert_eq!(stage.events(row.id).await, ["discovered", "deleted"]);
    let (struck, dead) = (row.last_seen_at, row.deleted_at.unwrap());
    assert!(
        dead - struck >= TimeDelta::minutes(20),
        "buried after {}",
        dead - struck
    );
}

#[tokio::test]
async fn a_tick_counts_once_however_it_is_delivered() {
    deliveries(100).await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_a_tick_counts_once_however_it_is_delivered() {
    deliveries(1_000).await;
}

#[tokio::test]
async fn a_stale_tick_is_dropped_without_a_trace() {
    let stage = small().await;
    let old = Tick {
        scheduled_for: Some(stage.now - TimeDelta::seconds(901)),
        max_age: Some(Duration::from_secs(900)),
    };
    let report = deliver(&stage, old).await;
    assert_eq!((report.outcome, report.run_id), (RunOutcome::Stale, None));
    assert!(outcomes(&stage).await.is_empty());
    assert!(stage.sim.requests().is_empty());
}

#[tokio::test]
async fn a_backlog_of_a_day_is_one_run_at_most() {
    for (period, delay, executed) in [(60, 20, 1), (900, 20, 1), (900, 2_000, 0)] {
        let mut stage = small().await;
        let newest = stage.now;
        stage.now += TimeDelta::seconds(delay);
        let mut ran = 0;
        let mut backlog: Vec<i64> = (0..86_400 / period).collect();
        backlog.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
        // The outage ended `delay` seconds after the last tick; of the long one, ticks were missed since.
        for back in backlog {
            let tick = Tick {
                scheduled_for: Some(newest - TimeDelta::seconds(back * period)),
                max_age: Some(Duration::from_secs(period.unsigned_abs())),
            };
            let report = deliver(&stage, tick).await;
            match report.outcome {
                RunOutcome::Complete => ran += 1,
                other => assert_eq!(other, RunOutcome::Stale, "{report:?}"),
            }
        }
        assert_eq!(ran, executed, "every {period} s, {delay} s after the last");
    }
}

#[tokio::test]
async fn a_failed_tick_is_done_again_and_a_finished_one_is_not() {
    let mut stage = small().await;
    let at = stage.now;
    stage
        .sim
        .fault(Fault::new(FaultKind::LostScope403).on("/v2/account"));
    let report = deliver(&stage, tick(at)).await;
    assert_eq!(
        (report.outcome, report.attempt),
        (RunOutcome::Failed, Some(1)),
        "{report:?}"
    );
    stage.sim.clear_faults();
    let report = deliver(stage.later(1), tick(at)).await;
    assert_eq!(
        (report.outcome, report.attempt),
        (RunOutcome::Complete, Some(2)),
        "{report:?}"
    );
    let report = deliver(stage.later(1), tick(at)).await;
    assert_eq!((report.outcome, report.run_id), (RunOutcome::Done, None));
    let expected = [("failed".to_owned(), 1), ("complete".to_owned(), 2)];
    assert_eq!(outcomes(&stage).await, expected);
}

#[tokio::test]
async fn a_dead_run_is_taken_over_when_its_lease_has_expired() {
    let mut stage = small().await;
    let (at, lease) = (stage.now, stage.station.config.lease);
    let clock = Clock::at(stage.now);
    let dead = runs::begin(&stage.station.pool, DROPLETS.name, tick(at), &clock, lease).await;
    let dead = dead.unwrap().unwrap();
    stage.now += TimeDelta::seconds(29);
    assert_eq!(deliver(&stage, tick(at)).await.outcome, RunOutcome::Busy);
    stage.now += TimeDelta::seconds(1);
    let report = deliver(&stage, tick(at)).await;
    assert_eq!(
        (report.outcome, report.attempt),
        (RunOutcome::Complete, Some(2)),
        "{report:?}"
    );
    let expected = [("abandoned".to_owned(), 1), ("complete".to_owned(), 2)];
    assert_eq!(outcomes(&stage).await, expected);
    // It wakes up again, and may say nothing.
    let finish = runs::Finish {
        outcome: "failed",
        counts: json!({}),
        error_class: None,
        error_message: None,
        do_request_id: None,
    };
    dead.finish(&stage.station.pool, &clock, &finish).await.unwrap();
    assert_eq!(outcomes(&stage).await, expected);
}
