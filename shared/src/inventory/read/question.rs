//! A question to the inventory, and the SQL that asks it.
//!
//! Pure. Conditions are joined only where the caller gave them (`$1 IS NULL OR …` would lose the index), values
//! are bound and never written into the text, and a page begins behind the last row of the one before: rows are
//! never counted off. Each order has an index, and so has each filter. A tenant's plans begin with the tenant: what
//! it asks costs what it owns, and how long that takes tells nothing of anybody else's things.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::auth::Scope;
use crate::kinds::PROVIDER;

/// Which resources; every condition must hold. Values are what the caller wrote, checked for form by the edge.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Exactly this kind.
    pub kind: Option<String>,
    /// Exactly this status.
    pub status: Option<String>,
    /// Exactly this region.
    pub region: Option<String>,
    /// In this project of ours.
    pub project_id: Option<Uuid>,
    /// Owned by this tenant. Narrows the scope, never widens it.
    pub tenant_id: Option<String>,
    /// Attributed by this rule.
    pub attribution: Option<String>,
    /// Has this tag.
    pub tag: Option<String>,
    /// The name begins with this, whatever the case, or this is the provider's id.
    pub q: Option<String>,
    /// Changed at or after this moment.
    pub updated_since: Option<DateTime<Utc>>,
    /// Tombstones too.
    pub include_deleted: bool,
    /// As things were at this moment, instead of now. Every other condition is about then, too.
    pub as_of: Option<DateTime<Utc>>,
}

/// What a listing is sorted by; the id breaks ties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Key {
    /// The order of discovery.
    #[default]
    Id,
    /// The name, whatever its case.
    Name,
    /// The last meaningful change.
    UpdatedAt,
}

/// The order of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub key: Key,
    /// From the greatest down.
    pub descending: bool,
}

impl FromStr for Sort {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (descending, key) = text.strip_prefix('-').map_or((false, text), |key| (true, key));
        let key = match key {
            "id" => Key::Id,
            "name" => Key::Name,
            "updated_at" => Key::UpdatedAt,
            _ => return Err("must be id, name or updated_at, with a - before it for descending order"),
        };
        Ok(Self { key, descending })
    }
}

/// The value of the sort key in the last row of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Sorted by id alone.
    Id,
    /// A name as it is stored; the database folds its case.
    Name(String),
    /// A moment.
    UpdatedAt(DateTime<Utc>),
}

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The sort key there.
    pub place: Place,
    /// The id there.
    pub id: Uuid,
}

/// An item of now, as an operator sees it.
pub(crate) const ITEM: &str = "SELECT id, kind, provider, provider_id, name, region, status, tags, attrs, \
     cloud_project_id AS project_id, tenant_id, attribution, version, first_seen_at, last_seen_at, \
     stale_strike_count, deleted_at, updated_at FROM cloud_inventory";

/// The longest page that a plan is kept for: see [`query`]. The edge allows no longer ones.
const LONGEST_PAGE: usize = 500;

impl Filter {
    /// Whether it leaves out nothing but tombstones, and is of now.
    fn is_everything(&self) -> bool {
        let Self {
            kind,
            status,
            region,
            project_id,
            tenant_id,
            attribution,
            tag,
            q,
            updated_since,
            include_deleted: _,
            as_of,
        } = self;
        let texts = [kind, status, region, tenant_id, attribution, tag, q];
        let moments = [updated_since, as_of];
        texts.iter().all(|text| text.is_none())
            && moments.iter().all(|moment| moment.is_none())
            && project_id.is_none()
    }
}

/// Everything that an item has, of now or of a past moment. A tenant is not shown the provider's own project.
/// `before` stands before it.
pub(super) fn items(before: &str, scope: &Scope, as_of: Option<DateTime<Utc>>) -> QueryBuilder<Postgres> {
    let (columns, table) = ITEM.split_once(" FROM ").unwrap_or((ITEM, ""));
    let columns = match scope.is_operator() {
        true => columns.to_owned(),
        false => columns.replace(" attrs,", " attrs - 'project_id' AS attrs,"),
    };
    let mut sql = QueryBuilder::new(before);
    sql.push(columns).push(" FROM ");
    match (as_of, scope.tenant()) {
        (None, _) => sql.push(table),
        (Some(moment), None) => sql
            .push("cloud_inventory_at(")
            .push_bind(moment)
            .push(") AS inventory"),
        (Some(moment), Some(tenant)) => sql
            .push("own_inventory_at(")
            .push_bind(moment)
            .push(", ")
            .push_bind(tenant.to_owned())
            .push(") AS inventory"),
    };
    sql
}

