//! `ingest-invoice`: the shell around messages of the ingest queue.
//!
//! SQS delivers some at a time, each at least once, and takes back what is reported as failed. One message is one
//! invoice, one run, one log line. A message that nobody can read, or about an invoice that nobody knows, fails each
//! time and so ends with the dead letters; what is wrong with a known invoice is written down there and the message is
//! done with; everything else comes back. It refuses to fail a whole batch for one of its messages.

use std::process::ExitCode;

use aws_lambda_events::event::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use lambda_runtime::{Context, LambdaEvent, service_fn};
use serde::Deserialize;
use shared::billing::{INGEST, ingest_at};
use shared::config::{Purpose, WorkerConfig};
use shared::runs::Tick;
use shared::sync::{RunOutcome, Vitals};

use crate::metrics;
use crate::worker::{Shell, log, start, time_left};

/// `{"invoice_uuid": "…"}`
#[derive(Deserialize)]
struct Body {
    invoice_uuid: String,
}

/// Ingests invoices until Lambda ends the sandbox.
pub fn run() -> ExitCode {
    start(INGEST, |environment| environment.worker(Purpose::Billing), serve)
}

async fn serve(config: WorkerConfig) -> Result<(), lambda_runtime::Error> {
    let shell = Shell::prepared(INGEST, config).await;
    let shell = &shell;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<SqsEvent>| async move {
        let LambdaEvent { payload, context } = event;
        let mut response = SqsBatchResponse::default();
        for message in payload.records {
            if !handle(shell, &message, &context).await {
                let mut failure = BatchItemFailure::default();
                failure.item_identifier = message.message_id.unwrap_or_default();
                response.batch_item_failures.push(failure);
            }
        }
        Ok::<_, lambda_runtime::Error>(response)
    }))
    .await
}

/// Whether the message is done with.
async fn handle(shell: &Shell, message: &SqsMessage, context: &Context) -> bool {
    let (message_id, request_id) = (message.message_id.as_deref(), context.request_id.as_str());
    let body = message
        .body
        .as_deref()
        .and_then(|body| serde_json::from_str::<Body>(body).ok());
    let Some(Body { invoice_uuid }) = body else {
        tracing::error!(
            worker = INGEST,
            request_id,
            message_id,
            error_class = "bad_message",
            "the message names no invoice"
        );
        return false;
    };
    let left = time_left(context);
    let uuid = invoice_uuid.clone();
    let report = shell
        .run(Tick::default(), left, |station, now| {
            Box::pin(async move { ingest_at(station, &uuid, now, left).await })
        })
        .await;
    log(&report, request_id);
    metrics::run(&report, &Vitals::default(), request_id);
    match report.outcome {
        // Busy: another delivery is at it. Should that one fail, its own message comes back.
        RunOutcome::Complete | RunOutcome::Incomplete | RunOutcome::Done | RunOutcome::Busy => true,
        _ => false,
    }
}
