//! What a line is about: its class, its kind, and the names under which the resource may be known.
//!
//! Pure. Decided by the product's words, specific phrases before general ones (backups and snapshots before droplets),
//! never by a plain search for letters: a droplet called `taxi` pays no tax. A product that nobody has seen before is
//! kept as `unknown`. It refuses to look at amounts, but for one thing: an unknown product with a negative one is a
//! credit.

use std::net::IpAddr;

use rust_decimal::Decimal;

/// What sort of charge a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Some resource caused it.
    Resource,
    /// A tax.
    Tax,
    /// Money back: promotions, refunds, adjustments.
    Credit,
    /// The account as a whole: subscriptions, support, pooled bandwidth.
    Account,
    /// A product that is not known here.
    Unknown,
}

impl Class {
    /// All classes.
    pub const ALL: [Class; 5] = [
        Class::Resource,
        Class::Tax,
        Class::Credit,
        Class::Account,
        Class::Unknown,
    ];

    /// Its word in the database and the API.
    pub fn name(self) -> &'static str {
        match self {
            Class::Resource => "resource",
            Class::Tax => "tax",
            Class::Credit => "credit",
            Class::Account => "account",
            Class::Unknown => "unknown",
        }
    }

    /// Whether a resource is looked for.
    pub fn may_have_a_resource(self) -> bool {
        matches!(self, Class::Resource | Class::Account | Class::Unknown)
    }
}

/// What a line says of the resource that caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// What sort of charge.
    pub class: Class,
    /// The kind of the resource, where the product says so.
    pub kind: Option<&'static str>,
    /// Where to look for it.
    pub subject: Subject,
}

/// How the line names its resource. Names are as written; comparing them ignores case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Not at all.
    None,
    /// By name; the likelier reading first.
    Name(Vec<String>),
    /// By name and region.
    Placed {
        /// The name.
        name: String,
        /// The region's slug.
        region: String,
    },
    /// By address.
    Address(IpAddr),
    /// By the name of the whole: a cluster, an app.
    Group(String),
}

impl Subject {
    /// The name that is shown and stored.
    pub fn name(&self) -> Option<String> {
        match self {
            Subject::None => None,
            Subject::Name(names) => names.first().cloned(),
            Subject::Placed { name, .. } | Subject::Group(name) => Some(name.clone()),
            Subject::Address(address) => Some(address.to_string()),
        }
    }
}

/// How a product's descriptions are to be read.
#[derive(Clone, Copy)]
enum Form {
    /// `name (size)`.
    Sized,
    /// Free text that may have brackets of its own: whole first, then without the last bracket.
    Free,
    /// `name (region) 100GB`.
    Volume,
    /// Some words and an address.
    Address,
    /// The group's name, if there is one.
    Group,
    /// Nothing that names a resource.
    Nameless,
}

type Rule = (&'static str, Class, Option<&'static str>, Form);

