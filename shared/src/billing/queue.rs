//! The ingest queue: one message per invoice.
//!
//! Used after a header has been committed, never before. Batches of ten, as SQS takes them; what a batch does not take
//! is simply not sent, and found pending by the next run. It refuses to keep anything: the header is the outbox.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use tokio::sync::OnceCell;

use crate::aws;

/// SQS takes no more at once.
const BATCH: usize = 10;
/// How long it may take, retries included.
const LONGEST: Duration = Duration::from_secs(5);

/// The way to the queue. Connects when something is sent.
pub struct Queue {
    url: String,
    client: OnceCell<Client>,
}

/// The queue did not take a message.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the ingest queue takes no messages: {0}")]
pub struct QueueError(String);

impl Queue {
    /// The queue at this URL.
    pub fn at(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            client: OnceCell::new(),
        }
    }

    /// Sends a message for each of up to ten invoices. Answers for which the queue has taken it.
    ///
    /// # Errors
    /// When it has taken none, with the service's own code.
    pub async fn send(&self, invoices: &[String]) -> Result<Vec<String>, QueueError> {
        let refused = |why: &str| QueueError(why.to_owned());
        let client = self
            .client
            .get_or_init(|| async { Client::new(&aws::config(LONGEST)) })
            .await;
        let mut entries = Vec::with_capacity(invoices.len());
        for (place, invoice) in invoices.iter().enumerate() {
            let body = serde_json::json!({ "invoice_uuid": invoice });
            let entry = SendMessageBatchRequestEntry::builder()
                .id(place.to_string())
                .message_body(body.to_string());
            entries.push(entry.build().map_err(|_| refused("a message cannot be made"))?);
        }
        let request = client
            .send_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries));
        let answer = request.send().await.map_err(|error| {
            let code = error.as_service_error().and_then(|service| service.meta().code());
            refused(code.unwrap_or("the service cannot be reached"))
        })?;
        let taken = |place: &str| place.parse::<usize>().ok().and_then(|place| invoices.get(place));
        let taken: Vec<String> = answer
            .successful
            .iter()
            .filter_map(|entry| taken(&entry.id))
            .cloned()
            .collect();
        match answer.failed.first() {
            Some(failed) if taken.is_empty() => Err(refused(&failed.code)),
            _ => Ok(taken),
        }
    }

    /// As many as there are, in batches.
    pub(super) fn batches(invoices: &[String]) -> impl Iterator<Item = &[String]> {
        invoices.chunks(BATCH)
    }
}
