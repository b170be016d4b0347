//! What an operator may do to the ledger: have an invoice ingested again, or matched again.
//!
//! For the API, in the operator's own database role, which may change the state of an invoice and the match of a line
//! and nothing else. Neither touches an amount. A tenant's scope is refused by the database, whoever forgot to ask.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, Transaction};

use super::store::Header;
use super::{Queue, lines};
use crate::auth::Scope;
use crate::database::Pool;
use crate::inventory::read::ReadError;
use crate::kinds::PROVIDER;

/// Puts an invoice back into the queue; its lines stay until there are others. `None`: there is no such invoice. Else
/// whether its message is on the way already: without a queue, or if that takes nothing now, the next billing run
/// sends it.
///
/// # Errors
/// [`ReadError`], whose text is for logs only.
pub async fn ingest_again(
    pool: &Pool,
    scope: &Scope,
    invoice_uuid: &str,
    queue: Option<&Queue>,
    now: DateTime<Utc>,
) -> Result<Option<bool>, ReadError> {
    let put_back = async {
        let mut transaction = act_as(pool, scope).await?;
        let put = sqlx::query!(
            "UPDATE cloud_invoices SET ingest_status = 'pending', enqueued_at = NULL
             WHERE provider = $1 AND invoice_uuid = $2 AND NOT preview",
            PROVIDER,
            invoice_uuid
        )
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(put.rows_affected() == 1)
    };
    match put_back.await {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(error) => return Err(ReadError::of(pool, error).await),
    }
    let invoice = [invoice_uuid.to_owned()];
    let sent = match queue {
        None => false,
        Some(queue) => match queue.send(&invoice).await {
            Ok(taken) => !taken.is_empty(),
            Err(error) => {
                tracing::warn!(%error, "an invoice waits for the next billing run");
                false
            }
        },
    };
    if sent {
        let note = async {
            let mut transaction = act_as(pool, scope).await?;
            sqlx::query!(
                "UPDATE cloud_invoices SET enqueued_at = $3 WHERE provider = $1 AND invoice_uuid = $2",
                PROVIDER,
                invoice_uuid,
                now
            )
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await
        };
        if let Err(error) = note.await {
            // Sent twice is as good as once.
            tracing::warn!(%error, "that a message was sent was not written down");
        }
    }
    Ok(Some(sent))
}

/// Looks again for the resources of an invoice's unmatched lines. `None`: there is no such invoice. Else how many
/// were found.
///
/// # Errors
/// [`ReadError`].
pub async fn match_again(pool: &Pool, scope: &Scope, invoice_uuid: &str) -> Result<Option<u32>, ReadError> {
    let again = async {
        let mut transaction = act_as(pool, scope).await?;
        let header = sqlx::query_as!(
            Header,
            "SELECT id, invoice_uuid, period, amount, ingest_status, items_page FROM cloud_invoices
             WHERE provider = $1 AND invoice_uuid = $2",
            PROVIDER,
            invoice_uuid
        )
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(header) = header else { return Ok(None) };
        let found = lines::rematch(&mut transaction, &header).await?;
        transaction.commit().await?;
        Ok(Some(found))
    };
    match again.await {
        Ok(found) => Ok(found),
        Err(error) => Err(ReadError::of(pool, error).await),
    }
}

/// A transaction in the role that the scope has.
async fn act_as(pool: &Pool, scope: &Scope) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let role = if scope.is_operator() {
        "SET LOCAL ROLE arcadia_operator"
    } else {
        "SET LOCAL ROLE arcadia_tenant"
    };
    sqlx::raw_sql(role).execute(&mut *transaction).await?;
    Ok(transaction)
}
