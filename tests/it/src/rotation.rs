//! Tokens that live in Secrets Manager: rotated while we work, or not there at all.
//!
//! moto is the Secrets Manager, and the way to it is the one that a Lambda takes: the environment. A refused
//! token is read again once, and the run goes on with the new one; a secret that cannot be had is one sentence
//! that names it. The API's two secrets, too: what a caller notices of their rotation is one retry at most.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use functions::api::{self, keys::GRACE};
use harness::aws::Aws;
use harness::services::Services;
use harness::tokens;
use serde_json::json;
use shared::auth::Refusal;
use shared::config::{Environment, Purpose};
use shared::runs::Tick;
use shared::secrets::Secrets;
use shared::sync::{self, DROPLETS, RunOutcome, Station};
use simulator::{Scenario, Token};

use crate::caller::Api;
use crate::stage::{Stage, TOKEN};

/// The stage's worker, with its token in this secret.
async fn station(stage: &Stage, arn: &str) -> Station {
    let (database, base) = (stage.database.url_as("arcadia_sync_login"), stage.sim.url());
    let variables = vec![
        ("DATABASE_URL", database.as_str()),
        ("DO_API_BASE_URL", base.as_str()),
        ("DO_TOKEN_SECRET_ARN", arn),
    ];
    let config = Environment::of(variables).worker(Purpose::SyncFast).unwrap();
    Station::set_up(config, Secrets::new(Duration::from_secs(300)))
        .await
        .unwrap()
}

fn aws() -> Aws {
    Aws::attach(&Services::from_env().unwrap().aws_url)
}

#[tokio::test]
async fn a_refused_token_is_read_again_once_and_the_run_goes_on() {
    let mut stage = Stage::with(Scenario::Default).await;
    let name = format!("rotation-{}", stage.database.name());
    let arn = aws().put_secret(&name, TOKEN).await.unwrap();
    let station = station(&stage, &arn).await;
    let run = async |stage: &Stage| sync::run_at(&station, &DROPLETS, Tick::default(), stage.now, None).await;
    let report = run(&stage).await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    // DigitalOcean knows another token now, and so does the secret.
    stage.sim.set_token(&Token::new("sync", "dop_v1_rotated"));
    aws().put_secret(&name, "dop_v1_rotated").await.unwrap();
    stage.sim.clear_requests();
    let report = run(stage.later(1)).await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    let statuses: Vec<u16> = stage.sim.requests().iter().map(|entry| entry.status).collect();
    assert_eq!(
        statuses,
        [401, 200, 200, 200],
        "refused once, read again, never refused again"
    );
    // Rotated over there only: one more try with what the secret says, and then it is said.
    stage.sim.set_token(&Token::new("sync", "dop_v1_unknown"));
    stage.sim.clear_requests();
    let report = run(stage.later(1)).await;
    assert_eq!(
        (report.outcome, report.error_class),
        (RunOutcome::Failed, Some("unauthorized")),
        "{report:?}"
    );
    let error = report.error.unwrap();
    assert!(error.contains("401") && error.contains(&arn), "{error}");
    let statuses: Vec<u16> = stage.sim.requests().iter().map(|entry| entry.status).collect();
    assert_eq!(statuses, [401, 401]);
}

#[tokio::test]
async fn a_secret_that_cannot_be_had_is_one_sentence() {
    let stage = Stage::with(Scenario::Default).await;
    let missing = "arn:aws:secretsmanager:us-east-1:123456789012:secret:nowhere-AbCdEf";
    let blank = format!("blank-{}", stage.database.name());
    let blank = aws().put_secret(&blank, " dop_v1_padded\n").await.unwrap();
    for (arn, reason) in [
        (missing, "ResourceNotFoundException"),
        (blank.as_str(), "white space"),
    ] {
        let station = station(&stage, arn).await;
        let report = sync::run_at(&station, &DROPLETS, Tick::default(), stage.now, None).await;
        assert_eq!(
            (report.outcome, report.error_class),
            (RunOutcome::Failed, Some("token_unavailable"))
        );
        let error = report.error.unwrap();
        assert!(error.contains(arn) && error.contains(reason), "{error}");
        assert!(!error.contains('\n') && !error.contains("padded"), "{error}");
    }
    assert!(stage.sim.requests().is_empty());
}

/// Keys as `arcadia-app` makes them.
fn key(number: usize) -> String {
    format!("rotated-key-{number}-").repeat(5)
}

fn operator_of(number: usize) -> String {
    tokens::operator(key(number).trim(), tokens::now())
}

/// A database and a token secret of the test's own, that holds the first key.
async fn api_secrets() -> (Stage, String, String) {
    let stage = Stage::with(Scenario::Empty).await;
    let name = format!("{}-guardian", stage.database.name());
    let arn = aws().put_secret(&name, &key(1)).await.unwrap();
    (stage, name, arn)
}

