//! What a first sync writes while it reads: by a thread of its own, which may be held up, refused, or overtaken.
//!
//! Against a real Postgres and the simulator, with accounts large enough for several batches. What is committed stays;
//! what is not never was; and the report says why.

use std::time::{Duration, Instant};

use shared::inventory::{Actor, Outcome, Recording};
use shared::kinds::Sighting;
use shared::kinds::droplet::DROPLET;
use shared::runs::Tick;
use shared::sync::{self, RunOutcome};
use simulator::{Fault, FaultKind, Scenario};
use sqlx::{AssertSqlSafe, Connection};
use tokio::time::sleep;

use crate::frozen::{MIRROR_LOCK, holding, waiting};
use crate::invariants;
use crate::stage::Stage;

/// More than what may wait to be written, in three transactions at least.
const DROPLETS: u64 = 12_000;

async fn execute(stage: &Stage, statement: &'static str) {
    sqlx::raw_sql(statement).execute(&stage.pool).await.unwrap();
}

async fn count(stage: &Stage, query: &str) -> i64 {
    let query = sqlx::query_scalar(AssertSqlSafe(query.to_owned()));
    query.fetch_one(&stage.pool).await.unwrap()
}

async fn rows(stage: &Stage) -> i64 {
    count(stage, "SELECT count(*) FROM cloud_resources").await
}

#[tokio::test]
async fn a_walk_waits_for_whoever_writes_and_goes_on_after() {
    let stage = Stage::with(Scenario::Scale { droplets: DROPLETS }).await;
    let holder = holding(&stage.database, MIRROR_LOCK).await;
    let holding = async {
        let deadline = Instant::now() + Duration::from_secs(15);
        let mut asked = 0;
        // Until a writer waits for the lock, and the walk for the writer.
        loop {
            sleep(Duration::from_millis(500)).await;
            let now = stage.sim.requests().len();
            if count(&stage, &waiting("advisory")).await > 0 && now > 21 && now == asked {
                break;
            }
            assert!(Instant::now() < deadline, "{now} pages and nobody waits");
            asked = now;
        }
        // One portion is in the writer's hands, twenty wait, one is being sent, eight pages are under way.
        assert!(asked <= 35, "{asked} pages were read");
        assert_eq!(rows(&stage).await, 0);
        holder.close().await.unwrap();
    };
    let (report, ()) = tokio::join!(stage.sync(), holding);
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    assert_eq!(report.kinds[0].outcome.discovered, DROPLETS as u32);
    // What waited went into one transaction, batch after batch, and that gave the lock back before all was written.
    let largest = "SELECT max(things) FROM (SELECT count(*) AS things FROM cloud_resources GROUP BY xmin::text) AS transactions";
    let largest = count(&stage, largest).await;
    assert!((2_001..=4_000).contains(&largest), "{largest} things");
    assert_eq!(invariants::hold(&stage.pool).await, DROPLETS as usize);
}

/// The lock is not held while pages are waited for.
#[tokio::test]
async fn what_is_written_is_there_before_the_walk_is_over() {
    let stage = Stage::with(Scenario::Scale { droplets: 3_000 }).await;
    stage.sim.set_latency(300);
    let looking = async {
        while rows(&stage).await == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        stage.sim.requests().len()
    };
    let (report, asked) = tokio::join!(stage.sync(), looking);
    assert_eq!(report.kinds[0].outcome.discovered, 3_000, "{report:?}");
    // The account, the first page, and the eight that are under way.
    assert!(asked <= 10, "{asked} requests before anything was there");
}

