//! Kinds that nobody has described: types of URNs that turn up among the members of projects.
//!
//! DigitalOcean adds types without telling us. One that is not in the catalogue is kept under its own name, as much of
//! it as a URN says, rather than refused or lost. There are few of them, so each is made once per process and stays.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::project::PROJECT;
use super::{Kind, PLAIN};

/// More types than this at once are not types but garbage.
const MOST: usize = 200;
/// A longer name is not one.
const LONGEST: usize = 60;

static MADE: Mutex<BTreeMap<String, &'static Kind>> = Mutex::new(BTreeMap::new());

/// The kind with this name: the catalogue's, or one that is only known by its URNs. `None` for what cannot be a name.
pub fn kind_named(name: &str) -> Option<&'static Kind> {
    if let Some(kind) = Kind::named(name) {
        return Some(kind);
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let well_formed = name.len() <= LONGEST
        && name.bytes().all(plain)
        && name.starts_with(|first: char| first.is_ascii_lowercase());
    // Projects are mirrored in a table of their own.
    if !well_formed || name == PROJECT.name {
        return None;
    }
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kind) = made.get(name) {
        return Some(kind);
    }
    if made.len() >= MOST {
        return None;
    }
    let kind: &'static Kind = Box::leak(Box::new(Kind {
        name: Box::leak(name.to_owned().into_boxed_str()),
        region_at: Some("region"),
        reuses_ids: true,
        ..PLAIN
    }));
    made.insert(name.to_owned(), kind);
    Some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_nobody_has_described_is_one_kind_under_its_own_name() {
        let kind = kind_named("quantumdroplet").unwrap();
        assert!(std::ptr::eq(kind, kind_named("quantumdroplet").unwrap()));
        assert!(kind.is_known_by_urn_only() && kind.name == "quantumdroplet");
        assert!(std::ptr::eq(
            kind_named("droplet").unwrap(),
            Kind::named("droplet").unwrap()
        ));
        for name in ["", "project", "Big", "a-b", "1a", "_a", "a'", &"a".repeat(61)] {
            assert!(kind_named(name).is_none(), "{name:?}");
        }
    }
}
