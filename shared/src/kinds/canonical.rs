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
mod tests;
