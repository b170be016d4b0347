//! The shell around every job: start once, run, log the report, classify the error.
//!
//! A cold start reads the configuration (bad configuration ends the process, in one sentence) and prepares
//! secrets, pool and client for two seconds at most; what is not ready then is made ready by the first event,
//! so that a database that is briefly away does not become a loop of failing starts. Each event is one run.
//! The entry points are plain functions that own their runtime, so that a binary is one statement.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, NaiveDate, Utc};
use futures_util::future::BoxFuture;
use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;
use shared::billing::Backfill;
use shared::config::{ConfigError, DatabaseConfig, Environment, WorkerConfig};
use shared::database::{self, DatabaseError};
use shared::runs::Tick;
use shared::secrets::Secrets;
use shared::sync::{self, Order, Report, RunOutcome, Station, Vitals, Worker};
use shared::telemetry;
use tokio::sync::Mutex;

use crate::metrics;

/// How long a cold start may prepare before it asks for its first event.
const PREPARATION: Duration = Duration::from_secs(2);
/// Kept of each invocation's time for saying what became of it: Lambda kills a function without a word.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long it may take to look how old the picture is, out of that.
const LOOK: Duration = Duration::from_millis(500);

/// Runs a sync worker until Lambda ends the sandbox.
pub fn sync(worker: &'static Worker) -> ExitCode {
    start(
        worker.name,
        |environment| environment.worker(worker.purpose),
        |config| serve_sync(worker, config),
    )
}

/// Runs `migrate`: each event applies what is missing and answers with the schema's version.
pub fn migrate() -> ExitCode {
    start("migrate", Environment::migrate, serve_migrate)
}

/// Everything that can go wrong before the first event is one logged sentence and a failed exit.
pub(crate) fn start<C, F: Future<Output = Result<(), lambda_runtime::Error>>>(
    name: &'static str,
    configure: impl FnOnce(Environment) -> Result<C, ConfigError>,
    serve: impl FnOnce(C) -> F,
) -> ExitCode {
    let environment = Environment::process();
    telemetry::init(environment.log_level(), name);
    metrics::start(name, environment.metrics_namespace());
    let config = match configure(environment) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!(error_class = "configuration", "{error}");
            return ExitCode::FAILURE;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(
                error_class = "runtime",
                "the async runtime cannot be made: {error}"
            );
            return ExitCode::FAILURE;
        }
    };
    // What a cold start has cost until here is ours; from here on it waits for others.
    tracing::debug!("preparing");
    match runtime.block_on(serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error_class = "lambda_runtime", "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve_sync(worker: &'static Worker, config: WorkerConfig) -> Result<(), lambda_runtime::Error> {
    let shell = Shell::prepared(worker.name, config).await;
    let shell = &shell;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        shell.handle(worker, event)
    }))
    .await
}

/// What is kept between events: the station, once there is one.
pub(crate) struct Shell {
    name: &'static str,
    config: WorkerConfig,
    secrets: Secrets,
    station: Mutex<Option<Station>>,
}

