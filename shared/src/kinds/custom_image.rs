//! Custom images: uploaded ones, billed by size.
//!
//! In one list with snapshots and backups, which are other kinds; public images are not listed at all.

use super::{Attr, Holds, Kind, Listing, PLAIN, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static CUSTOM_IMAGE: Kind = Kind {
    name: "custom_image",
    listings: &[Listing {
        collection: Collection::chosen("/v2/images", &[("private", "true")], "images"),
        holds: Holds::Only {
            field: "type",
            value: "custom",
        },
    }],
    by_id: Some("/v2/images/{id}"),
    region_at: Some("regions"),
    status: Status::At("status"),
    tags_at: Some("tags"),
    attrs: &[
        Attr::plain("distribution"),
        Attr::plain("description"),
        Attr::set("regions"),
        Attr::plain("min_disk_size"),
        Attr::plain("size_gigabytes"),
        Attr::plain("error_message"),
        Attr::instant("created_at"),
    ],
    ..PLAIN
};
