//! Too much missing at once is no news but a doubt: nobody is struck until an operator, or time, says otherwise.
//!
//! When a complete listing is believed and when it is `suspect`, how what is missing is released, each thing by itself,
//! and that a release lasts until everything it was about is a tombstone, fifty proofs a run.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::inventory::edit::{self, Edit};
use shared::sync::{Report, RunOutcome};
use simulator::{Fault, FaultKind, Scenario};

use crate::invariants;
use crate::stage::{Stage, listing};

/// A mirrored account of so many droplets; their ids.
async fn mirrored(droplets: u64) -> (Stage, Vec<String>) {
    let stage = Stage::with(Scenario::Scale { droplets }).await;
    assert_eq!(stage.sync().await.outcome, RunOutcome::Complete);
    let items = stage.sim.items("droplets");
    (stage, items.iter().map(|item| item["id"].to_string()).collect())
}

fn destroy(stage: &Stage, ids: &[String]) {
    for id in ids {
        stage.sim.destroy("droplets", id).unwrap();
    }
}

fn verdict(report: &Report) -> (RunOutcome, u32, u32) {
    let outcome = &report.kinds[0].outcome;
    (report.outcome, outcome.struck, outcome.deleted)
}

#[tokio::test]
async fn how_much_is_too_much() {
    for (known, gone, outcome) in [
        (2, 2, RunOutcome::Complete), // too few to say
        (3, 3, RunOutcome::Suspect),  // nothing is left of something
        (3, 2, RunOutcome::Complete),
        (10, 4, RunOutcome::Complete),
        (10, 5, RunOutcome::Suspect),
        (16, 5, RunOutcome::Suspect),  // 31 %
        (17, 5, RunOutcome::Complete), // 29 %
    ] {
        let (mut stage, ids) = mirrored(known).await;
        destroy(&stage, &ids[..gone]);
        let report = stage.later(1).sync().await;
        let struck = if outcome == RunOutcome::Complete { gone } else { 0 };
        assert_eq!(report.outcome, outcome, "{gone} of {known}: {report:?}");
        assert_eq!(
            report.kinds[0].outcome.struck as usize, struck,
            "{gone} of {known}"
        );
        assert_eq!(report.kinds[0].outcome.missing as usize, gone);
        assert_eq!(
            report.kinds[0].outcome.reason.is_some(),
            outcome == RunOutcome::Suspect
        );
    }
}

/// What has just come must not vouch for what has just gone.
#[tokio::test]
async fn newcomers_do_not_make_a_loss_smaller() {
    let (mut stage, ids) = mirrored(10).await;
    let strangers: Vec<Value> = (0..40)
        .map(|n| json!({"id": 700_000 + n, "name": format!("stranger-{n}"), "status": "active"}))
        .collect();
    stage.serve("", &listing(&strangers));
    stage.serve("type=gpus&", &listing(&[]));
    let report = stage.later(1).sync().await;
    assert_eq!(verdict(&report), (RunOutcome::Suspect, 0, 0), "{report:?}");
    assert_eq!(report.kinds[0].outcome.missing as usize, ids.len());
}

