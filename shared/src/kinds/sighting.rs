//! One item of a listing, read into our own shape by the allow-list of its kind.
//!
//! Pure. A field that is not there is *unknown*, which is not the same as empty: a token without a scope
//! hides fields, and hiding is not a change. What is there is made canonical (sets sorted, times as
//! instants, `1.0` as `1`), so that two equal things have equal text and an equal hash. It refuses an item
//! whose id, or a field it keeps, is of an impossible type: such an item must not look absent or emptied.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::item::{Item, clean, is_something, plain_id, refuse, region, shaped, strings, text};
use super::{Kind, Parent, Status};
use crate::digitalocean::listing::Unreadable;

/// Part of every hash. Raise it when reading changes in a way that must reach rows whose items did not change.
const READING: u8 = 3;

/// What is known of parents from elsewhere: the child's id, and its parent's.
pub type Told = BTreeMap<String, String>;

/// One thing, as it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// DigitalOcean's id, as text.
    pub provider_id: String,
    /// Its name, if the item says so.
    pub name: Option<String>,
    /// Its region, if the item says so; `Some(None)` is a thing said to have none.
    pub region: Option<Option<String>>,
    /// Its status, if the item says so.
    pub status: Option<String>,
    /// Its tags as a sorted set, if the item says so.
    pub tags: Option<Vec<String>>,
    /// The kept fields that the item has, canonical.
    pub attrs: BTreeMap<&'static str, Value>,
    /// Equal for equal content.
    pub hash: i64,
}

impl Sighting {
    /// Reads one item of a listing.
    ///
    /// # Errors
    /// When there is no id, or a field it keeps cannot be what it should be.
    pub fn read(kind: &Kind, item: &str) -> Result<Self, Unreadable> {
        Self::read_within(kind, item, None, None)
    }

    /// Reads one item that was found with its parent, or whose parent may be told elsewhere.
    ///
    /// # Errors
    /// As [`Sighting::read`].
    pub fn read_within(
        kind: &Kind,
        item: &str,
        outer: Option<&str>,
        told: Option<&Told>,
    ) -> Result<Self, Unreadable> {
        let mut item = Item::of(item)?;
        let mut names = kind.name_at.iter();
        let name = names
            .find_map(|path| text(&mut item, path).transpose())
            .transpose()?
            .flatten();
        let provider_id = match (item.at(kind.id), outer, &name) {
            (Some(Value::String(id)), ..) if !id.is_empty() && id.len() <= 1_024 => clean(id),
            (Some(Value::Number(id)), ..) if id.is_u64() => id.to_string(),
            // Some things inside others have no id but their name.
            (None, Some(outer), Some(name)) if !name.is_empty() => format!("{outer}/{name}"),
            _ => return Err(refuse("it has no id")),
        };
        let region = match kind.region_at {
            Some(path) => region(&mut item, path)?,
            None => None,
        };
        let status = status(&mut item, kind.status)?;
        let tags = match kind.tags_at {
            Some(path) => strings(&mut item, path)?,
            None => None,
        };
        let mut attrs = BTreeMap::new();
        for attr in kind.attrs {
            if let Some(path) = attr.unless {
                match item.at(path).as_ref().map(is_something) {
                    Some(false) => {}
                    Some(true) => {
                        attrs.insert(attr.key, Value::Null);
                        continue;
                    }
                    None => continue,
                }
            }
            if let Some(value) = item.at(attr.at) {
                let value = shaped(value, attr.shape)
                    .ok_or_else(|| Unreadable(Cow::Owned(format!("{} is not what it should be", attr.at))))?;
                attrs.insert(attr.key, value);
            }
        }
        if let Some(parent) = parent(kind, &mut item, &provider_id, tags.as_deref(), outer, told) {
            attrs.insert("parent", parent);
        }
        let mut sighting = Self {
            provider_id,
            name,
            region,
            status,
            tags,
            attrs,
            hash: 0,
        };
        sighting.hash = sighting.digest();
        Ok(sighting)
    }

    /// A hash over everything but the id, the same on every machine and in every release.
    fn digest(&self) -> i64 {
        let mut text = Vec::with_capacity(1_024);
        text.push(READING);
        if let Some(name) = &self.name {
            part(&mut text, "", "name", name);
        }
        if let Some(region) = &self.region {
            part(&mut text, "", "region", region);
        }
        if let Some(status) = &self.status {
            part(&mut text, "", "status", status);
        }
        if let Some(tags) = &self.tags {
            part(&mut text, "", "tags", tags);
        }
        for (key, value) in &self.attrs {
            part(&mut text, "attrs.", key, value);
        }
        xxh3_64(&text).cast_signed()
    }
}

/// One field of what is hashed: its label and its JSON.
fn part(text: &mut Vec<u8>, group: &str, label: &str, value: &impl Serialize) {
    text.extend_from_slice(group.as_bytes());
    text.extend_from_slice(label.as_bytes());
    text.push(0);
    // Infallible: the value was made from JSON, and keys of a serde_json map come sorted.
    let _ = serde_json::to_writer(&mut *text, value);
    text.push(0);
}

