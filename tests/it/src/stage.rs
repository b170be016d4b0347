//! A stage for tests of the mirror: a database of its own, a simulator of its own, and a station between them.
//!
//! Time is a value that the test moves. What a test asserts about the mirror it reads as a superuser, past
//! row-level security; what it asserts about callers it reads through the API.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use harness::postgres::Database;
use harness::services::Services;

use serde_json::Value;
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

    /// All rows of a kind, tombstones included.
    pub async fn rows(&self, kind: &str) -> Vec<Stored> {
        let rows = sqlx::query(
            "SELECT id, provider_id, name, status, tags, attrs, tenant_id, attribution, version, stale_strike_count,
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

fn stored(row: &sqlx::postgres::PgRow) -> Stored {
    Stored {
        id: row.get("id"),
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
