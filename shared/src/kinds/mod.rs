//! CATALOGUE: every kind of thing that the mirror knows, a value each.
//!
//! A kind says where it is listed, how an item is read, which fields are worth keeping and how to prove that
//! one is gone. Reading is the same for all of them ([`sighting`]): fields are allow-listed, so secrets and
//! what changes by itself never get in. Nothing here does I/O, and nothing here decides: a new kind is one
//! file and its line in [`CATALOGUE`].

pub mod droplet;
pub mod project;
mod sighting;
pub mod urn;

pub use sighting::{Sighting, canonical};

use crate::digitalocean::listing::Collection;

/// The provider whose account is mirrored. A column everywhere, because there may be a second one some day.
pub const PROVIDER: &str = "digitalocean";

/// Every kind, in the order of the catalogue.
pub static CATALOGUE: &[&Kind] = &[&droplet::DROPLET];

/// One kind of cloud thing.
#[derive(Debug)]
pub struct Kind {
    /// Its name, relied on from outside.
    pub name: &'static str,
    /// The types that DigitalOcean's URNs use for it; the first is the usual one.
    pub urn_types: &'static [&'static str],
    /// Where it is listed. All of them must be complete for the kind to be.
    pub listings: &'static [Collection],
    /// Where one is found by id, `{id}` standing for it; `None` if DigitalOcean has no such path.
    pub by_id: Option<&'static str>,
    /// Where in an item its id is: a dotted path to a string or a whole number.
    pub id: &'static str,
    /// Where its name is.
    pub name_at: &'static str,
    /// Where its region is, if it has one.
    pub region_at: Option<&'static str>,
    /// Where its status is, if it has one.
    pub status_at: Option<&'static str>,
    /// Where its own tags are, if it has any.
    pub tags_at: Option<&'static str>,
    /// The fields that are kept.
    pub attrs: &'static [Attr],
    /// Whether DigitalOcean keeps it in projects, so that the bootstrap project is its last resort.
    pub in_projects: bool,
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
}

/// What makes two values of a field the same.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Equal JSON, numbers as decimals.
    Plain,
    /// An array whose order and repetitions mean nothing.
    Set,
    /// A point in time, however it is written.
    Instant,
    /// A set of objects, of which only these members count.
    SetOf(&'static [&'static str]),
}

impl Attr {
    /// A field kept under its own name.
    pub const fn plain(key: &'static str) -> Self {
        Self {
            key,
            at: key,
            shape: Shape::Plain,
        }
    }

    /// A field kept under another name, or from deeper down.
    pub const fn at(key: &'static str, at: &'static str, shape: Shape) -> Self {
        Self { key, at, shape }
    }
}

impl Kind {
    /// Where DigitalOcean answers for one of this kind, if it does.
    pub fn path_of(&self, provider_id: &str) -> Option<String> {
        let segment = segment(provider_id)?;
        self.by_id.map(|path| path.replace("{id}", &segment))
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<&'static Kind> {
        CATALOGUE.iter().copied().find(|kind| kind.name == name)
    }
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
mod tests {
    use super::*;

    #[test]
    fn names_and_urn_types_belong_to_one_kind_each() {
        let names: std::collections::BTreeSet<_> = CATALOGUE.iter().map(|kind| kind.name).collect();
        assert_eq!(names.len(), CATALOGUE.len());
        let types: Vec<_> = CATALOGUE.iter().flat_map(|kind| kind.urn_types).collect();
        let unique: std::collections::BTreeSet<_> = types.iter().collect();
        assert_eq!(unique.len(), types.len());
    }

    #[test]
    fn an_id_stays_one_segment_of_a_path() {
        for (id, path) in [
            ("7", Some("/v2/droplets/7")),
            ("a/../b", Some("/v2/droplets/a%2F..%2Fb")),
            ("x?y#z", Some("/v2/droplets/x%3Fy%23z")),
            ("..", None),
            ("", None),
        ] {
            assert_eq!(droplet::DROPLET.path_of(id).as_deref(), path);
        }
    }

    #[test]
    fn every_urn_type_reads_as_its_kind() {
        for kind in CATALOGUE {
            for urn_type in kind.urn_types {
                assert_eq!(urn::kind_of(urn_type), kind.name);
            }
        }
    }
}
