//! The blind-spot report: for every kind, what its last listing was worth, and since when we know nothing better.
//!
//! For the operator, through the API. Kinds of the catalogue that were never listed are there too: not having looked
//! is a blind spot like any other. Ages are by the database's clock. It judges nothing: no age is too old by itself.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::auth::Scope;
use crate::database::{Pool, ReadError, read_as};
use crate::kinds::project::PROJECT;
use crate::kinds::{CATALOGUE, PROVIDER};

/// What is known of the listings of one kind. Serialises to the API's listing.
#[derive(Clone, Debug, Serialize)]
pub struct Listing {
    /// The kind; `project` for the projects themselves.
    pub kind: String,
    /// Whose account it is.
    pub provider: String,
    /// What became of the newest one; `None`: it was never listed.
    pub verdict: Option<String>,
    /// Why, if it is not `complete`.
    pub error: Option<String>,
    /// When the newest one was begun.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// When the newest complete one was begun: what is shown of this kind is as old as this.
    pub last_complete_at: Option<DateTime<Utc>>,
    /// The same as an age in seconds, by the database's clock.
    pub age_seconds: Option<i64>,
    /// How many things the newest complete one had.
    pub last_complete_size: Option<i32>,
    /// Live things of this kind in the mirror.
    pub live: i64,
    /// Too much was missing, and nobody has been struck for it.
    pub suspicion: Option<Suspicion>,
    /// An operator has said that what was missing then is gone, and some of it has no tombstone yet.
    pub release: Option<Release>,
}

/// Since when too much has been missing.
#[derive(Clone, Debug, Serialize)]
pub struct Suspicion {
    /// Since then.
    pub since: Option<DateTime<Utc>>,
    /// So many complete listings in a row.
    pub listings: i32,
}

/// A release, which is for the things that were missing when it was given.
#[derive(Clone, Debug, Serialize)]
pub struct Release {
    /// The operator's subject.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: Option<DateTime<Utc>>,
    /// Until when; `None`: while they are missing.
    pub until: Option<DateTime<Utc>>,
}

impl Listing {
    /// Whether what the mirror shows of this kind may not be what there is.
    pub fn is_blind(&self) -> bool {
        self.last_complete_at.is_none() || self.verdict.as_deref() != Some("complete")
    }
}

/// Every kind of the catalogue, the projects, and whatever else was ever listed; by name.
///
/// # Errors
/// [`ReadError`], whose text is for logs only.
pub async fn listings(pool: &Pool, scope: &Scope) -> Result<Vec<Listing>, ReadError> {
    let kinds: Vec<&str> = CATALOGUE
        .iter()
        .map(|kind| kind.name)
        .chain([PROJECT.name])
        .collect();
    match read(pool, scope, &kinds).await {
        Ok(listings) => Ok(listings),
        Err(error) => Err(ReadError::of(pool, error).await),
    }
}

async fn read(pool: &Pool, scope: &Scope, kinds: &[&str]) -> Result<Vec<Listing>, sqlx::Error> {
    let mut reading = read_as(pool, scope).await?;
    let rows = sqlx::query!(
        r#"SELECT COALESCE(m.kind, k.kind) AS "kind!", m.verdict AS "verdict?", m.error,
                  m.last_attempt_at AS "last_attempt_at?", m.last_complete_at,
                  EXTRACT(EPOCH FROM clock_timestamp() - m.last_complete_at)::bigint AS age_seconds,
                  m.last_complete_size, m.suspect_since, m.suspect_count AS "suspect_count?",
                  m.released_by, m.released_at, m.released_until, m.released_reason,
                  COALESCE(l.live, 0) AS "live!"
           FROM unnest($2::text[]) AS k(kind)
           FULL JOIN (SELECT * FROM sync_markers WHERE provider = $1) m ON m.kind = k.kind
           LEFT JOIN (SELECT kind, count(*) AS live FROM cloud_resources
                      WHERE provider = $1 AND deleted_at IS NULL GROUP BY kind
                      UNION ALL
                      SELECT 'project', count(*) FROM cloud_projects
                      WHERE provider = $1 AND deleted_at IS NULL) l ON l.kind = COALESCE(m.kind, k.kind)
           ORDER BY 1"#,
        PROVIDER,
        kinds as _
    )
    .fetch_all(&mut *reading)
    .await?;
    reading.end().await;
    let listings = rows.into_iter().map(|row| Listing {
        kind: row.kind,
        provider: PROVIDER.to_owned(),
        verdict: row.verdict,
        error: row.error,
        last_attempt_at: row.last_attempt_at,
        last_complete_at: row.last_complete_at,
        age_seconds: row.age_seconds,
        last_complete_size: row.last_complete_size,
        live: row.live,
        suspicion: row.suspect_since.map(|since| Suspicion {
            since: Some(since),
            listings: row.suspect_count.unwrap_or_default(),
        }),
        release: row.released_by.map(|by| Release {
            by: Some(by),
            reason: row.released_reason,
            at: row.released_at,
            until: row.released_until,
        }),
    });
    Ok(listings.collect())
}
