//! One item of a listing, read into our own shape by the allow-list of its kind.
//!
//! Pure. A field that is not there is *unknown*, which is not the same as empty: a token without a scope
//! hides fields, and hiding is not a change. What is there is made canonical (sets sorted, times as
//! instants, `1.0` as `1`), so that two equal things have equal text and an equal hash. It refuses an item
//! whose id, or a field it keeps, is of an impossible type: such an item must not look absent or emptied.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::canonical::Canonical;
use super::item::{id, is_something, plain_id, refuse, region, strings, text, unquoted, value};
use super::{Attr, Kind, Parent, Status};
use crate::digitalocean::item::{Item, Members};
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
    pub attrs: Attrs,
    /// Equal for equal content.
    pub hash: i64,
}

/// One thing as it is seen in an item, before anything of it is kept.
#[derive(Debug)]
pub struct Glimpse<'a> {
    /// DigitalOcean's id, as text.
    pub provider_id: Cow<'a, str>,
    name: Option<Cow<'a, str>>,
    region: Option<Option<Cow<'a, str>>>,
    status: Option<Cow<'a, str>>,
    tags: Option<Vec<Cow<'a, str>>>,
    text: &'a [u8],
    attrs: &'a [(&'static str, Range<usize>)],
    /// Equal for equal content.
    pub hash: i64,
}

/// Kept fields, each as canonical JSON, sorted by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attrs {
    /// One behind the other.
    text: Box<str>,
    /// Their names, and where each ends.
    fields: Box<[(&'static str, usize)]>,
}

impl Sighting {
    /// Reads one item of a listing, given as text.
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
        let members = Members::at(members(kind));
        let mut sight = Sight::of(kind, &members);
        Ok(sight.read(&members.of(item)?, outer, told)?.keep())
    }
}

impl Glimpse<'_> {
    /// The thing, to be kept.
    pub fn keep(self) -> Sighting {
        let mut text = String::new();
        let mut fields = Vec::with_capacity(self.attrs.len());
        for (key, place) in self.attrs {
            let value = self.text.get(place.clone()).unwrap_or_default();
            // Made from texts, so it is one.
            text.push_str(&String::from_utf8_lossy(value));
            fields.push((*key, text.len()));
        }
        let owned = |text: Cow<'_, str>| text.into_owned();
        Sighting {
            provider_id: self.provider_id.into_owned(),
            name: self.name.map(owned),
            region: self.region.map(|region| region.map(owned)),
            status: self.status.map(owned),
            tags: self.tags.map(|tags| tags.into_iter().map(owned).collect()),
            attrs: Attrs {
                text: text.into_boxed_str(),
                fields: fields.into_boxed_slice(),
            },
            hash: self.hash,
        }
    }
}

impl Attrs {
    /// Each field with its text.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let mut begin = 0;
        self.fields.iter().map(move |(key, end)| {
            let text = self.text.get(std::mem::replace(&mut begin, *end)..*end);
            (*key, text.unwrap_or("null"))
        })
    }

    /// Each field with its value.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, Value)> {
        self.iter().filter_map(|(key, text)| Some((key, value(text)?)))
    }

    /// What one field says; `None`: it is not among them.
    pub fn get(&self, key: &str) -> Option<Value> {
        self.iter()
            .find(|(found, _)| *found == key)
            .and_then(|(_, text)| value(text))
    }

    /// All of them as one document, those that are null left out: what there is to say of a thing that was never seen. In
    /// the order in which `jsonb` keeps members, the shorter names first.
    ///
    /// # Errors
    /// None that is known: what was cut from JSON is JSON. But nothing else may be written in its place.
    pub fn document(&self) -> serde_json::Result<Box<RawValue>> {
        let mut text = String::with_capacity(self.text.len() + 16 * self.fields.len());
        let mut fields: Vec<_> = self.iter().filter(|(_, text)| *text != "null").collect();
        fields.sort_by_key(|(key, _)| key.len());
        for (key, value) in fields {
            // Names of fields are plain words of ours.
            text.push_str(if text.is_empty() { "{\"" } else { ",\"" });
            text.push_str(key);
            text.push_str("\":");
            text.push_str(value);
        }
        text.push_str(if text.is_empty() { "{}" } else { "}" });
        RawValue::from_string(text)
    }
}

