//! Carrying out a plan: the only statements that write resources, events and markers.
//!
//! Runs under the mirror lock, inside the transaction of whoever holds it. Row and event are written together
//! or not at all; every statement is set-based, and writes only what differs. A change of content that does not
//! meet the version it was planned for is an error, never a silent overwrite; the unique (subject, version) of
//! events guards the rest.

mod columns;
mod piece;

use chrono::{DateTime, Utc};
use futures_util::future::join;
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::types::Json;
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::plan::{Absence, Change, Marker, Verdict};
use super::{Actor, BATCH, Error};
use crate::digitalocean::listing::CompleteListing;
use crate::kinds::{Kind, PROVIDER};
use columns::{Events, Rows, document};
use piece::{Piece, Quiet};

/// Writes changes and their events. `frozen_at` is the last complete listing before this one: what a row that
/// is struck for the first time was last seen by.
pub(super) async fn write(
    door: &mut Transaction<'_, Postgres>,
    actor: Actor<'_>,
    kind: &'static Kind,
    changes: &[Change<'_>],
    frozen_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let mut changes = changes.iter();
    let mut ready = || {
        let piece = Piece::of(&mut changes, now)?;
        let discovery = discovery(actor, kind, &piece.discovered, now);
        Ok::<_, Error>((piece, discovery))
    };
    let (mut piece, mut discovery) = ready()?;
    while piece.changes > 0 {
        // The next one is made, and what it sends is written, while Postgres has this one.
        let written = piece.write(door, discovery, actor, kind, frozen_at, now);
        let (written, next) = join(written, async { ready() }).await;
        written?;
        (piece, discovery) = next?;
    }
    Ok(())
}

/// A statement and all that it carries, as it is sent.
type Statement = Query<'static, Postgres, PgArguments>;

impl Piece<'_> {
    async fn write(
        &self,
        door: &mut Transaction<'_, Postgres>,
        discovery: Option<Statement>,
        actor: Actor<'_>,
        kind: &'static Kind,
        frozen_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        if let Some(discovery) = discovery {
            discovery.execute(&mut **door).await?;
        }
        update(door, kind, &self.updated, now).await?;
        delete(door, &self.deleted, now).await?;
        write_quiet(door, &self.quiet, frozen_at, now).await?;
        record(door, actor, None, &self.events, now).await
    }
}

/// New rows, each with its event, which holds all that the row keeps: a document is sent and read once, and cutting the
/// kept fields out of it costs Postgres a copy.
fn discovery(
    actor: Actor<'_>,
    kind: &'static Kind,
    rows: &Rows<'_>,
    now: DateTime<Utc>,
) -> Option<Statement> {
    if rows.ids.is_empty() {
        return None;
    }
    Some(sqlx::query!(
        "WITH t AS (
            SELECT * FROM unnest($6::uuid[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::jsonb[],
                                 $13::uuid[], $14::text[], $15::text[], $16::bigint[])
                 AS t(id, provider_id, name, region, status, tags, changes, cloud_project_id, tenant_id, attribution,
                      content_hash)
         ), discovered AS (
            INSERT INTO cloud_resources
                (id, provider, kind, provider_id, name, region, status, tags, attrs, cloud_project_id, tenant_id,
                 attribution, content_hash, version, first_seen_at, last_seen_at, inserted_at, updated_at)
            SELECT id, $1, $2, provider_id, name, region, status, tags::text[], changes #> '{attrs,to}', cloud_project_id,
                   tenant_id, attribution, content_hash, 1, $3, $3, $3, $3
            FROM t
         )
         INSERT INTO cloud_resource_events
            (resource_id, version, event_type, changes, tenant_id, actor, sync_run_id, occurred_at)
         SELECT id, 1, 'discovered', changes, tenant_id, $4, $5, $3 FROM t",
        PROVIDER,
        kind.name,
        now,
        actor.name,
        actor.lease.map(|lease| lease.run_id()),
        &rows.ids,
        &rows.provider_ids as _,
        &rows.names as _,
        &rows.regions as _,
        &rows.statuses as _,
        &rows.tags,
        &rows.documents as _,
        &rows.projects as _,
        &rows.tenants as _,
        &rows.attributions as _,
        &rows.hashes
    ))
}

