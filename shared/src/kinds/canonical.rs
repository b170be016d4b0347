//! The one way to write a JSON value that is kept, so that equal things have equal text.
//!
//! Numbers without a needless fraction; arrays as sorted sets, because none that is kept has an order that means
//! something; members sorted by name; times as instants; no character that Postgres refuses. Written straight from the
//! text of the item: of a hundred thousand things that have not changed no value is ever built. Pure; it refuses what
//! cannot be what it should be.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Shape;
use super::item::{clean, unquoted};

/// Text in the making.
#[derive(Debug, Default)]
pub(super) struct Canonical {
    text: Vec<u8>,
    /// Elements and members of the arrays and objects that are being written, each array and object behind the one that
    /// it is in.
    pieces: Vec<Piece>,
    /// Where pieces are put in order.
    sorted: Vec<u8>,
}

/// One element of an array, or one member of an object.
#[derive(Clone, Debug)]
struct Piece {
    /// What it is sorted by: an element's text, or a member's name in its quotes.
    by: Range<usize>,
    all: Range<usize>,
}

impl Canonical {
    /// What has been written so far.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Begins anew.
    pub(super) fn clear(&mut self) {
        self.text.clear();
    }

    /// Bytes that are what they are.
    pub(super) fn plain(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
    }

    /// A text, quoted.
    pub(super) fn string(&mut self, text: &str) {
        // Infallible: a text can be written, and so can memory.
        let _ = serde_json::to_writer(&mut self.text, text);
    }

    /// A text that stands in the item without escapes, if it is borrowed from there, and so needs none.
    #[expect(clippy::ptr_arg, reason = "whether it is borrowed is what decides")]
    pub(super) fn read_string(&mut self, text: &Cow<'_, str>) {
        match text {
            Cow::Borrowed(text) => self.quoted(text),
            Cow::Owned(text) => self.string(text),
        }
    }

    fn quoted(&mut self, text: &str) {
        self.text.reserve(text.len() + 2);
        self.text.push(b'"');
        self.text.extend_from_slice(text.as_bytes());
        self.text.push(b'"');
    }

    /// A list of texts, as they come; borrowed ones as above.
    pub(super) fn read_strings(&mut self, texts: &[Cow<'_, str>]) {
        self.text.push(b'[');
        for (at, text) in texts.iter().enumerate() {
            if at > 0 {
                self.text.push(b',');
            }
            self.read_string(text);
        }
        self.text.push(b']');
    }

    /// A value of this shape. `None`: it is none; what has been written of it is to be thrown away.
    pub(super) fn value(&mut self, raw: &str, shape: Shape) -> Option<()> {
        let first = raw.as_bytes().first()?;
        match (shape, first) {
            (Shape::Set | Shape::SetOf(_), b'n') => self.plain(b"[]"),
            (Shape::Instant | Shape::Only(_), b'n') => self.plain(b"null"),
            (Shape::Plain, _) if is_canonical(raw) => self.plain(raw.as_bytes()),
            (Shape::Plain, _) | (Shape::Set, b'[') => self.read(raw, None)?,
            (Shape::SetOf(members), b'[') | (Shape::Only(members), b'{') => self.read(raw, Some(members))?,
            (Shape::Instant, b'"') => self.instant(raw)?,
            _ => return None,
        }
        Some(())
    }

    /// Writes what it reads; of objects, or of the objects in a list, only these members.
    fn read(&mut self, raw: &str, only: Option<&[&str]>) -> Option<()> {
        let mut json = serde_json::Deserializer::from_str(raw);
        self.pieces.clear();
        Value { to: self, only }.deserialize(&mut json).ok()
    }

    fn instant(&mut self, raw: &str) -> Option<()> {
        if is_plain_instant(raw.as_bytes()) {
            self.plain(raw.as_bytes());
            return Some(());
        }
        let text = unquoted(raw)?;
        let instant = DateTime::parse_from_rfc3339(&text).ok()?.with_timezone(&Utc);
        self.string(&instant.to_rfc3339_opts(SecondsFormat::AutoSi, true));
        Some(())
    }

    fn number(&mut self, number: f64) {
        const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
        // `1.0` is `1`, and so is `1e0`.
        if number.fract() == 0.0 && number.abs() <= EXACT {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a whole number of at most 53 bits"
            )]
            let whole = number as i64;
            self.write(&whole);
        } else {
            self.write(&number);
        }
    }

    fn write(&mut self, value: &impl serde::Serialize) {
        // Infallible: a number can be written, and so can memory.
        let _ = serde_json::to_writer(&mut self.text, value);
    }

    /// Between two pieces, the first of which is the `from`th.
    fn separate(&mut self, from: usize) {
        if self.pieces.len() > from {
            self.text.push(b',');
        }
    }

    /// Puts the pieces from the `from`th on in order, each once: of equal ones the last stays. They stand one behind the
    /// other, with a comma between them, at the end of the text.
    fn settle(&mut self, from: usize, order: impl Fn(&[u8], &[u8]) -> std::cmp::Ordering) {
        let text = &self.text;
        let by = |piece: &Piece| text.get(piece.by.clone()).unwrap_or_default();
        let Some(pieces) = self.pieces.get_mut(from..) else {
            return;
        };
        let is_settled = |two: &[Piece]| match two {
            [one, two] => order(by(one), by(two)).is_lt(),
            _ => true,
        };
        if let (Some(first), false) = (pieces.first(), pieces.windows(2).all(is_settled)) {
            let begin = first.all.start;
            pieces.sort_by(|one, two| order(by(one), by(two)));
            self.sorted.clear();
            let mut ahead = pieces.iter().peekable();
            while let Some(piece) = ahead.next() {
                let again = ahead
                    .peek()
                    .is_some_and(|next| order(by(piece), by(next)).is_eq());
                if again {
                    continue;
                }
                if !self.sorted.is_empty() {
                    self.sorted.push(b',');
                }
                self.sorted
                    .extend_from_slice(text.get(piece.all.clone()).unwrap_or_default());
            }
            self.text.truncate(begin);
            self.text.extend_from_slice(&self.sorted);
        }
        self.pieces.truncate(from);
    }
}