/// The paths of all that is looked at in an item of this kind.
pub(super) fn members(kind: &Kind) -> impl Iterator<Item = &'static str> {
    let status = match kind.status {
        Status::Active => None,
        Status::At(at) | Status::Settled(at, _) | Status::If { at, .. } => Some(at),
    };
    let parents = kind.parents.iter().flat_map(|parent| match *parent {
        Parent::At { at, .. } => [Some(at), None],
        Parent::When { field, at, .. } => [Some(field), Some(at)],
        Parent::Tag { .. } | Parent::Outer { .. } | Parent::Names { .. } => [None, None],
    });
    let attrs = kind.attrs.iter().flat_map(|attr| [Some(attr.at), attr.unless]);
    [Some(kind.id), kind.region_at, status, kind.tags_at]
        .into_iter()
        .chain(parents)
        .chain(attrs)
        .flatten()
        .chain(kind.name_at.iter().copied())
}

/// What is kept of an item: a field, or what it belongs to.
#[derive(Debug)]
struct Kept {
    key: &'static str,
    /// What stands before it in the text that is hashed.
    label: String,
    /// The field, and where it is noted; `None` is the parent.
    field: Option<(&'static Attr, Option<usize>)>,
}

/// Reads items of one kind; what it needs for one it uses again for the next.
#[derive(Debug)]
pub(super) struct Sight<'k> {
    kind: &'k Kind,
    /// Sorted by key.
    kept: Vec<Kept>,
    canonical: Canonical,
    attrs: Vec<(&'static str, Range<usize>)>,
}

impl<'k> Sight<'k> {
    /// For items that are cut into these members.
    pub(super) fn of(kind: &'k Kind, members: &Members) -> Self {
        let kept = |key, field| Kept {
            key,
            label: format!("attrs.{key}\0"),
            field,
        };
        let fields = kind.attrs.iter();
        let fields = fields.map(|attr| kept(attr.key, Some((attr, members.place(attr.at)))));
        let parent = (!kind.parents.is_empty()).then(|| kept("parent", None));
        let mut kept: Vec<Kept> = fields.chain(parent).collect();
        kept.sort_unstable_by_key(|kept| kept.key);
        Self {
            kind,
            kept,
            canonical: Canonical::default(),
            attrs: Vec::new(),
        }
    }

    /// Reads one item, whose members must be those of [`members`].
    pub(super) fn read<'a>(
        &'a mut self,
        item: &Item<'a>,
        outer: Option<&str>,
        told: Option<&Told>,
    ) -> Result<Glimpse<'a>, Unreadable> {
        if !item.is_object() {
            return Err(refuse("it is not an object"));
        }
        let kind = self.kind;
        let mut names = kind.name_at.iter();
        let name = names
            .find_map(|path| text(item, path).transpose())
            .transpose()?
            .flatten();
        let provider_id = match (id(item, kind.id)?, outer, &name) {
            (Some(id), ..) => id,
            // Some things inside others have no id but their name.
            (None, Some(outer), Some(name)) if !name.is_empty() => Cow::Owned(format!("{outer}/{name}")),
            _ => return Err(refuse("it has no id")),
        };
        let region = match kind.region_at {
            Some(path) => region(item, path)?,
            None => None,
        };
        let status = status(item, kind.status)?;
        let tags = match kind.tags_at {
            Some(path) => strings(item, path)?,
            None => None,
        };
        let parent = parent(kind, item, &provider_id, tags.as_deref(), outer, told);
        // The text that is hashed: everything but the id, the same on every machine and in every release. Each field is
        // its label and its JSON.
        let to = &mut self.canonical;
        to.clear();
        to.plain(&[READING]);
        if let Some(name) = &name {
            to.plain(b"name\0");
            to.read_string(name);
            to.plain(&[0]);
        }
        if let Some(region) = &region {
            to.plain(b"region\0");
            match region {
                Some(region) => to.read_string(region),
                None => to.plain(b"null"),
            }
            to.plain(&[0]);
        }
        if let Some(status) = &status {
            to.plain(b"status\0");
            to.read_string(status);
            to.plain(&[0]);
        }
        if let Some(tags) = &tags {
            to.plain(b"tags\0");
            to.read_strings(tags);
            to.plain(&[0]);
        }
        self.attrs.clear();
        for kept in &self.kept {
            let value = match (kept.field, &parent) {
                (Some((attr, place)), _) => field(item, attr, place),
                (None, parent) => parent.as_ref().map(Said::Parent),
            };
            let Some(value) = value else { continue };
            to.plain(kept.label.as_bytes());
            let begin = to.text().len();
            value.write(to)?;
            self.attrs.push((kept.key, begin..to.text().len()));
            to.plain(&[0]);
        }
        Ok(Glimpse {
            provider_id,
            name,
            region,
            status,
            tags,
            text: self.canonical.text(),
            attrs: &self.attrs,
            hash: xxh3_64(self.canonical.text()).cast_signed(),
        })
    }
}

