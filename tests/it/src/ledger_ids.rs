//! Invoices that are too long for their items to be read at once: the ids come behind, page by page, and in the end the
//! lines are what they would be had all items been there first.
//!
//! Long ones are made by saying that a stored invoice's items are still to be read; the long proof does it with one
//! that is really too long. Runs that fail and die on the way, names that turn out to be somebody else's.

use std::time::Duration;

use serde_json::{Value, json};
use shared::billing::ingest_at;
use shared::sync::RunOutcome;
use simulator::{Fault, FaultKind, Scenario};

use crate::books::{Books, DESK};

/// What items decide about an invoice: each line's id and match, and how many are matched.
async fn picture(books: &Books, invoice: &str) -> Vec<String> {
    let lines =
        "SELECT to_jsonb(l)::text FROM cloud_cost_lines l JOIN cloud_invoices i ON i.id = cloud_invoice_id
                 WHERE invoice_uuid = $1 ORDER BY line_no";
    let mut picture: Vec<String> = sqlx::query_scalar(lines)
        .bind(invoice)
        .fetch_all(&books.stage.pool)
        .await
        .unwrap();
    let header = books.header(invoice).await;
    picture.push(format!(
        "{} {} {}",
        header["resource_lines"], header["matched_lines"], header["ingest_status"]
    ));
    picture
}

/// Ingests an invoice by its names alone, and says that its items are still to be read.
async fn by_names(books: &Books, invoice: &str) {
    let path = format!("/v2/customers/my/invoices/{invoice}");
    let mut fault = Fault::new(FaultKind::LostScope403).exactly_on(&path);
    fault.on.token = Some(DESK.to_owned());
    books.stage.sim.fault(fault);
    let again = "UPDATE cloud_invoices SET ingest_status = 'pending' WHERE invoice_uuid = $1";
    let wait =
        "UPDATE cloud_invoices SET items_page = 1 WHERE invoice_uuid = $1 AND ingest_status = 'ingested'";
    sqlx::query(again)
        .bind(invoice)
        .execute(&books.stage.pool)
        .await
        .unwrap();
    let report = books.ingest(0, invoice).await;
    assert!(report.error.is_none(), "{report:?}");
    let waits = sqlx::query(wait)
        .bind(invoice)
        .execute(&books.stage.pool)
        .await
        .unwrap();
    assert_eq!(waits.rows_affected(), 1);
    books.stage.sim.clear_faults();
}

#[tokio::test]
async fn ids_that_come_late_are_as_good_as_ids_that_were_there() {
    let mut books = Books::with(Scenario::Default).await;
    books.mirror().await;
    books.history().await;
    books.ingest_all().await;
    books.drain(&books.queues.ingest).await;
    let known = books.known().await;
    let mut at_once = Vec::new();
    for invoice in &known {
        at_once.push(picture(&books, invoice).await);
        by_names(&books, invoice).await;
    }
    let by_id = "SELECT count(provider_resource_id) FROM cloud_cost_lines l JOIN cloud_invoices i ON i.id = cloud_invoice_id WHERE NOT preview";
    assert_eq!(books.count(by_id).await, 0);
    // The next hour has messages for them, and each of them reads on.
    books.stage.later(60);
    assert_eq!(books.balance().await.ledger.unwrap().sent, Some(known.len()));
    for (turn, invoice) in known.iter().enumerate() {
        let report = books.ingest(turn, invoice).await;
        assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
        assert_eq!(books.header(invoice).await["items_page"], Value::Null);
        assert_eq!(picture(&books, invoice).await, at_once[turn], "{invoice}");
    }
    assert!(books.count(by_id).await > 500);
    books.stage.later(60);
    assert_eq!(books.balance().await.ledger.unwrap().sent, Some(0));
    assert_eq!(books.ingest(0, &known[0]).await.outcome, RunOutcome::Done);
}

