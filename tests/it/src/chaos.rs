//! Sandboxes killed and frozen at random moments of a sync: nothing lost or doubled, nobody held up for long.
//!
//! The real binary over an account of a thousand droplets that changes in between; every fourth victim makes a
//! first sync of an empty mirror. The suite runs a tenth of what `prove_…` runs; seeds are printed. Several
//! worlds run side by side, because most of the time is spent waiting for leases to expire.

use std::time::{Duration, Instant};

use futures_util::future::{Either, join_all, select};
use harness::sandbox::{Outcome, Sandbox};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use simulator::{Churn, Scenario};
use uuid::Uuid;

use crate::deployment::{Deployment, report, run_lines};

/// The shortest lease there may be beside a simulator; the default, the shortest elsewhere, is proven once, in `prove_`.
const LEASE: u64 = 5;
/// What a takeover may take beyond the lease: two cold starts of unoptimised binaries on a busy machine.
const GRACE: Duration = Duration::from_secs(10);
/// How long Postgres leaves a transaction alone in which nothing happens.
const IDLE: Duration = Duration::from_secs(10);
/// Counts the sessions that hold the mirror lock.
const WRITING: &str = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.objid = 1684627713 AND l.granted";

/// An account that changes, and the mirror of it.
struct World {
    deployment: Deployment,
    chance: ChaCha8Rng,
    turn: usize,
    seed: u64,
    /// What the last run took that was left alone.
    usual: Duration,
}

/// Where victims were struck.
#[derive(Debug, Default)]
struct Struck {
    idle: u32,
    listing: u32,
    writing: u32,
}

impl Struck {
    fn all(&self) -> u32 {
        self.idle + self.listing + self.writing
    }
}

impl World {
    async fn new(seed: u64) -> Self {
        let deployment = Deployment::with(Scenario::Scale { droplets: 1_000 }).await;
        deployment.sim.set_latency(40);
        slow_down(&deployment).await;
        Self {
            deployment,
            chance: ChaCha8Rng::seed_from_u64(seed),
            turn: 0,
            seed,
            usual: Duration::from_secs(1),
        }
    }

    async fn sandbox(&mut self, lease: u64) -> Sandbox {
        self.turn += 1;
        let sandbox = self.deployment.droplets(self.turn, lease).await;
        assert!(sandbox.ready().await, "{}", sandbox.stdout());
        sandbox
    }

    /// Changes the account; now and then the mirror is lost altogether.
    async fn change(&mut self, first_syncs: bool) {
        if first_syncs && self.chance.random_bool(0.25) {
            // History refuses TRUNCATE, as it should: a new database is an empty mirror.
            self.deployment.check_history().await;
            let database = harness::services::Services::from_env()
                .unwrap()
                .database()
                .await
                .unwrap();
            self.deployment.move_to(database).await;
            slow_down(&self.deployment).await;
            return;
        }
        let churn = Churn {
            seed: self.chance.random(),
            count: Some(self.chance.random_range(3..60)),
            ..Churn::default()
        };
        self.deployment.sim.churn(&churn).unwrap();
    }

    fn aim(&mut self) -> (bool, f64) {
        (self.chance.random_bool(0.5), self.chance.random_range(0.0..1.1))
    }

    /// Waits for a moment of a run: any, or, every other time, one while it writes.
    async fn moment(&self, (writing, share): (bool, f64)) {
        if !writing {
            return tokio::time::sleep(self.usual.mul_f64(share)).await;
        }
        while self.deployment.count(WRITING).await == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(150).mul_f64(share)).await;
    }

    /// What the victim is doing, as Postgres sees it.
    async fn strike(&self, struck: &mut Struck) {
        let running = "SELECT count(*) FROM sync_runs WHERE finished_at IS NULL";
        if self.deployment.count(WRITING).await > 0 {
            struck.writing += 1;
        } else if self.deployment.count(running).await > 0 {
            struck.listing += 1;
        } else {
            struck.idle += 1;
        }
    }

    /// Ticks until one proceeds, as the schedule does; answers with its report. A run begins when what is left of
    /// the last one's lease has passed, and as much later as ticks are apart here.
    async fn next(&mut self, lease: u64, promised: Duration) -> Value {
        let begun = Instant::now();
        let sandbox = self.sandbox(lease).await;
        let mut ticks = Vec::new();
        loop {
            let done = report(sandbox.invoke(&json!({})).await);
            let run = Duration::from_millis(done["elapsed_ms"].as_u64().unwrap());
            let asked = begun.elapsed().saturating_sub(run);
            ticks.push((asked, run, done["outcome"].as_str().unwrap().to_owned()));
            match done["outcome"].as_str().unwrap() {
                "busy" => tokio::time::sleep(Duration::from_millis(100)).await,
                "complete" => {
                    assert!(asked <= promised + GRACE, "seed {}: {ticks:?}", self.seed);
                    // One that took longer has waited for the lock of a frozen one, until Postgres ended that.
                    if run < IDLE {
                        self.usual = run;
                    }
                    return done;
                }
                other => panic!("seed {}: {other}: {done}", self.seed),
            }
        }
    }

    async fn check(&self) {
        self.deployment.check_history().await;
        self.deployment.check_against_the_account().await;
    }
}