type Why = (&'static str, String);

impl Shell {
    /// A shell that has had its time to prepare, and may be ready.
    pub(crate) async fn prepared(name: &'static str, config: WorkerConfig) -> Self {
        let shell = Self {
            name,
            config,
            secrets: Secrets::default(),
            station: Mutex::new(None),
        };
        drop(tokio::time::timeout(PREPARATION, shell.prepare()).await);
        shell
    }

    /// Makes ready what the first event would wait for.
    async fn prepare(&self) -> Result<(), Why> {
        let mut slot = self.station.lock().await;
        self.ready(&mut slot).await.map(drop)
    }

    /// The station, with a connection that works and a schema that is new enough; kept once it is so.
    async fn ready<'s>(&self, slot: &'s mut Option<Station>) -> Result<&'s Station, Why> {
        let station = match slot.take() {
            Some(station) => station,
            None => self.set_up().await?,
        };
        Ok(slot.insert(station))
    }

    async fn set_up(&self) -> Result<Station, Why> {
        let station = Station::set_up(self.config.clone(), self.secrets.clone())
            .await
            .map_err(|error| ("set_up", error.to_string()))?;
        match database::check_schema(&station.pool).await {
            Ok(()) => Ok(station),
            Err(error @ (DatabaseError::SchemaTooOld { .. } | DatabaseError::SchemaHidden { .. })) => {
                Err(("schema", error.to_string()))
            }
            Err(error) => Err(("database", error.to_string())),
        }
    }

    async fn handle(&self, worker: &'static Worker, event: LambdaEvent<Value>) -> Result<Report, Diagnostic> {
        let request_id = event.context.request_id.as_str();
        let order = read_order(&event.payload).map_err(|problem| {
            tracing::error!(
                worker = worker.name,
                request_id,
                error_class = "bad_event",
                "{problem}"
            );
            diagnostic("bad_event", problem)
        })?;
        let left = time_left(&event.context);
        let report = self
            .run(order.tick, left, |station, now| {
                sync::run_at(station, worker, order, now, left)
            })
            .await;
        log(&report, request_id);
        metrics::run(&report, &self.vitals(worker).await, request_id);
        match (report.outcome, report.error_class) {
            (RunOutcome::Failed, class) => Err(diagnostic(
                class.unwrap_or("failed"),
                report.error.unwrap_or_default(),
            )),
            _ => Ok(report),
        }
    }

    /// How the worker is after a run. A database that has just failed is not asked again.
    async fn vitals(&self, worker: &'static Worker) -> Vitals {
        let slot = self.station.lock().await;
        let Some(station) = slot.as_ref() else {
            return Vitals::default();
        };
        let vitals = tokio::time::timeout(LOOK, sync::vitals(station, worker)).await;
        vitals.unwrap_or_default()
    }

    /// One run, over before the invocation is. A station that the database failed is not kept: its connections
    /// may lead nowhere, and its password may be an old one.
    pub(crate) async fn run<J>(&self, tick: Tick, left: Option<Duration>, job: J) -> Report
    where
        J: for<'s> FnOnce(&'s Station, DateTime<Utc>) -> BoxFuture<'s, Report>,
    {
        let mut slot = self.station.lock().await;
        let run = async {
            let station = match self.ready(&mut slot).await {
                Ok(station) => station,
                Err((class, error)) => return Report::failed(self.name, tick, class, error),
            };
            match database::now(&station.pool).await {
                Err(error) => Report::failed(self.name, tick, "database", error.to_string()),
                Ok(now) => job(station, now).await,
            }
        };
        let report = match left.and_then(|left| left.checked_sub(FAREWELL)) {
            None => run.await,
            Some(limit) => tokio::time::timeout(limit, run).await.unwrap_or_else(|_| {
                let error = "the run was not over when the invocation's time was".to_owned();
                Report::failed(self.name, tick, "out_of_time", error)
            }),
        };
        if matches!(report.error_class, Some("database" | "out_of_time")) {
            *slot = None;
            self.secrets.forget(&self.config.database.source).await;
        }
        report
    }
}

async fn serve_migrate(config: DatabaseConfig) -> Result<(), lambda_runtime::Error> {
    let (config, secrets) = (&config, &Secrets::default());
    lambda_runtime::run(service_fn(move |_event: LambdaEvent<Value>| async move {
        let applied = match database::options(config, secrets).await {
            Ok(options) => database::migrate(&options).await,
            Err(error) => Err(error),
        };
        match applied {
            Ok(version) => {
                tracing::info!(version, "the schema is up to date");
                Ok(serde_json::json!({ "version": version }))
            }
            Err(error) => {
                tracing::error!(error_class = "database", "{error}");
                Err(diagnostic("database", error.to_string()))
            }
        }
    }))
    .await
}

/// A schedule's payload: `{"scheduled_time": "<RFC 3339>", "max_age_seconds": 900}`, both optional; by hand, for
/// `sync-billing-history`, `{"mode": "backfill", "from": "2014-01", "dry_run": true, "force": false}`.
fn read_order(payload: &Value) -> Result<Order, String> {
    let fields = match payload {
        Value::Null => return Ok(Order::default()),
        Value::Object(fields) => fields,
        _ => return Err("the event is not a tick: it is not a JSON object".to_owned()),
    };
    let field = |name: &str| fields.get(name).filter(|value| !value.is_null());
    let refuse = |name: &str, what: &str| format!("the event is not a tick: {name} is not {what}");
    let scheduled_for = field("scheduled_time").map(|value| {
        let time = value
            .as_str()
            .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        time.ok_or_else(|| refuse("scheduled_time", "an RFC 3339 time"))
    });
    let max_age = field("max_age_seconds").map(|value| {
        let seconds = value.as_u64().map(Duration::from_secs);
        seconds.ok_or_else(|| refuse("max_age_seconds", "a whole number of seconds"))
    });
    let backfill = match field("mode").map(Value::as_str) {
        None => None,
        Some(Some("backfill")) => {
            let from = field("from").map(|value| {
                let month = value.as_str().map(|text| format!("{text}-01"));
                let day = month.and_then(|day| NaiveDate::parse_from_str(&day, "%Y-%m-%d").ok());
                day.ok_or_else(|| refuse("from", "a month such as 2014-01"))
            });
            let truth = |name: &str| match field(name) {
                None => Ok(false),
                Some(value) => value.as_bool().ok_or_else(|| refuse(name, "true or false")),
            };
            Some(Backfill {
                from: from.transpose()?,
                dry_run: truth("dry_run")?,
                force: truth("force")?,
            })
        }
        Some(_) => return Err(refuse("mode", "backfill")),
    };
    let tick = Tick {
        scheduled_for: scheduled_for.transpose()?.map(|time| time.with_timezone(&Utc)),
        max_age: max_age.transpose()?,
    };
    Ok(Order { tick, backfill })
}

