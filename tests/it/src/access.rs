//! Who sees what: the operator everything, a tenant exactly its own, anybody else nothing.
//!
//! Twice over: through the API, whose queries name the tenant, and under the tenant's own database role, where a
//! query that names nobody must still find nothing foreign.

use std::collections::BTreeSet;

use harness::tokens;
use serde_json::json;
use shared::inventory::{Actor, Classification, classify_project};
use shared::sync::PROJECTS;
use simulator::Scenario;
use simulator::scenario::TENANTS;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Executor, PgPool, Row};
use uuid::Uuid;

use crate::caller::{Api, SECRET, operator, tenant};
use crate::questions::encoded;
use crate::stage::Stage;

const OPERATOR: Actor<'_> = Actor {
    name: "operator",
    lease: None,
};

/// The default account, mirrored, its projects given to their tenants.
pub async fn classified() -> Stage {
    classify(Stage::with(Scenario::Default).await).await
}

/// Mirrors a stage's account, and gives its projects to their tenants.
pub async fn classify(mut stage: Stage) -> Stage {
    stage.run(&PROJECTS).await;
    stage.sync().await;
    stage.later(1);
    for (project, tenant) in TENANTS {
        let id: Uuid = sqlx::query_scalar("SELECT id FROM cloud_projects WHERE name = $1")
            .bind(project)
            .fetch_one(&stage.pool)
            .await
            .unwrap();
        let said = Classification {
            purpose: "tenant".to_owned(),
            tenant_id: Some((*tenant).to_owned()),
        };
        assert!(
            classify_project(&stage.station.pool, OPERATOR, id, &said, "a test", stage.now)
                .await
                .unwrap()
        );
    }
    stage
}

