//! A week of everything, played through `run_at`: all workers at their real cadences (read from the template), one
//! request in twenty broken in one of many ways, an account that changes all the time, ticks that come twice, late
//! or not at all.
//!
//! In the end, after as many quiet hours as the rules ask for, the mirror is the account: the same things, alive, with the
//! same content and attribution as in a mirror that is made of the account anew; and the events replay to the table. The
//! suite plays a day of it, `make prove` the week.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::TimeDelta;
use harness::services::Services;
use harness::stack::cadences;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use shared::database::Pool;
use shared::kinds::{CATALOGUE, Kind};
use shared::runs::Tick;
use shared::sync::{self, RunOutcome, WORKERS};
use simulator::{Churn, FAULT_NAMES, Fault, FaultKind, Scenario};

use crate::catalogue::{id_of, there};
use crate::invariants;
use crate::stage::{Stage, station};

/// Faults that take real time are for other tests: here a week has to pass in minutes.
const SLOW: &[&str] = &[
    "hang",
    "slow",
    "trickle",
    "oversized_body",
    "burst_429",
    "hourly_429",
    "truncated_gzip",
];

/// What an invocation has: enough for its work, not for long waits.
const TIME_LEFT: Duration = Duration::from_secs(3);

fn a_fault(chance: &mut ChaCha8Rng) -> Fault {
    let names: Vec<&str> = FAULT_NAMES
        .iter()
        .copied()
        .filter(|name| !SLOW.contains(name))
        .collect();
    let mut fault = Fault::new(FaultKind::named(names.choose(chance).unwrap()).unwrap());
    fault.times = Some(1);
    fault.skip = chance.random_range(0..4);
    fault
}

/// Quiet rounds until what is gone has its tombstone, but for the proofs: four identical listings before so much missing
/// at once is believed, of which the fourth is the first strike, then two more strikes, and a round that sees nothing new.
const ROUNDS: usize = 7;

/// Proofs of one kind in one run: so many more rounds does it take where more is gone.
const PROOFS: usize = 50;

/// Changes a little of a few collections.
fn change(stage: &Stage, chance: &mut ChaCha8Rng) {
    for collection in [
        "droplets",
        "volumes",
        "load_balancers",
        "firewalls",
        "domains",
        "databases",
        "snapshots",
        "vpcs",
    ] {
        if chance.random_bool(0.3) {
            let churn = Churn {
                seed: chance.random(),
                collection: collection.to_owned(),
                count: Some(1),
                create: u64::from(chance.random_bool(0.4)),
                change: 1,
                // Fewer than are made, or the smaller kinds would be suspect from the first day to the last.
                destroy: u64::from(chance.random_bool(0.3)),
                moves: 1,
                linger: chance.random_bool(0.5),
                ..Churn::default()
            };
            stage.sim.churn(&churn).unwrap();
        }
    }
}

async fn play(seed: u64, length: TimeDelta) {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut stage = Stage::with(Scenario::Default).await;
    stage.sim.set_volatile(true);
    let cadences = cadences().unwrap();
    let start = stage.now;
    let (mut runs, mut incomplete) = (0_u32, 0_u32);
    while stage.now < start + length {
        stage.later(1);
        if chance.random_bool(0.1) {
            change(&stage, &mut chance);
        }
        // About one request in twenty: a run has three or four.
        if chance.random_bool(0.15) {
            stage.sim.fault(a_fault(&mut chance));
        }
        for worker in WORKERS {
            let due = cadences
                .iter()
                .any(|(name, cadence)| *name == worker.name && cadence.is_due(stage.now));
            if !due || chance.random_bool(0.02) {
                continue; // not its minute, or the tick is lost
            }
            let late = TimeDelta::seconds(if chance.random_bool(0.05) {
                chance.random_range(0..600)
            } else {
                0
            });
            let twice = chance.random_bool(0.05);
            for _ in 0..=u8::from(twice) {
                let tick = Tick {
                    scheduled_for: Some(stage.now),
                    max_age: Some(Duration::from_secs(300)),
                };
                let report =
                    sync::run_at(&stage.station, worker, tick, stage.now + late, Some(TIME_LEFT)).await;
                runs += 1;
                incomplete += u32::from(!matches!(
                    report.outcome,
                    RunOutcome::Complete | RunOutcome::Done | RunOutcome::Stale
                ));
            }
        }
        if chance.random_bool(0.2) {
            stage.sim.clear_faults();
        }
    }
    // A quiet time: everything is listed whole, often enough to strike what is gone.
    stage.sim.clear_faults();
    stage.sim.set_volatile(false);
    let most = quiet_round(&mut stage).await;
    let rounds = ROUNDS + most / PROOFS;
    let (mut missing, mut round) = (most, 1);
    while missing > 0 {
        round += 1;
        assert!(
            round <= rounds,
            "seed {seed}: {missing} of {most} are there after {rounds} quiet rounds"
        );
        missing = quiet_round(&mut stage).await;
    }
    println!(
        "seed {seed}: {runs} runs, {incomplete} of them not complete, {} events",
        stage.event_count().await
    );
    assert!(runs > 0 && incomplete > 0);
    check(&stage, seed).await;
}