/// Whether a value is written as we would: a text without escapes, a small whole number, a word, an empty list.
fn is_canonical(raw: &str) -> bool {
    match raw.as_bytes() {
        [b'"', inside @ .., b'"'] => !inside.contains(&b'\\'),
        digits @ [b'0'..=b'9', ..] => digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit),
        word => matches!(word, b"null" | b"true" | b"false" | b"[]"),
    }
}

/// Whether a quoted time is written as most are, `2024-03-05T09:11:02Z`, which is how we would write it.
fn is_plain_instant(raw: &[u8]) -> bool {
    let &[
        b'"',
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T',
        h1,
        h2,
        b':',
        n1,
        n2,
        b':',
        s1,
        s2,
        b'Z',
        b'"',
    ] = raw
    else {
        return false;
    };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0_u32, |number, digit| {
            digit
                .is_ascii_digit()
                .then(|| number * 10 + u32::from(digit - b'0'))
        })
    };
    let date = || {
        let year = i32::try_from(number(&[y1, y2, y3, y4])?).ok()?;
        NaiveDate::from_ymd_opt(year, number(&[m1, m2])?, number(&[d1, d2])?)?;
        // A leap second is left to the library.
        Some(number(&[h1, h2])? < 24 && number(&[n1, n2])? < 60 && number(&[s1, s2])? < 60)
    };
    date().unwrap_or(false)
}

/// Reads a value and writes it.
struct Value<'c, 'm> {
    to: &'c mut Canonical,
    /// Of an object, or of each object of a list, only these.
    only: Option<&'m [&'m str]>,
}

