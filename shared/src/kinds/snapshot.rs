//! Snapshots of droplets and of volumes: what stays, and costs, when the original is gone.
//!
//! Listed apart by `resource_type`; the id is a number for droplets' and a UUID for volumes'. The same number is an image's
//! id in `/v2/images`, which the mirror does not read for these. A snapshot is in no project: it follows the droplet or
//! volume it was made of, even when only the tombstone of that is left.

use super::{Attr, Kind, Listing, PLAIN, Parent};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static SNAPSHOT: Kind = Kind {
    name: "snapshot",
    urn_types: &["image", "volumesnapshot"],
    listings: &[
        Listing::of(Collection::chosen(
            "/v2/snapshots",
            &[("resource_type", "droplet")],
            "snapshots",
        )),
        Listing::of(Collection::chosen(
            "/v2/snapshots",
            &[("resource_type", "volume")],
            "snapshots",
        )),
    ],
    by_id: Some("/v2/snapshots/{id}"),
    region_at: Some("regions"),
    tags_at: Some("tags"),
    parents: &[
        Parent::When {
            field: "resource_type",
            value: "droplet",
            kind: "droplet",
            at: "resource_id",
        },
        Parent::When {
            field: "resource_type",
            value: "volume",
            kind: "volume",
            at: "resource_id",
        },
    ],
    attrs: &[
        Attr::plain("resource_type"),
        Attr::plain("resource_id"),
        Attr::set("regions"),
        Attr::plain("min_disk_size"),
        Attr::plain("size_gigabytes"),
        Attr::instant("created_at"),
    ],
    ..PLAIN
};
