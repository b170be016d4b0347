//! What each role of the database may not do, whatever SQL reaches it.
//!
//! Twenty statements for each role, every one of them refused; and under the tenant's role statements made up at
//! random, over every table, view and function there is, whose answers never name anybody else.

use std::collections::BTreeSet;

use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use shared::inventory::edit;
use simulator::scenario::TENANTS;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor, PgPool};

use crate::access::classified;
use crate::past::{api_pool, by_ada};
use crate::stage::Stage;

/// Refused to everybody but the owner.
const NOBODY: [&str; 12] = [
    "DELETE FROM cloud_resource_events",
    "UPDATE cloud_resource_events SET actor = 'x'",
    "TRUNCATE cloud_resource_events",
    "DELETE FROM cloud_resources",
    "DELETE FROM cloud_projects",
    "DROP TABLE cloud_resources",
    "ALTER TABLE cloud_resources DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE cloud_resource_events DISABLE TRIGGER ALL",
    "DROP POLICY tenant_reads ON cloud_resources",
    "CREATE TABLE mine (id int)",
    "CREATE SCHEMA mine",
    "COPY cloud_resources TO PROGRAM 'cat'",
];

const TENANT: [&str; 13] = [
    "SELECT changes FROM cloud_resource_events",
    "SELECT reason, actor, tenant_id FROM cloud_resource_events",
    "SELECT * FROM cloud_projects",
    "SELECT * FROM cloud_project_members",
    "SELECT * FROM cloud_accounts",
    "SELECT * FROM sync_runs",
    "SELECT error, released_by FROM sync_markers",
    "SELECT * FROM sync_suspects",
    "SELECT * FROM token_budgets",
    "SELECT * FROM cloud_inventory_at(now())",
    "UPDATE cloud_resources SET tenant_id = 'x'",
    "INSERT INTO cloud_resource_events (version) VALUES (1)",
    "SET LOCAL ROLE arcadia_sync",
];

const OPERATOR: [&str; 9] = [
    "UPDATE cloud_resources SET tenant_id = 'x'",
    "UPDATE cloud_projects SET purpose = 'internal', tenant_id = NULL",
    "UPDATE sync_markers SET released_by = 'x'",
    "INSERT INTO cloud_accounts VALUES ('a', 'b', 'c', now())",
    "INSERT INTO cloud_resource_events (version) VALUES (1)",
    "SELECT * FROM token_budgets",
    "DELETE FROM sync_runs",
    "SELECT nextval('sync_run_fences')",
    "SET LOCAL ROLE arcadia_sync",
];

const EDITOR: [&str; 20] = [
    "UPDATE cloud_resources SET name = 'x'",
    "UPDATE cloud_resources SET attrs = '{}'",
    "UPDATE cloud_resources SET deleted_at = now(), stale_strike_count = 3",
    "UPDATE cloud_resources SET content_hash = 0",
    "UPDATE cloud_projects SET name = 'x'",
    "UPDATE cloud_projects SET deleted_at = now()",
    "UPDATE cloud_project_members SET status = 'x'",
    "UPDATE sync_markers SET verdict = 'complete'",
    "UPDATE sync_markers SET last_complete_at = now()",
    "UPDATE sync_markers SET suspect_since = NULL",
    "UPDATE sync_suspects SET since = now()",
    "UPDATE sync_suspects SET listings = 4",
    "DELETE FROM sync_suspects",
    "INSERT INTO cloud_resources (id) VALUES ('0197e7a0-0000-7000-8000-000000000001')",
    // A worker's event, an event without a reason, and an event that is no edit.
    "INSERT INTO cloud_resource_events (resource_id, version, event_type, changes, actor, reason, sync_run_id, occurred_at)
     SELECT id, 900, 'updated', '{}', 'x', 'x', id, now() FROM cloud_resources LIMIT 1",
    "INSERT INTO cloud_resource_events (resource_id, version, event_type, changes, actor, occurred_at)
     SELECT id, 900, 'updated', '{}', 'x', now() FROM cloud_resources LIMIT 1",
    "INSERT INTO cloud_resource_events (resource_id, version, event_type, changes, actor, reason, occurred_at)
     SELECT id, 900, 'deleted', '{}', 'x', 'x', now() FROM cloud_resources LIMIT 1",
    "SELECT * FROM sync_runs",
    "SELECT * FROM token_budgets",
    "SET LOCAL ROLE arcadia_sync",
];

/// Before it has become anybody.
const API: [&str; 10] = [
    "SELECT * FROM cloud_resources",
    "SELECT * FROM cloud_inventory",
    "SELECT id FROM cloud_resource_events",
    "SELECT * FROM cloud_projects",
    "SELECT * FROM sync_markers",
    "SELECT * FROM cloud_accounts",
    "SELECT * FROM own_event(1, 'x')",
    "UPDATE cloud_resources SET tenant_id = 'x'",
    "SET LOCAL ROLE arcadia_sync",
    "SET LOCAL ROLE postgres",
];

