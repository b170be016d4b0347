//! Invoices of many lines: our `ingest-invoice`, beside COPY of the same lines into the same table.
//!
//! The lines are of droplets that the mirror knows, so that each has to be matched; the file is streamed by the
//! simulator. The limit is COPY of the finished lines, matches and all, with the table's indexes and foreign keys. A
//! small invoice is asked for beside two sizes of inventory: what it costs must not depend on them.

use serde_json::{Value, json};
use simulator::{Limits, Simulator};
use sqlx::AssertSqlSafe;

use crate::Wanted;
use crate::ground::{self, Cost, Ground, TOKEN, account};
use crate::report::{Report, Samples, Table, count, megabytes, number, ratio, seconds, text};

/// The invoice that everybody has, and those with goals of their own; of the longest, one repetition has to do.
const SMALL: u64 = 33;
const LONG: u64 = 100_000;
const LONGEST: u64 = 1_000_000;

struct Case {
    inventory: u64,
    lines: u64,
    ours: Vec<Cost>,
    copy: Vec<Cost>,
}

impl Case {
    fn median(costs: &[Cost], of: impl Fn(&Cost) -> f64) -> f64 {
        costs.iter().map(of).collect::<Samples>().median()
    }
}

pub async fn run(wanted: &Wanted, report: &mut Report) {
    let mut cases = Vec::new();
    for (inventory, sizes) in [(1_000, &[SMALL][..]), (100_000, wanted.lines.as_slice())] {
        let ground = Ground::new().await;
        let account = account(inventory, Limits::off());
        mirror(&ground, &account, inventory).await;
        for lines in sizes {
            let mut case = Case {
                inventory,
                lines: *lines,
                ours: Vec::new(),
                copy: Vec::new(),
            };
            for repetition in 0..if *lines >= LONGEST { 1 } else { wanted.reps } {
                let uuid = invoice(&ground, &account, *lines, repetition).await;
                case.ours.push(ingest(&ground, &account, &uuid, *lines).await);
                case.copy.push(copy(&ground, &uuid, *lines).await);
            }
            cases.push(case);
        }
    }
    let mut table = Table::new(
        "Invoices beside COPY of the same lines",
        &[
            "lines",
            "inventory",
            "what",
            "wall",
            "client CPU",
            "Postgres CPU",
            "µs a line",
            "× COPY",
            "WAL B a line",
            "peak memory",
        ],
    );
    for case in &cases {
        let limit = Case::median(&case.copy, |cost| cost.postgres.as_secs_f64());
        for (what, costs) in [("ingest-invoice", &case.ours), ("limit: COPY", &case.copy)] {
            let postgres = Case::median(costs, |cost| cost.postgres.as_secs_f64());
            table.row([
                count(case.lines),
                count(case.inventory),
                text(what),
                seconds(Case::median(costs, |cost| cost.wall.as_secs_f64())),
                seconds(Case::median(costs, |cost| cost.cpu.as_secs_f64())),
                seconds(postgres),
                number(postgres * 1e6 / case.lines as f64, 1, ""),
                ratio(postgres / limit),
                number(
                    Case::median(costs, |cost| cost.wal as f64) / case.lines as f64,
                    0,
                    "",
                ),
                megabytes(Case::median(costs, |cost| cost.peak as f64)),
            ]);
        }
    }
    goals(&cases, report);
    report.table(table);
}

fn goals(cases: &[Case], report: &mut Report) {
    let postgres = |case: &Case, costs: &[Cost]| {
        Case::median(costs, |cost| cost.postgres.as_secs_f64()) / case.lines as f64
    };
    for case in cases {
        let lines = case.lines;
        if lines == SMALL {
            let wall = Case::median(&case.ours, |cost| cost.wall.as_secs_f64()) * 1e3;
            let what = format!(
                "all of an invoice of {SMALL} lines, matching included, {} resources",
                case.inventory
            );
            report.at_most(what, wall, 50.0, "ms");
        }
        if lines == LONG {
            let times = postgres(case, &case.ours) / postgres(case, &case.copy);
            report.at_most(
                format!("invoice of {lines} lines, Postgres CPU × COPY"),
                times,
                2.5,
                "×",
            );
        }
        if lines == LONGEST {
            let peak = Case::median(&case.ours, |cost| cost.peak as f64) / 1e6;
            report.at_most(
                format!("invoice of {lines} lines, peak memory"),
                peak,
                128.0,
                "MB",
            );
        }
    }
}

