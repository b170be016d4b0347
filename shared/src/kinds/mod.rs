//! CATALOGUE: every kind of thing that the mirror knows, a value each.
//!
//! A kind says where it is listed, how an item is read, which fields are worth keeping, what it belongs to and
//! how to prove that one is gone. Reading is the same for all of them ([`sighting`]): fields are allow-listed, so
//! secrets and what changes by itself never get in. Nothing here does I/O, and nothing here decides: a new kind
//! is one file and its line in [`CATALOGUE`].

pub mod addon;
pub mod alert_policy;
pub mod app;
pub mod autoscale_pool;
pub mod byoip_prefix;
mod canonical;
pub mod cdn_endpoint;
pub mod certificate;
pub mod container_registry;
pub mod custom_image;
pub mod db_replica;
pub mod dedicated_inference;
pub mod dns_zone;
pub mod droplet;
pub mod droplet_backup;
pub mod entry;
pub mod firewall;
pub mod floating_ip;
pub mod functions_namespace;
pub mod genai_agent;
mod item;
pub mod k8s_cluster;
pub mod k8s_node_pool;
pub mod knowledge_base;
pub mod load_balancer;
pub mod managed_db;
pub mod nat_gateway;
pub mod nfs_share;
pub mod partner_attachment;
mod placeholder;
pub mod project;
pub mod reserved_ipv6;
mod scope;
mod sighting;
pub mod snapshot;
pub mod spaces_bucket;
pub mod spaces_key;
pub mod ssh_key;
pub mod uptime_check;
pub mod urn;
pub mod vector_db;
pub mod volume;
pub mod vpc;
pub mod vpc_peering;

pub use placeholder::kind_named;
pub use scope::scope_of;
pub use sighting::{Attrs, Glimpse, Sighting, Told};

use crate::digitalocean::listing::Collection;

/// The provider whose account is mirrored. A column everywhere, because there may be a second one some day.
pub const PROVIDER: &str = "digitalocean";

/// Every kind: those with a worker of their own and those that only projects' members tell of, then the long tail; of
/// both, what costs most first.
pub static CATALOGUE: &[&Kind] = &[
    &droplet::DROPLET,
    &volume::VOLUME,
    &snapshot::SNAPSHOT,
    &droplet_backup::DROPLET_BACKUP,
    &floating_ip::FLOATING_IP,
    &load_balancer::LOAD_BALANCER,
    &managed_db::MANAGED_DB,
    &k8s_cluster::K8S_CLUSTER,
    &app::APP,
    &dns_zone::DNS_ZONE,
    &firewall::FIREWALL,
    &spaces_bucket::SPACES_BUCKET,
    &db_replica::DB_REPLICA,
    &k8s_node_pool::K8S_NODE_POOL,
    &autoscale_pool::AUTOSCALE_POOL,
    &custom_image::CUSTOM_IMAGE,
    &nat_gateway::NAT_GATEWAY,
    &nfs_share::NFS_SHARE,
    &container_registry::CONTAINER_REGISTRY,
    &dedicated_inference::DEDICATED_INFERENCE,
    &genai_agent::GENAI_AGENT,
    &knowledge_base::KNOWLEDGE_BASE,
    &vector_db::VECTOR_DB,
    &addon::ADDON,
    &functions_namespace::FUNCTIONS_NAMESPACE,
    &byoip_prefix::BYOIP_PREFIX,
    &reserved_ipv6::RESERVED_IPV6,
    &partner_attachment::PARTNER_ATTACHMENT,
    &vpc::VPC,
    &vpc_peering::VPC_PEERING,
    &cdn_endpoint::CDN_ENDPOINT,
    &certificate::CERTIFICATE,
    &uptime_check::UPTIME_CHECK,
    &alert_policy::ALERT_POLICY,
    &ssh_key::SSH_KEY,
    &spaces_key::SPACES_KEY,
];

/// How many come before the long tail.
const BEFORE_THE_LONG_TAIL: usize = 12;

/// The kinds that share one worker.
pub static LONG_TAIL: &[&Kind] = CATALOGUE.split_at(BEFORE_THE_LONG_TAIL).1;

