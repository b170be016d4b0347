//! One item of a listing, and of its members those that somebody looks at.
//!
//! Most of an item is of no use to a mirror, and a listing has up to two hundred thousand of them: while a page is gone
//! over, once, the members that are asked for are noted as text, and everything else is passed over unread. What a text
//! means is the reader's business. Nothing is decided here; a member that was not looked for must not be asked for,
//! because it would look absent.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::listing::Unreadable;

/// Which members of an item are looked at, by dotted paths.
#[derive(Clone, Debug, Default)]
pub struct Members {
    nodes: Vec<Node>,
    top: Vec<Place>,
}

/// One member of a level: its node, and what its name looks like from afar.
#[derive(Clone, Copy, Debug)]
struct Place {
    mark: u32,
    node: usize,
}

#[derive(Clone, Debug)]
struct Node {
    name: &'static str,
    path: &'static str,
    /// Whether it is asked for itself, or only on the way to something inside.
    wanted: bool,
    inside: Vec<Place>,
}

/// Length, first and last byte of a name: of all the members of an item hardly two have the same, so that hardly a name
/// is compared with one that it is not.
fn mark(name: &str) -> u32 {
    let byte = |byte: Option<&u8>| u32::from(*byte.unwrap_or(&0));
    let ends = byte(name.as_bytes().first()) << 8 | byte(name.as_bytes().last());
    u32::try_from(name.len()).unwrap_or(u32::MAX) << 16 | ends
}

impl Members {
    /// None but the item's own text, for readers that read all of it.
    pub fn whole() -> Self {
        Self::default()
    }

    /// Those at these paths; one may be named twice.
    pub fn at(paths: impl IntoIterator<Item = &'static str>) -> Self {
        let mut members = Self::default();
        for path in paths {
            let mut above = None;
            let ends = path.match_indices('.').map(|(end, _)| end);
            for end in ends.chain([path.len()]) {
                above = path.get(..end).map(|prefix| members.node(above, prefix));
            }
            if let Some(node) = above.and_then(|node| members.nodes.get_mut(node)) {
                node.wanted = true;
            }
        }
        members
    }

    /// The node of a path, made if need be.
    fn node(&mut self, above: Option<usize>, path: &'static str) -> usize {
        if let Some(found) = self.nodes.iter().position(|node| node.path == path) {
            return found;
        }
        let name = path.rsplit_once('.').map_or(path, |(_, name)| name);
        let new = Place {
            mark: mark(name),
            node: self.nodes.len(),
        };
        self.nodes.push(Node {
            name,
            path,
            wanted: false,
            inside: Vec::new(),
        });
        match above.and_then(|above| self.nodes.get_mut(above)) {
            Some(above) => above.inside.push(new),
            None => self.top.push(new),
        }
        new.node
    }

    /// Where the member at a path is noted: see [`Item::at`].
    pub fn place(&self, path: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.path == path)
    }

    /// An item that is all there is in a text.
    ///
    /// # Errors
    /// When the text is not JSON.
    pub fn of<'p>(&'p self, text: &'p str) -> Result<Item<'p>, Unreadable> {
        let mut json = serde_json::Deserializer::from_str(text);
        let item = self
            .deserialize(&mut json)
            .and_then(|item| json.end().map(|()| item));
        item.map_err(|_| Unreadable(Cow::Borrowed("it is not JSON")))
    }
}

/// One item, cut.
#[derive(Debug)]
pub struct Item<'p> {
    members: &'p Members,
    /// Of each node; none if it is not an object.
    found: Vec<Found<'p>>,
    /// All of it, if no members were asked for.
    text: Option<&'p RawValue>,
}

#[derive(Clone, Copy, Debug)]
enum Found<'p> {
    Absent,
    /// There, and only passed through.
    There,
    Text(&'p RawValue),
}

impl<'p> Item<'p> {
    /// The item's own text, where [`Members::whole`] was asked for.
    pub fn text(&self) -> &'p str {
        debug_assert!(self.text.is_some(), "members were asked for, not all of it");
        self.text.map_or("", RawValue::get)
    }

    /// Whether it is an object, and so may have members.
    pub fn is_object(&self) -> bool {
        !self.found.is_empty()
    }

    /// The text at a dotted path; `None` where it is absent, which includes a parent that is null.
    pub fn raw(&self, path: &str) -> Option<&'p str> {
        let place = self.members.place(path);
        debug_assert!(place.is_some(), "nobody looked for {path}");
        self.at(place?)
    }

    /// The same, by its place.
    pub fn at(&self, place: usize) -> Option<&'p str> {
        match self.found.get(place) {
            Some(Found::Text(raw)) => Some(raw.get()),
            _ => None,
        }
    }

    /// Whether the place where this path begins is there at all: then its absence is said, not hidden.
    pub fn says(&self, path: &str) -> bool {
        let first = path.split_once('.').map_or(path, |(first, _)| first);
        let place = self.members.place(first);
        debug_assert!(place.is_some(), "nobody looked for {first}");
        let found = place.and_then(|place| self.found.get(place));
        !matches!(found, None | Some(Found::Absent))
    }
}

impl<'p> DeserializeSeed<'p> for &'p Members {
    type Value = Item<'p>;

    fn deserialize<D: Deserializer<'p>>(self, json: D) -> Result<Self::Value, D::Error> {
        if self.nodes.is_empty() {
            let text = serde::Deserialize::deserialize(json)?;
            return Ok(Item {
                members: self,
                found: Vec::new(),
                text: Some(text),
            });
        }
        let mut found = Vec::with_capacity(self.nodes.len());
        json.deserialize_any(Level {
            members: self,
            level: &self.top,
            found: &mut found,
        })?;
        Ok(Item {
            members: self,
            found,
            text: None,
        })
    }
}

