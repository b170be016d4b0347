//! Everything that can go wrong with a listing, at every place where it can: nobody who exists is ever struck.
//!
//! Each trial destroys some droplets for real, so that a listing that is wrongly believed would strike, then
//! puts one fault of the simulator at one page of one listing, once or for good, and runs a sync. A run that is
//! not complete says why, pays for every request, ends in its time and gives nobody a strike; the token goes
//! nowhere else. A run afterwards finds everything as it should be.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use shared::sync::{Report, RunOutcome};
use simulator::{Fault, FaultKind, Scenario};
use sqlx::Row;

use crate::invariants;
use crate::stage::Stage;

/// Pages of the two listings: 450 droplets are three pages, the GPU droplets are one.
const PLACES: [(&str, u64); 4] = [
    ("per_page", 1),
    ("per_page", 2),
    ("per_page", 3),
    ("type=gpus", 1),
];
/// Trials under way at a time, each in an account of its own.
const LANES: usize = 6;
/// What an invocation has: half of it is kept for writing, the other half is for asking again.
const TIME_LEFT: Duration = Duration::from_secs(6);

/// Answers that are well formed and consistent and lie: no listing can tell. What tells is the proof by id.
const LIES: [&str; 3] = ["empty_list", "lost_scope_rows", "other_team"];

struct Trial {
    kind: FaultKind,
    place: (&'static str, u64),
    /// Once, or for as long as it lasts.
    once: bool,
    rng: ChaCha8Rng,
}

impl Trial {
    fn name(&self) -> String {
        let often = if self.once { "once" } else { "for good" };
        format!("{} on {:?} {often}", self.kind.name(), self.place)
    }

