//! What a sync costs, beside what it cannot do without: `make bench`.
//!
//! In one run on one machine: downloading and reading every page (the limit), a first sync, one in which nothing
//! changed, one in which 1% changed. Medians; ratios to the limit of the same size, because machines are noisy.
//! Each figure carries its correctness: a wrong count of rows or events ends the run. It is no test: it never
//! fails for being slow.

// Printing is what a benchmark is for, and whatever goes wrong here ends it.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

#[path = "../src/stage.rs"]
#[expect(dead_code, reason = "the stage of the tests, of which this needs little")]
mod stage;

use std::time::{Duration, Instant};

use serde_json::json;
use shared::digitalocean::listing::{Entry, Walk};
use shared::kinds::Sighting;
use shared::kinds::droplet::DROPLET;
use simulator::{Churn, Scenario};
use stage::Stage;

const REPETITIONS: usize = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("| droplets | latency | what | median | × limit | WAL bytes a row | events |");
    println!("| ---: | ---: | --- | ---: | ---: | ---: | ---: |");
    let mut lines = Vec::new();
    for (droplets, latency) in [(1_000, 0), (10_000, 0), (10_000, 80)] {
        let mut measured: Vec<(&str, Vec<Duration>, i64, i64)> = Vec::new();
        let mut note =
            |what, took: Duration, wal: i64, events: i64| match measured.iter_mut().find(|m| m.0 == what) {
                Some(entry) => entry.1.push(took),
                None => measured.push((what, vec![took], wal, events)),
            };
        for repetition in 0..REPETITIONS {
            let mut stage = Stage::with(Scenario::Scale { droplets }).await;
            stage.sim.set_latency(latency);
            note("download and read", limit(&stage).await, 0, 0);
            let (took, wal, events) = sync(&mut stage).await;
            assert_eq!(events as u64, droplets, "first sync");
            note("first sync", took, wal, events);
            let (took, wal, events) = sync(&mut stage).await;
            assert_eq!(events, 0, "nothing changed");
            note("nothing changed", took, wal, events);
            let churn = Churn {
                seed: repetition as u64,
                permille: 10,
                create: 0,
                destroy: 0,
                change: 1,
                ..Churn::default()
            };
            let changed = stage.sim.churn(&churn).unwrap().changed.len();
            let (took, wal, events) = sync(&mut stage).await;
            assert!(
                events as usize <= changed && events > 0,
                "{events} events of {changed} changes"
            );
            note("1% changed", took, wal, events);
        }
        let base = median(&measured[0].1);
        for (what, times, wal, events) in &measured {
            let (took, per_row) = (median(times), *wal as f64 / droplets as f64);
            let ratio = took.as_secs_f64() / base.as_secs_f64();
            println!(
                "| {droplets} | {latency} ms | {what} | {took:.1?} | {ratio:.2} | {per_row:.2} | {events} |"
            );
            lines.push(json!({"droplets": droplets, "latency_ms": latency, "what": what, "seconds": took.as_secs_f64(),
                              "ratio": ratio, "wal_bytes_a_row": per_row, "events": events}));
        }
    }
    println!("{}", serde_json::Value::Array(lines));
}

/// Every page, and every item read: what no mirror can do without.
async fn limit(stage: &Stage) -> Duration {
    let begun = Instant::now();
    let session = stage.station.client.open(false).await.unwrap();
    for listing in DROPLET.listings {
        let mut walk = Walk::new(&session, listing.collection.clone(), stage.now);
        while walk.wants() > 0 {
            let mut read = |item: &serde_json::value::RawValue| {
                Ok(Entry::One(Sighting::read(&DROPLET, item.get())?.provider_id))
            };
            walk.fetch(u32::MAX, stage.now, &mut read).await;
        }
        walk.finish().unwrap();
    }
    begun.elapsed()
}

async fn sync(stage: &mut Stage) -> (Duration, i64, i64) {
    let (events, wal) = (stage.event_count().await, position(stage).await);
    let begun = Instant::now();
    let report = stage.later(1).sync().await;
    let took = begun.elapsed();
    assert!(report.error.is_none(), "{report:?}");
    (
        took,
        position(stage).await - wal,
        stage.event_count().await - events,
    )
}

async fn position(stage: &Stage) -> i64 {
    sqlx::query_scalar("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
        .fetch_one(&stage.pool)
        .await
        .unwrap()
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}