#[tokio::test]
async fn the_operator_sees_everything_and_a_tenant_exactly_its_own() {
    let stage = classified().await;
    let api = Api::over(&stage.database);
    let rows = stage.everything().await;
    let ids = |items: &[serde_json::Value]| -> BTreeSet<String> {
        items
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = api.all("/api/v1/inventory?limit=7", &operator()).await;
    assert_eq!(all.len(), rows.len());
    assert_eq!(ids(&all), rows.iter().map(|row| row.id.to_string()).collect());
    let mut owned = 0;
    for (_, id) in TENANTS {
        let own = api.all("/api/v1/inventory?limit=3", &tenant(id)).await;
        let expected: BTreeSet<_> = rows
            .iter()
            .filter(|row| row.tenant_id.as_deref() == Some(id))
            .map(|row| row.id.to_string())
            .collect();
        assert!(!expected.is_empty(), "{id} owns nothing");
        assert_eq!(ids(&own), expected, "{id}");
        owned += own.len();
    }
    assert!(owned < rows.len(), "the account has things that are no tenant's");
    assert_eq!(
        api.all("/api/v1/inventory", &tenant("nobody")).await,
        Vec::<serde_json::Value>::new()
    );
}

#[tokio::test]
async fn the_tenants_role_finds_nothing_foreign_without_a_predicate() {
    let stage = classified().await;
    let url = stage.database.url_as("arcadia_api_login");
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(&url)
        .await
        .unwrap();
    let (_, id) = TENANTS[0];
    let count = |sql: &'static str| {
        let pool = pool.clone();
        async move {
            as_tenant(&pool, Some(id), sql)
                .await
                .map(|rows| rows[0].get::<i64, _>(0))
        }
    };
    for (sql, foreign) in [
        (
            "SELECT count(*) FROM cloud_resources",
            "SELECT count(*) FROM cloud_resources WHERE tenant_id IS DISTINCT FROM $1",
        ),
        (
            "SELECT count(*) FROM cloud_inventory",
            "SELECT count(*) FROM cloud_inventory WHERE tenant_id IS DISTINCT FROM $1",
        ),
        (
            "SELECT count(id) FROM cloud_projects",
            "SELECT count(*) FROM cloud_projects WHERE tenant_id IS DISTINCT FROM $1",
        ),
        (
            "SELECT count(id) FROM cloud_resource_events",
            "SELECT count(*) FROM cloud_resource_events WHERE tenant_id IS DISTINCT FROM $1",
        ),
    ] {
        let (visible, others) = (
            count(sql).await.unwrap(),
            sqlx::query_scalar::<_, i64>(foreign).bind(id),
        );
        let others = others.fetch_one(&stage.pool).await.unwrap();
        assert!(
            visible > 0 && others > 0,
            "{sql}: {visible} visible, {others} foreign"
        );
        let own = as_tenant(&pool, Some(id), "SELECT DISTINCT tenant_id FROM cloud_resources")
            .await
            .unwrap();
        assert_eq!(own.len(), 1);
        assert_eq!(own[0].get::<Option<String>, _>(0).as_deref(), Some(id));
        // Unset, empty, and left over from an earlier transaction all mean: nothing.
        for nobody in [None, Some("")] {
            let rows = as_tenant(&pool, nobody, sql).await.unwrap();
            assert_eq!(rows[0].get::<i64, _>(0), 0, "{sql} as {nobody:?}");
        }
    }
    for refused in [
        "SELECT changes FROM cloud_resource_events",
        "SELECT tenant_id, left_tenant_id FROM cloud_resource_events",
        "SELECT actor, reason FROM cloud_resource_events",
        "SELECT * FROM state_at('0197e7a0-0000-7000-8000-000000000001', now())",
        "SELECT count(*) FROM cloud_project_members",
        "SELECT count(*) FROM sync_runs",
        "SELECT count(error) FROM sync_markers",
        "SELECT count(last_complete_size) FROM sync_markers",
        "SELECT count(*) FROM token_budgets",
        "SELECT count(*) FROM cloud_accounts",
        "UPDATE cloud_resources SET tenant_id = 'x'",
        "DELETE FROM cloud_resources",
        "TRUNCATE cloud_resource_events",
        "INSERT INTO cloud_accounts VALUES ('a', 'b', 'c', now())",
        "SET LOCAL ROLE arcadia_sync",
        "SELECT released_by FROM sync_markers",
        "CREATE TABLE mine (id int)",
        "ALTER TABLE cloud_resources DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant_reads ON cloud_resources",
        "COPY cloud_resources TO PROGRAM 'cat'",
    ] {
        assert!(
            as_tenant(&pool, Some(id), refused).await.is_err(),
            "{refused} was allowed"
        );
    }
}

/// One statement in a transaction of the tenant's role.
async fn as_tenant(
    pool: &PgPool,
    tenant: Option<&str>,
    sql: &'static str,
) -> Result<Vec<sqlx::postgres::PgRow>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    transaction.execute("SET LOCAL ROLE arcadia_tenant").await?;
    if let Some(tenant) = tenant {
        sqlx::query("SELECT set_config('app.tenant', $1, true)")
            .bind(tenant)
            .execute(&mut *transaction)
            .await?;
    }
    sqlx::query(sql).fetch_all(&mut *transaction).await
}

#[tokio::test]
async fn history_can_only_be_added_to() {
    let stage = classified().await;
    let sync = PgPoolOptions::new()
        .max_connections(1)
        .connect(&stage.database.url_as("arcadia_sync_login"))
        .await
        .unwrap();
    for statement in [
        "UPDATE cloud_resource_events SET actor = 'x'",
        "DELETE FROM cloud_resource_events",
        "TRUNCATE cloud_resource_events",
    ] {
        assert!(
            sync.execute(statement).await.is_err(),
            "the workers' role: {statement}"
        );
        assert!(
            stage.pool.execute(statement).await.is_err(),
            "the owner: {statement}"
        );
        let mut replica = stage.pool.acquire().await.unwrap();
        replica
            .execute("SET session_replication_role = replica")
            .await
            .unwrap();
        assert!(
            replica.execute(statement).await.is_err(),
            "replica mode: {statement}"
        );
        replica.execute("RESET session_replication_role").await.unwrap();
    }
    for statement in [
        "DELETE FROM cloud_resources",
        "DELETE FROM cloud_projects",
        "DELETE FROM cloud_accounts",
        "UPDATE cloud_accounts SET account_id = 'x'",
        "DROP TABLE cloud_resources",
        "ALTER TABLE cloud_resource_events DISABLE TRIGGER ALL",
    ] {
        assert!(
            sync.execute(statement).await.is_err(),
            "the workers' role: {statement}"
        );
    }
}