/// Every worker, an hour later; answers how many of the kind that lacks most are missing and have no tombstone yet.
async fn quiet_round(stage: &mut Stage) -> usize {
    stage.later(61);
    let mut most = 0;
    for worker in WORKERS {
        for done in stage.run(worker).await.kinds {
            most = most.max(done.outcome.missing as usize);
        }
    }
    most
}

/// The mirror is the account.
async fn check(stage: &Stage, seed: u64) {
    for kind in CATALOGUE
        .iter()
        .copied()
        .filter(|kind: &&Kind| !kind.is_known_by_urn_only())
    {
        let there: BTreeSet<String> = there(stage, kind).iter().map(|item| id_of(kind, item)).collect();
        let rows = stage.rows(kind.name).await;
        let alive: BTreeSet<String> = rows
            .iter()
            .filter(|row| row.deleted_at.is_none())
            .map(|row| row.provider_id.clone())
            .collect();
        assert_eq!(alive, there, "seed {seed}: {}", kind.name);
    }
    for (urn, project) in stage.sim.members() {
        let urn = shared::kinds::urn::parse(&urn).unwrap();
        let stored: Option<String> = sqlx::query_scalar(
            "SELECT p.provider_id FROM cloud_resources r JOIN cloud_projects p ON p.id = r.cloud_project_id
             WHERE r.kind = $1 AND r.provider_id = $2 AND r.deleted_at IS NULL",
        )
        .bind(urn.kind.as_ref())
        .bind(urn.provider_id)
        .fetch_optional(&stage.pool)
        .await
        .unwrap();
        assert_eq!(stored.as_deref(), Some(project.as_str()), "seed {seed}: {urn:?}");
    }
    anew(stage, seed).await;
    invariants::hold(&stage.pool).await;
}

/// Whatever the mirror went through, it says what one says that has seen nothing but the end.
async fn anew(stage: &Stage, seed: u64) {
    let database = Services::from_env().unwrap().database().await.unwrap();
    let fresh = station(&database, &stage.sim, &[]).await;
    // Twice: the second pass finds whose things are that the first had not seen yet.
    for _ in 0..2 {
        for worker in WORKERS {
            sync::run_at(&fresh, worker, Tick::default(), stage.now, None).await;
        }
    }
    let theirs = contents(&fresh.pool).await;
    let ours = contents(&stage.pool).await;
    for (one, (content, whose)) in &theirs {
        let (mut own_content, own_whose) = ours[one].clone();
        // What an item does not say any more is unknown, and stays what it was.
        let said = content["attrs"].as_object().unwrap();
        let attrs = own_content["attrs"].as_object_mut().unwrap();
        attrs.retain(|key, _| said.contains_key(key));
        if content["status"] == "unknown" {
            own_content["status"] = content["status"].clone();
        }
        assert_eq!(&own_content, content, "seed {seed}: {one:?}");
        // Who has seen the parent of a thing before it was gone knows more.
        assert!(
            own_whose == *whose || whose["rule"] == "none",
            "seed {seed}: {one:?}: {own_whose} and {whose}"
        );
    }
    assert_eq!(ours.len(), theirs.len(), "seed {seed}");
}

/// Every living thing by kind and id: its content, and whose it is.
async fn contents(pool: &Pool) -> BTreeMap<(String, String), (Value, Value)> {
    let rows = sqlx::query_as(
        "SELECT r.kind, r.provider_id, jsonb_build_object('name', r.name, 'region', r.region, 'status', r.status,
                'tags', r.tags, 'attrs', r.attrs),
                jsonb_build_object('project', p.provider_id, 'rule', r.attribution)
         FROM cloud_resources r LEFT JOIN cloud_projects p ON p.id = r.cloud_project_id WHERE r.deleted_at IS NULL",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(kind, id, content, whose): (String, String, Value, Value)| ((kind, id), (content, whose)))
        .collect()
}

#[tokio::test]
async fn a_day_of_everything_ends_in_the_truth() {
    play(0x5eed, TimeDelta::days(1)).await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_a_week_of_everything_ends_in_the_truth() {
    play(0xcafe, TimeDelta::days(7)).await;
}
