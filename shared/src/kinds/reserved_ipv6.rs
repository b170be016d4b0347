//! Reserved IPv6 addresses. The address, colons and all, is the id.
//!
//! Left out: everything of the droplet but its id.

use super::{Attr, Kind, Listing, PLAIN, Parent, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static RESERVED_IPV6: Kind = Kind {
    name: "reserved_ipv6",
    urn_types: &["reservedipv6"],
    listings: &[Listing::of(Collection::numbered(
        "/v2/reserved_ipv6",
        "reserved_ipv6s",
    ))],
    by_id: Some("/v2/reserved_ipv6/{id}"),
    id: "ip",
    name_at: &["ip"],
    region_at: Some("region_slug"),
    status: Status::If {
        at: "droplet",
        yes: "assigned",
        no: "unassigned",
    },
    parents: &[Parent::At {
        kind: "droplet",
        at: "droplet.id",
    }],
    attrs: &[Attr::instant("reserved_at")],
    reuses_ids: true,
    ..PLAIN
};
