//! The twelve ways in which others who mirror DigitalOcean have lost, kept or invented things, each with its test.
//!
//! One account of 450 droplets (three pages), mirrored whole; then the hazard. Most of these are proven at greater
//! length elsewhere (`faults`, `suspicion`, `catalogue`); here each stands under its own name.

use serde_json::json;
use shared::kinds::Sighting;
use shared::kinds::droplet::DROPLET;
use shared::sync::{DATABASES, LONG_TAIL, PROJECTS, Report, RunOutcome};
use simulator::{Fault, FaultKind, Scenario, Scopes};

use crate::invariants;
use crate::stage::Stage;

const DROPLETS: u64 = 450;

async fn mirrored() -> Stage {
    let stage = Stage::with(Scenario::Scale { droplets: DROPLETS }).await;
    let report = stage.sync().await;
    assert_eq!((report.outcome, discovered(&report)), (RunOutcome::Complete, 450));
    stage
}

fn discovered(report: &Report) -> u32 {
    report.kinds.iter().map(|done| done.outcome.discovered).sum()
}

/// Nobody was struck, and the run says that it did not see everything.
async fn nobody_was_struck(stage: &Stage, report: &Report) {
    assert_eq!(report.outcome, RunOutcome::Incomplete, "{report:?}");
    assert_eq!(stage.strikes().await, (0, 0));
    assert_eq!(stage.tombstones("droplet").await, 0);
    invariants::hold(&stage.pool).await;
}

fn on_page(kind: FaultKind, page: u64) -> Fault {
    let mut fault = Fault::new(kind).exactly_on("/v2/droplets");
    fault.on.page = Some(page);
    fault
}

#[tokio::test]
async fn hazard_01_a_429_on_page_two_is_not_the_end_of_the_list() {
    let mut stage = mirrored().await;
    stage
        .sim
        .fault(on_page(FaultKind::Burst429 { retry_after: 1 }, 2));
    let report = stage
        .later(11)
        .sync_within(std::time::Duration::from_secs(6))
        .await;
    assert_eq!(stage.strikes().await, (0, 0), "{report:?}");
    assert_ne!(report.outcome, RunOutcome::Complete);
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn hazard_02_a_failed_page_of_several_at_once_is_not_dropped() {
    let mut stage = mirrored().await;
    stage.sim.fault(on_page(FaultKind::NotFound404, 3));
    let report = stage.later(11).sync().await;
    assert_ne!(report.outcome, RunOutcome::Complete, "{report:?}");
    assert_eq!(stage.strikes().await, (0, 0));
    assert_eq!(stage.tombstones("droplet").await, 0);
}

#[tokio::test]
async fn hazard_03_an_error_body_without_the_list_is_no_empty_list() {
    let mut stage = mirrored().await;
    stage.sim.fault(on_page(FaultKind::MissingKey, 1));
    let report = stage
        .later(11)
        .sync_within(std::time::Duration::from_secs(4))
        .await;
    nobody_was_struck(&stage, &report).await;
}

#[tokio::test]
async fn hazard_04_every_page_is_read_and_not_the_first_alone() {
    let stage = mirrored().await;
    let pages: Vec<_> = stage
        .sim
        .requests()
        .into_iter()
        .filter(|entry| entry.path == "/v2/droplets")
        .collect();
    // Three pages of the CPU listing, and one of the GPU listing.
    assert_eq!(pages.len(), 4);
    assert_eq!(stage.rows("droplet").await.len(), 450);
}

#[tokio::test]
async fn hazard_05_an_item_that_shifts_between_pages_is_neither_doubled_nor_missed() {
    for kind in [FaultKind::ShiftingPagesDrop, FaultKind::ShiftingPagesInsert] {
        let mut stage = mirrored().await;
        let mut fault = on_page(kind, 1);
        fault.times = Some(1);
        stage.sim.fault(fault);
        let report = stage.later(11).sync().await;
        // Whether page two was asked for before or after the shift: either the walk saw all there was, or it says no.
        if report.outcome == RunOutcome::Complete {
            assert!(stage.strikes().await.0 <= 1, "{report:?}");
        } else {
            nobody_was_struck(&stage, &report).await;
        }
        stage.sim.clear_faults();
        for _ in 0..4 {
            stage.later(11).sync().await;
        }
        let live = stage
            .rows("droplet")
            .await
            .iter()
            .filter(|row| row.deleted_at.is_none())
            .count();
        assert_eq!(live, stage.sim.items("droplets").len());
    }
}

#[tokio::test]
async fn hazard_06_a_week_of_failed_listings_deletes_nothing() {
    let mut stage = mirrored().await;
    stage
        .sim
        .fault(Fault::new(FaultKind::ItemNotObject).on("/v2/droplets"));
    for _ in 0..14 {
        let report = stage.later(12 * 60).sync().await;
        nobody_was_struck(&stage, &report).await;
    }
    let marker = stage.marker("droplet").await;
    assert_eq!(marker["verdict"], "incomplete");
    assert!(
        marker["last_complete_at"]
            .as_str()
            .unwrap()
            .starts_with("2026-11-21T10:00")
    );
}

#[tokio::test]
async fn hazard_07_the_last_child_of_a_parent_goes_too() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage.run(&DATABASES).await;
    stage.run(&LONG_TAIL).await;
    let replicas = stage.sim.items("databases/replicas");
    let of = |replica: &serde_json::Value| {
        let row = replica["id"].as_str().unwrap().to_owned();
        (row, replica["database"].clone())
    };
    // A replica that is the only one of its cluster.
    let (last, _) = replicas
        .iter()
        .map(of)
        .find(|(_, database)| {
            replicas
                .iter()
                .filter(|other| other["database"] == *database)
                .count()
                == 1
        })
        .unwrap();
    stage.sim.destroy("databases/replicas", &last).unwrap();
    for _ in 0..3 {
        stage.later(60).run(&LONG_TAIL).await;
    }
    assert!(stage.row("db_replica", &last).await.deleted_at.is_some());
}

