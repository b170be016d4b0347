//! A deployment for tests of the compiled binaries: what a function has around it on AWS, on one machine.
//!
//! A database of its own with the logins of production, an account in the simulator, the token in moto's Secrets
//! Manager, and the environment that a function is given. Every secret in it is recognisable, so that `canary`
//! can look for it everywhere. It decides nothing about processes: those are `harness::sandbox`'s.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat};
use harness::aws::Aws;
use harness::postgres::Database;
use harness::sandbox::{Outcome, Sandbox};
use harness::services::Services;
use serde_json::{Value, json};
use simulator::{Limits, Options, Scenario, Settings, Simulator, Token};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};

use crate::invariants;

/// The DigitalOcean token: the first of [`TOKENS`] that the account accepts.
pub const TOKEN: &str = "dop_v1_canary_0";
/// How many tokens the account accepts. Each has a rate limit of its own, so a test with many runs takes turns.
pub const TOKENS: usize = 40;
/// What `arcadia-app` signs with.
pub const GUARDIAN: &str = "canary_guardian_0123456789012345678901234567890123456789012345678901234567890";

/// The functions that keep the ledger, with a login of their own.
pub const BILLING: [&str; 3] = ["ingest-invoice", "sync-balance", "sync-billing-history"];

/// One test's deployment.
pub struct Deployment {
    /// Sees all rows.
    pub pool: PgPool,
    /// DigitalOcean.
    pub sim: Simulator,
    /// Secrets Manager.
    pub aws: Aws,
    /// The secret that holds the token.
    pub token_secret: String,
    /// Dropped last: it takes the database with it.
    pub database: Database,
}

impl Deployment {
    /// A migrated database and this account.
    pub async fn with(scenario: Scenario) -> Self {
        let database = Services::from_env().unwrap().database().await.unwrap();
        Self::around(database, scenario).await
    }

    /// The same around a database that is as the test wants it.
    pub async fn around(database: Database, scenario: Scenario) -> Self {
        let aws = Aws::attach(&Services::from_env().unwrap().aws_url);
        let name = format!("{}-do-token", database.name());
        let token_secret = aws.put_secret(&name, TOKEN).await.unwrap();
        let options = Options {
            scenario,
            tokens: (0..TOKENS)
                .map(|n| Token::new(format!("sync-{n}"), token(n)))
                .collect(),
            settings: Settings {
                limits: Limits::off(),
                ..Settings::default()
            },
            ..Options::default()
        };
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .connect(&database.url())
            .await
            .unwrap();
        Self {
            pool,
            sim: Simulator::start(options).unwrap(),
            aws,
            token_secret,
            database,
        }
    }

    /// Leaves this mirror for another one of the same account.
    pub async fn move_to(&mut self, database: Database) {
        self.pool.close().await;
        self.pool = PgPoolOptions::new()
            .max_connections(4)
            .connect(&database.url())
            .await
            .unwrap();
        self.database = database;
    }

    /// What this function is given on AWS.
    pub fn environment(&self, function: &str) -> BTreeMap<String, String> {
        let mut variables: BTreeMap<String, String> = self.aws.environment().into_iter().collect();
        let mut set = |name: &str, value: &str| {
            variables.insert(name.to_owned(), value.to_owned());
        };
        match function {
            "migrate" => set("DATABASE_URL", &self.database.url()),
            "api" => {
                set("DATABASE_URL", &self.database.url_as("arcadia_api_login"));
                set("GUARDIAN_SECRET_KEY", GUARDIAN);
            }
            name => {
                let bills = BILLING.contains(&name);
                if bills {
                    // Nothing is ever sent there: the accounts of these tests owe nothing.
                    set(
                        "INGEST_QUEUE_URL",
                        &format!("{}/123456789012/none", self.aws.url()),
                    );
                }
                let login = if bills {
                    "arcadia_billing_login"
                } else {
                    "arcadia_sync_login"
                };
                set("DATABASE_URL", &self.database.url_as(login));
                set("DO_API_BASE_URL", &self.sim.url());
                set("DO_TOKEN_SECRET_ARN", &self.token_secret);
            }
        }
        variables
    }

    /// A sandbox of this function; `changes` replace variables, and take them away where empty.
    pub async fn sandbox(&self, function: &str, changes: &[(&str, &str)]) -> Sandbox {
        let environment = self.changed(function, changes);
        Sandbox::start(function, &environment).await.unwrap()
    }

