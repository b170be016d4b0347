//! Sending what waits: a message for every invoice that is pending and has none, or whose message is lost, and for
//! one whose items have been read in part.
//!
//! At the end of every balance and history run, so that a message that got lost costs an hour. Sent first, noted
//! after: dying in between sends one twice, and ingesting twice is the same as once.

use chrono::NaiveDate;

use super::{Queue, store};
use crate::database::Pool;
use crate::sync::{Failure, Upstream};

/// Sends all that wait; answers how many messages the queue has taken.
pub(super) async fn send(upstream: &mut Upstream<'_>) -> Result<usize, Failure> {
    let station = upstream.station();
    let waiting = store::to_send(&station.pool, upstream.now()).await?;
    let Some(url) = &station.config.ingest_queue else {
        return Ok(0);
    };
    let queue = station.queue.get_or_init(|| Queue::at(url));
    let mut sent = 0;
    for batch in Queue::batches(&waiting) {
        upstream.hold_on().await?;
        let taken = queue.send(batch).await.map_err(super::Error::from)?;
        store::sent(&station.pool, &taken, upstream.now()).await?;
        sent += taken.len();
    }
    Ok(sent)
}

/// The invoices that are not ingested yet, whether or not they have a message: from this month on, oldest first.
///
/// # Errors
/// When the database cannot be used.
pub async fn waiting(pool: &Pool, from: Option<NaiveDate>) -> Result<Vec<String>, super::Error> {
    Ok(sqlx::query_scalar!(
        "SELECT invoice_uuid FROM cloud_invoices
         WHERE ingest_status = 'pending' AND NOT preview AND period >= coalesce($1, period)
         ORDER BY period, invoice_uuid",
        from
    )
    .fetch_all(pool)
    .await?)
}
