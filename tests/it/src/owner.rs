//! The owner of the tables as a deployment has it: not a superuser, and so under row-level security itself.
//!
//! A superuser is past row-level security. Here, as in every test, the tables belong to a plain role; this one has
//! applied the migrations itself, and history and the past are told through functions that run as it.

use harness::services::Services;
use serde_json::json;
use shared::database;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor};

use crate::caller::{Api, operator, tenant};

const RESOURCE: &str = "0197e7a0-0000-7000-8000-00000000000a";

/// One resource that was acme's and is globex's, as the mirror would have written it.
const HISTORY: &str = r#"
    INSERT INTO cloud_resources (id, provider, kind, provider_id, name, status, tags, attrs, tenant_id, attribution,
        content_hash, version, first_seen_at, last_seen_at, inserted_at, updated_at)
    VALUES ('0197e7a0-0000-7000-8000-00000000000a', 'digitalocean', 'droplet', '7', 'second', 'active', '{}', '{}',
        'globex', 'operator', 0, 2, '2026-11-01Z', '2026-11-01Z', '2026-11-01Z', '2026-11-02Z');
    INSERT INTO cloud_resource_events (resource_id, version, event_type, changes, tenant_id, left_tenant_id, actor,
        reason, sync_run_id, occurred_at)
    VALUES ('0197e7a0-0000-7000-8000-00000000000a', 1, 'discovered', '{"name": {"from": null, "to": "first"},
        "region": {"from": null, "to": null}, "status": {"from": null, "to": "active"}, "tags": {"from": null, "to": []},
        "attrs": {"from": null, "to": {}}, "cloud_project_id": {"from": null, "to": null},
        "tenant_id": {"from": null, "to": "acme"}, "attribution": {"from": null, "to": "membership"}}',
        'acme', NULL, 'sync-droplets', NULL, gen_random_uuid(), '2026-11-01Z'),
        ('0197e7a0-0000-7000-8000-00000000000a', 2, 'updated', '{"name": {"from": "first", "to": "second"},
        "tenant_id": {"from": "acme", "to": "globex"}, "attribution": {"from": "membership", "to": "operator"}}',
        'globex', 'acme', 'ada', 'because', NULL, '2026-11-02Z')"#;

#[tokio::test]
async fn history_is_told_where_the_owner_is_no_superuser() {
    let services = Services::from_env().unwrap();
    let database = services.cluster.empty().await.unwrap();
    let superuser = PgPoolOptions::new()
        .max_connections(1)
        .connect(&database.url())
        .await
        .unwrap();
    let owner = format!("owner_{}", database.name());
    for statement in [
        format!("CREATE ROLE {owner} LOGIN CREATEROLE NOSUPERUSER NOBYPASSRLS PASSWORD 'local'"),
        format!("ALTER DATABASE {} OWNER TO {owner}", database.name()),
    ] {
        superuser.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    let options: PgConnectOptions = database.url_as(&owner).parse().unwrap();
    database::migrate(&options).await.unwrap();
    superuser.execute(AssertSqlSafe(HISTORY)).await.unwrap();

    // Row-level security holds for the owner: it may read, and cannot write.
    let plain = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(options)
        .await
        .unwrap();
    let changed = plain
        .execute("UPDATE cloud_resources SET tenant_id = 'x'")
        .await
        .unwrap();
    assert_eq!(changed.rows_affected(), 0);
    let read: i64 = sqlx::query_scalar("SELECT count(*) FROM cloud_resources")
        .fetch_one(&plain)
        .await
        .unwrap();
    assert_eq!(read, 1);

    let api = Api::over(&database);
    let path = format!("/api/v1/inventory/{RESOURCE}");
    for (who, then, now, versions) in [
        ("acme", 200, 404, json!([1, 2])),
        ("globex", 404, 200, json!([2])),
    ] {
        let was = api
            .get(&format!("{path}?as_of=2026-11-01T12:00:00Z"), &tenant(who))
            .await;
        assert_eq!(was.status, then, "{who}");
        assert_eq!(api.get(&path, &tenant(who)).await.status, now, "{who}");
        let told = api.all(&format!("{path}/events"), &tenant(who)).await;
        let found: Vec<_> = told.iter().map(|event| event["version"].clone()).collect();
        assert_eq!(json!(found), versions, "{who}: {told:?}");
        let other = if who == "acme" { "globex" } else { "acme" };
        let text = serde_json::to_string(&told).unwrap();
        assert!(
            !text.contains(other) && !text.contains("ada") && !text.contains("because"),
            "{text}"
        );
    }
    assert_eq!(api.all("/api/v1/events", &operator()).await.len(), 2);
    plain.close().await;
    for statement in [
        format!("REASSIGN OWNED BY {owner} TO CURRENT_USER"),
        format!("DROP OWNED BY {owner} CASCADE"),
        format!("ALTER DATABASE {} OWNER TO CURRENT_USER", database.name()),
        format!("DROP ROLE {owner}"),
    ] {
        superuser.execute(AssertSqlSafe(statement)).await.unwrap();
    }
}
