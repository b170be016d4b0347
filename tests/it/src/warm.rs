//! A sandbox that serves for a long time: it holds one connection, keeps a bounded number of statements prepared, and
//! grows by nothing.
//!
//! Compiled binaries in sandboxes, thousands of invocations; and one connection of the product's own pool, asked what
//! it has prepared, which only itself is told.

use std::collections::BTreeSet;

use harness::large;
use harness::sandbox::Sandbox;
use harness::services::Services;
use harness::tokens;
use harness::usage::Usage;
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::auth::{Settings, Verifier};
use shared::config::{DatabaseConfig, Source};
use shared::database;
use shared::inventory::read::{self, Filter, Sort};
use shared::secrets::Secrets;
use simulator::Scenario;
use sqlx::PgPool;

use crate::caller::{SECRET, operator};
use crate::stage::{Stage, TOKEN};

const INVOCATIONS: u32 = 2_000;
/// What the driver keeps prepared on a connection, and what is asked in other words than ever before.
const KEPT: i64 = 100;
const ASKED: u32 = 120;

#[tokio::test]
async fn a_connection_keeps_a_bounded_number_of_statements() {
    let database = Services::from_env().unwrap().database().await.unwrap();
    let config = DatabaseConfig {
        source: Source::Value(database.url_as("arcadia_api_login").into()),
        host: None,
        port: None,
        name: None,
    };
    let options = database::options(&config, &Secrets::default()).await.unwrap();
    let pool = database::pool(options);
    let verifier = Verifier::new(&SecretString::from(SECRET), Settings::default()).unwrap();
    let token = format!("Bearer {}", operator());
    let now = database::now(&pool).await.unwrap();
    let caller = verifier.verify(Some(&token), now).unwrap();
    for n in 0..ASKED {
        let asked = |bit: u32, value: &str| (n >> bit & 1 == 1).then(|| value.to_owned());
        let filter = Filter {
            kind: asked(0, "droplet"),
            status: asked(1, "active"),
            region: asked(2, "fra1"),
            attribution: asked(3, "none"),
            tag: asked(4, "web"),
            q: asked(5, "web"),
            tenant_id: asked(6, "larkspur-bakery"),
            ..Filter::default()
        };
        let page = read::list(&pool, caller.scope(), &filter, Sort::default(), None, 10).await;
        assert!(page.unwrap().items.is_empty());
    }
    let prepared: Vec<String> = sqlx::query_scalar("SELECT statement FROM pg_prepared_statements")
        .fetch_all(&pool)
        .await
        .unwrap();
    let different: BTreeSet<_> = prepared.iter().collect();
    assert_eq!((different.len(), pool.size()), (prepared.len(), 1));
    // This question is one of them.
    assert_eq!(prepared.len() as i64, KEPT, "{prepared:#?}");
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_a_worker_grows_by_nothing_in_two_thousand_invocations() {
    let stage = Stage::with(Scenario::Default).await;
    let environment = [
        ("DATABASE_URL", stage.database.url_as("arcadia_sync_login")),
        ("DO_API_BASE_URL", stage.sim.url()),
        ("DO_API_TOKEN", TOKEN.to_owned()),
    ];
    let sandbox = Sandbox::start(
        "sync-droplets",
        &environment.map(|(name, value)| (name.to_owned(), value)),
    )
    .await
    .unwrap();
    // Every run counts its requests, and so many of them are more than a token has in an hour.
    sqlx::raw_sql(
        "CREATE FUNCTION forget_requests() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN NEW.minute_ring = '{}'; NEW.hour_ring = '{}'; RETURN NEW; END $$;
         CREATE TRIGGER forget_requests BEFORE INSERT OR UPDATE ON token_budgets
         FOR EACH ROW EXECUTE FUNCTION forget_requests()",
    )
    .execute(&stage.pool)
    .await
    .unwrap();
    let checked = |answer: &Value| assert_eq!(answer["outcome"], "complete", "{answer}");
    grows_by_nothing(&sandbox, &stage.pool, |_| json!({}), checked).await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_the_api_grows_by_nothing_in_two_thousand_invocations() {
    let database = Services::from_env().unwrap().database().await.unwrap();
    large::fill(&database, large::SHORT).await.unwrap();
    let environment = [
        ("DATABASE_URL", database.url_as("arcadia_api_login")),
        ("GUARDIAN_SECRET_KEY", SECRET.to_owned()),
    ];
    let sandbox = Sandbox::start("api", &environment.map(|(name, value)| (name.to_owned(), value)))
        .await
        .unwrap();
    let pool = PgPool::connect(&database.url()).await.unwrap();
    let asked = |n: u32| {
        let token = match n % 3 {
            0 => tokens::tenant(SECRET, large::LARGE.tenant, tokens::now()),
            _ => operator(),
        };
        let filters = [
            "kind=volume",
            "status=active",
            "region=fra1",
            "attribution=fallback",
            "tag=web",
            "include_deleted=true",
        ];
        let chosen = filters.iter().enumerate().filter(|(bit, _)| n >> bit & 1 == 1);
        let mut query = vec![
            ["sort=id", "sort=-id", "sort=name", "sort=-name"][n as usize / 64 % 4],
            "limit=20",
        ];
        query.extend(chosen.map(|(_, filter)| *filter));
        json!({
            "version": "2.0", "rawPath": "/api/v1/inventory", "rawQueryString": query.join("&"),
            "headers": {"authorization": format!("Bearer {token}")},
            "requestContext": {"http": {"method": "GET"}, "stage": "$default"},
        })
    };
    let checked = |answer: &Value| assert_eq!(answer["statusCode"], 200, "{answer}");
    grows_by_nothing(&sandbox, &pool, asked, checked).await;
}

/// After the first hundred, which every process grows in: less than 5 MB, on one connection.
async fn grows_by_nothing(
    sandbox: &Sandbox,
    pool: &PgPool,
    event: impl Fn(u32) -> Value,
    check: impl Fn(&Value),
) {
    let resident = || Usage::of(sandbox.pid()).unwrap().resident;
    let mut before = 0;
    for n in 0..INVOCATIONS {
        check(&sandbox.invoke(&event(n)).await.ok().unwrap());
        if n == 99 {
            before = resident();
        }
    }
    let after = resident();
    let connections: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'arcadia-cloud'",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    println!("{before} bytes after a hundred, {after} after all, {connections} connection");
    assert!(after < before + 5_000_000, "{before} has become {after}");
    assert_eq!(connections, 1);
}