#[tokio::test]
async fn a_suspect_listing_strikes_nobody_but_forgives() {
    let (mut stage, ids) = mirrored(20).await;
    destroy(&stage, &ids[..1]);
    let one: [&str; 1] = [&ids[1]];
    stage.hide(&one);
    stage.later(1).sync().await;
    assert_eq!(stage.strikes().await, (2, 0));
    // Ten more are gone, one that had a strike is back.
    let lost: Vec<&str> = ids[2..12].iter().map(String::as_str).collect();
    stage.hide(&lost);
    let report = stage.later(20).sync().await;
    assert_eq!(verdict(&report), (RunOutcome::Suspect, 0, 0));
    assert_eq!(report.kinds[0].outcome.cleared, 1);
    assert_eq!(stage.strikes().await, (1, 0));
    assert_eq!(stage.seen_at(&ids[1]).await, stage.now);
    let marker = stage.marker("droplet").await;
    assert_eq!(
        (&marker["verdict"], &marker["suspect_count"]),
        (&json!("suspect"), &json!(1))
    );
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn four_identical_runs_over_an_hour_release_and_the_release_follows_through() {
    let (mut stage, ids) = mirrored(180).await;
    destroy(&stage, &ids[..120]);
    // Many runs within the hour are not enough, and doubtful runs in between neither count nor reset.
    for minutes in [1, 5, 5, 5, 5] {
        let report = stage.later(minutes).sync().await;
        assert_eq!(verdict(&report), (RunOutcome::Suspect, 0, 0), "{report:?}");
    }
    stage
        .sim
        .fault(Fault::new(FaultKind::MissingMeta).on("/v2/droplets"));
    assert_eq!(stage.later(5).sync().await.outcome, RunOutcome::Incomplete);
    stage.sim.clear_faults();
    assert_eq!(stage.later(34).sync().await.outcome, RunOutcome::Suspect);
    let report = stage.later(1).sync().await;
    assert_eq!(
        verdict(&report),
        (RunOutcome::Complete, 120, 0),
        "an hour: {report:?}"
    );
    let report = stage.later(10).sync().await;
    assert_eq!(verdict(&report), (RunOutcome::Complete, 120, 0), "{report:?}");
    for (minutes, deleted) in [(10, 50), (1, 50), (1, 20), (1, 0)] {
        stage.sim.clear_requests();
        let report = stage.later(minutes).sync().await;
        assert_eq!(verdict(&report), (RunOutcome::Complete, 0, deleted), "{report:?}");
        assert_eq!(stage.proofs(), deleted as usize);
    }
    assert_eq!(stage.tombstones("droplet").await, 120);
    assert_eq!(stage.event_count().await, 180 + 120);
    assert_eq!(stage.marker("droplet").await["suspect_count"], 0);
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn four_identical_runs_need_their_hour_and_an_hour_needs_four_runs() {
    let (mut stage, ids) = mirrored(20).await;
    destroy(&stage, &ids[..10]);
    stage.later(1).sync().await;
    stage.later(60).sync().await;
    let report = stage.later(60).sync().await;
    assert_eq!(verdict(&report), (RunOutcome::Suspect, 0, 0), "three runs");
    let report = stage.later(60).sync().await;
    assert_eq!(verdict(&report), (RunOutcome::Complete, 10, 0), "{report:?}");
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn who_goes_missing_later_waits_for_himself() {
    let (mut stage, ids) = mirrored(30).await;
    destroy(&stage, &ids[..10]);
    for minutes in [1, 20, 20] {
        let report = stage.later(minutes).sync().await;
        assert_eq!(verdict(&report), (RunOutcome::Suspect, 0, 0), "{report:?}");
    }
    destroy(&stage, &ids[10..18]);
    // The first ten have their hour; of the twenty that are left, eight are missing.
    let report = stage.later(20).sync().await;
    assert_eq!(verdict(&report), (RunOutcome::Suspect, 10, 0), "{report:?}");
    for (minutes, struck, deleted) in [
        (10, 10, 0),
        (10, 0, 10),
        (10, 0, 0),
        (30, 8, 0),
        (10, 8, 0),
        (10, 0, 8),
    ] {
        let report = stage.later(minutes).sync().await;
        let outcome = &report.kinds[0].outcome;
        assert_eq!((outcome.struck, outcome.deleted), (struck, deleted), "{report:?}");
    }
    assert_eq!(stage.sync().await.outcome, RunOutcome::Complete);
    assert_eq!(stage.tombstones("droplet").await, 18);
    invariants::hold(&stage.pool).await;
}

/// Where something goes and something comes every few minutes, no two listings lack the same. What is gone gets its
/// tombstone all the same, within an hour and three strikes.
#[tokio::test]
async fn an_account_that_is_never_the_same_twice_is_suspect_and_kept_up_with() {
    let (mut stage, mut ids) = mirrored(12).await;
    let mut gone = Vec::new();
    let mut suspect = 0;
    for round in 0..80 {
        let oldest = ids.remove(0);
        destroy(&stage, std::slice::from_ref(&oldest));
        gone.push((round, oldest));
        let spec = json!({"name": format!("runner-{round}")});
        ids.push(stage.sim.create("droplets", spec).unwrap()["id"].to_string());
        for _ in 0..3 {
            let report = stage.later(1).sync().await;
            suspect += u32::from(report.outcome == RunOutcome::Suspect);
        }
    }
    assert!(suspect > 100, "{suspect}");
    // An hour, two spacings, and the ticks between: gone for 90 minutes, 30 rounds, is told.
    for (round, id) in gone.iter().filter(|(round, _)| *round < 50) {
        let row = stage.row("droplet", id).await;
        assert!(row.deleted_at.is_some(), "gone since round {round}");
    }
    for id in &ids {
        assert!(stage.row("droplet", id).await.deleted_at.is_none());
    }
    invariants::hold(&stage.pool).await;
}

/// Time alone kills nobody: whoever answers by id is held for ever.
#[tokio::test]
async fn a_listing_that_lies_for_days_kills_nobody() {
    let (mut stage, _) = mirrored(60).await;
    let lie = FaultKind::LostScopeRows { permille: 600 };
    stage.sim.fault(Fault::new(lie).on("/v2/droplets"));
    let mut contradicted = 0;
    for _ in 0..30 {
        let report = stage.later(60).sync().await;
        assert_eq!(report.kinds[0].outcome.deleted, 0, "{report:?}");
        contradicted += report.kinds[0].outcome.contradicted;
    }
    assert!(contradicted > 0, "never proven");
    assert_eq!(stage.tombstones("droplet").await, 0);
    stage.sim.clear_faults();
    stage.later(60).sync().await;
    assert_eq!(stage.strikes().await, (0, 0));
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn an_operators_release_is_for_what_was_missing_and_follows_it() {
    let (mut stage, ids) = mirrored(100).await;
    destroy(&stage, &ids[..70]);
    stage.later(1).sync().await;
    release(&stage).await;
    // Ten more of the thirty that are left were not released, and the seventy are none the worse for it.
    destroy(&stage, &ids[70..80]);
    assert_eq!(
        verdict(&stage.later(1).sync().await),
        (RunOutcome::Suspect, 70, 0)
    );
    release(&stage).await;
    for (minutes, struck, deleted) in [(10, 80, 0), (10, 10, 50), (10, 0, 30)] {
        let report = stage.later(minutes).sync().await;
        assert_eq!(
            verdict(&report),
            (RunOutcome::Complete, struck, deleted),
            "{report:?}"
        );
    }
    // Used up: what goes missing next has to be released by itself.
    assert!(stage.marker("droplet").await["released_by"].is_null());
    let left: BTreeSet<&str> = ids[80..].iter().map(String::as_str).collect();
    stage.hide(&left.into_iter().collect::<Vec<_>>());
    assert_eq!(verdict(&stage.later(1).sync().await), (RunOutcome::Suspect, 0, 0));
    invariants::hold(&stage.pool).await;
}

async fn release(stage: &Stage) {
    let edit = Edit {
        by: "ada",
        reason: "they are gone",
        versions: None,
        now: stage.now,
    };
    edit::release(&stage.pool, "droplet", None, Some(edit.reason), &edit)
        .await
        .unwrap();
}
