//! A stage for tests of the mirror: a database of its own, a simulator of its own, and a station between them.
//!
//! Time is a value that the test moves. What a test asserts about the mirror it reads as a superuser, past
//! row-level security; what it asserts about callers it reads through the API.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use harness::postgres::Database;
use harness::services::Services;
use serde_json::{Value, json};
use shared::config::{Environment, Purpose};
use shared::runs::Tick;
use shared::secrets::Secrets;
use shared::sync::{self, Report, Station, Worker};
use simulator::{Limits, Options, Scenario, Settings, Simulator, Token};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Row};
use uuid::Uuid;

/// The token that every simulated account accepts.
pub const TOKEN: &str = "dop_v1_integration_tests";

/// One test's world.
pub struct Stage {
    /// Sees all rows.
    pub pool: PgPool,
    /// What a worker has between runs, logged in as the workers are.
    pub station: Station,
    /// DigitalOcean.
    pub sim: Simulator,
    /// The test's clock.
    pub now: DateTime<Utc>,
    /// Dropped last: it takes the database with it.
    pub database: Database,
}

/// One row of the mirror, as stored.
#[derive(Clone, Debug)]
pub struct Stored {
    pub id: Uuid,
    pub kind: String,
    pub provider_id: String,
    pub name: String,
    pub status: String,
    pub tags: Vec<String>,
    pub attrs: Value,
    pub tenant_id: Option<String>,
    pub attribution: String,
    pub version: i32,
    pub strikes: i16,
    pub first_seen_at: DateTime<Utc>,
    pub last_seen_at: DateTime<Utc>,
    pub last_struck_at: Option<DateTime<Utc>>,
    pub deleted_at: Option<DateTime<Utc>>,
    pub updated_at: DateTime<Utc>,
}

impl Stage {
    /// A stage with this account.
    pub async fn with(scenario: Scenario) -> Self {
        let options = Options {
            scenario,
            tokens: vec![Token::new("sync", TOKEN)],
            settings: Settings {
                limits: Limits::off(),
                ..Settings::default()
            },
            ..Options::default()
        };
        Self::around(Simulator::start(options).unwrap()).await
    }

    /// A stage around a simulator.
    pub async fn around(sim: Simulator) -> Self {
        let database = Services::from_env().unwrap().database().await.unwrap();
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .connect(&database.url())
            .await
            .unwrap();
        let station = station(&database, &sim, &[]).await;
        let now = DateTime::parse_from_rfc3339("2026-11-21T10:00:00Z")
            .unwrap()
            .with_timezone(&Utc);
        Self {
            pool,
            station,
            sim,
            now,
            database,
        }
    }

    /// Moves the clock.
    pub fn later(&mut self, minutes: i64) -> &mut Self {
        self.now += TimeDelta::minutes(minutes);
        self
    }

    /// One run of `sync-droplets` now.
    pub async fn sync(&self) -> Report {
        self.run(&sync::DROPLETS).await
    }

    /// One run of a worker now.
    pub async fn run(&self, worker: &'static Worker) -> Report {
        sync::run_at(&self.station, worker, Tick::default(), self.now, None).await
    }

    /// One run of `sync-droplets` now, in an invocation that has only so long.
    pub async fn sync_within(&self, time_left: Duration) -> Report {
        let tick = Tick::default();
        sync::run_at(&self.station, &sync::DROPLETS, tick, self.now, Some(time_left)).await
    }

    /// Serves a listing of the account without these droplets, which are all still there by id.
    pub fn hide(&self, ids: &[&str]) {
        let hidden: BTreeSet<&str> = ids.iter().copied().collect();
        let mut shown = self.sim.items("droplets");
        shown.retain(|item| !hidden.contains(item["id"].to_string().as_str()));
        let (gpu, cpu): (Vec<_>, Vec<_>) = shown
            .into_iter()
            .partition(|item| item.get("gpu_info").is_some_and(|gpu| !gpu.is_null()));
        self.serve("", &listing(&cpu));
        self.serve("type=gpus&", &listing(&gpu));
    }

    /// Serves this body for the one page of the CPU listing (`""`) or the GPU listing (`"type=gpus&"`).
    pub fn serve(&self, listing: &str, body: &Value) {
        let address = format!("/v2/droplets?{listing}page=1&per_page=200");
        self.sim.serve_body(&address, body.to_string());
    }

    /// DigitalOcean's own 404 for one droplet, whatever the account holds.
    pub fn deny(&self, id: &str) {
        let body = json!({"id": "not_found", "message": "The resource you requested could not be found."});
        let path = format!("/v2/droplets/{id}");
        self.sim
            .serve_answer(&path, 404, "application/json", body.to_string());
    }

    /// The id of a simulated droplet, by name.
    pub fn droplet(&self, name: &str) -> String {
        let items = self.sim.items("droplets");
        let item = items.iter().find(|item| item["name"] == name).unwrap();
        item["id"].to_string()
    }

    /// How often droplets were asked for by id since the log was cleared.
    pub fn proofs(&self) -> usize {
        let asked = self.sim.requests().into_iter();
        asked
            .filter(|entry| entry.path.starts_with("/v2/droplets/"))
            .count()
    }

