//! The files in `fixtures/`, compiled in: every collection of the account.
//!
//! A collection that borrows a catalogue comes after the one it borrows from, and one whose items of the
//! default scenario name others comes after those. It refuses to read anything at run time: the program is
//! one file.

/// Every collection, projects first (the others are filed into them).
pub const FIXTURES: &[&str] = &[
    include_str!("../fixtures/projects.json"),
    include_str!("../fixtures/droplets.json"),
    include_str!("../fixtures/images.json"),
    include_str!("../fixtures/volumes.json"),
    include_str!("../fixtures/snapshots.json"),
    include_str!("../fixtures/reserved_ips.json"),
    include_str!("../fixtures/reserved_ipv6.json"),
    include_str!("../fixtures/vpcs.json"),
    include_str!("../fixtures/certificates.json"),
    include_str!("../fixtures/load_balancers.json"),
    include_str!("../fixtures/firewalls.json"),
    include_str!("../fixtures/databases.json"),
    include_str!("../fixtures/database_replicas.json"),
    include_str!("../fixtures/kubernetes_clusters.json"),
    include_str!("../fixtures/kubernetes_node_pools.json"),
    include_str!("../fixtures/domains.json"),
    include_str!("../fixtures/apps.json"),
    include_str!("../fixtures/vpc_peerings.json"),
    include_str!("../fixtures/vpc_nat_gateways.json"),
    include_str!("../fixtures/byoip_prefixes.json"),
    include_str!("../fixtures/ssh_keys.json"),
    include_str!("../fixtures/autoscale_pools.json"),
    include_str!("../fixtures/registries.json"),
    include_str!("../fixtures/cdn_endpoints.json"),
    include_str!("../fixtures/nfs.json"),
    include_str!("../fixtures/functions_namespaces.json"),
    include_str!("../fixtures/uptime_checks.json"),
    include_str!("../fixtures/monitoring_alerts.json"),
    include_str!("../fixtures/spaces_keys.json"),
    include_str!("../fixtures/gen_ai_agents.json"),
    include_str!("../fixtures/gen_ai_knowledge_bases.json"),
    include_str!("../fixtures/vector_databases.json"),
    include_str!("../fixtures/dedicated_inferences.json"),
    include_str!("../fixtures/partner_attachments.json"),
    include_str!("../fixtures/addons.json"),
];

/// Members of projects that no collection lists.
pub const MEMBERS: &str = include_str!("../fixtures/members.json");

/// Prices, and the months that there are invoices for.
pub const BILLING: &str = include_str!("../fixtures/billing.json");

/// Who the account is.
pub const ACCOUNT: &str = include_str!("../fixtures/account.json");