    fn fault(&self) -> Fault {
        let (query, page) = self.place;
        let fault = Fault::new(self.kind.clone())
            .exactly_on("/v2/droplets")
            .query(query)
            .page(page);
        if self.once { fault.once() } else { fault }
    }
}

/// Strikes of every row; tombstones have three.
async fn strikes(stage: &Stage) -> BTreeMap<String, i16> {
    let rows = sqlx::query("SELECT provider_id, stale_strike_count FROM cloud_resources")
        .fetch_all(&stage.pool)
        .await
        .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Who exists, by the account's own membership: reading every droplet would take longer than a sync.
fn alive(stage: &Stage) -> BTreeSet<String> {
    let members = stage.sim.members().into_iter();
    members
        .filter_map(|(urn, _)| urn.strip_prefix("do:droplet:").map(str::to_owned))
        .collect()
}

/// Requests reserved in this run.
async fn paid(stage: &Stage) -> i64 {
    sqlx::query_scalar("SELECT (SELECT sum(slot) FROM unnest(hour_ring) slot)::bigint FROM token_budgets")
        .fetch_one(&stage.pool)
        .await
        .unwrap()
}

async fn attempt(stage: &mut Stage, trial: &mut Trial) {
    let name = trial.name();
    // Some are really gone, so that somebody would be struck by a listing that is wrongly believed.
    let mut ids: Vec<String> = alive(stage).into_iter().collect();
    ids.shuffle(&mut trial.rng);
    for id in ids.iter().take(trial.rng.random_range(1..4)) {
        stage.sim.destroy("droplets", id).unwrap();
    }
    sqlx::query("DELETE FROM token_budgets")
        .execute(&stage.pool)
        .await
        .unwrap();
    let before = strikes(stage).await;
    stage.sim.clear_requests();
    stage.sim.fault(trial.fault());
    let begun = Instant::now();
    let report = stage.later(11).sync_within(TIME_LEFT).await;
    // Lanes share a thread: what is measured is that it ends at all, and long before a request would.
    let took = begun.elapsed();
    assert!(took.as_secs() < 20, "{name}: {took:?}");
    let fired: u64 = stage.sim.faults().iter().map(|placed| placed.fired).sum();
    // On a busy machine the time may be up before it is its turn.
    assert!(
        fired > 0 || report.outcome != RunOutcome::Complete,
        "{name}: never fired"
    );
    judge(stage, trial, &name, &report, &before).await;
    let sent = i64::try_from(stage.sim.requests().len()).unwrap();
    let paid = paid(stage).await;
    let told = i64::from(report.requests);
    assert!(
        sent <= told && told <= paid,
        "{name}: {sent} sent, {told} reported, {paid} paid"
    );
    // Where the time is up between paying for a proof and asking for it, the proof is done without.
    let cut_off = i64::from(took >= TIME_LEFT / 2);
    assert!(
        paid - sent <= cut_off || report.outcome != RunOutcome::Complete,
        "{name}: {sent} sent, {paid} paid in {took:?}"
    );
    // And when it is over, it is over.
    stage.sim.clear_faults();
    sqlx::query("DELETE FROM token_budgets")
        .execute(&stage.pool)
        .await
        .unwrap();
    let report = stage.later(11).sync().await;
    assert_eq!(report.outcome, RunOutcome::Complete, "after {name}: {report:?}");
    let alive = alive(stage);
    for (id, strikes) in strikes(stage).await {
        assert_eq!(
            alive.contains(&id),
            strikes == 0,
            "after {name}: {id} has {strikes} strikes"
        );
    }
}

async fn judge(stage: &Stage, trial: &Trial, name: &str, report: &Report, before: &BTreeMap<String, i16>) {
    let alive = alive(stage);
    let lie = LIES.contains(&trial.kind.name().as_str());
    let believed = report.outcome == RunOutcome::Complete;
    if !believed {
        let reason = report.kinds.first().and_then(|kind| kind.outcome.reason.as_ref());
        assert!(
            reason.or(report.error.as_ref()).is_some(),
            "{name} without a reason: {report:?}"
        );
    }
    for (id, strikes) in strikes(stage).await {
        let was = before.get(&id).copied().unwrap_or(0);
        let there = alive.contains(&id);
        assert!(
            !there || strikes < 3,
            "{name}: {id} is alive and a tombstone: {report:?}"
        );
        assert!(
            !there || strikes == 0 || lie,
            "{name}: {id} is alive and has {strikes} strikes: {report:?}"
        );
        assert!(
            strikes <= was || believed,
            "{name}: {id} was struck by what is no proof: {report:?}"
        );
    }
}

/// Every fault kind at every place, so many times; answers how many trials there were.
async fn trials(seeds: std::ops::Range<u64>) -> usize {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let host = format!("http://{}", elsewhere.local_addr().unwrap());
    let kinds: Vec<FaultKind> = FaultKind::all()
        .into_iter()
        .map(|kind| match kind {
            FaultKind::Redirect { .. } => FaultKind::Redirect { host: host.clone() },
            FaultKind::ForeignNext { .. } => FaultKind::ForeignNext { host: host.clone() },
            other => other,
        })
        .collect();
    assert!(kinds.len() >= 24);
    let mut all = Vec::new();
    for seed in seeds {
        for (which, kind) in kinds.iter().enumerate() {
            for (at, place) in PLACES.into_iter().enumerate() {
                all.push(Trial {
                    kind: kind.clone(),
                    place,
                    once: (which + at + usize::try_from(seed).unwrap()) % 2 == 1,
                    rng: ChaCha8Rng::seed_from_u64(seed * 1_000 + (which * 4 + at) as u64),
                });
            }
        }
    }
    let count = all.len();
    let mut lanes: Vec<Vec<Trial>> = (0..LANES).map(|_| Vec::new()).collect();
    for (at, trial) in all.into_iter().enumerate() {
        // A lane gets every place of a kind, and no more than its share of those that take their time.
        lanes[(at / PLACES.len()) % LANES].push(trial);
    }
    stream::iter(lanes).for_each_concurrent(LANES, lane).await;
    let seen = elsewhere.accept().map(|(_, from)| from);
    assert!(seen.is_err(), "somebody came to the other host: {seen:?}");
    count
}

async fn lane(trials: Vec<Trial>) {
    let mut stage = Stage::with(Scenario::Scale { droplets: 450 }).await;
    let mut gpus = BTreeSet::new();
    refill(&stage, &mut gpus);
    assert_eq!(stage.sync().await.outcome, RunOutcome::Complete);
    for mut trial in trials {
        attempt(&mut stage, &mut trial).await;
        refill(&stage, &mut gpus);
    }
    invariants::hold(&stage.pool).await;
}

/// Keeps the account at three pages, and some of it GPU droplets.
fn refill(stage: &Stage, gpus: &mut BTreeSet<String>) {
    let alive = alive(stage);
    gpus.retain(|id| alive.contains(id));
    while gpus.len() < 3 {
        let spec = json!({"name": "tiles", "size": "gpu-l40sx1-48gb", "region": "tor1"});
        gpus.insert(stage.sim.create("droplets", spec).unwrap()["id"].to_string());
    }
    for _ in alive.len()..430 {
        stage.sim.create("droplets", json!({"name": "filler"})).unwrap();
    }
}

#[tokio::test]
async fn no_fault_at_any_page_strikes_who_exists() {
    assert_eq!(trials(0..1).await, FaultKind::all().len() * PLACES.len());
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_no_fault_at_any_page_strikes_who_exists() {
    let count = trials(1..11).await;
    println!("{count} trials, seeds 1 to 10");
}
