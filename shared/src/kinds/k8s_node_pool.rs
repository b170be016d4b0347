//! Node pools of Kubernetes clusters, listed inside their cluster.
//!
//! What is billed under a cluster is its pools' nodes. Left out: the nodes, which are droplets, and their number where the
//! cluster's autoscaler sets it.

use super::{Attr, Holds, Kind, Listing, PLAIN, Parent};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static K8S_NODE_POOL: Kind = Kind {
    name: "k8s_node_pool",
    listings: &[Listing {
        collection: Collection::numbered("/v2/kubernetes/clusters", "kubernetes_clusters"),
        holds: Holds::Inside("node_pools"),
    }],
    by_id: Some("/v2/kubernetes/clusters/{parent}/node_pools/{id}"),
    tags_at: Some("tags"),
    parents: &[Parent::Outer { kind: "k8s_cluster" }],
    attrs: &[
        Attr::plain("size"),
        Attr::plain("count").unless("auto_scale"),
        Attr::plain("auto_scale"),
        Attr::plain("min_nodes"),
        Attr::plain("max_nodes"),
        Attr::set_of("taints", &["key", "value", "effect"]),
        Attr::plain("labels"),
    ],
    ..PLAIN
};
