//! How Postgres answers at 100,000 resources: by an index, whatever is asked and whoever asks.
//!
//! The plans are those of the API's own statements, as the database ran them for the API's own login: Postgres sends
//! them back (auto_explain, with what each step met), row-level security and all. Filled once, asked by one test, so
//! that it costs the suite seconds. It looks at what a plan does, never at how long that took.

use std::io;
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use harness::postgres::Database;
use harness::services::Services;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, PgPool};
use tracing_subscriber::fmt::MakeWriter;

use crate::caller::{Api, operator, tenant};

const SIZE: u64 = 100_000;
/// The tenant with two fifths of everything, and one with ten resources; how many that is.
const LARGE: (&str, u64) = ("larkspur-bakery", 40_000);
const SMALL: (&str, u64) = ("small-7", 10);
/// What a page of 100 may meet if an index leads straight to it; tombstones stand between.
const A_PAGE: u64 = 150;
/// Nothing greater is sorted for a page.
const A_TENTH: u64 = SIZE / 10;

/// As a mirror of a large account has them: one kind in most, rare ones, one tenant with much, many with little.
const FILL: &str = "
-- All at once: keys are right by construction, and indexes are quicker made whole.
SET session_replication_role = replica;
CREATE TEMPORARY TABLE indexes AS
    SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'cloud_resource%' AND indexdef NOT LIKE '% UNIQUE %';
DO $$ DECLARE i record; BEGIN FOR i IN SELECT * FROM indexes LOOP EXECUTE 'DROP INDEX ' || i.indexname; END LOOP; END $$;

INSERT INTO cloud_projects (id, provider, provider_id, name, description, provider_purpose, environment, is_default, purpose,
                            version, first_seen_at, last_seen_at, inserted_at, updated_at)
SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 'digitalocean', 'project-' || i, 'project ' || i,
       '', '', '', false, 'unclassified', 1, t, t, t, t
FROM generate_series(1, 200) AS i, (SELECT timestamptz '2026-01-01' AS t) AS t;

INSERT INTO cloud_resources (id, provider, kind, provider_id, name, region, status, tags, attrs, cloud_project_id, tenant_id,
                             attribution, content_hash, version, first_seen_at, last_seen_at, deleted_at, inserted_at, updated_at)
