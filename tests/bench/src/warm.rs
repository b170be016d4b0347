//! 2,000 warm invocations of one sandbox: what it has grown by, and what it holds at the database.
//!
//! A worker that finds nothing changed, and the API with a different question each time. Memory is compared with that
//! after the first hundred: what a process needs at all is another section's.

use harness::large::{self, LARGE};
use harness::sandbox::Sandbox;
use harness::tokens;
use serde_json::{Value, json};
use simulator::Limits;

use crate::ground::{self, Ground, LONGEST, account};
use crate::report::{Report, Table, count, megabytes, text};

const INVOCATIONS: u64 = 2_000;
const KEY: &str = "bench-bench-bench-bench-bench-bench-bench-bench-bench-bench-bench";

pub async fn run(report: &mut Report) {
    let mut table = Table::new(
        format!("{INVOCATIONS} warm invocations of one sandbox"),
        &[
            "binary",
            "memory after 100",
            "at the end",
            "grown by",
            "connections",
        ],
    );
    worker(&mut table, report).await;
    api(&mut table, report).await;
    report.table(table);
}

async fn worker(table: &mut Table, report: &mut Report) {
    let ground = Ground::new().await;
    ground.lift_budgets().await;
    let account = account(100, Limits::off());
    let sandbox = ground.worker("sync-droplets", &account, &[]).await;
    let asked = |_| json!({});
    let settled = |answer: &Value| assert_eq!(answer["outcome"], "complete", "{answer}");
    measure(&ground, "sync-droplets", &sandbox, asked, settled, table, report).await;
    let events = ground.count("SELECT count(*) FROM cloud_resource_events").await;
    assert_eq!(events, 100);
}

async fn api(table: &mut Table, report: &mut Report) {
    let ground = Ground::new().await;
    large::fill(&ground.database, large::SHORT).await.unwrap();
    let url = ground.database.url_as("arcadia_api_login");
    let environment = [("DATABASE_URL", url.as_str()), ("GUARDIAN_SECRET_KEY", KEY)];
    let sandbox = ground::sandbox(LONGEST, "api", &environment).await;
    let answered = |answer: &Value| assert_eq!(answer["statusCode"], 200, "{answer}");
    measure(&ground, "api", &sandbox, question, answered, table, report).await;
}

/// More different statements than anybody keeps prepared.
fn question(n: u64) -> Value {
    let token = match n % 3 {
        0 => tokens::tenant(KEY, LARGE.tenant, tokens::now()),
        _ => tokens::operator(KEY, tokens::now()),
    };
    let filters = [
        "kind=volume",
        "status=active",
        "region=fra1",
        "attribution=fallback",
        "tag=web",
        "include_deleted=true",
    ];
    let chosen = filters
        .iter()
        .enumerate()
        .filter(|(at, _)| n >> at & 1 == 1)
        .map(|(_, filter)| *filter);
    let sorts = ["id", "-id", "name", "-name", "updated_at", "-updated_at"];
    let sort = sorts[usize::try_from(n / 64 % 6).unwrap_or(0)];
    let query: Vec<&str> = chosen.collect();
    json!({
        "version": "2.0", "rawPath": "/api/v1/inventory", "rawQueryString": format!("limit=20&sort={sort}&{}", query.join("&")).trim_end_matches('&'),
        "headers": {"authorization": format!("Bearer {token}")},
        "requestContext": {"http": {"method": "GET"}, "stage": "$default"},
    })
}

async fn measure(
    ground: &Ground,
    name: &str,
    sandbox: &Sandbox,
    event: impl Fn(u64) -> Value,
    check: impl Fn(&Value),
    table: &mut Table,
    report: &mut Report,
) {
    let mut before = 0;
    for n in 0..INVOCATIONS {
        check(&sandbox.invoke(&event(n)).await.ok().unwrap());
        if n == 99 {
            before = sandbox.usage().unwrap().resident;
        }
    }
    let after = sandbox.usage().unwrap().resident;
    let connections = "SELECT count(*) FROM pg_stat_activity
                       WHERE datname = current_database() AND application_name = 'arcadia-cloud'";
    let connections = ground.count(connections).await;
    let grown = after as f64 - before as f64;
    table.row([
        text(name),
        megabytes(before as f64),
        megabytes(after as f64),
        megabytes(grown),
        count(connections.cast_unsigned()),
    ]);
    report.at_most(
        format!("{name}: grown by, after {INVOCATIONS} invocations"),
        grown / 1e6,
        5.0,
        "MB",
    );
    report.at_most(format!("{name}: connections"), connections as f64, 1.0, "");
}