#[tokio::test]
async fn a_rotated_token_secret_costs_nobody_a_request() {
    let (stage, name, arn) = api_secrets().await;
    let url = stage.database.url_as("arcadia_api_login");
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("GUARDIAN_SECRET_ARN", arn.as_str()),
    ];
    let status = async |api: &Api, token: &str| api.get("/api/v1/inventory", token).await.status;
    let warm = Api::of(&variables);
    assert_eq!(status(&warm, &operator_of(1)).await, 200);

    aws().put_secret(&name, &key(2)).await.unwrap();
    // New tokens at once; old ones for a while; anybody else's never.
    assert_eq!(status(&warm, &operator_of(2)).await, 200);
    assert_eq!(status(&warm, &operator_of(1)).await, 200);
    assert_eq!(status(&warm, &operator_of(3)).await, 401);
    // For a wrong signature alone: what is wrong with an old token stays wrong.
    let now = tokens::now();
    for (claim, value) in [
        ("exp", json!(now - 1)),
        ("typ", json!("refresh")),
        ("iss", json!("elsewhere")),
        ("nbf", json!(now + 60)),
    ] {
        let mut claims = tokens::claims("somebody", now);
        claims["roles"] = json!(["platform_admin"]);
        claims[claim] = value;
        for number in [1, 2] {
            let token = tokens::mint(&key(number), &claims);
            assert_eq!(status(&warm, &token).await, 401, "{claim} of key {number}");
        }
    }
    // A sandbox that has never seen the first key knows it too, and one that starts after the next rotation does not.
    let cold = Api::of(&variables);
    assert_eq!(status(&cold, &operator_of(1)).await, 200);
    assert_eq!(status(&cold, &operator_of(2)).await, 200);
    aws().put_secret(&name, &key(3)).await.unwrap();
    let cold = Api::of(&variables);
    assert_eq!(status(&cold, &operator_of(1)).await, 401);
    assert_eq!(status(&cold, &operator_of(2)).await, 200);
    assert_eq!(status(&cold, &operator_of(3)).await, 200);
}

#[tokio::test]
async fn the_token_secret_before_is_good_for_a_quarter_of_an_hour() {
    let (stage, name, arn) = api_secrets().await;
    aws().put_secret(&name, &key(2)).await.unwrap();
    let url = stage.database.url_as("arcadia_api_login");
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("GUARDIAN_SECRET_ARN", arn.as_str()),
    ];
    let config = Environment::of(variables).api().unwrap();
    let state = Arc::new(api::State::new(config, Secrets::default()));
    let now = DateTime::<Utc>::from_timestamp(tokens::now(), 0).unwrap();
    let bearer = format!("Bearer {}", operator_of(1));
    for (later, good) in [
        (TimeDelta::zero(), true),
        (GRACE - TimeDelta::minutes(1), true),
        (GRACE + TimeDelta::minutes(1), false),
        (TimeDelta::hours(11), false),
    ] {
        let told = state.identify(Some(&bearer), now + later).await.unwrap();
        assert_eq!(told.is_ok(), good, "{later}");
        assert!(good || matches!(told, Err(Refusal::Invalid(_))), "{told:?}");
    }
    let new = format!("Bearer {}", operator_of(2));
    let later = now + TimeDelta::hours(11);
    assert!(state.identify(Some(&new), later).await.unwrap().is_ok());
}

#[tokio::test]
async fn a_rotated_database_password_costs_a_caller_one_retry_at_most() {
    let (stage, _, arn) = api_secrets().await;
    let login = format!("caller_{}", stage.database.name());
    let execute = async |statement: String| {
        let statement = sqlx::raw_sql(sqlx::AssertSqlSafe(statement));
        statement.execute(&stage.pool).await.unwrap();
    };
    let url = |password: &str| {
        let url = stage.database.url_as(&login);
        url.replace(":local@", &format!(":{password}@"))
    };
    execute(format!(
        "CREATE ROLE {login} LOGIN PASSWORD 'first' IN ROLE arcadia_api"
    ))
    .await;
    let name = format!("{}-api-database", stage.database.name());
    let database = aws().put_secret(&name, &url("first")).await.unwrap();
    let variables = [
        ("DATABASE_SECRET_ARN", database.as_str()),
        ("GUARDIAN_SECRET_ARN", arn.as_str()),
    ];
    let api = Api::of(&variables);
    let ask = async || api.get("/api/v1/inventory", &operator_of(1)).await;
    assert_eq!(ask().await.status, 200);

    execute(format!("ALTER ROLE {login} PASSWORD 'second'")).await;
    aws().put_secret(&name, &url("second")).await.unwrap();
    execute(format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{login}'"
    ))
    .await;
    let refused = ask().await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(refused.headers.contains_key("retry-after") && !refused.text.contains(&login));
    assert_eq!(ask().await.status, 200);
    drop(api);
    execute(format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{login}';
         DROP OWNED BY {login}; DROP ROLE {login}"
    ))
    .await;
}
