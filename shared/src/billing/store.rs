//! The ledger's headers and balances, and the sole way to write them. Lines are written in [`super::lines`].
//!
//! A header is the outbox: it is committed as `pending` before its message is sent, and what is still pending is sent
//! again. Recording an invoice again keeps everything that ingesting it has found out. Every statement is one
//! transaction of its own and says the same when it is repeated.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::{Error, PREVIEW};
use crate::database::Pool;
use crate::kinds::PROVIDER;

/// After how long a message that has changed nothing counts as lost. Less than the hour between two runs.
const LOST_AFTER: TimeDelta = TimeDelta::minutes(45);

/// What is owed, as read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) generated_at: DateTime<Utc>,
    pub(super) month_to_date_balance: Decimal,
    pub(super) account_balance: Decimal,
    pub(super) month_to_date_usage: Decimal,
}

/// What the history says of an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heading {
    pub(super) invoice_uuid: String,
    pub(super) invoice_id: Option<String>,
    pub(super) period: NaiveDate,
    pub(super) amount: Decimal,
    pub(super) issued_at: DateTime<Utc>,
}

/// A stored header, as ingesting needs it.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(super) id: Uuid,
    pub(super) invoice_uuid: String,
    pub(super) period: NaiveDate,
    pub(super) amount: Decimal,
    pub(super) ingest_status: String,
    /// The page of its items that is to be read next, if some have been left for later.
    pub(super) items_page: Option<i32>,
}

/// Keeps a balance. False: it is the reading that is there already.
pub(super) async fn keep_balance(pool: &Pool, reading: &Reading, now: DateTime<Utc>) -> Result<bool, Error> {
    let kept = sqlx::query!(
        "INSERT INTO cloud_balance_snapshots
             (provider, generated_at, fetched_at, month_to_date_balance, account_balance, month_to_date_usage)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        PROVIDER,
        reading.generated_at,
        now,
        reading.month_to_date_balance,
        reading.account_balance,
        reading.month_to_date_usage
    )
    .execute(pool)
    .await?;
    Ok(kept.rows_affected() == 1)
}

/// Keeps headers, sorted so that two runs cannot block each other. An invoice whose amount has changed is to be
/// ingested again; nothing else of what is known is lost. Answers how many are new.
pub(super) async fn keep_headings(
    pool: &Pool,
    headings: &[Heading],
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    let mut sorted: Vec<&Heading> = headings.iter().collect();
    sorted.sort_by(|one, other| one.invoice_uuid.cmp(&other.invoice_uuid));
    let ids: Vec<Uuid> = sorted.iter().map(|_| Uuid::now_v7()).collect();
    let uuids: Vec<String> = sorted
        .iter()
        .map(|heading| heading.invoice_uuid.clone())
        .collect();
    let numbers: Vec<Option<String>> = sorted.iter().map(|heading| heading.invoice_id.clone()).collect();
    let periods: Vec<NaiveDate> = sorted.iter().map(|heading| heading.period).collect();
    let amounts: Vec<Decimal> = sorted.iter().map(|heading| heading.amount).collect();
    let issued: Vec<DateTime<Utc>> = sorted.iter().map(|heading| heading.issued_at).collect();
    let new = sqlx::query_scalar!(
        r#"WITH kept AS (
               INSERT INTO cloud_invoices AS i
                   (id, provider, invoice_uuid, invoice_id, period, amount, issued_at, first_seen_at)
               SELECT id, $1, invoice_uuid, invoice_id, period, amount, issued_at, $2
               FROM unnest($3::uuid[], $4::text[], $5::text[], $6::date[], $7::numeric[], $8::timestamptz[])
                    AS h (id, invoice_uuid, invoice_id, period, amount, issued_at)
               ORDER BY invoice_uuid
               ON CONFLICT (provider, invoice_uuid) DO UPDATE
               SET invoice_id = coalesce(excluded.invoice_id, i.invoice_id), period = excluded.period,
                   amount = excluded.amount, issued_at = excluded.issued_at,
                   ingest_status = CASE WHEN i.amount = excluded.amount THEN i.ingest_status ELSE 'pending' END
               WHERE (coalesce(excluded.invoice_id, i.invoice_id), excluded.period, excluded.amount, excluded.issued_at)
                     IS DISTINCT FROM (i.invoice_id, i.period, i.amount, i.issued_at)
               RETURNING id
           )
           SELECT count(*) AS "new!" FROM kept WHERE id = ANY ($3)"#,
        PROVIDER,
        now,
        &ids,
        &uuids,
        &numbers as &[Option<String>],
        &periods,
        &amounts,
        &issued
    )
    .fetch_one(pool)
    .await?;
    Ok(u64::try_from(new).unwrap_or(0))
}

