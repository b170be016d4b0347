//! What has happened: the audit trail, one page of events at a time, in the order in which they were written.
//!
//! For the API. An operator reads the events themselves; a tenant is told of the time in which it owned a resource,
//! without anybody else's words (migration 0007 says how). It refuses to count events off: a page begins behind
//! the id that the one before ended with.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use super::question::one_more;
use super::{Page, Place, Position, ReadError, fetch};
use crate::auth::Scope;
use crate::database::Pool;

/// The types that an event can have.
pub const EVENT_TYPES: [&str; 6] = [
    "discovered",
    "updated",
    "tagged",
    "deleted",
    "restored",
    "drift_detected",
];

/// Changes longer than this are left out of a page (`null`), as attributes are.
const LONGEST_CHANGES: usize = 1 << 20;

/// One event as callers see it. Serialises to the API's event.
#[derive(Debug, FromRow, Serialize)]
pub struct Event {
    /// Grows in commit order.
    pub id: i64,
    /// The resource it happened to; `None`: a project's event.
    pub resource_id: Option<Uuid>,
    /// The project it happened to; `None`: a resource's event.
    pub project_id: Option<Uuid>,
    /// What it happened to: the resource's kind, or `project`.
    pub kind: String,
    /// The provider's id of that.
    pub provider_id: String,
    /// Of the subject, gapless from 1; a tenant sees those of its own time.
    pub version: i32,
    /// One of [`EVENT_TYPES`].
    pub event_type: String,
    /// `{field: {from, to}}`; `None` where it is too long to list.
    #[sqlx(json(nullable))]
    pub changes: Option<Box<RawValue>>,
    /// The owner once it had happened.
    pub tenant_id: Option<String>,
    /// The owner it was taken from, if it was.
    pub left_tenant_id: Option<String>,
    /// A worker, or an operator's subject; a tenant is told `operator`.
    pub actor: String,
    /// The operator's, for operators.
    pub reason: Option<String>,
    /// The worker's run, for operators.
    pub sync_run_id: Option<Uuid>,
    /// When: the `now` of the run or the edit.
    pub occurred_at: DateTime<Utc>,
}

impl Event {
    /// Where a page that ends with this event ends.
    pub fn position(&self) -> Position {
        Position {
            place: Place::Id,
            id: Uuid::from_u64_pair(0, self.id.cast_unsigned()),
        }
    }

    fn read(row: PgRow) -> Result<(Self, usize), sqlx::Error> {
        let mut event = Self::from_row(&row)?;
        event.changes = event
            .changes
            .filter(|changes| changes.get().len() <= LONGEST_CHANGES);
        let length = 256 + event.changes.as_ref().map_or(0, |changes| changes.get().len());
        Ok((event, length))
    }
}

/// An event as an operator reads it; conditions are added with AND.
pub(crate) const EVENT: &str = "SELECT e.id, e.resource_id, e.project_id, COALESCE(r.kind, 'project') AS kind, \
     COALESCE(r.provider_id, p.provider_id) AS provider_id, e.version, e.event_type, e.changes, e.tenant_id, \
     e.left_tenant_id, e.actor, e.reason, e.sync_run_id, e.occurred_at \
     FROM cloud_resource_events e \
     LEFT JOIN cloud_resources r ON r.id = e.resource_id \
     LEFT JOIN cloud_projects p ON p.id = e.project_id WHERE true";

/// Which events; every condition must hold.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Of this resource.
    pub resource_id: Option<Uuid>,
    /// Of this project itself. Its resources have events of their own.
    pub project_id: Option<Uuid>,
    /// Of things of this kind; `project` for projects.
    pub kind: Option<String>,
    /// Of this type.
    pub event_type: Option<String>,
    /// Concerning this tenant: its own then, or leaving it. Narrows the scope, never widens it.
    pub tenant_id: Option<String>,
    /// At or after this moment.
    pub since: Option<DateTime<Utc>>,
    /// Before this moment.
    pub until: Option<DateTime<Utc>>,
    /// The newest first.
    pub descending: bool,
}

/// One page of what the scope may know, in one query.
///
/// # Errors
/// [`ReadError`], whose text is for logs only.
pub async fn events(
    pool: &Pool,
    scope: &Scope,
    filter: &EventFilter,
    after: Option<&Position>,
    limit: usize,
) -> Result<Page<Event>, ReadError> {
    let mut query = query(scope, filter, after, limit);
    match fetch(pool, scope, &mut query, limit, Event::read).await {
        Ok(page) => Ok(page),
        Err(error) => Err(ReadError::of(pool, error).await),
    }
}

