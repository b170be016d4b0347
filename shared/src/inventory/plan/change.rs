//! The words of a plan: what is stored, what is remembered of listings, and what is to be done.
//!
//! Values only; what they are decided from and by is in the file above.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::inventory::attribution::{Attribution, Rule};
use crate::kinds::Sighting;

/// What became of one kind in one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Listed whole, and believed.
    #[default]
    Complete,
    /// Not listed whole.
    Incomplete,
    /// Listed whole, but too much is missing to be believed.
    Suspect,
    /// Not readable with this token.
    Unreadable,
}

impl Verdict {
    /// The word in the database.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Complete => "complete",
            Verdict::Incomplete => "incomplete",
            Verdict::Suspect => "suspect",
            Verdict::Unreadable => "unreadable",
        }
    }
}

/// Everything of a row that an event can change: what replaying the events must give.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: Option<String>,
    /// Its status.
    pub status: String,
    /// Its tags, a sorted set.
    pub tags: Vec<String>,
    /// The kept fields.
    pub attrs: Map<String, Value>,
    /// Project, tenant, and the rule that decided.
    pub attribution: Attribution,
}

/// A stored row whose item was seen.
#[derive(Clone, Debug)]
pub struct Row {
    /// Ours.
    pub id: Uuid,
    /// Of the last sighting.
    pub content_hash: i64,
    /// Of the last event.
    pub version: i32,
    /// 0 to 2 on a live row.
    pub strikes: i16,
    /// Set on a tombstone.
    pub deleted_at: Option<DateTime<Utc>>,
    /// Present if the hash differs, or the row is a tombstone.
    pub content: Option<Content>,
}

/// A live row, as far as striking needs it.
#[derive(Clone, Debug)]
pub struct Live {
    /// Ours.
    pub id: Uuid,
    /// DigitalOcean's.
    pub provider_id: String,
    /// Of the last event.
    pub version: i32,
    /// 0 to 2.
    pub strikes: i16,
    /// When the last one was given.
    pub last_struck_at: Option<DateTime<Utc>>,
    /// Its owner.
    pub tenant_id: Option<String>,
}

/// The live rows of a kind as they were before the listing: how many, and those that striking may concern (absent, or with a strike).
#[derive(Debug, Default)]
pub struct Population {
    /// All live rows.
    pub size: usize,
    /// Every row that is absent or has a strike; others may be left out.
    pub notable: Vec<Live>,
    /// Whether no listing tells of the kind, only projects' members.
    pub by_urn_only: bool,
}

/// What is remembered of a kind's listings.
#[derive(Clone, Debug, Default)]
pub struct Marker {
    /// Start of the last complete one.
    pub last_complete_at: Option<DateTime<Utc>>,
    /// When the present suspicion began.
    pub suspect_since: Option<DateTime<Utc>>,
    /// How many complete listings in a row were suspect.
    pub suspect_count: i32,
    /// What was missing while too much was, by provider id.
    pub suspects: BTreeMap<String, Suspect>,
}

/// A thing that was missing while too much was.
#[derive(Clone, Copy, Debug)]
pub struct Suspect {
    /// When it was first missing under suspicion.
    pub since: DateTime<Utc>,
    /// Complete listings in a row without it, from then on.
    pub listings: i32,
    /// Whether the operator has said that it is gone.
    pub released: bool,
    /// Until when that is believed; `None`: while it is missing.
    pub released_until: Option<DateTime<Utc>>,
}

/// One entry of a plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<'s> {
    /// A new row.
    Discovered(New<'s>),
    /// Content changed.
    Updated(Written),
    /// Only tags changed.
    Tagged(Written),
    /// A tombstone was seen again.
    Restored(Written),
    /// Nothing changed but how the item is written: the hash is remembered, nothing else.
    Reread {
        /// Which row.
        id: Uuid,
        /// The new hash.
        content_hash: i64,
        /// Whether a strike goes with it.
        struck: bool,
    },
    /// Seen again: its strikes are forgotten.
    Cleared {
        /// Which row.
        id: Uuid,
    },
    /// Absent.
    Struck {
        /// Which row.
        id: Uuid,
        /// How many strikes it has now.
        strikes: i16,
    },
    /// Absent from the listing, but there by id.
    Contradicted {
        /// Which row.
        id: Uuid,
    },
    /// Absent, due, and not proven gone.
    Held {
        /// Which row.
        id: Uuid,
        /// Whether DigitalOcean was asked and said nothing certain: it is asked again only after a while.
        asked: bool,
    },
    /// Gone.
    Deleted(Tombstone),
}