/// Words that a product's name has to hold, in order of precedence. Each phrase begins at a word; one that ends in
/// a blank is whole words only.
const RULES: &[Rule] = &[
    ("tax ", Class::Tax, None, Form::Nameless),
    ("taxes ", Class::Tax, None, Form::Nameless),
    ("vat ", Class::Tax, None, Form::Nameless),
    ("gst ", Class::Tax, None, Form::Nameless),
    ("hst ", Class::Tax, None, Form::Nameless),
    ("credit", Class::Credit, None, Form::Nameless),
    ("promo", Class::Credit, None, Form::Nameless),
    ("refund", Class::Credit, None, Form::Nameless),
    ("discount", Class::Credit, None, Form::Nameless),
    ("adjustment", Class::Credit, None, Form::Nameless),
    ("support", Class::Account, None, Form::Nameless),
    ("license", Class::Account, None, Form::Nameless),
    ("bandwidth", Class::Account, None, Form::Nameless),
    ("overage", Class::Account, None, Form::Nameless),
    (
        "spaces subscription",
        Class::Account,
        Some("spaces_bucket"),
        Form::Nameless,
    ),
    ("subscription", Class::Account, None, Form::Nameless),
    (
        "container registry",
        Class::Account,
        Some("container_registry"),
        Form::Nameless,
    ),
    ("trial", Class::Account, None, Form::Nameless),
    ("volume snapshot", Class::Resource, Some("snapshot"), Form::Free),
    ("snapshot", Class::Resource, Some("snapshot"), Form::Free),
    ("app platform", Class::Resource, Some("app"), Form::Group),
    (
        "database backup",
        Class::Resource,
        Some("managed_db"),
        Form::Group,
    ),
    ("backup", Class::Resource, Some("droplet_backup"), Form::Sized),
    (
        "droplet autoscale",
        Class::Resource,
        Some("autoscale_pool"),
        Form::Free,
    ),
    ("droplet", Class::Resource, Some("droplet"), Form::Sized),
    ("custom image", Class::Resource, Some("custom_image"), Form::Free),
    ("volume", Class::Resource, Some("volume"), Form::Volume),
    (
        "reserved ipv6",
        Class::Resource,
        Some("reserved_ipv6"),
        Form::Address,
    ),
    ("reserved ip", Class::Resource, Some("floating_ip"), Form::Address),
    ("floating ip", Class::Resource, Some("floating_ip"), Form::Address),
    (
        "load balancer",
        Class::Resource,
        Some("load_balancer"),
        Form::Free,
    ),
    ("kubernetes", Class::Resource, Some("k8s_cluster"), Form::Group),
    ("vector database", Class::Resource, Some("vector_db"), Form::Free),
    ("database", Class::Resource, Some("managed_db"), Form::Group),
    ("apps ", Class::Resource, Some("app"), Form::Group),
    (
        "functions ",
        Class::Resource,
        Some("functions_namespace"),
        Form::Free,
    ),
    ("spaces ", Class::Resource, Some("spaces_bucket"), Form::Free),
    ("nat gateway", Class::Resource, Some("nat_gateway"), Form::Free),
    ("nfs ", Class::Resource, Some("nfs_share"), Form::Free),
    ("network file", Class::Resource, Some("nfs_share"), Form::Free),
    ("uptime", Class::Resource, Some("uptime_check"), Form::Free),
    (
        "dedicated inference",
        Class::Resource,
        Some("dedicated_inference"),
        Form::Free,
    ),
    (
        "knowledge base",
        Class::Resource,
        Some("knowledge_base"),
        Form::Free,
    ),
    ("genai", Class::Resource, Some("genai_agent"), Form::Free),
    ("partner", Class::Resource, Some("partner_attachment"), Form::Free),
    ("add ons ", Class::Resource, Some("addon"), Form::Free),
    ("addon", Class::Resource, Some("addon"), Form::Free),
    ("cdn ", Class::Resource, Some("cdn_endpoint"), Form::Free),
    ("vpc peering", Class::Resource, Some("vpc_peering"), Form::Free),
];

/// Reads product, group and description of a line.
pub fn classify(product: &str, group: &str, description: &str, amount: Decimal) -> Charge {
    let charge = |class, kind, subject| Charge { class, kind, subject };
    // Overage of a pool that all droplets share comes under various products, in these words.
    if description.contains(" Overage (") && description.contains("@ $") {
        return charge(Class::Account, None, Subject::None);
    }
    // Spaces' base price, whatever the product is called in a given year.
    if description.starts_with("Spaces ($") {
        return charge(Class::Account, Some("spaces_bucket"), Subject::None);
    }
    let words = words(product);
    let rule = RULES
        .iter()
        .find(|(phrase, ..)| words.contains(&format!(" {phrase}")));
    match rule {
        Some((_, class, kind, form)) => charge(*class, *kind, subject(*form, group, description)),
        None if amount < Decimal::ZERO => charge(Class::Credit, None, Subject::None),
        None => charge(Class::Unknown, None, Subject::None),
    }
}

