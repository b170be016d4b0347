//! One project: the operator says what it is for and whose it is, and everything in it follows.
//!
//! The project and all that is in it move in one transaction, one event per subject, each with the reason. What an
//! operator has given to somebody by itself stays where it was given, but no longer names a project that is now
//! somebody else's.

use chrono::{DateTime, Utc};
use serde_json::Map;
use sqlx::{Postgres, QueryBuilder, Transaction};
use uuid::Uuid;

use super::resource::differing;
use super::{Edit, EditError, Edited, Stop, enter};
use crate::database::{Pool, lock_mirror};
use crate::inventory::attribution::{Attribution, Rule};
use crate::inventory::membership::{self, Within};
use crate::inventory::plan::change;
use crate::inventory::projects::{Event, record};
use crate::inventory::read::history;
use crate::inventory::read::projects::{self, Project};
use crate::inventory::{Actor, BATCH, Error, apply};

/// What the operator says about a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classification {
    /// `unclassified`, `internal`, `shared`, or `tenant`.
    pub purpose: String,
    /// The tenant; with purpose `tenant`, and only then.
    pub tenant_id: Option<String>,
}

/// Says whose a project is, as an operator who has read it before.
///
/// # Errors
/// See [`EditError`]; then nothing was written. The caller has checked that purpose and tenant fit each other.
pub async fn classify(
    pool: &Pool,
    id: Uuid,
    classification: &Classification,
    edit: &Edit<'_>,
) -> Result<Edited<Project>, EditError> {
    match write(pool, id, classification, edit).await {
        Ok(edited) => Ok(edited),
        Err(stop) => Err(stop.explained(pool).await),
    }
}

async fn write(
    pool: &Pool,
    id: Uuid,
    classification: &Classification,
    edit: &Edit<'_>,
) -> Result<Edited<Project>, Stop> {
    let mut door = enter(pool).await?;
    let Some(before) = load(&mut door, id).await? else {
        return Err(Stop::Because(EditError::Missing));
    };
    edit.check(before.version, before.deleted_at)?;
    let told = tell(
        &mut door,
        edit.actor(),
        &before,
        classification,
        edit.reason,
        edit.now,
    )
    .await?;
    let mut query = projects::select("");
    query.push(" WHERE p.id = ").push_bind(id);
    let row = query.build_query_as::<Project>().fetch_one(&mut *door).await?;
    let event = match told {
        None => None,
        Some(_) => {
            let mut query = QueryBuilder::new(history::EVENT);
            query
                .push(" AND e.project_id = ")
                .push_bind(id)
                .push(" AND e.version = ")
                .push_bind(row.version);
            Some(query.build_query_as().fetch_one(&mut *door).await?)
        }
    };
    door.commit().await?;
    Ok(Edited {
        row,
        event,
        moved: told.unwrap_or_default(),
    })
}

/// Says whose a project is, whoever says so and whatever they have read. Answers whether there is such a project.
///
/// # Errors
/// See [`Error`]. The caller has checked that purpose and tenant fit each other; the table checks it again.
pub async fn classify_project(
    pool: &Pool,
    actor: Actor<'_>,
    project_id: Uuid,
    classification: &Classification,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let mut door = lock_mirror(pool).await?;
    let found = load(&mut door, project_id).await?;
    let Some(before) = found.filter(|before| before.deleted_at.is_none()) else {
        return Ok(false);
    };
    tell(&mut door, actor, &before, classification, reason, now).await?;
    door.commit().await?;
    Ok(true)
}

/// What an edit of a project needs to know of it.
struct Before {
    id: Uuid,
    tenant_id: Option<String>,
    purpose: String,
    version: i32,
    deleted_at: Option<DateTime<Utc>>,
}

async fn load(door: &mut Transaction<'_, Postgres>, id: Uuid) -> Result<Option<Before>, sqlx::Error> {
    sqlx::query_as!(
        Before,
        "SELECT id, tenant_id, purpose, version, deleted_at FROM cloud_projects WHERE id = $1",
        id
    )
    .fetch_optional(&mut **door)
    .await
}

/// Writes the project and everything that follows it. Answers how many resources did; `None`: it was so already.
async fn tell(
    door: &mut Transaction<'_, Postgres>,
    actor: Actor<'_>,
    before: &Before,
    after: &Classification,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<Option<usize>, Error> {
    let mut changes = Map::new();
    if before.purpose != after.purpose {
        let (from, to) = (before.purpose.clone(), after.purpose.clone());
        changes.insert("purpose".to_owned(), change(from.into(), to.into()));
    }
    if before.tenant_id != after.tenant_id {
        let (from, to) = (before.tenant_id.clone(), after.tenant_id.clone());
        changes.insert("tenant_id".to_owned(), change(from.into(), to.into()));
    }
    if changes.is_empty() {
        return Ok(None);
    }
    sqlx::query!(
        "UPDATE cloud_projects SET tenant_id = $2, purpose = $3, version = version + 1, updated_at = $4 WHERE id = $1",
        before.id,
        after.tenant_id,
        after.purpose,
        now
    )
    .execute(&mut **door)
    .await?;
    let owner = after.tenant_id.as_deref();
    let event = Event {
        left_tenant_id: before
            .tenant_id
            .as_deref()
            .filter(|before| owner != Some(*before)),
        reason: Some(reason),
        ..Event::of(before.id, before.version + 1, "updated", &changes, owner)
    };
    record(door, actor, &event, now).await?;
    let given = release_given(door, actor, before.id, owner, reason, now).await?;
    let mut moved = given.len();
    // Everything in it follows, in the same transaction; what else may be on the move is the next sync's business.
    let within = Within {
        project: Some(before.id),
        reason: Some(reason),
        ..Within::default()
    };
    loop {
        let batch = membership::reattribute(door, actor, &within, now).await?;
        moved += batch;
        if batch == 0 {
            break;
        }
    }
    moved += membership::follow(door, actor, Some(reason), given, now).await?;
    Ok(Some(moved))
}

/// Takes what the operator gave to somebody by itself out of a project that is another's now. Answers what that was.
async fn release_given(
    door: &mut Transaction<'_, Postgres>,
    actor: Actor<'_>,
    project: Uuid,
    owner: Option<&str>,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<Vec<Uuid>, Error> {
    let given = sqlx::query!(
        "SELECT id, version, tenant_id FROM cloud_resources
         WHERE cloud_project_id = $1 AND attribution = 'operator' AND deleted_at IS NULL
           AND tenant_id IS DISTINCT FROM $2
         ORDER BY kind, provider_id",
        project,
        owner
    )
    .fetch_all(&mut **door)
    .await?;
    let moves: Vec<apply::Move> = given
        .into_iter()
        .filter_map(|row| {
            let before = Attribution {
                cloud_project_id: Some(project),
                tenant_id: row.tenant_id,
                rule: Rule::Operator,
            };
            let after = Attribution {
                cloud_project_id: None,
                ..before.clone()
            };
            differing(row.id, row.version, &before, &after)
        })
        .collect();
    // In pieces: a statement has only so long.
    for batch in moves.chunks(BATCH) {
        apply::move_all(door, actor, Some(reason), batch, now).await?;
    }
    Ok(moves.iter().map(|given| given.id).collect())
}
