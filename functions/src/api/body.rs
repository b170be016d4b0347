//! Bodies of edits: one JSON object with a closed list of members.
//!
//! Read once per request, after the caller is known. The wrong content type is a 415, what is not JSON a 400, and
//! every member that is unknown, given twice, missing or not what it should be is named in one 422. It refuses to
//! guess: a misspelt member must not turn into "as it was".

use std::collections::BTreeMap;
use std::fmt;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::error::{Invalid, Problem};

/// Nobody sends us more than a few lines.
pub(super) const LARGEST: usize = 16 * 1024;
/// The longest tenant, as in tokens.
const LONGEST_TENANT: usize = 128;
/// The longest reason.
const LONGEST_REASON: usize = 500;
/// How many culprits are named at once.
const MOST_ERRORS: usize = 16;

/// The members of one body.
#[derive(Debug)]
pub struct Members {
    values: BTreeMap<String, Value>,
    errors: Vec<Invalid>,
}

impl Members {
    /// Reads the body. What is wrong with members is kept for [`Members::check`].
    ///
    /// # Errors
    /// 415, 413, or 400 if it is not JSON at all.
    pub async fn of(request: Request, known: &[&'static str]) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let is_json = parts.headers.get(CONTENT_TYPE).is_some_and(|value| {
            let essence = value.to_str().unwrap_or_default().split(';').next();
            essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
        });
        let bytes = whole(body).await?;
        if !is_json && !bytes.is_empty() {
            return Err(Problem::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        Self::parse(&bytes, known)
    }

    fn parse(bytes: &[u8], known: &[&'static str]) -> Result<Self, Problem> {
        let mut members = Self {
            values: BTreeMap::new(),
            errors: Vec::new(),
        };
        if bytes.is_empty() {
            return Ok(members);
        }
        let Ok(value) = serde_json::from_slice::<Pairs>(bytes) else {
            return match serde_json::from_slice::<Value>(bytes) {
                Ok(_) => Err(Problem::members(vec![Invalid::member(
                    "",
                    "the body must be one object",
                )])),
                Err(_) => Err(Problem::unreadable("The body is not JSON.")),
            };
        };
        for (name, value) in value.0 {
            let shown: String = name.chars().take(32).collect();
            if !known.contains(&name.as_str()) {
                members.wrong(&shown, "is not a member of this body");
            } else if members.values.insert(name, value).is_some() {
                members.wrong(&shown, "is given more than once");
            }
        }
        Ok(members)
    }

    /// Whether a member was given, null or not.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A tenant, or null for none; `None` where the member was not given.
    pub fn tenant(&mut self, name: &'static str) -> Option<Option<String>> {
        match self.values.get(name)?.clone() {
            Value::Null => Some(None),
            Value::String(text) if text.is_empty() => {
                self.refuse(name, "must not be empty: null means nobody")
            }
            Value::String(text) if text.chars().count() > LONGEST_TENANT => self.refuse(name, "is too long"),
            Value::String(text)
                if text
                    .chars()
                    .any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER) =>
            {
                self.refuse(name, "has characters that are not text")
            }
            Value::String(text) => Some(Some(text)),
            _ => self.refuse(name, "must be a text or null"),
        }
    }

    /// A reason; `None` where the member was not given.
    pub fn reason(&mut self, name: &'static str) -> Option<String> {
        match self.values.get(name)?.clone() {
            Value::String(text) if text.trim().is_empty() => self.refuse(name, "must say something"),
            Value::String(text) if text.chars().count() > LONGEST_REASON => {
                self.refuse(name, "must have 500 characters at most")
            }
            Value::String(text) if text.chars().any(|c| c.is_control() && c != '\n') => {
                self.refuse(name, "has characters that are not text")
            }
            Value::String(text) => Some(text),
            _ => self.refuse(name, "must be a text"),
        }
    }

    /// One of these words; `None` where the member was not given.
    pub fn one_of(&mut self, name: &'static str, words: &[&'static str]) -> Option<&'static str> {
        let value = self.values.get(name)?;
        let word = words.iter().find(|word| value.as_str() == Some(word)).copied();
        word.or_else(|| self.refuse(name, &format!("must be one of {}", words.join(", "))))
    }

    /// A whole number within bounds; `None` where the member was not given.
    pub fn number(&mut self, name: &'static str, bounds: std::ops::RangeInclusive<i64>) -> Option<i64> {
        // 5.0 is a whole number, too.
        let value = self.values.get(name)?;
        let whole = |value: f64| (value.fract() == 0.0 && value.abs() < 1e15).then_some(value as i64);
        let value = value.as_i64().or_else(|| value.as_f64().and_then(whole));
        value.filter(|value| bounds.contains(value)).or_else(|| {
            let (least, most) = (bounds.start(), bounds.end());
            self.refuse(name, &format!("must be a whole number from {least} to {most}"))
        })
    }

    /// Names a member that is wrong.
    pub fn wrong(&mut self, name: &str, detail: &str) {
        if self.errors.len() < MOST_ERRORS {
            self.errors.push(Invalid::member(name, detail));
        }
    }

    fn refuse<T>(&mut self, name: &str, detail: &str) -> Option<T> {
        self.wrong(name, detail);
        None
    }

    /// A member that must be given.
    pub fn require(&mut self, name: &'static str) {
        if !self.has(name) {
            self.wrong(name, "is missing");
        }
    }

    /// Nothing was wrong.
    ///
    /// # Errors
    /// 422 that names everything that was.
    pub fn check(&mut self) -> Result<(), Problem> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(Problem::members(std::mem::take(&mut self.errors)))
        }
    }
}