#[tokio::test]
async fn who_may_not_come_in_is_told_so_and_nothing_else() {
    let stage = Stage::with(Scenario::Empty).await;
    let api = Api::over(&stage.database);
    let now = tokens::now();
    let claims = |extra: serde_json::Value| {
        let mut claims = tokens::claims("somebody", now);
        claims
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        claims
    };
    let mut bodies = BTreeSet::new();
    for (authorization, status) in [
        (None, 401),
        (Some(String::new()), 401),
        (Some("Bearer".to_owned()), 401),
        (Some("Basic dTpw".to_owned()), 401),
        (Some("Bearer not.a.token".to_owned()), 401),
        (
            Some(format!(
                "Bearer {}",
                tokens::operator(
                    "another-secret-another-secret-another-secret-another-secret-0123",
                    now
                )
            )),
            401,
        ),
        (
            Some(format!(
                "Bearer {}",
                tokens::mint(
                    SECRET,
                    &claims(json!({"exp": now - 1, "roles": ["platform_admin"]}))
                )
            )),
            401,
        ),
        (
            Some(format!(
                "Bearer {}",
                tokens::mint(SECRET, &claims(json!({"typ": "refresh", "tenant_id": "a"})))
            )),
            401,
        ),
        (Some(format!("Bearer {},Bearer {}", operator(), operator())), 401),
        (
            Some(format!("Bearer {}", tokens::mint(SECRET, &claims(json!({}))))),
            403,
        ),
        (
            Some(format!(
                "Bearer {}",
                tokens::mint(SECRET, &claims(json!({"roles": ["admin"]})))
            )),
            403,
        ),
        (Some(format!("bearer {}", operator())), 200),
    ] {
        let answer = api
            .ask("GET", "/api/v1/inventory", authorization.as_deref())
            .await;
        assert_eq!(answer.status, status, "{authorization:?}: {:?}", answer.body);
        if status == 401 {
            // RFC 6750, 3.1: no error where no token was sent.
            let sent = authorization
                .as_deref()
                .is_some_and(|value| value.starts_with("Bearer "));
            let challenge = if sent {
                "Bearer error=\"invalid_token\""
            } else {
                "Bearer realm=\"arcadia-cloud\""
            };
            assert_eq!(answer.headers["www-authenticate"], challenge, "{authorization:?}");
            let mut body = answer.body.clone();
            body.as_object_mut()
                .unwrap()
                .retain(|key, _| key != "instance" && key != "request_id");
            bodies.insert(body.to_string());
        }
    }
    assert_eq!(bodies.len(), 1, "refusals can be told apart: {bodies:?}");
}

