//! Automated backups of droplets. The whole set rotates: old ids vanish and new ones appear, by design.
//!
//! They are images of type `backup`; asking every droplet for its own would cost a request each. An image does not say
//! which droplet it is of: the droplets do (`backup_ids`). Snapshots and custom images of the same list are other kinds.

use super::{Attr, Holds, Kind, Listing, PLAIN, Parent, Status, droplet};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static DROPLET_BACKUP: Kind = Kind {
    name: "droplet_backup",
    listings: &[Listing {
        collection: Collection::chosen("/v2/images", &[("private", "true")], "images"),
        holds: Holds::Only {
            field: "type",
            value: "backup",
        },
    }],
    by_id: Some("/v2/images/{id}"),
    region_at: Some("regions"),
    status: Status::At("status"),
    tags_at: Some("tags"),
    parents: &[Parent::Names {
        kind: &droplet::DROPLET,
        list: "backup_ids",
    }],
    attrs: &[
        Attr::plain("distribution"),
        Attr::set("regions"),
        Attr::plain("min_disk_size"),
        Attr::plain("size_gigabytes"),
        Attr::instant("created_at"),
    ],
    ..PLAIN
};
