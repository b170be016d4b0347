//! Which resource caused a line: held against the simulator, which knows.
//!
//! The year of invoices with and without the JSON items, an estate in which names were reused in every way there is,
//! what was long destroyed, and the invoice that the original matched 6 of 33 lines of.

use std::time::Duration;

use harness::large;
use harness::postgres::Database;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use simulator::{Fault, FaultKind, Scenario};
use sqlx::{Connection, PgConnection};

use crate::books::{Books, DESK};

/// Withholds the items of an invoice from the first desk: its token may not read them.
fn withhold(books: &Books, invoice: &str) {
    let path = format!("/v2/customers/my/invoices/{invoice}");
    let mut fault = Fault::new(FaultKind::LostScope403).exactly_on(&path);
    fault.on.token = Some(DESK.to_owned());
    books.stage.sim.fault(fault);
}

async fn ingest(books: &Books, invoice: &str) {
    sqlx::query("UPDATE cloud_invoices SET ingest_status = 'pending' WHERE invoice_uuid = $1")
        .bind(invoice)
        .execute(&books.stage.pool)
        .await
        .unwrap();
    let report = books.ingest(0, invoice).await;
    assert_eq!(
        report.ledger.as_ref().unwrap().ingested.as_ref().unwrap().status,
        "ingested",
        "{report:?}"
    );
}

/// With the items, each line whose resource is in the mirror is matched to it, whatever kind it is; without them,
/// as many as their names allow, and none to another.
#[tokio::test]
async fn a_year_of_the_whole_estate_is_matched_to_what_caused_it() {
    let books = Books::with(Scenario::Default).await;
    books.mirror().await;
    books.history().await;
    for (withheld, least) in [(false, 100), (true, 99)] {
        let (mut possible, mut right) = (0, 0);
        for invoice in books.known().await.iter().chain([&"preview".to_owned()]) {
            if withheld {
                withhold(&books, invoice);
            }
            if invoice != "preview" {
                ingest(&books, invoice).await;
            }
            let judged = books.judge(invoice).await;
            possible += judged.0;
            right += judged.1;
        }
        println!("items withheld: {withheld}; matched {right} of {possible}");
        assert!(
            possible > 700 && right * 100 >= possible * least,
            "items withheld: {withheld}; {right} of {possible}"
        );
        let rules = "SELECT count(*) FROM cloud_cost_lines l JOIN cloud_invoices i ON i.id = cloud_invoice_id
                     WHERE NOT preview AND match_rule = 'resource_id'";
        assert_eq!(books.count(rules).await == 0, withheld);
        books.stage.sim.clear_faults();
    }
    let wrong = "SELECT count(*) FROM cloud_cost_lines WHERE class IN ('tax', 'credit') AND cloud_resource_id IS NOT NULL";
    assert_eq!(books.count(wrong).await, 0);
    let kinds = "SELECT count(DISTINCT r.kind) FROM cloud_cost_lines l JOIN cloud_resources r ON r.id = l.cloud_resource_id";
    assert!(books.count(kinds).await >= 10);
    for rule in ["address", "group", "name", "backup_parent"] {
        let used =
            sqlx::query_scalar("SELECT count(*) FROM cloud_cost_lines WHERE match_rule = $1").bind(rule);
        let used: i64 = used.fetch_one(&books.stage.pool).await.unwrap();
        assert!(used > 0, "{rule}");
    }
}

fn row(name: &str, id: &str, from: &str, until: &str) -> Value {
    json!({"product": "Droplets", "description": format!("{name} (s-1vcpu-1gb)"), "hours": 100, "cents": 600,
           "start": from, "end": until, "id": id})
}