#[tokio::test]
async fn strikes_and_last_seen_are_seen_through_the_api_as_operator_and_as_tenant() {
    let mut stage = classified().await;
    let (_, id) = TENANTS[0];
    let row = stage
        .rows("droplet")
        .await
        .into_iter()
        .find(|row| row.tenant_id.as_deref() == Some(id))
        .unwrap();
    let path = format!("/api/v1/inventory?q={}", encoded(&row.name));
    let api = Api::over(&stage.database);
    let seen = async |api: &Api, path: &str, token: String| {
        let items = api.all(path, &token).await;
        let item = items
            .into_iter()
            .find(|item| item["provider_id"] == row.provider_id.as_str());
        item.map(|item| {
            (
                item["stale_strike_count"].clone(),
                item["last_seen_at"].clone(),
                item["deleted_at"].is_null(),
            )
        })
    };
    stage.later(5).sync().await;
    let fresh = json!(stage.now.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true));
    for token in [operator(), tenant(id)] {
        assert_eq!(
            seen(&api, &path, token).await,
            Some((json!(0), fresh.clone(), true)),
            "seen by the last listing"
        );
    }
    stage.sim.destroy("droplets", &row.provider_id).unwrap();
    for strikes in 1..=2 {
        stage.later(10).sync().await;
        for token in [operator(), tenant(id)] {
            assert_eq!(
                seen(&api, &path, token).await,
                Some((json!(strikes), fresh.clone(), true)),
                "frozen"
            );
        }
    }
    stage.later(10).sync().await;
    for token in [operator(), tenant(id)] {
        assert_eq!(
            seen(&api, &path, token.clone()).await,
            None,
            "tombstones are not listed unless asked for"
        );
        let with_deleted = format!("{path}&include_deleted=true");
        assert_eq!(
            seen(&api, &with_deleted, token).await,
            Some((json!(3), fresh.clone(), false))
        );
    }
    assert_eq!(
        seen(&api, &path, tenant(TENANTS[1].1)).await,
        None,
        "another tenant never saw it"
    );
}

#[tokio::test]
async fn a_wrong_question_is_told_what_is_wrong_with_it() {
    let stage = Stage::with(Scenario::Default).await;
    stage.sync().await;
    let api = Api::over(&stage.database);
    let token = operator();
    let first = api.get("/api/v1/inventory?limit=2", &token).await;
    let cursor = first.body["page"]["next_cursor"].as_str().unwrap().to_owned();
    assert!(first.headers["link"].to_str().unwrap().contains("rel=\"next\""));
    for (query, offender) in [
        ("colour=red".to_owned(), "colour"),
        ("kind=droplet&kind=volume".to_owned(), "kind"),
        ("kind=%27%3B--".to_owned(), "kind"),
        ("limit=0".to_owned(), "limit"),
        ("limit=501".to_owned(), "limit"),
        ("limit=+5".to_owned(), "limit"),
        ("project_id=7".to_owned(), "project_id"),
        ("attribution=guess".to_owned(), "attribution"),
        ("updated_since=yesterday".to_owned(), "updated_since"),
        ("include_deleted=1".to_owned(), "include_deleted"),
        ("sort=price".to_owned(), "sort"),
        ("cursor=AAAA".to_owned(), "cursor"),
        (format!("limit=2&status=off&cursor={cursor}"), "cursor"),
        (format!("limit=2&sort=name&cursor={cursor}"), "cursor"),
    ] {
        let answer = api.get(&format!("/api/v1/inventory?{query}"), &token).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(
            answer.body["errors"].to_string().contains(offender),
            "{query}: {}",
            answer.body
        );
    }
    for (method, path, status) in [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/inventory/", 404),
        ("GET", "//api/v1/inventory", 404),
        ("POST", "/api/v1/inventory", 405),
        ("DELETE", "/api/health", 405),
    ] {
        let answer = api.ask(method, path, Some(&format!("Bearer {token}"))).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.headers.contains_key("allow"), status == 405);
    }
}

#[tokio::test]
async fn health_says_what_it_knows_and_a_database_that_is_away_is_503() {
    let away = Api::with("postgres://nobody@127.0.0.1:1/nothing");
    let alive = away.ask("GET", "/api/health", None).await;
    assert_eq!((alive.status, alive.body["status"].as_str()), (200, Some("ok")));
    assert_eq!(alive.body["service"], "arcadia-cloud");
    let begun = std::time::Instant::now();
    let ready = away.ask("GET", "/api/health/ready", None).await;
    assert_eq!(ready.status, 503);
    assert!(
        begun.elapsed().as_secs() < 3,
        "ready answers within a second or so"
    );
    let stage = Stage::with(Scenario::Empty).await;
    assert_eq!(
        Api::over(&stage.database)
            .ask("GET", "/api/health/ready", None)
            .await
            .status,
        200
    );
}
