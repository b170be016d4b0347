//! What to do about a resource: pure, and the whole table of design section 6.
//!
//! | stored row | in this complete listing | change | event |
//! | --- | --- | --- | --- |
//! | none | yes | insert | discovered |
//! | live, same content | yes | none (a strike is cleared) | none |
//! | live, other content | yes | update | updated (tagged, if only tags differ) |
//! | tombstoned | yes | revive, strikes 0 | restored |
//! | live, 0 strikes | no | strike 1, at once | none |
//! | live, 1 strike | no, and spaced | strike 2 | none |
//! | live, 2 strikes | no, spaced, proof Gone (or no GET) | tombstone | deleted |
//! | live, 2 strikes | no, proof Alive or Unknown | hold at 2 | none |
//! | tombstoned | no | none | none |
//!
//! It reads no clock and no database. When too much is missing at once, that is `suspect`, and only those are struck who
//! are believed to be gone: the operator has said so, or they have been missing for long enough.

mod change;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

pub use change::{
    Absence, Beginning, Change, Content, Live, Marker, New, Population, Row, Suspect, Tombstone, Verdict,
    Written,
};

use super::attribution::Attribution;
use super::{Proofs, delta};
use crate::digitalocean::Proof;
use crate::digitalocean::listing::CompleteListing;
use crate::kinds::{Kind, Sighting};

/// A thing that was never seen before.
pub fn discovered<'s>(id: Uuid, sighting: &'s Sighting, attribution: Option<&Attribution>) -> Change<'s> {
    Change::Discovered(New {
        id,
        sighting,
        attribution: attribution.cloned().unwrap_or_default(),
    })
}

/// A thing that is stored and was seen; `None` if nothing is to be written.
pub fn seen(
    kind: &Kind,
    row: &Row,
    sighting: &Sighting,
    attribution: Option<&Attribution>,
) -> Option<Change<'static>> {
    let struck = row.strikes > 0;
    let Some(before) = &row.content else {
        return struck.then_some(Change::Cleared { id: row.id });
    };
    let mut after = overlaid(before.clone(), sighting);
    after.attribution = if row.deleted_at.is_some() && kind.reuses_ids {
        // The name or address may be somebody else's by now: whose it was in its former life says nothing.
        attribution.cloned().unwrap_or_default()
    } else {
        before.attribution.revised(attribution)
    };
    let mut changes = differences(before, &after);
    let only_tags = changes.len() == 1 && changes.contains_key("tags");
    if let Some(deleted_at) = row.deleted_at {
        changes.insert("deleted_at".to_owned(), change(instant(deleted_at), Value::Null));
    } else if changes.is_empty() {
        return match (row.content_hash == sighting.hash, struck) {
            (true, false) => None,
            (true, true) => Some(Change::Cleared { id: row.id }),
            (false, struck) => Some(Change::Reread {
                id: row.id,
                content_hash: sighting.hash,
                struck,
            }),
        };
    }
    let left_tenant_id = before
        .attribution
        .tenant_id
        .clone()
        .filter(|tenant| after.attribution.tenant_id.as_ref() != Some(tenant));
    let written = Written {
        id: row.id,
        provider_id: sighting.provider_id.clone(),
        version: row.version + 1,
        content: after,
        content_hash: sighting.hash,
        changes,
        left_tenant_id,
    };
    Some(match (row.deleted_at, only_tags) {
        (Some(_), _) => Change::Restored(written),
        (None, true) => Change::Tagged(written),
        (None, false) => Change::Updated(written),
    })
}

/// What to do about live rows after a complete listing: strike the absent, forget the strikes of the present.
pub fn absent(
    live: &Population,
    listing: &CompleteListing,
    marker: &Marker,
    proofs: Option<&Proofs>,
    now: DateTime<Utc>,
    spacing: Duration,
) -> Absence {
    let (present, missing): (Vec<&Live>, Vec<&Live>) = live
        .notable
        .iter()
        .partition(|row| listing.ids().contains(&row.provider_id));
    let mut changes: Vec<Change<'static>> = present
        .iter()
        .filter(|row| row.strikes > 0)
        .map(|row| Change::Cleared { id: row.id })
        .collect();
    // What is believed to be gone makes the rest neither more nor less suspect.
    let (believed, doubted): (Vec<&Live>, Vec<&Live>) = missing
        .iter()
        .partition(|row| is_believed(row, live.by_urn_only, marker, now));
    let known = live.size.saturating_sub(believed.len());
    let reason = suspicion(known, doubted.len(), listing.ids().len(), live.by_urn_only);
    let strikable = if reason.is_some() { &believed } else { &missing };
    let mut deleted = BTreeSet::new();
    for row in strikable {
        let change = struck(row, proofs, now, spacing);
        if matches!(change, Some(Change::Deleted(_))) {
            deleted.insert(row.id);
        }
        changes.extend(change);
    }
    let suspects = missing
        .iter()
        .filter(|row| reason.is_some() || marker.suspects.contains_key(&row.provider_id))
        .filter(|row| !deleted.contains(&row.id))
        .map(|row| row.provider_id.clone());
    let verdict = if reason.is_some() {
        Verdict::Suspect
    } else {
        Verdict::Complete
    };
    Absence {
        verdict,
        missing: missing.len(),
        suspects: suspects.collect(),
        reason,
        changes,
    }
}

/// Whether an absent row needs a proof before anything more can happen to it.
pub fn is_due_for_proof(row: &Live, now: DateTime<Utc>, spacing: Duration) -> bool {
    row.strikes >= 2 && is_spaced(row, now, spacing)
}

