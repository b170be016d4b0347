//! One page of a listing, cut into its items and what stands beside them.
//!
//! In one pass over the bytes, which are 0.6 MiB: items are cut into the members that somebody looks at on the way, and
//! those that are what they were (see [`super::remembered`]) are passed over. Nothing is decided here; a page that is not
//! an object with a list under the right key is malformed, and its items stay unread.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeSeed, IgnoredAny};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Error;
use super::item::{Item, Members};
use super::remembered::{Expected, Seal};

/// The members of a page other than the list.
pub(super) type Beside<'p> = BTreeMap<Cow<'p, str>, &'p RawValue>;

/// A page of which nothing has been checked but its form.
pub(super) struct Page<'p> {
    pub(super) items: Vec<Piece<'p>>,
    pub(super) beside: Beside<'p>,
}

/// One item of the list.
pub(super) enum Piece<'p> {
    /// It is what stood at this place before.
    Same(usize),
    /// Cut, and sealed where it is to be remembered.
    New(Item<'p>, Option<Seal>),
}

impl<'p> Page<'p> {
    /// Cuts a page whose list stands under `root`, and its items into these members, but for those that are what is
    /// expected.
    pub(super) fn cut(
        body: &'p [u8],
        root: &str,
        members: &'p Members,
        mut expected: Option<Expected<'_>>,
    ) -> Result<Self, Error> {
        let malformed = Error::Malformed("the answer is not a JSON object");
        // Once for all of it: strings need not be looked at one by one.
        let body = std::str::from_utf8(body).map_err(|_| malformed.clone())?;
        match (Cursor { rest: body }).page(root, members, &mut expected) {
            Some((Some(items), beside)) => Ok(Self { items, beside }),
            Some((None, _)) => Err(Error::Malformed("the list is missing")),
            // Which of the two it is nobody needs to know in a hurry.
            None if serde_json::from_str::<BTreeMap<String, IgnoredAny>>(body).is_ok() => {
                Err(Error::Malformed("the list is not an array"))
            }
            None => Err(malformed),
        }
    }
}

/// `meta.total`, if the page has one.
pub(super) fn total(fields: &Beside<'_>) -> Option<u64> {
    #[derive(Deserialize)]
    struct Meta {
        total: Option<u64>,
    }
    serde_json::from_str::<Meta>(fields.get("meta")?.get())
        .ok()?
        .total
}

/// A total at a path of at most two steps, as a number or as text.
pub(super) fn loose_total(fields: &Beside<'_>, path: &str) -> Option<u64> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let value: Value = serde_json::from_str(fields.get(first)?.get()).ok()?;
    let value = if rest.is_empty() { &value } else { value.get(rest)? };
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// `links.pages.next`. All of `links` missing, `{}`, `{"pages": {}}` and `{"pages": null}` mean "the last page".
pub(super) fn next_link(fields: &Beside<'_>) -> Result<Option<String>, Error> {
    #[derive(Deserialize)]
    struct Links {
        pages: Option<Pages>,
    }
    #[derive(Deserialize)]
    struct Pages {
        next: Option<String>,
    }
    let Some(links) = fields.get("links") else {
        return Ok(None);
    };
    let links: Option<Links> =
        serde_json::from_str(links.get()).map_err(|_| Error::Malformed("links are not readable"))?;
    Ok(links
        .and_then(|links| links.pages)
        .and_then(|pages| pages.next)
        .filter(|next| !next.is_empty()))
}

/// How far a page has been gone over: its outer form here, each value by the library.
struct Cursor<'p> {
    rest: &'p str,
}

/// The list, if there is one, and the other members.
type Parts<'p> = (Option<Vec<Piece<'p>>>, Beside<'p>);