/// What an item says of something that is kept.
enum Said<'i> {
    /// A value, and what it should be.
    Value(&'i str, &'static Attr),
    /// That somebody else sees to it.
    Nothing,
    Parent(&'i Belongs<'i>),
}

impl Said<'_> {
    fn write(&self, to: &mut Canonical) -> Result<(), Unreadable> {
        match self {
            Said::Value(raw, attr) => to
                .value(raw, attr.shape)
                .ok_or_else(|| Unreadable(Cow::Owned(format!("{} is not what it should be", attr.at))))?,
            Said::Nothing => to.plain(b"null"),
            Said::Parent(parent) => parent.write(to),
        }
        Ok(())
    }
}

/// What an item says of a field, if it has it.
fn field<'i>(item: &Item<'i>, attr: &'static Attr, place: Option<usize>) -> Option<Said<'i>> {
    debug_assert!(place.is_some(), "nobody looked for {}", attr.at);
    match attr.unless.map(|path| item.raw(path).map(is_something)) {
        None | Some(Some(false)) => Some(Said::Value(item.at(place?)?, attr)),
        Some(Some(true)) => Some(Said::Nothing),
        Some(None) => None,
    }
}

fn status<'p>(item: &Item<'p>, status: Status) -> Result<Option<Cow<'p, str>>, Unreadable> {
    match status {
        Status::Active => Ok(Some(Cow::Borrowed("active"))),
        Status::At(path) => Ok(text(item, path)?.flatten()),
        Status::Settled(path, passing) => {
            let status = text(item, path)?.flatten();
            Ok(status.filter(|status| !passing.contains(&&**status)))
        }
        Status::If { at, yes, no } => {
            let something = item.raw(at).map(is_something);
            let something = something.or_else(|| item.says(at).then_some(false));
            Ok(something.map(|something| Cow::Borrowed(if something { yes } else { no })))
        }
    }
}

/// What a thing belongs to, as it is kept.
enum Belongs<'a> {
    /// To nothing, as is said.
    Nowhere,
    /// To a thing of a kind, by its id.
    To(&'static str, Cow<'a, str>),
}

impl Belongs<'_> {
    fn write(&self, to: &mut Canonical) {
        match self {
            Belongs::Nowhere => to.plain(b"null"),
            Belongs::To(kind, id) => {
                to.plain(b"{\"id\":");
                to.string(id);
                to.plain(b",\"kind\":");
                to.string(kind);
                to.plain(b"}");
            }
        }
    }
}

/// What the item belongs to: `None` if nothing is said about it.
fn parent<'a>(
    kind: &Kind,
    item: &Item<'a>,
    id: &str,
    tags: Option<&[Cow<'a, str>]>,
    outer: Option<&'a str>,
    told: Option<&'a Told>,
) -> Option<Belongs<'a>> {
    let mut said = None;
    for parent in kind.parents {
        let found = match *parent {
            Parent::At { kind, at } => {
                let found = item.raw(at).and_then(plain_id);
                if found.is_none() && item.says(at) {
                    said = Some(Belongs::Nowhere);
                }
                found.map(|id| (kind, id))
            }
            Parent::When {
                field,
                value,
                kind,
                at,
            } => {
                let says = item
                    .raw(field)
                    .and_then(unquoted)
                    .is_some_and(|found| found == value);
                says.then(|| item.raw(at).and_then(plain_id).map(|id| (kind, id)))
                    .flatten()
            }
            Parent::Tag { kind, prefix } => tags.and_then(|tags| {
                let mut ids = tags.iter().filter_map(|tag| tag.strip_prefix(prefix));
                ids.find(|id| Uuid::try_parse(id).is_ok())
                    .map(|id| (kind, Cow::Owned(id.to_owned())))
            }),
            Parent::Outer { kind } => outer.map(|id| (kind, Cow::Borrowed(id))),
            Parent::Names { kind, .. } => told
                .and_then(|told| told.get(id))
                .map(|parent| (kind.name, Cow::Borrowed(parent.as_str()))),
        };
        if let Some((kind, id)) = found {
            return Some(Belongs::To(kind, id));
        }
    }
    said
}

#[cfg(test)]
mod tests;