async fn whole(body: Body) -> Result<Vec<u8>, Problem> {
    let bytes = to_bytes(body, LARGEST).await;
    bytes
        .map(Into::into)
        .map_err(|_| Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE))
}

/// An object as it was written, repeated names included.
struct Pairs(Vec<(String, Value)>);

impl<'d> Deserialize<'d> for Pairs {
    fn deserialize<D: Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'d> Visitor<'d> for Reader {
            type Value = Pairs;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<M: MapAccess<'d>>(self, mut map: M) -> Result<Pairs, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["tenant_id", "reason", "purpose", "for_minutes"];

    fn errors(body: &str) -> Vec<String> {
        let mut members = Members::parse(body.as_bytes(), &KNOWN).unwrap();
        members.tenant("tenant_id");
        members.reason("reason");
        members.one_of("purpose", &["internal", "shared"]);
        members.number("for_minutes", 1..=60);
        let names = members.errors.iter().map(|error| error.member.clone().unwrap());
        names.collect()
    }

    #[test]
    fn whatever_is_wrong_is_named() {
        let long = "x".repeat(501);
        for (body, culprits) in [
            (r#"{"tenant_id": "a", "reason": "b"}"#.to_owned(), vec![]),
            (
                r#"{"tenant_id": null, "purpose": "shared", "for_minutes": 60}"#.to_owned(),
                vec![],
            ),
            (r#"{"tenant": "a"}"#.to_owned(), vec!["tenant"]),
            (r#"{"Reason": "a"}"#.to_owned(), vec!["Reason"]),
            (
                r#"{"tenant_id": "a", "tenant_id": "b"}"#.to_owned(),
                vec!["tenant_id"],
            ),
            (r#"{"tenant_id": ""}"#.to_owned(), vec!["tenant_id"]),
            (r#"{"tenant_id": 7}"#.to_owned(), vec!["tenant_id"]),
            (r#"{"tenant_id": ["a"]}"#.to_owned(), vec!["tenant_id"]),
            ("{\"tenant_id\": \"a\\u0000\"}".to_owned(), vec!["tenant_id"]),
            (
                format!("{{\"tenant_id\": \"{}\"}}", "x".repeat(129)),
                vec!["tenant_id"],
            ),
            (r#"{"reason": " "}"#.to_owned(), vec!["reason"]),
            (r#"{"reason": null}"#.to_owned(), vec!["reason"]),
            (format!("{{\"reason\": \"{long}\"}}"), vec!["reason"]),
            (r#"{"purpose": "Internal"}"#.to_owned(), vec!["purpose"]),
            (r#"{"for_minutes": 0}"#.to_owned(), vec!["for_minutes"]),
            (r#"{"for_minutes": 5.0}"#.to_owned(), vec![]),
            (r#"{"for_minutes": 1.5}"#.to_owned(), vec!["for_minutes"]),
            (r#"{"for_minutes": 1e300}"#.to_owned(), vec!["for_minutes"]),
            (r#"{"for_minutes": "5"}"#.to_owned(), vec!["for_minutes"]),
            (
                r#"{"a": 1, "purpose": 2, "reason": 3}"#.to_owned(),
                vec!["a", "reason", "purpose"],
            ),
        ] {
            assert_eq!(errors(&body), culprits, "{body}");
        }
    }

    #[test]
    fn what_is_no_object_is_told_apart_from_what_is_no_json() {
        let status = |body: &str| Members::parse(body.as_bytes(), &KNOWN).map_err(|p| p.status().as_u16());
        for body in ["[]", "7", "null", "\"x\""] {
            assert_eq!(status(body).err(), Some(422), "{body}");
        }
        for body in ["{", "{]", "{\"a\":}", "\u{feff}{}", "{} {}", "nul"] {
            assert_eq!(status(body).err(), Some(400), "{body}");
        }
        assert!(Members::parse(b"", &KNOWN).unwrap().values.is_empty());
    }

    #[test]
    fn many_culprits_are_not_all_repeated() {
        let many: Vec<String> = (0..1_000).map(|n| format!("\"n{n}\": 1")).collect();
        assert_eq!(errors(&format!("{{{}}}", many.join(","))).len(), MOST_ERRORS);
    }
}
