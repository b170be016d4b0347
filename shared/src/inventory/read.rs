//! Reading the mirror: the inventory of now or of a past moment, one page at a time; beneath it stand its history,
//! its projects, its listings and its summary.
//!
//! For the API, once per request. Every read takes a [`Scope`], writes the tenant into its own predicate and runs
//! under row-level security besides ([`read_as`]): a mistake in one of the two shows nobody anything. What is asked
//! for, and the SQL for it, is in [`question`].
//!
//! It refuses to hold more than a page can carry: a reader of huge rows gets fewer of them.

pub mod history;
pub mod listings;
pub mod projects;
mod question;
pub mod summary;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::auth::Scope;
use crate::database::{Pool, read_as};
use crate::kinds::Kind;

pub use crate::database::ReadError;

pub(super) use question::ITEM;
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
    /// Last complete listing that had it. `None` in the past: sightings are not history.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// Complete listings since then that had it not. `None` in the past.
    pub stale_strike_count: Option<i16>,
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

    /// A row as it is sent.
    pub(super) fn finished(mut self) -> Self {
        self.attrs = self.attrs.filter(|attrs| attrs.get().len() <= LONGEST_ATTRS);
        self.urn = urn(&self);
        self
    }

    fn length(&self) -> usize {
        let tags: usize = self.tags.iter().map(String::len).sum();
        self.attrs.as_ref().map_or(0, |attrs| attrs.get().len()) + tags + self.name.len()
    }
}

/// Part of a list.
#[derive(Debug)]
pub struct Page<T = Item> {
    /// In order.
    pub items: Vec<T>,
    /// Whether there are others after them.
    pub more: bool,
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
    let mut query = question::query(scope, filter, sort, after, limit);
    match fetch(pool, scope, &mut query, limit, finished).await {
        Ok(page) => Ok(page),
        Err(error) => Err(ReadError::of(pool, error).await),
    }
}

/// One resource, tombstones included, as it is or as it was at a past moment; `None` where the scope has none.
///
/// # Errors
/// [`ReadError`], whose text is for logs only.
pub async fn one(
    pool: &Pool,
    scope: &Scope,
    id: Uuid,
    as_of: Option<DateTime<Utc>>,
) -> Result<Option<Item>, ReadError> {
    let mut query = question::items(scope, as_of);
    query.push(" WHERE id = ").push_bind(id);
    if let Some(tenant) = scope.tenant() {
        query.push(" AND tenant_id = ").push_bind(tenant.to_owned());
    }
    match fetch(pool, scope, &mut query, 1, finished).await {
        Ok(page) => Ok(page.items.into_iter().next()),
        Err(error) => Err(ReadError::of(pool, error).await),
    }
}

fn finished(item: Item) -> (Item, usize) {
    let item = item.finished();
    let length = item.length();
    (item, length)
}

/// A page of rows, ended by its limit or its size; `finish` says how long each is.
async fn fetch<T: Send + Unpin + for<'r> sqlx::FromRow<'r, PgRow>>(
    pool: &Pool,
    scope: &Scope,
    query: &mut QueryBuilder<Postgres>,
    limit: usize,
    finish: fn(T) -> (T, usize),
) -> Result<Page<T>, sqlx::Error> {
    let mut transaction = read_as(pool, scope).await?;
    let mut page = Page {
        items: Vec::new(),
        more: false,
    };
    let mut length = 0;
    {
        let mut rows = query.build_query_as::<T>().fetch(&mut *transaction);
        while let Some(row) = rows.try_next().await? {
            if page.items.len() == limit || length > LARGEST_PAGE {
                page.more = true;
                break;
            }
            let (row, its) = finish(row);
            length += its;
            page.items.push(row);
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
