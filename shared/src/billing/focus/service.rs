//! FOCUS's names for what DigitalOcean sells: service, category, subcategory; and the regions' names.
//!
//! Pure, by kind where the product told us one. What is not on the list is `Other`, which FOCUS allows, under the
//! product's own name.

/// A service in FOCUS's words.
pub(super) struct Service {
    pub(super) name: String,
    pub(super) category: &'static str,
    pub(super) subcategory: &'static str,
}

type Known = (&'static str, &'static str, &'static str, &'static str);

/// Kind, service, category, subcategory.
const BY_KIND: &[Known] = &[
    ("droplet", "Droplets", "Compute", "Virtual Machines"),
    (
        "autoscale_pool",
        "Droplet Autoscale",
        "Compute",
        "Virtual Machines",
    ),
    ("k8s_cluster", "Kubernetes", "Compute", "Containers"),
    (
        "functions_namespace",
        "Functions",
        "Compute",
        "Serverless Compute",
    ),
    ("app", "App Platform", "Web", "Application Platforms"),
    ("cdn_endpoint", "CDN", "Networking", "Content Delivery"),
    ("droplet_backup", "Droplet Backups", "Storage", "Backup Storage"),
    ("snapshot", "Snapshots", "Storage", "Backup Storage"),
    ("custom_image", "Custom Images", "Storage", "Backup Storage"),
    ("volume", "Volumes", "Storage", "Block Storage"),
    ("spaces_bucket", "Spaces", "Storage", "Object Storage"),
    ("nfs_share", "Network File Storage", "Storage", "File Storage"),
    (
        "managed_db",
        "Managed Databases",
        "Databases",
        "Relational Databases",
    ),
    ("vector_db", "Vector Databases", "Databases", "NoSQL Databases"),
    (
        "load_balancer",
        "Load Balancers",
        "Networking",
        "Application Networking",
    ),
    (
        "floating_ip",
        "Reserved IPs",
        "Networking",
        "Network Connectivity",
    ),
    (
        "reserved_ipv6",
        "Reserved IPs",
        "Networking",
        "Network Connectivity",
    ),
    ("vpc_peering", "VPC", "Networking", "Network Connectivity"),
    ("nat_gateway", "NAT Gateways", "Networking", "Network Routing"),
    (
        "partner_attachment",
        "Partner Network Connect",
        "Networking",
        "Network Routing",
    ),
    (
        "container_registry",
        "Container Registry",
        "Developer Tools",
        "Other (Developer Tools)",
    ),
    (
        "uptime_check",
        "Uptime",
        "Management and Governance",
        "Observability",
    ),
    (
        "genai_agent",
        "GenAI Platform",
        "AI and Machine Learning",
        "Generative AI",
    ),
    (
        "knowledge_base",
        "GenAI Platform",
        "AI and Machine Learning",
        "Generative AI",
    ),
    (
        "dedicated_inference",
        "Dedicated Inference",
        "AI and Machine Learning",
        "Generative AI",
    ),
];

pub(super) fn of(product: &str, class: &str, kind: Option<&str>, description: &str) -> Service {
    let service = |name: &str, category, subcategory| Service {
        name: name.to_owned(),
        category,
        subcategory,
    };
    if let Some((kind, name, category, subcategory)) = BY_KIND.iter().find(|known| Some(known.0) == kind) {
        let engine = description.to_lowercase();
        let has = |word: &str| *kind == "managed_db" && engine.contains(word);
        let subcategory = match () {
            () if has("redis") || has("valkey") => "Caching",
            () if has("mongo") => "NoSQL Databases",
            () => subcategory,
        };
        return service(name, category, subcategory);
    }
    let product_words = product.to_lowercase();
    if class == "account"
        && (product_words.contains("bandwidth") || description.contains("Bandwidth Overage"))
    {
        return service("Bandwidth", "Networking", "Network Connectivity");
    }
    if class == "account" && product_words.contains("support") {
        return service(product, "Management and Governance", "Support");
    }
    if class == "account" && product_words.contains("inference") {
        return service(product, "AI and Machine Learning", "Generative AI");
    }
    service(product, "Other", "Other (Other)")
}

/// The name of a region; one that is not known goes by its slug.
pub(super) fn region(slug: &str) -> String {
    const CITIES: &[(&str, &str)] = &[
        ("ams", "Amsterdam"),
        ("atl", "Atlanta"),
        ("blr", "Bangalore"),
        ("fra", "Frankfurt"),
        ("lon", "London"),
        ("nyc", "New York"),
        ("ric", "Richmond"),
        ("sfo", "San Francisco"),
        ("sgp", "Singapore"),
        ("syd", "Sydney"),
        ("tor", "Toronto"),
    ];
    let city = CITIES
        .iter()
        .find_map(|(code, city)| Some((city, slug.strip_prefix(code)?)));
    match city {
        Some((city, number)) if number.parse::<u8>().is_ok() => format!("{city} {number}"),
        _ => slug.to_owned(),
    }
}
