//! Partner attachments: private lines into VPC networks.
//!
//! Keys of the session with the partner are not listed, and the address plan is kept because it is what breaks.

use super::{Attr, Kind, Listing, PLAIN, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static PARTNER_ATTACHMENT: Kind = Kind {
    name: "partner_attachment",
    urn_types: &["partner_attachment"],
    listings: &[Listing::of(Collection::numbered(
        "/v2/partner_network_connect/attachments",
        "partner_attachments",
    ))],
    by_id: Some("/v2/partner_network_connect/attachments/{id}"),
    region_at: Some("region"),
    status: Status::At("state"),
    attrs: &[
        Attr::plain("connection_bandwidth_in_mbps"),
        Attr::plain("naas_provider"),
        Attr::set("vpc_ids"),
        Attr::only(
            "bgp",
            &["local_asn", "local_router_ip", "peer_asn", "peer_router_ip"],
        ),
        Attr::instant("created_at"),
    ],
    ..PLAIN
};
