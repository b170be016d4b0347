//! Reading the mirror: the inventory of now or of a past moment, one page at a time; beneath it stand its history,
//! its projects, its listings and its summary.
//!
//! For the API, once per request. Every read takes a [`Scope`], writes the tenant into its own predicate and runs
//! under row-level security besides ([`read_as`]): a mistake in one of the two shows nobody anything. What is asked
//! for, and the SQL for it, is in [`question`].
//!
//! It refuses to hold more than a page can carry: a reader of huge rows gets fewer of them.

pub mod history;
mod item;
mod json;
pub mod listings;
pub mod projects;
mod question;
pub mod summary;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::auth::Scope;
use crate::database::{Pool, read_as};

pub use crate::database::ReadError;

pub use item::Item;
pub(super) use question::ITEM;
pub use question::{Filter, Key, Place, Position, Sort};

/// Where reading stops before `limit` is reached. More than the edge sends, so that the edge decides.
const LARGEST_PAGE: usize = 8 << 20;

/// The rules of attribution that a caller can ask for.
pub const ATTRIBUTIONS: [&str; 6] = ["operator", "item", "membership", "parent", "fallback", "none"];

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
    match fetch(pool, scope, &mut query, limit, Item::read).await {
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
    let mut query = question::items("", scope, as_of);
    query.push(" WHERE id = ").push_bind(id);
    if let Some(tenant) = scope.tenant() {
        query.push(" AND tenant_id = ").push_bind(tenant.to_owned());
    }
    match fetch(pool, scope, &mut query, 1, Item::read).await {
        Ok(page) => Ok(page.items.into_iter().next()),
        Err(error) => Err(ReadError::of(pool, error).await),
    }
}

/// A page of rows, ended by its limit or its size; `read` makes something of each and says how long that is.
async fn fetch<T>(
    pool: &Pool,
    scope: &Scope,
    query: &mut QueryBuilder<Postgres>,
    limit: usize,
    read: fn(PgRow) -> Result<(T, usize), sqlx::Error>,
) -> Result<Page<T>, sqlx::Error> {
    let mut reading = read_as(pool, scope).await?;
    let mut page = Page {
        items: Vec::new(),
        more: false,
    };
    let mut length = 0;
    {
        let mut rows = query.build().fetch(&mut *reading);
        while let Some(row) = rows.try_next().await? {
            // Read to the last one, also of those that are not kept: the transaction ends behind them.
            page.more = page.items.len() == limit || length > LARGEST_PAGE;
            if !page.more {
                let (item, its) = read(row)?;
                length += its;
                page.items.push(item);
            }
        }
    }
    reading.end().await;
    Ok(page)
}