/// The inventory that lines are matched with, by our own first sync.
async fn mirror(ground: &Ground, account: &Simulator, inventory: u64) {
    ground.lift_budgets().await;
    let worker = ground.worker("sync-droplets", account, &[]).await;
    let (report, _) = ground.invoke(&worker, &json!({})).await;
    assert_eq!(report["outcome"], "complete", "{report}");
    let there = ground.count("SELECT count(*) FROM cloud_resources").await;
    assert_eq!(there.cast_unsigned(), inventory);
    ground.execute("VACUUM ANALYZE").await;
}

/// An invoice there, and its header here.
async fn invoice(ground: &Ground, account: &Simulator, lines: u64, repetition: usize) -> String {
    let uuid = format!("bench-{lines}-{repetition}");
    let wanted = json!({"uuid": uuid, "period": "2026-10", "lines": lines, "of_droplets": true});
    let made = account.add_invoice(wanted).unwrap();
    let amount = made["amount"].as_str().unwrap();
    ground
        .execute(&format!(
            "INSERT INTO cloud_invoices (id, provider, invoice_uuid, period, amount, issued_at, first_seen_at)
             VALUES (gen_random_uuid(), 'digitalocean', '{uuid}', '2026-10-01', {amount}, now(), now())"
        ))
        .await;
    uuid
}

async fn ingest(ground: &Ground, account: &Simulator, uuid: &str, lines: u64) -> Cost {
    let (url, base) = (ground.database.url_as("arcadia_billing_login"), account.url());
    let environment = [
        ("DATABASE_URL", url.as_str()),
        ("DO_API_BASE_URL", base.as_str()),
        ("DO_API_TOKEN", TOKEN),
        ("INGEST_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/1/ingest"),
    ];
    let worker = ground::sandbox(ground::LONGEST, "ingest-invoice", &environment).await;
    let body = json!({ "invoice_uuid": uuid }).to_string();
    let event = json!({"Records": [{"messageId": "1", "body": body, "eventSource": "aws:sqs"}]});
    let (answer, cost) = ground.invoke(&worker, &event).await;
    assert_eq!(
        answer["batchItemFailures"].as_array().map(Vec::len),
        Some(0),
        "{}",
        worker.stdout()
    );
    let stored = format!(
        "SELECT count(*) FROM cloud_cost_lines l JOIN cloud_invoices i ON i.id = l.cloud_invoice_id
         WHERE i.invoice_uuid = '{uuid}' AND i.reconciliation = 'reconciled' AND l.cloud_resource_id IS NOT NULL"
    );
    let matched = ground.count(&stored).await;
    assert_eq!(
        matched.cast_unsigned(),
        lines,
        "lines that are there and matched: {}",
        worker.stdout()
    );
    cost
}

/// The same lines once more, under another invoice, and away with them.
async fn copy(ground: &Ground, uuid: &str, lines: u64) -> Cost {
    let columns: String = sqlx::query_scalar(
        "SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
         WHERE attrelid = 'cloud_cost_lines'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
           AND attname <> 'cloud_invoice_id'",
    )
    .fetch_one(&ground.pool)
    .await
    .unwrap();
    ground
        .execute(&format!(
            "INSERT INTO cloud_invoices (id, provider, invoice_uuid, period, amount, issued_at, first_seen_at)
             VALUES (gen_random_uuid(), 'digitalocean', 'copy-of-{uuid}', '2026-10-01', 0, now(), now())"
        ))
        .await;
    let query = format!(
        "SELECT (SELECT id FROM cloud_invoices WHERE invoice_uuid = 'copy-of-{uuid}'), {columns} FROM cloud_cost_lines
         WHERE cloud_invoice_id = (SELECT id FROM cloud_invoices WHERE invoice_uuid = '{uuid}') ORDER BY line_no"
    );
    let text = ground.copied_out(&query).await;
    let mut copying = ground.copying().await;
    let columns = format!("cloud_invoice_id, {columns}");
    assert_eq!(copying.copy_in("cloud_cost_lines", &columns, &text).await, lines);
    let cost = copying.cost().await;
    // Both sets go: the next repetition finds the table as this one did.
    let gone = format!(
        "DELETE FROM cloud_cost_lines WHERE cloud_invoice_id IN
         (SELECT id FROM cloud_invoices WHERE invoice_uuid IN ('{uuid}', 'copy-of-{uuid}'))"
    );
    sqlx::query(AssertSqlSafe(gone))
        .execute(&ground.pool)
        .await
        .unwrap();
    ground.execute("VACUUM cloud_cost_lines").await;
    let left: Value = json!(ground.count("SELECT count(*) FROM cloud_cost_lines").await);
    assert_eq!(left, 0);
    cost
}