/// Renamed, swapped, made again, two of one name, long destroyed: never a wrong match, and few that are missing.
#[tokio::test]
async fn reused_names_are_never_matched_wrongly() {
    let mut books = Books::empty().await;
    let sim = &books.stage.sim;
    let make = |name: &str| {
        let made = sim.create("droplets", json!({"name": name})).unwrap();
        (
            made["id"].to_string(),
            made["created_at"].as_str().unwrap().to_owned(),
        )
    };
    let (alpha, gamma) = (make("alpha"), make("gamma"));
    let (twin_one, twin_two) = (make("twin"), make("twin"));
    let (phoenix, gone, steady) = (make("phoenix"), make("gone"), make("steady"));
    books.stage.sync().await;
    // The 1st of December: alpha becomes beta, and gamma takes its name; phoenix and gone are destroyed.
    books.stage.later(10 * 24 * 60);
    for (id, name) in [(&alpha.0, "beta"), (&gamma.0, "alpha")] {
        books
            .stage
            .sim
            .change("droplets", id, json!({ "name": name }))
            .unwrap();
    }
    for id in [&phoenix.0, &gone.0] {
        books.stage.sim.destroy("droplets", id).unwrap();
    }
    for _ in 0..4 {
        books.stage.later(15).sync().await;
    }
    assert_eq!(books.stage.tombstones("droplet").await, 2);
    // Phoenix rises two hours later, as another droplet.
    books.stage.later(60);
    let risen = books
        .stage
        .sim
        .create(
            "droplets",
            json!({"name": "phoenix", "created_at": "2026-12-01T12:00:00Z"}),
        )
        .unwrap();
    let risen = risen["id"].to_string();
    books.stage.sync().await;

    let (november, december, january) = (
        "2026-11-01T00:00:00Z",
        "2026-12-01T00:00:00Z",
        "2027-01-01T00:00:00Z",
    );
    let (destroyed, rises) = ("2026-12-01T10:05:00Z", "2026-12-01T12:00:00Z");
    let rows = [
        (
            "2026-11",
            vec![
                row("alpha", &alpha.0, november, december),
                row("gamma", &gamma.0, november, december),
                row("twin", &twin_one.0, november, december),
                row("twin", &twin_two.0, november, december),
                row("phoenix", &phoenix.0, november, december),
                row("gone", &gone.0, november, december),
                row("steady", &steady.0, november, december),
                json!({"product": "Droplet Backups", "description": "gone (s-1vcpu-1gb)", "cents": 120, "start": november, "end": december, "id": gone.0}),
            ],
        ),
        (
            "2026-12",
            vec![
                row("beta", &alpha.0, december, january),
                row("alpha", &gamma.0, december, january),
                row("phoenix", &phoenix.0, december, destroyed),
                row("phoenix", &risen, rises, january),
                row("gone", &gone.0, december, destroyed),
                row("steady", &steady.0, december, january),
            ],
        ),
        (
            "2027-01",
            vec![
                row("beta", &alpha.0, january, "2027-02-01T00:00:00Z"),
                row("alpha", &gamma.0, january, "2027-02-01T00:00:00Z"),
                row("phoenix", &risen, january, "2027-02-01T00:00:00Z"),
            ],
        ),
    ];
    for (period, rows) in &rows {
        books.bill(json!({"uuid": format!("names-{period}"), "period": period, "rows": rows}));
    }
    books.history().await;
    for (withheld, all, right) in [(false, 17, 17), (true, 17, 13)] {
        let (mut possible, mut found) = (0, 0);
        for (period, _) in &rows {
            let invoice = format!("names-{period}");
            if withheld {
                withhold(&books, &invoice);
            }
            ingest(&books, &invoice).await;
            let judged = books.judge(&invoice).await;
            possible += judged.0;
            found += judged.1;
        }
        println!("items withheld: {withheld}; matched {found} of {possible}");
        assert_eq!(possible, all);
        assert!(found >= right, "{found} of {possible}");
    }
}

