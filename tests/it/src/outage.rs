//! The database, its network, or the secret service away in the middle of things.
//!
//! Between binary and server stands a [`Wire`] that the test owns. A run that meets this ends in one sentence of class `database`; the next tick in the same warm
//! sandbox makes good, and nothing is doubled even where nobody can know whether the commit counted.

use std::time::{Duration, Instant};

use futures_util::future::{Either, join_all, select};
use harness::sandbox::{Outcome, Sandbox};
use harness::tokens;
use serde_json::{Value, json};
use shared::secrets::TTL;
use simulator::{Churn, Scenario, Token, Wanted};

use crate::binaries::{body, request};
use crate::deployment::{Deployment, GUARDIAN, TOKEN, refusal, report, run_lines, token};
use crate::frozen::{holding, until, waiting};
use crate::wire::{Mode, Wire};

/// A lease's time, and as much again for a busy machine and then some: what is shown is that nobody has to help.
const RECOVERY: Duration = Duration::from_secs(25);

/// A deployment, a wire, and a warm sandbox behind it that has synced once.
async fn warm(droplets: u64) -> (Deployment, Wire, Sandbox) {
    let deployment = Deployment::with(Scenario::Scale { droplets }).await;
    let (wire, url) = Wire::to_the_database(&deployment, "arcadia_sync_login").await;
    let changes = [("DATABASE_URL", url.as_str()), ("LEASE_SECONDS", "5")];
    let environment = deployment.changed("sync-droplets", &changes);
    let sandbox = Sandbox::start_with_timeout("sync-droplets", &environment, Duration::from_secs(40))
        .await
        .unwrap();
    assert_eq!(report(sandbox.invoke(&json!({})).await)["outcome"], "complete");
    (deployment, wire, sandbox)
}

fn churn(deployment: &Deployment, seed: u64) {
    let churn = Churn {
        seed,
        count: Some(12),
        ..Churn::default()
    };
    deployment.sim.churn(&churn).unwrap();
}

/// Ticks until a run is complete: everything is as it should be, and every run is on record as over.
async fn recovers(deployment: &Deployment, sandbox: &Sandbox) -> Value {
    let begun = Instant::now();
    let done = loop {
        let done = report(sandbox.invoke(&json!({})).await);
        match done["outcome"].as_str().unwrap() {
            "busy" => tokio::time::sleep(Duration::from_millis(100)).await,
            "complete" => break done,
            other => panic!("{other}: {done}"),
        }
    };
    assert!(
        begun.elapsed() < RECOVERY,
        "{:?} until the next run",
        begun.elapsed()
    );
    deployment.check_history().await;
    deployment.check_against_the_account().await;
    assert_eq!(
        deployment
            .count("SELECT count(*) FROM sync_runs WHERE finished_at IS NULL")
            .await,
        0
    );
    done
}

/// The error of a run, which must be of this class and be logged once.
async fn fails(sandbox: &Sandbox, class: &str) -> String {
    let before = run_lines(sandbox).len();
    let (kind, message) = refusal(sandbox.invoke(&json!({})).await);
    assert_eq!(kind, class, "{message}");
    let lines = run_lines(sandbox);
    assert_eq!(lines.len(), before + 1, "{lines:?}");
    assert_eq!(
        (&lines[before]["error_class"], &lines[before]["error"]),
        (&json!(class), &json!(message))
    );
    message
}

#[tokio::test]
async fn a_run_whose_sessions_are_terminated_fails_and_the_next_makes_good() {
    let (deployment, _wire, sandbox) = warm(300).await;
    deployment.sim.set_latency(150);
    let terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                     WHERE datname = current_database() AND usename = 'arcadia_sync_login'";
    // Between two runs nobody notices: a pool that tests what it hands out.
    deployment.count(terminate).await;
    assert_eq!(report(sandbox.invoke(&json!({})).await)["outcome"], "complete");
    for (seed, moment) in [(1, 60), (2, 200), (3, 320)] {
        churn(&deployment, seed);
        let event = json!({});
        let run = Box::pin(sandbox.invoke(&event));
        let outcome = match select(run, Box::pin(tokio::time::sleep(Duration::from_millis(moment)))).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(((), run)) => {
                deployment.count(terminate).await;
                run.await
            }
        };
        // An idle session is replaced in silence; one at work is an error of the run.
        match outcome {
            Outcome::Ok(done) => assert_eq!(done["outcome"], "complete"),
            Outcome::Error { kind, .. } => assert_eq!(kind, "database"),
            other => panic!("{other:?}"),
        }
        recovers(&deployment, &sandbox).await;
    }
}