    /// The environment with some of it replaced, or taken away where empty.
    pub fn changed(&self, function: &str, changes: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut environment = self.environment(function);
        for (name, value) in changes {
            environment.insert((*name).to_owned(), (*value).to_owned());
        }
        environment
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }

    /// A sandbox of `sync-droplets` whose token nobody else uses, so that no minute is ever used up.
    pub async fn droplets(&self, turn: usize, lease: u64) -> Sandbox {
        let (token, lease) = (token(turn), lease.to_string());
        let changes = [
            ("DO_TOKEN_SECRET_ARN", ""),
            ("DO_API_TOKEN", token.as_str()),
            ("LEASE_SECONDS", lease.as_str()),
        ];
        self.sandbox("sync-droplets", &changes).await
    }

    /// One number of the database.
    pub async fn count(&self, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(query))
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// The newest event's id.
    pub async fn last_event(&self) -> i64 {
        self.count("SELECT coalesce(max(id), 0) FROM cloud_resource_events")
            .await
    }

    /// Nothing was lost, doubled or invented; events were committed in the order of their ids, by runs on record.
    pub async fn check_history(&self) {
        invariants::hold(&self.pool).await;
        let disorder = "SELECT count(*) FROM (SELECT id < lag(id) OVER (PARTITION BY resource_id, project_id
                        ORDER BY version) AS early FROM cloud_resource_events) e WHERE early";
        assert_eq!(self.count(disorder).await, 0, "events out of order");
        let orphans = "SELECT count(*) FROM cloud_resource_events e WHERE NOT EXISTS
                       (SELECT FROM sync_runs s WHERE s.id = e.sync_run_id)";
        assert_eq!(
            self.count(orphans).await,
            0,
            "events of runs that are not on record"
        );
    }

    /// What the mirror shows as present is what the account holds, after a complete run.
    pub async fn check_against_the_account(&self) {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT provider_id, name FROM cloud_resources
             WHERE kind = 'droplet' AND deleted_at IS NULL AND stale_strike_count = 0",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let stored: BTreeSet<(String, String)> = rows.into_iter().collect();
        let there: BTreeSet<(String, String)> = self
            .sim
            .items("droplets")
            .iter()
            .map(|item| (item["id"].to_string(), item["name"].as_str().unwrap().to_owned()))
            .collect();
        assert_eq!(stored, there);
    }
}

/// The token of a turn.
pub fn token(turn: usize) -> String {
    format!("dop_v1_canary_{}", turn % TOKENS)
}

/// The log lines a sandbox has written so far, without those that are metrics.
pub fn lines(sandbox: &Sandbox) -> Vec<Value> {
    let mut lines = written(sandbox);
    lines.retain(|line| line.get("_aws").is_none());
    lines
}

/// The lines in the embedded metric format.
pub fn metrics(sandbox: &Sandbox) -> Vec<Value> {
    let mut lines = written(sandbox);
    lines.retain(|line| line.get("_aws").is_some());
    lines
}

/// Every line on standard output; one that is not JSON fails the test.
fn written(sandbox: &Sandbox) -> Vec<Value> {
    let text = sandbox.stdout();
    let parsed = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")));
    parsed.collect()
}

/// Those of them that sum a run up.
pub fn run_lines(sandbox: &Sandbox) -> Vec<Value> {
    lines(sandbox)
        .into_iter()
        .filter(|line| line["message"] == "sync run")
        .collect()
}

/// The report of an invocation that came to one.
pub fn report(outcome: Outcome) -> Value {
    match outcome {
        Outcome::Ok(report) => report,
        other => panic!("no report: {other:?}"),
    }
}

/// Type and message of an invocation that came to an error.
pub fn refusal(outcome: Outcome) -> (String, String) {
    match outcome {
        Outcome::Error { kind, message } => (kind, message),
        other => panic!("no error: {other:?}"),
    }
}

/// A sample event of the repository.
pub fn event(name: &str) -> Value {
    let path = harness::place::repository().join("tests/events").join(name);
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap()
}

/// A schedule's sample event, fired just now.
pub fn tick() -> Value {
    let now = i64::try_from(harness::place::since_1970().as_secs()).unwrap();
    let mut tick = event("schedule-sync.json");
    let fired = DateTime::from_timestamp(now, 0).unwrap();
    tick["scheduled_time"] = json!(fired.to_rfc3339_opts(SecondsFormat::Secs, true));
    tick
}