/// Lower case, one blank around each word.
fn words(text: &str) -> String {
    let mut words = String::from(" ");
    for word in text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        words.push_str(&word.to_lowercase());
        words.push(' ');
    }
    words
}

fn subject(form: Form, group: &str, description: &str) -> Subject {
    let bare = without_last_bracket(description);
    let named = |names: &[&str]| {
        let mut kept: Vec<String> = Vec::new();
        for name in names.iter().filter(|name| !name.is_empty()) {
            if !kept.iter().any(|kept| kept == name) {
                kept.push((*name).to_owned());
            }
        }
        if kept.is_empty() {
            Subject::None
        } else {
            Subject::Name(kept)
        }
    };
    match form {
        Form::Nameless => Subject::None,
        Form::Sized => named(&[bare]),
        Form::Free => named(&[description, bare]),
        Form::Group if !group.is_empty() => Subject::Group(group.to_owned()),
        Form::Group => match named(&[bare]).name() {
            Some(name) => Subject::Group(name),
            None => Subject::None,
        },
        Form::Address => {
            let address = description
                .split_whitespace()
                .rev()
                .find_map(|word| word.parse().ok());
            address.map_or(Subject::None, Subject::Address)
        }
        Form::Volume => volume(description).unwrap_or_else(|| named(&[bare])),
    }
}

/// The description without its last ` (…)`; names may have brackets of their own.
fn without_last_bracket(description: &str) -> &str {
    match description.rsplit_once(" (") {
        Some((name, rest)) if rest.ends_with(')') => name.trim_end(),
        _ => description,
    }
}