/// The query of one page: only the conditions that were asked for, one row more than the page holds.
///
/// How many that is, is a parameter. A plan for any number would take a tenth of everything for it, look dear beside the
/// plan for this number, and never be kept: every page would be planned anew, which takes longer than finding its rows.
/// So Postgres is told within the question that no page is long. Only where nothing is filtered: the plan for any
/// status would be no good for a rare one.
pub(super) fn query(
    scope: &Scope,
    filter: &Filter,
    sort: Sort,
    after: Option<&Position>,
    limit: usize,
) -> QueryBuilder<Postgres> {
    let kept = filter.is_everything() && limit <= LONGEST_PAGE;
    let mut sql = items(if kept { "SELECT * FROM (" } else { "" }, scope, filter.as_of);
    sql.push(if filter.include_deleted {
        " WHERE true"
    } else {
        " WHERE deleted_at IS NULL"
    });
    // The scope's tenant comes first and by itself: a filter can only take away from it.
    for tenant in [scope.tenant(), filter.tenant_id.as_deref()]
        .into_iter()
        .flatten()
    {
        sql.push(" AND tenant_id = ").push_bind(tenant.to_owned());
    }
    if let Some(kind) = &filter.kind {
        sql.push(" AND kind = ").push_bind(kind.clone());
    }
    for (column, value) in [
        ("status", &filter.status),
        ("region", &filter.region),
        ("attribution", &filter.attribution),
    ] {
        if let Some(value) = value {
            equals(&mut sql, scope, column).push_bind(value.clone());
        }
    }
    if let Some(project) = filter.project_id {
        equals(&mut sql, scope, "cloud_project_id").push_bind(project);
    }
    if let Some(tag) = &filter.tag {
        sql.push(" AND tags @> ").push_bind(vec![tag.clone()]);
    }
    // Folded, as a column that indexes hold (migrations 11 and 15); of a past moment there is none.
    let name = match filter.as_of {
        None => "name_key",
        Some(_) => r#"lower(name) COLLATE "C""#,
    };
    if let Some(q) = &filter.q {
        sql.push(format!(" AND ({name} LIKE lower("))
            .push_bind(prefix_pattern(q));
        sql.push(") OR provider = ").push_bind(PROVIDER);
        sql.push(" AND provider_id = ").push_bind(q.clone()).push(")");
    }
    if let Some(moment) = filter.updated_since {
        sql.push(" AND updated_at >= ").push_bind(moment);
    }
    let key = match sort.key {
        Key::Id => String::new(),
        Key::Name => format!("{name}, "),
        Key::UpdatedAt => "updated_at, ".to_owned(),
    };
    if let Some(position) = after {
        beyond(&mut sql, &key, sort.descending, position);
    }
    let key = key.replace(", ", if sort.descending { " DESC, " } else { ", " });
    sql.push(format!(" ORDER BY {key}id"));
    if sort.descending {
        sql.push(" DESC");
    }
    if kept {
        sql.push(format!(" LIMIT {}) AS page", LONGEST_PAGE + 1));
    }
    one_more(&mut sql, limit);
    sql
}

/// Behind the last row of the page before. Not `(tenant_id, …)` for a tenant: next to `tenant_id = …` an index would begin
/// at the tenant's first row and compare its way to the place. Near the end of everything the primary key may so be the
/// shorter way, past the few rows of others that are left.
fn beyond(sql: &mut QueryBuilder<Postgres>, key: &str, descending: bool, last: &Position) {
    let than = if descending { '<' } else { '>' };
    sql.push(format!(" AND ({key}id) {than} ("));
    match &last.place {
        Place::Id => (),
        Place::Name(name) => {
            sql.push("lower(")
                .push_bind(name.clone())
                .push(r#") COLLATE "C", "#);
        }
        Place::UpdatedAt(moment) => {
            sql.push_bind(*moment).push(", ");
        }
    }
    sql.push_bind(last.id).push(")");
}

/// `AND column =`. A tenant's is written as the least of one column, which no index serves: these columns have indexes
/// of everybody's rows only, and a plan that began there would depend on what others own.
fn equals<'s>(
    sql: &'s mut QueryBuilder<Postgres>,
    scope: &Scope,
    column: &str,
) -> &'s mut QueryBuilder<Postgres> {
    match scope.is_operator() {
        true => sql.push(format!(" AND {column} = ")),
        false => sql.push(format!(" AND LEAST({column}) = ")),
    }
}

/// One row more than the page holds: whether there is another page.
pub(super) fn one_more(sql: &mut QueryBuilder<Postgres>, limit: usize) {
    sql.push(" LIMIT ")
        .push_bind(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));
}

/// A LIKE pattern for "begins with exactly this": the caller's own % and _ mean themselves.
fn prefix_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        if matches!(character, '\\' | '%' | '_') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_means_itself() {
        for (text, pattern) in [
            ("web", "web%"),
            ("50%", "50\\%%"),
            ("a_b", "a\\_b%"),
            ("c\\d", "c\\\\d%"),
            ("", "%"),
        ] {
            assert_eq!(prefix_pattern(text), pattern);
        }
    }

    #[test]
    fn only_the_listed_orders_are_known() {
        let sort = |text: &str| text.parse::<Sort>();
        assert_eq!(sort("id"), Ok(Sort::default()));
        assert_eq!(
            sort("-name"),
            Ok(Sort {
                key: Key::Name,
                descending: true
            })
        );
        assert_eq!(
            sort("updated_at"),
            Ok(Sort {
                key: Key::UpdatedAt,
                descending: false
            })
        );
        for text in ["", "-", "--id", "ID", "attrs", "id desc", "id,name", "+id"] {
            assert!(sort(text).is_err(), "{text:?}");
        }
    }
}
