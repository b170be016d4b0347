//! Bad configuration, for every binary: one sentence that names the culprit and repeats no secret.
//!
//! What the environment says wrongly ends the process at its start; what is wrong with the world behind it (a
//! database that is away, a secret that is missing, a token that is refused) fails the invocation, because it
//! may be mended while the sandbox lives. A binary that this table does not know fails it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use harness::sandbox::{Outcome, Sandbox};
use harness::services::Services;
use harness::tokens;
use serde_json::{Value, json};
use simulator::Scenario;
use sqlx::Connection;
use sqlx::migrate::Migrate;
use tokio::net::TcpListener;

use crate::binaries::{binaries, body, request};
use crate::deployment::{BILLING, Deployment, GUARDIAN, event, lines, refusal, report, run_lines};

/// In every value that is wrong: it must not be repeated.
const HIDDEN: &str = "canary";

/// What a binary needs, for the table below.
#[derive(Clone, Copy, PartialEq)]
enum Sort {
    Api,
    Worker,
    /// A worker whose events are messages.
    Messages,
    Migrate,
}

fn sort(binary: &str) -> Sort {
    match binary {
        "api" => Sort::Api,
        "migrate" => Sort::Migrate,
        "ingest-invoice" => Sort::Messages,
        name if name.starts_with("sync-") => Sort::Worker,
        other => panic!("what does {other} need? Say so in this test"),
    }
}

/// Starts a binary that must not start. Answers with its one sentence.
async fn refused_start(deployment: &Deployment, binary: &str, changes: &[(&str, &str)]) -> String {
    let begun = Instant::now();
    let sandbox = deployment.sandbox(binary, changes).await;
    let Outcome::Exited(status, stderr) = sandbox.exit().await else {
        panic!("{binary} did not end with {changes:?}")
    };
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{binary} took {:?}",
        begun.elapsed()
    );
    assert!(!status.success(), "{binary} ended well with {changes:?}");
    assert_eq!(stderr, "", "{binary}");
    let said = lines(&sandbox);
    let [line] = said.as_slice() else {
        panic!("{binary} said {said:?}")
    };
    assert_eq!(
        (&line["level"], &line["function"]),
        (&json!("ERROR"), &json!(binary)),
        "{line}"
    );
    let sentence = line["message"].as_str().unwrap();
    assert!(
        !line.to_string().contains(HIDDEN),
        "{binary} repeats a value: {line}"
    );
    sentence.to_owned()
}

#[tokio::test]
async fn everything_that_is_missing_is_named_at_once() {
    let deployment = Deployment::with(Scenario::Empty).await;
    for binary in binaries() {
        let needed: &[&str] = match sort(&binary) {
            Sort::Worker | Sort::Messages => &[
                "DATABASE_URL",
                "DATABASE_SECRET_ARN",
                "DO_API_TOKEN",
                "DO_TOKEN_SECRET_ARN",
            ],
            Sort::Api => &[
                "DATABASE_URL",
                "DATABASE_SECRET_ARN",
                "GUARDIAN_SECRET_KEY",
                "GUARDIAN_SECRET_ARN",
            ],
            Sort::Migrate => &["DATABASE_URL", "DATABASE_SECRET_ARN"],
        };
        let nothing: Vec<(&str, &str)> = needed.iter().map(|name| (*name, "")).collect();
        let sentence = refused_start(&deployment, &binary, &nothing).await;
        for name in needed {
            assert!(
                sentence.contains(name),
                "{binary} does not name {name}: {sentence}"
            );
        }
    }
}

