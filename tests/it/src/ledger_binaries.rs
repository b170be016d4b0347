//! The billing binaries as Lambda and SQS run them: batches, partial failures, dead letters, kills.
//!
//! Compiled programs in sandboxes, moto's queues, Postgres with the login of production. A batch is handed over and
//! taken back as an event source mapping does it.

use std::time::Duration;

use harness::sandbox::{Outcome, Sandbox};
use serde_json::{Value, json};
use simulator::{Fault, FaultKind, Scenario};

use crate::books::{Books, small, token};
use crate::deployment::{event, report};

async fn sandbox(books: &Books, function: &str) -> Sandbox {
    let mut environment = books.aws.environment();
    for (name, value) in [
        (
            "DATABASE_URL",
            books.stage.database.url_as("arcadia_billing_login"),
        ),
        ("DO_API_BASE_URL", books.stage.sim.url()),
        ("DO_API_TOKEN", token(1)),
        ("INGEST_QUEUE_URL", books.queues.ingest.clone()),
        ("LEASE_SECONDS", "5".to_owned()),
    ] {
        environment.push((name.to_owned(), value));
    }
    // The time that the template gives it.
    let timeout = Duration::from_secs(300);
    Sandbox::start_with_timeout(function, &environment, timeout)
        .await
        .unwrap()
}

