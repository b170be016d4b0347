//! Plays EventBridge Scheduler and SQS: what in AWS invokes the functions.
//!
//! Every worker once at the start, one after the other; then each on its own schedule, and the ingest queue as
//! SQS would empty it: batches, partial failures, deletion of what was handled. A worker that is still busy when
//! it is due again is invoked beside itself, as Scheduler does: leases have to cope.

use std::convert::Infallible;
use std::time::Duration;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Stack;
use super::invoke::{Functions, Invoker};
use super::template::{QueueReader, Scheduled, Template};
use crate::failure::Failure;
use crate::{aws, place};

/// Projects first: what belongs to whom is then known when the rest arrives. It does not have to be.
const FIRST: &str = "sync-projects";

/// Runs every scheduled worker once.
pub(super) async fn everything_once(
    template: &Template,
    functions: &Functions,
    say: &dyn Fn(&str),
) -> Result<(), Failure> {
    let invoker = functions.invoker();
    let mut workers: Vec<&Scheduled> = template.schedules.iter().collect();
    workers.sort_by_key(|worker| worker.binary != FIRST);
    for (index, worker) in workers.iter().enumerate() {
        let event = worker.payload(now())?;
        let outcome = tokio::select! {
            outcome = invoker.invoke(&worker.binary, &event) => outcome,
            failure = functions.watch() => return Err(failure),
        };
        say(&format!(
            "[{}/{}] {}",
            index + 1,
            workers.len(),
            line(&worker.binary, &outcome)
        ));
    }
    Ok(())
}

/// Invokes everything on time, for ever.
pub(super) async fn drive(
    template: &Template,
    functions: &Functions,
    stack: &Stack,
    say: &dyn Fn(&str),
) -> Infallible {
    let (lines, mut said) = mpsc::unbounded_channel::<String>();
    // Dropped with this future, and every task with it.
    let mut tasks = JoinSet::new();
    for worker in &template.schedules {
        tasks.spawn(tick(worker.clone(), functions.invoker(), lines.clone()));
    }
    for reader in &template.queue_readers {
        let queue = (stack.aws.clone(), stack.queues.ingest.clone());
        tasks.spawn(empty(reader.clone(), queue, functions.invoker(), lines.clone()));
    }
    loop {
        match said.recv().await {
            Some(line) => say(&line),
            None => std::future::pending().await,
        }
    }
}

async fn tick(worker: Scheduled, invoker: Invoker, lines: mpsc::UnboundedSender<String>) {
    let mut running = JoinSet::new();
    let mut last = now();
    while let Some(due) = worker.schedule.next_after(last) {
        let wait = (due - now()).to_std().unwrap_or_default();
        tokio::time::sleep(wait).await;
        last = due;
        while running.try_join_next().is_some() {}
        let (worker, invoker, lines) = (worker.clone(), invoker.clone(), lines.clone());
        running.spawn(async move {
            let outcome = match worker.payload(due) {
                Ok(event) => invoker.invoke(&worker.binary, &event).await,
                Err(failure) => Err(failure),
            };
            // Nobody listens any more: the stack is going down.
            let _ = lines.send(format!(
                "{} {}",
                due.format("%H:%M:%S"),
                line(&worker.binary, &outcome)
            ));
        });
    }
}

/// Empties the ingest queue once, so that what the first runs have sent is there when the stack says it is ready.
pub(super) async fn what_waits(
    template: &Template,
    functions: &Functions,
    (aws, queue): (&aws::Aws, &str),
    say: &dyn Fn(&str),
) -> Result<(), Failure> {
    let (sqs, invoker) = (aws.sqs(), functions.invoker());
    for reader in &template.queue_readers {
        let emptied = async {
            while let Some(line) = batch(reader, &sqs, queue, &invoker, 0).await {
                say(&line);
            }
        };
        tokio::select! {
            () = emptied => {}
            failure = functions.watch() => return Err(failure),
        }
    }
    Ok(())
}

