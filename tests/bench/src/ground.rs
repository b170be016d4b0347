//! What a measurement stands on: a database of its own, processes of ours, and what both of them use.
//!
//! Wall time is the caller's: from sending an event to having its answer. Processor time is the scheduler's count, of
//! the function's process and of the backends that serve it; WAL is the distance that the server's log has moved.
//! Nothing else should write to the server meanwhile.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use harness::postgres::Database;
use harness::sandbox::{Outcome, Sandbox};
use harness::services::Services;
use harness::usage::Usage;
use serde_json::Value;
use simulator::{Limits, Options, Scenario, Settings, Simulator, Token};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolCopyExt, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool, Postgres};

/// The token that the simulated account accepts.
pub const TOKEN: &str = "dop_v1_bench";
/// How long an invocation may take: Lambda's most.
pub const LONGEST: Duration = Duration::from_secs(900);

/// A database of its own.
pub struct Ground {
    /// Sees all rows.
    pub pool: PgPool,
    /// Dropped last.
    pub database: Database,
}

/// What one piece of work has taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub wall: Duration,
    /// Of the client's process, or thread.
    pub cpu: Duration,
    /// Of the backends that served it.
    pub postgres: Duration,
    /// Bytes of write-ahead log.
    pub wal: i64,
    /// Highest resident memory of the client's process, in bytes; 0 where there is no process of its own.
    pub peak: u64,
}

impl Ground {
    /// A migrated database with nothing in it.
    pub async fn new() -> Self {
        let database = Services::from_env().unwrap().database().await.unwrap();
        let options: PgConnectOptions = database.url().parse().unwrap();
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect_with(options.application_name("bench"))
            .await
            .unwrap();
        let ground = Self { pool, database };
        // Whoever needs it has it done: whether Postgres begins it by itself, here or in a database beside, in the middle of
        // a run that lasts, is chance, and would be counted as the run's doing.
        for table in ["cloud_resources", "cloud_resource_events"] {
            let quiet =
                format!("ALTER TABLE {table} SET (autovacuum_enabled = off, toast.autovacuum_enabled = off)");
            ground.execute(&quiet).await;
        }
        ground
    }

    /// One number.
    pub async fn count(&self, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Statements that answer nothing.
    pub async fn execute(&self, statements: &str) {
        sqlx::raw_sql(AssertSqlSafe(statements))
            .execute(&self.pool)
            .await
            .unwrap();
    }

    /// Where the log of the server is.
    pub async fn position(&self) -> i64 {
        self.count("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
            .await
    }

    /// What the backends that serve this database have used so far, the measurer's own aside, and with them all that
    /// have ended: those only the server's own process remembers, in hundredths of a second.
    pub async fn backends(&self) -> Duration {
        let query = "SELECT pid FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name <> 'bench' AND backend_type = 'client backend'";
        let pids: Vec<i32> = sqlx::query_scalar(query).fetch_all(&self.pool).await.unwrap();
        let used = pids.iter().filter_map(|pid| Usage::of(u32::try_from(*pid).ok()?));
        let own: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&self.pool)
            .await
            .unwrap();
        let ended = u32::try_from(own).ok().and_then(Usage::of_ended_siblings);
        used.map(|usage| usage.cpu).sum::<Duration>() + ended.unwrap_or_default()
    }

    /// What COPY reads out.
    pub async fn copied_out(&self, query: &str) -> Vec<u8> {
        let copy = format!("COPY ({query}) TO STDOUT");
        let mut pieces = self.pool.copy_out_raw(&copy).await.unwrap();
        let mut text = Vec::new();
        while let Some(piece) = pieces.try_next().await.unwrap() {
            text.extend_from_slice(&piece);
        }
        text
    }

    /// A connection to copy into tables with, measured from here on.
    pub async fn copying(&self) -> Copying<'_> {
        let mut connection = self.pool.acquire().await.unwrap();
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        let backend = u32::try_from(pid).unwrap();
        Copying {
            ground: self,
            connection,
            backend,
            wal: self.position().await,
            postgres: used(backend),
            own: Usage::of_this_thread(),
            begun: Instant::now(),
        }
    }

    /// Drops the database. Dropping one makes Postgres write a checkpoint, after which every page is logged whole once
    /// more: between repetitions, not within one.
    pub async fn remove(self) {
        self.pool.close().await;
        self.database.remove().await.unwrap();
    }

    /// Which version of each resource row is where: another answer means that some row was written.
    pub async fn places(&self) -> i64 {
        self.count(
            "SELECT coalesce(hashtextextended(string_agg(xmin::text || ctid::text, ',' ORDER BY id), 0), 0) FROM cloud_resources",
        )
        .await
    }