/// Runs that are no further apart than this prove nothing new.
fn is_spaced(row: &Live, now: DateTime<Utc>, spacing: Duration) -> bool {
    row.last_struck_at.is_none_or(|last| now - last >= delta(spacing))
}

/// `proofs` is `None` for a kind that DigitalOcean answers for by listing only.
fn struck(
    row: &Live,
    proofs: Option<&Proofs>,
    now: DateTime<Utc>,
    spacing: Duration,
) -> Option<Change<'static>> {
    if !is_spaced(row, now, spacing) {
        return None;
    }
    let proof = match proofs {
        Some(proofs) => proofs.get(&row.provider_id),
        None => Some(&Proof::Gone),
    };
    match (row.strikes, proof) {
        (0, _) => Some(Change::Struck {
            id: row.id,
            strikes: 1,
        }),
        (1, _) => Some(Change::Struck {
            id: row.id,
            strikes: 2,
        }),
        (_, Some(Proof::Gone)) => {
            let mut changes = Map::new();
            changes.insert("deleted_at".to_owned(), change(Value::Null, instant(now)));
            Some(Change::Deleted(Tombstone {
                id: row.id,
                version: row.version + 1,
                tenant_id: row.tenant_id.clone(),
                changes,
            }))
        }
        (_, Some(Proof::Alive)) => Some(Change::Contradicted { id: row.id }),
        (_, Some(Proof::Unknown)) => Some(Change::Held {
            id: row.id,
            asked: true,
        }),
        (_, None) => Some(Change::Held {
            id: row.id,
            asked: false,
        }),
    }
}

/// Too much at once is a lost scope or an outage until somebody, or time, says otherwise.
fn suspicion(known: usize, missing: usize, listed: usize, by_urn_only: bool) -> Option<String> {
    // Nothing but its members' absence would prove one of these gone, and a token that may not read them hides them all.
    let few = if by_urn_only { 1 } else { 3 };
    if missing > 0 && known >= few && listed == 0 {
        return Some(format!("the listing is empty and {known} were known"));
    }
    // missing / known >= 30%, without a fraction.
    (missing >= 5 && missing * 10 >= known * 3).then(|| format!("{missing} of {known} are missing at once"))
}

/// Whether a row under suspicion is gone for all we know: the operator has said so, or four complete listings in a row,
/// this one included, over at least an hour.
fn is_believed(row: &Live, by_urn_only: bool, marker: &Marker, now: DateTime<Utc>) -> bool {
    let Some(suspect) = marker.suspects.get(&row.provider_id) else {
        return false;
    };
    let by_operator = suspect.released && suspect.released_until.is_none_or(|until| now <= until);
    // Nobody but the operator releases what only projects' members tell of: a scope that is lost stays lost.
    let by_time = !by_urn_only && suspect.listings >= 3 && now - suspect.since >= TimeDelta::hours(1);
    by_operator || by_time
}

/// The row with what was seen laid over it: what was not said stays as it was.
fn overlaid(mut after: Content, sighting: &Sighting) -> Content {
    if let Some(name) = &sighting.name {
        after.name.clone_from(name);
    }
    if let Some(region) = &sighting.region {
        after.region.clone_from(region);
    }
    if let Some(status) = &sighting.status {
        after.status.clone_from(status);
    }
    if let Some(tags) = &sighting.tags {
        after.tags.clone_from(tags);
    }
    for (key, value) in sighting.attrs.values() {
        // Null where nothing was known says nothing new.
        if !value.is_null() || after.attrs.contains_key(key) {
            after.attrs.insert(key.to_owned(), value);
        }
    }
    after
}

/// `{field: {from, to}}`, kept fields by their own name: `attrs.size_slug`.
fn differences(before: &Content, after: &Content) -> Map<String, Value> {
    let (was, is) = (&before.attribution, &after.attribution);
    let fields = [
        (
            "name",
            Value::from(before.name.as_str()),
            Value::from(after.name.as_str()),
        ),
        (
            "region",
            text(before.region.as_deref()),
            text(after.region.as_deref()),
        ),
        (
            "status",
            Value::from(before.status.as_str()),
            Value::from(after.status.as_str()),
        ),
        (
            "tags",
            Value::from(before.tags.clone()),
            Value::from(after.tags.clone()),
        ),
        ("cloud_project_id", project(was), project(is)),
        (
            "tenant_id",
            text(was.tenant_id.as_deref()),
            text(is.tenant_id.as_deref()),
        ),
        (
            "attribution",
            Value::from(was.rule.name()),
            Value::from(is.rule.name()),
        ),
    ];
    let mut changes: Map<String, Value> = fields
        .into_iter()
        .filter(|(_, from, to)| from != to)
        .map(|(field, from, to)| (field.to_owned(), change(from, to)))
        .collect();
    for (key, to) in &after.attrs {
        let from = before.attrs.get(key);
        if from != Some(to) {
            changes.insert(
                format!("attrs.{key}"),
                change(from.cloned().unwrap_or(Value::Null), to.clone()),
            );
        }
    }
    changes
}

pub(super) fn change(from: Value, to: Value) -> Value {
    Value::Object(
        BTreeMap::from([("from".to_owned(), from), ("to".to_owned(), to)])
            .into_iter()
            .collect(),
    )
}

fn text(value: Option<&str>) -> Value {
    value.map_or(Value::Null, Value::from)
}

fn project(attribution: &Attribution) -> Value {
    attribution
        .cloud_project_id
        .map_or(Value::Null, |id| Value::from(id.to_string()))
}

pub(super) fn instant(at: DateTime<Utc>) -> Value {
    Value::from(at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

#[cfg(test)]
mod tests;
