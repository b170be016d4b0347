//! Kubernetes clusters (DOKS). Their workers are droplets besides, tagged with the cluster's id.
//!
//! Left out, because they change by themselves: `updated_at`, the status message, nodes. Node pools are kinds of their own.

use super::{Attr, Kind, Listing, PLAIN, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static K8S_CLUSTER: Kind = Kind {
    name: "k8s_cluster",
    urn_types: &["kubernetes"],
    listings: &[Listing::of(Collection::numbered(
        "/v2/kubernetes/clusters",
        "kubernetes_clusters",
    ))],
    by_id: Some("/v2/kubernetes/clusters/{id}"),
    region_at: Some("region"),
    status: Status::At("status.state"),
    tags_at: Some("tags"),
    attrs: &[
        Attr::plain("version"),
        Attr::plain("ha"),
        Attr::plain("auto_upgrade"),
        Attr::plain("surge_upgrade"),
        Attr::plain("registry_enabled"),
        Attr::plain("vpc_uuid"),
        Attr::plain("cluster_subnet"),
        Attr::plain("service_subnet"),
        Attr::plain("ipv4"),
        Attr::plain("endpoint"),
        Attr::set_of("node_pools", &["id", "name", "size"]),
        Attr::only("maintenance_policy", &["day", "start_time"]),
        Attr::only("control_plane_firewall", &["enabled", "allowed_addresses"]),
        Attr::instant("created_at"),
    ],
    in_projects: true,
    ..PLAIN
};
