//! Query parameters: a closed list per route, each given once.
//!
//! Read once per request by the handler. Everything that is wrong is collected and answered in one 400 that names
//! each culprit: unknown and repeated names, values that cannot be read. A misspelt filter must not turn into
//! "everything". It refuses to guess: no case folding, no trimming, no empty values.

use std::collections::BTreeMap;

use axum::extract::Request;
use url::form_urlencoded;
use xxhash_rust::xxh3::Xxh3;

use super::error::{Invalid, Problem};
use super::event::Stage;

/// The longest name that is repeated to the caller.
const LONGEST_NAME: usize = 32;
/// The longest value, cursors excepted.
const LONGEST_VALUE: usize = 128;
/// The longest cursor: a name of 255 characters, encoded, and then some.
const LONGEST_CURSOR: usize = 2_048;
/// How many culprits are named at once.
const MOST_ERRORS: usize = 16;

/// What a parameter is known by: a route's parameters are its documentation too.
pub trait Named {
    /// Its name in the query.
    fn name(&self) -> &'static str;
}

impl Named for &'static str {
    fn name(&self) -> &'static str {
        self
    }
}

/// The parameters of one request.
#[derive(Debug)]
pub struct Parameters {
    path: String,
    values: BTreeMap<&'static str, String>,
    errors: Vec<Invalid>,
}

impl Parameters {
    /// Takes the query apart. What is wrong is kept for [`Parameters::check`].
    pub fn of(request: &Request, known: &[impl Named]) -> Self {
        let stage = request
            .extensions()
            .get()
            .map_or("", |Stage(prefix)| prefix.as_str());
        let path = format!("{stage}{}", request.uri().path());
        Self::parse(path, request.uri().query().unwrap_or_default(), known)
    }

    fn parse(path: String, query: &str, known: &[impl Named]) -> Self {
        let mut parameters = Self {
            path,
            values: BTreeMap::new(),
            errors: Vec::new(),
        };
        if !well_encoded(query) {
            parameters.wrong("query", "is not percent-encoded correctly");
            return parameters;
        }
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(name) = known.iter().map(Named::name).find(|known| *known == name) else {
                let shown: String = name.chars().take(LONGEST_NAME).collect();
                parameters.wrong(&shown, "is not a parameter of this path");
                continue;
            };
            let longest = if name == "cursor" {
                LONGEST_CURSOR
            } else {
                LONGEST_VALUE
            };
            if value.is_empty() {
                parameters.wrong(name, "is empty");
            } else if value.chars().count() > longest {
                parameters.wrong(name, "is too long");
            } else if value
                .chars()
                .any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER)
            {
                parameters.wrong(name, "has characters that are not text");
            } else if parameters.values.insert(name, value.into_owned()).is_some() {
                parameters.wrong(name, "is given more than once");
            }
        }
        parameters
    }

    /// A value as it was written.
    pub fn text(&self, name: &str) -> Option<String> {
        self.values.get(name).cloned()
    }

    /// A value that has a form; `read` says what is wrong with it in half a sentence.
    pub fn parsed<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        match read(self.values.get(name)?) {
            Ok(value) => Some(value),
            Err(detail) => {
                self.wrong(name, detail);
                None
            }
        }
    }

    /// Nothing was wrong.
    ///
    /// # Errors
    /// 400 that names everything that was.
    pub fn check(&mut self) -> Result<(), Problem> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(Problem::parameters(std::mem::take(&mut self.errors)))
        }
    }

    /// The same for every page of one listing, different for another path, filter or order.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Xxh3::new();
        hash.update(self.path.as_bytes());
        for (name, value) in self
            .values
            .iter()
            .filter(|(name, _)| !matches!(**name, "limit" | "cursor"))
        {
            for part in [*name, value.as_str()] {
                hash.update(&[0]);
                hash.update(part.as_bytes());
            }
        }
        hash.digest()
    }

    /// The same request with another cursor, as a path and query.
    pub fn with_cursor(&self, cursor: &str) -> String {
        let others = self.values.iter().filter(|(name, _)| **name != "cursor");
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(others)
            .append_pair("cursor", cursor)
            .finish();
        format!("{}?{query}", self.path)
    }

    fn wrong(&mut self, name: &str, detail: &str) {
        if self.errors.len() < MOST_ERRORS {
            self.errors.push(Invalid::parameter(name, detail));
        }
    }
}

/// Whether every percent sign begins an encoded byte. (What is not UTF-8 then shows as a replacement character.)
fn well_encoded(query: &str) -> bool {
    let hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    query
        .split('%')
        .skip(1)
        .all(|rest| hex(rest.as_bytes().first()) && hex(rest.as_bytes().get(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Parameters {
        Parameters::parse("/p".to_owned(), query, &["kind", "q", "limit", "cursor"])
    }

    #[test]
    fn whatever_is_wrong_is_named() {
        let long = format!("q={}", "x".repeat(129));
        for (query, culprit) in [
            ("kinds=x", "kinds"),
            ("Kind=x", "Kind"),
            ("kind[]=x", "kind[]"),
            ("kind", "kind"),
            ("kind=", "kind"),
            ("kind=a&kind=b", "kind"),
            ("kind=a&k%69nd=b", "kind"),
            ("q=%", "query"),
            ("q=%zz", "query"),
            ("q=%4", "query"),
            ("q=%ff", "q"),
            ("q=%C0%80", "q"),
            ("q=a%00b", "q"),
            ("q=a%0ab", "q"),
            ("q=%C2%85", "q"),
            (long.as_str(), "q"),
            ("=x", ""),
            ("_=1", "_"),
        ] {
            let errors = parse(query).errors;
            assert_eq!(errors.len(), 1, "{query}: {errors:?}");
            assert_eq!(errors[0].parameter.as_deref(), Some(culprit), "{query}");
        }
        assert_eq!(parse("a=1&b=2&kind=").errors.len(), 3);
        let many: String = (0..1_000).map(|n| format!("n{n}=1&")).collect();
        assert_eq!(parse(&many).errors.len(), MOST_ERRORS);
    }

    #[test]
    fn what_is_right_is_taken_as_it_is() {
        for (query, value) in [
            ("q=web-1", "web-1"),
            ("q=a+b", "a b"),
            ("q=a%2Bb", "a+b"),
            ("q=%c3%a4", "ä"),
            ("q=a=b", "a=b"),
            ("&q=%27%20OR%201=1--&", "' OR 1=1--"),
        ] {
            let mut parameters = parse(query);
            assert!(parameters.check().is_ok(), "{query}");
            assert_eq!(parameters.text("q").as_deref(), Some(value), "{query}");
        }
        assert!(parse("").check().is_ok());
    }

    #[test]
    fn the_fingerprint_is_of_filters_and_order_only() {
        let of = |query| parse(query).fingerprint();
        assert_eq!(of("kind=a&q=b"), of("q=b&kind=a&limit=7&cursor=zzz"));
        for other in ["kind=a", "kind=b&q=a", "kind=a&q=b%00", "kind=ab", ""] {
            assert_ne!(of("kind=a&q=b"), of(other), "{other}");
        }
    }

    #[test]
    fn a_link_repeats_the_request() {
        assert_eq!(
            parse("q=a%26b+c&cursor=old&limit=5").with_cursor("n_-w"),
            "/p?limit=5&q=a%26b+c&cursor=n_-w"
        );
    }
}
