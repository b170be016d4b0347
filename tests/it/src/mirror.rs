//! The table of the plan on the real database, row by row, as workers run it.
//!
//! Every change goes through a run of `sync-droplets` against the simulated account, and every test ends with
//! the invariants. What a droplet is worth that a token cannot see is in `narrow`, what a listing is worth that
//! misses too much in `suspicion`.

use serde_json::json;
use shared::inventory::Verdict;
use shared::sync::RunOutcome;
use simulator::{Fault, FaultKind, Scenario};

use crate::invariants;
use crate::stage::Stage;

#[tokio::test]
async fn a_first_sync_discovers_everything_and_a_second_writes_nothing() {
    let mut stage = Stage::with(Scenario::Default).await;
    let report = stage.sync().await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    let there = stage.sim.items("droplets").len();
    let rows = stage.rows("droplet").await;
    assert_eq!(rows.len(), there);
    assert_eq!(usize::try_from(stage.event_count().await).unwrap(), there);
    let before = (stage.places().await, format!("{rows:?}"));
    let report = stage.later(1).sync().await;
    assert_eq!(report.kinds[0].outcome.events(), 0, "{report:?}");
    assert_eq!(usize::try_from(stage.event_count().await).unwrap(), there);
    let after = (stage.places().await, format!("{:?}", stage.rows("droplet").await));
    assert_eq!(before, after, "an unchanged row was written");
    assert_eq!(invariants::hold(&stage.pool).await, there);
}

