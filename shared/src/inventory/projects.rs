//! The mirror of projects: their rows and their events.
//!
//! The rules are those of resources (the same plan strikes them), the table is another. A project's tenant is
//! ours, not DigitalOcean's: no sync touches it, the operator's edits do (`edit/project.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::plan::{self, Change, Live, Population, change, instant};
use super::{Actor, Error, Observation, Outcome, Proofs, apply, doubt, enter, leave, stored};
use crate::database::Pool;
use crate::kinds::project::PROJECT;
use crate::kinds::{PROVIDER, Sighting};

/// What DigitalOcean says about a project.
#[derive(Clone, Debug, PartialEq)]
struct Facts {
    name: String,
    description: String,
    provider_purpose: String,
    environment: String,
    is_default: bool,
}

struct Project {
    id: Uuid,
    facts: Facts,
    tenant_id: Option<String>,
    version: i32,
    strikes: i16,
    last_struck_at: Option<DateTime<Utc>>,
    deleted_at: Option<DateTime<Utc>>,
}

/// Makes the projects of the mirror agree with a listing of them.
///
/// # Errors
/// See [`Error`]; nothing is half done.
pub async fn reconcile_projects(
    pool: &Pool,
    actor: Actor<'_>,
    observation: &Observation<'_>,
    proofs: &Proofs,
    now: DateTime<Utc>,
    spacing: Duration,
) -> Result<Outcome, Error> {
    let mut outcome = Outcome::default();
    let mut door = enter(pool, actor, &PROJECT, observation.begun_at).await?;
    let mut projects = load(&mut door).await?;
    let mut seen = BTreeSet::new();
    for sighting in &observation.sightings {
        if !seen.insert(sighting.provider_id.as_str()) {
            continue; // listed twice: one row all the same, and the walk has its doubts
        }
        see(
            &mut door,
            actor,
            projects.get_mut(&sighting.provider_id),
            sighting,
            now,
            &mut outcome,
        )
        .await?;
    }
    match observation.listing {
        Ok(listing) => {
            let live = projects
                .iter()
                .filter(|(_, project)| project.deleted_at.is_none());
            let notable: Vec<Live> = live
                .clone()
                .map(|(provider_id, project)| as_live(provider_id, project))
                .collect();
            let population = Population {
                size: live.count(),
                notable,
                by_urn_only: false,
            };
            let marker = stored::marker(&mut door, &PROJECT).await?;
            let absence = plan::absent(&population, listing, &marker, Some(proofs), now, spacing);
            for change in &absence.changes {
                outcome.count(change);
                strike(&mut door, actor, change, marker.last_complete_at, now).await?;
            }
            outcome.missing = u32::try_from(absence.missing).unwrap_or(u32::MAX);
            outcome.verdict = absence.verdict;
            outcome.reason.clone_from(&absence.reason);
            apply::mark(&mut door, &PROJECT, listing, &marker, &absence, now).await?;
        }
        Err(partial) => {
            doubt(&mut door, &PROJECT, partial, observation.begun_at, &mut outcome).await?;
        }
    }
    leave(door, actor).await?;
    Ok(outcome)
}

async fn load(door: &mut Transaction<'_, Postgres>) -> Result<BTreeMap<String, Project>, Error> {
    let rows = sqlx::query!(
        "SELECT id, provider_id, name, description, provider_purpose, environment, is_default, tenant_id, version,
                stale_strike_count, last_struck_at, deleted_at
         FROM cloud_projects WHERE provider = $1",
        PROVIDER
    )
    .fetch_all(&mut **door)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let facts = Facts {
                name: row.name,
                description: row.description,
                provider_purpose: row.provider_purpose,
                environment: row.environment,
                is_default: row.is_default,
            };
            let project = Project {
                id: row.id,
                facts,
                tenant_id: row.tenant_id,
                version: row.version,
                strikes: row.stale_strike_count,
                last_struck_at: row.last_struck_at,
                deleted_at: row.deleted_at,
            };
            (row.provider_id, project)
        })
        .collect())
}