/// Makes the writing of events take a tenth of a second: long enough to be struck in.
async fn slow_down(deployment: &Deployment) {
    let slow = "CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END $$;
                CREATE TRIGGER nap AFTER INSERT ON cloud_resource_events FOR EACH STATEMENT EXECUTE FUNCTION nap()";
    sqlx::raw_sql(slow).execute(&deployment.pool).await.unwrap();
}

/// Kills so many, one after another, in one world.
async fn kill(seed: u64, victims: u32, lease: u64) -> Struck {
    let (mut world, mut struck) = (World::new(seed).await, Struck::default());
    while struck.all() < victims {
        world.change(struck.all() > 0).await;
        let (sandbox, aim) = (world.sandbox(lease).await, world.aim());
        let event = json!({});
        let run = Box::pin(sandbox.invoke(&event));
        let under_way = match select(run, Box::pin(world.moment(aim))).await {
            Either::Left(_) => None,
            Either::Right(((), run)) => Some(run),
        };
        if let Some(run) = under_way {
            world.strike(&mut struck).await;
            sandbox.kill();
            assert!(matches!(run.await, Outcome::Exited(..) | Outcome::Ok(_)));
        }
        world.next(lease, Duration::from_secs(lease)).await;
        world.check().await;
    }
    let unfinished = "SELECT count(*) FROM sync_runs WHERE finished_at IS NULL";
    assert_eq!(world.deployment.count(unfinished).await, 0);
    struck
}

/// Freezes so many, one after another, in one world; each thaws when the next run is over.
async fn freeze(seed: u64, victims: u32, lease: u64) -> Struck {
    let (mut world, mut struck) = (World::new(seed).await, Struck::default());
    while struck.all() < victims {
        world.change(struck.all() > 0).await;
        let (sandbox, aim) = (world.sandbox(lease).await, world.aim());
        let event = json!({});
        let run = Box::pin(sandbox.invoke(&event));
        let Either::Right((_, run)) = select(run, Box::pin(world.moment(aim))).await else {
            continue;
        };
        sandbox.stop();
        tokio::time::sleep(Duration::from_millis(50)).await; // what it had sent is carried out
        world.strike(&mut struck).await;
        let frozen = frozen_run(&world.deployment).await;
        let promised = Duration::from_secs(lease.max(11)); // or 10 s, idle in a transaction
        let done = world.next(lease, promised).await;
        world.check().await;
        thaw(&world.deployment, &sandbox, run, frozen, &done).await;
        world.check().await;
    }
    struck
}

/// The run that is not over, if there is one.
pub async fn frozen_run(deployment: &Deployment) -> Option<Uuid> {
    let query = "SELECT id FROM sync_runs WHERE finished_at IS NULL";
    sqlx::query_scalar(query)
        .fetch_optional(&deployment.pool)
        .await
        .unwrap()
}

