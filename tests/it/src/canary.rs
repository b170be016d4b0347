//! Recognisable secrets, planted everywhere, found nowhere: in no line of output, in no column of any table.
//!
//! Every secret of a deployment says `canary`; here runs go well and go wrong in every way that touches one, with
//! all the logging that can be asked for, and then everything that was written down is searched. The other
//! tests of binaries check their own output too.

use futures_util::future::join_all;
use harness::sandbox::Sandbox;
use harness::tokens;
use serde_json::json;
use simulator::{Fault, FaultKind, Matcher, Scenario, Token};
use sqlx::AssertSqlSafe;

use crate::binaries::{binaries, request};
use crate::deployment::{Deployment, GUARDIAN, TOKEN};

/// The password of a login of this test's own: everybody else's is `local`, which is in every second word.
const PASSWORD: &str = "canary_password_of_a_login";

#[tokio::test]
async fn no_secret_is_ever_written_down() {
    let deployment = Deployment::with(Scenario::Default).await;
    let login = format!("discreet_{}", deployment.database.name());
    let execute = async |statement: String| {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&deployment.pool)
            .await
            .unwrap();
    };
    let roles = "arcadia_sync, arcadia_api";
    execute(format!(
        "CREATE ROLE {login} LOGIN SUPERUSER PASSWORD '{PASSWORD}' IN ROLE {roles}"
    ))
    .await;
    let url = deployment
        .database
        .url_as(&login)
        .replace(":local@", &format!(":{PASSWORD}@"));
    let secret = deployment
        .aws
        .put_secret(&format!("{login}-database"), &url)
        .await
        .unwrap();

    let mut written = Vec::new();
    for binary in binaries() {
        let ways: [&[(&str, &str)]; 4] = [
            &[("DATABASE_URL", &url)],
            &[("DATABASE_URL", ""), ("DATABASE_SECRET_ARN", &secret)],
            &[
                ("DATABASE_URL", &url),
                ("DO_TOKEN_SECRET_ARN", ""),
                ("DO_API_TOKEN", TOKEN),
            ],
            &[(
                "DATABASE_URL",
                &url.replace(PASSWORD, "canary_password_that_is_wrong"),
            )],
        ];
        let sandboxes = join_all(ways.map(async |changes| {
            let changes: Vec<(&str, &str)> =
                changes.iter().copied().chain([("LOG_LEVEL", "trace")]).collect();
            deployment.sandbox(&binary, &changes).await
        }));
        for sandbox in sandboxes.await {
            provoke(&deployment, &sandbox).await;
            written.push((binary.clone(), sandbox.stdout() + &sandbox.stderr()));
        }
    }
    for (binary, text) in &written {
        assert!(!text.is_empty(), "{binary} said nothing at all");
        let leak = text.lines().find(|line| line.contains("canary"));
        assert_eq!(leak, None, "{binary}");
        let bearer = text.lines().find(|line| line.contains("eyJ"));
        assert_eq!(bearer, None, "{binary} logs a caller's token");
    }
    assert_eq!(found(&deployment, "canary").await, Vec::<String>::new());
    assert_ne!(
        found(&deployment, "sync-droplets").await,
        Vec::<String>::new(),
        "the search finds nothing"
    );
    execute(format!("DROP OWNED BY {login}; DROP ROLE {login}")).await;
}

/// Whatever a secret takes part in, well and badly.
async fn provoke(deployment: &Deployment, sandbox: &Sandbox) {
    let bearer = tokens::operator(GUARDIAN, tokens::now());
    let forged = tokens::operator(
        "canary_forged_01234567890123456789012345678901234567890123456789012",
        tokens::now(),
    );
    let events = [
        json!({}),
        json!({"scheduled_time": "canary", "max_age_seconds": "canary"}),
        request("/api/v1/inventory", "", Some(&bearer)),
        request("/api/v1/inventory", "q=canary&sort=canary", Some(&bearer)),
        request("/api/v1/inventory", "", Some(&forged)),
    ];
    for event in &events {
        sandbox.invoke(event).await;
    }
    // A token that stops working, and answers that quote it.
    let fault = Fault {
        kind: FaultKind::Html200,
        on: Matcher::default(),
        skip: 0,
        times: Some(2),
    };
    let id = deployment.sim.fault(fault);
    sandbox.invoke(&json!({})).await;
    deployment.sim.clear_fault(id);
    deployment.sim.set_token(&Token::new("sync-0", "canary_another"));
    sandbox.invoke(&json!({})).await;
    deployment.sim.set_token(&Token::new("sync-0", TOKEN));
}

/// Tables and columns whose rows contain a word anywhere, whatever their type.
async fn found(deployment: &Deployment, word: &str) -> Vec<String> {
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text FROM information_schema.columns
         WHERE table_schema = 'public' ORDER BY 1, 2",
    )
    .fetch_all(&deployment.pool)
    .await
    .unwrap();
    assert!(columns.len() > 50, "{columns:?}");
    let mut found = Vec::new();
    for (table, column) in columns {
        let query = format!("SELECT count(*) FROM {table} WHERE {column}::text LIKE '%{word}%'");
        if deployment.count(&query).await > 0 {
            found.push(format!("{table}.{column}"));
        }
    }
    found
}
