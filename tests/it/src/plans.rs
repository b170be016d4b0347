//! How Postgres answers at 100,000 resources: by an index, whatever is asked and whoever asks.
//!
//! The plans are those of the API's own statements, as the database ran them for the API's own login: Postgres sends
//! them back (auto_explain, with what each step met), row-level security and all. Filled once, asked by one test, so
//! that it costs the suite seconds. It looks at what a plan does, never at how long that took.

use std::io;
use std::sync::{Arc, Mutex};

use harness::large::{self, LARGE, LIVE, Owner, SIZE, SMALL};
use harness::postgres::Database;
use harness::services::Services;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use tracing_subscriber::fmt::MakeWriter;

use crate::caller::{Api, operator, tenant};

/// What a page of 100 may meet if an index leads straight to it; tombstones stand between.
const A_PAGE: u64 = 150;
/// Nothing greater is sorted for a page.
const A_TENTH: u64 = SIZE / 10;

/// Postgres tells whoever asks what it did.
const TELL: [&str; 7] = [
    "session_preload_libraries = 'auto_explain'",
    "auto_explain.log_min_duration = 0",
    "auto_explain.log_level = 'notice'",
    "auto_explain.log_format = 'json'",
    "auto_explain.log_analyze = on",
    "auto_explain.log_timing = off",
    "auto_explain.log_buffers = on",
];

async fn filled() -> Database {
    let database = Services::from_env().unwrap().database().await.unwrap();
    large::fill(&database, large::SHORT).await.unwrap();
    let pool = PgPool::connect(&database.url()).await.unwrap();
    for setting in TELL {
        let statement = format!("ALTER DATABASE {} SET {setting}", database.name());
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&pool)
            .await
            .unwrap();
    }
    pool.close().await;
    database
}

/// What Postgres has said since it was last asked.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl io::Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Said {
    type Writer = Said;

    fn make_writer(&'a self) -> Said {
        self.clone()
    }
}

impl Said {
    /// The plans of the statements on this table.
    fn plans(&self, table: &str) -> Vec<Value> {
        let said = std::mem::take(&mut *self.0.lock().unwrap());
        let lines = said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let plans = lines.filter_map(|line| {
            let line: Value = serde_json::from_slice(line).unwrap();
            let message = line["fields"]["message"].as_str()?;
            let plan: Value = serde_json::from_str(message.split_once("plan:\n")?.1).ok()?;
            Some(plan["Plan"].clone())
        });
        plans.filter(|plan| !steps(plan, table).is_empty()).collect()
    }
}

/// Every step of a plan that reads this table.
fn steps<'p>(plan: &'p Value, table: &str) -> Vec<&'p Value> {
    let all = every(plan).into_iter();
    all.filter(|step| step["Relation Name"] == table).collect()
}

fn every(plan: &Value) -> Vec<&Value> {
    let children = plan["Plans"].as_array().into_iter().flatten();
    [plan].into_iter().chain(children.flat_map(every)).collect()
}

/// What a step has met, kept or not.
fn met(step: &Value) -> u64 {
    let count = |name: &str| step[name].as_f64().unwrap_or_default();
    let one = count("Actual Rows") + count("Rows Removed by Filter") + count("Rows Removed by Index Recheck");
    (one * count("Actual Loops")) as u64
}

/// The conditions by which a step finds its rows in an index; empty: it reads everything, in the index's order.
fn found_by(step: &Value) -> String {
    let conditions = every(step)
        .into_iter()
        .filter_map(|step| step["Index Cond"].as_str());
    conditions.collect::<Vec<_>>().join(" ")
}

/// Asks, and looks at the one plan that answered.
async fn plan(api: &Api, said: &Said, path: &str, token: &str, table: &str) -> Value {
    let answer = api.get(path, token).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    let mut plans = said.plans(table);
    assert_eq!(plans.len(), 1, "{path}: {plans:#?}");
    plans.remove(0)
}

/// Whatever is asked: an index answers, and little is sorted.
fn by_index(plan: &Value, table: &str, path: &str) {
    for step in steps(plan, table) {
        assert_ne!(step["Node Type"], "Seq Scan", "{path}: {plan:#}");
    }
    for step in every(plan) {
        if step["Node Type"]
            .as_str()
            .is_some_and(|name| name.contains("Sort"))
        {
            let sorted = step["Plans"][0]["Actual Rows"].as_f64().unwrap();
            assert!(sorted as u64 <= A_TENTH, "{path} sorts {sorted} rows: {plan:#}");
        }
    }
}

/// A tenant's answer comes out of what it owns.
fn by_owner(plan: &Value, table: &str, path: &str, owned: u64) {
    for step in steps(plan, table) {
        let condition = found_by(step);
        assert!(condition.contains("tenant_id = "), "{path}: {plan:#}");
        assert!(met(step) <= owned, "{path} meets {}: {plan:#}", met(step));
    }
}

/// Pages of tables and indexes that a plan has looked at: a walk along an index shows here, where it meets no row.
fn touched(plan: &Value) -> u64 {
    let count = |name: &str| plan[name].as_u64().unwrap_or_default();
    count("Shared Hit Blocks") + count("Shared Read Blocks")
}