/// One invoice's header, or the preview's.
pub(super) async fn header(pool: &Pool, invoice_uuid: &str) -> Result<Option<Header>, Error> {
    Ok(sqlx::query_as!(
        Header,
        "SELECT id, invoice_uuid, period, amount, ingest_status, items_page FROM cloud_invoices
         WHERE provider = $1 AND invoice_uuid = $2",
        PROVIDER,
        invoice_uuid
    )
    .fetch_optional(pool)
    .await?)
}

/// Every header there is, newest period first; the preview is none.
pub(super) async fn headers(pool: &Pool) -> Result<Vec<Header>, Error> {
    Ok(sqlx::query_as!(
        Header,
        "SELECT id, invoice_uuid, period, amount, ingest_status, items_page FROM cloud_invoices
         WHERE provider = $1 AND NOT preview ORDER BY period DESC, id",
        PROVIDER
    )
    .fetch_all(pool)
    .await?)
}

/// Invoices that wait for a message, or whose message is lost. One whose items have been read in part waits too.
pub(super) async fn to_send(pool: &Pool, now: DateTime<Utc>) -> Result<Vec<String>, Error> {
    Ok(sqlx::query_scalar!(
        "SELECT invoice_uuid FROM cloud_invoices
         WHERE (ingest_status = 'pending' OR ingest_status = 'ingested' AND items_page IS NOT NULL)
           AND NOT preview AND (enqueued_at IS NULL OR enqueued_at < $1)
         ORDER BY period DESC, invoice_uuid",
        now - LOST_AFTER
    )
    .fetch_all(pool)
    .await?)
}

/// Remembers that their messages are on the way.
pub(super) async fn sent(pool: &Pool, invoices: &[String], now: DateTime<Utc>) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE cloud_invoices SET enqueued_at = $3 WHERE provider = $1 AND invoice_uuid = ANY ($2)",
        PROVIDER,
        invoices,
        now
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Puts invoices back to the beginning of the way; their lines stay until there are others.
pub(super) async fn put_back(pool: &Pool, invoices: &[String]) -> Result<u64, Error> {
    let put = sqlx::query!(
        "UPDATE cloud_invoices SET ingest_status = 'pending', enqueued_at = NULL
         WHERE provider = $1 AND invoice_uuid = ANY ($2) AND NOT preview",
        PROVIDER,
        invoices
    )
    .execute(pool)
    .await?;
    Ok(put.rows_affected())
}

/// An invoice cannot be read: said, and not tried again by itself. Its stored lines stay as they are.
pub(super) async fn quarantine(pool: &Pool, header: &Header, reason: &str) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE cloud_invoices SET ingest_status = 'quarantined', last_error = $2 WHERE id = $1",
        header.id,
        reason
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// What an attempt failed with that may be tried again.
pub(super) async fn note(pool: &Pool, header: &Header, error: &str) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE cloud_invoices SET last_error = $2 WHERE id = $1 AND ingest_status = 'pending'",
        header.id,
        error
    )
    .execute(pool)
    .await?;
    Ok(())
}

impl Header {
    /// The running month's.
    pub(super) fn is_preview(&self) -> bool {
        self.invoice_uuid == PREVIEW
    }
}