impl<'d> DeserializeSeed<'d> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'d>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'d> Visitor<'d> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.to.plain(b"null");
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.to.plain(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.to.write(&value);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.to.write(&value);
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.to.number(value);
        Ok(())
    }

    fn visit_borrowed_str<E: Error>(self, value: &'d str) -> Result<(), E> {
        self.to.quoted(value);
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.to.string(&clean(value));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'d>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { to, only } = self;
        let from = to.pieces.len();
        to.text.push(b'[');
        loop {
            let before = to.text.len();
            to.separate(from);
            let start = to.text.len();
            if items.next_element_seed(Element(Value { to, only }))?.is_none() {
                to.text.truncate(before);
                break;
            }
            let all = start..to.text.len();
            to.pieces.push(Piece { by: all.clone(), all });
        }
        to.settle(from, Ord::cmp);
        to.text.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'d>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { to, only } = self;
        let from = to.pieces.len();
        to.text.push(b'{');
        while let Some(name) = members.next_key_seed(Name)? {
            if only.is_some_and(|only| !only.contains(&&*name)) {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            to.separate(from);
            let start = to.text.len();
            to.read_string(&name);
            let by = start..to.text.len();
            to.text.push(b':');
            members.next_value_seed(Value { to, only: None })?;
            let all = start..to.text.len();
            to.pieces.push(Piece { by, all });
        }
        to.settle(from, by_name);
        to.text.push(b'}');
        Ok(())
    }
}

/// An element of a list of which only some members are kept: an object, and no list of them.
struct Element<'c, 'm>(Value<'c, 'm>);

impl<'d> DeserializeSeed<'d> for Element<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'d>>(self, json: D) -> Result<(), D::Error> {
        match self.0.only {
            None => json.deserialize_any(self.0),
            Some(_) => json.deserialize_map(self.0),
        }
    }
}

/// A member's name, cleaned; borrowed unless it is written with escapes.
struct Name;

impl<'d> DeserializeSeed<'d> for Name {
    type Value = Cow<'d, str>;

    fn deserialize<D: Deserializer<'d>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'d> Visitor<'d> for Name {
    type Value = Cow<'d, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'d str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(clean(name).into_owned()))
    }
}

