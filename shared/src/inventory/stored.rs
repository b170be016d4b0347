//! What the mirror holds: the rows that a plan is made from.
//!
//! Read under the mirror lock, but for [`known`] and `struck`, which only save work: of what has changed since, the
//! next run sees the rest. Rows are named where they contradict themselves, never guessed at.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sqlx::{Postgres, Transaction};

use super::Error;
use super::attribution::{Attribution, Rule};
use super::plan::{Content, Live, Marker, Population, Row, Suspect};
use crate::database::Pool;
use crate::digitalocean::listing::CompleteListing;
use crate::kinds::{Address, CATALOGUE, Kind, PROVIDER, Sighting, kind_named};

/// The hashes of a kind's live rows, as they were a moment ago: equal items can be dropped page by page.
#[derive(Debug, Default)]
pub struct Known {
    #[expect(
        clippy::disallowed_types,
        reason = "asked a hundred thousand times; what is read by its ids is put in order before anything is locked"
    )]
    hashes: std::collections::HashMap<String, i64>,
}

impl Known {
    /// How many rows.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Those that a listing does not hold.
    fn absent_from(&self, listing: &CompleteListing) -> Vec<&str> {
        let ids = self.hashes.keys().map(String::as_str);
        ids.filter(|id| !listing.ids().contains(*id)).collect()
    }

    /// Whether what was seen of this one says nothing new about a live row.
    pub fn holds(&self, provider_id: &str, hash: i64) -> bool {
        self.hashes.get(provider_id) == Some(&hash)
    }
}

/// Reads the hashes of a kind.
///
/// # Errors
/// When the database cannot be used.
pub async fn known(pool: &Pool, kind: &'static Kind) -> Result<Known, Error> {
    // Two columns in one row: a hundred thousand rows would each be an allocation and a turn of the driver's.
    let columns = sqlx::query!(
        r#"SELECT coalesce(array_agg(provider_id), '{}') AS "ids!", coalesce(array_agg(content_hash), '{}') AS "hashes!"
           FROM cloud_resources WHERE provider = $1 AND kind = $2 AND deleted_at IS NULL"#,
        PROVIDER,
        kind.name
    )
    .fetch_one(pool)
    .await?;
    Ok(Known {
        hashes: columns.ids.into_iter().zip(columns.hashes).collect(),
    })
}

/// How many things of these kinds their last complete listings held; kinds that had none are left out.
///
/// # Errors
/// When the database cannot be used.
pub async fn sizes(pool: &Pool, kinds: &[&'static Kind]) -> Result<BTreeMap<String, usize>, Error> {
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name).collect();
    let rows = sqlx::query!(
        r#"SELECT kind, last_complete_size AS "size!" FROM sync_markers
           WHERE provider = $1 AND kind = ANY($2) AND last_complete_size IS NOT NULL"#,
        PROVIDER,
        &names as _
    )
    .fetch_all(pool)
    .await?;
    let sizes = rows
        .into_iter()
        .map(|row| (row.kind, usize::try_from(row.size).unwrap_or(0)));
    Ok(sizes.collect())
}

/// Live rows with a strike, the longest waiting first, and how each is asked for.
pub(super) async fn struck(pool: &Pool, kind: &'static Kind) -> Result<Vec<(Live, Address)>, Error> {
    let rows = sqlx::query!(
        r#"SELECT id, provider_id, name, attrs->'parent'->>'id' AS parent_id, version,
                  stale_strike_count AS strikes, last_struck_at, tenant_id
           FROM cloud_resources
           WHERE provider = $1 AND kind = $2 AND stale_strike_count BETWEEN 1 AND 2 AND deleted_at IS NULL
           ORDER BY last_struck_at, id"#,
        PROVIDER,
        kind.name
    )
    .fetch_all(pool)
    .await?;
    let struck = rows.into_iter().map(|row| {
        let address = Address {
            provider_id: row.provider_id.clone(),
            name: row.name,
            parent_id: row.parent_id,
        };
        let live = Live {
            id: row.id,
            provider_id: row.provider_id,
            version: row.version,
            strikes: row.strikes,
            last_struck_at: row.last_struck_at,
            tenant_id: row.tenant_id,
        };
        (live, address)
    });
    Ok(struck.collect())
}

/// The same of projects.
pub(super) async fn struck_projects(pool: &Pool) -> Result<Vec<(Live, Address)>, Error> {
    let rows = sqlx::query_as!(
        Live,
        r#"SELECT id, provider_id, version, stale_strike_count AS strikes, last_struck_at, tenant_id
           FROM cloud_projects
           WHERE provider = $1 AND stale_strike_count BETWEEN 1 AND 2 AND deleted_at IS NULL
           ORDER BY last_struck_at, id"#,
        PROVIDER
    )
    .fetch_all(pool)
    .await?;
    let struck = rows.into_iter().map(|row| {
        let address = Address {
            provider_id: row.provider_id.clone(),
            ..Address::default()
        };
        (row, address)
    });
    Ok(struck.collect())
}

/// The kinds of live rows that no listing tells of: buckets, and types of URNs that are not in the catalogue.
///
/// # Errors
/// When the database cannot be used.
pub async fn kinds_known_by_urn_only(pool: &Pool) -> Result<Vec<&'static Kind>, Error> {
    let listed: Vec<&str> = CATALOGUE
        .iter()
        .filter(|kind| !kind.is_known_by_urn_only())
        .map(|kind| kind.name)
        .collect();
    let names = sqlx::query_scalar!(
        "SELECT DISTINCT kind FROM cloud_resources
         WHERE provider = $1 AND deleted_at IS NULL AND kind <> ALL($2::text[])",
        PROVIDER,
        &listed as _
    )
    .fetch_all(pool)
    .await?;
    Ok(names.iter().filter_map(|name| kind_named(name)).collect())
}

