//! One item of a listing, read into our own shape by the allow-list of its kind.
//!
//! Pure. A field that is not there is *unknown*, which is not the same as empty: a token without a scope
//! hides fields, and hiding is not a change. What is there is made canonical (sets sorted, times as
//! instants, `1.0` as `1`), so that two equal things have equal text and an equal hash. It refuses an item
//! whose id, or a field it keeps, is of an impossible type: such an item must not look absent or emptied.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Number, Value};
use xxhash_rust::xxh3::Xxh3Default;

use super::{Kind, Shape};
use crate::digitalocean::listing::Unreadable;

/// Part of every hash. Raise it when reading changes in a way that must reach rows whose items did not change.
const READING: u8 = 1;

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
        let item: Value = serde_json::from_str(item).map_err(|_| refuse("it is not JSON"))?;
        if !item.is_object() {
            return Err(refuse("it is not an object"));
        }
        let provider_id = match at(&item, kind.id) {
            Some(Value::String(id)) if !id.is_empty() && id.len() <= 1_024 => clean(id),
            Some(Value::Number(id)) if id.is_u64() => id.to_string(),
            _ => return Err(refuse("it has no id")),
        };
        let name = text(&item, kind.name_at)?.flatten();
        let region = match kind.region_at {
            Some(path) => text(&item, path)?,
            None => None,
        };
        let status = match kind.status_at {
            Some(path) => text(&item, path)?.flatten(),
            None => None,
        };
        let tags = match kind.tags_at {
            Some(path) => strings(&item, path)?,
            None => None,
        };
        let mut attrs = BTreeMap::new();
        for attr in kind.attrs {
            if let Some(value) = at(&item, attr.at) {
                attrs.insert(
                    attr.key,
                    shaped(value, attr.shape).ok_or_else(|| {
                        Unreadable(Cow::Owned(format!("{} is not what it should be", attr.at)))
                    })?,
                );
            }
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
        let mut hash = Xxh3Default::new();
        hash.update(&[READING]);
        let mut part = |label: &[u8], value: &Value| {
            hash.update(label);
            hash.update(&[0]);
            // Infallible: the value was made from JSON, and keys of a serde_json map come sorted.
            hash.update(serde_json::to_string(value).unwrap_or_default().as_bytes());
            hash.update(&[0]);
        };
        if let Some(name) = &self.name {
            part(b"name", &Value::from(name.as_str()));
        }
        if let Some(region) = &self.region {
            part(b"region", &region.as_deref().map_or(Value::Null, Value::from));
        }
        if let Some(status) = &self.status {
            part(b"status", &Value::from(status.as_str()));
        }
        if let Some(tags) = &self.tags {
            part(b"tags", &Value::from(tags.clone()));
        }
        for (key, value) in &self.attrs {
            part(format!("attrs.{key}").as_bytes(), value);
        }
        hash.digest().cast_signed()
    }
}

fn refuse(reason: &'static str) -> Unreadable {
    Unreadable(Cow::Borrowed(reason))
}

/// The value at a dotted path; `None` where it is absent, which includes a parent that is null.
fn at<'v>(item: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.')
        .try_fold(item, |value, key| value.as_object()?.get(key))
}

/// `None`: absent. `Some(None)`: said to be null.
fn text(item: &Value, path: &str) -> Result<Option<Option<String>>, Unreadable> {
    match at(item, path) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(Value::String(text)) => Ok(Some(Some(short(text)))),
        Some(_) => Err(Unreadable(Cow::Owned(format!("{path} is not text")))),
    }
}

/// A sorted set of strings; null is the empty one.
fn strings(item: &Value, path: &str) -> Result<Option<Vec<String>>, Unreadable> {
    let wrong = || Unreadable(Cow::Owned(format!("{path} is not a list of texts")));
    match at(item, path) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(Vec::new())),
        Some(Value::Array(items)) => {
            let mut set = items
                .iter()
                .map(|item| item.as_str().map(short).ok_or_else(wrong))
                .collect::<Result<Vec<_>, _>>()?;
            set.sort_unstable();
            set.dedup();
            Ok(Some(set))
        }
        Some(_) => Err(wrong()),
    }
}

fn shaped(value: &Value, shape: Shape) -> Option<Value> {
    match (shape, value) {
        (Shape::Plain, value) => Some(canonical(value)),
        (Shape::Set | Shape::SetOf(_), Value::Null) => Some(Value::Array(Vec::new())),
        (Shape::Instant, Value::Null) => Some(Value::Null),
        (Shape::Set, Value::Array(items)) => Some(set(items.iter().map(canonical).collect())),
        (Shape::SetOf(members), Value::Array(items)) => {
            let kept = items.iter().map(|item| {
                let item = item.as_object()?;
                let members = members
                    .iter()
                    .filter_map(|key| Some(((*key).to_owned(), canonical(item.get(*key)?))));
                Some(Value::Object(members.collect()))
            });
            kept.collect::<Option<Vec<_>>>().map(set)
        }
        (Shape::Instant, Value::String(text)) => {
            let instant = DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc);
            Some(Value::from(instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)))
        }
        _ => None,
    }
}

fn set(mut items: Vec<Value>) -> Value {
    items.sort_by_cached_key(Value::to_string);
    items.dedup();
    Value::Array(items)
}

/// The one way to write a JSON value: numbers without a needless fraction, no characters that Postgres refuses.
pub fn canonical(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(whole(number).unwrap_or_else(|| number.clone())),
        Value::String(text) => Value::String(clean(text)),
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| (clean(key), canonical(value)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        Value::Null | Value::Bool(_) => value.clone(),
    }
}

/// `1.0` is `1`, and so is `1e0`.
fn whole(number: &Number) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    if number.is_i64() || number.is_u64() {
        return None;
    }
    let float = number.as_f64()?;
    (float.fract() == 0.0 && float.abs() <= EXACT).then(|| {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a whole number of at most 53 bits"
        )]
        let integer = float as i64;
        Number::from(integer)
    })
}

/// Postgres stores every character but NUL; one poisoned name must not stop a sync.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{FFFD}")
}

/// The same for texts that have an index, which takes some 2,700 bytes: longer ones are cut.
fn short(text: &str) -> String {
    const LONGEST: usize = 1_024;
    let mut text = clean(text);
    if text.len() > LONGEST {
        let end = (0..=LONGEST)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(end);
    }
    text
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
