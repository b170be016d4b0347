//! Which project each resource is in.
//!
//! A resource (a URN) is in exactly one project; a project's rows keep the order of assignment, and moving
//! puts a row at the end. A destroyed member may linger as `not_found`. Used by `World` under the lock.
//! It knows nothing of scopes or HTTP.

use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub project: String,
    pub assigned_at: String,
    /// `ok`, `not_found`, `service_down`.
    pub status: String,
    /// Where `links.self` points, if not at our own GET by id (a bucket's address).
    pub link: Option<String>,
    order: i64,
}

#[derive(Debug, Default)]
pub struct Members {
    by_urn: BTreeMap<String, Member>,
    by_project: BTreeMap<String, BTreeMap<i64, String>>,
    front: i64,
    back: i64,
}

impl Members {
    /// File a resource; true if it was there already.
    pub fn assign(&mut self, urn: &str, project: &str, assigned_at: &str, front: bool) -> bool {
        let link = match self.by_urn.get(urn) {
            Some(old) if old.project == project => return true,
            Some(old) => old.link.clone(),
            None => None,
        };
        self.remove(urn);
        let order = if front {
            self.front -= 1;
            self.front
        } else {
            self.back += 1;
            self.back
        };
        let (project, status) = (project.to_owned(), "ok".to_owned());
        self.by_project
            .entry(project.clone())
            .or_default()
            .insert(order, urn.to_owned());
        let member = Member {
            project,
            assigned_at: assigned_at.to_owned(),
            status,
            link,
            order,
        };
        self.by_urn.insert(urn.to_owned(), member);
        false
    }

    pub fn get(&self, urn: &str) -> Option<&Member> {
        self.by_urn.get(urn)
    }

    pub fn get_mut(&mut self, urn: &str) -> Option<&mut Member> {
        self.by_urn.get_mut(urn)
    }

    pub fn remove(&mut self, urn: &str) {
        if let Some(old) = self.by_urn.remove(urn)
            && let Some(rows) = self.by_project.get_mut(&old.project)
        {
            rows.remove(&old.order);
        }
    }

    /// A project's rows in order.
    pub fn of(&self, project: &str) -> impl Iterator<Item = (&String, &Member)> {
        let rows = self
            .by_project
            .get(project)
            .into_iter()
            .flat_map(BTreeMap::values);
        rows.filter_map(|urn| Some((urn, self.by_urn.get(urn)?)))
    }

    /// Everything, by URN.
    pub fn all(&self) -> impl Iterator<Item = (&String, &Member)> {
        self.by_urn.iter()
    }
}
