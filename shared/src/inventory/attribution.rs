//! Whose a resource is, and by which rule.
//!
//! The ladder, best first: the operator's own word; the item's project id; membership in a project; the
//! parent; the bootstrap project. A worker that syncs one kind climbs as far as it can see, and never takes
//! away what it cannot see: it does not blank an attribution, and leaves the operator's word alone. The
//! fallback needs the knowledge that a thing is in *no* project, which only a complete membership pass has.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::Error;
use super::plan::Row;
use crate::kinds::{PROVIDER, Sighting};

/// Which rung of the ladder decided; the order is the ladder's, worst first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Nobody's.
    #[default]
    None,
    /// In no project: the bootstrap project's.
    Fallback,
    /// Its parent's.
    Parent,
    /// Listed as a member of a project.
    Membership,
    /// The item itself names its project.
    Item,
    /// The operator said so.
    Operator,
}

impl Rule {
    const ALL: [Rule; 6] = [
        Rule::None,
        Rule::Fallback,
        Rule::Parent,
        Rule::Membership,
        Rule::Item,
        Rule::Operator,
    ];

    /// The word in the database and the API.
    pub fn name(self) -> &'static str {
        match self {
            Rule::None => "none",
            Rule::Fallback => "fallback",
            Rule::Parent => "parent",
            Rule::Membership => "membership",
            Rule::Item => "item",
            Rule::Operator => "operator",
        }
    }

    /// The rule with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }
}

/// Project and tenant of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attribution {
    /// Its project, if any.
    pub cloud_project_id: Option<Uuid>,
    /// Its tenant, if any.
    pub tenant_id: Option<String>,
    /// What decided.
    pub rule: Rule,
}

impl Attribution {
    /// This attribution after a worker has found another one, or none.
    pub fn revised(&self, found: Option<&Attribution>) -> Attribution {
        match found {
            Some(found)
                if self.rule != Rule::Operator
                    && found.rule != Rule::None
                    && (found.rule > Rule::Fallback || self.rule <= Rule::Fallback) =>
            {
                found.clone()
            }
            _ => self.clone(),
        }
    }
}

/// What a thing says about itself; what it leaves unsaid now is what it said before.
pub(super) struct Claim<'a> {
    pub(super) provider_id: &'a str,
    pub(super) project_id: Option<String>,
    pub(super) parent: Option<(String, String)>,
}

impl<'a> Claim<'a> {
    pub(super) fn of(sighting: &'a Sighting, stored: Option<&'a Row>) -> Self {
        let before = stored.and_then(|row| row.content.as_ref());
        let said = |key: &str| {
            let now = sighting.attrs.get(key);
            now.or_else(|| before.and_then(|content| content.attrs.get(key).cloned()))
        };
        let parent = said("parent").and_then(|parent| {
            let text = |key: &str| parent.get(key).and_then(Value::as_str).map(str::to_owned);
            Some((text("kind")?, text("id")?))
        });
        let project_id = said("project_id").and_then(|id| id.as_str().map(str::to_owned));
        Self {
            provider_id: &sighting.provider_id,
            project_id,
            parent,
        }
    }
}

/// What the ladder says about these things, by provider id; things it says nothing about are left out. The rungs are
/// those of `membership::reattribute`, which climbs them for rows.
pub(super) async fn resolve(
    door: &mut Transaction<'_, Postgres>,
    kind: &str,
    claims: &[Claim<'_>],
) -> Result<BTreeMap<String, Attribution>, Error> {
    let ids: Vec<&str> = claims.iter().map(|claim| claim.provider_id).collect();
    let projects: Vec<Option<&str>> = claims.iter().map(|claim| claim.project_id.as_deref()).collect();
    let parents = || claims.iter().map(|claim| claim.parent.as_ref());
    let parent_kinds: Vec<Option<&str>> = parents().map(|parent| Some(&*parent?.0)).collect();
    let parents: Vec<Option<&str>> = parents().map(|parent| Some(&*parent?.1)).collect();
    let found = sqlx::query!(
        r#"SELECT t.provider_id AS "provider_id!", want.project, want.tenant, want.rule AS "rule!"
           FROM unnest($3::text[], $4::text[], $5::text[], $6::text[]) AS t(provider_id, project_id, parent_kind, parent_id)
           LEFT JOIN cloud_projects item
                ON item.provider = $1 AND item.provider_id = t.project_id AND item.deleted_at IS NULL
           LEFT JOIN cloud_project_members m
                ON m.provider = $1 AND m.kind = $2 AND m.provider_id = t.provider_id
           LEFT JOIN cloud_projects member ON member.id = m.cloud_project_id AND member.deleted_at IS NULL
           LEFT JOIN cloud_resources parent
                ON parent.provider = $1 AND parent.kind = t.parent_kind AND parent.provider_id = t.parent_id
                   AND parent.attribution <> 'none'
           LEFT JOIN cloud_projects its ON its.id = parent.cloud_project_id AND parent.attribution <> 'operator'
           CROSS JOIN LATERAL (SELECT
                CASE WHEN item.id IS NOT NULL THEN item.id WHEN member.id IS NOT NULL THEN member.id
                     ELSE parent.cloud_project_id END AS project,
                CASE WHEN item.id IS NOT NULL THEN item.tenant_id WHEN member.id IS NOT NULL THEN member.tenant_id
                     WHEN its.id IS NOT NULL THEN its.tenant_id ELSE parent.tenant_id END AS tenant,
                CASE WHEN item.id IS NOT NULL THEN 'item' WHEN member.id IS NOT NULL THEN 'membership'
                     WHEN parent.id IS NOT NULL THEN 'parent' END AS rule) want
           WHERE want.rule IS NOT NULL"#,
        PROVIDER,
        kind,
        &ids as _,
        &projects as _,
        &parent_kinds as _,
        &parents as _
    )
    .fetch_all(&mut **door)
    .await?;
    let mut attributions = BTreeMap::new();
    for row in found {
        let Some(rule) = Rule::named(&row.rule) else {
            continue;
        };
        let attribution = Attribution {
            cloud_project_id: row.project,
            tenant_id: row.tenant,
            rule,
        };
        attributions.insert(row.provider_id, attribution);
    }
    Ok(attributions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(rule: Rule, tenant: Option<&str>) -> Attribution {
        Attribution {
            cloud_project_id: None,
            tenant_id: tenant.map(str::to_owned),
            rule,
        }
    }

    #[test]
    fn a_worker_neither_blanks_nor_overrules() {
        let (none, fallback) = (by(Rule::None, None), by(Rule::Fallback, None));
        let (member, other) = (by(Rule::Membership, Some("a")), by(Rule::Item, Some("b")));
        let operator = by(Rule::Operator, Some("c"));
        for (before, found, after) in [
            (&none, None, &none),
            (&none, Some(&member), &member),
            (&none, Some(&fallback), &fallback),
            (&fallback, Some(&member), &member),
            (&member, None, &member),
            (&member, Some(&none), &member),
            (&member, Some(&fallback), &member),
            (&member, Some(&other), &other),
            (&operator, None, &operator),
            (&operator, Some(&member), &operator),
            (&operator, Some(&other), &operator),
        ] {
            assert_eq!(&before.revised(found), after, "{before:?} and {found:?}");
        }
    }

    #[test]
    fn names_read_back() {
        for rule in Rule::ALL {
            assert_eq!(Rule::named(rule.name()), Some(rule));
        }
    }
}
