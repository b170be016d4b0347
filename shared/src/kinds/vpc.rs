//! VPC networks. Free; `default` is the region's own.

use super::{Attr, Kind, Listing, PLAIN};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static VPC: Kind = Kind {
    name: "vpc",
    urn_types: &["vpc"],
    listings: &[Listing::of(Collection::numbered("/v2/vpcs", "vpcs"))],
    by_id: Some("/v2/vpcs/{id}"),
    region_at: Some("region"),
    attrs: &[
        Attr::plain("ip_range"),
        Attr::plain("default"),
        Attr::plain("description"),
        Attr::instant("created_at"),
    ],
    ..PLAIN
};
