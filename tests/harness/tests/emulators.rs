//! The compiled binaries under the two Lambda emulators: AWS's own, and ours that can freeze and kill.
//!
//! Part of `make test`; needs its services and the binaries beside this test. It proves the emulators, not the
//! functions: that an event goes in and an answer comes out, and that what Lambda does to a sandbox is done.

#![expect(clippy::unwrap_used, reason = "a test's own functions are tests too")]

use std::time::{Duration, Instant};

use harness::postgres::Database;
use harness::rie::Rie;
use harness::sandbox::{Outcome, Sandbox};
use harness::services::Services;
use harness::tokens;
use serde_json::{Value, json};
use simulator::{Options, Simulator};

const SECRET: &str = "a secret that is long enough for HS512: 64 bytes are what it wants";

async fn stack() -> (Services, Database, Simulator) {
    let services = Services::from_env().unwrap();
    let database = services.database().await.unwrap();
    (services, database, Simulator::start(Options::default()).unwrap())
}

fn environment(login: &str, database: &Database, simulator: &Simulator) -> Vec<(String, String)> {
    let own = match login {
        "arcadia_api_login" => vec![("GUARDIAN_SECRET_KEY", SECRET.to_owned())],
        _ => vec![
            ("DO_API_BASE_URL", simulator.url()),
            ("DO_API_TOKEN", simulator::DEFAULT_TOKEN.to_owned()),
        ],
    };
    let own = own.into_iter().chain([("DATABASE_URL", database.url_as(login))]);
    own.map(|(name, value)| (name.to_owned(), value)).collect()
}

fn event(name: &str) -> Value {
    let path = harness::place::repository().join("tests/events").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn the_binaries_are_real_lambdas() {
    let (services, database, simulator) = stack().await;
    let minute = Duration::from_secs(60);
    let worker = environment("arcadia_sync_login", &database, &simulator);
    let worker = Rie::start(&services.rie, "sync-droplets", &worker, minute)
        .await
        .unwrap();
    let report = worker.invoke(&event("manual.json")).await.unwrap();
    assert_eq!(
        (report.status, &report.json()["outcome"]),
        (200, &json!("complete")),
        "{}",
        worker.output()
    );

    let api = environment("arcadia_api_login", &database, &simulator);
    let api = Rie::start(&services.rie, "api", &api, minute).await.unwrap();
    let health = api.invoke(&event("api-health.json")).await.unwrap();
    assert_eq!(health.json()["statusCode"], 200, "{health:?}");
    let mut list = event("api-inventory.json");
    assert_eq!(api.invoke(&list).await.unwrap().json()["statusCode"], 401);
    list["headers"]["authorization"] = json!(format!("Bearer {}", tokens::operator(SECRET, tokens::now())));
    let list = api.invoke(&list).await.unwrap().json();
    let list: Value = serde_json::from_str(list["body"].as_str().unwrap()).unwrap();
    assert_eq!(list["data"].as_array().unwrap().len(), 10, "{list}");
}

#[tokio::test]
async fn a_sandbox_can_be_frozen_thawed_and_killed() {
    let (_services, database, simulator) = stack().await;
    let environment = environment("arcadia_sync_login", &database, &simulator);
    let sandbox = Sandbox::start("sync-droplets", &environment).await.unwrap();
    assert!(sandbox.ready().await, "{}", sandbox.stderr());
    let report = sandbox.invoke(&event("manual.json")).await.ok().unwrap();
    assert_eq!(report["outcome"], "complete");
    assert!(sandbox.stdout().contains("sync run"));

    sandbox.stop();
    let (manual, frozen) = (json!({}), Duration::from_millis(300));
    let start = Instant::now();
    let (outcome, ()) = tokio::join!(sandbox.invoke(&manual), async {
        tokio::time::sleep(frozen).await;
        sandbox.cont();
    });
    assert!(start.elapsed() >= frozen, "answered while frozen: {outcome:?}");
    assert_eq!(outcome.ok().unwrap()["outcome"], "complete");

    let (outcome, ()) = tokio::join!(sandbox.invoke(&manual), async { sandbox.kill() });
    assert!(matches!(outcome, Outcome::Exited(..)), "{outcome:?}");
    assert!(sandbox.ended().is_some());
}

#[tokio::test]
async fn a_sandbox_that_takes_too_long_is_killed_and_one_that_fails_says_why() {
    let (_services, database, simulator) = stack().await;
    let environment = environment("arcadia_sync_login", &database, &simulator);
    let short = Duration::from_millis(400);
    let sandbox = Sandbox::start_with_timeout("sync-droplets", &environment, short)
        .await
        .unwrap();
    sandbox.stop();
    assert_eq!(sandbox.invoke(&json!({})).await, Outcome::TimedOut);
    assert!(sandbox.ended().is_some());

    let sandbox = Sandbox::start("sync-droplets", &[]).await.unwrap();
    assert!(!sandbox.ready().await);
    let Outcome::Exited(status, _) = sandbox.exit().await else {
        panic!("still there")
    };
    assert!(!status.success());
    assert!(sandbox.stdout().contains("DATABASE_URL"), "{}", sandbox.stdout());

    let sandbox = Sandbox::start("sync-droplets", &environment).await.unwrap();
    let outcome = sandbox.invoke(&json!({"scheduled_time": "yesterday"})).await;
    assert!(matches!(&outcome, Outcome::Error { .. }), "{outcome:?}");
}
