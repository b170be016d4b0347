//! One resource as callers see it: a row of the mirror, written as the API's item as soon as it has come.
//!
//! A page is a hundred of these, and Postgres takes longer to make a row than we to write one: what is written between
//! two rows costs no time. Nothing is copied before: texts are borrowed from what the database sent, columns are
//! found by their position, attributes pass through as the text that Postgres has made of them. It refuses attributes
//! that are too long to list.

use chrono::{DateTime, Utc};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgRow, PgTypeInfo, PgValueFormat, PgValueRef};
use sqlx::{Decode, Postgres, Row, Type};
use uuid::Uuid;

use super::moment;
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

/// What is shown of one.
#[derive(Serialize)]
struct Shown<'r> {
    /// Ours; ordered by discovery.
    id: Uuid,
    /// What it is.
    kind: &'r str,
    /// Where it is.
    provider: &'r str,
    /// The provider's id.
    provider_id: &'r str,
    /// The provider's URN, for kinds that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    urn: Option<String>,
    /// Its name.
    name: &'r str,
    /// `None`: global, or not said.
    region: Option<&'r str>,
    /// The provider's word.
    status: &'r str,
    /// Sorted.
    tags: Vec<String>,
    /// The kind's allow-listed fields; `None` where they are too long to list.
    attrs: Option<Document<'r>>,
    /// The project it belongs to.
    project_id: Option<Uuid>,
    /// The tenant it belongs to.
    tenant_id: Option<&'r str>,
    /// The rule that says so.
    attribution: &'r str,
    /// Grows by one with each event.
    version: i32,
    /// First complete or incomplete listing that had it.
    #[serde(serialize_with = "moment::write")]
    first_seen_at: DateTime<Utc>,
    /// Last complete listing that had it. `None` in the past: sightings are not history.
    #[serde(serialize_with = "moment::write_if_any")]
    last_seen_at: Option<DateTime<Utc>>,
    /// Complete listings since then that had it not. `None` in the past.
    stale_strike_count: Option<i16>,
    /// When it was found to be gone.
    #[serde(serialize_with = "moment::write_if_any")]
    deleted_at: Option<DateTime<Utc>>,
    /// The last meaningful change.
    #[serde(serialize_with = "moment::write")]
    updated_at: DateTime<Utc>,
}

impl<'r> Shown<'r> {
    fn of(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let (kind, provider_id) = (row.try_get(1)?, row.try_get(3)?);
        let attrs: Option<Document<'_>> = row.try_get(8)?;
        Ok(Self {
            id: row.try_get(0)?,
            kind,
            provider: row.try_get(2)?,
            provider_id,
            urn: urn(kind, provider_id),
            name: row.try_get(4)?,
            region: row.try_get(5)?,
            status: row.try_get(6)?,
            tags: row.try_get(7)?,
            attrs: attrs.filter(|Document(text)| text.len() <= LONGEST_ATTRS),
            project_id: row.try_get(9)?,
            tenant_id: row.try_get(10)?,
            attribution: row.try_get(11)?,
            version: row.try_get(12)?,
            first_seen_at: row.try_get(13)?,
            last_seen_at: row.try_get(14)?,
            stale_strike_count: row.try_get(15)?,
            deleted_at: row.try_get(16)?,
            updated_at: row.try_get(17)?,
        })
    }

    fn written(&self) -> Result<String, BoxDynError> {
        let attrs = self.attrs.as_ref().map_or(0, |Document(text)| text.len());
        let mut json = Vec::with_capacity(attrs + USUAL);
        serde_json::to_writer(&mut json, self)?;
        Ok(String::from_utf8(json)?)
    }
}

impl Item {
    /// A row with the columns of [`ITEM`](super::ITEM), in their order, and how long it is as JSON.
    ///
    /// # Errors
    /// When it is not one.
    pub(crate) fn read(row: PgRow) -> Result<(Self, usize), sqlx::Error> {
        let shown = Shown::of(&row)?;
        let json = shown.written().map_err(sqlx::Error::Decode)?;
        let length = json.len();
        let item = Self {
            version: shown.version,
            id: shown.id,
            name: shown.name.to_owned(),
            updated_at: shown.updated_at,
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
