//! Reading the ledger, for operators: every read takes a [`Scope`], and one that is a tenant's sees nothing.
//!
//! For the API, once per request, in a read-only transaction of the role that may. Money stays decimal and becomes a
//! string in JSON. The questions with filters are in [`question`]; grouped costs in [`costs`].

pub mod costs;
mod question;

use chrono::{DateTime, NaiveDate, Utc};
use futures_util::TryStreamExt;
use rust_decimal::Decimal;
use serde::Serialize;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

pub(super) use question::conditions;
pub use question::{Invoices, LineFilter, Place};

use crate::auth::Scope;
use crate::database::{Pool, read_as};
use crate::inventory::read::ReadError;

/// What was owed at some moment.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub struct Balance {
    /// When DigitalOcean computed it.
    pub generated_at: DateTime<Utc>,
    /// When it was read.
    pub fetched_at: DateTime<Utc>,
    /// `account_balance` and the usage since, in US dollars; positive is owed.
    pub month_to_date_balance: Decimal,
    /// After the newest billing activity.
    pub account_balance: Decimal,
    /// Of the running month.
    pub month_to_date_usage: Decimal,
}

/// One invoice, or the running month.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub struct Invoice {
    /// Ours; for pages.
    #[serde(skip)]
    pub id: Uuid,
    /// DigitalOcean's.
    pub invoice_uuid: String,
    /// The number on the PDF.
    pub invoice_id: Option<String>,
    /// The first day of the billed month.
    pub period: NaiveDate,
    /// The running month, which is no invoice.
    pub preview: bool,
    /// What it asks for, in US dollars.
    pub amount: Decimal,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// `pending`, `ingested`, `quarantined`.
    pub ingest_status: String,
    /// When its stored lines were ingested.
    pub ingested_at: Option<DateTime<Utc>>,
    /// Why it is quarantined, or what the last attempt failed with.
    pub last_error: Option<String>,
    /// Lines.
    pub line_count: Option<i32>,
    /// What they add up to.
    pub lines_total: Option<Decimal>,
    /// `lines_total` less `amount`.
    pub difference: Option<Decimal>,
    /// `reconciled`, `rounded`, `mismatch`.
    pub reconciliation: Option<String>,
    /// Lines that some resource caused.
    pub resource_lines: Option<i32>,
    /// Those of them that are matched.
    pub matched_lines: Option<i32>,
    /// Their share, from 0 to 1; `None` if there are none.
    pub match_rate: Option<Decimal>,
    /// Of a long invoice: the page of its items whose ids are read next.
    pub items_page: Option<i32>,
}

/// One line, and what caused it.
#[derive(Debug, Serialize, sqlx::FromRow)]
pub struct CostLine {
    /// Its invoice, ours; for pages.
    #[serde(skip)]
    pub cloud_invoice_id: Uuid,
    /// Its invoice.
    pub invoice_uuid: String,
    /// Its place there.
    pub line_no: i32,
    /// The billed month.
    pub period: NaiveDate,
    /// As DigitalOcean wrote it.
    pub product: String,
    /// As DigitalOcean wrote it.
    pub group_description: String,
    /// As DigitalOcean wrote it.
    pub description: String,
    /// Billed hours.
    pub hours: Option<Decimal>,
    /// When the charge begins.
    pub starts_at: Option<DateTime<Utc>>,
    /// When it ends.
    pub ends_at: Option<DateTime<Utc>>,
    /// US dollars.
    pub amount: Decimal,
    /// The project's name at that time.
    pub project_name: String,
    /// As DigitalOcean wrote it.
    pub category: String,
    /// `resource`, `tax`, `credit`, `account`, `unknown`.
    pub class: String,
    /// The kind of the resource.
    pub kind: Option<String>,
    /// The name that the line gives it.
    pub resource_name: Option<String>,
    /// The resource.
    pub cloud_resource_id: Option<Uuid>,
    /// Why that one.
    pub match_rule: Option<String>,
    /// Whose it was when the charge ended.
    pub tenant_id: Option<String>,
    /// The project it was in then.
    pub project_id: Option<Uuid>,
}

/// Part of a list.
#[derive(Debug)]
pub struct Page<T> {
    /// In order.
    pub items: Vec<T>,
    /// Whether there are others after them.
    pub more: bool,
}

/// Balances, newest first.
///
/// # Errors
/// [`ReadError`], whose text is for logs only.
pub async fn balances(
    pool: &Pool,
    scope: &Scope,
    before: Option<DateTime<Utc>>,
    limit: usize,
) -> Result<Page<Balance>, ReadError> {
    let mut sql = QueryBuilder::new(
        "SELECT generated_at, fetched_at, month_to_date_balance, account_balance, month_to_date_usage \
         FROM cloud_balance_snapshots WHERE provider = ",
    );
    sql.push_bind(crate::kinds::PROVIDER);
    if let Some(before) = before {
        sql.push(" AND generated_at < ").push_bind(before);
    }
    sql.push(" ORDER BY generated_at DESC");
    page(pool, scope, sql, limit).await
}

/// Invoices, newest month first; the running month is not among them.
///
/// # Errors
/// [`ReadError`].
pub async fn invoices(
    pool: &Pool,
    scope: &Scope,
    asked: &Invoices,
    after: Option<&(NaiveDate, Uuid)>,
    limit: usize,
) -> Result<Page<Invoice>, ReadError> {
    page(pool, scope, question::invoices(asked, after), limit).await
}

/// One invoice by DigitalOcean's uuid, or the running month by `preview`.
///
/// # Errors
/// [`ReadError`].
pub async fn invoice(pool: &Pool, scope: &Scope, invoice_uuid: &str) -> Result<Option<Invoice>, ReadError> {
    let found = page(pool, scope, question::invoice(invoice_uuid), 1).await?;
    Ok(found.items.into_iter().next())
}

/// Cost lines, in the order of their invoices.
///
/// # Errors
/// [`ReadError`].
pub async fn lines(
    pool: &Pool,
    scope: &Scope,
    filter: &LineFilter,
    after: Option<&Place>,
    limit: usize,
) -> Result<Page<CostLine>, ReadError> {
    page(pool, scope, question::lines(filter, after), limit).await
}

/// One page of a question, and whether there is more.
pub(super) async fn page<T>(
    pool: &Pool,
    scope: &Scope,
    mut sql: QueryBuilder<Postgres>,
    limit: usize,
) -> Result<Page<T>, ReadError>
where
    T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
{
    sql.push(" LIMIT ")
        .push_bind(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));
    let read = async {
        let mut reading = read_as(pool, scope).await?;
        let mut items = Vec::new();
        {
            let mut rows = sql.build_query_as::<T>().fetch(&mut *reading);
            while let Some(item) = rows.try_next().await? {
                items.push(item);
            }
        }
        reading.end().await;
        let more = items.len() > limit;
        items.truncate(limit);
        Ok(Page { items, more })
    };
    match read.await {
        Ok(page) => Ok(page),
        Err(error) => Err(ReadError::of(pool, error).await),
    }
}
