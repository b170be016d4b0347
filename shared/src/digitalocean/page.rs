//! One page of a listing, cut into its items and what stands beside them.
//!
//! In one pass over the bytes: a page has 0.6 MiB, and whoever reads the items goes over each of them again. Nothing is
//! decided here; a page that is not an object with a list under the right key is malformed, and its items stay unread.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Error;

/// The members of a page other than the list.
pub(super) type Beside<'p> = BTreeMap<Cow<'p, str>, &'p RawValue>;

/// A page of which nothing has been checked but its form.
pub(super) struct Page<'p> {
    pub(super) items: Vec<&'p RawValue>,
    pub(super) beside: Beside<'p>,
}

impl<'p> Page<'p> {
    /// Cuts a page whose list stands under `root`.
    pub(super) fn cut(body: &'p [u8], root: &str) -> Result<Self, Error> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let cut = json.deserialize_map(Members { root });
        match cut.and_then(|page| json.end().map(|()| page)) {
            Ok((Some(items), beside)) => Ok(Self { items, beside }),
            Ok((None, _)) => Err(Error::Malformed("the list is missing")),
            // Which of the two it is nobody needs to know in a hurry.
            Err(_) if serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(body).is_ok() => {
                Err(Error::Malformed("the list is not an array"))
            }
            Err(_) => Err(Error::Malformed("the answer is not a JSON object")),
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

struct Members<'r> {
    root: &'r str,
}

impl<'p> Visitor<'p> for Members<'_> {
    type Value = (Option<Vec<&'p RawValue>>, Beside<'p>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'p>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut items, mut beside) = (None, Beside::new());
        while let Some(name) = members.next_key::<Cow<'p, str>>()? {
            if name == self.root {
                // Services that know no empty array answer null: an empty list, still counted against the total.
                items = Some(members.next_value::<Option<_>>()?.unwrap_or_default());
            } else {
                beside.insert(name, members.next_value()?);
            }
        }
        Ok((items, beside))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(body: &str) -> Result<(Vec<&str>, Vec<&str>), Error> {
        let page = Page::cut(body.as_bytes(), "things")?;
        let beside = page.beside.values().map(|value| value.get()).collect();
        Ok((page.items.iter().map(|item| item.get()).collect(), beside))
    }

    #[test]
    fn a_page_is_its_items_and_what_stands_beside_them() {
        let page = r#"{"links": {}, "things": [{"id": 1}, 2, "x"], "meta": {"total": 3}}"#;
        let expected = (vec![r#"{"id": 1}"#, "2", "\"x\""], vec!["{}", r#"{"total": 3}"#]);
        assert_eq!(cut(page), Ok(expected));
        assert_eq!(cut(r#"{"things": null}"#), Ok((vec![], vec![])));
        assert_eq!(cut(r#"{"things": [1], "things": [2]}"#), Ok((vec!["2"], vec![])));
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
