//! A sandbox frozen while it holds the mirror lock: the hard case, made to happen on purpose.
//!
//! A frozen process keeps its connections, and Postgres keeps what they hold: the lock every writer needs, and
//! the row of its own run. What frees them is Postgres's patience with a session that sits in a transaction
//! (10 s) or does not read its answer (15 s); proven here for both, and for everybody who waits.

use std::time::{Duration, Instant};

use futures_util::future::{Either, join, select};
use harness::postgres::Database;
use harness::sandbox::{Outcome, Sandbox};
use serde_json::json;
use simulator::Scenario;
use sqlx::{Connection, PgConnection};

use crate::chaos;
use crate::deployment::{Deployment, report};

/// What waiting costs beyond Postgres's patience.
const GRACE: Duration = Duration::from_secs(8);

/// Waits until a query counts something.
pub async fn until(deployment: &Deployment, query: &str) {
    let begun = Instant::now();
    while deployment.count(query).await == 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it never came to {query}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Counts the sessions that wait for this.
pub fn waiting(what: &str) -> String {
    format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = '{what}'"
    )
}

/// Takes the lock that every writer of the mirror takes first.
pub const MIRROR_LOCK: &str = "SELECT pg_advisory_xact_lock(7021784038971629825)";

/// A session of the test's own that holds a lock until it is closed.
pub async fn holding(database: &Database, lock: &'static str) -> PgConnection {
    let mut holder = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::raw_sql("BEGIN").execute(&mut holder).await.unwrap();
    sqlx::raw_sql(lock).execute(&mut holder).await.unwrap();
    holder
}

/// While one is frozen in the act, the next tick and another worker both get their turn.
async fn others_proceed(deployment: &Deployment, frozen: &Sandbox, within: Duration) {
    let begun = Instant::now();
    let (next, other) = (
        deployment.droplets(7, 5).await,
        deployment.sandbox("sync-projects", &[]).await,
    );
    let droplets = async {
        loop {
            let done = report(next.invoke(&json!({})).await);
            match done["outcome"].as_str().unwrap() {
                "busy" => tokio::time::sleep(Duration::from_millis(100)).await,
                "complete" => {
                    let run = Duration::from_millis(done["elapsed_ms"].as_u64().unwrap());
                    return (done, begun.elapsed().saturating_sub(run));
                }
                other => panic!("{other}: {done}"),
            }
        }
    };
    let projects = async { (report(other.invoke(&json!({})).await), begun.elapsed()) };
    let ((done, first), (settled, second)) = join(droplets, projects).await;
    assert_eq!(settled["outcome"], "complete", "{settled}");
    println!("the next tick proceeded after {first:?}, the other worker was over after {second:?}");
    assert!(
        first <= within + GRACE && second <= within + GRACE,
        "{first:?} {second:?}"
    );
    assert_eq!(frozen.ended(), None);
    assert!(done["run_id"].is_string());
}

#[tokio::test]
async fn frozen_in_the_middle_of_its_transaction() {
    let deployment = Deployment::with(Scenario::Scale { droplets: 1_000 }).await;
    // The first writing of events takes a second: time enough to freeze the writer.
    let slow = "CREATE SEQUENCE naps;
                CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
                BEGIN IF nextval('naps') = 1 THEN PERFORM pg_sleep(1); END IF; RETURN NULL; END $$;
                CREATE TRIGGER nap AFTER INSERT ON cloud_resource_events FOR EACH STATEMENT EXECUTE FUNCTION nap()";
    sqlx::raw_sql(slow).execute(&deployment.pool).await.unwrap();
    let victim = deployment.droplets(1, 5).await;
    let event = json!({});
    let run = Box::pin(victim.invoke(&event));
    let Either::Right(((), run)) = select(run, Box::pin(until(&deployment, &waiting("PgSleep")))).await
    else {
        panic!("the run was over before it could be frozen")
    };
    victim.stop();
    let frozen = chaos::frozen_run(&deployment).await;
    others_proceed(&deployment, &victim, Duration::from_secs(11)).await;
    let done = report(deployment.droplets(8, 5).await.invoke(&json!({})).await);
    deployment.check_history().await;
    chaos::thaw(&deployment, &victim, run, frozen, &done).await;
    deployment.check_history().await;
    deployment.check_against_the_account().await;
}

#[tokio::test]
async fn frozen_before_it_has_read_its_answer() {
    let deployment = Deployment::with(Scenario::Scale { droplets: 400 }).await;
    let victim = deployment.droplets(1, 5).await;
    // Less than a batch, so that it is written at the end; and warm, so that its connection knows the statements: it then
    // sends question and parameters in one go.
    for _ in 0..4 {
        sqlx::raw_sql("UPDATE cloud_resources SET content_hash = 0")
            .execute(&deployment.pool)
            .await
            .unwrap();
        assert_eq!(report(victim.invoke(&json!({})).await)["outcome"], "complete");
    }
    // Answers that fit into no socket buffer: 60 kB a row.
    let bloat = "UPDATE cloud_resources SET content_hash = 0,
                        attrs = attrs || jsonb_build_object('kernel', (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1800) n))";
    sqlx::raw_sql(bloat).execute(&deployment.pool).await.unwrap();
    let event = json!({});
    let run = Box::pin(victim.invoke(&event));
    let to_the_brink = async {
        // Held up before the mirror lock, then, lock in hand, before the mirror itself.
        let mirror = holding(&deployment.database, MIRROR_LOCK).await;
        until(&deployment, &waiting("advisory")).await;
        let table = holding(&deployment.database, "LOCK TABLE cloud_resources").await;
        mirror.close().await.unwrap();
        until(&deployment, &waiting("relation")).await;
        table
    };
    let Either::Right((table, run)) = select(run, Box::pin(to_the_brink)).await else {
        panic!("the run was over before it could be frozen")
    };
    victim.stop();
    table.close().await.unwrap(); // the answer is sent, to nobody
    let frozen = chaos::frozen_run(&deployment).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        deployment.count(&waiting("ClientWrite")).await,
        1,
        "the answer fitted into a buffer"
    );
    others_proceed(&deployment, &victim, Duration::from_secs(15)).await;
    let events = deployment.last_event().await;
    victim.cont();
    assert!(matches!(run.await, Outcome::Error { .. }));
    assert_eq!(
        deployment.last_event().await,
        events,
        "the thawed run wrote events"
    );
    assert!(frozen.is_some());
    deployment.check_against_the_account().await;
}