fn as_live(provider_id: &str, project: &Project) -> Live {
    Live {
        id: project.id,
        provider_id: provider_id.to_owned(),
        version: project.version,
        strikes: project.strikes,
        last_struck_at: project.last_struck_at,
        tenant_id: project.tenant_id.clone(),
    }
}

/// What was seen, laid over what was known: absent means unknown here too.
fn overlaid(before: Option<&Facts>, sighting: &Sighting) -> Facts {
    let mut facts = before.cloned().unwrap_or_else(|| Facts {
        name: sighting.provider_id.clone(),
        description: String::new(),
        provider_purpose: String::new(),
        environment: String::new(),
        is_default: false,
    });
    if let Some(name) = &sighting.name {
        facts.name.clone_from(name);
    }
    let text = |key: &str| {
        sighting
            .attrs
            .get(key)
            .map(|value| value.as_str().unwrap_or("").to_owned())
    };
    if let Some(description) = text("description") {
        facts.description = description;
    }
    if let Some(purpose) = text("purpose") {
        // DigitalOcean stores a purpose of one's own behind this prefix, and gives it back with it.
        facts.provider_purpose = purpose.strip_prefix("Other: ").unwrap_or(&purpose).to_owned();
    }
    if let Some(environment) = text("environment") {
        facts.environment = environment.to_ascii_lowercase();
    }
    if let Some(is_default) = sighting.attrs.get("is_default").and_then(|is| is.as_bool()) {
        facts.is_default = is_default;
    }
    facts
}

fn differences(before: Option<&Facts>, after: &Facts) -> Map<String, Value> {
    let fields = |facts: &Facts| {
        [
            ("name", Value::from(facts.name.as_str())),
            ("description", Value::from(facts.description.as_str())),
            ("provider_purpose", Value::from(facts.provider_purpose.as_str())),
            ("environment", Value::from(facts.environment.as_str())),
            ("is_default", Value::from(facts.is_default)),
        ]
    };
    let was: BTreeMap<_, _> = before
        .map(|facts| fields(facts).into_iter().collect())
        .unwrap_or_default();
    fields(after)
        .into_iter()
        .filter(|(field, to)| was.get(field) != Some(to))
        .map(|(field, to)| {
            (
                field.to_owned(),
                change(was.get(field).cloned().unwrap_or(Value::Null), to),
            )
        })
        .collect()
}

async fn see(
    door: &mut Transaction<'_, Postgres>,
    actor: Actor<'_>,
    project: Option<&mut Project>,
    sighting: &Sighting,
    now: DateTime<Utc>,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let facts = overlaid(project.as_deref().map(|project| &project.facts), sighting);
    let mut changes = differences(project.as_deref().map(|project| &project.facts), &facts);
    let Some(project) = project else {
        let id = Uuid::now_v7();
        for (field, to) in [
            ("purpose", "unclassified".into()),
            ("tenant_id", Value::Null),
            ("first_seen_at", instant(now)),
        ] {
            changes.insert(field.to_owned(), change(Value::Null, to));
        }
        sqlx::query!(
            "INSERT INTO cloud_projects (id, provider, provider_id, name, description, provider_purpose, environment,
                    is_default, version, first_seen_at, last_seen_at, inserted_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $9, $9, $9)",
            id,
            PROVIDER,
            sighting.provider_id,
            facts.name,
            facts.description,
            facts.provider_purpose,
            facts.environment,
            facts.is_default,
            now
        )
        .execute(&mut **door)
        .await?;
        outcome.discovered += 1;
        return record(door, actor, &Event::of(id, 1, "discovered", &changes, None), now).await;
    };
    let event_type = match project.deleted_at {
        Some(deleted_at) => {
            changes.insert("deleted_at".to_owned(), change(instant(deleted_at), Value::Null));
            outcome.restored += 1;
            "restored"
        }
        None if changes.is_empty() => return Ok(()), // a strike is cleared by the plan
        None => {
            outcome.updated += 1;
            "updated"
        }
    };
    sqlx::query!(
        "UPDATE cloud_projects SET name = $2, description = $3, provider_purpose = $4, environment = $5,
                is_default = $6, version = version + 1, last_seen_at = $7, updated_at = $7,
                stale_strike_count = 0, last_struck_at = NULL, deleted_at = NULL
         WHERE id = $1",
        project.id,
        facts.name,
        facts.description,
        facts.provider_purpose,
        facts.environment,
        facts.is_default,
        now
    )
    .execute(&mut **door)
    .await?;
    project.version += 1;
    (
        project.strikes,
        project.last_struck_at,
        project.deleted_at,
        project.facts,
    ) = (0, None, None, facts);
    let owner = project.tenant_id.as_deref();
    record(
        door,
        actor,
        &Event::of(project.id, project.version, event_type, &changes, owner),
        now,
    )
    .await
}