SELECT ('01000000-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid, 'digitalocean',
       CASE WHEN i % 10 < 6 THEN 'droplet' WHEN i % 10 < 9 THEN 'volume' WHEN i % 1000 = 9 THEN 'k8s_cluster' ELSE 'snapshot' END,
       i::text, CASE i % 3 WHEN 0 THEN 'Web-' WHEN 1 THEN 'db-' ELSE 'cache-' END || md5(i::text),
       (ARRAY['fra1', 'nyc3', 'ams3', 'sgp1'])[1 + i % 4],
       CASE WHEN i % 20 > 0 THEN 'active' WHEN i % 1000 = 0 THEN 'new' ELSE 'off' END,
       CASE WHEN i % 500 = 0 THEN '{rare,web}' WHEN i % 7 = 0 THEN '{web}' ELSE '{}' END::text[],
       jsonb_build_object('size_slug', 's-1vcpu-1gb', 'memory', 1024, 'image', 'ubuntu-24-04-x64', 'project_id', 'p'),
       ('00000000-0000-7000-8000-' || lpad(to_hex(1 + i / 7 % 200), 12, '0'))::uuid,
       CASE WHEN i % 5 < 2 THEN 'larkspur-bakery' WHEN i % 5 = 2 THEN 'small-' || i / 10 % 2000 END,
       CASE WHEN i % 5 < 3 THEN 'membership' WHEN i % 100 = 3 THEN 'operator' ELSE 'fallback' END,
       i, 1, t, t, CASE WHEN i % 50 = 1 THEN t + i * interval '1 second' END, t, t + i * interval '1 second'
FROM generate_series(1, 100000) AS i, (SELECT timestamptz '2026-01-01' AS t) AS t;

INSERT INTO cloud_resource_events (resource_id, version, event_type, changes, tenant_id, actor, occurred_at)
SELECT id, 1, 'discovered', '{}', tenant_id, 'sync-droplets', updated_at FROM cloud_resources ORDER BY id;

DO $$ DECLARE i record; BEGIN FOR i IN SELECT * FROM indexes LOOP EXECUTE i.indexdef; END LOOP; END $$;
VACUUM ANALYZE;
";

/// Postgres tells whoever asks what it did.
const TELL: [&str; 6] = [
    "session_preload_libraries = 'auto_explain'",
    "auto_explain.log_min_duration = 0",
    "auto_explain.log_level = 'notice'",
    "auto_explain.log_format = 'json'",
    "auto_explain.log_analyze = on",
    "auto_explain.log_timing = off",
];

async fn filled() -> Database {
    let database = Services::from_env().unwrap().database().await.unwrap();
    let options = PgConnectOptions::from_str(&database.url()).unwrap();
    let mut connection = options.connect().await.unwrap();
    execute(&mut connection, FILL).await;
    for setting in TELL {
        let statement = format!("ALTER DATABASE {} SET {setting}", database.name());
        execute(&mut connection, &statement).await;
    }
    database
}

/// Statement by statement: one message would be one transaction.
async fn execute(connection: &mut PgConnection, sql: &str) {
    for statement in sql.split_inclusive(";\n") {
        let done = sqlx::raw_sql(AssertSqlSafe(statement));
        done.execute(&mut *connection).await.unwrap();
    }
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

/// The cursor of another row of the same list: opaque to callers, the fingerprint and then the place to us.
async fn cursor(
    api: &Api,
    pool: &PgPool,
    path: &str,
    token: &str,
    sort: &str,
    row: i64,
    tenant: &str,
) -> String {
    let first = api.get(path, token).await;
    let first = first.body["page"]["next_cursor"].as_str().unwrap().to_owned();
    let mut bytes = URL_SAFE_NO_PAD.decode(first).unwrap();
    bytes.truncate(8);
    let (key, place) = match sort.trim_start_matches('-') {
        "id" => ("id", "''::bytea"),
        "name" => ("lower(name) COLLATE \"C\"", "convert_to(name, 'UTF8')"),
        _ => (
            "updated_at",
            "int8send((extract(epoch FROM updated_at) * 1000000)::bigint)",
        ),
    };
    let direction = if sort.starts_with('-') { "DESC" } else { "ASC" };
    let query = format!(
        "SELECT uuid_send(id) || {place} FROM cloud_resources \
         WHERE deleted_at IS NULL AND ($2 = '' OR tenant_id = $2) ORDER BY {key} {direction}, id {direction} OFFSET $1 LIMIT 1"
    );
    let place: Vec<u8> = sqlx::query_scalar(AssertSqlSafe(query))
        .bind(row)
        .bind(tenant)
        .fetch_one(pool)
        .await
        .unwrap();
    bytes.extend(place);
    URL_SAFE_NO_PAD.encode(bytes)
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
            for (who, owned) in [LARGE, SMALL] {
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
    let pool = PgPool::connect(&database.url()).await.unwrap();
    for (who, token, live) in [("", operator(), 98_000), (LARGE.0, tenant(LARGE.0), 38_000)] {
        for (sort, index) in [
            ("id", "id"),
            ("-id", "id"),
            ("name", "name"),
            ("-name", "name"),
            ("updated_at", "updated_at, id) > "),
            ("-updated_at", "updated_at, id) < "),
        ] {
            let path = format!("/api/v1/inventory?sort={sort}");
            let last = cursor(api, &pool, &path, &token, sort, live - 101, who).await;
            said.plans("cloud_resources");
            let path = format!("{path}&cursor={last}");
            for _ in 0..7 {
                let plan = plan(api, said, &path, &token, "cloud_resources").await;
                by_index(&plan, "cloud_resources", &path);
                let step = steps(&plan, "cloud_resources")[0];
                let mine = who.is_empty() || found_by(step).contains("tenant_id = ");
                assert!(
                    mine && found_by(step).contains(index),
                    "{path} of {who:?}: {plan:#}"
                );
                assert!(
                    (100..=A_PAGE).contains(&met(step)),
                    "{path} of {who:?} meets {}: {plan:#}",
                    met(step)
                );
            }
        }
    }
    let path = "/api/v1/inventory/01000000-0000-7000-8000-000000000005";
    for token in [operator(), tenant(LARGE.0)] {
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
        &tenant(SMALL.0),
        "cloud_resource_events",
    )
    .await;
    by_owner(&own, "cloud_resource_events", "events", SMALL.1);
}
