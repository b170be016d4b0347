//! The compiled binaries as Lambda runs them: our Runtime API, and AWS's own emulator.
//!
//! Everything is real but AWS and DigitalOcean: Postgres with the logins of production, the token out of Secrets
//! Manager, the sample events of `tests/events`. What comes back is the report that operators and schedules see.
//! It says little about the mirror's rules: those are tested from inside.

use std::collections::BTreeSet;
use std::time::Duration;

use harness::place;
use harness::rie::Rie;
use harness::services::Services;
use harness::tokens;
use serde_json::{Value, json};
use simulator::Scenario;

use crate::deployment::{Deployment, GUARDIAN, event, lines, refusal, report, run_lines, tick};

/// Every binary there is, by its file.
pub fn binaries() -> BTreeSet<String> {
    let folder = place::repository().join("functions/src/bin");
    let names = std::fs::read_dir(folder).unwrap().map(|file| {
        let name = file.unwrap().file_name().into_string().unwrap();
        name.strip_suffix(".rs").unwrap().to_owned()
    });
    names.collect()
}

/// One request to the API, as API Gateway sends it.
pub fn request(path: &str, query: &str, bearer: Option<&str>) -> Value {
    let mut event = event("api-health.json");
    event["rawPath"] = json!(path);
    event["rawQueryString"] = json!(query);
    event["requestContext"]["http"]["path"] = json!(path);
    if let Some(token) = bearer {
        event["headers"]["authorization"] = json!(format!("Bearer {token}"));
    }
    event
}