async fn strike(
    door: &mut Transaction<'_, Postgres>,
    actor: Actor<'_>,
    change: &Change<'_>,
    frozen_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let (id, strikes, seen_at, deleted_at) = match change {
        Change::Cleared { id } => (*id, 0, Some(now), None),
        Change::Struck { id, strikes } => (*id, *strikes, frozen_at.filter(|_| *strikes == 1), None),
        Change::Contradicted { id } => (*id, 2, Some(now), None),
        Change::Held { id, asked: true } => (*id, 2, None, None),
        Change::Deleted(tombstone) => (tombstone.id, 3, None, Some(now)),
        _ => return Ok(()),
    };
    sqlx::query!(
        "UPDATE cloud_projects
         SET stale_strike_count = $2, last_struck_at = CASE WHEN $2::smallint = 0 THEN NULL ELSE $3::timestamptz END,
             last_seen_at = GREATEST(last_seen_at, $4), deleted_at = $5,
             version = version + CASE WHEN $5::timestamptz IS NULL THEN 0 ELSE 1 END,
             updated_at = COALESCE($5, updated_at)
         WHERE id = $1",
        id,
        strikes,
        now,
        seen_at,
        deleted_at
    )
    .execute(&mut **door)
    .await?;
    if let Change::Deleted(tombstone) = change {
        let owner = tombstone.tenant_id.as_deref();
        record(
            door,
            actor,
            &Event::of(id, tombstone.version, "deleted", &tombstone.changes, owner),
            now,
        )
        .await?;
    }
    Ok(())
}

/// An event of a project.
pub(super) struct Event<'a> {
    pub(super) project_id: Uuid,
    pub(super) version: i32,
    pub(super) event_type: &'static str,
    pub(super) changes: &'a Map<String, Value>,
    pub(super) tenant_id: Option<&'a str>,
    pub(super) left_tenant_id: Option<&'a str>,
    pub(super) reason: Option<&'a str>,
}

impl<'a> Event<'a> {
    pub(super) fn of(
        project_id: Uuid,
        version: i32,
        event_type: &'static str,
        changes: &'a Map<String, Value>,
        tenant_id: Option<&'a str>,
    ) -> Self {
        Self {
            project_id,
            version,
            event_type,
            changes,
            tenant_id,
            left_tenant_id: None,
            reason: None,
        }
    }
}

pub(super) async fn record(
    door: &mut Transaction<'_, Postgres>,
    actor: Actor<'_>,
    event: &Event<'_>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO cloud_resource_events
            (project_id, version, event_type, changes, tenant_id, left_tenant_id, actor, reason, sync_run_id, occurred_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        event.project_id,
        event.version,
        event.event_type,
        Value::Object(event.changes.clone()),
        event.tenant_id,
        event.left_tenant_id,
        actor.name,
        event.reason,
        actor.lease.map(|lease| lease.run_id()),
        now
    )
    .execute(&mut **door)
    .await?;
    Ok(())
}
