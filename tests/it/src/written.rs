//! What a first sync writes while it reads: by a thread of its own, which may be held up, refused, or overtaken.
//!
//! Against a real Postgres and the simulator, with accounts large enough for several batches. What is committed stays;
//! what is not never was; and the report says why.

use std::time::Duration;

use shared::sync::RunOutcome;
use simulator::Scenario;
use tokio::time::sleep;

use crate::invariants;
use crate::stage::Stage;

/// Sixty pages.
const DROPLETS: u64 = 12_000;

async fn execute(stage: &Stage, statement: &'static str) {
    sqlx::raw_sql(statement).execute(&stage.pool).await.unwrap();
}

async fn rows(stage: &Stage) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM cloud_resources")
        .fetch_one(&stage.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_walk_waits_for_whoever_writes_and_goes_on_after() {
    let stage = Stage::with(Scenario::Scale { droplets: DROPLETS }).await;
    let mut held = stage.pool.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(7021784038971629825)")
        .execute(&mut *held)
        .await
        .unwrap();
    let holding = async {
        let mut asked = stage.sim.requests().len();
        loop {
            sleep(Duration::from_millis(700)).await;
            let now = stage.sim.requests().len();
            if now > 10 && now == asked {
                break;
            }
            asked = now;
        }
        // Twenty portions wait, ten more are a batch that waits for the lock; eight pages are under way.
        assert!((15..=45).contains(&asked), "{asked} pages were read");
        assert_eq!(rows(&stage).await, 0);
        held.rollback().await.unwrap();
    };
    let (report, ()) = tokio::join!(stage.sync(), holding);
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    assert_eq!(report.kinds[0].outcome.discovered, DROPLETS as u32);
    assert_eq!(invariants::hold(&stage.pool).await, DROPLETS as usize);
}

#[tokio::test]
async fn what_the_database_refuses_ends_the_run_and_what_is_committed_stays() {
    let mut stage = Stage::with(Scenario::Scale { droplets: DROPLETS }).await;
    // Slow enough for several batches, and one of the later ones is refused.
    stage.sim.set_latency(20);
    execute(
        &stage,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
            IF (SELECT count(*) FROM cloud_resources) > 3000 THEN RAISE EXCEPTION 'the disk is full'; END IF;
            RETURN NULL;
         END $$;
         CREATE TRIGGER refuse AFTER INSERT ON cloud_resources FOR EACH STATEMENT EXECUTE FUNCTION refuse();
         ALTER FUNCTION refuse() SECURITY DEFINER",
    )
    .await;
    let report = stage.sync().await;
    assert_eq!(report.outcome, RunOutcome::Failed, "{report:?}");
    let said = serde_json::to_string(&report).unwrap();
    assert!(said.contains("the disk is full"), "{said}");
    let kept = rows(&stage).await;
    assert!((200..=3_000).contains(&kept), "{kept} rows");
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
    stage.sim.set_latency(20);
    let overtaking = async {
        while rows(&stage).await == 0 {
            sleep(Duration::from_millis(5)).await;
        }
        execute(&stage, "UPDATE sync_runs SET fence = nextval('sync_run_fences')").await;
        rows(&stage).await
    };
    let (report, kept) = tokio::join!(stage.sync(), overtaking);
    assert_eq!(report.outcome, RunOutcome::Failed, "{report:?}");
    assert!(kept < DROPLETS as i64, "it was over before: {kept}");
    assert_eq!(rows(&stage).await, kept, "{report:?}");
    assert_eq!(invariants::hold(&stage.pool).await, kept as usize);
}