async fn update(
    door: &mut Transaction<'_, Postgres>,
    kind: &'static Kind,
    rows: &Rows<'_>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let Some(first) = rows.provider_ids.first() else {
        return Ok(());
    };
    let written = sqlx::query!(
        "UPDATE cloud_resources r
         SET name = t.name, region = t.region, status = t.status, tags = t.tags::text[], attrs = t.attrs,
             cloud_project_id = t.cloud_project_id, tenant_id = t.tenant_id, attribution = t.attribution,
             content_hash = t.content_hash, version = t.version, last_seen_at = $1, updated_at = $1,
             stale_strike_count = 0, last_struck_at = NULL, deleted_at = NULL
         FROM unnest($2::uuid[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[], $8::jsonb[], $9::uuid[],
                     $10::text[], $11::text[], $12::bigint[])
              AS t(id, version, name, region, status, tags, attrs, cloud_project_id, tenant_id, attribution, content_hash)
         WHERE r.id = t.id AND r.version = t.version - 1",
        now,
        &rows.ids,
        &rows.versions,
        &rows.names as _,
        &rows.regions as _,
        &rows.statuses as _,
        &rows.tags,
        &rows.documents as _,
        &rows.projects as _,
        &rows.tenants as _,
        &rows.attributions as _,
        &rows.hashes
    )
    .execute(&mut **door)
    .await?;
    if written.rows_affected() == rows.ids.len() as u64 {
        return Ok(());
    }
    // Impossible under the lock. If it happens all the same, somebody has written past the door.
    Err(Error::Contradiction {
        kind: kind.name,
        provider_id: (*first).to_owned(),
        what: "it, or a row beside it, was written past the mirror lock",
    })
}

async fn delete(door: &mut Transaction<'_, Postgres>, ids: &[Uuid], now: DateTime<Utc>) -> Result<(), Error> {
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE cloud_resources SET deleted_at = $2, updated_at = $2, last_struck_at = $2, stale_strike_count = 3,
                version = version + 1
         WHERE id = ANY($1) AND deleted_at IS NULL",
        ids,
        now
    )
    .execute(&mut **door)
    .await?;
    Ok(())
}

async fn write_quiet(
    door: &mut Transaction<'_, Postgres>,
    quiet: &Quiet,
    frozen_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if !quiet.reread.0.is_empty() {
        sqlx::query!(
            "UPDATE cloud_resources r SET content_hash = t.hash
             FROM unnest($1::uuid[], $2::bigint[]) AS t(id, hash) WHERE r.id = t.id",
            &quiet.reread.0,
            &quiet.reread.1
        )
        .execute(&mut **door)
        .await?;
    }
    if !quiet.cleared.is_empty() {
        sqlx::query!(
            "UPDATE cloud_resources SET stale_strike_count = 0, last_struck_at = NULL, last_seen_at = $2
             WHERE id = ANY($1)",
            &quiet.cleared,
            now
        )
        .execute(&mut **door)
        .await?;
    }
    if !quiet.struck.0.is_empty() {
        sqlx::query!(
            "UPDATE cloud_resources r
             SET stale_strike_count = t.strikes, last_struck_at = $3,
                 last_seen_at = CASE WHEN t.strikes = 1 THEN GREATEST(r.last_seen_at, $4) ELSE r.last_seen_at END
             FROM unnest($1::uuid[], $2::smallint[]) AS t(id, strikes) WHERE r.id = t.id",
            &quiet.struck.0,
            &quiet.struck.1,
            now,
            frozen_at
        )
        .execute(&mut **door)
        .await?;
    }
    // The next proof of such a row waits as long as a strike would: fifty of them must not use up every run's proofs.
    if !quiet.doubted.is_empty() {
        sqlx::query!(
            "UPDATE cloud_resources SET last_struck_at = $2 WHERE id = ANY($1)",
            &quiet.doubted,
            now
        )
        .execute(&mut **door)
        .await?;
    }
    if !quiet.contradicted.is_empty() {
        sqlx::query!(
            "UPDATE cloud_resources SET last_seen_at = $2, last_struck_at = $2 WHERE id = ANY($1)",
            &quiet.contradicted,
            now
        )
        .execute(&mut **door)
        .await?;
    }
    Ok(())
}

async fn record(
    door: &mut Transaction<'_, Postgres>,
    actor: Actor<'_>,
    reason: Option<&str>,
    events: &Events<'_>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if events.resources.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO cloud_resource_events
            (resource_id, version, event_type, changes, tenant_id, left_tenant_id, actor, sync_run_id, occurred_at,
             reason)
         SELECT t.resource_id, t.version, t.event_type, t.changes, t.tenant_id, t.left_tenant_id, $1, $2, $3, $4
         FROM unnest($5::uuid[], $6::integer[], $7::text[], $8::jsonb[], $9::text[], $10::text[])
              AS t(resource_id, version, event_type, changes, tenant_id, left_tenant_id)",
        actor.name,
        actor.lease.map(|lease| lease.run_id()),
        now,
        reason,
        &events.resources,
        &events.versions,
        &events.types as _,
        &events.changes as _,
        &events.tenants as _,
        &events.left_tenants as _
    )
    .execute(&mut **door)
    .await?;
    Ok(())
}

/// Remembers a listing that proves nothing. It moves neither the last complete one nor a suspicion.
pub(super) async fn mark_doubtful(
    door: &mut Transaction<'_, Postgres>,
    kind: &'static Kind,
    verdict: Verdict,
    reason: &str,
    begun_at: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO sync_markers (provider, kind, last_attempt_at, verdict, error) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (provider, kind) DO UPDATE
         SET last_attempt_at = excluded.last_attempt_at, verdict = excluded.verdict, error = excluded.error",
        PROVIDER,
        kind.name,
        begun_at,
        verdict.name(),
        reason
    )
    .execute(&mut **door)
    .await?;
    Ok(())
}