/// By what the names are, not by how they are written.
fn by_name(one: &[u8], two: &[u8]) -> std::cmp::Ordering {
    let name = |quoted: &[u8]| serde_json::from_slice::<String>(quoted).unwrap_or_default();
    match (one, two) {
        ([b'"', one @ .., b'"'], [b'"', two @ .., b'"'])
            if !one.contains(&b'\\') && !two.contains(&b'\\') =>
        {
            one.cmp(two)
        }
        _ => name(one).cmp(&name(two)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Number, Value, json};

    use super::*;

    fn written(raw: &str, shape: Shape) -> Option<String> {
        let mut canonical = Canonical::default();
        canonical.value(raw, shape)?;
        Some(String::from_utf8(canonical.text().to_vec()).unwrap())
    }

    /// The same rules over values, as plainly as they can be said.
    fn model(value: Value) -> Value {
        match value {
            Value::Number(number) => Value::Number(match number.as_f64() {
                Some(float)
                    if number.is_f64() && float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0 =>
                {
                    Number::from(float as i64)
                }
                _ => number,
            }),
            Value::String(text) => Value::String(text.replace('\0', "\u{FFFD}")),
            Value::Array(items) => {
                let mut items: Vec<Value> = items.into_iter().map(model).collect();
                items.sort_by_key(Value::to_string);
                items.dedup();
                Value::Array(items)
            }
            Value::Object(members) => Value::Object(
                members
                    .into_iter()
                    .map(|(name, value)| (name.replace('\0', "\u{FFFD}"), model(value)))
                    .collect::<Map<_, _>>(),
            ),
            plain => plain,
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let numbers = prop_oneof![
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1_000_i32..1_000).prop_map(|n| Value::from(f64::from(n))),
            // Prices and shares; the library reads the last digits of longer ones with less care.
            (any::<i32>(), 0..9).prop_map(|(n, places)| Value::from(f64::from(n) / 10_f64.powi(places))),
        ];
        let texts = prop_oneof![Just("\0".to_owned()), "[a-c\"\\\\!\n]{0,3}", any::<String>()];
        let leaves = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            numbers,
            texts.clone().prop_map(Value::from),
        ];
        leaves.prop_recursive(4, 48, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(texts.clone(), inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// What is written from the text is what the rules make of the value, however the text is spaced and ordered.
        #[test]
        fn text_and_values_agree(value in values(), pretty in any::<bool>()) {
            let raw = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let written = written(&raw, Shape::Plain).unwrap();
            prop_assert_eq!(&written, &model(value).to_string());
            // Written once more it stays as it is.
            prop_assert_eq!(self::written(&written, Shape::Plain).unwrap(), written);
        }

        #[test]
        fn members_have_no_order_and_the_last_of_two_counts(
            members in proptest::collection::vec(("[a-c\"!]{0,2}", values()), 0..6)
        ) {
            let raw: Vec<String> = members
                .iter()
                .map(|(name, value)| format!("{}: {value}", Value::from(name.as_str())))
                .collect();
            let value = Value::Object(members.into_iter().collect());
            let raw = format!("{{{}}}", raw.join(", "));
            prop_assert_eq!(written(&raw, Shape::Plain).unwrap(), model(value).to_string());
        }
    }

    #[test]
    fn each_shape_takes_what_it_should() {
        const ONLY: Shape = Shape::Only(&["b", "a"]);
        const SET_OF: Shape = Shape::SetOf(&["b", "a"]);
        for (raw, shape, expected) in [
            ("null", Shape::Plain, Some("null")),
            ("null", Shape::Set, Some("[]")),
            ("null", SET_OF, Some("[]")),
            ("null", ONLY, Some("null")),
            ("null", Shape::Instant, Some("null")),
            (r#"["b", "a", "b"]"#, Shape::Set, Some(r#"["a","b"]"#)),
            (r#"{"a": 1}"#, Shape::Set, None),
            ("\"a\"", Shape::Set, None),
            (r#"[ "b","a" , "a"]"#, Shape::Set, Some(r#"["a","b"]"#)),
            (r#"[["b"],["a"]]"#, Shape::Set, Some(r#"[["a"],["b"]]"#)),
            (
                r#"["b\u0000", "a\""]"#,
                Shape::Set,
                Some("[\"a\\\"\",\"b\u{FFFD}\"]"),
            ),
            (r#"["b", 1, "a"]"#, Shape::Set, Some(r#"["a","b",1]"#)),
            (r#"[{"a":"b"}]"#, Shape::Set, Some(r#"[{"a":"b"}]"#)),
            (
                r#"{"c": 1, "b": [2, 1], "a": {"z": 1, "c": 1.0}}"#,
                ONLY,
                Some(r#"{"a":{"c":1,"z":1},"b":[1,2]}"#),
            ),
            ("{}", ONLY, Some("{}")),
            ("[]", ONLY, None),
            ("3", ONLY, None),
            (
                r#"[{"b": 2, "x": 0}, {"a": 1}, {"x": 1, "b": 2}]"#,
                SET_OF,
                Some(r#"[{"a":1},{"b":2}]"#),
            ),
            ("[1]", SET_OF, None),
            ("[[]]", SET_OF, None),
            ("[null]", SET_OF, None),
            ("{}", SET_OF, None),
            ("\"yesterday\"", Shape::Instant, None),
            ("1700000000", Shape::Instant, None),
        ] {
            assert_eq!(written(raw, shape).as_deref(), expected, "{raw} as {shape:?}");
        }
    }

    #[test]
    fn numbers_are_written_as_what_they_are() {
        for (raw, expected) in [
            ("1.0", "1"),
            ("1e0", "1"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("-7", "-7"),
            ("123456789012345678", "123456789012345678"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "1.8446744073709552e+19"),
            ("0.10", "0.1"),
        ] {
            assert_eq!(written(raw, Shape::Plain).unwrap_or_default(), expected, "{raw}");
        }
    }

    proptest! {
        /// What is taken for a time without asking the library is one, and written as the library would.
        #[test]
        fn a_plain_instant_is_what_the_library_says(
            year in 0_u32..10_000, month in 0_u32..14, day in 0_u32..33, hour in 0_u32..26, minute in 0_u32..62,
            second in 0_u32..62,
        ) {
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
            let library = DateTime::parse_from_rfc3339(&text).ok().map(|instant| {
                json!(instant.to_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true)).to_string()
            });
            prop_assert_eq!(written(&format!("\"{text}\""), Shape::Instant), library);
        }
    }

    #[test]
    fn one_moment_is_written_one_way() {
        for text in [
            "2024-03-05T10:11:02.000+01:00",
            "2024-03-05t09:11:02z",
            "2024-03-05T09:11:02Z",
        ] {
            let written = written(&format!("\"{text}\""), Shape::Instant);
            assert_eq!(written.as_deref(), Some("\"2024-03-05T09:11:02Z\""), "{text}");
        }
    }
}
