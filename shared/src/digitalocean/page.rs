//! One page of a listing, cut into its items and what stands beside them.
//!
//! In one pass over the bytes, which are 0.6 MiB: items are cut into the members that somebody looks at on the way.
//! Nothing is decided here; a page that is not an object with a list under the right key is malformed, and its items stay
//! unread.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Error;
use super::item::{Item, Members};

/// The members of a page other than the list.
pub(super) type Beside<'p> = BTreeMap<Cow<'p, str>, &'p RawValue>;

/// A page of which nothing has been checked but its form.
pub(super) struct Page<'p> {
    pub(super) items: Vec<Item<'p>>,
    pub(super) beside: Beside<'p>,
}

impl<'p> Page<'p> {
    /// Cuts a page whose list stands under `root`, and its items into these members.
    pub(super) fn cut(body: &'p [u8], root: &str, members: &'p Members) -> Result<Self, Error> {
        let malformed = Error::Malformed("the answer is not a JSON object");
        // Once for all of it: strings need not be looked at one by one.
        let body = std::str::from_utf8(body).map_err(|_| malformed.clone())?;
        let mut json = serde_json::Deserializer::from_str(body);
        let cut = json.deserialize_map(Parts { root, members });
        match cut.and_then(|page| json.end().map(|()| page)) {
            Ok((Some(items), beside)) => Ok(Self { items, beside }),
            Ok((None, _)) => Err(Error::Malformed("the list is missing")),
            // Which of the two it is nobody needs to know in a hurry.
            Err(_) if serde_json::from_str::<BTreeMap<String, IgnoredAny>>(body).is_ok() => {
                Err(Error::Malformed("the list is not an array"))
            }
            Err(_) => Err(malformed),
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

struct Parts<'r, 'p> {
    root: &'r str,
    members: &'p Members,
}

impl<'p> Visitor<'p> for Parts<'_, 'p> {
    type Value = (Option<Vec<Item<'p>>>, Beside<'p>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'p>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
        let (mut items, mut beside) = (None, Beside::new());
        while let Some(name) = parts.next_key::<Cow<'p, str>>()? {
            if name == self.root {
                items = Some(parts.next_value_seed(Items(self.members))?);
            } else {
                beside.insert(name, parts.next_value()?);
            }
        }
        Ok((items, beside))
    }
}

struct Items<'p>(&'p Members);

impl<'p> DeserializeSeed<'p> for Items<'p> {
    type Value = Vec<Item<'p>>;

    fn deserialize<D: Deserializer<'p>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_option(self)
    }
}

impl<'p> Visitor<'p> for Items<'p> {
    type Value = Vec<Item<'p>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    // Services that know no empty array answer null: an empty list, still counted against the total.
    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    fn visit_some<D: Deserializer<'p>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'p>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::with_capacity(usize::try_from(super::listing::PER_PAGE).unwrap_or(0));
        while let Some(item) = list.next_element_seed(self.0)? {
            items.push(item);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(body: &str) -> Result<(Vec<String>, Vec<String>), Error> {
        let members = Members::whole();
        let page = Page::cut(body.as_bytes(), "things", &members)?;
        let beside = page.beside.values().map(|value| value.get().to_owned());
        let items = page.items.iter().map(|item| item.text().to_owned());
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
            ("[]", "the answer is not a JSON object"),
            ("", "the answer is not a JSON object"),
            ("<html>", "the answer is not a JSON object"),
        ] {
            assert_eq!(cut(body), Err(Error::Malformed(what)), "{body}");
        }
    }
}