/// A namesake that the mirror has never seen is charged beside the one that it knows: by name alone it is neither's.
#[tokio::test]
async fn nobody_is_charged_twice_for_one_time() {
    let books = Books::empty().await;
    let made = books
        .stage
        .sim
        .create("droplets", json!({"name": "double"}))
        .unwrap();
    let id = made["id"].to_string();
    books.stage.sync().await;
    let (start, middle, end) = (
        "2026-12-01T00:00:00Z",
        "2026-12-09T12:30:00Z",
        "2027-01-01T00:00:00Z",
    );
    for (invoice, rows, matched) in [
        (
            "beside",
            vec![
                row("double", &id, start, end),
                row("double", "401", start, middle),
            ],
            0,
        ),
        (
            "resized",
            vec![row("double", &id, start, middle), row("double", &id, middle, end)],
            2,
        ),
        // The second begins within the first and so does the third; the fourth is alone.
        (
            "within",
            vec![
                row("double", "401", start, middle),
                row("double", "402", "2026-12-02T00:00:00Z", "2026-12-03T00:00:00Z"),
                row("double", "403", "2026-12-04T00:00:00Z", "2026-12-05T00:00:00Z"),
                row("double", &id, middle, end),
            ],
            1,
        ),
    ] {
        books.bill(json!({"uuid": invoice, "period": "2026-12", "rows": rows}));
        books.history().await;
        withhold(&books, invoice);
        ingest(&books, invoice).await;
        assert_eq!(books.judge(invoice).await.1, matched, "{invoice}");
        assert_eq!(books.header(invoice).await["matched_lines"], matched, "{invoice}");
        // Looking again changes nothing about it.
        books.history().await;
        assert_eq!(books.judge(invoice).await.1, matched, "{invoice}");
        assert_eq!(books.header(invoice).await["matched_lines"], matched, "{invoice}");
    }
}

/// The inventory grows after the invoice was ingested: only the match changes.
#[tokio::test]
async fn looking_again_touches_only_the_match() {
    let books = Books::with(Scenario::Default).await;
    books.history().await;
    books.ingest_all().await;
    assert_eq!(
        books
            .count("SELECT count(cloud_resource_id) FROM cloud_cost_lines")
            .await,
        0
    );
    let picture = "SELECT md5(string_agg(md5((to_jsonb(l) - 'cloud_resource_id' - 'match_rule')::text), '' ORDER BY cloud_invoice_id, line_no))
                   FROM cloud_cost_lines l JOIN cloud_invoices i ON i.id = cloud_invoice_id WHERE NOT preview";
    let before: String = sqlx::query_scalar(picture)
        .fetch_one(&books.stage.pool)
        .await
        .unwrap();
    books.stage.sync().await;
    let found = books.history().await.ledger.unwrap().rematched.unwrap();
    assert!(found > 400, "{found}");
    let after: String = sqlx::query_scalar(picture)
        .fetch_one(&books.stage.pool)
        .await
        .unwrap();
    assert_eq!(before, after);
    for invoice in books.known().await {
        let (possible, right) = books.judge(&invoice).await;
        assert_eq!(possible, right, "{invoice}");
        let (header, lines) = (books.header(&invoice).await, books.lines(&invoice).await);
        let of_resources = lines.iter().filter(|line| line.class == "resource");
        let matched = of_resources
            .clone()
            .filter(|line| line.provider_id.is_some())
            .count();
        assert_eq!(
            (&header["resource_lines"], &header["matched_lines"]),
            (&json!(of_resources.count()), &json!(matched))
        );
    }
    assert_eq!(books.history().await.ledger.unwrap().rematched, Some(0));
}

