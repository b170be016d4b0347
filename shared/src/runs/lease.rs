//! One run at a time per worker, and each tick once.
//!
//! A tick counts once *when finished*: a retry of a tick that failed, or whose run died, takes it over after
//! the lease has expired; a second delivery of a tick that was done does nothing. Every lease gets a larger
//! fencing number, and whoever writes the mirror shows its own while the row is locked.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::{Clock, Tick};
use crate::database::Pool;

/// Runs older than this are deleted, some with each run.
const KEEP: TimeDelta = TimeDelta::days(90);

/// The right to work, until it expires or somebody takes it over. A copy shows the same fence, and is worth as much.
#[derive(Clone, Debug)]
pub struct Lease {
    run_id: Uuid,
    fence: i64,
    attempt: i32,
    length: TimeDelta,
    renewed_at: DateTime<Utc>,
    /// Nothing that is done under it is kept.
    rehearsal: bool,
}

/// Why a run does not begin. All of these are fine: nothing is left undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The tick is older than it may be.
    Stale,
    /// Another run of this worker holds the lease.
    Busy,
    /// This very tick has been done.
    Done,
}

/// How a run ended.
#[derive(Debug)]
pub struct Finish<'a> {
    /// One word: see the CHECK of `sync_runs.outcome`.
    pub outcome: &'a str,
    /// Numbers worth keeping.
    pub counts: serde_json::Value,
    /// What class of error, if any.
    pub error_class: Option<&'a str>,
    /// The error in one sentence.
    pub error_message: Option<&'a str>,
    /// DigitalOcean's name for the last request.
    pub do_request_id: Option<&'a str>,
}