impl Change<'_> {
    /// The row, if this change may give it another project or tenant: what belongs to it has to follow.
    pub(in crate::inventory) fn gives_a_project(&self) -> Option<Uuid> {
        match self {
            Change::Discovered(new) => (new.attribution.rule != Rule::None).then_some(new.id),
            Change::Updated(written) | Change::Restored(written) => {
                let fields = ["cloud_project_id", "tenant_id", "attribution"];
                fields
                    .iter()
                    .any(|field| written.changes.contains_key(*field))
                    .then_some(written.id)
            }
            _ => None,
        }
    }
}

/// A thing that was never seen before: its row is what was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct New<'s> {
    /// Ours.
    pub id: Uuid,
    /// What was seen.
    pub sighting: &'s Sighting,
    /// Project, tenant, and the rule that decided.
    pub attribution: Attribution,
}

impl New<'_> {
    /// Its name; without one it goes by its id.
    pub fn name(&self) -> &str {
        self.sighting
            .name
            .as_deref()
            .unwrap_or(&self.sighting.provider_id)
    }

    /// Its region, if it has one.
    pub fn region(&self) -> Option<&str> {
        self.sighting.region.as_ref().and_then(Option::as_deref)
    }

    /// Its status, if it is known.
    pub fn status(&self) -> &str {
        self.sighting.status.as_deref().unwrap_or("unknown")
    }

    /// Its tags.
    pub fn tags(&self) -> &[String] {
        self.sighting.tags.as_deref().unwrap_or_default()
    }
}

/// A row to write, with its event.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// Ours.
    pub id: Uuid,
    /// DigitalOcean's.
    pub provider_id: String,
    /// Of the event.
    pub version: i32,
    /// The row from now on.
    pub content: Content,
    /// Of the sighting.
    pub content_hash: i64,
    /// `{field: {from, to}}`.
    pub changes: Map<String, Value>,
    /// The owner it was taken from, if it was.
    pub left_tenant_id: Option<String>,
}

/// What the event of a new thing says: every field, so that replaying the events gives the row. Members are in the order
/// in which `jsonb` keeps them, the shorter first: Postgres would have to sort what comes otherwise.
#[derive(Serialize)]
pub struct Beginning<'a> {
    name: Made<&'a str>,
    tags: Made<&'a [String]>,
    attrs: Made<&'a RawValue>,
    region: Made<Option<&'a str>>,
    status: Made<&'a str>,
    tenant_id: Made<Option<&'a str>>,
    attribution: Made<&'static str>,
    first_seen_at: Made<Value>,
    cloud_project_id: Made<Option<Uuid>>,
}

/// A change from nothing.
#[derive(Serialize)]
struct Made<T> {
    to: T,
    from: (),
}

impl<'a> Beginning<'a> {
    /// Of a thing that was first seen now; `attrs` is the text of its kept fields.
    pub fn of(new: &'a New<'_>, attrs: &'a RawValue, now: DateTime<Utc>) -> Self {
        fn to<T>(to: T) -> Made<T> {
            Made { to, from: () }
        }
        let attribution = &new.attribution;
        Self {
            name: to(new.name()),
            region: to(new.region()),
            status: to(new.status()),
            tags: to(new.tags()),
            attrs: to(attrs),
            cloud_project_id: to(attribution.cloud_project_id),
            tenant_id: to(attribution.tenant_id.as_deref()),
            attribution: to(attribution.rule.name()),
            first_seen_at: to(super::instant(now)),
        }
    }
}

/// A row that becomes a tombstone.
#[derive(Clone, Debug, PartialEq)]
pub struct Tombstone {
    /// Ours.
    pub id: Uuid,
    /// Of the event.
    pub version: i32,
    /// The owner it had.
    pub tenant_id: Option<String>,
    /// `{deleted_at: {from, to}}`.
    pub changes: Map<String, Value>,
}

/// What is to be done about everything that is absent.
#[derive(Debug)]
pub struct Absence {
    /// What the listing is worth.
    pub verdict: Verdict,
    /// Why, if it is suspect.
    pub reason: Option<String>,
    /// Live rows that it does not hold.
    pub missing: usize,
    /// Provider ids of those under suspicion from now on: still missing, whether or not they are believed to be gone.
    pub suspects: Vec<String>,
    /// Strikes, tombstones, and strikes cleared.
    pub changes: Vec<Change<'static>>,
}
