//! Projects: how DigitalOcean groups things, and where we say whose they are.
//!
//! Not in the catalogue, because a project is no resource: it has a table of its own. It is listed, read,
//! struck and proven like one, and so it is described like one. Left out: `updated_at`, which moves whenever
//! anything is assigned, and the ids of the project's owner.

use std::borrow::Cow;

use super::{Attr, Kind, Listing, PLAIN, segment};
use crate::digitalocean::listing::{Collection, Paging};

/// The kind.
pub static PROJECT: Kind = Kind {
    name: "project",
    listings: &[Listing::of(Collection::numbered("/v2/projects", "projects"))],
    by_id: Some("/v2/projects/{id}"),
    attrs: &[
        Attr::plain("description"),
        Attr::plain("purpose"),
        Attr::plain("environment"),
        Attr::plain("is_default"),
    ],
    ..PLAIN
};

/// The members of one project.
pub fn members_of(provider_id: &str) -> Collection {
    Collection {
        path: Cow::Owned(format!(
            "/v2/projects/{}/resources",
            segment(provider_id).unwrap_or_default()
        )),
        query: &[],
        root: "resources",
        paging: Paging::Numbered,
    }
}