    /// Keeps the product's own count of requests at nothing, so that no run waits for a minute to pass.
    pub async fn lift_budgets(&self) {
        self.execute(
            "CREATE FUNCTION forget_requests() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN NEW.minute_ring = '{}'; NEW.hour_ring = '{}'; RETURN NEW; END $$;
             CREATE TRIGGER forget_requests BEFORE INSERT OR UPDATE ON token_budgets
             FOR EACH ROW EXECUTE FUNCTION forget_requests()",
        )
        .await;
    }

    /// A sandbox of a worker that is ready for its first event.
    pub async fn worker(&self, binary: &str, account: &Simulator, extra: &[(&str, &str)]) -> Sandbox {
        self.worker_within(LONGEST, binary, account, extra).await
    }

    /// The same with so long for an invocation.
    pub async fn worker_within(
        &self,
        timeout: Duration,
        binary: &str,
        account: &Simulator,
        extra: &[(&str, &str)],
    ) -> Sandbox {
        let (url, base) = (self.database.url_as("arcadia_sync_login"), account.url());
        let mut environment = vec![
            ("DATABASE_URL", url.as_str()),
            ("DO_API_BASE_URL", &base),
            ("DO_API_TOKEN", TOKEN),
        ];
        environment.extend(extra);
        sandbox(timeout, binary, &environment).await
    }

    /// One invocation: what it answered, and what it took.
    pub async fn invoke(&self, sandbox: &Sandbox, event: &Value) -> (Value, Cost) {
        let (wal, backends) = (self.position().await, self.backends().await);
        let before = sandbox.usage().unwrap_or_default();
        let begun = Instant::now();
        let outcome = sandbox.invoke(event).await;
        let wall = begun.elapsed();
        let after = sandbox.usage().unwrap_or_default();
        // A backend that has just been left needs a moment to end, and is counted only then.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Outcome::Ok(answer) = outcome else {
            panic!("{outcome:?} {}", sandbox.stdout());
        };
        let cost = Cost {
            wall,
            cpu: after.cpu - before.cpu,
            postgres: self.backends().await.saturating_sub(backends),
            wal: self.position().await - wal,
            peak: after.peak,
        };
        (answer, cost)
    }
}

/// COPY under way, the limit of whatever writes rows.
pub struct Copying<'g> {
    ground: &'g Ground,
    pub connection: PoolConnection<Postgres>,
    backend: u32,
    wal: i64,
    postgres: Duration,
    own: Duration,
    begun: Instant,
}

impl Copying<'_> {
    /// Copies this text into a table with these columns, and answers how many rows it was.
    pub async fn copy_in(&mut self, table: &str, columns: &str, text: &[u8]) -> u64 {
        let statement = format!("COPY {table} ({columns}) FROM STDIN");
        let mut copy = self.connection.copy_in_raw(&statement).await.unwrap();
        for piece in text.chunks(1 << 16) {
            copy.send(piece).await.unwrap();
        }
        copy.finish().await.unwrap()
    }

    /// What it has taken.
    pub async fn cost(self) -> Cost {
        let wall = self.begun.elapsed();
        Cost {
            wall,
            cpu: Usage::of_this_thread() - self.own,
            postgres: used(self.backend) - self.postgres,
            wal: self.ground.position().await - self.wal,
            peak: 0,
        }
    }
}

/// Of one backend.
fn used(backend: u32) -> Duration {
    Usage::of(backend).map_or(Duration::ZERO, |usage| usage.cpu)
}

/// A sandbox with this environment that is ready for its first event.
pub async fn sandbox(timeout: Duration, binary: &str, environment: &[(&str, &str)]) -> Sandbox {
    let environment: Vec<(String, String)> = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let sandbox = Sandbox::start_with_timeout(binary, &environment, timeout)
        .await
        .unwrap();
    assert!(sandbox.ready().await, "{binary}: {}", sandbox.stderr());
    sandbox
}

/// An account of so many droplets, without limits.
pub fn account(droplets: u64, limits: Limits) -> Simulator {
    let options = Options {
        scenario: Scenario::Scale { droplets },
        tokens: vec![Token::new("bench", TOKEN)],
        settings: Settings {
            limits,
            ..Settings::default()
        },
        ..Options::default()
    };
    Simulator::start(options).unwrap()
}

/// Which server this is and how durable, in one sentence.
pub async fn server() -> String {
    let ground = Ground::new().await;
    let mut said = Vec::new();
    for setting in [
        "server_version",
        "fsync",
        "synchronous_commit",
        "full_page_writes",
        "wal_level",
        "shared_buffers",
    ] {
        let value: String = sqlx::query_scalar(AssertSqlSafe(format!("SELECT current_setting('{setting}')")))
            .fetch_one(&ground.pool)
            .await
            .unwrap();
        said.push(format!("{setting} {value}"));
    }
    format!("Postgres: {}.", said.join(", "))
}
