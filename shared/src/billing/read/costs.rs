//! Costs by tenant, project, kind and month.
//!
//! One aggregating query. Each line counts once, in one group: what nobody is known to have caused stands in a group
//! of its own, and so do taxes and credits, so that the groups always add up to the invoices. Tenant and project are
//! those that the resource had when the charge ended, as its history tells (`cloud_ledger`).

use std::str::FromStr;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::question::month;
use super::{Page, page};
use crate::auth::Scope;
use crate::database::Pool;
use crate::inventory::read::ReadError;

/// Groups at most; more are a mistake in the question.
const MOST_GROUPS: usize = 10_000;

/// What costs are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Whose it was.
    Tenant,
    /// The project it was in.
    Project,
    /// What it is.
    Kind,
    /// When it was billed.
    Month,
}

impl FromStr for Key {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tenant" => Ok(Key::Tenant),
            "project" => Ok(Key::Project),
            "kind" => Ok(Key::Kind),
            "month" => Ok(Key::Month),
            _ => Err("must list tenant, project, kind and month only"),
        }
    }
}

/// Which costs.
#[derive(Clone, Debug)]
pub struct Asked {
    /// From the month that has this day; `None`: from the first.
    pub from: Option<NaiveDate>,
    /// To the month that has this day, and with it; `None`: to the last.
    pub to: Option<NaiveDate>,
    /// Of the running month instead of the invoices.
    pub preview: bool,
    /// What by; none is one sum.
    pub by: Vec<Key>,
}

/// One group.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub struct Cost {
    /// `attributed`, `unattributed`, `tax`, `credit`.
    pub share: String,
    /// Whose; `None` also when not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
    /// The project of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_id: Option<Uuid>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_name: Option<String>,
    /// What.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The first day of the billed month.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<NaiveDate>,
    /// US dollars.
    pub amount: Decimal,
    /// How many lines.
    pub lines: i64,
}

/// The groups, in the order of their keys.
///
/// # Errors
/// [`ReadError`], whose text is for logs only.
pub async fn costs(pool: &Pool, scope: &Scope, asked: &Asked) -> Result<Page<Cost>, ReadError> {
    let by = |key| asked.by.contains(&key);
    // `attributed` depends on what is asked: by tenant, to a tenant; by project, to a project; else to a resource.
    let attributed = match (by(Key::Tenant), by(Key::Project)) {
        (true, _) => "tenant_id IS NOT NULL",
        (false, true) => "cloud_project_id IS NOT NULL",
        (false, false) => "cloud_resource_id IS NOT NULL",
    };
    let or_null = |asked: bool, expression: &'static str, kind: &str| {
        if asked {
            expression.to_owned()
        } else {
            format!("NULL::{kind}")
        }
    };
    let mut sql = QueryBuilder::new(
        "SELECT share, tenant_id, project_id, project_name, kind, month, \
        sum(amount) AS amount, count(*) AS lines FROM (SELECT CASE WHEN class IN ('tax', 'credit') THEN class WHEN ",
    );
    sql.push(attributed)
        .push(" THEN 'attributed' ELSE 'unattributed' END AS share");
    for (expression, name) in [
        (or_null(by(Key::Tenant), "tenant_id", "text"), "tenant_id"),
        (
            or_null(by(Key::Project), "cloud_project_id", "uuid"),
            "project_id",
        ),
        (
            or_null(by(Key::Project), "matched_project_name", "text"),
            "project_name",
        ),
        (or_null(by(Key::Kind), "kind", "text"), "kind"),
        (or_null(by(Key::Month), "period", "date"), "month"),
    ] {
        sql.push(", ").push(expression).push(" AS ").push(name);
    }
    // Who owned what then is looked up only if it is asked for.
    sql.push(if by(Key::Tenant) || by(Key::Project) {
        ", amount FROM cloud_ledger"
    } else {
        ", l.amount FROM cloud_cost_lines l JOIN cloud_invoices i ON i.id = cloud_invoice_id"
    });
    sql.push(" WHERE ");
    sql.push(if asked.preview { "preview" } else { "NOT preview" });
    for (comparison, day) in [(" AND period >= ", asked.from), (" AND period <= ", asked.to)] {
        if let Some(day) = day {
            sql.push(comparison).push_bind(month(day));
        }
    }
    sql.push(
        ") AS l GROUP BY share, tenant_id, project_id, project_name, kind, month \
             ORDER BY month, tenant_id NULLS LAST, project_name NULLS LAST, project_id, kind NULLS LAST, share",
        );
    page(pool, scope, sql, MOST_GROUPS).await
}
