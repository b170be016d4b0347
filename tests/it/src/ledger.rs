//! The ledger from discovery to reconciled lines: in effect exactly once, whatever is delivered when.
//!
//! In process, with the simulator over HTTP, moto's queue and Postgres. The outbox, duplicates, crashes, quarantine,
//! the running month, backfills.

use futures_util::future::join_all;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use shared::billing::Backfill;
use shared::sync::{Order, RunOutcome};
use simulator::{Fault, FaultKind, Scenario};

use crate::books::{Books, DESKS, small};

fn invoices(bodies: &[String]) -> Vec<String> {
    let mut uuids: Vec<String> = bodies
        .iter()
        .map(|body| {
            serde_json::from_str::<Value>(body).unwrap()["invoice_uuid"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    uuids.sort();
    uuids
}

#[tokio::test]
async fn a_year_of_invoices_is_discovered_sent_once_and_reconciled() {
    let books = Books::with(Scenario::Default).await;
    let there = books.issued().len();
    assert!(there > 12);
    let report = books.history().await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    let ledger = report.ledger.unwrap();
    assert_eq!(
        (ledger.invoices, ledger.new, ledger.sent),
        (Some(there), Some(there as u64), Some(there))
    );
    let sent = invoices(&books.drain(&books.queues.ingest).await);
    assert_eq!(sent, books.known().await);
    // Nothing new, and what is on its way is not sent again.
    let again = books.history().await.ledger.unwrap();
    assert_eq!(
        (again.invoices, again.new, again.sent),
        (Some(there), Some(0), Some(0))
    );

    books.ingest_all().await;
    for invoice in books.known().await {
        let header = books.header(&invoice).await;
        assert_eq!(header["ingest_status"], "ingested", "{header}");
        // One of them has charges of less than a cent.
        assert_ne!(header["reconciliation"], "mismatch", "{header}");
        let charges = books.charges(&invoice).await;
        let stored = books.lines(&invoice).await;
        assert_eq!(header["line_count"], charges.len());
        for (charge, line) in charges.iter().zip(&stored) {
            assert_eq!(line.description, charge.description);
            assert_eq!(line.amount, charge.amount);
        }
    }
    // Two invoices share the month in which a threshold was passed.
    let shared = "SELECT count(*) FROM (SELECT period FROM cloud_invoices WHERE NOT preview GROUP BY period HAVING count(*) = 2) p";
    assert_eq!(books.count(shared).await, 1);
    // Taxes and credits are classes of their own; the preview is beside them all.
    let classes = "SELECT count(DISTINCT class) FROM cloud_cost_lines";
    assert_eq!(books.count(classes).await, 5);
    let preview = books.header("preview").await;
    assert_eq!(
        (&preview["period"], &preview["preview"]),
        (&json!("2025-11-01"), &json!(true))
    );
    assert!(books.history().await.ledger.unwrap().preview.is_some());
}

#[tokio::test]
async fn equal_balances_are_one_reading() {
    let books = Books::with(Scenario::Default).await;
    for (word, rows) in [("recorded", 1), ("known", 1)] {
        let report = books.balance().await;
        assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
        assert_eq!(report.ledger.unwrap().balance, Some(word));
        assert_eq!(
            books.count("SELECT count(*) FROM cloud_balance_snapshots").await,
            rows
        );
    }
    let later = json!({"account_balance": "-20.00", "month_to_date_usage": "14.90", "generated_at": "2026-11-21T09:00:00Z"});
    books.stage.sim.world().change_balance(later).unwrap();
    assert_eq!(books.balance().await.ledger.unwrap().balance, Some("recorded"));
    let newest = "SELECT (month_to_date_balance * 100)::bigint FROM cloud_balance_snapshots ORDER BY generated_at DESC LIMIT 1";
    assert_eq!(books.count(newest).await, -510);
    let odd = json!({"month_to_date_balance": "NaN", "account_balance": "1", "month_to_date_usage": "1",
                     "generated_at": "2026-11-21T10:00:00Z"});
    books
        .stage
        .sim
        .serve_body("/v2/customers/my/balance", odd.to_string());
    let report = books.balance().await;
    assert_eq!(
        (report.outcome, report.error_class),
        (RunOutcome::Failed, Some("upstream_malformed"))
    );
}

#[tokio::test]
async fn what_is_pending_is_sent_again_by_either_run() {
    let mut books = Books::empty().await;
    for n in 0..23 {
        books.bill(small(&format!("invoice-{n:02}"), "2026-04", 500));
    }
    assert_eq!(books.history().await.ledger.unwrap().sent, Some(23));
    books.drain(&books.queues.ingest).await; // lost, all of them
    books.stage.later(30);
    assert_eq!(books.balance().await.ledger.unwrap().sent, Some(0));
    books.stage.later(30);
    assert_eq!(books.balance().await.ledger.unwrap().sent, Some(23));
    assert_eq!(
        invoices(&books.drain(&books.queues.ingest).await),
        books.known().await
    );
    // A run that died between commit and send leaves headers that have never been sent.
    sqlx::query("UPDATE cloud_invoices SET enqueued_at = NULL WHERE invoice_uuid < 'invoice-05'")
        .execute(&books.stage.pool)
        .await
        .unwrap();
    assert_eq!(books.history().await.ledger.unwrap().sent, Some(5));
}

/// The issue's own: each delivered up to three times, shuffled, at several desks at once, some dying on the way.
#[tokio::test]
async fn any_order_any_number_of_deliveries_is_the_same_as_one() {
    const INVOICES: usize = 137;
    let books = Books::empty().await;
    for n in 0..INVOICES {
        let period = format!("{}-{:02}", 2015 + n / 12, n % 12 + 1);
        let bill = small(
            &format!("invoice-{n:03}"),
            &period,
            1_000 + i64::try_from(n).unwrap(),
        );
        books.bill(bill);
    }
    // Some runs die before they have read the history, some between commit and send, some after a few messages.
    let mut sent = Vec::new();
    for turn in 0..12 {
        let dies = std::time::Duration::from_millis(60 + 40 * turn);
        drop(tokio::time::timeout(dies, books.history()).await);
        sqlx::query("UPDATE sync_runs SET lease_expires_at = started_at WHERE finished_at IS NULL")
            .execute(&books.stage.pool)
            .await
            .unwrap();
        let headers = books
            .count("SELECT count(*) FROM cloud_invoices WHERE NOT preview")
            .await;
        let noted = books.count("SELECT count(enqueued_at) FROM cloud_invoices").await;
        println!("dead after {dies:?}: {headers} headers, {noted} noted as sent");
        sent.extend(invoices(&books.drain(&books.queues.ingest).await));
    }
    let report = books.history().await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    sent.extend(invoices(&books.drain(&books.queues.ingest).await));
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), INVOICES, "each has been sent, some more than once");
    let mut deliveries: Vec<(usize, String)> = Vec::new();
    for (n, invoice) in sent.iter().enumerate() {
        (0..=n % 3).for_each(|time| deliveries.push((time, invoice.clone())));
    }
    deliveries.shuffle(&mut rand_chacha::ChaCha8Rng::seed_from_u64(7));
    let turns = (0..DESKS).map(|desk| {
        let (books, deliveries) = (&books, &deliveries);
        async move {
            for (n, (_, invoice)) in deliveries.iter().enumerate().filter(|(n, _)| n % DESKS == desk) {
                let one = books.ingest(desk, invoice);
                // Some die in the middle of it: what is dropped is rolled back, and its lease has to run out.
                if n % 19 == 0 {
                    drop(tokio::time::timeout(std::time::Duration::from_millis(n as u64 % 40), one).await);
                } else {
                    one.await;
                }
            }
        }
    });
    join_all(turns).await;
    // The queue brings those back that nobody finished; by then their leases are over.
    let left: Vec<String> = sqlx::query_scalar(
        "SELECT invoice_uuid FROM cloud_invoices WHERE ingest_status = 'pending' AND NOT preview",
    )
    .fetch_all(&books.stage.pool)
    .await
    .unwrap();
    sqlx::query("UPDATE sync_runs SET lease_expires_at = started_at WHERE finished_at IS NULL")
        .execute(&books.stage.pool)
        .await
        .unwrap();
    for (turn, invoice) in left.iter().enumerate() {
        let report = books.ingest(turn, invoice).await;
        assert!(report.error.is_none(), "{report:?}");
    }
    for n in 0..INVOICES {
        let invoice = format!("invoice-{n:03}");
        let header = books.header(&invoice).await;
        assert_eq!(
            (&header["ingest_status"], &header["reconciliation"]),
            (&json!("ingested"), &json!("reconciled")),
            "{header}"
        );
        let amounts: Vec<Decimal> = books
            .lines(&invoice)
            .await
            .iter()
            .map(|line| line.amount)
            .collect();
        let cents = 1_000 + i64::try_from(n).unwrap();
        assert_eq!(amounts, [Decimal::new(cents, 2), Decimal::new(cents / 10, 2)]);
    }
    assert_eq!(
        books.count("SELECT count(*) FROM cloud_cost_lines l JOIN cloud_invoices i ON i.id = cloud_invoice_id WHERE NOT preview").await,
        2 * INVOICES as i64
    );
}

#[tokio::test]
async fn an_invoice_that_cannot_be_read_is_set_aside_and_heals() {
    let books = Books::empty().await;
    let header = "product,group_description,description,hours,start,end,USD\n";
    let with = |row: &str| json!({"uuid": "odd", "period": "2026-04", "amount": "5.50", "csv": format!("{header}Droplets,,a (s),1,,,$5.00\n{row}")});
    books.bill(with("Taxes,,GST (10%),,,,$0.50\n"));
    books.history().await;
    assert_eq!(books.ingest(0, "odd").await.outcome, RunOutcome::Complete);
    let good = books.lines("odd").await;
    assert_eq!(good.len(), 2);
    for (row, reason) in [
        (
            "Taxes,,GST (10%),,,,half a dollar\n",
            "line 3: USD is not an amount such as $1,234.56",
        ),
        ("Taxes,,GST (10%),,,,\n", "line 3: USD is blank"),
        ("Taxes,,GST (10%),,,", "line 3: USD is blank"),
        ("Taxes,,\"GST (10%),,,,$0.50\n", "line 3: a quote is never closed"),
    ] {
        books.bill(with(row));
        sqlx::query("UPDATE cloud_invoices SET ingest_status = 'pending'")
            .execute(&books.stage.pool)
            .await
            .unwrap();
        let report = books.ingest(0, "odd").await;
        assert_eq!(report.outcome, RunOutcome::Complete, "acknowledged: {report:?}");
        let ingested = report.ledger.unwrap().ingested.unwrap();
        assert_eq!(
            (ingested.status, ingested.reason.as_deref()),
            ("quarantined", Some(reason))
        );
        let stored = books.header("odd").await;
        assert_eq!(
            (&stored["ingest_status"], &stored["last_error"]),
            (&json!("quarantined"), &json!(reason))
        );
        assert_eq!(books.lines("odd").await, good, "what was stored stays");
    }
    books.bill(with("Taxes,,GST (10%),,,,($-0.50)\n"));
    assert_eq!(books.ingested("odd").await.status, "quarantined");
    books.bill(with("Taxes,,GST (11%),,,,$0.51\n"));
    let healed = books.ingested("odd").await;
    assert_eq!(
        (healed.status, healed.reconciliation),
        ("ingested", Some("rounded"))
    );
    let stored = books.header("odd").await;
    assert_eq!(
        (&stored["ingest_status"], &stored["last_error"]),
        (&json!("ingested"), &Value::Null)
    );
}

#[tokio::test]
async fn what_is_no_csv_is_an_error_that_comes_again() {
    let books = Books::empty().await;
    books.bill(small("late", "2026-04", 500));
    books.history().await;
    let path = "/v2/customers/my/invoices/late/csv";
    for (content_type, body) in [
        ("text/html", "<!DOCTYPE html><p>Please try again"),
        (
            "application/json",
            "{\"id\": \"server_error\", \"message\": \"Sorry\"}",
        ),
        ("text/csv", ""),
    ] {
        books.stage.sim.serve_answer(path, 200, content_type, body);
        let report = books.ingest(0, "late").await;
        assert_eq!(
            (report.outcome, report.error_class),
            (RunOutcome::Failed, Some("upstream_malformed")),
            "{content_type}"
        );
        let stored = books.header("late").await;
        assert_eq!(stored["ingest_status"], "pending");
        assert!(
            stored["last_error"]
                .as_str()
                .unwrap()
                .contains("malformed answer"),
            "{stored}"
        );
    }
    books.stage.sim.clear_bodies();
    books.stage.sim.serve_answer(
        path,
        404,
        "application/json",
        "{\"id\": \"not_found\", \"message\": \"no\"}",
    );
    let gone = books.ingested("late").await;
    assert_eq!(
        gone.reason.as_deref(),
        Some("DigitalOcean knows no such invoice (404)")
    );
    books.stage.sim.clear_bodies();
    assert_eq!(books.ingested("late").await.status, "ingested");
    let unknown = books.ingest(0, "never-heard-of").await;
    assert_eq!(
        (unknown.outcome, unknown.error_class),
        (RunOutcome::Failed, Some("unknown_invoice"))
    );
    assert_eq!(
        books.ingest(0, "preview").await.error_class,
        Some("unknown_invoice")
    );
}

/// Cut off at the end of a row, a CSV reads well; the items know that there was more.
#[tokio::test]
async fn an_invoice_that_was_cut_between_rows_is_not_stored() {
    let books = Books::empty().await;
    let mut bill = small("cut", "2026-04", 500);
    bill["amount"] = json!("5.50");
    bill["csv"] = json!(
        "product,group_description,description,hours,start,end,USD\nDroplets,,somebody (s-1vcpu-1gb),744,,,$5.00\n"
    );
    books.bill(bill);
    books.history().await;
    let ingested = books.ingested("cut").await;
    assert_eq!(
        ingested.reason.as_deref(),
        Some("the CSV has 1 rows and the invoice 2 items")
    );
    assert!(books.lines("cut").await.is_empty());
}

#[tokio::test]
async fn a_sum_that_is_wrong_is_stored_and_said() {
    let books = Books::empty().await;
    let mut bill = small("off", "2026-04", 500);
    bill["amount"] = json!("6.50");
    books.bill(bill);
    books.history().await;
    let ingested = books.ingested("off").await;
    assert_eq!(
        (ingested.status, ingested.reconciliation),
        ("ingested", Some("mismatch"))
    );
    assert_eq!(books.header("off").await["lines_total"], "5.50");
    // The amount is corrected: the header is pending again, and keeps its lines until they are replaced.
    books.bill(small("off", "2026-04", 500));
    books.history().await;
    let stored = books.header("off").await;
    assert_eq!(
        (&stored["ingest_status"], &stored["line_count"]),
        (&json!("pending"), &json!(2))
    );
    assert_eq!(books.ingested("off").await.reconciliation, Some("reconciled"));
}

#[tokio::test]
async fn a_backfill_says_first_what_it_would_do() {
    let books = Books::with(Scenario::Default).await;
    let dry = Backfill {
        from: "2025-03-01".parse().ok(),
        dry_run: true,
        force: false,
    };
    let order = |backfill| Order {
        backfill: Some(backfill),
        ..Order::default()
    };
    let plan = books.ordered(order(dry)).await.ledger.unwrap().plan.unwrap();
    let billing = books.stage.sim.billing();
    let since = |invoice: &&Value| invoice["invoice_period"].as_str().unwrap() >= "2025-03";
    let wanted = billing["invoices"]
        .as_array()
        .unwrap()
        .iter()
        .filter(since)
        .count();
    assert!(wanted > 7);
    assert_eq!(
        (plan.found, plan.ingested, plan.to_send, plan.requests),
        (wanted, 0, wanted, wanted * 3)
    );
    assert_eq!(
        books.count("SELECT count(*) FROM cloud_invoices").await,
        0,
        "and does nothing"
    );
    books.history().await;
    books.ingest_all().await;
    books.drain(&books.queues.ingest).await;
    let plan = books.ordered(order(dry)).await.ledger.unwrap().plan.unwrap();
    assert_eq!((plan.found, plan.ingested, plan.to_send), (wanted, wanted, 0));
    let all = Backfill {
        force: true,
        dry_run: false,
        ..dry
    };
    assert_eq!(books.ordered(order(all)).await.ledger.unwrap().sent, Some(wanted));
    assert_eq!(books.drain(&books.queues.ingest).await.len(), wanted);
    books.ingest_all().await;
    assert_eq!(
        books
            .count("SELECT count(*) FROM cloud_invoices WHERE ingest_status = 'pending'")
            .await,
        0
    );
}

/// Pages, missing ids, odd entries: the history of a large account, and one that changes while it is read.
#[tokio::test]
async fn every_page_of_the_history_is_read() {
    let books = Books::empty().await;
    for n in 0..450 {
        let mut bill = small(&format!("old-{n:03}"), "2019-05", 100);
        bill["issued_at"] = json!(format!("2019-06-{:02}T{:02}:00:00Z", n % 28 + 1, n % 24));
        bill["unlisted"] = json!(n % 2 == 0);
        books.bill(bill);
    }
    let lost = Fault::new(FaultKind::Status503)
        .on("/v2/customers/my/billing_history")
        .page(3)
        .times(1);
    books.stage.sim.fault(lost);
    let report = books.history().await;
    assert_eq!(
        (report.outcome, report.ledger.as_ref().unwrap().new),
        (RunOutcome::Complete, Some(450)),
        "{report:?}"
    );
    let month = "SELECT count(*) FROM cloud_invoices WHERE period = '2019-05-01'";
    assert_eq!(
        books.count(month).await,
        450,
        "from the list, or from the description"
    );
    let forbidden = Fault::new(FaultKind::LostScope403).on("/v2/customers");
    books.stage.sim.fault(forbidden);
    assert_eq!(books.history().await.error_class, Some("unreadable"));
}