/// Thaws a run that was overtaken: it writes nothing any more, and says so.
pub async fn thaw(
    deployment: &Deployment,
    sandbox: &Sandbox,
    run: impl Future<Output = Outcome>,
    frozen: Option<Uuid>,
    successor: &Value,
) {
    let events = deployment.last_event().await;
    sandbox.cont();
    let outcome = run.await;
    assert_eq!(sandbox.ended(), None, "{outcome:?}");
    let Some(frozen) = frozen else { return };
    assert_ne!(successor["run_id"], json!(frozen));
    assert_eq!(
        deployment.last_event().await,
        events,
        "a thawed run wrote events: {outcome:?}"
    );
    let ended: String = sqlx::query_scalar("SELECT outcome FROM sync_runs WHERE id = $1")
        .bind(frozen)
        .fetch_one(&deployment.pool)
        .await
        .unwrap();
    assert_eq!(ended, "abandoned", "{outcome:?}");
    match outcome {
        Outcome::Error { kind, message } => {
            assert!(
                ["fenced", "database"].contains(&kind.as_str()),
                "{kind}: {message}"
            );
        }
        // Frozen between its last commit and the note that it is over: all it had to write was written before.
        Outcome::Ok(report) => assert_eq!(report["outcome"], "complete", "{report}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(run_lines(sandbox).len(), 1, "{:?}", run_lines(sandbox));
    // And the sandbox is good for the next event.
    let again = report(sandbox.invoke(&json!({})).await);
    assert!(
        ["complete", "busy"].contains(&again["outcome"].as_str().unwrap()),
        "{again}"
    );
}

async fn side_by_side(struck: Vec<Struck>, at_least: u32) {
    let sum = |of: fn(&Struck) -> u32| struck.iter().map(of).sum::<u32>();
    let (idle, listing, writing) = (sum(|s| s.idle), sum(|s| s.listing), sum(|s| s.writing));
    println!("struck {idle} before or after their run, {listing} while listing, {writing} while writing");
    assert!(
        listing >= at_least && writing >= at_least,
        "too few were struck where it matters"
    );
}

#[tokio::test]
async fn killed_runs_lose_and_double_nothing() {
    side_by_side(
        join_all((0..5).map(|seed| kill(0xdead + seed, 4, LEASE))).await,
        1,
    )
    .await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_killed_runs_lose_and_double_nothing() {
    side_by_side(
        join_all((0..5).map(|seed| kill(0xbeef + seed, 40, LEASE))).await,
        20,
    )
    .await;
}

#[tokio::test]
pub async fn frozen_runs_hold_nobody_up_and_write_nothing_once_thawed() {
    join_all((0..3).map(|seed| freeze(0xf00d + seed, 1, LEASE))).await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_frozen_runs_hold_nobody_up_and_write_nothing_once_thawed() {
    side_by_side(
        join_all((0..4).map(|seed| freeze(0xface + seed, 5, LEASE))).await,
        2,
    )
    .await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_with_the_default_lease_the_next_run_begins_within_35_s() {
    join_all([kill(0x30, 1, 30), kill(0x31, 1, 30)]).await;
    join_all([freeze(0x32, 1, 30), freeze(0x33, 1, 30)]).await;
}

/// Starts so many sandboxes for one tick.
async fn stampede(starts: usize) {
    let deployment = Deployment::with(Scenario::Scale { droplets: 200 }).await;
    deployment.sim.set_latency(100);
    let sandboxes = join_all((0..starts).map(|turn| deployment.droplets(turn, 30))).await;
    for sandbox in &sandboxes {
        assert!(sandbox.ready().await, "{}", sandbox.stdout());
    }
    let tick = json!({"scheduled_time": "2026-11-21T10:00:00Z"});
    let reports = join_all(sandboxes.iter().map(|sandbox| sandbox.invoke(&tick))).await;
    let mut proceeded = 0;
    for done in reports.into_iter().map(report) {
        match done["outcome"].as_str().unwrap() {
            "complete" => proceeded += 1,
            "busy" | "done" => assert_eq!(done["run_id"], Value::Null),
            other => panic!("{other}: {done}"),
        }
    }
    assert_eq!(proceeded, 1);
    assert_eq!(deployment.count("SELECT count(*) FROM sync_runs").await, 1);
    assert_eq!(deployment.last_event().await, 200);
    deployment.check_history().await;
    for sandbox in &sandboxes {
        assert_eq!(run_lines(sandbox).len(), 1);
    }
}

#[tokio::test]
async fn of_12_simultaneous_starts_exactly_one_proceeds() {
    stampede(12).await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_of_50_simultaneous_starts_exactly_one_proceeds() {
    stampede(50).await;
}