/// The JSON in an answer of the API, which must have this status.
pub fn body(answer: &Value, status: u16) -> Value {
    assert_eq!(answer["statusCode"], status, "{answer}");
    serde_json::from_str(answer["body"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn migrate_makes_the_schema_that_the_others_need_and_can_be_repeated() {
    let services = Services::from_env().unwrap();
    let deployment = Deployment::around(services.cluster.empty().await.unwrap(), Scenario::Default).await;
    let migrate = deployment.sandbox("migrate", &[]).await;
    let first = report(migrate.invoke(&event("manual.json")).await);
    let newest = shared::database::MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max();
    assert_eq!(first["version"], json!(newest));
    assert_eq!(report(migrate.invoke(&event("manual.json")).await), first);
    assert_eq!(
        report(migrate.invoke(&json!({"anything": ["else"]})).await),
        first
    );

    let droplets = deployment.sandbox("sync-droplets", &[]).await;
    assert_eq!(report(droplets.invoke(&tick()).await)["outcome"], "complete");
}

#[tokio::test]
async fn a_worker_mirrors_the_account_and_a_warm_second_run_writes_nothing() {
    let deployment = Deployment::with(Scenario::Default).await;
    let there = deployment.sim.items("droplets").len();
    let droplets = deployment.sandbox("sync-droplets", &[]).await;

    let tick = tick();
    let first = report(droplets.invoke(&tick).await);
    assert_eq!(first["worker"], "sync-droplets");
    assert_eq!(
        (&first["outcome"], &first["attempt"]),
        (&json!("complete"), &json!(1))
    );
    assert_eq!(first["scheduled_for"], tick["scheduled_time"]);
    let kind = &first["kinds"][0];
    assert_eq!(
        (&kind["kind"], &kind["verdict"]),
        (&json!("droplet"), &json!("complete"))
    );
    assert_eq!(
        (&kind["seen"], &kind["discovered"]),
        (&json!(there), &json!(there))
    );
    assert!(
        first.get("error").is_none() && first["do_request_id"].is_string(),
        "{first}"
    );
    deployment.check_history().await;
    deployment.check_against_the_account().await;

    let (events, rows) = (deployment.last_event().await, written(&deployment).await);
    let again = report(droplets.invoke(&json!({})).await);
    assert_eq!(
        (&again["outcome"], &again["kinds"][0]["seen"]),
        (&json!("complete"), &json!(there))
    );
    for counter in [
        "discovered",
        "updated",
        "tagged",
        "restored",
        "struck",
        "cleared",
        "deleted",
    ] {
        assert_eq!(again["kinds"][0][counter], 0, "{counter}");
    }
    assert_eq!(
        (deployment.last_event().await, written(&deployment).await),
        (events, rows)
    );

    // The same tick once more: it has been done.
    let done = report(droplets.invoke(&tick).await);
    assert_eq!(
        (&done["outcome"], &done["run_id"]),
        (&json!("done"), &Value::Null)
    );

    let runs = run_lines(&droplets);
    assert_eq!(runs.len(), 3, "one line a run");
    for (line, report) in runs.iter().zip([&first, &again, &done]) {
        for field in ["worker", "outcome"] {
            assert_eq!(line[field], report[field], "{line}");
        }
        assert_eq!(
            line.get("run_id").unwrap_or(&Value::Null),
            &report["run_id"],
            "{line}"
        );
        assert!(
            line["request_id"].as_str().is_some_and(|id| !id.is_empty()),
            "{line}"
        );
    }
    let stored = "SELECT count(*) FROM sync_runs WHERE outcome = 'complete' AND finished_at IS NOT NULL";
    assert_eq!(deployment.count(stored).await, 2);
    assert_eq!(lines(&droplets).len(), 3, "{:?}", lines(&droplets));
    assert_eq!(droplets.stderr(), "");
}

/// How often rows of the mirror were written, strikes and hashes included: Postgres's own row versions.
async fn written(deployment: &Deployment) -> String {
    let query = "SELECT md5(string_agg(xmin::text || ctid::text, ',' ORDER BY id)) FROM cloud_resources";
    sqlx::query_scalar(query)
        .fetch_one(&deployment.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn projects_are_bootstrapped_once_and_decide_whose_droplets_are() {
    let deployment = Deployment::with(Scenario::Default).await;
    let droplets = deployment.sandbox("sync-droplets", &[]).await;
    report(droplets.invoke(&tick()).await);
    let projects = deployment.sandbox("sync-projects", &[]).await;
    let first = report(projects.invoke(&tick()).await);
    assert_eq!(
        (&first["worker"], &first["outcome"]),
        (&json!("sync-projects"), &json!("complete")),
        "{first}"
    );
    assert!(deployment.sim.project_id("skyai-internal").is_some());
    assert_eq!(first["kinds"][0]["kind"], "project");
    assert!(first["settled"].is_object(), "{first}");
    let unattributed = "SELECT count(*) FROM cloud_resources WHERE cloud_project_id IS NULL";
    assert_eq!(deployment.count(unattributed).await, 0);
    deployment.check_history().await;

    let (events, posts) = (deployment.last_event().await, posts(&deployment));
    assert_eq!(posts, 1);
    let again = report(projects.invoke(&json!({})).await);
    assert_eq!(again["outcome"], "complete");
    assert_eq!(
        (deployment.last_event().await, self::posts(&deployment)),
        (events, posts)
    );
    assert_eq!(run_lines(&projects).len(), 2);
}

fn posts(deployment: &Deployment) -> usize {
    deployment
        .sim
        .requests()
        .iter()
        .filter(|request| request.method == "POST")
        .count()
}

#[tokio::test]
async fn the_api_answers_with_what_a_worker_mirrored() {
    let deployment = Deployment::with(Scenario::Default).await;
    let droplets = deployment.sandbox("sync-droplets", &[]).await;
    report(droplets.invoke(&tick()).await);
    let api = deployment.sandbox("api", &[]).await;
    let health = body(&report(api.invoke(&event("api-health.json")).await), 200);
    assert_eq!(
        (&health["status"], &health["service"]),
        (&json!("ok"), &json!("arcadia-cloud"))
    );
    body(
        &report(api.invoke(&request("/api/health/ready", "", None)).await),
        200,
    );

    let operator = tokens::operator(GUARDIAN, tokens::now());
    let inventory = request("/api/v1/inventory", "kind=droplet&limit=100", Some(&operator));
    let answer = body(&report(api.invoke(&inventory).await), 200);
    assert_eq!(
        answer["data"].as_array().unwrap().len(),
        deployment.sim.items("droplets").len()
    );
    let tenant = tokens::tenant(GUARDIAN, "larkspur-bakery", tokens::now());
    let inventory = request("/api/v1/inventory", "", Some(&tenant));
    let answer = body(&report(api.invoke(&inventory).await), 200);
    assert_eq!(answer["data"], json!([]), "nothing is attributed yet");
    let refused = report(api.invoke(&request("/api/v1/inventory", "", None)).await);
    assert_eq!(refused["headers"]["content-type"], "application/problem+json");
    assert_eq!(body(&refused, 401)["status"], 401);
    // No event ends the process.
    for nonsense in [json!({}), json!([]), json!("x"), Value::Null] {
        body(&report(api.invoke(&nonsense).await), 400);
    }
    assert_eq!(api.ended(), None);
}

#[tokio::test]
async fn a_payload_that_is_no_tick_is_an_error_that_names_the_offender() {
    let deployment = Deployment::with(Scenario::Default).await;
    for worker in ["sync-droplets", "sync-projects"] {
        let sandbox = deployment.sandbox(worker, &[]).await;
        for (payload, named) in [
            (json!({"scheduled_time": "ten o'clock"}), "scheduled_time"),
            (
                json!({"scheduled_time": "2026-13-01T00:00:00Z"}),
                "scheduled_time",
            ),
            (json!({"scheduled_time": 5}), "scheduled_time"),
            (json!({"max_age_seconds": -1}), "max_age_seconds"),
            (json!({"max_age_seconds": "900"}), "max_age_seconds"),
            (json!([]), "tick"),
            (json!([null, null]), "tick"),
            (json!("x"), "tick"),
            (json!(7), "tick"),
        ] {
            let (kind, message) = refusal(sandbox.invoke(&payload).await);
            assert_eq!(kind, "bad_event");
            assert!(message.contains(named), "{payload}: {message}");
        }
        assert_eq!(sandbox.ended(), None, "the sandbox stays alive");
        assert_eq!(report(sandbox.invoke(&Value::Null).await)["outcome"], "complete");
        let stale = json!({"scheduled_time": "2020-01-01T00:00:00Z", "max_age_seconds": 900});
        assert_eq!(report(sandbox.invoke(&stale).await)["outcome"], "stale");
        assert_eq!(run_lines(&sandbox).len(), 2);
    }
}

#[tokio::test]
async fn a_deadline_that_is_a_duration_is_no_deadline() {
    let deployment = Deployment::with(Scenario::Default).await;
    let droplets = deployment.sandbox("sync-droplets", &[]).await;
    // What `cargo lambda watch` sends: ten minutes after 1970.
    let deadline = Duration::from_millis(600_000);
    let report = report(droplets.invoke_until(&tick(), deadline).await);
    assert_eq!(report["outcome"], "complete");
}

#[tokio::test]
async fn both_are_real_lambdas_under_the_emulator_of_aws() {
    let deployment = Deployment::with(Scenario::Default).await;
    let emulator = Services::from_env().unwrap().rie;
    let start = async |function: &str| {
        let environment = deployment.changed(function, &[]);
        Rie::start(&emulator, function, &environment, Duration::from_secs(60))
            .await
            .unwrap()
    };
    let droplets = start("sync-droplets").await;
    let answer = droplets.invoke(&tick()).await.unwrap();
    assert_eq!(
        answer.json()["outcome"],
        "complete",
        "{answer:?} {}",
        droplets.output()
    );
    assert_eq!(
        answer.json()["kinds"][0]["discovered"],
        deployment.sim.items("droplets").len()
    );
    let answer = droplets.invoke(&json!({"scheduled_time": "soon"})).await.unwrap();
    assert_eq!(answer.json()["errorType"], "bad_event", "{answer:?}");
    let answer = droplets.invoke(&json!({})).await.unwrap();
    assert_eq!(answer.json()["outcome"], "complete", "{answer:?}");
    assert_eq!(answer.json()["kinds"][0]["discovered"], 0);

    let api = start("api").await;
    let answer = api.invoke(&event("api-health.json")).await.unwrap();
    assert_eq!(body(&answer.json(), 200)["status"], "ok", "{}", api.output());
    let operator = tokens::operator(GUARDIAN, tokens::now());
    let inventory = request("/api/v1/inventory", "limit=3", Some(&operator));
    let answer = api.invoke(&inventory).await.unwrap();
    assert_eq!(body(&answer.json(), 200)["data"].as_array().unwrap().len(), 3);
    deployment.check_history().await;
}