/// Remembers a complete listing. A suspect one does not count as one: it moves nothing but the suspicion.
pub(super) async fn mark(
    door: &mut Transaction<'_, Postgres>,
    kind: &'static Kind,
    listing: &CompleteListing,
    marker: &Marker,
    absence: &Absence,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let believed = absence.verdict == Verdict::Complete;
    let (since, count) = match (believed, marker.suspect_since) {
        (true, _) => (None, 0),
        (false, None) => (Some(now), 1),
        (false, since) => (since, marker.suspect_count.saturating_add(1)),
    };
    // The operator's word is about things, and is done with when the last of them is back or has its tombstone.
    let suspects = absence.suspects.iter();
    let released = suspects
        .filter_map(|id| marker.suspects.get(id))
        .any(|suspect| suspect.released);
    let size = i32::try_from(listing.ids().len()).unwrap_or(i32::MAX);
    sqlx::query!(
        "INSERT INTO sync_markers AS m (provider, kind, last_attempt_at, verdict, error, last_complete_at,
                last_complete_size, suspect_since, suspect_count)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (provider, kind) DO UPDATE
         SET last_attempt_at = excluded.last_attempt_at, verdict = excluded.verdict, error = excluded.error,
             last_complete_at = COALESCE(excluded.last_complete_at, m.last_complete_at),
             last_complete_size = COALESCE(excluded.last_complete_size, m.last_complete_size),
             suspect_since = excluded.suspect_since, suspect_count = excluded.suspect_count,
             released_by = CASE WHEN $10 THEN m.released_by END,
             released_at = CASE WHEN $10 THEN m.released_at END,
             released_until = CASE WHEN $10 THEN m.released_until END,
             released_reason = CASE WHEN $10 THEN m.released_reason END",
        PROVIDER,
        kind.name,
        listing.begun_at(),
        absence.verdict.name(),
        absence.reason,
        believed.then_some(listing.begun_at()),
        believed.then_some(size),
        since,
        count,
        released
    )
    .execute(&mut **door)
    .await?;
    suspect(door, kind, marker, &absence.suspects, now).await
}

/// Remembers who is under suspicion from now on, and forgets who no longer is.
async fn suspect(
    door: &mut Transaction<'_, Postgres>,
    kind: &'static Kind,
    marker: &Marker,
    suspects: &[String],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if !marker.suspects.is_empty() {
        sqlx::query!(
            "DELETE FROM sync_suspects s WHERE s.provider = $1 AND s.kind = $2
             AND NOT EXISTS (SELECT FROM unnest($3::text[]) AS t(provider_id) WHERE t.provider_id = s.provider_id)",
            PROVIDER,
            kind.name,
            suspects
        )
        .execute(&mut **door)
        .await?;
    }
    // In pieces: a statement has only so long.
    for suspects in suspects.chunks(BATCH) {
        sqlx::query!(
            "INSERT INTO sync_suspects AS s (provider, kind, provider_id, since, listings)
             SELECT $1, $2, t.provider_id, $4, 1 FROM unnest($3::text[]) AS t(provider_id)
             ON CONFLICT (provider, kind, provider_id) DO UPDATE SET listings = s.listings + 1",
            PROVIDER,
            kind.name,
            suspects,
            now
        )
        .execute(&mut **door)
        .await?;
    }
    Ok(())
}

/// A resource that gets another project, tenant, or reason for having them.
#[derive(Serialize)]
pub(super) struct Move {
    pub(super) id: Uuid,
    pub(super) version: i32,
    pub(super) cloud_project_id: Option<Uuid>,
    pub(super) tenant_id: Option<String>,
    pub(super) attribution: String,
    pub(super) left_tenant_id: Option<String>,
    pub(super) changes: Map<String, Value>,
}

/// Writes attributions and their events; content stays as it is.
pub(super) async fn move_all(
    door: &mut Transaction<'_, Postgres>,
    actor: Actor<'_>,
    reason: Option<&str>,
    moves: &[Move],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if moves.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE cloud_resources r
         SET cloud_project_id = t.cloud_project_id, tenant_id = t.tenant_id, attribution = t.attribution,
             version = t.version, updated_at = $2
         FROM json_to_recordset($1::json) AS t(id uuid, version integer, cloud_project_id uuid, tenant_id text,
              attribution text)
         WHERE r.id = t.id AND r.version = t.version - 1",
        Json(moves) as _,
        now
    )
    .execute(&mut **door)
    .await?;
    let mut events = Events::default();
    for change in moves {
        events.push(
            (change.id, change.version),
            "updated",
            document(&change.changes)?,
            (change.tenant_id.as_deref(), change.left_tenant_id.as_deref()),
        );
    }
    record(door, actor, reason, &events, now).await
}