/// What the invocation has left. A deadline before 2020 is no deadline: `cargo lambda watch` sends a duration.
pub(crate) fn time_left(context: &Context) -> Option<Duration> {
    const YEAR_2020: u64 = 1_577_836_800_000;
    if context.deadline < YEAR_2020 {
        return None;
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "Lambda's deadline is given on this machine's clock"
    )]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Duration::from_millis(context.deadline).saturating_sub(now))
}

fn diagnostic(class: &str, message: impl Into<String>) -> Diagnostic {
    Diagnostic {
        error_type: class.to_owned(),
        error_message: message.into(),
    }
}

/// One line per run, whatever came of it.
pub(crate) fn log(report: &Report, request_id: &str) {
    let kinds = serde_json::to_string(&report.kinds).unwrap_or_default();
    let settled = report
        .settled
        .and_then(|settled| serde_json::to_string(&settled).ok());
    let ledger = report
        .ledger
        .as_ref()
        .and_then(|ledger| serde_json::to_string(ledger).ok());
    let notes = (!report.notes.is_empty()).then(|| report.notes.join("; "));
    let cold_start = metrics::is_cold_start();
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                worker = report.worker,
                request_id,
                cold_start,
                run_id = report.run_id.map(|id| id.to_string()),
                outcome = report.outcome.name(),
                attempt = report.attempt,
                requests = report.requests,
                elapsed_ms = report.elapsed_ms,
                kinds,
                settled,
                ledger,
                notes,
                error_class = report.error_class,
                error = report.error,
                do_request_id = report.do_request_id,
                "sync run"
            )
        };
    }
    match report.outcome {
        RunOutcome::Failed => line!(error),
        RunOutcome::Suspect | RunOutcome::Unreadable | RunOutcome::Incomplete | RunOutcome::RateLimited => {
            line!(warn)
        }
        RunOutcome::Complete | RunOutcome::Busy | RunOutcome::Stale | RunOutcome::Done => line!(info),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_an_order_or_an_error_that_names_the_offender() {
        let read = |payload| read_order(&payload);
        assert_eq!(read(serde_json::json!({})), Ok(Order::default()));
        assert_eq!(read(Value::Null), Ok(Order::default()));
        let order =
            read(serde_json::json!({"scheduled_time": "2026-11-21T10:00:00Z", "max_age_seconds": 900}));
        assert_eq!(order.unwrap().tick.max_age, Some(Duration::from_secs(900)));
        let order = read(serde_json::json!({"mode": "backfill", "from": "2014-01", "dry_run": true}));
        let backfill = order.unwrap().backfill.unwrap();
        assert_eq!(backfill.from, NaiveDate::from_ymd_opt(2014, 1, 1));
        assert!(backfill.dry_run && !backfill.force);
        for (payload, named) in [
            (
                serde_json::json!({"scheduled_time": "ten o'clock"}),
                "scheduled_time",
            ),
            (serde_json::json!({"scheduled_time": 5}), "scheduled_time"),
            (serde_json::json!({"max_age_seconds": -1}), "max_age_seconds"),
            (serde_json::json!({"mode": "refill"}), "mode"),
            (serde_json::json!({"mode": 1}), "mode"),
            (serde_json::json!({"mode": "backfill", "from": "January"}), "from"),
            (
                serde_json::json!({"mode": "backfill", "dry_run": "yes"}),
                "dry_run",
            ),
            (serde_json::json!([]), "object"),
            (serde_json::json!("x"), "object"),
        ] {
            let error = read(payload).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
