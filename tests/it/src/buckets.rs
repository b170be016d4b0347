//! What only the members of projects tell of: Spaces buckets, and types that nobody has described.
//!
//! They are discovered, kept and struck by complete passes over all projects, never on a pass that saw less than all,
//! and a pass that misses many is believed only when the operator says so.

use serde_json::json;
use shared::inventory::edit::{self, Edit};
use shared::sync::{PROJECTS, Report, RunOutcome};
use simulator::{Fault, FaultKind, Scenario};

use crate::invariants;
use crate::stage::Stage;

const KIND: &str = "spaces_bucket";

/// An account with so many buckets in its default project.
async fn with(buckets: usize) -> Stage {
    let stage = Stage::with(Scenario::Empty).await;
    for n in 0..buckets {
        let urn = format!("do:space:bucket-{n}");
        stage.sim.assign(&urn, "default").unwrap();
        let link = format!("https://bucket-{n}.ams3.digitaloceanspaces.com");
        stage.sim.world().set_member_link(&urn, &link).unwrap();
    }
    stage
}

fn verdict(report: &Report) -> &'static str {
    let done = report.kinds.iter().find(|done| done.kind == KIND).unwrap();
    done.outcome.verdict.name()
}

#[tokio::test]
async fn a_bucket_is_discovered_struck_and_restored_by_passes_over_all_projects() {
    let mut stage = with(4).await;
    assert_eq!(verdict(&stage.run(&PROJECTS).await), "complete");
    let row = stage.row(KIND, "bucket-1").await;
    assert_eq!(row.attribution, "membership");
    let region: Option<String> = sqlx::query_scalar("SELECT region FROM cloud_resources WHERE id = $1")
        .bind(row.id)
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    assert_eq!(region.as_deref(), Some("ams3"));
    stage.sim.world().forget_member("do:space:bucket-1").unwrap();
    for (minutes, strikes) in [(15, 1), (1, 1), (15, 2), (15, 3)] {
        assert_eq!(verdict(&stage.later(minutes).run(&PROJECTS).await), "complete");
        assert_eq!(stage.row(KIND, "bucket-1").await.strikes, strikes);
    }
    assert_eq!(stage.events(row.id).await, ["discovered", "deleted"]);
    stage.sim.assign("do:space:bucket-1", "default").unwrap();
    stage.later(15).run(&PROJECTS).await;
    assert_eq!(stage.events(row.id).await, ["discovered", "deleted", "restored"]);
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn a_pass_that_missed_a_project_strikes_no_bucket() {
    let mut stage = with(4).await;
    stage.run(&PROJECTS).await;
    stage.sim.world().forget_member("do:space:bucket-0").unwrap();
    let default = stage.sim.project_id("default").unwrap();
    for fault in [
        FaultKind::Status500,
        FaultKind::LostScope403,
        FaultKind::MissingKey,
    ] {
        let path = format!("/v2/projects/{default}/resources");
        stage.sim.fault(Fault::new(fault).on(&path));
        let report = stage.later(15).run(&PROJECTS).await;
        assert_eq!(
            (report.outcome, verdict(&report)),
            (RunOutcome::Incomplete, "incomplete")
        );
        stage.sim.clear_faults();
    }
    assert_eq!(stage.row(KIND, "bucket-0").await.strikes, 0);
    // Members that linger or whose service is down are neither gone nor news.
    stage
        .sim
        .world()
        .set_member_status("do:space:bucket-2", "service_down")
        .unwrap();
    stage
        .sim
        .world()
        .set_member_status("do:space:bucket-3", "not_found")
        .unwrap();
    let events = stage.event_count().await;
    stage.later(15).run(&PROJECTS).await;
    assert_eq!(stage.event_count().await, events);
    assert_eq!(stage.row(KIND, "bucket-2").await.strikes, 0);
    assert_eq!(stage.row(KIND, "bucket-3").await.strikes, 0);
    assert_eq!(stage.row(KIND, "bucket-0").await.strikes, 1);
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn buckets_that_vanish_together_wait_for_the_operator_for_ever() {
    let mut stage = with(6).await;
    stage.run(&PROJECTS).await;
    for n in 0..6 {
        stage
            .sim
            .world()
            .forget_member(&format!("do:space:bucket-{n}"))
            .unwrap();
    }
    // A day of identical passes: any other kind would have been released after an hour of them.
    for _ in 0..96 {
        assert_eq!(verdict(&stage.later(15).run(&PROJECTS).await), "suspect");
    }
    assert!(stage.rows(KIND).await.iter().all(|row| row.strikes == 0));
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn a_type_that_nobody_has_described_is_kept_under_its_own_name() {
    let mut stage = Stage::with(Scenario::Empty).await;
    for urn in ["do:quantumThing-x:q:1", "do:quantumThing-x:q:2"] {
        stage.sim.assign(urn, "default").unwrap();
    }
    assert_eq!(stage.run(&PROJECTS).await.outcome, RunOutcome::Complete);
    let row = stage.row("quantumthing_x", "q:1").await;
    assert_eq!(
        (row.name.as_str(), row.attribution.as_str()),
        ("q:1", "membership")
    );
    stage.sim.world().forget_member("do:quantumThing-x:q:1").unwrap();
    for _ in 0..3 {
        stage.later(15).run(&PROJECTS).await;
    }
    assert!(stage.row("quantumthing_x", "q:1").await.deleted_at.is_some());
    invariants::hold(&stage.pool).await;
}

/// A token that may not read buckets hides every one: nothing but the operator's word makes tombstones of the last ones.
#[tokio::test]
async fn the_only_bucket_is_not_gone_because_a_token_does_not_see_it() {
    let mut stage = with(1).await;
    stage.run(&PROJECTS).await;
    stage.sim.world().forget_member("do:space:bucket-0").unwrap();
    for _ in 0..10 {
        let report = stage.later(60).run(&PROJECTS).await;
        assert_eq!(verdict(&report), "suspect", "{report:?}");
    }
    assert_eq!(stage.row(KIND, "bucket-0").await.strikes, 0);
    let edit = Edit {
        by: "ada",
        reason: "it is gone",
        versions: None,
        now: stage.now,
    };
    edit::release(&stage.pool, KIND, None, Some(edit.reason), &edit)
        .await
        .unwrap();
    for strikes in [1, 2, 3] {
        assert_eq!(verdict(&stage.later(15).run(&PROJECTS).await), "complete");
        assert_eq!(stage.row(KIND, "bucket-0").await.strikes, strikes);
    }
    invariants::hold(&stage.pool).await;
}

/// A live project that a listing leaves out was not walked: what is in it is not gone, and not in no project either.
#[tokio::test]
async fn a_pass_without_a_project_that_is_there_proves_nothing_of_what_is_in_it() {
    let mut stage = with(4).await;
    let project = stage
        .sim
        .create_project(json!({"name": "away", "purpose": "Service or API"}))
        .unwrap();
    let id = project["id"].as_str().unwrap();
    stage.sim.assign("do:space:bucket-1", id).unwrap();
    assert_eq!(verdict(&stage.run(&PROJECTS).await), "complete");
    let mut others = stage.sim.items("projects");
    others.retain(|project| project["id"] != id);
    let listing = json!({"projects": others, "links": {}, "meta": {"total": others.len()}});
    stage
        .sim
        .serve_body("/v2/projects?page=1&per_page=200", listing.to_string());
    for _ in 0..6 {
        let report = stage.later(15).run(&PROJECTS).await;
        assert_eq!(verdict(&report), "incomplete", "{report:?}");
    }
    assert_eq!(stage.row(KIND, "bucket-1").await.strikes, 0);
    invariants::hold(&stage.pool).await;
}

/// A type that gets a kind later takes its members along.
#[tokio::test]
async fn a_type_that_gets_another_kind_keeps_its_membership() {
    let mut stage = with(2).await;
    stage.run(&PROJECTS).await;
    // As a release would have left them that did not know what a `space` is.
    sqlx::query("UPDATE cloud_project_members SET kind = 'space'")
        .execute(&stage.pool)
        .await
        .unwrap();
    assert_eq!(stage.later(15).run(&PROJECTS).await.outcome, RunOutcome::Complete);
    let kinds: Vec<String> = sqlx::query_scalar("SELECT DISTINCT kind FROM cloud_project_members")
        .fetch_all(&stage.pool)
        .await
        .unwrap();
    assert_eq!(kinds, [KIND]);
    invariants::hold(&stage.pool).await;
}