#[tokio::test]
async fn hazard_08_a_project_that_cannot_be_listed_does_not_empty_the_buckets() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage.run(&PROJECTS).await;
    let buckets = stage.rows("spaces_bucket").await.len();
    assert!(buckets > 3);
    for (urn, project) in stage.sim.members() {
        if urn.starts_with("do:space:") {
            let path = format!("/v2/projects/{project}/resources");
            stage.sim.fault(Fault::new(FaultKind::LostScope403).on(&path));
        }
    }
    for _ in 0..5 {
        stage.later(15).run(&PROJECTS).await;
    }
    let rows = stage.rows("spaces_bucket").await;
    assert_eq!(
        rows.iter()
            .filter(|row| row.strikes == 0 && row.deleted_at.is_none())
            .count(),
        buckets
    );
}

#[tokio::test]
async fn hazard_09_a_lost_scope_that_answers_200_with_fewer_rows_is_suspect() {
    let mut stage = mirrored().await;
    stage
        .sim
        .fault(Fault::new(FaultKind::LostScopeRows { permille: 500 }).on("/v2/droplets"));
    let report = stage.later(11).sync().await;
    assert_ne!(report.outcome, RunOutcome::Complete, "{report:?}");
    assert_eq!(stage.strikes().await, (0, 0));
    // And one that answers 403 is said to be unreadable.
    stage.sim.clear_faults();
    stage.sim.set_scopes("sync", Scopes::only(["account:read"]));
    let report = stage.later(11).sync().await;
    assert_eq!(report.outcome, RunOutcome::Unreadable);
    assert_eq!(stage.strikes().await, (0, 0));
}

#[test]
fn hazard_10_a_number_is_the_same_number_however_it_is_written() {
    let hash = |disk: &str| {
        Sighting::read(&DROPLET, &format!(r#"{{"id": 1, "disk": {disk}}}"#))
            .unwrap()
            .hash
    };
    for (one, other) in [
        ("25", "25.0"),
        ("25", "2.5e1"),
        ("2.34", "2.340"),
        ("9007199254740993", "9007199254740993"),
    ] {
        assert_eq!(hash(one), hash(other), "{one} and {other}");
    }
    // Money is never kept from a listing but as whole cents or dollars; amounts of invoices are decimals (the ledger's).
    assert_ne!(hash("25"), hash("26"));
}

#[tokio::test]
async fn hazard_11_what_an_error_says_decides_nothing() {
    let mut stage = mirrored().await;
    for (status, body) in [
        (429, json!({"id": "ok", "message": "everything is fine"})),
        (503, json!({"droplets": [], "links": {}, "meta": {"total": 0}})),
        (
            403,
            json!({"id": "too_many_requests", "message": "Too many requests"}),
        ),
    ] {
        let address = "/v2/droplets?page=1&per_page=200";
        stage
            .sim
            .serve_answer(address, status, "application/json", body.to_string());
        let report = stage
            .later(11)
            .sync_within(std::time::Duration::from_secs(4))
            .await;
        assert_ne!(report.outcome, RunOutcome::Complete, "{status}");
        assert_eq!(stage.strikes().await, (0, 0), "{status}");
        stage.sim.clear_bodies();
        sqlx::query("DELETE FROM token_budgets")
            .execute(&stage.pool)
            .await
            .unwrap();
    }
    assert_eq!(stage.later(11).sync().await.outcome, RunOutcome::Complete);
}

#[tokio::test]
async fn hazard_12_a_thing_seen_again_gets_its_new_name_and_tags() {
    let mut stage = mirrored().await;
    let id = stage.rows("droplet").await[0].provider_id.clone();
    let patch = json!({"name": "renamed.example", "tags": ["new"], "status": "off"});
    stage.sim.change("droplets", &id, patch).unwrap();
    stage.later(11).sync().await;
    let row = stage.row("droplet", &id).await;
    assert_eq!(
        (row.name.as_str(), row.tags.as_slice(), row.status.as_str()),
        ("renamed.example", ["new".to_owned()].as_slice(), "off")
    );
}