/// The stored rows of these sightings, by provider id; content only where it may be needed. Each is looked up for
/// itself: a table that was empty a moment ago would be read whole for every batch of a first sync.
pub(super) async fn rows(
    door: &mut Transaction<'_, Postgres>,
    kind: &'static Kind,
    sightings: &[Sighting],
) -> Result<BTreeMap<String, Row>, Error> {
    let ids: Vec<&str> = sightings
        .iter()
        .map(|sighting| sighting.provider_id.as_str())
        .collect();
    let hashes: Vec<i64> = sightings.iter().map(|sighting| sighting.hash).collect();
    let rows = sqlx::query!(
        r#"SELECT r.id, r.provider_id, r.content_hash, r.version, r.stale_strike_count, r.deleted_at,
                  r.name, r.region, r.status, r.tags, r.cloud_project_id, r.tenant_id, r.attribution,
                  CASE WHEN r.content_hash <> t.hash OR r.deleted_at IS NOT NULL THEN r.attrs::text END AS attrs
           FROM unnest($3::text[], $4::bigint[]) AS t(provider_id, hash)
           CROSS JOIN LATERAL (SELECT * FROM cloud_resources
                WHERE provider = $1 AND kind = $2 AND provider_id = t.provider_id OFFSET 0) r"#,
        PROVIDER,
        kind.name,
        &ids as _,
        &hashes
    )
    .fetch_all(&mut **door)
    .await?;
    let mut found = BTreeMap::new();
    for row in rows {
        let contradiction = |what| Error::Contradiction {
            kind: kind.name,
            provider_id: row.provider_id.clone(),
            what,
        };
        let content = match row.attrs {
            None => None,
            Some(attrs) => Some(Content {
                name: row.name,
                region: row.region,
                status: row.status,
                tags: row.tags,
                attrs: serde_json::from_str::<Map<String, Value>>(&attrs)
                    .map_err(|_| contradiction("its attrs are not an object"))?,
                attribution: Attribution {
                    cloud_project_id: row.cloud_project_id,
                    tenant_id: row.tenant_id,
                    rule: Rule::named(&row.attribution)
                        .ok_or_else(|| contradiction("its attribution is no rule"))?,
                },
            }),
        };
        let stored = Row {
            id: row.id,
            content_hash: row.content_hash,
            version: row.version,
            strikes: row.stale_strike_count,
            deleted_at: row.deleted_at,
            content,
        };
        found.insert(row.provider_id, stored);
    }
    Ok(found)
}

/// Those that striking may concern: with a strike, or known and not in the listing. What somebody else has written since
/// the kind was looked at last, the next run sees.
pub(super) async fn live(
    door: &mut Transaction<'_, Postgres>,
    kind: &'static Kind,
    listing: &CompleteListing,
    known: &Known,
) -> Result<Population, Error> {
    // Two questions, each with its index: together they would be a reading of all rows.
    let mut notable = sqlx::query_as!(
        Live,
        r#"SELECT id AS "id!", provider_id AS "provider_id!", version AS "version!", stale_strike_count AS "strikes!",
                  last_struck_at, tenant_id
           FROM cloud_resources
           WHERE provider = $1 AND kind = $2 AND deleted_at IS NULL AND stale_strike_count BETWEEN 1 AND 2
           UNION
           SELECT id, provider_id, version, stale_strike_count, last_struck_at, tenant_id FROM cloud_resources
           WHERE provider = $1 AND kind = $2 AND deleted_at IS NULL AND provider_id = ANY($3::text[])"#,
        PROVIDER,
        kind.name,
        &known.absent_from(listing) as _
    )
    .fetch_all(&mut **door)
    .await?;
    notable.sort_unstable_by(|a, b| a.provider_id.cmp(&b.provider_id));
    Ok(Population {
        size: known.len(),
        notable,
        by_urn_only: kind.is_known_by_urn_only(),
    })
}

/// What is remembered of a kind's listings; nothing, before its first.
pub(super) async fn marker(
    door: &mut Transaction<'_, Postgres>,
    kind: &'static Kind,
) -> Result<Marker, Error> {
    let row = sqlx::query!(
        "SELECT last_complete_at, suspect_since, suspect_count FROM sync_markers WHERE provider = $1 AND kind = $2",
        PROVIDER,
        kind.name
    )
    .fetch_optional(&mut **door)
    .await?;
    let Some(row) = row else {
        return Ok(Marker::default());
    };
    let suspects = sqlx::query!(
        "SELECT provider_id, since, listings, released, released_until FROM sync_suspects
         WHERE provider = $1 AND kind = $2",
        PROVIDER,
        kind.name
    )
    .fetch_all(&mut **door)
    .await?;
    let suspects = suspects.into_iter().map(|row| {
        let suspect = Suspect {
            since: row.since,
            listings: row.listings,
            released: row.released,
            released_until: row.released_until,
        };
        (row.provider_id, suspect)
    });
    Ok(Marker {
        last_complete_at: row.last_complete_at,
        suspect_since: row.suspect_since,
        suspect_count: row.suspect_count,
        suspects: suspects.collect(),
    })
}