    /// When a droplet was last seen, as whoever reads the mirror is told.
    pub async fn seen_at(&self, provider_id: &str) -> DateTime<Utc> {
        sqlx::query_scalar(
            "SELECT last_seen_at FROM cloud_inventory WHERE kind = 'droplet' AND provider_id = $1",
        )
        .bind(provider_id)
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    /// Where each row physically is: another answer means that something was written.
    pub async fn places(&self) -> Vec<(String, String)> {
        let rows = sqlx::query(
            "SELECT provider_id, xmin::text || ' ' || ctid::text AS place FROM cloud_resources ORDER BY provider_id",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        rows.iter()
            .map(|row| (row.get("provider_id"), row.get("place")))
            .collect()
    }

    /// What is remembered of the listings of a kind.
    pub async fn marker(&self, kind: &str) -> Value {
        let row = "SELECT to_jsonb(m) FROM sync_markers m WHERE kind = $1";
        sqlx::query_scalar(row)
            .bind(kind)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Live rows with strikes: how many have one, and how many two.
    pub async fn strikes(&self) -> (usize, usize) {
        let rows = self.rows("droplet").await;
        let with = |strikes| {
            let live = rows.iter().filter(|row| row.deleted_at.is_none());
            live.filter(|row| row.strikes == strikes).count()
        };
        (with(1), with(2))
    }

    /// How many rows of a kind are tombstones.
    pub async fn tombstones(&self, kind: &str) -> usize {
        let rows = self.rows(kind).await;
        rows.iter().filter(|row| row.deleted_at.is_some()).count()
    }

    /// The changes of the newest event of a resource.
    pub async fn last_change(&self, id: Uuid) -> Value {
        let newest =
            "SELECT changes FROM cloud_resource_events WHERE resource_id = $1 ORDER BY id DESC LIMIT 1";
        sqlx::query_scalar(newest)
            .bind(id)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// All rows of all kinds, tombstones included.
    pub async fn everything(&self) -> Vec<Stored> {
        let kinds: Vec<String> =
            sqlx::query_scalar("SELECT DISTINCT kind FROM cloud_resources ORDER BY kind")
                .fetch_all(&self.pool)
                .await
                .unwrap();
        let mut everything = Vec::new();
        for kind in kinds {
            everything.extend(self.rows(&kind).await);
        }
        everything
    }

    /// All rows of a kind, tombstones included.
    pub async fn rows(&self, kind: &str) -> Vec<Stored> {
        let rows = sqlx::query(
            "SELECT id, kind, provider_id, name, status, tags, attrs, tenant_id, attribution, version, stale_strike_count,
                    first_seen_at, last_seen_at, last_struck_at, deleted_at, updated_at
             FROM cloud_resources WHERE kind = $1 ORDER BY provider_id",
        )
        .bind(kind)
        .fetch_all(&self.pool)
        .await
        .unwrap();
        rows.iter().map(stored).collect()
    }

    /// One row.
    pub async fn row(&self, kind: &str, provider_id: &str) -> Stored {
        self.rows(kind)
            .await
            .into_iter()
            .find(|row| row.provider_id == provider_id)
            .unwrap()
    }

    /// Types of all events of a resource, oldest first.
    pub async fn events(&self, id: Uuid) -> Vec<String> {
        sqlx::query_scalar("SELECT event_type FROM cloud_resource_events WHERE resource_id = $1 ORDER BY id")
            .bind(id)
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// How many events there are.
    pub async fn event_count(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM cloud_resource_events")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }
}

/// A station whose worker logs in as workers do.
pub async fn station(database: &Database, sim: &Simulator, extra: &[(&str, &str)]) -> Station {
    let url = database.url_as("arcadia_sync_login");
    let (base, mut variables) = (sim.url(), vec![("DO_API_TOKEN", TOKEN)]);
    variables.push(("DATABASE_URL", &url));
    variables.push(("DO_API_BASE_URL", &base));
    variables.extend(extra);
    let config = Environment::of(variables).worker(Purpose::SyncFast).unwrap();
    Station::set_up(config, Secrets::new(Duration::from_secs(300)))
        .await
        .unwrap()
}

/// A listing of one page, as DigitalOcean writes it.
pub fn listing(items: &[Value]) -> Value {
    json!({"droplets": items, "links": {}, "meta": {"total": items.len()}})
}

fn stored(row: &sqlx::postgres::PgRow) -> Stored {
    Stored {
        id: row.get("id"),
        kind: row.get("kind"),
        provider_id: row.get("provider_id"),
        name: row.get("name"),
        status: row.get("status"),
        tags: row.get("tags"),
        attrs: row.get("attrs"),
        tenant_id: row.get("tenant_id"),
        attribution: row.get("attribution"),
        version: row.get("version"),
        strikes: row.get("stale_strike_count"),
        first_seen_at: row.get("first_seen_at"),
        last_seen_at: row.get("last_seen_at"),
        last_struck_at: row.get("last_struck_at"),
        deleted_at: row.get("deleted_at"),
        updated_at: row.get("updated_at"),
    }
}
