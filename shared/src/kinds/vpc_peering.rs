//! Peerings of two VPC networks.
//!
//! Which two is all there is to know of one.

use super::{Attr, Kind, Listing, PLAIN, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static VPC_PEERING: Kind = Kind {
    name: "vpc_peering",
    listings: &[Listing::of(Collection::numbered(
        "/v2/vpc_peerings",
        "vpc_peerings",
    ))],
    by_id: Some("/v2/vpc_peerings/{id}"),
    status: Status::At("status"),
    attrs: &[Attr::set("vpc_ids"), Attr::instant("created_at")],
    ..PLAIN
};
