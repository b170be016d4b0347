//! Reading the mirror: one page of `cloud_inventory` at a time.
//!
//! For the API, once per request. Every read takes a [`Scope`], writes the tenant into its own predicate and runs
//! under row-level security besides ([`read_as`]): a mistake in one of the two shows nobody anything. What is asked
//! for, and the SQL for it, is in [`question`].
//!
//! It refuses to hold more than a page can carry: a reader of huge rows gets fewer of them.

mod question;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::auth::Scope;
use crate::database::{DatabaseError, Pool, explain, read_as};
use crate::kinds::Kind;

pub use question::{Filter, Key, Place, Position, Sort};

/// Attributes longer than this are left out of a page (`null`): one resource must not be too big to be listed.
const LONGEST_ATTRS: usize = 1 << 20;
/// Where reading stops before `limit` is reached. More than the edge sends, so that the edge decides.
const LARGEST_PAGE: usize = 8 << 20;

/// The rules of attribution that a caller can ask for.
pub const ATTRIBUTIONS: [&str; 6] = ["operator", "item", "membership", "parent", "fallback", "none"];

/// One resource as callers see it. Serialises to the API's item.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub struct Item {
    /// Ours; ordered by discovery.
    pub id: Uuid,
    /// What it is.
    pub kind: String,
    /// Where it is.
    pub provider: String,
    /// The provider's id.
    pub provider_id: String,
    /// The provider's URN, for kinds that have one.
    #[sqlx(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urn: Option<String>,
    /// Its name.
    pub name: String,
    /// `None`: global, or not said.
    pub region: Option<String>,
    /// The provider's word.
    pub status: String,
    /// Sorted.
    pub tags: Vec<String>,
    /// The kind's allow-listed fields, passed through as text; `None` where they are too long to list.
    #[sqlx(json(nullable))]
    pub attrs: Option<Box<RawValue>>,
    /// The project it belongs to.
    pub project_id: Option<Uuid>,
    /// The tenant it belongs to.
    pub tenant_id: Option<String>,
    /// The rule that says so.
    pub attribution: String,
    /// Grows by one with each event.
    pub version: i32,
    /// First complete or incomplete listing that had it.
    pub first_seen_at: DateTime<Utc>,
    /// Last complete listing that had it.
    pub last_seen_at: DateTime<Utc>,
    /// Complete listings since then that had it not.
    pub stale_strike_count: i16,
    /// When it was found to be gone.
    pub deleted_at: Option<DateTime<Utc>>,
    /// The last meaningful change.
    pub updated_at: DateTime<Utc>,
}

impl Item {
    /// Where a page that ends with this item ends.
    pub fn position(&self, key: Key) -> Position {
        let place = match key {
            Key::Id => Place::Id,
            Key::Name => Place::Name(self.name.clone()),
            Key::UpdatedAt => Place::UpdatedAt(self.updated_at),
        };
        Position { place, id: self.id }
    }

    fn length(&self) -> usize {
        let tags: usize = self.tags.iter().map(String::len).sum();
        self.attrs.as_ref().map_or(0, |attrs| attrs.get().len()) + tags + self.name.len()
    }
}

/// Part of a listing.
#[derive(Debug)]
pub struct Page {
    /// In order.
    pub items: Vec<Item>,
    /// Whether there are others after them.
    pub more: bool,
}

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database is away; asking again later helps.
    #[error(transparent)]
    Away(DatabaseError),
    /// The question is wrong, or the answer is not what the code expects; asking again does not help.
    #[error(transparent)]
    Fault(DatabaseError),
}

/// One page of what the scope may see, in one query.
///
/// # Errors
/// [`ReadError`], whose text is for logs only.
pub async fn list(
    pool: &Pool,
    scope: &Scope,
    filter: &Filter,
    sort: Sort,
    after: Option<&Position>,
    limit: usize,
) -> Result<Page, ReadError> {
    match fetch(
        pool,
        scope,
        &mut question::query(scope, filter, sort, after, limit),
        limit,
    )
    .await
    {
        Ok(page) => Ok(page),
        Err(error) => Err(classify(pool, error).await),
    }
}

async fn fetch(
    pool: &Pool,
    scope: &Scope,
    query: &mut QueryBuilder<Postgres>,
    limit: usize,
) -> Result<Page, sqlx::Error> {
    let mut transaction = read_as(pool, scope).await?;
    let mut page = Page {
        items: Vec::new(),
        more: false,
    };
    let mut length = 0;
    {
        let mut rows = query.build_query_as::<Item>().fetch(&mut *transaction);
        while let Some(mut item) = rows.try_next().await? {
            if page.items.len() == limit || length > LARGEST_PAGE {
                page.more = true;
                break;
            }
            item.attrs = item.attrs.filter(|attrs| attrs.get().len() <= LONGEST_ATTRS);
            item.urn = urn(&item);
            length += item.length();
            page.items.push(item);
        }
    }
    transaction.rollback().await?;
    Ok(page)
}

/// DigitalOcean's own name for it, if it gives this kind one.
fn urn(item: &Item) -> Option<String> {
    let urn_type = Kind::named(&item.kind)?.urn_types.first()?;
    Some(format!("do:{urn_type}:{}", item.provider_id))
}

impl ReadError {
    /// What a failed read means.
    pub(crate) async fn of(pool: &Pool, error: sqlx::Error) -> Self {
        classify(pool, error).await
    }
}

/// Whether asking again later can help.
async fn classify(pool: &Pool, error: sqlx::Error) -> ReadError {
    match explain(pool, error).await {
        DatabaseError::Driver(sqlx::Error::Database(error)) => {
            // Connection, resources, operator's intervention (timeouts among them), login, missing database.
            let away = error.code().is_some_and(|code| {
                ["08", "53", "57", "28", "3D", "25P0"]
                    .iter()
                    .any(|class| code.starts_with(class))
            });
            let error = DatabaseError::Driver(sqlx::Error::Database(error));
            if away {
                ReadError::Away(error)
            } else {
                ReadError::Fault(error)
            }
        }
        error @ DatabaseError::Driver(
            sqlx::Error::Decode(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::Encode(_),
        ) => ReadError::Fault(error),
        error => ReadError::Away(error),
    }
}
