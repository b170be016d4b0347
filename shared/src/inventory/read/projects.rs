//! The projects of the account, and how much is in each: the operator's work list for classifying.
//!
//! For the API. Counts are of what the mirror attributes to a project, live things only, by kind; the cost is the
//! ledger's word, through its view. It refuses to ask once per project: a page is one query.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use super::question::one_more;
use super::{Page, Place, Position, ReadError, fetch};
use crate::auth::Scope;
use crate::database::Pool;

/// What a project is for, in our words.
pub const PURPOSES: [&str; 4] = ["unclassified", "internal", "tenant", "shared"];

/// One project as operators see it. Serialises to the API's project.
#[derive(Debug, FromRow, Serialize)]
pub struct Project {
    /// Ours.
    pub id: Uuid,
    /// Whose account it is in.
    pub provider: String,
    /// The provider's id.
    pub provider_id: String,
    /// Its name there.
    pub name: String,
    /// Its description there.
    pub description: String,
    /// What the provider says it is for.
    pub provider_purpose: String,
    /// `development`, `staging`, `production`, or empty.
    pub environment: String,
    /// Whether new things land in it.
    pub is_default: bool,
    /// Whose it is; with purpose `tenant`, and only then.
    pub tenant_id: Option<String>,
    /// One of [`PURPOSES`].
    pub purpose: String,
    /// Live resources in it.
    pub resources: i64,
    /// The same by kind.
    #[sqlx(json)]
    pub kinds: BTreeMap<String, i64>,
    /// Grows by one with each event: what an edit has to know.
    pub version: i32,
    /// First listing that had it.
    pub first_seen_at: DateTime<Utc>,
    /// Last complete listing that had it.
    pub last_seen_at: DateTime<Utc>,
    /// When it was found to be gone.
    pub deleted_at: Option<DateTime<Utc>>,
    /// The last meaningful change.
    pub updated_at: DateTime<Utc>,
}

impl Project {
    /// Where a page that ends with this project ends.
    pub fn position(&self) -> Position {
        Position {
            place: Place::Id,
            id: self.id,
        }
    }

    fn length(&self) -> usize {
        512 + self.name.len() + self.description.len() + self.kinds.len() * 32
    }
}

/// A project of the list, with what it costs.
#[derive(Debug, FromRow, Serialize)]
pub struct PricedProject {
    /// The project.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub project: Project,
    /// The last month of which an invoice has been read; `None` before the first.
    pub cost_month: Option<NaiveDate>,
    /// What its resources cost then, in US dollars.
    pub cost: Option<Decimal>,
}

impl PricedProject {
    fn read(row: PgRow) -> Result<(Self, usize), sqlx::Error> {
        let project = Self::from_row(&row)?;
        let length = project.project.length();
        Ok((project, length))
    }
}

/// Which projects; every condition must hold.
#[derive(Clone, Debug, Default)]
pub struct ProjectFilter {
    /// Of this tenant.
    pub tenant_id: Option<String>,
    /// Of this purpose.
    pub purpose: Option<String>,
    /// Tombstones too.
    pub include_deleted: bool,
}

/// One page of projects, in the order of their discovery. For operators: nobody else is told what anything costs.
///
/// # Errors
/// [`ReadError`], whose text is for logs only.
pub async fn projects(
    pool: &Pool,
    scope: &Scope,
    filter: &ProjectFilter,
    after: Option<&Position>,
    limit: usize,
) -> Result<Page<PricedProject>, ReadError> {
    let mut query = select(", e.period AS cost_month, e.amount AS cost");
    query.push(" LEFT JOIN cloud_project_costs e ON e.cloud_project_id = p.id");
    query.push(if filter.include_deleted {
        " WHERE true"
    } else {
        " WHERE p.deleted_at IS NULL"
    });
    for tenant in [scope.tenant(), filter.tenant_id.as_deref()]
        .into_iter()
        .flatten()
    {
        query.push(" AND p.tenant_id = ").push_bind(tenant.to_owned());
    }
    if let Some(purpose) = &filter.purpose {
        query.push(" AND p.purpose = ").push_bind(purpose.clone());
    }
    if let Some(position) = after {
        query.push(" AND p.id > ").push_bind(position.id);
    }
    query.push(" ORDER BY p.id");
    one_more(&mut query, limit);
    match fetch(pool, scope, &mut query, limit, PricedProject::read).await {
        Ok(page) => Ok(page),
        Err(error) => Err(ReadError::of(pool, error).await),
    }
}

/// Counted for the projects of the page alone: a lateral join, not a grouping of everything.
pub(crate) fn select(more: &'static str) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(
        "SELECT p.id, p.provider, p.provider_id, p.name, p.description, p.provider_purpose, p.environment, \
         p.is_default, p.tenant_id, p.purpose, c.resources, c.kinds, p.version, p.first_seen_at, \
         CASE WHEN p.deleted_at IS NULL AND p.stale_strike_count = 0 \
              THEN GREATEST(p.last_seen_at, m.last_complete_at) ELSE p.last_seen_at END AS last_seen_at, \
         p.deleted_at, p.updated_at",
    );
    query.push(more);
    query.push(
        " FROM cloud_projects p \
         LEFT JOIN sync_markers m ON m.provider = p.provider AND m.kind = 'project' \
         CROSS JOIN LATERAL (SELECT COALESCE(sum(k.live), 0)::bigint AS resources, \
                                    COALESCE(jsonb_object_agg(k.kind, k.live), '{}') AS kinds \
                             FROM (SELECT r.kind, count(*) AS live FROM cloud_resources r \
                                   WHERE r.cloud_project_id = p.id AND r.deleted_at IS NULL GROUP BY r.kind) k) c",
    );
    query
}
