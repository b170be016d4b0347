//! One resource as callers see it: a row of the mirror, written as the API's item as soon as it has come.
//!
//! A page is a hundred of these, and Postgres takes longer to make a row than we to write one: what is written between
//! two rows costs no time, unless both are at work on one processor. Nothing is copied before: texts are borrowed from
//! what the database sent, columns are found by their position, attributes pass through as the text that Postgres has
//! made of them. It refuses attributes that are too long to list.

use chrono::{DateTime, Utc};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgRow, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{Decode, Postgres, Row, Type};
use uuid::Uuid;

use super::json::Object;
use super::question::{Key, Place, Position};
use crate::kinds::Kind;

/// Attributes longer than this are left out of a page (`null`): one resource must not be too big to be listed.
const LONGEST_ATTRS: usize = 1 << 20;

/// About how long an item is without its attributes.
const USUAL: usize = 640;

/// One resource as callers see it. Serialises to the API's item.
#[derive(Debug)]
pub struct Item {
    /// Grows by one with each event.
    pub version: i32,
    id: Uuid,
    name: String,
    updated_at: DateTime<Utc>,
    /// What is shown, as JSON.
    json: String,
}

impl Item {
    /// A row with the columns of [`ITEM`](super::ITEM), in their order, and how long it is as JSON.
    ///
    /// # Errors
    /// When it is not one.
    pub(crate) fn read(row: PgRow) -> Result<(Self, usize), sqlx::Error> {
        // The columns are ours: that each has its type need not be compared a hundred times a page.
        let attrs: Option<Document<'_>> = row.try_get_unchecked(8)?;
        let attrs = attrs.filter(|Document(text)| text.len() <= LONGEST_ATTRS);
        let length = attrs.as_ref().map_or(0, |Document(text)| text.len());
        let (kind, provider_id): (&str, &str) = (row.try_get_unchecked(1)?, row.try_get_unchecked(3)?);
        let (id, name): (Uuid, &str) = (row.try_get_unchecked(0)?, row.try_get_unchecked(4)?);
        let (version, Stored(updated_at)) = (row.try_get_unchecked(12)?, row.try_get_unchecked(17)?);
        let tags: Vec<String> = row.try_get_unchecked(7)?;
        let when = |at: usize| -> Result<Option<DateTime<Utc>>, sqlx::Error> {
            let stored: Option<Stored> = row.try_get_unchecked(at)?;
            Ok(stored.map(|Stored(moment)| moment))
        };

        let mut json = Object::begin(length + USUAL);
        json.id("id", Some(id));
        json.text("kind", Some(kind));
        json.text("provider", row.try_get_unchecked(2)?);
        json.text("provider_id", Some(provider_id));
        // Kinds that have none do not say so.
        if let Some(urn) = urn(kind, provider_id) {
            json.text("urn", Some(&urn));
        }
        json.text("name", Some(name));
        json.text("region", row.try_get_unchecked(5)?);
        json.text("status", row.try_get_unchecked(6)?);
        json.texts("tags", &tags);
        json.raw("attrs", attrs.as_ref().map(|Document(text)| *text));
        json.id("project_id", row.try_get_unchecked(9)?);
        json.text("tenant_id", row.try_get_unchecked(10)?);
        json.text("attribution", row.try_get_unchecked(11)?);
        json.number("version", Some(version));
        json.moment("first_seen_at", when(13)?);
        // Of the past there are no sightings, which are not history.
        json.moment("last_seen_at", when(14)?);
        let strikes: Option<i16> = row.try_get_unchecked(15)?;
        json.number("stale_strike_count", strikes.map(i32::from));
        json.moment("deleted_at", when(16)?);
        json.moment("updated_at", Some(updated_at));
        let json = json.end();

        let length = json.len();
        let item = Self {
            version,
            id,
            name: name.to_owned(),
            updated_at,
            json,
        };
        Ok((item, length))
    }

    /// Where a page that ends with this item ends.
    pub fn position(&self, key: Key) -> Position {
        let place = match key {
            Key::Id => Place::Id,
            Key::Name => Place::Name(self.name.clone()),
            Key::UpdatedAt => Place::UpdatedAt(self.updated_at),
        };
        Position { place, id: self.id }
    }
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Document(&self.json).serialize(to)
    }
}

/// DigitalOcean's own name for it, if it gives this kind one.
fn urn(kind: &str, provider_id: &str) -> Option<String> {
    let urn_type = Kind::named(kind)?.urn_types.first()?;
    Some(format!("do:{urn_type}:{provider_id}"))
}

/// JSON that Postgres or we have written: not read again, only passed on.
struct Document<'r>(&'r str);

/// What serde_json itself calls a text that it writes as it is. Its own type for that, `RawValue`, reads the text first.
const AS_IT_IS: &str = "$serde_json::private::RawValue";

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut whole = to.serialize_struct(AS_IT_IS, 1)?;
        whole.serialize_field(AS_IT_IS, self.0)?;
        whole.end()
    }
}

impl Type<Postgres> for Document<'_> {
    fn type_info() -> PgTypeInfo {
        <serde_json::Value as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for Document<'r> {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        // Of the binary form, the first byte is its version.
        match (value.format(), value.as_bytes()?) {
            (PgValueFormat::Binary, [1, text @ ..]) => Ok(Self(std::str::from_utf8(text)?)),
            (format, _) => Err(format!("a document in an unknown form of {format:?}").into()),
        }
    }
}

/// A moment as Postgres stores it: microseconds since 2000. (The driver's own way there adds them to a date.)
struct Stored(DateTime<Utc>);

impl Type<Postgres> for Stored {
    fn type_info() -> PgTypeInfo {
        <DateTime<Utc> as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for Stored {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        const YEAR_2000: i64 = 946_684_800_000_000;
        let micros = match value.format() {
            PgValueFormat::Binary => i64::from_be_bytes(value.as_bytes()?.try_into()?),
            PgValueFormat::Text => return Err("a moment in an unknown form".into()),
        };
        let moment = micros
            .checked_add(YEAR_2000)
            .and_then(DateTime::from_timestamp_micros);
        moment
            .map(Self)
            .ok_or_else(|| "a moment beyond all calendars".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_written_as_it_is() {
        let text = r#"{"b": 1,  "a": [1.50, "\u00e4"], "b": null}"#;
        assert_eq!(
            serde_json::to_string(&[Document(text)]).unwrap(),
            format!("[{text}]")
        );
        let value = serde_json::to_value(Document(text)).unwrap();
        assert_eq!(value, serde_json::from_str::<serde_json::Value>(text).unwrap());
    }

    #[test]
    fn a_kind_without_a_urn_has_none() {
        assert_eq!(urn("droplet", "7").as_deref(), Some("do:droplet:7"));
        assert_eq!(urn("no such kind", "7"), None);
    }
}
