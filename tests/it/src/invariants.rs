//! What must be true of the mirror whatever has happened to it.
//!
//! Every test that writes ends with [`hold`]. For each resource and project: versions of its events are gapless
//! from 1 and the newest is the row's; each `from` is what the events before it left; replaying all of them
//! gives the row; nothing dies twice or changes while it is dead; whoever lost a thing is named. It reads
//! tables, and imports nothing of the service.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::{PgPool, Row};

const RESOURCE: &[&str] = &[
    "name",
    "region",
    "status",
    "tags",
    "attrs",
    "cloud_project_id",
    "tenant_id",
    "attribution",
    "deleted_at",
    "first_seen_at",
];
const PROJECT: &[&str] = &[
    "name",
    "description",
    "provider_purpose",
    "environment",
    "is_default",
    "purpose",
    "tenant_id",
    "deleted_at",
];

struct Event {
    version: i64,
    event_type: String,
    changes: Map<String, Value>,
    tenant_id: Option<String>,
    left_tenant_id: Option<String>,
}

/// Panics with the first thing that is not as it must be. Answers how many events were looked at.
pub async fn hold(pool: &PgPool) -> usize {
    // One statement for both, so that a writer in between cannot make them disagree.
    let mut snapshot = pool.begin().await.unwrap();
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut *snapshot)
        .await
        .unwrap();
    let rows = sqlx::query(
        "SELECT COALESCE(resource_id, project_id)::text AS subject, version::bigint AS version, event_type, changes,
                tenant_id, left_tenant_id
         FROM cloud_resource_events ORDER BY id",
    )
    .fetch_all(&mut *snapshot)
    .await
    .unwrap();
    let resources = subjects(&mut snapshot, "SELECT to_jsonb(r) FROM cloud_resources r").await;
    let projects = subjects(&mut snapshot, "SELECT to_jsonb(p) FROM cloud_projects p").await;
    let mut events: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for row in &rows {
        let Value::Object(changes) = row.get("changes") else {
            panic!("changes are not an object")
        };
        events.entry(row.get("subject")).or_default().push(Event {
            version: row.get("version"),
            event_type: row.get("event_type"),
            changes,
            tenant_id: row.get("tenant_id"),
            left_tenant_id: row.get("left_tenant_id"),
        });
    }
    for (rows, fields) in [(&resources, RESOURCE), (&projects, PROJECT)] {
        for (id, row) in rows {
            let told = events.remove(id).unwrap_or_default();
            let is_resource = fields == RESOURCE;
            replay(
                &format!("{id} ({})", row["provider_id"]),
                row,
                &told,
                fields,
                is_resource,
            );
        }
    }
    assert!(events.is_empty(), "events of nothing: {:?}", events.keys());
    rows.len()
}

async fn subjects(
    snapshot: &mut sqlx::Transaction<'static, sqlx::Postgres>,
    query: &'static str,
) -> BTreeMap<String, Value> {
    let rows: Vec<Value> = sqlx::query_scalar(query)
        .fetch_all(&mut **snapshot)
        .await
        .unwrap();
    rows.into_iter()
        .map(|row| (row["id"].as_str().unwrap().to_owned(), row))
        .collect()
}

fn replay(subject: &str, row: &Value, events: &[Event], fields: &[&str], is_resource: bool) {
    let mut state: Map<String, Value> = Map::new();
    for (at, event) in events.iter().enumerate() {
        let what = format!("{subject} version {} {}", event.version, event.event_type);
        assert_eq!(event.version, i64::try_from(at).unwrap() + 1, "{what}: a gap");
        assert_eq!(at == 0, event.event_type == "discovered", "{what}: not the first");
        assert!(!event.changes.is_empty(), "{what}: nothing changed");
        let dead = !state.get("deleted_at").is_none_or(Value::is_null);
        assert_eq!(dead, event.event_type == "restored", "{what}: dead {dead}");
        if event.event_type == "tagged" {
            assert_eq!(event.changes.keys().collect::<Vec<_>>(), ["tags"], "{what}");
        }
        let owner = state.get("tenant_id").cloned().unwrap_or(Value::Null);
        for (field, change) in &event.changes {
            let (from, to) = (&change["from"], &change["to"]);
            if field == "reason" {
                continue; // said, not stored
            }
            let place = match field.strip_prefix("attrs.") {
                Some(key) => state["attrs"].as_object_mut().unwrap().entry(key),
                None => state.entry(field.as_str()),
            };
            let stored = place.or_insert(Value::Null);
            assert!(same(stored, from), "{what}: {field} was {stored}, not {from}");
            if event.event_type != "discovered" {
                assert!(!same(from, to), "{what}: {field} did not change");
            }
            *stored = to.clone();
        }
        let now = state.get("tenant_id").cloned().unwrap_or(Value::Null);
        assert_eq!(Value::from(event.tenant_id.clone()), now, "{what}: the owner");
        if is_resource {
            let left = Value::from(event.left_tenant_id.clone());
            let lost = if owner == now { &Value::Null } else { &owner };
            assert_eq!(&left, lost, "{what}: whom it left");
        }
        let dies = !state.get("deleted_at").is_none_or(Value::is_null);
        assert_eq!(dies, event.event_type == "deleted", "{what}: deleted_at {dies}");
    }
    assert_eq!(row["version"], events.len(), "{subject}: the row's version");
    for field in fields {
        let told = state.get(*field).unwrap_or(&Value::Null);
        assert!(
            same(told, &row[field]),
            "{subject}: {field} is {}, events say {told}",
            row[field]
        );
    }
    let (strikes, dead) = (
        row["stale_strike_count"].as_i64().unwrap(),
        !row["deleted_at"].is_null(),
    );
    assert!(
        if dead { strikes == 3 } else { strikes < 3 },
        "{subject}: {strikes} strikes, dead {dead}"
    );
    let time = |field: &str| {
        row[field]
            .as_str()
            .map(|text| text.parse::<DateTime<Utc>>().unwrap())
    };
    assert!(
        time("first_seen_at") <= time("last_seen_at"),
        "{subject}: seen before it was"
    );
}

/// Equal, or two ways of writing one moment.
fn same(a: &Value, b: &Value) -> bool {
    let time = |value: &Value| value.as_str()?.parse::<DateTime<Utc>>().ok();
    a == b || matches!((time(a), time(b)), (Some(a), Some(b)) if a == b)
}