/// Whether the scope has any event of this resource: a former owner has, although the resource is gone from it.
///
/// # Errors
/// [`ReadError`], whose text is for logs only.
pub async fn knows(pool: &Pool, scope: &Scope, resource_id: Uuid) -> Result<bool, ReadError> {
    let filter = EventFilter {
        resource_id: Some(resource_id),
        ..EventFilter::default()
    };
    let page = events(pool, scope, &filter, None, 1).await?;
    Ok(!page.items.is_empty())
}

fn query(
    scope: &Scope,
    filter: &EventFilter,
    after: Option<&Position>,
    limit: usize,
) -> QueryBuilder<Postgres> {
    let mut sql = match scope.tenant() {
        None => of_everything(filter, after),
        Some(tenant) => of_its_own(tenant, filter, after),
    };
    let told = if scope.is_operator() { "e" } else { "own" };
    if let Some(event_type) = &filter.event_type {
        sql.push(format!(" AND {told}.event_type = "))
            .push_bind(event_type.clone());
    }
    if let Some(tenant) = &filter.tenant_id {
        sql.push(format!(" AND ({told}.tenant_id = "))
            .push_bind(tenant.clone())
            .push(format!(" OR {told}.left_tenant_id = "))
            .push_bind(tenant.clone())
            .push(")");
    }
    let place = if scope.is_operator() { "e.id" } else { "e.place" };
    sql.push(format!(" ORDER BY {place}{}", direction(filter)));
    one_more(&mut sql, limit);
    sql
}

fn of_everything(filter: &EventFilter, after: Option<&Position>) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(EVENT);
    narrow(&mut sql, filter, after);
    if let Some(project) = filter.project_id {
        sql.push(" AND e.project_id = ").push_bind(project);
    }
    match filter.kind.as_deref() {
        None => (),
        Some("project") => drop(sql.push(" AND e.project_id IS NOT NULL")),
        Some(kind) => drop(sql.push(" AND r.kind = ").push_bind(kind.to_owned())),
    }
    sql
}

/// A tenant is told by `own_event`, to which its name is given, so that the role alone does not decide. Its events
/// are found by its own index (a walk along all ids would meet everybody's), and told once they are in order.
fn of_its_own(tenant: &str, filter: &EventFilter, after: Option<&Position>) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(
        "SELECT e.id, e.resource_id, NULL::uuid AS project_id, own.kind, own.provider_id, e.version, \
         own.event_type, own.changes, own.tenant_id, own.left_tenant_id, own.actor, NULL::text AS reason, \
         NULL::uuid AS sync_run_id, e.occurred_at \
         FROM (SELECT e.id, e.resource_id, e.version, e.occurred_at, e.id + 0 AS place \
               FROM cloud_resource_events e WHERE true",
    );
    narrow(&mut sql, filter, after);
    sql.push(format!(" ORDER BY place{}", direction(filter)))
        .push(") e CROSS JOIN LATERAL own_event(e.id, ")
        .push_bind(tenant.to_owned())
        .push(") AS own WHERE true");
    if filter.project_id.is_some() {
        // Projects are the operator's: a tenant may ask, and has no events of any.
        sql.push(" AND false");
    }
    if let Some(kind) = &filter.kind {
        sql.push(" AND own.kind = ").push_bind(kind.clone());
    }
    sql
}

/// The conditions that need nothing but the event's own place in time and order.
fn narrow(sql: &mut QueryBuilder<Postgres>, filter: &EventFilter, after: Option<&Position>) {
    if let Some(resource) = filter.resource_id {
        sql.push(" AND e.resource_id = ").push_bind(resource);
    }
    if let Some(moment) = filter.since {
        sql.push(" AND e.occurred_at >= ").push_bind(moment);
    }
    if let Some(moment) = filter.until {
        sql.push(" AND e.occurred_at < ").push_bind(moment);
    }
    if let Some(position) = after {
        let (_, id) = position.id.as_u64_pair();
        let beyond = if filter.descending { "<" } else { ">" };
        sql.push(format!(" AND e.id {beyond} "))
            .push_bind(id.cast_signed());
    }
}

fn direction(filter: &EventFilter) -> &'static str {
    if filter.descending { " DESC" } else { "" }
}
