//! Pages that are asked for together because the last listing had them, when what is there is not what was there.
//!
//! The account has volumes, a kind with one listing, so that as many pages are expected as there were.

use std::time::Duration;

use serde_json::json;
use shared::sync::{self, Report, RunOutcome};
use simulator::{Fault, FaultKind, Scenario, Wanted};

use crate::invariants;
use crate::stage::Stage;

/// An account of so many volumes, mirrored.
async fn mirrored(volumes: usize) -> Stage {
    let stage = Stage::with(Scenario::Empty).await;
    // So that what is sent together is there together.
    stage.sim.set_latency(60);
    add(&stage, 0..volumes);
    let report = stage.run(&sync::VOLUMES).await;
    assert_eq!(report.kinds[0].outcome.discovered as usize, volumes, "{report:?}");
    stage
}

fn add(stage: &Stage, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let volume = json!({"name": format!("volume-{number:04}"), "size_gigabytes": 10});
        stage.sim.create("volumes", volume).unwrap();
    }
}

/// A run a minute later, and the pages that it asked for, in order.
async fn next(stage: &mut Stage) -> (Report, Vec<u64>) {
    stage.sim.clear_requests();
    let report = stage.later(1).run(&sync::VOLUMES).await;
    let listing = Wanted {
        path: Some("/v2/volumes".into()),
        ..Wanted::default()
    };
    let asked = stage.sim.requests_where(&listing);
    let mut pages: Vec<u64> = asked
        .iter()
        .filter_map(|entry| entry.query.split("page=").nth(1)?.split('&').next()?.parse().ok())
        .collect();
    pages.sort_unstable();
    (report, pages)
}

fn fault(kind: FaultKind, page: u64) -> Fault {
    Fault::new(kind).exactly_on("/v2/volumes").page(page)
}

#[tokio::test]
async fn the_first_page_may_be_the_last_to_come() {
    let mut stage = mirrored(650).await;
    stage.sim.fault(fault(FaultKind::Slow { ms: 400 }, 1));
    let (report, pages) = next(&mut stage).await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    assert_eq!(pages, [1, 2, 3, 4]);
    assert_eq!((report.kinds[0].seen, report.kinds[0].outcome.events()), (650, 0));
    // All of them were sent before the first one was answered.
    assert_eq!(stage.sim.peak_in_flight(), 4);
}

#[tokio::test]
async fn a_page_that_is_no_longer_there_is_none() {
    for (kind, name) in [
        (None, "an empty list"),
        (Some(FaultKind::NotFound404), "404"),
        (Some(FaultKind::Status500), "500"),
        (Some(FaultKind::MissingKey), "no list"),
        (Some(FaultKind::MissingMeta), "no total"),
        (Some(FaultKind::LyingTotalLow { by: 3 }), "another total"),
    ] {
        let mut stage = mirrored(402).await;
        for volume in stage.sim.items("volumes").iter().take(3) {
            stage
                .sim
                .destroy("volumes", volume["id"].as_str().unwrap())
                .unwrap();
        }
        if let Some(kind) = kind {
            stage.sim.fault(fault(kind, 3));
        }
        let (report, pages) = next(&mut stage).await;
        assert_eq!(report.outcome, RunOutcome::Complete, "{name}: {report:?}");
        assert_eq!(pages, [1, 2, 3], "{name}");
        assert_eq!(report.kinds[0].outcome.struck, 3, "{name}: {report:?}");
        // From then on it is not expected any more.
        stage.sim.clear_faults();
        let (report, pages) = next(&mut stage).await;
        assert_eq!(
            (report.outcome, pages),
            (RunOutcome::Complete, vec![1, 2]),
            "{name}"
        );
    }
}

#[tokio::test]
async fn more_pages_than_there_were_are_all_read() {
    let mut stage = mirrored(250).await;
    add(&stage, 250..2_050);
    let (report, pages) = next(&mut stage).await;
    assert_eq!(pages, (1..=11).collect::<Vec<_>>());
    assert_eq!(
        (report.kinds[0].seen, report.kinds[0].outcome.discovered),
        (2_050, 1_800)
    );
    // More pages than may be under way at a time.
    let (report, pages) = next(&mut stage).await;
    assert_eq!(pages, (1..=11).collect::<Vec<_>>());
    assert_eq!(
        (report.kinds[0].seen, report.kinds[0].outcome.events()),
        (2_050, 0)
    );
    assert_eq!(stage.sim.peak_in_flight(), 8);
    assert_eq!(invariants::hold(&stage.pool).await, 2_050);
}

#[tokio::test]
async fn a_listing_without_its_first_page_says_nothing() {
    let mut stage = mirrored(650).await;
    for kind in [
        FaultKind::NotFound404,
        FaultKind::NotAnArray,
        FaultKind::MissingMeta,
    ] {
        let name = kind.name();
        let fault = stage.sim.fault(fault(kind, 1));
        let (report, _) = next(&mut stage).await;
        assert_ne!(report.outcome, RunOutcome::Complete, "{name}: {report:?}");
        assert_eq!(report.kinds[0].outcome.struck, 0, "{name}: {report:?}");
        stage.sim.clear_fault(fault);
    }
    // A first page that must be asked for again is, and the others are read then.
    stage.sim.fault(fault(FaultKind::Status503, 1).once());
    let (report, pages) = next(&mut stage).await;
    assert_eq!(
        (report.outcome, report.kinds[0].seen),
        (RunOutcome::Complete, 650),
        "{report:?}"
    );
    assert_eq!(pages, [1, 1, 2, 3, 4]);
}

#[tokio::test]
async fn what_asks_to_wait_is_waited_for_once() {
    let mut stage = mirrored(650).await;
    for page in 1..=4 {
        stage
            .sim
            .fault(fault(FaultKind::Burst429 { retry_after: 1 }, page).once());
    }
    let begun = tokio::time::Instant::now();
    let (report, pages) = next(&mut stage).await;
    assert_eq!(
        (report.outcome, report.kinds[0].seen),
        (RunOutcome::Complete, 650),
        "{report:?}"
    );
    assert_eq!(pages, [1, 1, 2, 2, 3, 3, 4, 4]);
    assert!(begun.elapsed() > Duration::from_secs(1));
    assert_eq!(stage.sim.peak_in_flight(), 4);
}