/// A batch of these bodies.
fn batch(bodies: &[&str]) -> Value {
    let sample = event("sqs-ingest.json")["Records"][0].clone();
    let records = bodies.iter().enumerate().map(|(n, body)| {
        let mut record = sample.clone();
        record["messageId"] = json!(format!("message-{n}"));
        record["body"] = json!(body);
        record
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

fn failed(answer: &Value) -> Vec<&str> {
    let failures = answer["batchItemFailures"].as_array().unwrap().iter();
    failures
        .map(|failure| failure["itemIdentifier"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn the_binaries_fill_and_empty_the_queue() {
    let books = Books::with(Scenario::Default).await;
    let balance = sandbox(&books, "sync-balance").await;
    let answer = report(balance.invoke(&event("schedule-sync.json")).await);
    assert_eq!(
        answer["outcome"], "stale",
        "a tick of the past is not worth doing: {answer}"
    );
    let answer = report(balance.invoke(&json!({})).await);
    assert_eq!(
        (&answer["outcome"], &answer["ledger"]["balance"]),
        (&json!("complete"), &json!("recorded")),
        "{answer}"
    );

    let history = sandbox(&books, "sync-billing-history").await;
    let plan = report(history.invoke(&event("backfill.json")).await);
    assert_eq!(
        (
            &plan["ledger"]["plan"]["found"],
            &plan["ledger"]["plan"]["to_send"]
        ),
        (&json!(books.issued().len()), &json!(books.issued().len())),
        "{plan}"
    );
    let answer = report(history.invoke(&json!({})).await);
    assert_eq!(
        (&answer["outcome"], &answer["ledger"]["sent"]),
        (&json!("complete"), &json!(books.issued().len())),
        "{answer}"
    );

    let ingest = sandbox(&books, "ingest-invoice").await;
    let bodies = books.drain(&books.queues.ingest).await;
    for some in bodies.chunks(5) {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        let answer = report(ingest.invoke(&batch(&some)).await);
        assert!(failed(&answer).is_empty(), "{answer}");
    }
    let left = "SELECT count(*) FROM cloud_invoices WHERE ingest_status <> 'ingested' OR reconciliation = 'mismatch'";
    assert_eq!(books.count(left).await, 0);
}

#[tokio::test]
async fn only_what_failed_of_a_batch_comes_back_and_ends_with_the_dead_letters() {
    let books = Books::empty().await;
    let good: Vec<String> = (0..2).map(|n| format!("good-{n}")).collect();
    for uuid in &good {
        books.bill(small(uuid, "2026-04", 500));
    }
    books
        .bill(json!({"uuid": "broken", "period": "2026-04", "amount": "1.00", "csv": "product,USD\nx,$1\n"}));
    books.history().await;
    books.drain(&books.queues.ingest).await;
    let bodies = [
        r#"{"invoice_uuid": "good-0"}"#,
        "not json at all",
        r#"{"invoice": "good-1"}"#,
        r#"{"invoice_uuid": "never-heard-of"}"#,
        r#"{"invoice_uuid": "broken"}"#,
        r#"{"invoice_uuid": "good-1"}"#,
    ];
    let sqs = books.aws.sqs();
    for body in bodies {
        sqs.send_message()
            .queue_url(&books.queues.ingest)
            .message_body(body)
            .send()
            .await
            .unwrap();
    }
    let ingest = sandbox(&books, "ingest-invoice").await;
    // As often as there is something: the visibility of this queue is no time at all.
    for _ in 0..40 {
        let received = sqs
            .receive_message()
            .queue_url(&books.queues.ingest)
            .max_number_of_messages(5);
        let messages = received.send().await.unwrap().messages.unwrap_or_default();
        if messages.is_empty() {
            break;
        }
        let some: Vec<&str> = messages.iter().filter_map(|message| message.body()).collect();
        let answer = report(ingest.invoke(&batch(&some)).await);
        let failed = failed(&answer);
        for (n, message) in messages.iter().enumerate() {
            if !failed.contains(&format!("message-{n}").as_str()) {
                let handle = message.receipt_handle().unwrap();
                sqs.delete_message()
                    .queue_url(&books.queues.ingest)
                    .receipt_handle(handle)
                    .send()
                    .await
                    .unwrap();
            }
        }
    }
    let mut dead = books.drain(&books.queues.dead_letters).await;
    dead.sort();
    let mut expected = [bodies[1], bodies[2], bodies[3]];
    expected.sort_unstable();
    assert_eq!(dead, expected);
    for uuid in &good {
        assert_eq!(books.header(uuid).await["ingest_status"], "ingested");
    }
    let broken = books.header("broken").await;
    assert_eq!(
        (&broken["ingest_status"], &broken["last_error"]),
        (
            &json!("quarantined"),
            &json!("line 1: the column group_description is missing")
        )
    );
}

#[tokio::test]
async fn a_sandbox_that_is_killed_leaves_all_or_nothing() {
    let books = Books::empty().await;
    books.bill(json!({"uuid": "long", "period": "2026-04", "lines": 20_000}));
    books.history().await;
    let message = batch(&[r#"{"invoice_uuid": "long"}"#]);
    let mut halves = 0;
    for turn in 0..8_u64 {
        let ingest = sandbox(&books, "ingest-invoice").await;
        assert!(ingest.ready().await);
        let outcome = tokio::select! {
            outcome = ingest.invoke(&message) => Some(outcome),
            () = tokio::time::sleep(Duration::from_millis(150 + 250 * turn)) => None,
        };
        ingest.kill();
        let header = books.header("long").await;
        let lines = books.count("SELECT count(*) FROM cloud_cost_lines l JOIN cloud_invoices i ON i.id = cloud_invoice_id WHERE NOT preview").await;
        match header["ingest_status"].as_str().unwrap() {
            "ingested" => assert_eq!(lines, 20_000),
            _ => {
                assert_eq!(lines, 0);
                halves += 1;
            }
        }
        if matches!(outcome, Some(Outcome::Ok(_))) && header["ingest_status"] == "ingested" {
            break;
        }
        // The lease of the dead runs out; a tick of the clock that nobody has to wait for.
        sqlx::query("UPDATE sync_runs SET lease_expires_at = started_at WHERE finished_at IS NULL")
            .execute(&books.stage.pool)
            .await
            .unwrap();
    }
    println!("{halves} killed in the middle");
    let ingest = sandbox(&books, "ingest-invoice").await;
    assert!(failed(&report(ingest.invoke(&message).await)).is_empty());
    let header = books.header("long").await;
    assert_eq!(
        (&header["ingest_status"], &header["line_count"]),
        (&json!("ingested"), &json!(20_000))
    );
}

#[tokio::test]
async fn a_limit_of_digitalocean_s_sends_the_message_back() {
    let books = Books::empty().await;
    books.bill(small("busy", "2026-04", 500));
    books.history().await;
    books
        .stage
        .sim
        .fault(Fault::new(FaultKind::Hourly429 { reset_in: 900 }).on("/v2/customers/my/invoices/busy"));
    let ingest = sandbox(&books, "ingest-invoice").await;
    let message = batch(&[r#"{"invoice_uuid": "busy"}"#]);
    assert_eq!(failed(&report(ingest.invoke(&message).await)), ["message-0"]);
    let header = books.header("busy").await;
    assert_eq!(header["ingest_status"], "pending");
    assert!(
        header["last_error"].as_str().unwrap().contains("out of requests"),
        "{header}"
    );
}

/// The most memory that the process has had, in bytes.
fn peak(sandbox: &Sandbox) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", sandbox.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

/// A long invoice costs a part of its bytes and a batch of lines, not its lines and not its file.
#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_a_long_invoice_costs_less_than_its_file() {
    const LINES: usize = 200_000;
    let books = Books::empty().await;
    books.bill(small("short", "2026-04", 500));
    books.bill(json!({"uuid": "long", "period": "2026-05", "lines": LINES}));
    books.history().await;
    let ingest = sandbox(&books, "ingest-invoice").await;
    let short = batch(&[r#"{"invoice_uuid": "short"}"#]);
    assert!(failed(&report(ingest.invoke(&short).await)).is_empty());
    let before = peak(&ingest);
    // Its items would take minutes, and do not count here.
    let items = Fault::new(FaultKind::LostScope403).exactly_on("/v2/customers/my/invoices/long");
    books.stage.sim.fault(items);
    let begun = std::time::Instant::now();
    let long = batch(&[r#"{"invoice_uuid": "long"}"#]);
    assert!(failed(&report(ingest.invoke(&long).await)).is_empty());
    let (grown, bytes) = (peak(&ingest) - before, LINES * 109);
    println!(
        "{LINES} lines, {bytes} bytes: {grown} bytes more, {:?}",
        begun.elapsed()
    );
    assert_eq!(books.header("long").await["line_count"], LINES);
    assert!(grown < bytes / 2, "{grown} for {bytes}");
}