/// Takes the lease of a worker for a tick, or says why not.
///
/// # Errors
/// When the database cannot be used.
pub async fn begin(
    pool: &Pool,
    worker: &str,
    tick: Tick,
    clock: &Clock,
    length: Duration,
) -> Result<Result<Lease, Refused>, sqlx::Error> {
    let now = clock.now();
    if tick.is_stale(now) {
        return Ok(Err(Refused::Stale));
    }
    let length = TimeDelta::from_std(length).unwrap_or(TimeDelta::seconds(30));
    let mut transaction = pool.begin().await?;
    // One beginning at a time per worker: the rest of this transaction then sees what the others did.
    sqlx::query_scalar!(
        "SELECT pg_advisory_xact_lock(hashtextextended('sync_runs:' || $1, 0))::text",
        worker
    )
    .fetch_one(&mut *transaction)
    .await?;
    // FOR UPDATE waits for a holder that is writing the mirror right now, and sees what it left.
    let running = sqlx::query!(
        "SELECT id, lease_expires_at FROM sync_runs WHERE worker = $1 AND finished_at IS NULL FOR UPDATE",
        worker
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(running) = running {
        // The wait for a holder that was writing may have outlasted its lease.
        if running.lease_expires_at > clock.instant() {
            return Ok(Err(Refused::Busy));
        }
        sqlx::query!(
            "UPDATE sync_runs SET finished_at = $2, outcome = 'abandoned', error_class = 'abandoned',
                    error_message = 'the run stopped renewing its lease' WHERE id = $1",
            running.id,
            now
        )
        .execute(&mut *transaction)
        .await?;
    }
    let mut attempt = 1;
    if let Some(scheduled) = tick.scheduled_for {
        let before = sqlx::query!(
            r#"SELECT count(*) AS "attempts!",
                      coalesce(bool_or(outcome NOT IN ('busy', 'failed', 'abandoned')), false) AS "done!"
               FROM sync_runs WHERE worker = $1 AND scheduled_for = $2"#,
            worker,
            scheduled
        )
        .fetch_one(&mut *transaction)
        .await?;
        if before.done {
            transaction.commit().await?;
            return Ok(Err(Refused::Done));
        }
        attempt = i32::try_from(before.attempts)
            .unwrap_or(i32::MAX)
            .saturating_add(1);
    }
    let run_id = Uuid::now_v7();
    let fence = sqlx::query_scalar!(
        r#"INSERT INTO sync_runs (id, worker, scheduled_for, attempt, lease_owner, fence, lease_expires_at, started_at)
           VALUES ($1, $2, $3, $4, $5, nextval('sync_run_fences'), $6, $7) RETURNING fence"#,
        run_id,
        worker,
        tick.scheduled_for,
        attempt,
        Uuid::new_v4(),
        now + length,
        now
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Ok(Lease {
        run_id,
        fence,
        attempt,
        length,
        renewed_at: now,
        rehearsal: false,
    }))
}

impl Lease {
    /// The lease of a run that only shows what it would do: nobody is kept out by it, nobody can take it over, and
    /// whoever writes under it takes back what was written.
    pub(crate) fn rehearsal(clock: &Clock) -> Self {
        Self {
            run_id: Uuid::nil(),
            fence: 0,
            attempt: 1,
            length: TimeDelta::zero(),
            renewed_at: clock.now(),
            rehearsal: true,
        }
    }

    /// Whether what is done under it is taken back.
    pub(crate) fn is_rehearsal(&self) -> bool {
        self.rehearsal
    }

    /// The run's id: events and log lines carry it.
    pub fn run_id(&self) -> Uuid {
        self.run_id
    }

    /// Which attempt at the tick this is, from 1.
    pub fn attempt(&self) -> i32 {
        self.attempt
    }

    /// Keeps the lease alive; writes only when a third of it has passed. False: it is somebody else's now.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn renew(&mut self, pool: &Pool, clock: &Clock) -> Result<bool, sqlx::Error> {
        let instant = clock.instant();
        if self.rehearsal || instant - self.renewed_at < self.length / 3 {
            return Ok(true);
        }
        let renewed = sqlx::query!(
            "UPDATE sync_runs SET lease_expires_at = $3 WHERE id = $1 AND fence = $2 AND finished_at IS NULL",
            self.run_id,
            self.fence,
            instant + self.length
        )
        .execute(pool)
        .await?;
        if renewed.rows_affected() == 0 {
            return Ok(false); // and so it stays: who asks again is told again
        }
        self.renewed_at = instant;
        Ok(true)
    }

    /// Whether the fence is still the newest. Locks the row, so that it stays so until the transaction ends.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub(crate) async fn holds(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
    ) -> Result<bool, sqlx::Error> {
        if self.rehearsal {
            return Ok(true);
        }
        let held = sqlx::query_scalar!(
            r#"SELECT 1 AS "held!" FROM sync_runs WHERE id = $1 AND fence = $2 AND finished_at IS NULL FOR UPDATE"#,
            self.run_id,
            self.fence
        )
        .fetch_optional(&mut **transaction)
        .await?;
        Ok(held.is_some())
    }

    /// Writes the outcome and gives the lease back; a run whose fence is old changes nothing. Old runs are pruned.
    ///
    /// # Errors
    /// When the database cannot be used; the lease then expires by itself.
    pub async fn finish(self, pool: &Pool, clock: &Clock, finish: &Finish<'_>) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE sync_runs SET finished_at = $3, outcome = $4, counts = $5, error_class = $6,
                    error_message = $7, do_request_id = $8
             WHERE id = $1 AND fence = $2 AND finished_at IS NULL",
            self.run_id,
            self.fence,
            clock.instant(),
            finish.outcome,
            finish.counts,
            finish.error_class,
            finish.error_message,
            finish.do_request_id
        )
        .execute(pool)
        .await?;
        sqlx::query!(
            "DELETE FROM sync_runs WHERE id IN
                (SELECT id FROM sync_runs WHERE started_at < $1 AND finished_at IS NOT NULL ORDER BY started_at LIMIT 1000 FOR UPDATE SKIP LOCKED)",
            clock.now() - KEEP
        )
        .execute(pool)
        .await?;
        Ok(())
    }
}
