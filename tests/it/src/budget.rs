//! What a token has left: shared by everybody who uses it, and never overdrawn.
//!
//! Eight stations on one token against DigitalOcean's own limits; both sorts of 429; stopping while others still
//! need some; and how many requests are under way at a time. The hour passes on both clocks at once, so that a
//! test need not wait for it.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::json;
use shared::config::Purpose;
use shared::runs::Tick;
use shared::sync::{self, DROPLETS, PROJECTS, Report, RunOutcome, Station, Worker};
use simulator::{Fault, FaultKind, Limits, Scenario};

use crate::stage::{self, Stage};

/// Every run of these asks for the members of every project: many small requests.
static WORKERS: [Worker; 8] = [
    projects("budget-1"),
    projects("budget-2"),
    projects("budget-3"),
    projects("budget-4"),
    projects("budget-5"),
    projects("budget-6"),
    projects("budget-7"),
    projects("budget-8"),
];

const fn projects(name: &'static str) -> Worker {
    Worker {
        name,
        purpose: Purpose::SyncFast,
        ..PROJECTS
    }
}

/// An account of so many projects, on real time: DigitalOcean's resets are.
async fn account(projects: usize) -> Stage {
    let mut stage = Stage::with(Scenario::Empty).await;
    for n in 0..projects {
        let spec = json!({"name": format!("Customer {n}"), "purpose": "Website or blog"});
        stage.sim.create_project(spec).unwrap();
    }
    stage.now = shared::database::now(&stage.pool).await.unwrap();
    stage
}

async fn not_before(stage: &Stage) -> Option<DateTime<Utc>> {
    sqlx::query_scalar("SELECT max(not_before) FROM token_budgets")
        .fetch_one(&stage.pool)
        .await
        .unwrap()
}

fn sent(stage: &Stage) -> usize {
    stage.sim.requests().len()
}

async fn bursts(minutes: u64) {
    let mut stage = account(45).await;
    stage.sim.set_limits(Limits::default());
    let stations: Vec<Station> =
        join_all((0..8).map(|_| stage::station(&stage.database, &stage.sim, &[]))).await;
    let mut all = 0;
    let mut exhausted = false;
    for minute in 0..minutes {
        stage.sim.clear_requests();
        let runs = WORKERS.iter().zip(&stations).map(|(worker, station)| {
            // Enough for the requests of a minute on a busy machine, and not for waiting until the next one.
            let left = Some(Duration::from_secs(40));
            sync::run_at(station, worker, Tick::default(), stage.now, left)
        });
        let reports = join_all(runs).await;
        assert_eq!(stage.sim.blocked(), 0, "minute {minute}: a limit was passed");
        assert!(sent(&stage) <= 250, "minute {minute}: {} requests", sent(&stage));
        all += sent(&stage);
        if reports.iter().all(|report| report.requests == 0) {
            // The hour is used up: nobody asks until it is not.
            assert!(
                reports
                    .iter()
                    .all(|report| report.outcome == RunOutcome::RateLimited)
            );
            exhausted = true;
            break;
        }
        if all < 4_600 {
            assert!(
                sent(&stage) > 200,
                "minute {minute}: {} requests are too careful",
                sent(&stage)
            );
        }
        stage.now += TimeDelta::seconds(66);
        stage.sim.advance(Duration::from_secs(66));
    }
    assert!(all <= 4_900, "{all} requests in an hour");
    assert_eq!(exhausted, minutes > 20, "{all} requests in {minutes} minutes");
    println!("{all} requests in {minutes} minutes, none refused");
}

