//! The resources that some lines may be about, looked up together and found one by one.
//!
//! For each batch of lines, within the transaction that writes them. A small invoice asks for its few names by their
//! index and never looks at the whole inventory. Who is called what comes from the rows, who *was* called what from
//! the history. It decides nothing: see [`super::matching`].

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::matching::Candidate;
use super::product::{Charge, Subject};
use crate::kinds::PROVIDER;

/// What lines ask for.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    ids: BTreeSet<String>,
    names: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Wanted {
    pub(super) fn add(&mut self, charge: &Charge, ids: &[String]) {
        if !charge.class.may_have_a_resource() {
            return;
        }
        self.ids.extend(ids.iter().cloned());
        let Some(kind) = charge.kind else { return };
        let kind = if kind == "droplet_backup" { "droplet" } else { kind };
        match &charge.subject {
            Subject::None => return,
            Subject::Address(address) => drop(self.ids.insert(address.to_string())),
            Subject::Name(names) => self.names.extend(names.iter().cloned()),
            Subject::Placed { name, .. } | Subject::Group(name) => drop(self.names.insert(name.clone())),
        }
        self.kinds.insert(kind.to_owned());
    }
}

/// Candidates, by what they may be asked for.
#[derive(Debug, Default)]
pub(super) struct Directory {
    candidates: Vec<Candidate>,
    by_key: BTreeMap<String, Vec<usize>>,
}

impl Directory {
    /// Everything that may be wanted, dead or alive.
    pub(super) async fn look_up(connection: &mut PgConnection, wanted: Wanted) -> Result<Self, sqlx::Error> {
        let (ids, names, kinds): (Vec<_>, Vec<_>, Vec<_>) = (
            wanted.ids.into_iter().collect(),
            wanted.names.into_iter().collect(),
            wanted.kinds.into_iter().collect(),
        );
        if ids.is_empty() && names.is_empty() {
            return Ok(Self::default());
        }
        // Planned for these names each time, because a plan made for an empty inventory would be slow for a full one; and
        // nothing else is, or the checks of each line's foreign keys would be, line by line.
        plan_each_time(connection, true).await?;
        let rows = sqlx::query!(
            r#"WITH wanted AS (
                   SELECT r.id FROM unnest($2::text[]) AS w (provider_id)
                   JOIN cloud_resources r ON r.provider = $1 AND r.provider_id = w.provider_id
                   UNION
                   SELECT r.id FROM unnest($3::text[]) AS w (name)
                   JOIN cloud_resources r ON r.name_key = lower(w.name) COLLATE "C" AND r.kind = ANY ($4)
                   UNION
                   -- Name by name (OFFSET keeps it so): renames are few, which Postgres does not know of an expression,
                   -- and would rather read the whole history than ask the index of them.
                   SELECT e.resource_id FROM unnest($3::text[]) AS w (name)
                   CROSS JOIN LATERAL (SELECT e.resource_id FROM cloud_resource_events e
                                       WHERE lower(e.changes #>> '{name,from}') = lower(w.name)
                                         AND (e.changes #>> '{name,from}') IS NOT NULL OFFSET 0) e
               )
               SELECT r.id, r.kind, r.provider_id, r.region, r.name, r.first_seen_at, r.last_seen_at, r.deleted_at,
                      CASE WHEN r.attrs ->> 'created_at' ~ '^\d{4}-\d\d-\d\dT'
                           THEN (r.attrs ->> 'created_at')::timestamptz END AS created_at,
                      ARRAY(SELECT e.changes #>> '{name,from}' FROM cloud_resource_events e
                            WHERE e.resource_id = r.id AND (e.changes #>> '{name,from}') IS NOT NULL
                            ORDER BY e.version) AS "earlier_names!: Vec<String>",
                      ARRAY(SELECT e.occurred_at FROM cloud_resource_events e
                            WHERE e.resource_id = r.id AND (e.changes #>> '{name,from}') IS NOT NULL
                            ORDER BY e.version) AS "until!: Vec<DateTime<Utc>>"
               -- An array, so that a few are looked up one by one and never met by reading the whole inventory.
               FROM cloud_resources r WHERE r.provider = $1 AND r.id = ANY (ARRAY(SELECT id FROM wanted))"#,
            PROVIDER,
            &ids,
            &names,
            &kinds
        )
        .fetch_all(&mut *connection)
        .await?;
        plan_each_time(connection, false).await?;
        let mut directory = Self::default();
        for row in rows {
            directory.add(Candidate {
                id: row.id,
                kind: row.kind,
                provider_id: row.provider_id,
                region: row.region,
                name: row.name,
                earlier_names: row.earlier_names.into_iter().zip(row.until).collect(),
                begins: row.created_at.unwrap_or(row.first_seen_at),
                begins_for_sure: row.created_at.is_some(),
                last_seen: row.deleted_at.map(|_| row.last_seen_at),
                ends: row.deleted_at,
            });
        }
        Ok(directory)
    }

    fn add(&mut self, candidate: Candidate) {
        let place = self.candidates.len();
        let names = candidate
            .earlier_names
            .iter()
            .map(|(name, _)| name)
            .chain([&candidate.name]);
        let mut keys: BTreeSet<String> = names.map(|name| name.to_lowercase()).collect();
        keys.insert(candidate.provider_id.clone());
        for key in keys {
            self.by_key.entry(key).or_default().push(place);
        }
        self.candidates.push(candidate);
    }

    /// Those that this line may be about.
    pub(super) fn about(&self, charge: &Charge, ids: &[String]) -> Vec<&Candidate> {
        let mut keys: Vec<String> = ids.to_vec();
        match &charge.subject {
            Subject::None => {}
            Subject::Address(address) => keys.push(address.to_string()),
            Subject::Name(names) => keys.extend(names.iter().map(|name| name.to_lowercase())),
            Subject::Placed { name, .. } | Subject::Group(name) => keys.push(name.to_lowercase()),
        }
        let places: BTreeSet<usize> = keys
            .iter()
            .filter_map(|key| self.by_key.get(key))
            .flatten()
            .copied()
            .collect();
        places
            .iter()
            .filter_map(|place| self.candidates.get(*place))
            .collect()
    }
}

/// What became of looking: the resource and the rule, if one was found.
pub(super) type Match = Option<(Uuid, super::matching::Rule)>;

/// Has statements planned for the values that they are asked with, each time; or as Postgres likes, again.
pub(super) async fn plan_each_time(
    connection: &mut PgConnection,
    each_time: bool,
) -> Result<(), sqlx::Error> {
    let mode = match each_time {
        true => "SET LOCAL plan_cache_mode = force_custom_plan",
        false => "SET LOCAL plan_cache_mode = auto",
    };
    sqlx::raw_sql(mode).execute(connection).await?;
    Ok(())
}