const SYNC: [&str; 8] = [
    "UPDATE cloud_accounts SET account_id = 'x'",
    "DELETE FROM sync_markers",
    "DELETE FROM token_budgets",
    "DELETE FROM cloud_project_members",
    "TRUNCATE sync_runs",
    "SET LOCAL ROLE arcadia_operator",
    "SET LOCAL ROLE arcadia_editor",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
];

const BILLING: [&str; 12] = [
    "UPDATE cloud_resources SET tenant_id = 'x'",
    "UPDATE cloud_projects SET purpose = 'internal', tenant_id = NULL",
    "INSERT INTO cloud_resource_events (version) VALUES (1)",
    "UPDATE cloud_accounts SET account_id = 'x'",
    "UPDATE cloud_cost_lines SET amount = 0",
    "UPDATE cloud_balance_snapshots SET account_balance = 0",
    "DELETE FROM cloud_invoices",
    "DELETE FROM cloud_balance_snapshots",
    "SELECT * FROM cloud_project_members",
    "UPDATE sync_markers SET verdict = 'complete'",
    "SET LOCAL ROLE arcadia_sync",
    "SET LOCAL ROLE arcadia_operator",
];

async fn login(stage: &Stage, login: &str) -> PgPool {
    let url = stage.database.url_as(login);
    PgPoolOptions::new()
        .max_connections(1)
        .connect(&url)
        .await
        .unwrap()
}

