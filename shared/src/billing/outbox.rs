//! Sending what waits: a message for every invoice that is pending and has none, or whose message is lost, and for
//! one whose items have been read in part.
//!
//! At the end of every balance and history run, so that a message that got lost costs an hour. Sent first, noted
//! after: dying in between sends one twice, and ingesting twice is the same as once.

use super::{Queue, store};
use crate::sync::{Failure, Upstream};

/// Sends all that wait; answers how many messages the queue has taken.
pub(super) async fn send(upstream: &mut Upstream<'_>) -> Result<usize, Failure> {
    let station = upstream.station();
    let waiting = store::to_send(&station.pool, upstream.now()).await?;
    let Some(queue) = &station.queue else {
        return Ok(0);
    };
    let mut sent = 0;
    for batch in Queue::batches(&waiting) {
        upstream.hold_on().await?;
        let taken = queue.send(batch).await.map_err(super::Error::from)?;
        store::sent(&station.pool, &taken, upstream.now()).await?;
        sent += taken.len();
    }
    Ok(sent)
}
