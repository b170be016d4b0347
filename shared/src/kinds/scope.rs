//! Which scope a token of DigitalOcean's needs to list a kind: for whoever has to say what a token lacks.
//!
//! The runbook's table says the same by worker, and a test holds the two together. It decides nothing: what may be read
//! is what DigitalOcean answers 200 to.

use super::Kind;

/// The scope by its name in DigitalOcean's own list; of a kind that only projects' members tell of, that of projects.
pub fn scope_of(kind: &Kind) -> &'static str {
    match kind.name {
        "addon" => "addon:read",
        "alert_policy" => "monitoring:read",
        "app" => "app:read",
        "byoip_prefix" => "byoip_prefix:read",
        "cdn_endpoint" => "cdn:read",
        "certificate" => "certificate:read",
        "container_registry" => "registry:read",
        "custom_image" | "droplet_backup" => "image:read",
        "db_replica" | "managed_db" | "vector_db" => "database:read",
        "dedicated_inference" => "dedicated_inference:read",
        "dns_zone" => "domain:read",
        "autoscale_pool" | "droplet" => "droplet:read",
        "firewall" => "firewall:read",
        "floating_ip" | "reserved_ipv6" => "reserved_ip:read",
        "functions_namespace" => "function:admin",
        "genai_agent" | "knowledge_base" => "genai:read",
        "k8s_cluster" | "k8s_node_pool" => "kubernetes:read",
        "load_balancer" => "load_balancer:read",
        "nat_gateway" => "nat_gateway:read",
        "nfs_share" => "nfs:list",
        "partner_attachment" => "partner_network_connect:read",
        "snapshot" => "snapshot:read",
        "spaces_key" => "spaces_key:read",
        "ssh_key" => "ssh_key:read",
        "uptime_check" => "uptime:read",
        "volume" => "block_storage:read",
        "vpc" => "vpc:read",
        "vpc_peering" => "vpc_peering:read",
        _ => "project:read",
    }
}
