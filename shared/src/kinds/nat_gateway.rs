//! NAT gateways of VPC networks. The item names its project.
//!
//! Left out: `updated_at`.

use super::{Attr, Kind, Listing, PLAIN, Shape, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static NAT_GATEWAY: Kind = Kind {
    name: "nat_gateway",
    listings: &[Listing::of(Collection::numbered(
        "/v2/vpc_nat_gateways",
        "vpc_nat_gateways",
    ))],
    by_id: Some("/v2/vpc_nat_gateways/{id}"),
    region_at: Some("region"),
    status: Status::At("state"),
    attrs: &[
        Attr::plain("project_id"),
        Attr::plain("type"),
        Attr::plain("size"),
        Attr::set_of("vpcs", &["vpc_uuid", "gateway_ip", "default_gateway"]),
        Attr::at(
            "public_gateways",
            "egresses.public_gateways",
            Shape::SetOf(&["ipv4"]),
        ),
        Attr::instant("created_at"),
    ],
    ..PLAIN
};