/// Twenty-one pages are two blocks: the first is written and stays, whatever becomes of the run.
#[tokio::test]
async fn a_run_that_fails_or_dies_goes_on_where_it_was() {
    let books = Books::with(Scenario::Default).await;
    books.stage.sync().await;
    // A name of ours, and an id of somebody else's.
    let stranger = json!({"product": "Droplets", "description": "ops-bastion (s-1vcpu-1gb)", "amount": "6.00", "resource_id": "401"});
    books.bill(json!({"uuid": "long", "period": "2025-10", "items": [stranger], "lines": 4_100, "of_droplets": true}));
    books.history().await;
    let report = books.ingest(0, "long").await;
    assert!(report.error.is_none(), "{report:?}");
    let at_once = picture(&books, "long").await;
    by_names(&books, "long").await;
    assert_ne!(picture(&books, "long").await, at_once);
    let path = "/v2/customers/my/invoices/long";
    let broken = Fault::new(FaultKind::Status503)
        .exactly_on(path)
        .page(21)
        .times(3);
    books.stage.sim.fault(broken);
    let report = books.ingest(1, "long").await;
    assert_eq!(
        (report.outcome, report.error_class),
        (RunOutcome::Failed, Some("upstream_status")),
        "{report:?}"
    );
    assert_eq!(books.header("long").await["items_page"], 21);
    // Some die on the way: what they had not written is read again.
    for turn in 0..4 {
        drop(tokio::time::timeout(Duration::from_millis(10 + 25 * turn), books.ingest(2, "long")).await);
        sqlx::query("UPDATE sync_runs SET lease_expires_at = started_at WHERE finished_at IS NULL")
            .execute(&books.stage.pool)
            .await
            .unwrap();
    }
    books.ingest(3, "long").await;
    assert_eq!(books.header("long").await["items_page"], Value::Null);
    assert_eq!(picture(&books, "long").await, at_once);
    let lines = books.lines("long").await;
    assert_eq!(
        lines[0].match_rule, None,
        "an id that we do not know is somebody else's"
    );
    assert!(
        lines[1..]
            .iter()
            .all(|line| line.match_rule.as_deref() == Some("resource_id"))
    );
}

/// What may not be read is not asked for again; what was replaced meanwhile is not written to.
#[tokio::test]
async fn items_that_may_not_be_read_are_given_up() {
    let books = Books::empty().await;
    books.bill(crate::books::small("shut", "2026-04", 500));
    books.history().await;
    by_names(&books, "shut").await;
    let path = "/v2/customers/my/invoices/shut";
    books
        .stage
        .sim
        .fault(Fault::new(FaultKind::LostScope403).exactly_on(path));
    let report = books.ingest(0, "shut").await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("without the items of shut")),
        "{report:?}"
    );
    assert_eq!(books.header("shut").await["items_page"], Value::Null);
    books.stage.sim.clear_faults();
    // A page that is short and not the last one is no page.
    by_names(&books, "shut").await;
    let short = json!({"invoice_items": [], "links": {"pages": {"next": "x"}}, "meta": {"total": 900}});
    books.stage.sim.serve_body(path, short.to_string());
    let report = books.ingest(0, "shut").await;
    assert_eq!(
        (report.outcome, report.error_class),
        (RunOutcome::Failed, Some("upstream_malformed")),
        "{report:?}"
    );
    assert_eq!(books.header("shut").await["items_page"], 1);
    books.stage.sim.clear_bodies();
    // A new file begins again from its own items.
    sqlx::query(
        "UPDATE cloud_invoices SET ingest_status = 'pending', items_page = 7 WHERE invoice_uuid = 'shut'",
    )
    .execute(&books.stage.pool)
    .await
    .unwrap();
    books.ingest(0, "shut").await;
    assert_eq!(books.header("shut").await["items_page"], Value::Null);
}

/// A plan for any number of descriptions compares each line with each of them, which in an invoice of a million lines
/// took longer than a statement may; one for those that there are looks each line up. The driver's connection keeps
/// statements, and from the sixth time on Postgres would rather not plan.
#[tokio::test]
async fn lines_are_looked_for_by_a_plan_of_their_own_each_time() {
    let books = Books::empty().await;
    let invoices: Vec<String> = (0..8).map(|number| format!("late-{number}")).collect();
    for invoice in &invoices {
        books.bill(crate::books::small(invoice, "2026-04", 500));
    }
    books.history().await;
    for invoice in &invoices {
        by_names(&books, invoice).await;
        let report = books.ingest(0, invoice).await;
        assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
        assert_eq!(books.header(invoice).await["items_page"], Value::Null);
    }
    let plans = "SELECT custom_plans, generic_plans FROM pg_prepared_statements WHERE statement LIKE '%description = ANY%'";
    let (custom, generic): (i64, i64) = sqlx::query_as(plans)
        .fetch_one(&books.desks[0].pool)
        .await
        .unwrap();
    assert_eq!((custom, generic), (8, 0));
}

