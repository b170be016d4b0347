//! A suspicion released: the operator has looked, and what is missing is really gone.
//!
//! It is good for the things that are suspected now, each for as long as it is missing: whatever goes missing later is
//! judged by itself. Strikes and proofs go on as ever; a release deletes nothing by itself.

use chrono::{DateTime, Utc};

use super::{Edit, EditError, Stop, enter};
use crate::database::Pool;
use crate::kinds::PROVIDER;

/// Releases the present suspicion of a kind, until a moment or (`None`) for as long as what is missing stays so.
///
/// # Errors
/// [`EditError::Missing`], if the kind was never listed; [`EditError::NotSuspect`], if there is nothing to release.
pub async fn release(
    pool: &Pool,
    kind: &str,
    until: Option<DateTime<Utc>>,
    reason: Option<&str>,
    edit: &Edit<'_>,
) -> Result<(), EditError> {
    match write(pool, kind, until, reason, edit).await {
        Ok(()) => Ok(()),
        Err(stop) => Err(stop.explained(pool).await),
    }
}

async fn write(
    pool: &Pool,
    kind: &str,
    until: Option<DateTime<Utc>>,
    reason: Option<&str>,
    edit: &Edit<'_>,
) -> Result<(), Stop> {
    let mut door = enter(pool).await?;
    let suspicion = sqlx::query_scalar!(
        "SELECT suspect_since FROM sync_markers WHERE provider = $1 AND kind = $2",
        PROVIDER,
        kind
    )
    .fetch_optional(&mut *door)
    .await?;
    match suspicion {
        None => return Err(Stop::Because(EditError::Missing)),
        Some(None) => return Err(Stop::Because(EditError::NotSuspect)),
        Some(Some(_)) => (),
    }
    sqlx::query!(
        "UPDATE sync_suspects SET released = true, released_until = $3 WHERE provider = $1 AND kind = $2",
        PROVIDER,
        kind,
        until
    )
    .execute(&mut *door)
    .await?;
    sqlx::query!(
        "UPDATE sync_markers SET released_by = $3, released_at = $4, released_until = $5, released_reason = $6
         WHERE provider = $1 AND kind = $2 AND suspect_since IS NOT NULL",
        PROVIDER,
        kind,
        edit.by,
        edit.now,
        until,
        reason
    )
    .execute(&mut *door)
    .await?;
    door.commit().await?;
    Ok(())
}
