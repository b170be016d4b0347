//! A JSON object of plain members, written by hand: to the letter what serde_json and chrono would write, in a third of
//! the time.
//!
//! A page of resources has two thousand members. The library looks through each name for what must be escaped, and chrono
//! formats moments character by character. Names are plain words of ours here; texts that need escaping, and moments that
//! Postgres cannot have stored, are left to the libraries.

use std::fmt::Write as _;

use chrono::{DateTime, Datelike, Timelike, Utc};
use uuid::Uuid;

/// An object in the making.
#[derive(Debug)]
pub(super) struct Object(String);

impl Object {
    /// Without members, with room for so many bytes.
    pub(super) fn begin(room: usize) -> Self {
        Self(String::with_capacity(room))
    }

    /// All of it.
    pub(super) fn end(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        self.0
    }

    pub(super) fn text(&mut self, name: &'static str, text: Option<&str>) {
        self.member(name, text, string);
    }

    pub(super) fn texts(&mut self, name: &'static str, texts: &[String]) {
        self.member(name, Some(texts), |json, texts| {
            json.push('[');
            for (at, text) in texts.iter().enumerate() {
                if at > 0 {
                    json.push(',');
                }
                string(json, text);
            }
            json.push(']');
        });
    }

    /// What is JSON already.
    pub(super) fn raw(&mut self, name: &'static str, raw: Option<&str>) {
        self.member(name, raw, String::push_str);
    }

    pub(super) fn id(&mut self, name: &'static str, id: Option<Uuid>) {
        self.member(name, id, |json, id| {
            json.push('"');
            json.push_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
            json.push('"');
        });
    }

    pub(super) fn number(&mut self, name: &'static str, number: Option<i32>) {
        self.member(name, number, |json, number| {
            // Infallible: it is memory that is written to.
            let _ = write!(json, "{number}");
        });
    }

    pub(super) fn moment(&mut self, name: &'static str, moment: Option<DateTime<Utc>>) {
        self.member(name, moment, |json, moment| match plain(&moment) {
            Some((text, length)) => {
                json.push('"');
                // Digits and signs: it is text.
                json.push_str(str::from_utf8(text.get(..length).unwrap_or_default()).unwrap_or_default());
                json.push('"');
            }
            None => json.push_str(&serde_json::to_string(&moment).unwrap_or_default()),
        });
    }

    fn member<T>(&mut self, name: &'static str, value: Option<T>, write: impl FnOnce(&mut String, T)) {
        let json = &mut self.0;
        json.push_str(if json.is_empty() { "{\"" } else { ",\"" });
        json.push_str(name);
        json.push_str("\":");
        match value {
            Some(value) => write(json, value),
            None => json.push_str("null"),
        }
    }
}

fn string(json: &mut String, text: &str) {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        // Infallible: a text can be written.
        json.push_str(&serde_json::to_string(text).unwrap_or_default());
    }
}

/// A moment in microseconds, of a year of four digits; its text, and how much of that counts.
fn plain(moment: &DateTime<Utc>) -> Option<([u8; 27], usize)> {
    let year = u32::try_from(moment.year()).ok().filter(|year| *year <= 9_999)?;
    let nanos = moment.nanosecond();
    // Below a microsecond, or a leap second.
    if !nanos.is_multiple_of(1_000) || nanos >= 1_000_000_000 {
        return None;
    }
    let two = |number: u32| [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8];
    let ([y1, y2], [y3, y4]) = (two(year / 100), two(year));
    let ([m1, m2], [d1, d2]) = (two(moment.month()), two(moment.day()));
    let ([h1, h2], [i1, i2], [s1, s2]) = (two(moment.hour()), two(moment.minute()), two(moment.second()));
    let micros = nanos / 1_000;
    let ([a, b], [c, d], [e, f]) = (two(micros / 10_000), two(micros / 100), two(micros));
    // As many digits as it takes, by threes.
    let (g, [h, i, j, k], length) = match micros {
        0 => (b'Z', [b' '; 4], 20),
        micros if micros.is_multiple_of(1_000) => (b'.', [a, b, c, b'Z'], 24),
        _ => (b'.', [a, b, c, d], 27),
    };
    let text = [
        y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', i1, i2, b':', s1, s2, g, h, i, j, k,
        e, f, b'Z',
    ];
    Some((text, length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn agree(moment: DateTime<Utc>) {
        let mut json = Object::begin(0);
        json.moment("at", Some(moment));
        let chronos = serde_json::to_string(&moment).unwrap();
        assert_eq!(json.end(), format!("{{\"at\":{chronos}}}"));
    }

    #[test]
    fn odd_moments_are_as_chrono_writes_them() {
        for text in [
            "0000-01-01T00:00:00Z",
            "0001-12-31T23:59:59.999999Z",
            "2016-12-31T23:59:60Z",
            "2026-02-28T05:06:07.100Z",
            "2026-02-28T05:06:07.000100Z",
            "2026-02-28T05:06:07.000000001Z",
            "9999-12-31T23:59:59.999999Z",
        ] {
            agree(text.parse().unwrap());
        }
        agree(DateTime::<Utc>::MIN_UTC);
        agree(DateTime::<Utc>::MAX_UTC);
    }

    #[test]
    fn what_is_absent_is_null_and_nothing_is_an_object() {
        assert_eq!(Object::begin(9).end(), "{}");
        let mut json = Object::begin(0);
        json.text("a", None);
        json.id("b", None);
        json.number("c", None);
        json.moment("d", None);
        json.raw("e", None);
        json.texts("f", &[]);
        let null = json!({"a": null, "b": null, "c": null, "d": null, "e": null, "f": []});
        assert_eq!(json.end(), null.to_string());
    }

    proptest! {
        #[test]
        fn every_moment_is_as_chrono_writes_it(micros in -70_000_000_000_000_000_i64..260_000_000_000_000_000) {
            for micros in [micros, micros / 1_000 * 1_000, micros / 1_000_000 * 1_000_000] {
                agree(DateTime::from_timestamp_micros(micros).unwrap());
            }
        }

        #[test]
        fn any_members_are_as_the_library_writes_them(
            text in any::<String>(), texts in proptest::collection::vec(any::<String>(), 0..4),
            number in any::<i32>(), id in any::<u128>(), inside in "[a-z\"\\\\\u{0}-\u{1f}]{0,9}",
        ) {
            let id = Uuid::from_u128(id);
            let mut json = Object::begin(0);
            json.text("a", Some(&text));
            json.texts("b", &texts);
            json.number("c", Some(number));
            json.id("d", Some(id));
            json.raw("e", Some("{\"x\": 1}"));
            json.text("f", Some(&inside));
            let library = |value: serde_json::Value| value.to_string();
            prop_assert_eq!(json.end(), format!(
                "{{\"a\":{},\"b\":{},\"c\":{number},\"d\":\"{id}\",\"e\":{{\"x\": 1}},\"f\":{}}}",
                library(json!(text)), library(json!(texts)), library(json!(inside)),
            ));
        }
    }
}
