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

use crate::kinds::{Kind, PROVIDER, Sighting};

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

/// What the ladder says about these things, by provider id; things it says nothing about are left out.
pub(super) async fn resolve(
    door: &mut Transaction<'_, Postgres>,
    kind: &'static Kind,
    sightings: &[Sighting],
) -> Result<BTreeMap<String, Attribution>, sqlx::Error> {
    let ids: Vec<&str> = sightings
        .iter()
        .map(|sighting| sighting.provider_id.as_str())
        .collect();
    let members = sqlx::query!(
        "SELECT m.provider_id, p.id, p.tenant_id
         FROM cloud_project_members m JOIN cloud_projects p ON p.id = m.cloud_project_id
         WHERE m.provider = $1 AND m.kind = $2 AND m.provider_id = ANY($3::text[]) AND p.deleted_at IS NULL",
        PROVIDER,
        kind.name,
        &ids as _
    )
    .fetch_all(&mut **door)
    .await?;
    let mut found: BTreeMap<String, Attribution> = members
        .into_iter()
        .map(|m| {
            let attribution = Attribution {
                cloud_project_id: Some(m.id),
                tenant_id: m.tenant_id,
                rule: Rule::Membership,
            };
            (m.provider_id, attribution)
        })
        .collect();
    let named: Vec<(&Sighting, &str)> = sightings
        .iter()
        .filter_map(|s| Some((s, s.attrs.get("project_id").and_then(Value::as_str)?)))
        .collect();
    if !named.is_empty() {
        let wanted: Vec<&str> = named.iter().map(|(_, project)| *project).collect();
        let projects = sqlx::query!(
            "SELECT provider_id, id, tenant_id FROM cloud_projects
             WHERE provider = $1 AND provider_id = ANY($2::text[]) AND deleted_at IS NULL",
            PROVIDER,
            &wanted as _
        )
        .fetch_all(&mut **door)
        .await?;
        let projects: BTreeMap<_, _> = projects
            .into_iter()
            .map(|p| (p.provider_id, (p.id, p.tenant_id)))
            .collect();
        for (sighting, project) in named {
            if let Some((id, tenant)) = projects.get(project) {
                let attribution = Attribution {
                    cloud_project_id: Some(*id),
                    tenant_id: tenant.clone(),
                    rule: Rule::Item,
                };
                found.insert(sighting.provider_id.clone(), attribution);
            }
        }
    }
    Ok(found)
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
