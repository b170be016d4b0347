//! A large mirror, made by SQL in seconds: 100,000 resources with an event each, as a real account has them.
//!
//! One kind in most of it and rare ones, one tenant with two fifths of everything and many with little, tombstones
//! between. For looking at plans and for measuring reads; nothing of it comes from a sync, so it says nothing of one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::failure::{Doing, Failure};
use crate::postgres::{Database, execute};

/// How many resources.
pub const SIZE: u64 = 100_000;
/// So many of them are not tombstones.
pub const LIVE: u64 = 98_000;

/// Who owns some of it.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// Its id.
    pub tenant: &'static str,
    /// What it owns.
    pub owned: u64,
    /// What of that is no tombstone.
    pub live: u64,
}

/// The tenant with the most.
pub const LARGE: Owner = Owner {
    tenant: "larkspur-bakery",
    owned: 40_000,
    live: 38_000,
};
/// One of those with the least.
pub const SMALL: Owner = Owner {
    tenant: "small-7",
    owned: 10,
    live: 10,
};

/// Attributes for where their size is not the point.
pub const SHORT: &str = r#"{"size_slug": "s-1vcpu-1gb", "memory": 1024, "project_id": "p"}"#;
/// Attributes as long as those of a droplet.
pub const USUAL: &str = r#"{"size_slug": "s-2vcpu-4gb", "memory": 4096, "vcpus": 2, "disk": 80, "image": {"id": 161803398,
    "slug": "ubuntu-24-04-x64", "name": "24.04 (LTS) x64", "distribution": "Ubuntu"}, "features": ["backups", "ipv6",
    "monitoring", "private_networking"], "volume_ids": ["0f2b6d9c-6d0f-4b5e-9a4c-7a1d8f3e2b10"], "backup_ids": [],
    "networks": {"v4": [{"ip_address": "10.110.4.20", "type": "private"}, {"ip_address": "203.0.113.20", "type": "public"}],
    "v6": [{"ip_address": "2001:db8::20", "type": "public"}]}, "vpc_uuid": "760e09ef-dc84-11e8-981e-3cfdfeaae000",
    "created_at": "2026-01-01T00:00:00Z"}"#;

/// Fills an empty mirror. Every resource has the same attributes.
///
/// # Errors
/// When the database refuses.
pub async fn fill(database: &Database, attrs: &str) -> Result<(), Failure> {
    execute(&database.url(), &FILL.replace("{attrs}", attrs)).await
}

/// The cursor of another row of the list that `first` is a cursor of, so that nobody walks a thousand pages to the last
/// one. Callers cannot know it: a fingerprint of the question, and then the row's id and place in the order.
///
/// # Errors
/// When there is no such row.
pub async fn cursor(
    database: &Database,
    first: &str,
    sort: &str,
    tenant: &str,
    row: u64,
) -> Result<String, Failure> {
    let mut bytes = URL_SAFE_NO_PAD.decode(first).doing("read a cursor")?;
    bytes.truncate(8);
    let (key, place) = match sort.trim_start_matches('-') {
        "id" => ("id", "''::bytea"),
        "name" => ("name_key", "convert_to(name, 'UTF8')"),
        _ => (
            "updated_at",
            "int8send((extract(epoch FROM updated_at) * 1000000)::bigint)",
        ),
    };
    let direction = if sort.starts_with('-') { "DESC" } else { "ASC" };
    let query = format!(
        "SELECT uuid_send(id) || {place} FROM cloud_resources
         WHERE deleted_at IS NULL AND ($2 = '' OR tenant_id = $2)
         ORDER BY {key} {direction}, id {direction} OFFSET $1 LIMIT 1"
    );
    let mut connection = PgConnection::connect(&database.url())
        .await
        .doing("reach Postgres")?;
    let place: Vec<u8> = sqlx::query_scalar(AssertSqlSafe(query))
        .bind(i64::try_from(row).unwrap_or(i64::MAX))
        .bind(tenant)
        .fetch_one(&mut connection)
        .await
        .doing("find a row")?;
    bytes.extend(place);
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

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
       '{attrs}'::jsonb,
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
