//! Rows and events on their way into the database, a column each.
//!
//! Postgres unfolds columns at a fraction of what reading a list of objects costs it, and of a new thing one document is
//! sent for its row and its event. Made for one statement and dropped after it. Nothing is decided here.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use sqlx::types::Json;
use uuid::Uuid;

use super::super::attribution::Attribution;
use super::super::plan::{New, Written};

/// A document as `jsonb` takes it.
pub(super) type Document = Json<Box<RawValue>>;

/// A document's text.
pub(super) fn document(value: &impl Serialize) -> Result<Document, sqlx::Error> {
    written(to_raw_value(value))
}

/// A document that has been written already.
pub(super) fn written(text: serde_json::Result<Box<RawValue>>) -> Result<Document, sqlx::Error> {
    text.map(Json)
        .map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

/// Rows of resources.
#[derive(Default)]
pub(super) struct Rows<'a> {
    pub(super) ids: Vec<Uuid>,
    /// Of rows that are there; that of a new one is the first.
    pub(super) versions: Vec<i32>,
    pub(super) provider_ids: Vec<&'a str>,
    pub(super) names: Vec<&'a str>,
    pub(super) regions: Vec<Option<&'a str>>,
    pub(super) statuses: Vec<&'a str>,
    pub(super) tags: Vec<String>,
    /// The kept fields of a row that is there; of a new one what its event says, which holds them.
    pub(super) documents: Vec<Document>,
    pub(super) projects: Vec<Option<Uuid>>,
    pub(super) tenants: Vec<Option<&'a str>>,
    pub(super) attributions: Vec<&'static str>,
    pub(super) hashes: Vec<i64>,
}

impl<'a> Rows<'a> {
    /// A row that is new, and what its event says.
    pub(super) fn add(&mut self, new: &'a New<'_>, said: Document) {
        self.ids.push(new.id);
        self.provider_ids.push(&new.sighting.provider_id);
        self.hashes.push(new.sighting.hash);
        self.say(
            (new.name(), new.region(), new.status(), new.tags()),
            said,
            &new.attribution,
        );
    }

    /// A row as it is from now on.
    pub(super) fn push(&mut self, written: &'a Written, attrs: Document) {
        let content = &written.content;
        self.ids.push(written.id);
        self.versions.push(written.version);
        self.provider_ids.push(&written.provider_id);
        self.hashes.push(written.content_hash);
        self.say(
            (
                &content.name,
                content.region.as_deref(),
                &content.status,
                &content.tags,
            ),
            attrs,
            &content.attribution,
        );
    }

    fn say(
        &mut self,
        (name, region, status, tags): (&'a str, Option<&'a str>, &'a str, &[String]),
        document: Document,
        attribution: &'a Attribution,
    ) {
        self.names.push(name);
        self.regions.push(region);
        self.statuses.push(status);
        self.tags.push(array(tags));
        self.documents.push(document);
        self.projects.push(attribution.cloud_project_id);
        self.tenants.push(attribution.tenant_id.as_deref());
        self.attributions.push(attribution.rule.name());
    }
}

/// Events of resources.
#[derive(Default)]
pub(super) struct Events<'a> {
    pub(super) resources: Vec<Uuid>,
    pub(super) versions: Vec<i32>,
    pub(super) types: Vec<&'static str>,
    pub(super) changes: Vec<Document>,
    pub(super) tenants: Vec<Option<&'a str>>,
    pub(super) left_tenants: Vec<Option<&'a str>>,
}

impl<'a> Events<'a> {
    /// One event: of which resource, its version, its type, what it says, and the owners after and before it.
    pub(super) fn push(
        &mut self,
        (resource, version): (Uuid, i32),
        event_type: &'static str,
        changes: Document,
        (tenant, left_tenant): (Option<&'a str>, Option<&'a str>),
    ) {
        self.resources.push(resource);
        self.versions.push(version);
        self.types.push(event_type);
        self.changes.push(changes);
        self.tenants.push(tenant);
        self.left_tenants.push(left_tenant);
    }
}

/// An array of texts as Postgres writes one: arrays of arrays have no ragged edges there.
fn array(texts: &[String]) -> String {
    let mut array = String::from("{");
    for (at, text) in texts.iter().enumerate() {
        array.push_str(if at == 0 { "\"" } else { ",\"" });
        for letter in text.chars() {
            if matches!(letter, '"' | '\\') {
                array.push('\\');
            }
            array.push(letter);
        }
        array.push('"');
    }
    array.push('}');
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_quoted_as_postgres_reads_it() {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        assert_eq!(array(&[]), "{}");
        assert_eq!(array(&texts(&["a", "env:prod"])), r#"{"a","env:prod"}"#);
        assert_eq!(
            array(&texts(&["", "NULL", "a,b", r#"q"\"#, "{}"])),
            r#"{"","NULL","a,b","q\"\\","{}"}"#
        );
    }
}