async fn empty(
    reader: QueueReader,
    (aws, queue): (aws::Aws, String),
    invoker: Invoker,
    lines: mpsc::UnboundedSender<String>,
) {
    let sqs = aws.sqs();
    loop {
        match batch(&reader, &sqs, &queue, &invoker, 5).await {
            Some(line) => drop(lines.send(line)),
            // Also when moto did not wait, or did not answer.
            None => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Hands over what is in the queue, as much as one event holds; what came of it is one line.
async fn batch(
    reader: &QueueReader,
    sqs: &aws_sdk_sqs::Client,
    queue: &str,
    invoker: &Invoker,
    patience: i32,
) -> Option<String> {
    let received = sqs
        .receive_message()
        .queue_url(queue)
        .max_number_of_messages(reader.batch_size)
        .wait_time_seconds(patience)
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .send()
        .await;
    let messages = received
        .ok()
        .and_then(|received| received.messages)
        .filter(|messages| !messages.is_empty())?;
    let records: Vec<Value> = messages.iter().map(record).collect();
    let outcome = invoker
        .invoke(&reader.binary, &json!({ "Records": records }))
        .await;
    for message in handled(&messages, outcome.as_ref().ok()) {
        let handle = message.receipt_handle().unwrap_or_default();
        // One that stays comes again, which ingest has to bear anyway.
        let _ = sqs
            .delete_message()
            .queue_url(queue)
            .receipt_handle(handle)
            .send()
            .await;
    }
    let count = messages.len();
    Some(format!("{count} messages: {}", line(&reader.binary, &outcome)))
}

/// What may be deleted: nothing of a failed batch, everything but the reported failures of another.
fn handled<'a>(messages: &'a [Message], answer: Option<&Value>) -> Vec<&'a Message> {
    let Some(answer) = answer else { return Vec::new() };
    let failures = answer.get("batchItemFailures").and_then(Value::as_array);
    let failed = |message: &Message| {
        failures
            .into_iter()
            .flatten()
            .any(|failure| failure.get("itemIdentifier").and_then(Value::as_str) == message.message_id())
    };
    messages.iter().filter(|message| !failed(message)).collect()
}

/// As Lambda passes a message on.
fn record(message: &Message) -> Value {
    let attributes = message.attributes().into_iter().flatten();
    let attributes = attributes.map(|(name, value)| (name.as_str().to_owned(), json!(value)));
    json!({
        "messageId": message.message_id(),
        "receiptHandle": message.receipt_handle(),
        "body": message.body(),
        "attributes": attributes.collect::<serde_json::Map<_, _>>(),
        "messageAttributes": {},
        "md5OfBody": message.md5_of_body(),
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:{}:123456789012:arcadia-ingest", aws::REGION),
        "awsRegion": aws::REGION,
    })
}

/// `sync-droplets: complete in 84 ms, droplet: 37 seen, 37 discovered`.
fn line(worker: &str, outcome: &Result<Value, Failure>) -> String {
    let answer = match outcome {
        Ok(answer) => answer,
        Err(failure) => return format!("{worker}: FAILED: {failure}"),
    };
    let mut line = format!(
        "{worker}: {}",
        answer.get("outcome").and_then(Value::as_str).unwrap_or("done")
    );
    if let Some(elapsed) = answer.get("elapsed_ms").and_then(Value::as_u64) {
        line.push_str(&format!(" in {elapsed} ms"));
    }
    for kind in answer
        .get("kinds")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let mut counts = Vec::new();
        numbers(kind, &mut counts);
        // The rest comes in the order of its names.
        counts.sort_by_key(|count| !count.ends_with(" seen"));
        let name = kind.get("kind").and_then(Value::as_str).unwrap_or("?");
        line.push_str(&format!(", {name}: {}", counts.join(", ")));
    }
    if let Some(ledger) = answer.get("ledger") {
        let mut counts = Vec::new();
        let parts = ledger.as_object().into_iter().flatten();
        // One invoice's own counts follow under its name: the running month is none of those that are counted before.
        let (within, own): (Vec<_>, Vec<_>) = parts.partition(|(_, part)| part.is_object());
        for (name, part) in own {
            numbers(&json!({ name: part }), &mut counts);
        }
        for (name, part) in within {
            let mut its = Vec::new();
            numbers(part, &mut its);
            counts.extend((!its.is_empty()).then(|| format!("{name}: {}", its.join(", "))));
        }
        if !counts.is_empty() {
            line.push_str(&format!(", ledger: {}", counts.join(", ")));
        }
    }
    if let Some(failures) = answer.get("batchItemFailures").and_then(Value::as_array) {
        line.push_str(&format!(", {} of them come again", failures.len()));
    }
    if let Some(error) = answer.get("error").and_then(Value::as_str) {
        line.push_str(&format!(" ({error})"));
    }
    line
}

/// Every count above zero, nested ones too, in the report's own words.
fn numbers(value: &Value, counts: &mut Vec<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::Number(number) if number.as_u64() != Some(0) => counts.push(format!("{number} {name}")),
            Value::Object(_) => numbers(value, counts),
            _ => {}
        }
    }
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + place::since_1970()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_deleted_but_for_its_failures() {
        let messages = ["a", "b", "c"].map(|id| Message::builder().message_id(id).build());
        let ids = |answer: Option<Value>| -> Vec<String> {
            let handled = handled(&messages, answer.as_ref());
            handled
                .iter()
                .map(|message| message.message_id().unwrap().to_owned())
                .collect()
        };
        assert_eq!(ids(None), [""; 0]);
        assert_eq!(ids(Some(json!({"batchItemFailures": []}))), ["a", "b", "c"]);
        assert_eq!(
            ids(Some(json!({"batchItemFailures": [{"itemIdentifier": "b"}]}))),
            ["a", "c"]
        );
        assert_eq!(ids(Some(Value::Null)), ["a", "b", "c"]);
    }

    #[test]
    fn a_report_is_one_line() {
        let report = json!({"outcome": "complete", "elapsed_ms": 84, "requests": 2,
            "kinds": [{"kind": "droplet", "seen": 37, "verdict": "complete", "counts": {"discovered": 37, "struck": 0}}]});
        assert_eq!(
            line("w", &Ok(report)),
            "w: complete in 84 ms, droplet: 37 seen, 37 discovered"
        );
        assert_eq!(line("w", &Err(Failure::new("no"))), "w: FAILED: no");
        // The lines are the running month's, and it is none of the invoices.
        let report = json!({"outcome": "complete", "ledger": {"invoices": 13, "new": 0,
            "preview": {"lines": 86, "matched": 82}, "sent": 2}});
        assert_eq!(
            line("w", &Ok(report)),
            "w: complete, ledger: 13 invoices, 2 sent, preview: 86 lines, 82 matched"
        );
    }
}