/// $86.92 over 33 lines: droplets, snapshots, backups, Spaces and GST, as in April 2026.
#[tokio::test]
async fn april_2026_is_86_92_over_33_lines() {
    let books = Books::with(Scenario::Default).await;
    books.stage.sync().await;
    let (start, end) = ("2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z");
    let line = |product: &str, description: String, cents: i64, id: Option<String>| json!({"product": product, "description": description, "cents": cents, "start": start, "end": end, "id": id});
    let there = [
        "larkspur-web-1",
        "larkspur-web-2",
        "harbour-vpn",
        "novak-ftp",
        "ops-bastion",
        "marek-scratch",
    ];
    let mut rows: Vec<Value> = there
        .iter()
        .map(|name| {
            line(
                "Droplets",
                format!("{name} (s-1vcpu-1gb)"),
                600,
                Some(books.stage.droplet(name)),
            )
        })
        .collect();
    rows.extend((1..=10).map(|n| line("Droplets", format!("historic-{n} (s-1vcpu-1gb)"), 300, None)));
    rows.extend((1..=13).map(|n| line("Droplet Snapshots", format!("nightly {n} (2.5 GB)"), 15, None)));
    rows.push(line(
        "Droplet Backups",
        "larkspur-web-1 (weekly backups)".into(),
        120,
        Some(books.stage.droplet("larkspur-web-1")),
    ));
    rows.push(line(
        "Droplet Backups",
        "historic-3 (weekly backups)".into(),
        60,
        None,
    ));
    rows.push(line(
        "Spaces Subscription",
        "Spaces ($5/mo 250GB storage & 1TB bandwidth)".into(),
        500,
        None,
    ));
    rows.push(line("Taxes", "GST (10%)".into(), 790, None));
    // What is missing of the 86.92 before 7.90 of tax.
    let sum: i64 = rows.iter().map(|row| row["cents"].as_i64().unwrap()).sum();
    rows[0]["cents"] = json!(600 + 8_692 - sum);
    assert_eq!(rows.len(), 33);
    books.bill(json!({"uuid": "april-2026", "period": "2026-04", "amount": "86.92", "rows": rows}));
    books.history().await;
    for (withheld, rule) in [(false, "resource_id"), (true, "name")] {
        if withheld {
            withhold(&books, "april-2026");
        }
        ingest(&books, "april-2026").await;
        let header = books.header("april-2026").await;
        assert_eq!(
            (&header["lines_total"], &header["line_count"]),
            (&json!("86.92"), &json!(33))
        );
        assert_eq!(header["reconciliation"], "reconciled");
        // Every line whose resource exists: six droplets and the backups of one. The original had found the six.
        assert_eq!(books.judge("april-2026").await, (7, 7));
        let lines = books.lines("april-2026").await;
        assert!(
            lines
                .iter()
                .take(6)
                .all(|line| line.match_rule.as_deref() == Some(rule))
        );
        let tax: Decimal = lines
            .iter()
            .filter(|line| line.class == "tax")
            .map(|line| line.amount)
            .sum();
        assert_eq!(tax.to_string(), "7.90");
        let account = lines.iter().filter(|line| line.class == "account").count();
        assert_eq!(
            (
                account,
                lines.iter().filter(|line| line.class == "unknown").count()
            ),
            (1, 0)
        );
    }
}

/// A small invoice costs what it asks for, however large the inventory and its history are.
#[tokio::test]
async fn a_small_invoice_never_reads_the_whole_inventory() {
    let books = Books::empty().await;
    let database = &books.stage.database;
    large::fill(database, large::SHORT).await.unwrap();
    let rows: Vec<Value> = (0..33)
        .map(|n| json!({"product": "Droplets", "description": format!("web-{n} (s-1vcpu-1gb)"), "cents": 500, "id": n.to_string()}))
        .collect();
    books.bill(json!({"uuid": "small", "period": "2026-10", "rows": rows}));
    books.history().await;
    let before = read_whole(database).await;
    ingest(&books, "small").await;
    let read = read_whole(database).await - before;
    assert!(read < 1_000, "{read} rows");
}

/// Rows of the mirror that scans of whole tables have met, as Postgres counts them; counts come a second late.
async fn read_whole(database: &Database) -> i64 {
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    sqlx::query_scalar(
        "SELECT sum(seq_tup_read)::bigint FROM pg_stat_user_tables
         WHERE relname IN ('cloud_resources', 'cloud_resource_events')",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap()
}