impl<'p> Cursor<'p> {
    /// All of the page; `None`: it is not one.
    fn page(
        mut self,
        root: &str,
        members: &'p Members,
        expected: &mut Option<Expected<'_>>,
    ) -> Option<Parts<'p>> {
        let (mut items, mut beside) = (None, Beside::new());
        self.eat("{").then_some(())?;
        if !self.eat("}") {
            loop {
                let (name, _) = self.value(PhantomData::<Cow<'p, str>>)?;
                self.eat(":").then_some(())?;
                if name == root {
                    items = Some(self.list(members, expected)?);
                } else {
                    let (value, _) = self.value(PhantomData::<&'p RawValue>)?;
                    beside.insert(name, value);
                }
                if !self.goes_on("}")? {
                    break;
                }
            }
        }
        self.skip();
        self.rest.is_empty().then_some((items, beside))
    }

    fn list(&mut self, members: &'p Members, expected: &mut Option<Expected<'_>>) -> Option<Vec<Piece<'p>>> {
        // Services that know no empty array answer null: an empty list, still counted against the total.
        if self.eat("null") {
            return Some(Vec::new());
        }
        self.eat("[").then_some(())?;
        if self.eat("]") {
            return Some(Vec::new());
        }
        let mut items = Vec::with_capacity(usize::try_from(super::listing::PER_PAGE).unwrap_or(0));
        loop {
            self.skip();
            let same = expected.as_mut().and_then(|expected| expected.same(self.rest));
            if let Some((place, length)) = same {
                self.rest = self.rest.get(length..)?;
                items.push(Piece::Same(place));
            } else {
                let (item, text) = self.value(members)?;
                let seal = expected.as_mut().map(|expected| expected.other(text));
                items.push(Piece::New(item, seal));
            }
            if !self.goes_on("]")? {
                return Some(items);
            }
        }
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\n', '\t', '\r']);
    }

    /// Whether this comes next; if so, it is behind us.
    fn eat(&mut self, what: &str) -> bool {
        self.skip();
        let rest = self.rest.strip_prefix(what);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Whether another element comes, or the end.
    fn goes_on(&mut self, end: &str) -> Option<bool> {
        let more = self.eat(",");
        (more || self.eat(end)).then_some(more)
    }

    /// One value, and its text.
    fn value<S: DeserializeSeed<'p>>(&mut self, seed: S) -> Option<(S::Value, &'p str)> {
        self.skip();
        let mut json = serde_json::Deserializer::from_str(self.rest);
        let value = seed.deserialize(&mut json).ok()?;
        let end = json.into_iter::<IgnoredAny>().byte_offset();
        let (text, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some((value, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(body: &str) -> Result<(Vec<String>, Vec<String>), Error> {
        let members = Members::whole();
        let page = Page::cut(body.as_bytes(), "things", &members, None)?;
        let beside = page.beside.values().map(|value| value.get().to_owned());
        let items = page.items.iter().map(|piece| match piece {
            Piece::Same(place) => panic!("nothing was expected at {place}"),
            Piece::New(item, _) => item.text().to_owned(),
        });
        Ok((items.collect(), beside.collect()))
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn a_page_is_its_items_and_what_stands_beside_them() {
        let page = r#"{"links": {}, "things": [{"id": 1}, 2, "x"], "meta": {"total": 3}}"#;
        let expected = (
            texts(&[r#"{"id": 1}"#, "2", "\"x\""]),
            texts(&["{}", r#"{"total": 3}"#]),
        );
        assert_eq!(cut(page), Ok(expected));
        assert_eq!(cut(r#"{"things": null}"#), Ok((vec![], vec![])));
        assert_eq!(
            cut(r#"{"things": [1], "things": [2]}"#),
            Ok((texts(&["2"]), vec![]))
        );
    }

    #[test]
    fn what_is_no_page_is_malformed_and_says_how() {
        for (body, what) in [
            (r#"{"meta": {}}"#, "the list is missing"),
            (r#"{"things": {}}"#, "the list is not an array"),
            (r#"{"things": "none"}"#, "the list is not an array"),
            (r#"{"things": [1]"#, "the answer is not a JSON object"),
            (r#"{"things": [1]} x"#, "the answer is not a JSON object"),
            (r#"{"things": [1,]}"#, "the answer is not a JSON object"),
            (r#"{"things": [1 2]}"#, "the answer is not a JSON object"),
            (r#"{"things": [1],}"#, "the answer is not a JSON object"),
            (r#"{"things": [1] "x": 1}"#, "the answer is not a JSON object"),
            (r#"{"things" [1]}"#, "the answer is not a JSON object"),
            (r#"{things: [1]}"#, "the answer is not a JSON object"),
            (r#"{1: [1]}"#, "the answer is not a JSON object"),
            (r#"{"things": nul}"#, "the answer is not a JSON object"),
            ("[]", "the answer is not a JSON object"),
            ("", "the answer is not a JSON object"),
            ("<html>", "the answer is not a JSON object"),
        ] {
            assert_eq!(cut(body), Err(Error::Malformed(what)), "{body}");
        }
    }
}
