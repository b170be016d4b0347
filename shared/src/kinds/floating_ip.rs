//! Floating IPs, which DigitalOcean calls reserved IPs since 2022: projects and invoices keep the old name.
//!
//! The address is the id. DigitalOcean has no status and no date for one: it is assigned or not, and costs only while it is
//! not. Left out: everything of the droplet but its id, `locked`, everything of the region but its slug.

use super::{Attr, Kind, Listing, PLAIN, Parent, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static FLOATING_IP: Kind = Kind {
    name: "floating_ip",
    urn_types: &["floatingip", "reservedip"],
    listings: &[Listing::of(Collection::numbered(
        "/v2/reserved_ips",
        "reserved_ips",
    ))],
    by_id: Some("/v2/reserved_ips/{id}"),
    id: "ip",
    name_at: &["ip"],
    region_at: Some("region.slug"),
    status: Status::If {
        at: "droplet",
        yes: "assigned",
        no: "unassigned",
    },
    parents: &[Parent::At {
        kind: "droplet",
        at: "droplet.id",
    }],
    attrs: &[Attr::plain("project_id")],
    in_projects: true,
    reuses_ids: true,
    ..PLAIN
};
