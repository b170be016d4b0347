//! Too much missing at once is no news but a doubt: nobody is struck until an operator, or time, says otherwise.
//!
//! When a complete listing is believed and when it is `suspect`, how it is released for exactly one state, and
//! that a release lasts until everything it was about is a tombstone, fifty proofs a run.

use std::collections::BTreeSet;

use serde_json::{Value, json};
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
    // Another state is another suspicion.
    destroy(&stage, &ids[10..11]);
    for _ in 0..3 {
        let report = stage.later(19).sync().await;
        assert_eq!(verdict(&report), (RunOutcome::Suspect, 0, 0), "{report:?}");
    }
    let report = stage.later(19).sync().await;
    assert_eq!(verdict(&report), (RunOutcome::Suspect, 0, 0), "57 minutes");
    let report = stage.later(3).sync().await;
    assert_eq!(verdict(&report), (RunOutcome::Complete, 11, 0), "{report:?}");
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
async fn an_operators_release_is_for_one_state_and_follows_it() {
    let (mut stage, ids) = mirrored(100).await;
    destroy(&stage, &ids[..70]);
    stage.later(1).sync().await;
    release(&stage).await;
    // Something else is missing now: not what was released.
    destroy(&stage, &ids[70..71]);
    assert_eq!(verdict(&stage.later(1).sync().await), (RunOutcome::Suspect, 0, 0));
    release(&stage).await;
    for (minutes, struck, deleted) in [(1, 71, 0), (10, 71, 0), (10, 0, 50), (1, 0, 21)] {
        let report = stage.later(minutes).sync().await;
        assert_eq!(
            verdict(&report),
            (RunOutcome::Complete, struck, deleted),
            "{report:?}"
        );
    }
    // Used up: the same again has to be released again.
    let left: BTreeSet<&str> = ids[71..].iter().map(String::as_str).collect();
    stage.hide(&left.into_iter().collect::<Vec<_>>());
    assert_eq!(verdict(&stage.later(1).sync().await), (RunOutcome::Suspect, 0, 0));
    invariants::hold(&stage.pool).await;
}

/// As the API's `release` does it.
async fn release(stage: &Stage) {
    let done = sqlx::query(
        "UPDATE sync_markers SET released_fingerprint = suspect_fingerprint, released_by = 'ada', released_at = $1
         WHERE kind = 'droplet' AND verdict = 'suspect'",
    )
    .bind(stage.now)
    .execute(&stage.pool)
    .await
    .unwrap();
    assert_eq!(done.rows_affected(), 1);
}