#[tokio::test]
async fn eight_stations_on_one_token_are_never_refused() {
    bursts(3).await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_eight_stations_on_one_token_are_never_refused() {
    bursts(30).await;
}

#[tokio::test]
async fn a_burst_429_is_waited_for_if_there_is_time() {
    let stage = Stage::with(Scenario::Default).await;
    let fault = || {
        Fault::new(FaultKind::Burst429 { retry_after: 2 })
            .exactly_on("/v2/droplets")
            .once()
    };
    stage.sim.fault(fault());
    let begun = Instant::now();
    let report = stage.sync().await;
    assert_eq!(
        (report.outcome, report.requests),
        (RunOutcome::Complete, 4),
        "{report:?}"
    );
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    stage.sim.clear_faults();
    stage.sim.fault(fault());
    let report = stage.sync_within(Duration::from_secs(3)).await;
    assert_eq!(report.outcome, RunOutcome::Incomplete, "{report:?}");
    assert!(
        report.kinds[0]
            .outcome
            .reason
            .as_deref()
            .unwrap()
            .contains("time"),
        "{report:?}"
    );
    assert_eq!(stage.strikes().await, (0, 0));
}

#[tokio::test]
async fn an_hourly_429_is_remembered_and_ticks_skip_until_then() {
    for (path, outcome) in [
        ("/v2/account", RunOutcome::RateLimited),
        ("/v2/droplets", RunOutcome::Incomplete),
    ] {
        let mut stage = account(0).await;
        stage
            .sim
            .fault(Fault::new(FaultKind::Hourly429 { reset_in: 900 }).on(path).once());
        let report = stage.sync().await;
        assert_eq!(report.outcome, outcome, "{path}: {report:?}");
        let until = not_before(&stage).await.unwrap();
        let minutes = (until - stage.now).num_minutes();
        assert!((14..=15).contains(&minutes), "{path}: {minutes} minutes");
        stage.sim.clear_requests();
        for worker in [&PROJECTS, &DROPLETS] {
            let report = stage.later(6).run(worker).await;
            assert_eq!(
                (report.outcome, report.error_class),
                (RunOutcome::RateLimited, Some("rate_limited"))
            );
            assert!(
                report
                    .error
                    .as_deref()
                    .unwrap()
                    .contains("no requests left before"),
                "{report:?}"
            );
        }
        assert_eq!(sent(&stage), 0, "{path}: asked while told not to");
        let report = stage.later(4).sync().await;
        assert_eq!(report.outcome, RunOutcome::Complete, "{path}: {report:?}");
    }
}

/// A broken clock over there must not silence us for years.
#[tokio::test]
async fn a_reset_far_away_is_not_believed() {
    let stage = account(0).await;
    stage.sim.fault(
        Fault::new(FaultKind::Hourly429 {
            reset_in: 1_000_000_000,
        })
        .on("/v2/account")
        .once(),
    );
    stage.sync().await;
    assert!(not_before(&stage).await.unwrap() <= stage.now + TimeDelta::minutes(61));
    let mut stage = account(45).await;
    let ten_years = 10 * 365 * 24 * 3_600_000;
    stage.sim.set_limits(Limits {
        per_hour: 110,
        hour_ms: ten_years,
        ..Limits::default()
    });
    stage.run(&WORKERS[0]).await;
    assert!(not_before(&stage).await.unwrap() <= stage.now + TimeDelta::minutes(61));
    stage.sim.set_limits(Limits::off());
    let report = stage.later(62).run(&WORKERS[0]).await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
}

/// Others share the token: the last hundred of the hour are theirs.
#[tokio::test]
async fn a_walk_stops_by_itself_before_the_token_is_used_up() {
    let mut stage = Stage::with(Scenario::Scale { droplets: 6_000 }).await;
    stage.now = shared::database::now(&stage.pool).await.unwrap();
    stage.sim.set_limits(Limits {
        per_hour: 115,
        ..Limits::default()
    });
    let report = stage.sync().await;
    assert_eq!(report.outcome, RunOutcome::Incomplete, "{report:?}");
    assert_eq!(stage.sim.blocked(), 0);
    // Those under way when it noticed are still answered.
    assert!((16..=32).contains(&sent(&stage)), "{} requests", sent(&stage));
    assert!(not_before(&stage).await.unwrap() > stage.now);
    stage.sim.clear_requests();
    assert_eq!(stage.later(1).sync().await.outcome, RunOutcome::RateLimited);
    assert_eq!(sent(&stage), 0);
}

#[tokio::test]
async fn no_more_than_eight_requests_are_under_way() {
    let stage = Stage::with(Scenario::Scale { droplets: 3_000 }).await;
    stage.sim.set_latency(25);
    let report = stage.sync().await;
    assert_eq!(
        (report.outcome, report.requests),
        (RunOutcome::Complete, 17),
        "{report:?}"
    );
    let peak = stage.sim.peak_in_flight();
    assert!((4..=8).contains(&peak), "{peak} at once");
}

#[tokio::test]
async fn proofs_stop_at_a_429() {
    for (kind, told) in [
        (FaultKind::Burst429 { retry_after: 1 }, false),
        (FaultKind::Hourly429 { reset_in: 900 }, true),
    ] {
        let mut stage = Stage::with(Scenario::Default).await;
        stage.now = shared::database::now(&stage.pool).await.unwrap();
        stage.sync().await;
        for name in ["ops-ci-1", "ops-ci-2", "ops-mail", "ops-bastion"] {
            let id = stage.droplet(name);
            stage.sim.destroy("droplets", &id).unwrap();
        }
        stage.later(1).sync().await;
        stage.later(10).sync().await;
        stage.sim.clear_requests();
        let name = kind.name();
        stage.sim.fault(Fault::new(kind).on("/v2/droplets/"));
        let report: Report = stage.later(10).run(&DROPLETS).await;
        assert_eq!(report.kinds[0].outcome.held, 4, "{name}: {report:?}");
        assert_eq!(stage.proofs(), 1, "{name}: asked on after being refused");
        assert_eq!(not_before(&stage).await.is_some(), told, "{name}");
        stage.sim.clear_faults();
        let report = stage.later(61).sync().await;
        assert_eq!(report.kinds[0].outcome.deleted, 4, "{name}: {report:?}");
    }
}
