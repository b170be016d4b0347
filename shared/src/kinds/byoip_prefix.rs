//! Address prefixes that were brought along (BYOIP). The item names its project.
//!
//! Left out: `locked`, validations.

use super::{Attr, Kind, Listing, PLAIN, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static BYOIP_PREFIX: Kind = Kind {
    name: "byoip_prefix",
    listings: &[Listing::of(Collection::numbered(
        "/v2/byoip_prefixes",
        "byoip_prefixes",
    ))],
    by_id: Some("/v2/byoip_prefixes/{id}"),
    id: "uuid",
    name_at: &["name", "prefix"],
    region_at: Some("region"),
    status: Status::At("status"),
    attrs: &[
        Attr::plain("project_id"),
        Attr::plain("prefix"),
        Attr::plain("advertised"),
        Attr::plain("failure_reason"),
    ],
    ..PLAIN
};