#[tokio::test]
async fn a_malformed_variable_ends_the_start_and_is_named() {
    let deployment = Deployment::with(Scenario::Empty).await;
    let everybody: &[(&str, &str)] = &[
        ("DATABASE_URL", "canary"),
        ("DATABASE_URL", "mysql://canary@localhost/db"),
        ("DATABASE_URL", "postgres://u:canary@localhost:port/db"),
        ("DATABASE_SECRET_ARN", "canary"), // beside the URL
        ("DATABASE_PORT", "canary"),
    ];
    let workers: &[(&str, &str)] = &[
        ("DO_API_BASE_URL", "canary"),
        ("DO_API_BASE_URL", "http://canary.example.com"),
        ("DO_API_BASE_URL", "https://canary@api.digitalocean.com"),
        ("DO_API_TOKEN", "canary"), // beside the ARN
        ("LEASE_SECONDS", "canary"),
        ("LEASE_SECONDS", "4"),
        ("STRIKE_SPACING_SECONDS", "-1"),
    ];
    let api: &[(&str, &str)] = &[
        ("GUARDIAN_SECRET_KEY", "canary"),
        (
            "GUARDIAN_SECRET_KEY",
            "canary_0123456789012345678901234567890123456789012345678901234567\n",
        ),
        ("GUARDIAN_SECRET_ARN", "canary"), // beside the key
        ("JWT_ALGORITHMS", "HS512,canary"),
        ("CORS_ALLOW_ORIGINS", "*"),
    ];
    for binary in binaries() {
        let own = match sort(&binary) {
            Sort::Worker | Sort::Messages => workers,
            Sort::Api => api,
            Sort::Migrate => &[],
        };
        for (name, value) in everybody.iter().chain(own) {
            let sentence = refused_start(&deployment, &binary, &[(name, value)]).await;
            assert!(sentence.contains(name), "{binary} {name}={value:?}: {sentence}");
        }
        if sort(&binary) == Sort::Worker {
            let pasted = [("DO_TOKEN_SECRET_ARN", ""), ("DO_API_TOKEN", "dop_v1_canary\n")];
            let sentence = refused_start(&deployment, &binary, &pasted).await;
            assert!(sentence.contains("DO_API_TOKEN"), "{sentence}");
        }
    }
}

/// Starts a binary that starts, and gives it an event that must fail. Answers with its one sentence.
async fn refused_event(deployment: &Deployment, binary: &str, changes: &[(&str, &str)]) -> String {
    let sandbox = deployment.sandbox(binary, changes).await;
    assert!(
        sandbox.ready().await,
        "{binary} ended at its start: {}",
        sandbox.stdout()
    );
    let begun = Instant::now();
    let sentence = match sort(binary) {
        Sort::Worker => {
            let (_, message) = refusal(sandbox.invoke(&json!({})).await);
            let runs = run_lines(&sandbox);
            assert_eq!(runs.len(), 1, "{runs:?}");
            assert_eq!(
                (&runs[0]["level"], &runs[0]["error"]),
                (&json!("ERROR"), &json!(message))
            );
            assert_eq!(lines(&sandbox).len(), 1, "{:?}", lines(&sandbox));
            message
        }
        Sort::Messages => {
            // The message comes back, and the log says why.
            let answer = report(sandbox.invoke(&event("sqs-ingest.json")).await);
            assert_eq!(
                answer["batchItemFailures"].as_array().unwrap().len(),
                1,
                "{answer}"
            );
            let runs = run_lines(&sandbox);
            assert_eq!((runs.len(), &runs[0]["level"]), (1, &json!("ERROR")), "{runs:?}");
            runs[0]["error"].as_str().unwrap().to_owned()
        }
        Sort::Migrate => {
            let (_, message) = refusal(sandbox.invoke(&json!({})).await);
            assert_eq!(lines(&sandbox).len(), 1, "{:?}", lines(&sandbox));
            message
        }
        Sort::Api => not_ready(&sandbox).await,
    };
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{binary} took {:?}",
        begun.elapsed()
    );
    let all = sandbox.stdout() + &sandbox.stderr();
    assert!(
        !all.contains(HIDDEN) && !all.contains("panick"),
        "{binary}: {all}"
    );
    assert!(!sentence.contains('\n'), "{binary}: {sentence:?}");
    assert_eq!(sandbox.ended(), None, "{binary} ended");
    sentence
}

