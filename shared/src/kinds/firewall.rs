//! Cloud firewalls. In no project: whose one is an operator says.
//!
//! `waiting` passes by itself, so it is no status. Left out: pending changes, and the droplets where tags choose them.

use super::{Attr, Kind, Listing, PLAIN, Shape, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static FIREWALL: Kind = Kind {
    name: "firewall",
    urn_types: &["firewall"],
    listings: &[Listing::of(Collection::numbered("/v2/firewalls", "firewalls"))],
    by_id: Some("/v2/firewalls/{id}"),
    status: Status::Settled("status", &["waiting"]),
    attrs: &[
        Attr::set_of("inbound_rules", &["protocol", "ports", "sources"]),
        Attr::set_of("outbound_rules", &["protocol", "ports", "destinations"]),
        Attr::set("droplet_ids").unless("tags"),
        Attr::at("target_tags", "tags", Shape::Set),
        Attr::instant("created_at"),
    ],
    ..PLAIN
};