#[tokio::test]
async fn every_question_has_its_index() {
    let database = filled().await;
    let said = Said::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(tracing::Level::INFO)
        .with_writer(said.clone())
        .finish();
    let _listening = tracing::subscriber::set_default(subscriber);
    let api = Api::over(&database);
    filters(&api, &said).await;
    orders(&api, &said, &database).await;
    history(&api, &said).await;
}

/// Each filter, which index leads to it (none: what it leaves is most of everything), each in every order.
async fn filters(api: &Api, said: &Said) {
    for (filter, index) in [
        ("", ""),
        ("kind=droplet", "kind = "),
        ("kind=k8s_cluster", "kind = "),
        ("status=active", ""),
        ("status=new", "status = "),
        ("region=fra1", "region = "),
        (
            "project_id=00000000-0000-7000-8000-000000000007",
            "cloud_project_id = ",
        ),
        ("tenant_id=larkspur-bakery", "tenant_id = "),
        ("tenant_id=small-7", "tenant_id = "),
        ("attribution=operator", "attribution = "),
        ("tag=web", ""),
        ("tag=rare", "tags @> "),
        ("q=web-ab", ">= 'web-ab'"),
        ("q=77", "provider_id = "),
        ("updated_since=2026-01-02T03:00:00Z", ""),
        ("updated_since=2026-01-02T03:00:00Z&kind=k8s_cluster", "kind = "),
        ("include_deleted=true", ""),
    ] {
        for sort in ["id", "name", "-updated_at"] {
            let path = format!("/api/v1/inventory?sort={sort}&{filter}");
            let all = plan(api, said, &path, &operator(), "cloud_resources").await;
            by_index(&all, "cloud_resources", &path);
            if sort == "id" {
                let condition: String = steps(&all, "cloud_resources").into_iter().map(found_by).collect();
                assert!(
                    condition.contains(index),
                    "{path} is not found by {index}: {all:#}"
                );
            }
            for Owner {
                tenant: who, owned, ..
            } in [LARGE, SMALL]
            {
                if filter.starts_with("tenant_id") && !filter.ends_with(who) {
                    continue;
                }
                let own = plan(api, said, &path, &tenant(who), "cloud_resources").await;
                by_index(&own, "cloud_resources", &path);
                by_owner(&own, "cloud_resources", &format!("{path} of {who}"), owned);
            }
        }
    }
}

/// The last page is found as the first one is, by the order's own index, also once the plan is one for all values.
async fn orders(api: &Api, said: &Said, database: &Database) {
    for (who, token, live) in [
        ("", operator(), LIVE),
        (LARGE.tenant, tenant(LARGE.tenant), LARGE.live),
    ] {
        for (sort, index) in [
            ("id", "id"),
            ("-id", "id"),
            ("name", "name"),
            ("-name", "name"),
            ("updated_at", "updated_at, id) > "),
            ("-updated_at", "updated_at, id) < "),
        ] {
            let path = format!("/api/v1/inventory?sort={sort}");
            let first = api.get(&path, &token).await;
            let first = first.body["page"]["next_cursor"].as_str().unwrap();
            let last = large::cursor(database, first, sort, who, live - 101)
                .await
                .unwrap();
            said.plans("cloud_resources");
            let path = format!("{path}&cursor={last}");
            for turn in 0..7 {
                let plan = plan(api, said, &path, &token, "cloud_resources").await;
                by_index(&plan, "cloud_resources", &path);
                let step = steps(&plan, "cloud_resources")[0];
                assert!(found_by(step).contains(index), "{path} of {who:?}: {plan:#}");
                // The rows of others that a tenant's page may pass: as many as it has itself, and half as many again.
                let most = if who.is_empty() { A_PAGE } else { 2 * A_PAGE };
                let (met, pages) = (met(step), touched(&plan));
                assert!(
                    (100..=most).contains(&met),
                    "{path} of {who:?} meets {met}: {plan:#}"
                );
                assert!(
                    pages <= 3 * A_PAGE,
                    "{path} of {who:?} touches {pages} pages: {plan:#}"
                );
                // Postgres makes five plans for the values that were asked with, and then keeps one for all.
                assert_eq!(
                    found_by(step).contains('$'),
                    turn >= 5,
                    "{path} of {who:?}, turn {turn}: {plan:#}"
                );
            }
        }
    }
    let path = "/api/v1/inventory/01000000-0000-7000-8000-000000000005";
    for token in [operator(), tenant(LARGE.tenant)] {
        let plan = plan(api, said, path, &token, "cloud_resources").await;
        let step = steps(&plan, "cloud_resources")[0];
        assert!(found_by(step).contains("id = ") && met(step) == 1, "{plan:#}");
    }
}

/// What has happened, newest first and oldest first.
async fn history(api: &Api, said: &Said) {
    for filter in [
        "",
        "tenant_id=small-7",
        "since=2026-01-02T03:00:00Z",
        "resource_id=01000000-0000-7000-8000-000000000005",
    ] {
        for sort in ["id", "-id"] {
            let path = format!("/api/v1/events?sort={sort}&{filter}");
            let all = plan(api, said, &path, &operator(), "cloud_resource_events").await;
            by_index(&all, "cloud_resource_events", &path);
        }
    }
    let own = plan(
        api,
        said,
        "/api/v1/events",
        &tenant(SMALL.tenant),
        "cloud_resource_events",
    )
    .await;
    by_owner(&own, "cloud_resource_events", "events", SMALL.owned);
}