#[tokio::test]
async fn a_database_that_is_cut_off_fails_runs_in_a_sentence_until_it_is_back() {
    let (deployment, wire, sandbox) = warm(300).await;
    churn(&deployment, 1);
    wire.set(Mode::Cut);
    for _ in 0..2 {
        let message = fails(&sandbox, "database").await;
        assert!(message.contains(&wire.address.to_string()), "{message}");
    }
    wire.set(Mode::Open);
    recovers(&deployment, &sandbox).await;

    // In the middle of a run: its end cannot be written either, so its lease has to run out.
    deployment.sim.set_latency(200);
    churn(&deployment, 2);
    let event = json!({});
    let cut = async {
        tokio::time::sleep(Duration::from_millis(350)).await;
        wire.set(Mode::Cut);
    };
    let (outcome, ()) = futures_util::future::join(sandbox.invoke(&event), cut).await;
    let (kind, message) = refusal(outcome);
    assert_eq!(kind, "database", "{message}");
    wire.set(Mode::Open);
    recovers(&deployment, &sandbox).await;
}

#[tokio::test]
async fn a_database_behind_a_black_hole_costs_one_invocation_and_not_the_sandbox() {
    let (deployment, wire, sandbox) = warm(300).await;
    deployment.sim.set_latency(200);
    churn(&deployment, 1);
    let event = json!({});
    let stuff = async {
        tokio::time::sleep(Duration::from_millis(350)).await;
        wire.set(Mode::Stuffed);
    };
    let begun = Instant::now();
    let (outcome, ()) = futures_util::future::join(sandbox.invoke(&event), stuff).await;
    let (kind, message) = refusal(outcome);
    println!("{kind} after {:?}: {message}", begun.elapsed());
    assert!(
        ["database", "out_of_time"].contains(&kind.as_str()),
        "{kind}: {message}"
    );
    let message = fails(&sandbox, "database").await;
    assert!(message.contains(&wire.address.to_string()), "{message}");
    assert_eq!(sandbox.ended(), None);
    // What hangs in the hole hangs there for good: the way is open for new connections only.
    wire.set(Mode::Cut);
    wire.set(Mode::Open);
    recovers(&deployment, &sandbox).await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_a_question_that_is_never_answered_ends_with_the_invocation_in_a_sentence() {
    let (deployment, wire, sandbox) = warm(300).await;
    churn(&deployment, 1);
    let table = holding(&deployment.database, "LOCK TABLE cloud_resources").await;
    let stuff = async {
        until(&deployment, &waiting("relation")).await;
        wire.set(Mode::Stuffed);
        drop(table);
    };
    let (message, ()) = futures_util::future::join(fails(&sandbox, "out_of_time"), stuff).await;
    assert!(message.contains("time"), "{message}");
    wire.set(Mode::Cut);
    wire.set(Mode::Open);
    recovers(&deployment, &sandbox).await;
}

/// Cuts the wire at COMMITs of a run, before or after the server has heard of it.
async fn ambiguous(seed: u64, moments: impl Fn(usize) -> Vec<(usize, bool)>) {
    let (deployment, wire, sandbox) = warm(300).await;
    churn(&deployment, seed);
    wire.set(Mode::Open);
    recovers(&deployment, &sandbox).await;
    let commits = wire.commits();
    assert!(commits >= 3, "{commits} commits a run");
    for (round, (at, heard)) in moments(commits).into_iter().enumerate() {
        churn(&deployment, seed + 1 + round as u64);
        let events = deployment.last_event().await;
        wire.set(Mode::AtCommit(at, heard));
        let (kind, message) = refusal(sandbox.invoke(&json!({})).await);
        assert_eq!(kind, "database", "{message}");
        let written = deployment.last_event().await > events;
        assert_eq!(
            written,
            heard && at == commits,
            "commit {at} of {commits}, heard: {heard}"
        );
        wire.set(Mode::Open);
        let done = recovers(&deployment, &sandbox).await;
        let discovered = done["kinds"][0]["discovered"].as_u64().unwrap();
        assert_eq!(discovered == 0, written, "{done}");
    }
}

#[tokio::test]
async fn a_commit_that_nobody_knows_about_doubles_nothing() {
    join_all((0..2).map(|half| {
        ambiguous(half * 100, move |commits| match half {
            0 => vec![(commits, true), (1, true), (commits, false)],
            _ => vec![(commits, false), (2, false), (commits, true)],
        })
    }))
    .await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_a_commit_that_nobody_knows_about_doubles_nothing() {
    let every = |commits: usize| (1..=commits).flat_map(|at| [(at, false), (at, true)]).collect();
    join_all((0..4).map(|seed| ambiguous(1_000 * (seed + 1), every))).await;
}

#[tokio::test]
async fn a_rotated_token_costs_one_request_or_the_run_it_interrupts() {
    let deployment = Deployment::with(Scenario::Scale { droplets: 1_000 }).await;
    let sandbox = deployment.sandbox("sync-droplets", &[]).await;
    assert_eq!(report(sandbox.invoke(&json!({})).await)["outcome"], "complete");
    let refused = || {
        let wanted = Wanted {
            status: Some(401),
            ..Wanted::default()
        };
        deployment.sim.requests_where(&wanted).len()
    };
    let rotate = async |text: &str| {
        let name = format!("{}-do-token", deployment.database.name());
        deployment.aws.put_secret(&name, text).await.unwrap();
        deployment.sim.set_token(&Token::new("sync-0", text)); // the old text is worth nothing from now on
    };
    // Between two runs: the first request finds out, for all that follow.
    rotate("dop_v1_canary_rotated_once").await;
    assert_eq!(report(sandbox.invoke(&json!({})).await)["outcome"], "complete");
    assert_eq!(refused(), 1);
    // In the middle of a listing: a run keeps the token that its account was checked with, so it ends here.
    deployment.sim.set_latency(150);
    let event = json!({});
    let turn = async {
        tokio::time::sleep(Duration::from_millis(250)).await;
        rotate("dop_v1_canary_rotated_twice").await;
    };
    let (outcome, ()) = futures_util::future::join(sandbox.invoke(&event), turn).await;
    let (kind, message) = refusal(outcome);
    assert!(
        kind == "unauthorized" && message.contains(&deployment.token_secret),
        "{kind}: {message}"
    );
    let before = refused();
    assert_eq!(report(sandbox.invoke(&json!({})).await)["outcome"], "complete");
    assert_eq!(refused(), before + 1);
    deployment.check_history().await;
    deployment.check_against_the_account().await;
}

#[tokio::test]
async fn a_database_password_that_is_rotated_costs_at_most_one_run() {
    let deployment = Deployment::with(Scenario::Default).await;
    let login = format!("rotating_{}", deployment.database.name());
    let execute = async |statement: String| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&deployment.pool)
            .await
            .unwrap();
    };
    execute(format!(
        "CREATE ROLE {login} LOGIN PASSWORD 'canary_first' IN ROLE arcadia_sync"
    ))
    .await;
    let name = format!("{}-database", deployment.database.name());
    let url = |password: &str| {
        deployment
            .database
            .url_as(&login)
            .replace(":local@", &format!(":{password}@"))
    };
    let arn = deployment
        .aws
        .put_secret(&name, &url("canary_first"))
        .await
        .unwrap();
    let changes = [("DATABASE_URL", ""), ("DATABASE_SECRET_ARN", arn.as_str())];
    let sandbox = deployment.sandbox("sync-droplets", &changes).await;
    assert_eq!(report(sandbox.invoke(&json!({})).await)["outcome"], "complete");

    execute(format!("ALTER ROLE {login} PASSWORD 'canary_second'")).await;
    deployment
        .aws
        .put_secret(&name, &url("canary_second"))
        .await
        .unwrap();
    execute(format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{login}'"
    ))
    .await;
    let message = fails(&sandbox, "database").await;
    assert!(
        message.contains("password") && message.contains(&login),
        "{message}"
    );
    assert_eq!(report(sandbox.invoke(&json!({})).await)["outcome"], "complete");
    sandbox.kill();
    execute(format!("DROP OWNED BY {login}; DROP ROLE {login}")).await;
}

