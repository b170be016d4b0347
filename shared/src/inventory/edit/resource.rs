//! One resource: the operator says whose it is, or takes that back and lets the ladder say it again.
//!
//! The operator's word stands above every other rung and no sync overrules it. A resource that is given to another
//! tenant than its project's is no longer in that project for us, because a tenant must not be shown another's
//! project; DigitalOcean's own grouping stays in `cloud_project_members`. What belongs to it (its snapshots, its
//! addresses) follows, where nothing better is known of that.

use sqlx::{Postgres, QueryBuilder, Transaction};
use uuid::Uuid;

use super::{Edit, EditError, Edited, Stop, enter};
use crate::database::Pool;
use crate::inventory::apply::{self, Move};
use crate::inventory::attribution::{self, Attribution, Claim, Rule};
use crate::inventory::membership;
use crate::inventory::plan::change;
use crate::inventory::read::history::{self, Event};
use crate::inventory::read::{self, Item};

/// Gives a resource to a tenant, or (`None`) back to the ladder: its own project, its membership, its parent, and the
/// fallback with the next sync of projects.
///
/// # Errors
/// See [`EditError`]; then nothing was written.
pub async fn attribute(
    pool: &Pool,
    id: Uuid,
    tenant: Option<&str>,
    edit: &Edit<'_>,
) -> Result<Edited<Item>, EditError> {
    match write(pool, id, tenant, edit).await {
        Ok(edited) => Ok(edited),
        Err(stop) => Err(stop.explained(pool).await),
    }
}

async fn write(pool: &Pool, id: Uuid, tenant: Option<&str>, edit: &Edit<'_>) -> Result<Edited<Item>, Stop> {
    let mut door = enter(pool).await?;
    let found = sqlx::query!(
        r#"SELECT r.version, r.deleted_at, r.cloud_project_id, r.tenant_id, r.attribution,
                  p.tenant_id AS "project_tenant?"
           FROM cloud_resources r LEFT JOIN cloud_projects p ON p.id = r.cloud_project_id
           WHERE r.id = $1"#,
        id
    )
    .fetch_optional(&mut *door)
    .await?;
    let Some(row) = found else {
        return Err(Stop::Because(EditError::Missing));
    };
    edit.check(row.version, row.deleted_at)?;
    let before = Attribution {
        cloud_project_id: row.cloud_project_id,
        tenant_id: row.tenant_id,
        rule: Rule::named(&row.attribution).unwrap_or_default(),
    };
    let after = match tenant {
        Some(tenant) => Attribution {
            cloud_project_id: row
                .cloud_project_id
                .filter(|_| row.project_tenant.as_deref() == Some(tenant)),
            tenant_id: Some(tenant.to_owned()),
            rule: Rule::Operator,
        },
        // What was never the operator's word cannot be taken back.
        None if before.rule != Rule::Operator => before.clone(),
        None => climbed(&mut door, id).await?,
    };
    let moves: Vec<Move> = differing(id, row.version, &before, &after).into_iter().collect();
    apply::move_all(&mut door, edit.actor(), Some(edit.reason), &moves, edit.now).await?;
    let given = moves.iter().map(|given| given.id).collect();
    let moved = membership::follow(&mut door, edit.actor(), Some(edit.reason), given, edit.now).await?;
    let edited = Edited {
        row: item(&mut door, id).await?,
        event: match moves.as_slice() {
            [] => None,
            [change, ..] => Some(event(&mut door, id, change.version).await?),
        },
        moved,
    };
    door.commit().await?;
    Ok(edited)
}

/// What the ladder says without the operator. The fallback's rung is not there: only a complete pass over all projects
/// can say that something is in none.
async fn climbed(door: &mut Transaction<'_, Postgres>, id: Uuid) -> Result<Attribution, Stop> {
    let row = sqlx::query!(
        "SELECT kind, provider_id, attrs->>'project_id' AS project_id, attrs->'parent'->>'kind' AS parent_kind,
                attrs->'parent'->>'id' AS parent_id
         FROM cloud_resources WHERE id = $1",
        id
    )
    .fetch_one(&mut **door)
    .await?;
    let claim = Claim {
        provider_id: &row.provider_id,
        project_id: row.project_id,
        parent: row.parent_kind.zip(row.parent_id),
    };
    let mut found = attribution::resolve(door, &row.kind, &[claim]).await?;
    Ok(found.remove(&row.provider_id).unwrap_or_default())
}

async fn item(door: &mut Transaction<'_, Postgres>, id: Uuid) -> Result<Item, sqlx::Error> {
    let mut query = QueryBuilder::new(read::ITEM);
    query.push(" WHERE id = ").push_bind(id);
    let (item, _) = Item::read(query.build().fetch_one(&mut **door).await?)?;
    Ok(item)
}

/// The audit entry of this version, as an operator reads it.
async fn event(door: &mut Transaction<'_, Postgres>, id: Uuid, version: i32) -> Result<Event, sqlx::Error> {
    let mut query = QueryBuilder::new(history::EVENT);
    query
        .push(" AND e.resource_id = ")
        .push_bind(id)
        .push(" AND e.version = ")
        .push_bind(version);
    query.build_query_as::<Event>().fetch_one(&mut **door).await
}

/// A move from one attribution to another with its changes, if they differ.
pub(super) fn differing(id: Uuid, version: i32, before: &Attribution, after: &Attribution) -> Option<Move> {
    let mut changes = serde_json::Map::new();
    let project = |of: &Attribution| of.cloud_project_id.map(|id| id.to_string());
    for (field, from, to) in [
        ("cloud_project_id", project(before), project(after)),
        ("tenant_id", before.tenant_id.clone(), after.tenant_id.clone()),
        (
            "attribution",
            Some(before.rule.name().to_owned()),
            Some(after.rule.name().to_owned()),
        ),
    ] {
        if from != to {
            changes.insert(field.to_owned(), change(from.into(), to.into()));
        }
    }
    (!changes.is_empty()).then(|| Move {
        id,
        version: version + 1,
        cloud_project_id: after.cloud_project_id,
        tenant_id: after.tenant_id.clone(),
        attribution: after.rule.name().to_owned(),
        left_tenant_id: before
            .tenant_id
            .clone()
            .filter(|left| after.tenant_id.as_ref() != Some(left)),
        changes,
    })
}