/// Cuts one object, whose members are these; what is no object is passed over, and nothing is found in it.
struct Level<'f, 'p> {
    members: &'p Members,
    level: &'p [Place],
    found: &'f mut Vec<Found<'p>>,
}

impl<'p> Level<'_, 'p> {
    /// Of two members with one name the last counts, as everywhere in JSON: with what is inside it.
    fn note(&mut self, node: usize, what: Found<'p>) {
        if let Some(found) = self.found.get_mut(node) {
            *found = what;
        }
    }

    fn forget(&mut self, level: &'p [Place]) {
        for place in level {
            self.note(place.node, Found::Absent);
            if let Some(node) = self.members.nodes.get(place.node) {
                self.forget(&node.inside);
            }
        }
    }

    fn inside<'f>(&'f mut self, node: &'p Node) -> Level<'f, 'p> {
        Level {
            members: self.members,
            level: &node.inside,
            found: self.found,
        }
    }
}

impl<'p> DeserializeSeed<'p> for Level<'_, 'p> {
    type Value = ();

    fn deserialize<D: Deserializer<'p>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'p> Visitor<'p> for Level<'_, 'p> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'p>>(mut self, mut map: A) -> Result<(), A::Error> {
        if self.found.is_empty() {
            self.found.resize(self.members.nodes.len(), Found::Absent);
        }
        let which = Which {
            members: self.members,
            level: self.level,
        };
        while let Some(at) = map.next_key_seed(which)? {
            let Some((at, node)) = at.and_then(|at| Some((at, self.members.nodes.get(at)?))) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if !node.inside.is_empty() {
                self.forget(&node.inside);
            }
            if node.wanted {
                let raw: &RawValue = map.next_value()?;
                self.note(at, Found::Text(raw));
                if !node.inside.is_empty() {
                    let mut json = serde_json::Deserializer::from_str(raw.get());
                    self.inside(node)
                        .deserialize(&mut json)
                        .map_err(A::Error::custom)?;
                }
            } else {
                self.note(at, Found::There);
                map.next_value_seed(self.inside(node))?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'p>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// Which of these members a name is.
#[derive(Clone, Copy)]
struct Which<'p> {
    members: &'p Members,
    level: &'p [Place],
}

impl<'p> DeserializeSeed<'p> for Which<'p> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'p>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Which<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        let mark = mark(name);
        let is = |place: &&Place| {
            place.mark == mark
                && self
                    .members
                    .nodes
                    .get(place.node)
                    .is_some_and(|node| node.name == name)
        };
        Ok(self.level.iter().find(is).map(|place| place.node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, paths: &[&'static str]) -> Vec<Option<String>> {
        let members = Members::at(paths.iter().copied());
        let item = members.of(text).unwrap();
        paths
            .iter()
            .map(|path| item.raw(path).map(str::to_owned))
            .collect()
    }

    #[test]
    fn what_is_asked_for_is_found_and_nothing_else() {
        let text = r#"{"a": 1, "b": {"c": [1, {"d": 2}], "e": {"f": "x"}}, "g": {"h": 3}, "i": null}"#;
        for (path, expected) in [
            ("a", Some("1")),
            ("b", Some(r#"{"c": [1, {"d": 2}], "e": {"f": "x"}}"#)),
            ("b.c", Some(r#"[1, {"d": 2}]"#)),
            ("b.e.f", Some("\"x\"")),
            ("b.e.x", None),
            ("a.x", None),
            ("i", Some("null")),
            ("i.x", None),
            ("x", None),
            ("x.y", None),
        ] {
            let members = Members::at([path]);
            assert_eq!(members.of(text).unwrap().raw(path), expected, "{path}");
        }
        // One inside another, in either order, and more than one of a level.
        for paths in [["b", "b.e", "b.e.f", "g.h"], ["b.e.f", "g.h", "b.e", "b"]] {
            assert!(cut(text, &paths).iter().all(Option::is_some), "{paths:?}");
        }
    }

    #[test]
    fn the_last_of_two_members_counts_with_all_that_is_inside() {
        let twice = r#"{"a": {"b": 1, "c": {"d": 2}}, "a": {"e": 3}}"#;
        assert_eq!(
            cut(twice, &["a.b", "a.c.d", "a.e"]),
            [None, None, Some("3".into())]
        );
        assert_eq!(cut(r#"{"a": 1, "\u0061": 2}"#, &["a"]), [Some("2".into())]);
    }

    #[test]
    fn what_is_there_without_what_was_looked_for_is_said() {
        let members = Members::at(["image.slug", "droplet.id", "name", "size.slug"]);
        let item = members
            .of(r#"{"image": {"id": 1}, "droplet": null, "name": null, "other": 1}"#)
            .unwrap();
        assert!(
            ["image.slug", "droplet.id", "name"]
                .iter()
                .all(|path| item.says(path))
        );
        assert!(!item.says("size.slug"));
    }

    #[test]
    fn what_is_no_object_has_no_members() {
        let members = Members::at(["id", "a.b"]);
        for text in [
            "1",
            "-1",
            "1.5",
            "null",
            "true",
            "\"id\"",
            "[]",
            r#"[{"id": 1}]"#,
            "{}",
        ] {
            let item = members.of(text).unwrap();
            assert_eq!(item.is_object(), text == "{}", "{text}");
            assert!(item.raw("id").is_none() && !item.says("a.b"), "{text}");
        }
        for text in ["", "{", r#"{"id": 1}}"#, r#"{"id": 01}"#, r#"{"x": [}"#] {
            assert!(members.of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_whole_item_is_its_text() {
        let members = Members::whole();
        assert_eq!(members.of(r#"{"id": 1}"#).unwrap().text(), r#"{"id": 1}"#);
    }
}