/// One kind of cloud thing.
#[derive(Debug)]
pub struct Kind {
    /// Its name, relied on from outside.
    pub name: &'static str,
    /// The types that DigitalOcean's URNs use for it; the first is the usual one.
    pub urn_types: &'static [&'static str],
    /// Where it is listed. All of them must be complete for the kind to be; none: only projects' members tell.
    pub listings: &'static [Listing],
    /// Where one is found by itself: `{id}`, `{name}` and `{parent}` stand for its own; `None` if DigitalOcean has
    /// no such path.
    pub by_id: Option<&'static str>,
    /// Where in an item its id is: dotted paths to a string or a whole number, the first that is there.
    pub id: &'static str,
    /// Where its name is: the first of these that is there.
    pub name_at: &'static [&'static str],
    /// Where its region is, if it has one: a text, or an array of them (several are none).
    pub region_at: Option<&'static str>,
    /// How it is.
    pub status: Status,
    /// Where its own tags are, if it has any.
    pub tags_at: Option<&'static str>,
    /// What it belongs to, and gets its project from where it has none of its own: the first that it names.
    pub parents: &'static [Parent],
    /// The fields that are kept.
    pub attrs: &'static [Attr],
    /// Whether DigitalOcean keeps it in projects, so that the bootstrap project is its last resort.
    pub in_projects: bool,
    /// Whether its id is a name or an address, which somebody else may be given when it is gone.
    pub reuses_ids: bool,
}

/// A kind that says nothing yet: what the others fill in.
pub const PLAIN: Kind = Kind {
    name: "",
    urn_types: &[],
    listings: &[],
    by_id: None,
    id: "id",
    name_at: &["name"],
    region_at: None,
    status: Status::Active,
    tags_at: None,
    parents: &[],
    attrs: &[],
    in_projects: false,
    reuses_ids: false,
};

/// A collection that holds things of a kind.
#[derive(Debug)]
pub struct Listing {
    /// Where it is.
    pub collection: Collection,
    /// What its items are.
    pub holds: Holds,
}

