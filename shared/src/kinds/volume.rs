//! Volumes: block storage that droplets mount.
//!
//! DigitalOcean has no status for one: it is attached or not, by its droplets (one at most). Billed by size, attached or
//! not. Left out, because they change by themselves: everything of the region but its slug.

use super::{Attr, Kind, Listing, PLAIN, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static VOLUME: Kind = Kind {
    name: "volume",
    urn_types: &["volume"],
    listings: &[Listing::of(Collection::numbered("/v2/volumes", "volumes"))],
    by_id: Some("/v2/volumes/{id}"),
    region_at: Some("region.slug"),
    status: Status::If {
        at: "droplet_ids",
        yes: "attached",
        no: "detached",
    },
    tags_at: Some("tags"),
    attrs: &[
        Attr::plain("size_gigabytes"),
        Attr::plain("description"),
        Attr::plain("filesystem_type"),
        Attr::plain("filesystem_label"),
        Attr::set("droplet_ids"),
        Attr::instant("created_at"),
    ],
    in_projects: true,
    ..PLAIN
};