/// The API answers 503 without saying why, stays alive, and tells the log.
async fn not_ready(api: &Sandbox) -> String {
    body(&report(api.invoke(&request("/api/health", "", None)).await), 200);
    body(
        &report(api.invoke(&request("/api/health/ready", "", None)).await),
        503,
    );
    let operator = tokens::operator(GUARDIAN, tokens::now());
    let answer = report(
        api.invoke(&request("/api/v1/inventory", "", Some(&operator)))
            .await,
    );
    body(&answer, 503);
    let said = lines(api);
    let last = said
        .iter()
        .rev()
        .find(|line| line["status"] == 503)
        .unwrap_or_else(|| panic!("{said:?}"));
    ["cause", "error", "message"]
        .iter()
        .find_map(|field| last[*field].as_str())
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test]
async fn a_database_that_is_away_fails_the_event_and_not_the_start() {
    let deployment = Deployment::with(Scenario::Empty).await;
    let refused = harness::place::free_port().unwrap();
    let hole = TcpListener::bind("127.0.0.1:0").await.unwrap(); // takes connections and never says a word
    let silent = hole.local_addr().unwrap().port();
    let binaries = binaries();
    let cases = binaries
        .iter()
        .flat_map(|binary| [(binary, refused), (binary, silent)]);
    join_all(cases.map(async |(binary, port)| {
        let url = format!("postgres://someone:canary@127.0.0.1:{port}/db");
        let sentence = refused_event(&deployment, binary, &[("DATABASE_URL", &url)]).await;
        let address = format!("127.0.0.1:{port}");
        assert!(sentence.contains(&address), "{binary}: {sentence}");
    }))
    .await;
}