/// What the items of a collection are to a kind.
#[derive(Clone, Copy, Debug)]
pub enum Holds {
    /// Each is one.
    Items,
    /// Those are whose field says this; the others are something else.
    Only {
        /// The field.
        field: &'static str,
        /// What it says.
        value: &'static str,
    },
    /// Parents, each with a list of them under this key.
    Inside(&'static str),
    /// Parents, each with a collection of them.
    Under {
        /// Its path; `{parent}` stands for the parent's id.
        path: &'static str,
        /// The key that holds the list.
        root: &'static str,
        /// Parents that have none, and are not asked: this field says one of these.
        except: Option<(&'static str, &'static [&'static str])>,
    },
}

impl Listing {
    /// A collection whose every item is one.
    pub const fn of(collection: Collection) -> Self {
        Self {
            collection,
            holds: Holds::Items,
        }
    }
}

/// How the status of a thing is read.
#[derive(Clone, Copy, Debug)]
pub enum Status {
    /// DigitalOcean tells none: what is listed is there.
    Active,
    /// The text at this path.
    At(&'static str),
    /// The text at this path, but these words pass by themselves and say nothing.
    Settled(&'static str, &'static [&'static str]),
    /// One word if there is something at this path, another if it is null, false or empty.
    If {
        /// Where.
        at: &'static str,
        /// Something is there.
        yes: &'static str,
        /// Nothing is.
        no: &'static str,
    },
}

/// What a thing belongs to. Kept as `attrs.parent`: `{"kind": …, "id": …}`, null where it is said to have none.
#[derive(Clone, Copy, Debug)]
pub enum Parent {
    /// The item names it.
    At {
        /// What it is.
        kind: &'static str,
        /// Where its id is.
        at: &'static str,
    },
    /// The item names it, where this field says so.
    When {
        /// The field.
        field: &'static str,
        /// What it says.
        value: &'static str,
        /// What the parent is.
        kind: &'static str,
        /// Where its id is.
        at: &'static str,
    },
    /// A tag names it: this prefix, then a UUID.
    Tag {
        /// What it is.
        kind: &'static str,
        /// What the tag begins with.
        prefix: &'static str,
    },
    /// It is listed inside its parent, or under its path.
    Outer {
        /// What it is.
        kind: &'static str,
    },
    /// The parent names its children.
    Names {
        /// What it is.
        kind: &'static Kind,
        /// Where in a parent's item the children's ids are.
        list: &'static str,
    },
}

/// One field that is kept.
#[derive(Debug)]
pub struct Attr {
    /// Its name in `attrs`.
    pub key: &'static str,
    /// Where in the item it is.
    pub at: &'static str,
    /// How two values are compared.
    pub shape: Shape,
    /// Null where there is something at this path: then DigitalOcean sees to the field by itself. Where that place is hidden
    /// it may be so, and nothing is said.
    pub unless: Option<&'static str>,
}

/// What makes two values of a field the same.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Equal JSON, numbers as decimals, arrays as sets.
    Plain,
    /// An array whose order and repetitions mean nothing; null is the empty one.
    Set,
    /// A point in time, however it is written.
    Instant,
    /// A set of objects, of which only these members count.
    SetOf(&'static [&'static str]),
    /// An object, of which only these members count.
    Only(&'static [&'static str]),
}

impl Attr {
    /// A field kept under its own name.
    pub const fn plain(key: &'static str) -> Self {
        Self {
            key,
            at: key,
            shape: Shape::Plain,
            unless: None,
        }
    }

    /// When it was made, or another moment.
    pub const fn instant(key: &'static str) -> Self {
        Self::at(key, key, Shape::Instant)
    }

    /// A set of plain values.
    pub const fn set(key: &'static str) -> Self {
        Self::at(key, key, Shape::Set)
    }

    /// A set of objects, of which only these members count.
    pub const fn set_of(key: &'static str, members: &'static [&'static str]) -> Self {
        Self::at(key, key, Shape::SetOf(members))
    }

    /// An object, of which only these members count.
    pub const fn only(key: &'static str, members: &'static [&'static str]) -> Self {
        Self::at(key, key, Shape::Only(members))
    }

    /// A field kept under another name, or from deeper down.
    pub const fn at(key: &'static str, at: &'static str, shape: Shape) -> Self {
        Self {
            key,
            at,
            shape,
            unless: None,
        }
    }

    /// The same, null where there is something at this path.
    pub const fn unless(self, path: &'static str) -> Self {
        Self {
            unless: Some(path),
            ..self
        }
    }
}

impl Kind {
    /// Where DigitalOcean answers for this one, if it does.
    pub fn path_of(&self, one: &Address) -> Option<String> {
        let mut path = self.by_id?.replace("{id}", &segment(&one.provider_id)?);
        for (place, value) in [("{name}", Some(&one.name)), ("{parent}", one.parent_id.as_ref())] {
            if path.contains(place) {
                path = path.replace(place, &segment(value?)?);
            }
        }
        Some(path)
    }

    /// The field, and what it says, by which one of these is told from what else is in its list.
    pub fn told_apart_by(&self) -> Option<(&'static str, &'static str)> {
        self.listings.iter().find_map(|listing| match listing.holds {
            Holds::Only { field, value } => Some((field, value)),
            _ => None,
        })
    }

    /// The kind of the catalogue with this name.
    pub fn named(name: &str) -> Option<&'static Kind> {
        CATALOGUE.iter().copied().find(|kind| kind.name == name)
    }

    /// Whether only projects' members tell of it.
    pub fn is_known_by_urn_only(&self) -> bool {
        self.listings.is_empty()
    }
}

/// What is needed to ask for one thing by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// DigitalOcean's id.
    pub provider_id: String,
    /// Its name.
    pub name: String,
    /// The id of what it belongs to, if that is known.
    pub parent_id: Option<String>,
}

/// An id as one segment of a path; `None` for what would be another path altogether.
pub(crate) fn segment(id: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    (!matches!(id, "" | "." | "..")).then(|| {
        id.bytes()
            .map(|byte| {
                if plain(byte) {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect()
    })
}

#[cfg(test)]
mod tests;
