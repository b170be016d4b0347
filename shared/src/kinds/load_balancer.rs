//! Load balancers: regional, network and global ones (these have no region).
//!
//! Billed by `size_unit`, or by `size` in the three regions that never got units. Left out: the droplets behind it where a
//! tag chooses them, everything of the region but its slug. A Kubernetes cluster's own balancer is not told from others by
//! anything in the item: without a tag, its droplets change, and make events, as the cluster's workers do.

use super::{Attr, Kind, Listing, PLAIN, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static LOAD_BALANCER: Kind = Kind {
    name: "load_balancer",
    urn_types: &["loadbalancer"],
    listings: &[Listing::of(Collection::numbered(
        "/v2/load_balancers",
        "load_balancers",
    ))],
    by_id: Some("/v2/load_balancers/{id}"),
    region_at: Some("region.slug"),
    status: Status::At("status"),
    attrs: &[
        Attr::plain("project_id"),
        Attr::plain("ip"),
        Attr::plain("ipv6"),
        Attr::plain("size"),
        Attr::plain("size_unit"),
        Attr::plain("type"),
        Attr::plain("network"),
        Attr::plain("algorithm"),
        Attr::plain("tag"),
        Attr::set("droplet_ids").unless("tag"),
        Attr::set_of(
            "forwarding_rules",
            &[
                "entry_protocol",
                "entry_port",
                "target_protocol",
                "target_port",
                "certificate_id",
                "tls_passthrough",
            ],
        ),
        Attr::only(
            "health_check",
            &["protocol", "port", "path", "check_interval_seconds"],
        ),
        Attr::only("sticky_sessions", &["type", "cookie_name", "cookie_ttl_seconds"]),
        Attr::plain("redirect_http_to_https"),
        Attr::plain("enable_proxy_protocol"),
        Attr::plain("enable_backend_keepalive"),
        Attr::plain("vpc_uuid"),
        Attr::instant("created_at"),
    ],
    in_projects: true,
    ..PLAIN
};