#[tokio::test]
async fn a_login_that_is_refused_or_may_not_is_named() {
    let deployment = Deployment::with(Scenario::Empty).await;
    // Logins belong to the server that all tests share.
    let stranger = format!("stranger_{}", deployment.database.name());
    let make = format!("CREATE ROLE {stranger} LOGIN PASSWORD 'local'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(make))
        .execute(&deployment.pool)
        .await
        .unwrap();
    for binary in binaries() {
        let right = deployment.environment(&binary)["DATABASE_URL"].clone();
        let wrong = right.replace(":local@", ":canary@");
        let sentence = refused_event(&deployment, &binary, &[("DATABASE_URL", &wrong)]).await;
        let login = if sort(&binary) == Sort::Migrate {
            "postgres"
        } else {
            "arcadia_"
        };
        assert!(
            sentence.contains("password") && sentence.contains(login),
            "{binary}: {sentence}"
        );

        let url = deployment.database.url_as(&stranger);
        let sentence = refused_event(&deployment, &binary, &[("DATABASE_URL", &url)]).await;
        let refused = sentence.contains("permission denied") || sentence.contains("may not read");
        assert!(refused, "{binary}: {sentence}");
        assert!(
            sentence.contains(&stranger),
            "{binary} does not say who: {sentence}"
        );

        let url = deployment
            .database
            .url()
            .replace(deployment.database.name(), "no_such_database");
        let sentence = refused_event(&deployment, &binary, &[("DATABASE_URL", &url)]).await;
        assert!(sentence.contains("no_such_database"), "{binary}: {sentence}");
    }
    let unmake = format!("DROP ROLE {stranger}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(unmake))
        .execute(&deployment.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_schema_that_is_too_old_is_refused_with_both_versions() {
    let services = Services::from_env().unwrap();
    let mut versions: Vec<i64> = shared::database::MIGRATIONS.iter().map(|m| m.version).collect();
    versions.sort_unstable();
    // Numbers may be left out.
    let [.., before, needed] = versions[..] else {
        panic!("{versions:?}")
    };
    for found in [0, GRANTS - 1, before] {
        let database = services.cluster.empty().await.unwrap();
        let deployment = Deployment::around(database, Scenario::Empty).await;
        migrate_to(&deployment, found).await;
        for binary in binaries().iter().filter(|name| sort(name) != Sort::Migrate) {
            let sentence = refused_event(&deployment, binary, &[]).await;
            // Until rights are given nobody but the owner may even read the version.
            let expected = if found > 0 && found < granted(binary) {
                format!(
                    "may not read the schema's version, and this program needs {needed}: run migrate first"
                )
            } else {
                format!("at version {found} and this program needs {needed}: run migrate first")
            };
            assert!(sentence.contains(&expected), "{binary}: {sentence}");
        }
        let migrate = deployment.sandbox("migrate", &[]).await;
        assert_eq!(report(migrate.invoke(&json!({})).await)["version"], needed);
    }
}

/// The migration that lets the first logins read the schema's version.
const GRANTS: i64 = 5;

/// The migration that lets this binary's login read the schema's version.
fn granted(binary: &str) -> i64 {
    if BILLING.contains(&binary) { 8 } else { GRANTS }
}

/// Applies the first migrations only.
async fn migrate_to(deployment: &Deployment, last: i64) {
    let mut connection = sqlx::PgConnection::connect(&deployment.database.url())
        .await
        .unwrap();
    if last > 0 {
        connection
            .ensure_migrations_table("_sqlx_migrations")
            .await
            .unwrap();
    }
    for migration in shared::database::MIGRATIONS.iter().filter(|m| m.version <= last) {
        connection.apply("_sqlx_migrations", migration).await.unwrap();
    }
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_secret_that_is_missing_or_malformed_is_named() {
    let deployment = Deployment::with(Scenario::Empty).await;
    let put = async |name: &str, value: &str| {
        let name = format!("{}-{name}", deployment.database.name());
        deployment.aws.put_secret(&name, value).await.unwrap()
    };
    let missing = "arn:aws:secretsmanager:us-east-1:123456789012:secret:not-there-AbCdEf";
    let pasted = put("pasted", "dop_v1_canary\n").await;
    let broken = put("broken", "dop_v1_\ncanary").await;
    let text = put("text", "no address, but canary").await;
    let empty_json = put("json", r#"{"password":"canary"}"#).await;
    let half = put("half", r#"{"username":"u","password":"canary"}"#).await;
    for binary in binaries() {
        let away = [("DATABASE_URL", ""), ("DATABASE_SECRET_ARN", missing)];
        let sentence = refused_event(&deployment, &binary, &away).await;
        assert!(
            sentence.contains(missing) && sentence.contains("ResourceNotFound"),
            "{binary}: {sentence}"
        );
        for secret in [&text, &empty_json, &half] {
            let bad = [("DATABASE_URL", ""), ("DATABASE_SECRET_ARN", secret.as_str())];
            let sentence = refused_event(&deployment, &binary, &bad).await;
            assert!(sentence.contains("database secret"), "{binary}: {sentence}");
        }
        if sort(&binary) == Sort::Worker {
            for arn in [missing, &pasted, &broken] {
                let sentence = refused_event(&deployment, &binary, &[("DO_TOKEN_SECRET_ARN", arn)]).await;
                assert!(sentence.contains(arn), "{binary}: {sentence}");
            }
        }
    }
}

#[tokio::test]
async fn a_token_that_digitalocean_refuses_is_said_to_be_refused() {
    let deployment = Deployment::with(Scenario::Empty).await;
    for binary in binaries().iter().filter(|name| sort(name) == Sort::Worker) {
        let wrong = [
            ("DO_TOKEN_SECRET_ARN", ""),
            ("DO_API_TOKEN", "dop_v1_canary_of_nobody"),
        ];
        let sentence = refused_event(&deployment, binary, &wrong).await;
        assert!(
            sentence.contains("401") && sentence.contains("token"),
            "{binary}: {sentence}"
        );
        let run: Value = sqlx::query_scalar(
            "SELECT to_jsonb(s) FROM sync_runs s WHERE worker = $1 ORDER BY started_at DESC LIMIT 1",
        )
        .bind(binary)
        .fetch_one(&deployment.pool)
        .await
        .unwrap();
        assert_eq!(
            (&run["outcome"], &run["error_class"]),
            (&json!("failed"), &json!("unauthorized"))
        );
        assert_eq!(run["error_message"], json!(sentence));
    }
    assert_eq!(deployment.last_event().await, 0);
}
