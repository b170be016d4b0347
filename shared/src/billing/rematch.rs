//! A second look at lines without a match, because the inventory has grown since.
//!
//! At the end of each history run, newest invoices first, each in a transaction of its own, for as long as there is
//! time. It touches nothing but the match.

use super::Error;
use super::lines;
use super::store::Header;
use crate::database::Pool;
use crate::kinds::PROVIDER;
use crate::sync::{Failure, Upstream};

/// Looks again at everything; answers how many lines were matched.
pub(super) async fn run(upstream: &mut Upstream<'_>) -> Result<u32, Failure> {
    let pool = &upstream.station().pool;
    let mut found = 0;
    for header in unmatched(pool).await? {
        if !upstream.has_time() {
            break;
        }
        upstream.hold_on().await?;
        let mut transaction = pool.begin().await.map_err(Error::from)?;
        if !upstream
            .lease()
            .holds(&mut transaction)
            .await
            .map_err(Error::from)?
        {
            return Err(Failure::Fenced);
        }
        found += lines::rematch(&mut transaction, &header).await?;
        transaction.commit().await.map_err(Error::from)?;
    }
    Ok(found)
}

async fn unmatched(pool: &Pool) -> Result<Vec<Header>, Error> {
    Ok(sqlx::query_as!(
        Header,
        "SELECT id, invoice_uuid, period, amount, ingest_status, items_page FROM cloud_invoices
         WHERE provider = $1 AND ingested_at IS NOT NULL AND matched_lines < resource_lines
         ORDER BY period DESC, id",
        PROVIDER
    )
    .fetch_all(pool)
    .await?)
}
