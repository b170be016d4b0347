//! The fields of one item of a listing, each parsed when it is asked for, and made canonical.
//!
//! Most of an item is of no use here, and a listing has up to a hundred thousand of them: an object is cut into its
//! members and no further, and what is not on a kind's allow-list is never parsed. What is kept has one way to be
//! written, so that equal things have equal text. Pure; it refuses what cannot be what it should be and names the
//! place, never the value.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use super::Shape;
use crate::digitalocean::listing::Unreadable;

pub(super) fn refuse(reason: &'static str) -> Unreadable {
    Unreadable(Cow::Borrowed(reason))
}

/// An item, cut into its fields; those that hold objects are cut when something inside them is asked for.
pub(super) struct Item<'i> {
    fields: Vec<Field<'i>>,
}

struct Field<'i> {
    name: Cow<'i, str>,
    raw: &'i RawValue,
    /// What it holds, once asked for; `None`: it is no object.
    inside: Option<Option<Item<'i>>>,
}

impl<'i> Item<'i> {
    pub(super) fn of(item: &'i str) -> Result<Self, Unreadable> {
        Self::cut(item).ok_or_else(|| refuse("it is not an object"))
    }

    fn cut(object: &'i str) -> Option<Self> {
        let mut json = serde_json::Deserializer::from_str(object);
        let fields = json.deserialize_map(Fields).ok()?;
        json.end().ok()?;
        Some(Self { fields })
    }

    /// Of two members with one name the last counts, as everywhere in JSON.
    fn field(&mut self, name: &str) -> Option<&mut Field<'i>> {
        self.fields.iter_mut().rev().find(|field| field.name == name)
    }

    /// The text at a dotted path; `None` where it is absent, which includes a parent that is null.
    pub(super) fn raw(&mut self, path: &str) -> Option<&'i RawValue> {
        let Some((first, rest)) = path.split_once('.') else {
            return self.field(path).map(|field| field.raw);
        };
        let field = self.field(first)?;
        let inside = field.inside.get_or_insert_with(|| Self::cut(field.raw.get()));
        inside.as_mut()?.raw(rest)
    }

    /// The value at a dotted path.
    pub(super) fn at(&mut self, path: &str) -> Option<Value> {
        serde_json::from_str(self.raw(path)?.get()).ok()
    }

    /// Whether the place where this path begins is there at all: then its absence is said, not hidden.
    pub(super) fn says(&self, path: &str) -> bool {
        let first = path.split_once('.').map_or(path, |(first, _)| first);
        self.fields.iter().any(|field| field.name == first)
    }

    /// The id by which a walk tells items apart.
    pub(super) fn id(&mut self) -> Result<String, Unreadable> {
        self.at("id")
            .and_then(plain_id)
            .ok_or_else(|| refuse("it has no id"))
    }
}

/// Cuts an object into its members.
struct Fields;

impl<'i> Visitor<'i> for Fields {
    type Value = Vec<Field<'i>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'i>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::with_capacity(32);
        while let Some(name) = members.next_key_seed(Name)? {
            let raw = members.next_value()?;
            fields.push(Field {
                name,
                raw,
                inside: None,
            });
        }
        Ok(fields)
    }
}

/// A member's name, borrowed unless it is written with escapes.
pub(crate) struct Name;

impl<'i> DeserializeSeed<'i> for Name {
    type Value = Cow<'i, str>;

    fn deserialize<D: Deserializer<'i>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'i> Visitor<'i> for Name {
    type Value = Cow<'i, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'i str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

pub(super) fn plain_id(value: Value) -> Option<String> {
    match value {
        Value::String(id) if !id.is_empty() => Some(clean(id)),
        Value::Number(id) if id.is_u64() => Some(id.to_string()),
        _ => None,
    }
}

/// `None`: absent. `Some(None)`: said to be null.
pub(super) fn text(item: &mut Item<'_>, path: &str) -> Result<Option<Option<String>>, Unreadable> {
    match item.at(path) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(None)),
        Some(Value::String(text)) => Ok(Some(Some(short(text)))),
        Some(_) => Err(Unreadable(Cow::Owned(format!("{path} is not text")))),
    }
}

/// A region, or the only one of an array; several are no region.
pub(super) fn region(item: &mut Item<'_>, path: &str) -> Result<Option<Option<String>>, Unreadable> {
    if !item.raw(path).is_some_and(|raw| raw.get().starts_with('[')) {
        return text(item, path);
    }
    let Some(Value::Array(mut regions)) = item.at(path) else {
        return Ok(None);
    };
    Ok(Some(match (regions.pop(), regions.as_slice()) {
        (Some(Value::String(region)), []) => Some(short(region)),
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
pub(super) fn strings(item: &mut Item<'_>, path: &str) -> Result<Option<Vec<String>>, Unreadable> {
    let wrong = || Unreadable(Cow::Owned(format!("{path} is not a list of texts")));
    match item.at(path) {
        None => Ok(None),
        Some(Value::Null) => Ok(Some(Vec::new())),
        Some(Value::Array(items)) => {
            let texts = items.into_iter().map(|item| match item {
                Value::String(text) => Ok(short(text)),
                _ => Err(wrong()),
            });
            let mut set = texts.collect::<Result<Vec<_>, _>>()?;
            set.sort_unstable();
            set.dedup();
            Ok(Some(set))
        }
        Some(_) => Err(wrong()),
    }
}

pub(super) fn shaped(value: Value, shape: Shape) -> Option<Value> {
    let only = |item: Value, members: &[&str]| {
        let Value::Object(mut item) = item else {
            return None;
        };
        let members = members
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), canonical(item.remove(*key)?))));
        Some(Value::Object(members.collect()))
    };
    match (shape, value) {
        (Shape::Plain, value) => Some(canonical(value)),
        (Shape::Set | Shape::SetOf(_), Value::Null) => Some(Value::Array(Vec::new())),
        (Shape::Instant | Shape::Only(_), Value::Null) => Some(Value::Null),
        (Shape::Set, value @ Value::Array(_)) => Some(canonical(value)),
        (Shape::SetOf(members), Value::Array(items)) => items
            .into_iter()
            .map(|item| only(item, members))
            .collect::<Option<Vec<_>>>()
            .map(set),
        (Shape::Only(members), item @ Value::Object(_)) => only(item, members),
        (Shape::Instant, Value::String(text)) => {
            let instant = DateTime::parse_from_rfc3339(&text).ok()?.with_timezone(&Utc);
            Some(Value::from(instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)))
        }
        _ => None,
    }
}

fn set(mut items: Vec<Value>) -> Value {
    if items.len() < 2 {
        return Value::Array(items);
    }
    items.sort_by_cached_key(Value::to_string);
    items.dedup();
    Value::Array(items)
}

/// The one way to write a JSON value: numbers without a needless fraction, arrays as sets (none that is kept has an
/// order that means something), no characters that Postgres refuses.
fn canonical(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(whole(&number).unwrap_or(number)),
        Value::String(text) => Value::String(clean(text)),
        Value::Array(items) => set(items.into_iter().map(canonical).collect()),
        Value::Object(members) => {
            let members = members
                .into_iter()
                .map(|(key, value)| (clean(key), canonical(value)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        Value::Null | Value::Bool(_) => value,
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
pub(super) fn clean(text: String) -> String {
    if text.contains('\0') {
        return text.replace('\0', "\u{FFFD}");
    }
    text
}

/// The same for texts that have an index, which takes some 2,700 bytes: longer ones are cut.
fn short(text: String) -> String {
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
