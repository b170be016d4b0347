//! The bootstrap project: made once, never twice, and its absence no reason to stop.
//!
//! A conflict is answered by listing again; a token that may not make it is a note in the report.

use shared::sync::{PROJECTS, RunOutcome};
use simulator::{Fault, FaultKind, Scenario};

use crate::invariants;
use crate::projects::project;
use crate::stage::Stage;

#[tokio::test]
async fn the_bootstrap_project_is_made_once() {
    let mut stage = Stage::with(Scenario::Default).await;
    assert!(stage.sim.project_id("skyai-internal").is_none());
    let report = stage.run(&PROJECTS).await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    assert!(stage.sim.project_id("skyai-internal").is_some());
    project(&stage, "skyai-internal").await;
    let there = stage.sim.items("projects").len();
    let events = stage.event_count().await;
    for _ in 0..2 {
        let report = stage.later(15).run(&PROJECTS).await;
        assert_eq!(
            (report.outcome, report.kinds[0].outcome.events()),
            (RunOutcome::Complete, 0)
        );
    }
    let posts = stage
        .sim
        .requests()
        .into_iter()
        .filter(|entry| entry.method == "POST");
    assert_eq!((posts.count(), stage.sim.items("projects").len()), (1, there));
    assert_eq!(stage.event_count().await, events);
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn a_bootstrap_that_fails_is_a_note_and_the_sync_goes_on() {
    for (kind, made) in [
        (FaultKind::LostScope403, false),
        (FaultKind::Status500, false),
        (FaultKind::LostAnswer, true), // carried out, and nobody said so
    ] {
        let mut stage = Stage::with(Scenario::Default).await;
        let name = kind.name();
        stage
            .sim
            .fault(Fault::new(kind).on("/v2/projects").method("POST"));
        let report = stage.run(&PROJECTS).await;
        assert_eq!(
            (report.outcome, report.notes.len()),
            (RunOutcome::Complete, 1),
            "{name}: {report:?}"
        );
        assert!(
            report.notes[0].contains("skyai-internal"),
            "{name}: {:?}",
            report.notes
        );
        let posts = |stage: &Stage| {
            stage
                .sim
                .requests()
                .iter()
                .filter(|entry| entry.method == "POST")
                .count()
        };
        assert_eq!(posts(&stage), 1, "{name}: a POST was sent twice");
        assert_eq!(stage.sim.project_id("skyai-internal").is_some(), made, "{name}");
        stage.sim.clear_faults();
        let report = stage.later(15).run(&PROJECTS).await;
        assert_eq!(
            (report.outcome, report.notes.len()),
            (RunOutcome::Complete, 0),
            "{name}: {report:?}"
        );
        assert_eq!(posts(&stage), if made { 1 } else { 2 }, "{name}");
        project(&stage, "skyai-internal").await;
    }
}

/// Two syncs at once: the other one made it between our listing and our POST.
#[tokio::test]
async fn a_conflict_is_answered_by_listing_again() {
    let stage = Stage::with(Scenario::Default).await;
    let before = serde_json::json!({"projects": [], "links": {}, "meta": {"total": 0}});
    stage.sim.serve_body("/v2/projects", before.to_string());
    stage.sim.serve_answer(
        "/v2/projects",
        409,
        "application/json",
        r#"{"id": "conflict", "message": "taken"}"#,
    );
    let report = stage.run(&PROJECTS).await;
    assert_eq!(report.outcome, RunOutcome::Incomplete, "{report:?}");
    stage.sim.clear_bodies();
    stage
        .sim
        .create_project(serde_json::json!({"name": "skyai-internal", "purpose": "x"}))
        .unwrap();
    let report = stage.run(&PROJECTS).await;
    assert_eq!(
        (report.outcome, report.notes.len()),
        (RunOutcome::Complete, 0),
        "{report:?}"
    );
    assert!(stage.sim.requests().iter().all(|entry| entry.method == "GET"));
}