/// A planner that knows other invoices takes a new one for a small one, and must not go through all of it for each of its
/// lines: of so many lines the statement would be cancelled after its two minutes, and the invoice not be ingested. (The
/// rows that are read are counted, too; those of a join within one statement are not among them.)
#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_what_an_invoice_takes_grows_with_its_lines_and_no_faster() {
    const LINES: i64 = 30_000;
    let books = Books::with(Scenario::Default).await;
    books.stage.sync().await;
    for (uuid, lines) in [("before", 500), ("after", LINES)] {
        books.bill(json!({"uuid": uuid, "period": "2025-10", "lines": lines, "of_droplets": true}));
        books.history().await;
        let report = books.ingest(0, uuid).await;
        assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
        sqlx::raw_sql("ANALYZE cloud_cost_lines")
            .execute(&books.stage.pool)
            .await
            .unwrap();
    }
    assert_eq!(books.header("after").await["matched_lines"], LINES);
    // A connection says what it has read when it ends.
    books.desks[0].pool.close().await;
    let (mut stored, mut read) = (0, 0);
    while stored < LINES {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let seen = "SELECT n_tup_ins, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables
                    WHERE relname = 'cloud_cost_lines'";
        (stored, read) = sqlx::query_as(seen).fetch_one(&books.stage.pool).await.unwrap();
    }
    println!("{read} rows read");
    assert!(read < 20 * LINES, "{read} rows read for {LINES} lines");
}

/// A mirror, and an invoice of its droplets with so many lines, which is known and not ingested.
async fn with_a_long_one(lines: usize) -> Books {
    let books = Books::with(Scenario::Default).await;
    books.stage.sync().await;
    books.bill(json!({"uuid": "long", "period": "2025-10", "lines": lines, "of_droplets": true}));
    books.history().await;
    books
}

/// Sixty thousand lines: more pages than a token has in a minute, which is never passed. Nobody waits for the next one
/// here, so that the ids come behind.
#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_a_very_long_invoice_gets_every_id() {
    const LINES: usize = 60_000;
    let books = with_a_long_one(LINES).await;
    let report = books.ingest(0, "long").await;
    println!("{report:?}");
    let header = books.header("long").await;
    assert_eq!(
        (&header["ingest_status"], &header["line_count"]),
        (&json!("ingested"), &json!(LINES))
    );
    assert_eq!(header["reconciliation"], "reconciled");
    let mut turns = 1;
    while books.header("long").await["items_page"] != Value::Null {
        // Another token: this one's minute may be over, and nobody here has to wait for it.
        books.ingest(turns, "long").await;
        turns += 1;
        assert!(turns < 10);
    }
    println!("{turns} turns");
    let by_id = "SELECT count(*) FROM cloud_cost_lines l JOIN cloud_invoices i ON i.id = cloud_invoice_id
                 WHERE invoice_uuid = 'long' AND match_rule = 'resource_id'";
    assert_eq!(books.count(by_id).await, LINES as i64);
    assert_eq!(books.header("long").await["matched_lines"], LINES);
    assert_eq!(books.judge("long").await, (LINES, LINES));
    // Time that runs out in the middle of a request is no failure: what has been read stays read.
    books.stage.sim.fault(
        Fault::new(FaultKind::Hang)
            .exactly_on("/v2/customers/my/invoices/long")
            .page(3),
    );
    sqlx::query("UPDATE cloud_invoices SET items_page = 1 WHERE invoice_uuid = 'long'")
        .execute(&books.stage.pool)
        .await
        .unwrap();
    let time = Some(Duration::from_secs(30));
    let report = ingest_at(&books.desks[5], "long", books.stage.now, time).await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("wait from page 3 on")),
        "{report:?}"
    );
    assert_eq!(books.header("long").await["items_page"], 3);
}

/// A page of items that cannot be had keeps nobody's money waiting: the lines are there, and ids up to that page.
#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_a_long_invoice_is_stored_though_a_page_of_its_items_is_broken() {
    const LINES: usize = 41_000;
    let books = with_a_long_one(LINES).await;
    let path = "/v2/customers/my/invoices/long";
    let broken = Fault::new(FaultKind::Status503).exactly_on(path).page(5);
    books.stage.sim.fault(broken);
    let report = books.ingest(0, "long").await;
    // The message comes back for the rest of the ids.
    assert_eq!(
        (report.outcome, report.error_class),
        (RunOutcome::Failed, Some("upstream_status")),
        "{report:?}"
    );
    let header = books.header("long").await;
    assert_eq!(
        (
            &header["ingest_status"],
            &header["line_count"],
            &header["reconciliation"]
        ),
        (&json!("ingested"), &json!(LINES), &json!("reconciled"))
    );
    assert_eq!(header["items_page"], 5);
    books.stage.sim.clear_faults();
    let report = books.ingest(1, "long").await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    assert_eq!(books.header("long").await["items_page"], Value::Null);
    assert_eq!(books.header("long").await["matched_lines"], LINES);
}