/// A page that moves shows a thing twice: it is written once, and what has become of it since is the next step.
#[tokio::test]
async fn who_comes_twice_in_one_transaction_is_one() {
    let stage = Stage::with(Scenario::Empty).await;
    let seen = |name: &str| {
        Sighting::read(
            &DROPLET,
            &format!(r#"{{"id": 7, "name": "{name}", "status": "new"}}"#),
        )
        .unwrap()
    };
    let actor = Actor {
        name: "sync-droplets",
        lease: None,
    };
    let mut outcome = Outcome::default();
    let mut recording = Recording::begin(&stage.pool, actor, &DROPLET, stage.now, stage.now)
        .await
        .unwrap();
    for name in ["first", "first", "second"] {
        recording.add(vec![seen(name)], &mut outcome).await.unwrap();
    }
    assert_eq!(rows(&stage).await, 0);
    recording.end().await.unwrap();
    assert_eq!((outcome.discovered, outcome.updated), (1, 1));
    assert_eq!(
        count(
            &stage,
            "SELECT version::bigint FROM cloud_resources WHERE name = 'second'"
        )
        .await,
        2
    );
    assert_eq!(invariants::hold(&stage.pool).await, 2);
}

#[tokio::test]
async fn what_the_database_refuses_ends_the_run_and_what_is_committed_stays() {
    let mut stage = Stage::with(Scenario::Scale { droplets: DROPLETS }).await;
    // Slow enough for several transactions, of 4,000 at most, and a later one is refused.
    stage.sim.set_latency(20);
    execute(
        &stage,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
            IF (SELECT count(*) FROM cloud_resources) > 4500 THEN RAISE EXCEPTION 'the disk is full'; END IF;
            RETURN NULL;
         END $$;
         CREATE TRIGGER refuse AFTER INSERT ON cloud_resources FOR EACH STATEMENT EXECUTE FUNCTION refuse();
         ALTER FUNCTION refuse() SECURITY DEFINER",
    )
    .await;
    let report = stage.sync().await;
    assert_eq!(
        (report.outcome, report.error_class),
        (RunOutcome::Failed, Some("database")),
        "{report:?}"
    );
    let said = serde_json::to_string(&report).unwrap();
    assert!(said.contains("the disk is full"), "{said}");
    let kept = rows(&stage).await;
    assert!((200..=4_500).contains(&kept), "{kept} rows");
    assert_eq!(invariants::hold(&stage.pool).await, kept as usize);
    execute(&stage, "DROP TRIGGER refuse ON cloud_resources").await;
    let report = stage.later(1).sync().await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    let new = i64::from(report.kinds[0].outcome.discovered);
    assert_eq!(
        (new, rows(&stage).await),
        (DROPLETS as i64 - kept, DROPLETS as i64)
    );
    assert_eq!(invariants::hold(&stage.pool).await, DROPLETS as usize);
}

#[tokio::test]
async fn who_is_overtaken_in_the_middle_writes_nothing_more() {
    let stage = Stage::with(Scenario::Scale { droplets: DROPLETS }).await;
    // Few things wait at a time, so that there is another transaction to be refused.
    stage.sim.set_latency(200);
    let overtaking = async {
        while rows(&stage).await == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        execute(&stage, "UPDATE sync_runs SET fence = nextval('sync_run_fences')").await;
        rows(&stage).await
    };
    let (report, kept) = tokio::join!(stage.sync(), overtaking);
    assert_eq!(
        (report.outcome, report.error_class),
        (RunOutcome::Failed, Some("fenced")),
        "{report:?}"
    );
    assert!(kept < DROPLETS as i64, "it was over before: {kept}");
    assert_eq!(rows(&stage).await, kept, "{report:?}");
    assert_eq!(invariants::hold(&stage.pool).await, kept as usize);
}

/// What one listing told is true, whatever becomes of the other; nobody is struck.
#[tokio::test]
async fn what_was_read_before_another_listing_broke_is_written() {
    let mut stage = Stage::with(Scenario::Scale { droplets: 3_000 }).await;
    stage.sim.fault(
        Fault::new(FaultKind::LostScope403)
            .on("/v2/droplets")
            .query("type=gpus"),
    );
    let report = stage.sync().await;
    assert_eq!(report.outcome, RunOutcome::Unreadable, "{report:?}");
    assert_eq!(report.kinds[0].outcome.discovered, 3_000);
    assert_eq!(rows(&stage).await, 3_000);
    stage.sim.clear_faults();
    let report = stage.later(1).sync().await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    assert_eq!(report.kinds[0].outcome.discovered, 0);
    assert_eq!(invariants::hold(&stage.pool).await, 3_000);
}

/// A run that is dropped takes its writer with it: nothing is written after, and nobody's lock is left.
#[tokio::test]
async fn a_run_that_is_dropped_takes_its_writer_with_it() {
    let mut stage = Stage::with(Scenario::Scale { droplets: DROPLETS }).await;
    stage.sim.set_latency(200);
    let enough = async {
        while rows(&stage).await < 400 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        report = stage.sync() => panic!("it was over before: {report:?}"),
        () = enough => {}
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    let working = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                   AND usename = 'arcadia_sync_login' AND (state <> 'idle' OR query ~ 'cloud_resource')";
    loop {
        let left = count(&stage, working).await;
        if left == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "{left} sessions are still at work");
        sleep(Duration::from_millis(20)).await;
    }
    let kept = rows(&stage).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(rows(&stage).await, kept);
    assert!(kept < DROPLETS as i64, "{kept}");
    assert_eq!(invariants::hold(&stage.pool).await, kept as usize);
    execute(
        &stage,
        "UPDATE sync_runs SET lease_expires_at = started_at WHERE finished_at IS NULL",
    )
    .await;
    let report = stage.later(1).sync().await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    assert_eq!(invariants::hold(&stage.pool).await, DROPLETS as usize);
}

/// A dry run of a whole first sync says what would come of it, batch after batch, and keeps nothing.
#[tokio::test]
async fn a_dry_run_of_many_keeps_nothing() {
    let stage = Stage::with(Scenario::Scale { droplets: 3_000 }).await;
    let report = sync::rehearse_at(&stage.station, &sync::DROPLETS, Tick::default(), stage.now).await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    assert_eq!(report.kinds[0].outcome.discovered, 3_000);
    assert_eq!(rows(&stage).await, 0);
}
