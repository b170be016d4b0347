//! Many writers at once over an account that does not hold still: no deadlock, no lie, nothing lost.
//!
//! Once through runs with a lease, whose clocks differ so that some take the lease over from others who are in
//! the middle of their work; once past the lease, as reconciliations that only the mirror lock keeps apart. The
//! account changes between and during them. Whatever came of it, the invariants hold, and when the account comes
//! to rest the mirror agrees with it.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shared::digitalocean::listing::{CompleteListing, Walk};
use shared::inventory::{self, Actor, Error, Known, Observation, Outcome, Partial, Proofs};
use shared::kinds::droplet::DROPLET;
use shared::kinds::entry::{self, Reader};
use shared::kinds::{Glimpse, Sighting, Told};
use shared::runs::Tick;
use shared::sync::{self, RunOutcome, Station};
use simulator::{Churn, Scenario, Simulator};
use sqlx::Connection;

use crate::frozen::{MIRROR_LOCK, holding};
use crate::invariants;
use crate::stage::{self, Stage};

const WRITERS: u64 = 8;
const SPACING: Duration = Duration::from_secs(600);

/// Changes the account a few times while a round is under way.
async fn churn(sim: &Simulator, seed: u64) {
    for part in 0..4 {
        sim.churn(&Churn {
            seed: seed * 4 + part,
            count: Some(12),
            create: 2,
            change: 8,
            destroy: 2,
            ..Churn::default()
        })
        .unwrap();
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

async fn deadlocks(stage: &Stage) -> i64 {
    sqlx::query_scalar("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        .fetch_one(&stage.pool)
        .await
        .unwrap()
}

/// Lets the account come to rest and the mirror follow; then both must say the same.
async fn agree(stage: &mut Stage) {
    for minutes in [10, 11, 11, 11] {
        let report = stage.later(minutes).sync().await;
        assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    }
    let account: BTreeMap<String, (String, String)> = stage
        .sim
        .items("droplets")
        .iter()
        .map(|item| {
            let text = |key: &str| item[key].as_str().unwrap().to_owned();
            (item["id"].to_string(), (text("name"), text("status")))
        })
        .collect();
    let rows = stage.rows("droplet").await;
    let live = rows.iter().filter(|row| row.deleted_at.is_none());
    let mirror: BTreeMap<_, _> = live
        .map(|row| (row.provider_id.clone(), (row.name.clone(), row.status.clone())))
        .collect();
    assert!(
        mirror == account,
        "mirror {} and account {}",
        mirror.len(),
        account.len()
    );
    assert!(rows.len() > mirror.len(), "nothing ever died");
    assert_eq!(deadlocks(stage).await, 0);
}

async fn with_leases(rounds: u64) {
    let mut stage = Stage::with(Scenario::Scale { droplets: 1_000 }).await;
    let stations: Vec<Station> =
        join_all((0..WRITERS).map(|_| stage::station(&stage.database, &stage.sim, &[]))).await;
    let mut rng = ChaCha8Rng::seed_from_u64(rounds);
    let mut outcomes: BTreeMap<String, u32> = BTreeMap::new();
    for round in 0..rounds {
        stage.later(2);
        let runs = stations.iter().map(|station| {
            // A lease lasts thirty seconds: whose clock is ahead takes it over.
            let now = stage.now + TimeDelta::seconds(31) * rng.random_range(0..3);
            let pause = Duration::from_millis(rng.random_range(0..60));
            async move {
                tokio::time::sleep(pause).await;
                sync::run_at(station, &sync::DROPLETS, Tick::default(), now, None).await
            }
        });
        let (reports, ()) = futures_util::join!(join_all(runs), churn(&stage.sim, round));
        for report in reports {
            let word = report.error_class.unwrap_or(report.outcome.name());
            // Somebody else at work, something newer there, the lease lost, pages that shifted: all fine.
            let fine = ["complete", "busy", "overtaken", "fenced", "incomplete"];
            assert!(fine.contains(&word), "{report:?}");
            *outcomes.entry(word.to_owned()).or_default() += 1;
        }
        if round % 10 == 0 {
            invariants::hold(&stage.pool).await;
        }
    }
    assert!(
        outcomes.contains_key("busy") && outcomes.contains_key("fenced"),
        "no contention: {outcomes:?}"
    );
    agree(&mut stage).await;
    let events = invariants::hold(&stage.pool).await;
    println!("{rounds} rounds, {events} events, {outcomes:?}");
}

/// What one walk over both listings has seen.
struct Seen {
    sightings: Vec<Sighting>,
    whole: Result<Option<CompleteListing>, String>,
    proofs: Proofs,
    known: Known,
    begun_at: DateTime<Utc>,
}

/// Walks and proves as a worker does, but past the lease.
async fn look(station: &Station, begun_at: DateTime<Utc>) -> Seen {
    let session = station.client.open(false).await.unwrap();
    let known = inventory::known(&station.pool, &DROPLET).await.unwrap();
    let mut sightings = Vec::new();
    let mut whole: Result<_, String> = Ok(None);
    for listing in DROPLET.listings {
        let members = entry::members(&DROPLET, listing.holds);
        let mut reader = Reader::new(&DROPLET, listing.holds, &members);
        let mut keep = |glimpse: Glimpse<'_>| sightings.push(glimpse.keep());
        let mut walk = Walk::new(&session, listing.collection.clone(), &members, begun_at);
        while !walk.is_over() {
            walk.send(u32::MAX, begun_at);
            let answered = walk.answered().await;
            let Some(answered) = answered else { continue };
            walk.take(answered, &mut |item| {
                reader.read(item, None, &Told::new(), &mut keep)
            });
        }
        whole = match (whole, walk.finish().map_err(|why| why.to_string())) {
            (Ok(None), Ok(listing)) => Ok(Some(listing)),
            (Ok(Some(before)), Ok(listing)) => Ok(Some(listing.join(before))),
            (Err(why), _) | (Ok(_), Err(why)) => Err(why),
        };
    }
    let mut proofs = Proofs::new();
    if let Ok(Some(listing)) = &whole {
        let due = inventory::due_for_proof(&station.pool, &DROPLET, listing, begun_at, SPACING, 50).await;
        for one in due.unwrap() {
            let proof = session
                .prove(&format!("/v2/droplets/{}", one.provider_id), None, begun_at)
                .await;
            proofs.insert(one.provider_id, proof.unwrap());
        }
    }
    Seen {
        sightings,
        whole,
        proofs,
        known,
        begun_at,
    }
}

async fn reconcile(station: &Station, seen: &Seen) -> Result<&'static str, Error> {
    let actor = Actor {
        name: "overlap",
        lease: None,
    };
    let observation = Observation {
        kind: &DROPLET,
        sightings: seen.sightings.clone(),
        recorded: Outcome::default(),
        listing: match &seen.whole {
            Ok(listing) => Ok(listing.as_ref().unwrap()),
            Err(why) => Err(Partial::Incomplete(why)),
        },
        begun_at: seen.begun_at,
    };
    let (pool, now) = (&station.pool, seen.begun_at);
    let outcome =
        inventory::reconcile(pool, actor, &seen.known, observation, &seen.proofs, now, SPACING).await?;
    Ok(outcome.verdict.name())
}

async fn past_the_lease(rounds: u64) {
    let mut stage = Stage::with(Scenario::Scale { droplets: 1_000 }).await;
    let stations: Vec<Station> =
        join_all((0..WRITERS).map(|_| stage::station(&stage.database, &stage.sim, &[]))).await;
    let mut rng = ChaCha8Rng::seed_from_u64(rounds);
    let mut outcomes: BTreeMap<&'static str, u32> = BTreeMap::new();
    for round in 0..rounds {
        stage.later(4);
        // Every other round both begin at the same moment, so that neither can be refused for being late.
        let later = stage.now + TimeDelta::milliseconds(rng.random_range(0..=1));
        let older = look(&stations[0], stage.now).await;
        let (newer, ()) = futures_util::join!(look(&stations[1], later), churn(&stage.sim, round));
        let ends = join_all(stations.iter().map(|station| {
            let seen = if rng.random() { &older } else { &newer };
            let pause = Duration::from_millis(rng.random_range(0..10));
            async move {
                tokio::time::sleep(pause).await;
                reconcile(station, seen).await
            }
        }));
        let ends = ends.await;
        for end in ends {
            let word = match end {
                Ok(verdict) => verdict,
                Err(Error::Overtaken(_)) => "overtaken",
                Err(error) => panic!("round {round}: {error}"),
            };
            *outcomes.entry(word).or_default() += 1;
        }
        if round % 10 == 0 {
            invariants::hold(&stage.pool).await;
        }
    }
    assert!(
        outcomes["complete"] > u32::try_from(rounds).unwrap(),
        "no overlap: {outcomes:?}"
    );
    agree(&mut stage).await;
    let events = invariants::hold(&stage.pool).await;
    println!("{rounds} rounds, {events} events, {outcomes:?}");
}

#[tokio::test]
async fn eight_runs_with_leases_over_a_changing_account() {
    with_leases(20).await;
}

#[tokio::test]
async fn eight_reconciliations_past_the_lease_over_a_changing_account() {
    past_the_lease(20).await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_eight_runs_with_leases_over_a_changing_account() {
    with_leases(200).await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_eight_reconciliations_past_the_lease_over_a_changing_account() {
    past_the_lease(200).await;
}

/// A writer that waits for the mirror gives up after twenty seconds, and says that it was busy.
#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_a_writer_waits_twenty_seconds_and_no_longer() {
    let stage = Stage::with(Scenario::Default).await;
    let holder = holding(&stage.database, MIRROR_LOCK).await;
    let begun = std::time::Instant::now();
    let report = stage.sync().await;
    assert_eq!(
        (report.outcome, report.error_class),
        (RunOutcome::Busy, Some("mirror_busy")),
        "{report:?}"
    );
    assert!(
        (19..25).contains(&begun.elapsed().as_secs()),
        "{:?}",
        begun.elapsed()
    );
    holder.close().await.unwrap();
    assert_eq!(stage.sync().await.outcome, RunOutcome::Complete);
}
