//! Damaged invoices: whatever is done to the file, it is stored whole or not at all.
//!
//! A good CSV is cut, doubled, scrambled, byte by byte and row by row. After each delivery the stored set is either
//! the new one, adding up to what its header says, or exactly the one before, with the reason and its line on record.
//! The suite does some hundred, `prove_` ten thousand; seeds are printed.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use shared::sync::RunOutcome;

use crate::books::Books;

const HEADER: &str = "product,group_description,description,hours,start,end,USD,project_name,category";

/// Twelve rows with everything in them that a row may have.
fn good() -> (String, Vec<Value>) {
    let (mut text, mut items) = (format!("\u{feff}{HEADER}\r\n"), Vec::new());
    for n in 0..12 {
        let (name, cents) = (format!("web-{n}, the \"{n}th\" (s-1vcpu-1gb)"), 1_234 + n);
        text.push_str(&format!(
            "Droplets,,\"{}\",720,2026-04-01 00:00:00 +0000,2026-05-01 00:00:00 +0000,\"$1,0{}.{:02}\",\"A\r\nB\",iaas\r\n",
            name.replace('"', "\"\""),
            cents / 100,
            cents % 100
        ));
        items.push(
            json!({"product": "Droplets", "description": name, "hours": 720, "cents": 100_000 + cents,
                          "start": "2026-04-01T00:00:00Z", "end": "2026-05-01T00:00:00Z"}),
        );
    }
    (text, items)
}

fn damaged(good: &str, rng: &mut ChaCha8Rng) -> String {
    let mut bytes = good.as_bytes().to_vec();
    for _ in 0..rng.random_range(1..4) {
        let at = rng
            .random_range(0..bytes.len().max(1))
            .min(bytes.len().saturating_sub(1));
        match rng.random_range(0..7) {
            0 => bytes.truncate(at.max(1)),
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, b"\",\n\r$()-. 0x\0"[rng.random_range(0..13)]),
            3 => bytes[at] = rng.random_range(0..128),
            4 => {
                let end = (at + rng.random_range(1..200)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            5 => {
                let end = (at + rng.random_range(1..200)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let mut rows: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
                let one = rng.random_range(0..rows.len());
                rows.remove(one);
                bytes = rows.concat();
            }
        }
        if bytes.is_empty() {
            bytes.push(b'x');
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Everything that is stored of the invoice's lines.
async fn picture(books: &Books) -> String {
    let query = "SELECT coalesce(md5(string_agg(l::text, '|' ORDER BY line_no)), '') FROM cloud_cost_lines l";
    sqlx::query_scalar(query)
        .fetch_one(&books.stage.pool)
        .await
        .unwrap()
}

async fn mutations(seed: u64, count: usize) {
    println!("seed {seed}, {count} files");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let books = Books::empty().await;
    let (text, rows) = good();
    let bill = |csv: &str| json!({"uuid": "hurt", "period": "2026-04", "rows": rows, "csv": csv});
    books.bill(bill(&text));
    books.history().await;
    let report = books.ingest(0, "hurt").await;
    assert_eq!(
        books.header("hurt").await["reconciliation"],
        "reconciled",
        "{report:?}"
    );
    let (mut before, mut stored, mut refused) = (picture(&books).await, 0, 0);
    for n in 0..count {
        let hurt = damaged(&text, &mut rng);
        books.bill(bill(&hurt));
        // Thousands of files are not what a token's minute is for.
        sqlx::raw_sql("UPDATE cloud_invoices SET ingest_status = 'pending'; DELETE FROM token_budgets")
            .execute(&books.stage.pool)
            .await
            .unwrap();
        let report = books.ingest(n, "hurt").await;
        assert_eq!(report.outcome, RunOutcome::Complete, "{n}: {report:?}\n{hurt}");
        let (header, lines, after) = (
            books.header("hurt").await,
            books.lines("hurt").await,
            picture(&books).await,
        );
        let total: Decimal = lines.iter().map(|line| line.amount).sum();
        assert_eq!(header["line_count"], lines.len(), "{n}\n{hurt}");
        assert_eq!(
            header["lines_total"]
                .as_str()
                .unwrap()
                .parse::<Decimal>()
                .unwrap(),
            total,
            "{n}\n{hurt}"
        );
        match header["ingest_status"].as_str().unwrap() {
            "ingested" => stored += 1,
            _ => {
                let reason = header["last_error"].as_str().unwrap();
                let (place, why) = reason.split_once(": ").unwrap_or((reason, "x"));
                let line = place
                    .strip_prefix("line ")
                    .is_some_and(|line| line.parse::<u64>().is_ok());
                assert!(
                    (line && !why.is_empty()) || reason.starts_with("the CSV has "),
                    "{reason}"
                );
                assert_eq!(
                    before, after,
                    "{n}: quarantined, and yet something changed\n{hurt}"
                );
                refused += 1;
            }
        }
        before = after;
    }
    println!("{stored} stored whole, {refused} refused");
    assert!(stored > 0 && refused > count / 2);
    books.bill(bill(&text));
    sqlx::raw_sql("UPDATE cloud_invoices SET ingest_status = 'pending'; DELETE FROM token_budgets")
        .execute(&books.stage.pool)
        .await
        .unwrap();
    books.ingest(0, "hurt").await;
    let header = books.header("hurt").await;
    assert_eq!(
        (&header["ingest_status"], &header["reconciliation"]),
        (&json!("ingested"), &json!("reconciled"))
    );
}

#[tokio::test]
async fn a_damaged_invoice_is_stored_whole_or_not_at_all() {
    mutations(1, 150).await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_ten_thousand_damaged_invoices_are_stored_whole_or_not_at_all() {
    mutations(2, 10_000).await;
}