/// `name (region) 100GB`.
fn volume(description: &str) -> Option<Subject> {
    let (name, rest) = description.rsplit_once(" (")?;
    let (region, size) = rest.split_once(')')?;
    let size = size.trim();
    let sized = size.is_empty() || size.starts_with(|c: char| c.is_ascii_digit());
    (sized && !name.trim().is_empty() && !region.is_empty()).then(|| Subject::Placed {
        name: name.trim().to_owned(),
        region: region.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(product: &str, group: &str, description: &str) -> Charge {
        classify(product, group, description, Decimal::ONE)
    }

    #[test]
    fn products_have_classes_and_kinds() {
        for (product, class, kind) in [
            ("Droplets", Class::Resource, Some("droplet")),
            ("GPU Droplets", Class::Resource, Some("droplet")),
            ("Droplet Backups", Class::Resource, Some("droplet_backup")),
            ("Backups", Class::Resource, Some("droplet_backup")),
            ("Droplet Snapshots", Class::Resource, Some("snapshot")),
            ("Snapshots", Class::Resource, Some("snapshot")),
            ("Volume Snapshots", Class::Resource, Some("snapshot")),
            ("Volumes", Class::Resource, Some("volume")),
            ("Floating IPs", Class::Resource, Some("floating_ip")),
            ("Reserved IPs", Class::Resource, Some("floating_ip")),
            ("Reserved IPv6", Class::Resource, Some("reserved_ipv6")),
            ("Load Balancers", Class::Resource, Some("load_balancer")),
            ("Kubernetes Clusters", Class::Resource, Some("k8s_cluster")),
            ("Database Clusters", Class::Resource, Some("managed_db")),
            ("Databases", Class::Resource, Some("managed_db")),
            ("Vector Databases", Class::Resource, Some("vector_db")),
            ("App Platform", Class::Resource, Some("app")),
            ("Functions", Class::Resource, Some("functions_namespace")),
            ("Spaces", Class::Resource, Some("spaces_bucket")),
            ("Spaces Subscription", Class::Account, Some("spaces_bucket")),
            ("Container Registry", Class::Account, Some("container_registry")),
            ("Bandwidth", Class::Account, None),
            ("Droplet Bandwidth", Class::Account, None),
            ("Inference Cloud Trial", Class::Account, None),
            ("Premium Support", Class::Account, None),
            ("Taxes", Class::Tax, None),
            ("GST", Class::Tax, None),
            ("Sales Tax", Class::Tax, None),
            ("Credits", Class::Credit, None),
            ("Promotional Credit", Class::Credit, None),
            ("Refunds", Class::Credit, None),
            ("NAT Gateways", Class::Resource, Some("nat_gateway")),
            ("Taxidermy", Class::Unknown, None),
            ("Quantum Droplets", Class::Resource, Some("droplet")),
            ("Teleporters", Class::Unknown, None),
        ] {
            let charge = read(product, "", "thing (x)");
            assert_eq!((charge.class, charge.kind), (class, kind), "{product}");
        }
    }

    #[test]
    fn only_the_product_decides_the_class() {
        let taxi = read("Droplets", "", "gst-taxes-credit (s-1vcpu-1gb)");
        assert_eq!((taxi.class, taxi.kind), (Class::Resource, Some("droplet")));
        assert_eq!(taxi.subject.name().as_deref(), Some("gst-taxes-credit"));
        for (product, description) in [
            ("Droplets", "Droplet Bandwidth Overage (2825.36GB @ $0.01/GB)"),
            ("Spaces", "Spaces ($5/mo 250GB storage & 1TB bandwidth)"),
        ] {
            assert_eq!(
                read(product, "", description).class,
                Class::Account,
                "{description}"
            );
        }
        assert_eq!(
            read("Droplets", "", "Bandwidth-Overage (s-1vcpu-1gb)").class,
            Class::Resource
        );
        let back = classify("Goodwill", "", "sorry", Decimal::NEGATIVE_ONE);
        assert_eq!(back.class, Class::Credit);
    }

    #[test]
    fn names_are_read_out_of_descriptions() {
        let names = |all: &[&str]| Subject::Name(all.iter().map(|name| (*name).to_owned()).collect());
        let group = |name: &str| Subject::Group(name.to_owned());
        for (product, of, description, subject) in [
            ("Droplets", "", "web-1 (s-1vcpu-1gb)", names(&["web-1"])),
            ("Droplets", "", "web (old) (s-1vcpu-1gb)", names(&["web (old)"])),
            ("Droplets", "", "web-1", names(&["web-1"])),
            ("Droplets", "", "", Subject::None),
            ("Droplet Backups", "", "web-1 (s-1vcpu-1gb)", names(&["web-1"])),
            (
                "Snapshots",
                "",
                "before (the) upgrade",
                names(&["before (the) upgrade"]),
            ),
            (
                "Snapshots",
                "",
                "nightly (2.5 GB)",
                names(&["nightly (2.5 GB)", "nightly"]),
            ),
            (
                "Volumes",
                "",
                "volume-sfo2-01 (sfo2) 100GB",
                Subject::Placed {
                    name: "volume-sfo2-01".into(),
                    region: "sfo2".into(),
                },
            ),
            ("Volumes", "", "oddly named", names(&["oddly named"])),
            (
                "Floating IPs",
                "",
                "Unused Floating IP - 1.1.1.1",
                Subject::Address([1, 1, 1, 1].into()),
            ),
            ("Floating IPs", "", "Unused Floating IP", Subject::None),
            (
                "Load Balancers",
                "",
                "lb-1 (2 nodes)",
                names(&["lb-1 (2 nodes)", "lb-1"]),
            ),
            (
                "Kubernetes Clusters",
                "prod",
                "3 nodes - 4 GB / 2 vCPU / 80 GB SSD",
                group("prod"),
            ),
            (
                "Kubernetes Clusters",
                "",
                "a56e086a317d8410c8b4cfd1f4dc9f82",
                group("a56e086a317d8410c8b4cfd1f4dc9f82"),
            ),
            ("Database Clusters", "orders", "Standby (1 vCPU)", group("orders")),
            ("App Platform", "shop", "web (basic-xxs)", group("shop")),
            ("Taxes", "", "GST (10%)", Subject::None),
            ("Teleporters", "", "kirk (1)", Subject::None),
        ] {
            assert_eq!(
                read(product, of, description).subject,
                subject,
                "{product}: {description}"
            );
        }
    }
}
