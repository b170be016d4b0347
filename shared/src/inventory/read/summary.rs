//! The inventory in a few numbers: how much there is, whose it is, how fresh that is, and what cannot be seen.
//!
//! For the API, for the first look at a page. An operator is shown the whole account and its blind spots; a tenant
//! counts its own, and learns how fresh they are. It counts what is live, and tombstones in one number.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::listings::{Listing, listings};
use crate::auth::Scope;
use crate::database::{Pool, ReadError, read_as};

/// So many tenants are counted one by one, the greatest first; the others together.
const MOST_TENANTS: usize = 1_000;

/// The summary. Serialises to the API's.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Live resources.
    pub resources: i64,
    /// Tombstones.
    pub deleted: i64,
    /// Live resources by kind.
    pub kinds: Vec<OfKind>,
    /// Live resources by tenant, the most first; at most 1,000 tenants. `tenant_id` null: nobody's.
    pub tenants: Vec<OfTenant>,
    /// Live resources of the tenants left out of that list.
    pub other_tenants: i64,
    /// Live resources by the rule that decided whose they are.
    pub attributions: Vec<OfAttribution>,
    /// Kinds of which the mirror may not show what there is, and why. For operators; `None` for tenants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blind_spots: Option<Vec<Listing>>,
}

/// How much of one kind, and how fresh.
#[derive(Debug, Serialize)]
pub struct OfKind {
    /// The kind.
    pub kind: String,
    /// Live resources.
    pub resources: i64,
    /// Start of the last complete listing of this kind.
    pub last_complete_at: Option<DateTime<Utc>>,
}

/// How much of one tenant.
#[derive(Debug, Serialize)]
pub struct OfTenant {
    /// `None`: nobody's.
    pub tenant_id: Option<String>,
    /// Live resources.
    pub resources: i64,
}

/// How much by one rule.
#[derive(Debug, Serialize)]
pub struct OfAttribution {
    /// The rule.
    pub attribution: String,
    /// Live resources.
    pub resources: i64,
}

/// Counts what the scope may see.
///
/// # Errors
/// [`ReadError`], whose text is for logs only.
pub async fn summary(pool: &Pool, scope: &Scope) -> Result<Summary, ReadError> {
    let mut summary = match count(pool, scope).await {
        Ok(summary) => summary,
        Err(error) => return Err(ReadError::of(pool, error).await),
    };
    if scope.is_operator() {
        let all = listings(pool, scope).await?;
        summary.blind_spots = Some(all.into_iter().filter(Listing::is_blind).collect());
    }
    Ok(summary)
}

/// One pass over the rows for all the counts.
async fn count(pool: &Pool, scope: &Scope) -> Result<Summary, sqlx::Error> {
    let mut reading = read_as(pool, scope).await?;
    let rows = match scope.tenant() {
        None => {
            sqlx::query_as!(
                Count,
                r#"SELECT deleted_at IS NOT NULL AS "deleted!", kind AS "kind?", tenant_id, attribution AS "attribution?",
                          GROUPING(kind, tenant_id, attribution) AS "grouping!", count(*) AS "resources!"
                   FROM cloud_resources
                   GROUP BY deleted_at IS NOT NULL, GROUPING SETS ((kind), (tenant_id), (attribution))"#
            )
            .fetch_all(&mut *reading)
            .await?
        }
        Some(tenant) => {
            sqlx::query_as!(
                Count,
                r#"SELECT deleted_at IS NOT NULL AS "deleted!", kind AS "kind?", tenant_id, attribution AS "attribution?",
                          GROUPING(kind, tenant_id, attribution) AS "grouping!", count(*) AS "resources!"
                   FROM cloud_resources WHERE tenant_id = $1
                   GROUP BY deleted_at IS NOT NULL, GROUPING SETS ((kind), (tenant_id), (attribution))"#,
                tenant
            )
            .fetch_all(&mut *reading)
            .await?
        }
    };
    let markers = sqlx::query!("SELECT kind, last_complete_at FROM sync_markers")
        .fetch_all(&mut *reading)
        .await?;
    reading.end().await;
    let last_complete_at = |kind: &str| {
        let marker = markers.iter().find(|marker| marker.kind == kind);
        marker.and_then(|marker| marker.last_complete_at)
    };
    let mut summary = Summary {
        resources: 0,
        deleted: 0,
        kinds: Vec::new(),
        tenants: Vec::new(),
        other_tenants: 0,
        attributions: Vec::new(),
        blind_spots: None,
    };
    for row in rows {
        match (row.deleted, row.grouping, row.kind, row.attribution) {
            (true, BY_KIND, ..) => summary.deleted += row.resources,
            (true, ..) => (),
            (false, BY_KIND, Some(kind), _) => {
                summary.resources += row.resources;
                summary.kinds.push(OfKind {
                    last_complete_at: last_complete_at(&kind),
                    kind,
                    resources: row.resources,
                });
            }
            (false, BY_ATTRIBUTION, _, Some(attribution)) => summary.attributions.push(OfAttribution {
                attribution,
                resources: row.resources,
            }),
            _ => summary.tenants.push(OfTenant {
                tenant_id: row.tenant_id,
                resources: row.resources,
            }),
        }
    }
    summary.kinds.sort_unstable_by(|a, b| a.kind.cmp(&b.kind));
    summary
        .attributions
        .sort_unstable_by(|a, b| a.attribution.cmp(&b.attribution));
    summary
        .tenants
        .sort_unstable_by(|a, b| (-a.resources, &a.tenant_id).cmp(&(-b.resources, &b.tenant_id)));
    let others = summary.tenants.split_off(summary.tenants.len().min(MOST_TENANTS));
    summary.other_tenants = others.iter().map(|tenant| tenant.resources).sum();
    Ok(summary)
}

/// One bit for each column that was *not* grouped by.
const BY_KIND: i32 = 0b011;
const BY_ATTRIBUTION: i32 = 0b110;

struct Count {
    deleted: bool,
    kind: Option<String>,
    tenant_id: Option<String>,
    attribution: Option<String>,
    grouping: i32,
    resources: i64,
}