#[tokio::test]
async fn a_secret_service_that_is_away_fails_the_event_and_not_the_start() {
    let deployment = Deployment::with(Scenario::Default).await;
    let server = deployment.aws.url().strip_prefix("http://").unwrap().to_owned();
    let wire = Wire::to(server).await;
    wire.set(Mode::Cut);
    let endpoint = format!("http://{}", wire.address);
    let sandbox = deployment
        .sandbox("sync-droplets", &[("AWS_ENDPOINT_URL", &endpoint)])
        .await;
    assert!(sandbox.ready().await, "{}", sandbox.stdout());
    let message = fails(&sandbox, "token_unavailable").await;
    assert!(
        message.contains(&deployment.token_secret) && message.contains("Secrets Manager"),
        "{message}"
    );
    assert!(
        !message.contains(TOKEN) && !message.contains(&token(1)),
        "{message}"
    );
    wire.set(Mode::Open);
    assert_eq!(report(sandbox.invoke(&json!({})).await)["outcome"], "complete");
}

#[tokio::test]
async fn the_api_is_unavailable_while_its_database_is_and_never_broken() {
    let deployment = Deployment::with(Scenario::Default).await;
    let (wire, url) = Wire::to_the_database(&deployment, "arcadia_api_login").await;
    let sandbox = deployment.sandbox("api", &[("DATABASE_URL", &url)]).await;
    let operator = tokens::operator(GUARDIAN, tokens::now());
    let inventory = request("/api/v1/inventory", "", Some(&operator));
    body(&report(sandbox.invoke(&inventory).await), 200);
    for mode in [Mode::Cut, Mode::Stuffed] {
        wire.set(mode);
        let begun = Instant::now();
        let answer = report(sandbox.invoke(&inventory).await);
        let problem = body(&answer, 503);
        assert!(
            problem["request_id"].is_string() && answer["headers"]["retry-after"].is_string(),
            "{answer}"
        );
        assert!(!problem.to_string().contains("127.0.0.1"), "{problem}");
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{mode:?}: {:?}",
            begun.elapsed()
        );
        body(
            &report(sandbox.invoke(&request("/api/health/ready", "", None)).await),
            503,
        );
        body(
            &report(sandbox.invoke(&request("/api/health", "", None)).await),
            200,
        );
        wire.set(Mode::Cut); // what hangs stays hung
        wire.set(Mode::Open);
        body(&report(sandbox.invoke(&inventory).await), 200);
    }
    let terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                     WHERE datname = current_database() AND usename = 'arcadia_api_login'";
    assert!(deployment.count(terminate).await > 0);
    body(&report(sandbox.invoke(&inventory).await), 200);
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_the_api_follows_its_secrets_without_a_restart() {
    let deployment = Deployment::with(Scenario::Default).await;
    let login = format!("following_{}", deployment.database.name());
    let execute = async |statement: String| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&deployment.pool)
            .await
            .unwrap();
    };
    let put = async |what: &str, value: &str| {
        let name = format!("{}-{what}", deployment.database.name());
        deployment.aws.put_secret(&name, value).await.unwrap()
    };
    let url = |password: &str| {
        deployment
            .database
            .url_as(&login)
            .replace(":local@", &format!(":{password}@"))
    };
    execute(format!(
        "CREATE ROLE {login} LOGIN PASSWORD 'canary_first' IN ROLE arcadia_api"
    ))
    .await;
    let (database, guardian) = (put("url", &url("canary_first")).await, put("key", GUARDIAN).await);
    let changes = [
        ("DATABASE_URL", ""),
        ("DATABASE_SECRET_ARN", database.as_str()),
        ("GUARDIAN_SECRET_KEY", ""),
        ("GUARDIAN_SECRET_ARN", guardian.as_str()),
    ];
    let sandbox = deployment.sandbox("api", &changes).await;
    let asked_by = |key: &str| {
        let operator = tokens::operator(key, tokens::now());
        request("/api/v1/inventory", "", Some(&operator))
    };
    body(&report(sandbox.invoke(&asked_by(GUARDIAN)).await), 200);

    execute(format!("ALTER ROLE {login} PASSWORD 'canary_second'")).await;
    put("url", &url("canary_second")).await;
    let key = GUARDIAN.replace("canary", "second");
    put("key", &key).await;
    execute(format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{login}'"
    ))
    .await;
    tokio::time::sleep(TTL + Duration::from_secs(5)).await; // as long as a secret is remembered
    body(&report(sandbox.invoke(&asked_by(&key)).await), 200);
    body(&report(sandbox.invoke(&asked_by(GUARDIAN)).await), 401);
    sandbox.kill();
    execute(format!("DROP OWNED BY {login}; DROP ROLE {login}")).await;
}