#[tokio::test]
async fn twenty_statements_of_each_role_are_refused() {
    let stage = classified().await;
    let (api, sync, billing) = (
        login(&stage, "arcadia_api_login").await,
        login(&stage, "arcadia_sync_login").await,
        login(&stage, "arcadia_billing_login").await,
    );
    for (pool, role, own) in [
        (&api, Some("arcadia_tenant"), TENANT.as_slice()),
        (&api, Some("arcadia_operator"), &OPERATOR),
        (&api, Some("arcadia_editor"), &EDITOR),
        (&api, None, &API),
        (&sync, None, &SYNC),
        (&billing, None, &BILLING),
    ] {
        let refused: BTreeSet<&str> = NOBODY.iter().chain(own).copied().collect();
        assert!(refused.len() >= 20, "{role:?}: {}", refused.len());
        for statement in refused {
            let mut transaction = pool.begin().await.unwrap();
            if let Some(role) = role {
                let become_it = format!("SET LOCAL ROLE {role}");
                transaction.execute(AssertSqlSafe(become_it)).await.unwrap();
                let tenant = "SELECT set_config('app.tenant', $1, true)";
                sqlx::query(tenant)
                    .bind(TENANTS[0].1)
                    .execute(&mut *transaction)
                    .await
                    .unwrap();
            }
            let done = transaction.execute(AssertSqlSafe(statement)).await;
            let code = done
                .err()
                .and_then(|error| Some(error.as_database_error()?.code()?.into_owned()));
            // Not allowed (or, of a superuser's role, not its member); or what the table itself refuses.
            assert_eq!(code.as_deref(), Some("42501"), "{role:?}: {statement}");
        }
    }
    // And what each is for, it may.
    for (role, statement) in [
        ("arcadia_tenant", "SELECT * FROM cloud_inventory"),
        ("arcadia_operator", "SELECT * FROM cloud_resource_events"),
        (
            "arcadia_editor",
            "UPDATE cloud_resources SET tenant_id = 'x', attribution = 'operator'",
        ),
    ] {
        let mut transaction = api.begin().await.unwrap();
        transaction
            .execute(AssertSqlSafe(format!("SET LOCAL ROLE {role}")))
            .await
            .unwrap();
        transaction.execute(AssertSqlSafe(statement)).await.unwrap();
        transaction.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn random_statements_of_a_tenant_name_nobody_else() {
    statements(400, 31).await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_random_statements_of_a_tenant_name_nobody_else() {
    statements(10_000, 32).await;
}

async fn statements(count: usize, seed: u64) {
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut stage = classified().await;
    // Some of everybody's things have changed hands.
    let edits = api_pool(&stage).await;
    for (at, row) in stage.rows("droplet").await.into_iter().enumerate() {
        if at % 2 == 0 {
            let word = TENANTS[at / 2 % TENANTS.len()].1;
            edit::attribute(&edits, row.id, Some(word), &by_ada(stage.later(1).now))
                .await
                .unwrap();
        }
    }
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = 'public'",
    )
    .fetch_all(&stage.pool)
    .await
    .unwrap();
    let ids: Vec<String> = sqlx::query_scalar("SELECT id::text FROM cloud_resources")
        .fetch_all(&stage.pool)
        .await
        .unwrap();
    let projects: Vec<(String, String, Option<String>)> =
        sqlx::query_as("SELECT id::text, provider_id, tenant_id FROM cloud_projects")
            .fetch_all(&stage.pool)
            .await
            .unwrap();
    let api = login(&stage, "arcadia_api_login").await;
    let (mut answered, mut rows) = (0, 0);
    for _ in 0..count {
        let who = TENANTS.choose(&mut random).unwrap().1;
        let statement = statement(&mut random, &columns, &ids);
        let mut transaction = api.begin().await.unwrap();
        transaction
            .execute("SET TRANSACTION READ ONLY; SET LOCAL ROLE arcadia_tenant; SET LOCAL statement_timeout = '5s'")
            .await
            .unwrap();
        sqlx::query("SELECT set_config('app.tenant', $1, true)")
            .bind(who)
            .execute(&mut *transaction)
            .await
            .unwrap();
        let found: Result<Vec<String>, _> = sqlx::query_scalar(AssertSqlSafe(statement.as_str()))
            .fetch_all(&mut *transaction)
            .await;
        let Ok(found) = found else { continue };
        answered += 1;
        rows += found.len();
        let foreign = TENANTS.iter().map(|(_, id)| *id).filter(|id| *id != who);
        let theirs = projects
            .iter()
            .filter(|project| project.2.as_deref() != Some(who));
        let words: Vec<&str> = foreign
            .chain(theirs.flat_map(|project| [project.0.as_str(), project.1.as_str()]))
            .chain(["ada-canary", "reason-canary"])
            .collect();
        for row in &found {
            let leak = words.iter().find(|word| row.contains(**word));
            assert_eq!(leak, None, "{statement} as {who}: {row}");
        }
    }
    assert!(
        answered * 4 > count && rows > count,
        "{answered} of {count} answered, with {rows} rows"
    );
}

/// A statement that reads, in one column of text. Half of what it names is not there to be read.
fn statement(random: &mut ChaCha8Rng, columns: &[(String, String)], ids: &[String]) -> String {
    let id = ids.choose(random).unwrap();
    let tenant = TENANTS.choose(random).unwrap().1;
    let minutes = random.random_range(-5..60);
    let moment = format!("timestamptz '2026-11-21 10:00:00Z' + interval '{minutes} min'");
    let event = random.random_range(1..400);
    let source = |random: &mut ChaCha8Rng| {
        [
            "cloud_inventory".to_owned(),
            "cloud_resources".to_owned(),
            "(SELECT id, resource_id, version, occurred_at FROM cloud_resource_events)".to_owned(),
            "(SELECT id, tenant_id, name, provider_id FROM cloud_projects)".to_owned(),
            "(SELECT kind, last_complete_at FROM sync_markers)".to_owned(),
            format!("own_event({event}, '{tenant}')"),
            format!("own_event({event}, calling_tenant())"),
            format!("own_state('{id}', {moment}, calling_tenant())"),
            format!("own_state('{id}', {moment}, '{tenant}')"),
            format!("own_inventory_at({moment}, calling_tenant())"),
            format!("own_inventory_at({moment}, '{tenant}')"),
            format!("cloud_inventory_at({moment})"),
            format!("state_at('{id}', {moment})"),
            columns.choose(random).unwrap().0.clone(),
        ]
        .choose(random)
        .unwrap()
        .clone()
    };
    let (first, second) = (source(random), source(random));
    let column = &columns.choose(random).unwrap().1;
    let condition = [
        "true".to_owned(),
        format!("a.{column} IS NOT NULL"),
        format!("a::text LIKE '%{tenant}%' OR true"),
        format!("EXISTS (SELECT FROM {second} b)"),
        "a.tenant_id <> calling_tenant() OR a.tenant_id IS NULL".to_owned(),
    ]
    .choose(random)
    .unwrap()
    .clone();
    match random.random_range(0..5) {
        0 => format!(
            "SELECT to_jsonb(a)::text || to_jsonb(b)::text FROM {first} a, {second} b WHERE {condition} LIMIT 200"
        ),
        1 => format!("SELECT to_jsonb(a)::text FROM {first} a WHERE {condition} ORDER BY 1 DESC LIMIT 50"),
        2 => format!("SELECT COALESCE(a.{column}::text, '') FROM {first} a WHERE {condition}"),
        3 => format!(
            "SELECT COALESCE(string_agg(to_jsonb(a)::text, ','), '') FROM {first} a LEFT JOIN {second} b ON {condition}"
        ),
        _ => format!(
            "WITH w AS MATERIALIZED (SELECT * FROM {first} a WHERE {condition}) SELECT to_jsonb(w)::text FROM w"
        ),
    }
}