fn status(item: &mut Item<'_>, status: Status) -> Result<Option<String>, Unreadable> {
    match status {
        Status::Active => Ok(Some("active".to_owned())),
        Status::At(path) => Ok(text(item, path)?.flatten()),
        Status::Settled(path, passing) => {
            let status = text(item, path)?.flatten();
            Ok(status.filter(|status| !passing.contains(&status.as_str())))
        }
        Status::If { at, yes, no } => {
            let something = item.at(at).as_ref().map(is_something);
            let something = something.or_else(|| item.says(at).then_some(false));
            Ok(something.map(|something| if something { yes } else { no }.to_owned()))
        }
    }
}

/// What the item belongs to: `None` if nothing is said about it, null if it is said to belong to nothing.
fn parent(
    kind: &Kind,
    item: &mut Item<'_>,
    id: &str,
    tags: Option<&[String]>,
    outer: Option<&str>,
    told: Option<&Told>,
) -> Option<Value> {
    let mut said = None;
    for parent in kind.parents {
        let found = match *parent {
            Parent::At { kind, at } => {
                let found = item.at(at).and_then(plain_id);
                if found.is_none() && item.says(at) {
                    said = Some(Value::Null);
                }
                found.map(|id| (kind, id))
            }
            Parent::When {
                field,
                value,
                kind,
                at,
            } => {
                let says = item.at(field).is_some_and(|found| found == value);
                says.then(|| item.at(at).and_then(plain_id).map(|id| (kind, id)))
                    .flatten()
            }
            Parent::Tag { kind, prefix } => tags.and_then(|tags| {
                let mut ids = tags.iter().filter_map(|tag| tag.strip_prefix(prefix));
                ids.find(|id| Uuid::try_parse(id).is_ok())
                    .map(|id| (kind, id.to_owned()))
            }),
            Parent::Outer { kind } => outer.map(|id| (kind, id.to_owned())),
            Parent::Names { kind, .. } => told
                .and_then(|told| told.get(id))
                .map(|parent| (kind.name, parent.clone())),
        };
        if let Some((kind, id)) = found {
            return Some(serde_json::json!({ "kind": kind, "id": id }));
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kinds::droplet::DROPLET;

    fn read(item: &Value) -> Result<Sighting, Unreadable> {
        Sighting::read(&DROPLET, &item.to_string())
    }

    #[test]
    fn what_is_absent_is_unknown_and_what_is_null_is_said() {
        let sighting = read(&serde_json::json!({"id": 1, "region": null, "image": {"slug": null}})).unwrap();
        assert_eq!(
            (sighting.name, sighting.tags, sighting.region),
            (None, None, None)
        );
        assert_eq!(sighting.attrs.get("image_slug"), Some(&Value::Null));
        assert!(!sighting.attrs.contains_key("vpc_uuid"));
    }

    #[test]
    fn an_item_that_cannot_be_right_is_refused() {
        for item in [
            serde_json::json!([]),
            serde_json::json!({}),
            serde_json::json!({"id": null}),
            serde_json::json!({"id": ""}),
            serde_json::json!({"id": -1}),
            serde_json::json!({"id": 1.5}),
            serde_json::json!({"id": 1, "name": 7}),
            serde_json::json!({"id": 1, "tags": "web"}),
            serde_json::json!({"id": 1, "tags": [1]}),
            serde_json::json!({"id": 1, "created_at": "yesterday"}),
            serde_json::json!({"id": 1, "volume_ids": {"a": 1}}),
        ] {
            assert!(read(&item).is_err(), "{item}");
        }
    }

    #[test]
    fn a_text_too_long_for_an_index_is_cut_and_an_id_is_refused() {
        let long = "ä".repeat(3_000);
        let sighting = read(&serde_json::json!({"id": "1", "name": long, "tags": [long]})).unwrap();
        assert_eq!(sighting.name.map(|name| name.len()), Some(1_024));
        assert_eq!(sighting.tags.map(|tags| tags[0].len()), Some(1_024));
        assert!(read(&serde_json::json!({"id": long})).is_err());
    }

    #[test]
    fn a_poisoned_name_is_mended() {
        let sighting = read(&serde_json::json!({"id": 1, "name": "a\u{0}b"})).unwrap();
        assert_eq!(sighting.name.as_deref(), Some("a\u{FFFD}b"));
    }

    proptest! {
        /// Order of keys, order of sets, repetitions and `1` against `1.0` are not changes.
        #[test]
        fn order_is_not_a_change(
            mut tags in proptest::collection::vec("[a-z:]{1,8}", 0..6),
            mut volumes in proptest::collection::vec("[a-f0-9]{8}", 0..5),
            memory in 0_u32..1_000_000,
            seed in any::<u64>(),
        ) {
            let before = serde_json::json!({"id": 1, "name": "n", "tags": tags, "volume_ids": volumes, "memory": memory});
            tags.reverse();
            tags.extend(tags.clone());
            let middle = usize::try_from(seed % 8).unwrap_or(0).min(volumes.len());
            volumes.rotate_left(middle);
            let after = format!(
                r#"{{"memory": {memory}.0, "volume_ids": {}, "tags": {}, "name": "n", "id": 1}}"#,
                serde_json::json!(volumes), serde_json::json!(tags),
            );
            prop_assert_eq!(read(&before).unwrap(), Sighting::read(&DROPLET, &after).unwrap());
        }
    }
}
