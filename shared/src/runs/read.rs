//! Which worker ran when, and what came of it: one page of `sync_runs` at a time, the newest first.
//!
//! For the operator, through the API. Leases and fences are the workers' own business and are not shown; a run that
//! has not finished has neither an outcome nor an end.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::QueryBuilder;
use uuid::Uuid;

use crate::auth::Scope;
use crate::database::{Pool, ReadError, read_as};

/// How a run can end.
pub const OUTCOMES: [&str; 8] = [
    "complete",
    "incomplete",
    "suspect",
    "unreadable",
    "busy",
    "rate_limited",
    "failed",
    "abandoned",
];

/// One run. Serialises to the API's.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub struct Run {
    /// Its id, which its events carry.
    pub id: Uuid,
    /// The worker.
    pub worker: String,
    /// The tick it was for; `None`: started by hand.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// Counted from 1 for each tick.
    pub attempt: i32,
    /// When it took its lease.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// One of [`OUTCOMES`]; `None`: it is at work, or died and its lease has not been taken over yet.
    pub outcome: Option<String>,
    /// What it saw and changed, by kind.
    #[sqlx(json)]
    pub counts: Box<RawValue>,
    /// What sort of thing went wrong.
    pub error_class: Option<String>,
    /// What went wrong.
    pub error_message: Option<String>,
    /// DigitalOcean's own id of the last request.
    pub do_request_id: Option<String>,
}

/// Which runs; every condition must hold.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Of this worker.
    pub worker: Option<String>,
    /// That ended like this.
    pub outcome: Option<String>,
    /// Begun at or after this moment.
    pub since: Option<DateTime<Utc>>,
    /// Begun before this moment.
    pub until: Option<DateTime<Utc>>,
}

/// Where a page ended: the start and the id of its last run.
pub type Behind = (DateTime<Utc>, Uuid);

/// One page of runs, the newest first, and whether there are more.
///
/// # Errors
/// [`ReadError`], whose text is for logs only.
pub async fn runs(
    pool: &Pool,
    scope: &Scope,
    filter: &RunFilter,
    after: Option<Behind>,
    limit: usize,
) -> Result<(Vec<Run>, bool), ReadError> {
    match fetch(pool, scope, filter, after, limit).await {
        Ok(page) => Ok(page),
        Err(error) => Err(ReadError::of(pool, error).await),
    }
}

async fn fetch(
    pool: &Pool,
    scope: &Scope,
    filter: &RunFilter,
    after: Option<Behind>,
    limit: usize,
) -> Result<(Vec<Run>, bool), sqlx::Error> {
    let mut sql = QueryBuilder::new(
        "SELECT id, worker, scheduled_for, attempt, started_at, finished_at, outcome, counts, error_class, \
         error_message, do_request_id FROM sync_runs WHERE true",
    );
    if let Some(worker) = &filter.worker {
        sql.push(" AND worker = ").push_bind(worker.clone());
    }
    if let Some(outcome) = &filter.outcome {
        sql.push(" AND outcome = ").push_bind(outcome.clone());
    }
    if let Some(moment) = filter.since {
        sql.push(" AND started_at >= ").push_bind(moment);
    }
    if let Some(moment) = filter.until {
        sql.push(" AND started_at < ").push_bind(moment);
    }
    if let Some((started_at, id)) = after {
        sql.push(" AND (started_at, id) < (")
            .push_bind(started_at)
            .push(", ")
            .push_bind(id)
            .push(")");
    }
    sql.push(" ORDER BY started_at DESC, id DESC LIMIT ")
        .push_bind(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));
    let mut reading = read_as(pool, scope).await?;
    let mut runs: Vec<Run> = sql.build_query_as().fetch(&mut *reading).try_collect().await?;
    reading.end().await;
    let more = runs.len() > limit;
    runs.truncate(limit);
    Ok((runs, more))
}