#[tokio::test]
async fn other_content_is_updated_and_other_tags_alone_are_tagged() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage.sync().await;
    let id = stage.droplet("larkspur-web-1");
    let row = stage.row("droplet", &id).await;
    for (patch, event, field) in [
        (json!({"name": "larkspur-www-1"}), "updated", "name"),
        (json!({"tags": ["web", "blue"]}), "tagged", "tags"),
        (json!({"status": "off"}), "updated", "status"),
        (json!({"features": ["ipv6"]}), "updated", "attrs.features"),
        (json!({"region": "ams3"}), "updated", "region"),
    ] {
        stage.sim.change("droplets", &id, patch).unwrap();
        let report = stage.later(1).sync().await;
        assert_eq!(report.kinds[0].outcome.events(), 1, "{field}: {report:?}");
        assert_eq!(stage.events(row.id).await.last().unwrap(), event, "{field}");
        let changes = stage.last_change(row.id).await;
        assert!(changes.get(field).is_some(), "{field} is not in {changes}");
    }
    let both = json!({"status": "active", "tags": ["green"]});
    stage.sim.change("droplets", &id, both).unwrap();
    stage.later(1).sync().await;
    let changes = stage.last_change(row.id).await;
    assert_eq!(stage.events(row.id).await.last().unwrap(), "updated");
    assert_eq!(changes.as_object().unwrap().len(), 2, "{changes}");
    let after = stage.row("droplet", &id).await;
    assert_eq!((after.version, after.tags), (7, vec!["green".to_owned()]));
    assert_eq!((after.updated_at, after.last_seen_at), (stage.now, stage.now));
    assert_eq!((after.id, after.first_seen_at), (row.id, row.first_seen_at));
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn only_a_third_spaced_absence_with_proof_makes_a_tombstone() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage.sync().await;
    let id = stage.droplet("harbour-vpn");
    stage.sim.destroy("droplets", &id).unwrap();
    let mut history = Vec::new();
    // At once; too early; in time; too early; in time; and never again.
    for minutes in [1, 9, 1, 9, 1, 1, 60] {
        stage.sim.clear_requests();
        let report = stage.later(minutes).sync().await;
        assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
        let row = stage.row("droplet", &id).await;
        history.push((row.strikes, row.deleted_at.is_some(), stage.proofs()));
    }
    let expected = [
        (1, false, 0),
        (1, false, 0),
        (2, false, 0),
        (2, false, 0),
        (3, true, 1),
        (3, true, 0),
        (3, true, 0),
    ];
    assert_eq!(history, expected);
    let row = stage.row("droplet", &id).await;
    assert_eq!(stage.events(row.id).await, ["discovered", "deleted"]);
    assert_eq!(row.version, 2);
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn a_droplet_that_answers_by_id_is_held_and_counts_as_seen() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage.sync().await;
    let id = stage.droplet("ops-ci-1");
    stage.hide(&[&id]);
    stage.later(1).sync().await;
    stage.later(10).sync().await;
    let complete = stage.now;
    for _ in 0..3 {
        let report = stage.later(10).sync().await;
        let outcome = &report.kinds[0].outcome;
        assert_eq!((outcome.contradicted, outcome.deleted), (1, 0), "{report:?}");
        let row = stage.row("droplet", &id).await;
        assert_eq!((row.strikes, row.deleted_at, row.version), (2, None, 1));
        assert_eq!(stage.seen_at(&id).await, stage.now, "alive is seen");
        assert!(stage.now > complete);
    }
    // Its next proof waits as long as a strike does.
    stage.sim.clear_requests();
    stage.later(9).sync().await;
    assert_eq!(stage.proofs(), 0);
    stage.sim.clear_bodies();
    let report = stage.later(1).sync().await;
    assert_eq!(report.kinds[0].outcome.cleared, 1);
    let row = stage.row("droplet", &id).await;
    assert_eq!((row.strikes, row.last_struck_at, row.version), (0, None, 1));
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn an_unknown_proof_holds_and_is_not_seeing() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage.sync().await;
    let id = stage.droplet("ops-ci-2");
    let path = format!("/v2/droplets/{id}");
    stage.sim.destroy("droplets", &id).unwrap();
    let seen = stage.now;
    stage.later(1).sync().await;
    stage.later(10).sync().await;
    let doubts = [
        FaultKind::Status500,
        FaultKind::Status502Html,
        FaultKind::LostScope403,
        FaultKind::Unauthorized401,
        FaultKind::Html200,
        FaultKind::Reset,
        FaultKind::Burst429 { retry_after: 1 },
    ];
    for kind in doubts {
        let name = kind.name();
        stage.sim.fault(Fault::new(kind).on(&path));
        let report = stage.later(10).sync().await;
        let outcome = &report.kinds[0].outcome;
        assert_eq!((outcome.held, outcome.deleted), (1, 0), "{name}: {report:?}");
        let row = stage.row("droplet", &id).await;
        assert_eq!((row.strikes, row.deleted_at), (2, None), "{name}");
        assert_eq!(stage.seen_at(&id).await, seen, "{name}");
        stage.sim.clear_faults();
    }
    // A proxy's 404 is not DigitalOcean's.
    stage
        .sim
        .serve_answer(&path, 404, "text/html", "<h1>Not Found</h1>");
    let report = stage.later(10).sync().await;
    assert_eq!(report.kinds[0].outcome.held, 1, "{report:?}");
    stage.sim.clear_bodies();
    stage.sim.clear_requests();
    let report = stage.later(9).sync().await;
    assert_eq!(
        (report.kinds[0].outcome.deleted, stage.proofs()),
        (0, 0),
        "asked again too soon: {report:?}"
    );
    let report = stage.later(1).sync().await;
    assert_eq!(report.kinds[0].outcome.deleted, 1, "{report:?}");
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn a_tombstone_seen_again_is_restored_with_what_has_changed() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage.sync().await;
    let (same, other) = (stage.droplet("novak-tiles-1"), stage.droplet("novak-tiles-2"));
    let first_seen_at = stage.now;
    stage.hide(&[&same, &other]);
    stage.deny(&same);
    stage.deny(&other);
    stage.later(1).sync().await;
    stage.later(10).sync().await;
    stage.later(10).sync().await;
    assert_eq!(stage.tombstones("droplet").await, 2);
    stage.sim.clear_bodies();
    stage
        .sim
        .change("droplets", &other, json!({"status": "off"}))
        .unwrap();
    let report = stage.later(1).sync().await;
    assert_eq!(report.kinds[0].outcome.restored, 2, "{report:?}");
    for (id, fields) in [(same, 1), (other, 2)] {
        let row = stage.row("droplet", &id).await;
        assert_eq!(stage.events(row.id).await, ["discovered", "deleted", "restored"]);
        assert_eq!((row.strikes, row.deleted_at, row.version), (0, None, 3));
        assert_eq!((row.first_seen_at, row.last_seen_at), (first_seen_at, stage.now));
        assert_eq!(stage.last_change(row.id).await.as_object().unwrap().len(), fields);
    }
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn last_seen_is_the_last_complete_listing_and_freezes_with_the_first_strike() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage.sync().await;
    let (gone, stays) = (stage.droplet("novak-ftp"), stage.droplet("novak-tiles-1"));
    let places = stage.places().await;
    stage.later(1).sync().await;
    let complete = stage.now;
    assert_eq!(stage.seen_at(&gone).await, complete, "follows the marker");
    // Neither a doubtful nor a suspect listing has seen anything.
    for (fault, verdict) in [
        (FaultKind::MissingMeta, Verdict::Incomplete),
        (FaultKind::LostScope403, Verdict::Unreadable),
        (FaultKind::EmptyList, Verdict::Suspect),
    ] {
        stage.sim.fault(Fault::new(fault).on("/v2/droplets"));
        let report = stage.later(1).sync().await;
        assert_eq!(report.kinds[0].outcome.verdict, verdict, "{report:?}");
        assert_eq!(
            stage.seen_at(&gone).await,
            complete,
            "{verdict:?} moved the marker"
        );
        stage.sim.clear_faults();
    }
    assert_eq!(stage.places().await, places, "seeing was written down");
    stage.hide(&[&gone]);
    for _ in 0..2 {
        stage.later(11).sync().await;
        assert_eq!(stage.seen_at(&gone).await, complete, "frozen");
        assert_eq!(stage.seen_at(&stays).await, stage.now);
    }
    stage.sim.clear_bodies();
    stage.later(1).sync().await;
    assert_eq!(stage.seen_at(&gone).await, stage.now, "seen again");
    stage.later(1).sync().await;
    assert_eq!(
        stage.seen_at(&gone).await,
        stage.now,
        "and follows the marker again"
    );
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn what_an_incomplete_listing_discovers_was_seen_by_it() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage.sync().await;
    let made = stage
        .sim
        .create("droplets", json!({"name": "brand-new"}))
        .unwrap();
    let id = made["id"].to_string();
    stage
        .sim
        .fault(Fault::new(FaultKind::MissingMeta).on("/v2/droplets"));
    let report = stage.later(1).sync().await;
    assert_eq!(report.kinds[0].outcome.discovered, 1, "{report:?}");
    let seen = stage.now;
    assert_eq!(stage.seen_at(&id).await, seen);
    stage.sim.clear_faults();
    stage.sim.destroy("droplets", &id).unwrap();
    stage.later(1).sync().await;
    assert_eq!(stage.row("droplet", &id).await.strikes, 1);
    assert_eq!(
        stage.seen_at(&id).await,
        seen,
        "frozen at what it was itself seen by"
    );
    invariants::hold(&stage.pool).await;
}
