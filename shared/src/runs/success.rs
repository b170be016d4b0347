//! When a worker last did all that it is there for.
//!
//! For metrics of workers that list no kind: their runs are their only sign of life.

use crate::database::Pool;

/// Seconds since this worker's last complete run was begun, by the database's clock; `None`: there is none on record.
///
/// # Errors
/// When the database cannot be used.
pub async fn since_complete(pool: &Pool, worker: &str) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXTRACT(EPOCH FROM clock_timestamp() - max(started_at))::bigint AS seconds
           FROM sync_runs WHERE worker = $1 AND outcome = 'complete'"#,
        worker
    )
    .fetch_one(pool)
    .await
}
