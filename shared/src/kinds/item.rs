//! What single members of an item say: texts, ids, sets of texts.
//!
//! Pure. Each function reads one member from its own text, borrows what it can, and refuses what cannot be what it should
//! be: it names the place, never the value.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::digitalocean::item::Item;
use crate::digitalocean::listing::Unreadable;

/// Longest id, and longest text that has an index, in bytes; an index takes some 2,700.
const LONGEST: usize = 1_024;

pub(super) fn refuse(reason: &'static str) -> Unreadable {
    Unreadable(Cow::Borrowed(reason))
}

/// What a JSON string says; `None` for anything else.
pub(super) fn unquoted(raw: &str) -> Option<Cow<'_, str>> {
    let inside = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains('\\') {
        return serde_json::from_str(raw).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inside))
}

/// An id as text: a string that is not empty, or a whole number. `None` for anything else.
pub(super) fn plain_id(raw: &str) -> Option<Cow<'_, str>> {
    match unquoted(raw) {
        Some(id) => (!id.is_empty()).then(|| cleaned(id)),
        // Whole numbers have one way to be written in JSON.
        None => raw.parse::<u64>().is_ok().then_some(Cow::Borrowed(raw)),
    }
}

/// The id of a thing that the mirror keeps, at this path; `None` if it is absent.
pub(super) fn id<'p>(item: &Item<'p>, path: &str) -> Result<Option<Cow<'p, str>>, Unreadable> {
    let Some(raw) = item.raw(path) else {
        return Ok(None);
    };
    let id = plain_id(raw).filter(|id| id.len() <= LONGEST);
    id.map(Some).ok_or_else(|| refuse("it has no id"))
}

/// The id by which a walk tells items apart.
pub(super) fn own_id<'p>(item: &Item<'p>) -> Result<Cow<'p, str>, Unreadable> {
    item.raw("id")
        .and_then(plain_id)
        .ok_or_else(|| refuse("it has no id"))
}

/// `None`: absent. `Some(None)`: said to be null.
pub(super) fn text<'p>(item: &Item<'p>, path: &str) -> Result<Option<Option<Cow<'p, str>>>, Unreadable> {
    match item.raw(path) {
        None => Ok(None),
        Some("null") => Ok(Some(None)),
        Some(raw) => match unquoted(raw) {
            Some(text) => Ok(Some(Some(short(text)))),
            None => Err(Unreadable(Cow::Owned(format!("{path} is not text")))),
        },
    }
}

/// A region, or the only one of an array; several are no region.
pub(super) fn region<'p>(item: &Item<'p>, path: &str) -> Result<Option<Option<Cow<'p, str>>>, Unreadable> {
    let Some(raw) = item.raw(path).filter(|raw| raw.starts_with('[')) else {
        return text(item, path);
    };
    let regions: Vec<&RawValue> = serde_json::from_str(raw).unwrap_or_default();
    Ok(Some(match regions.as_slice() {
        [region] => unquoted(region.get()).map(short),
        _ => None,
    }))
}

/// Whether there is something: not null, not false, and not empty.
pub(super) fn is_something(raw: &str) -> bool {
    let is_empty = |begin, end| {
        let inside = raw.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end));
        inside.is_some_and(|inside: &str| inside.trim_ascii().is_empty())
    };
    !(matches!(raw, "null" | "false" | "\"\"") || is_empty('[', ']'))
}

/// A sorted set of strings; null is the empty one.
pub(super) fn strings<'p>(item: &Item<'p>, path: &str) -> Result<Option<Vec<Cow<'p, str>>>, Unreadable> {
    let wrong = || Unreadable(Cow::Owned(format!("{path} is not a list of texts")));
    let items: Vec<&RawValue> = match item.raw(path) {
        None => return Ok(None),
        Some("null" | "[]") => return Ok(Some(Vec::new())),
        Some(raw) => serde_json::from_str(raw).map_err(|_| wrong())?,
    };
    let texts = items
        .into_iter()
        .map(|text| unquoted(text.get()).map(short).ok_or_else(wrong));
    let mut set = texts.collect::<Result<Vec<_>, _>>()?;
    set.sort_unstable();
    set.dedup();
    Ok(Some(set))
}

/// What a member says, where it is a value that must be looked into.
pub(super) fn value(raw: &str) -> Option<Value> {
    serde_json::from_str(raw).ok()
}

/// Postgres stores every character but NUL; one poisoned name must not stop a sync.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        return Cow::Owned(text.replace('\0', "\u{FFFD}"));
    }
    Cow::Borrowed(text)
}

/// The same of what was unquoted: only an escape can stand for a NUL, and what has escapes is not borrowed.
fn cleaned(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Owned(text) => Cow::Owned(clean(&text).into_owned()),
        borrowed @ Cow::Borrowed(_) => borrowed,
    }
}

/// The same for texts that have an index: longer ones are cut.
fn short(text: Cow<'_, str>) -> Cow<'_, str> {
    let text = cleaned(text);
    if text.len() <= LONGEST {
        return text;
    }
    let end = (0..=LONGEST)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or_default()),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}
