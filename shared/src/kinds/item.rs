//! The fields of one item of a listing, each parsed when it is asked for, and made canonical.
//!
//! Most of an item is of no use here, and a listing has up to a hundred thousand of them: what is not on a kind's
//! allow-list is never parsed. What is kept has one way to be written, so that equal things have equal text.
//! Pure; it refuses what cannot be what it should be and names the place, never the value.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use super::Shape;
use crate::digitalocean::listing::Unreadable;

pub(super) fn refuse(reason: &'static str) -> Unreadable {
    Unreadable(Cow::Borrowed(reason))
}

/// An item whose fields are parsed when they are asked for: most of one is of no use here.
pub(super) struct Item<'i> {
    pub(super) fields: BTreeMap<Cow<'i, str>, &'i RawValue>,
    parsed: BTreeMap<&'static str, Option<Value>>,
}

impl<'i> Item<'i> {
    pub(super) fn of(item: &'i str) -> Result<Self, Unreadable> {
        Ok(Self {
            fields: serde_json::from_str(item).map_err(|_| refuse("it is not an object"))?,
            parsed: BTreeMap::new(),
        })
    }

    /// The value at a dotted path; `None` where it is absent, which includes a parent that is null.
    pub(super) fn at(&mut self, path: &'static str) -> Option<&Value> {
        let (first, rest) = path
            .split_once('.')
            .map_or((path, None), |(first, rest)| (first, Some(rest)));
        let fields = &self.fields;
        let value = self.parsed.entry(first).or_insert_with(|| {
            fields
                .get(first)
                .and_then(|raw| serde_json::from_str(raw.get()).ok())
        });
        rest.into_iter()
            .flat_map(|rest| rest.split('.'))
            .try_fold(value.as_ref()?, |value, key| value.as_object()?.get(key))
    }

    /// Whether the place where this path begins is there at all: then its absence is said, not hidden.
    pub(super) fn says(&self, path: &str) -> bool {
        let first = path.split_once('.').map_or(path, |(first, _)| first);
        self.fields.contains_key(first)
    }

    /// The id by which a walk tells items apart.
    pub(super) fn id(&mut self) -> Result<String, Unreadable> {
        self.at("id")
            .and_then(plain_id)
            .ok_or_else(|| refuse("it has no id"))
    }
}

pub(super) fn plain_id(value: &Value) -> Option<String> {
    match value {
        Value::String(id) if !id.is_empty() => Some(clean(id)),
        Value::Number(id) if id.is_u64() => Some(id.to_string()),
        _ => None,
    }
}

/// `None`: absent. `Some(None)`: said to be null.
pub(super) fn text(item: &mut Item<'_>, path: &'static str) -> Result<Option<Option<String>>, Unreadable> {
    match item.at(path) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(Value::String(text)) => Ok(Some(Some(short(text)))),
        Some(_) => Err(Unreadable(Cow::Owned(format!("{path} is not text")))),
    }
}

/// A region, or the only one of an array; several are no region.
pub(super) fn region(item: &mut Item<'_>, path: &'static str) -> Result<Option<Option<String>>, Unreadable> {
    let Some(Value::Array(regions)) = item.at(path) else {
        return text(item, path);
    };
    Ok(Some(match regions.as_slice() {
        [Value::String(region)] => Some(short(region)),
        _ => None,
    }))
}

pub(super) fn is_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => true,
    }
}

/// A sorted set of strings; null is the empty one.
pub(super) fn strings(item: &mut Item<'_>, path: &'static str) -> Result<Option<Vec<String>>, Unreadable> {
    let wrong = || Unreadable(Cow::Owned(format!("{path} is not a list of texts")));
    match item.at(path) {
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

pub(super) fn shaped(value: &Value, shape: Shape) -> Option<Value> {
    let only = |item: &Value, members: &[&str]| {
        let item = item.as_object()?;
        let members = members
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), canonical(item.get(*key)?))));
        Some(Value::Object(members.collect()))
    };
    match (shape, value) {
        (Shape::Plain, value) => Some(canonical(value)),
        (Shape::Set | Shape::SetOf(_), Value::Null) => Some(Value::Array(Vec::new())),
        (Shape::Instant | Shape::Only(_), Value::Null) => Some(Value::Null),
        (Shape::Set, Value::Array(_)) => Some(canonical(value)),
        (Shape::SetOf(members), Value::Array(items)) => items
            .iter()
            .map(|item| only(item, members))
            .collect::<Option<Vec<_>>>()
            .map(set),
        (Shape::Only(members), item @ Value::Object(_)) => only(item, members),
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

/// The one way to write a JSON value: numbers without a needless fraction, arrays as sets (none that is kept has an
/// order that means something), no characters that Postgres refuses.
pub fn canonical(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(whole(number).unwrap_or_else(|| number.clone())),
        Value::String(text) => Value::String(clean(text)),
        Value::Array(items) => set(items.iter().map(canonical).collect()),
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
pub(super) fn clean(text: &str) -> String {
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
