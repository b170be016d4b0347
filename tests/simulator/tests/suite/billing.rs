//! Billing: the year of invoices agrees with itself, in every form that the years had.

use serde_json::{Value, json};
use simulator::{Options, Simulator, Token};

const TOKEN: &str = "dop_v1_simulator_billing";

fn start() -> Simulator {
    let tokens = vec![
        Token::new("billing", TOKEN),
        Token::new("narrow", "dop_v1_narrow").scopes(["droplet:read"]),
    ];
    Simulator::start(Options {
        tokens,
        ..Options::default()
    })
    .unwrap()
}

async fn get(sim: &Simulator, token: &str, path: &str) -> (u16, String, String) {
    let request = client().get(format!("{}/v2/customers/my/{path}", sim.url()));
    let answer = request.bearer_auth(token).send().await.unwrap();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (answer.status().as_u16(), kind, answer.text().await.unwrap())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a client of the test's own, for this machine only"
)]
fn client() -> reqwest::Client {
    reqwest::Client::new()
}

async fn document(sim: &Simulator, path: &str) -> Value {
    let (status, _, text) = get(sim, TOKEN, path).await;
    assert_eq!(status, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

fn cents(amount: &str) -> i64 {
    let digits: String = amount.chars().filter(char::is_ascii_digit).collect();
    let sign = if amount.contains(['-', '(']) { -1 } else { 1 };
    sign * digits.parse::<i64>().unwrap()
}

#[tokio::test]
async fn history_list_items_and_summary_say_the_same() {
    let sim = start();
    let history = document(&sim, "billing_history?per_page=200").await;
    let entries = history["billing_history"].as_array().unwrap();
    let invoices: Vec<&Value> = entries
        .iter()
        .filter(|entry| entry["type"] == "Invoice")
        .collect();
    assert_eq!(invoices.len(), 13);
    assert!(
        entries
            .iter()
            .any(|entry| entry["amount"].as_str().unwrap().starts_with('-'))
    );
    let dates: Vec<&str> = entries
        .iter()
        .map(|entry| entry["date"].as_str().unwrap())
        .collect();
    assert!(dates.is_sorted_by(|one, other| one >= other), "newest first");
    let listed = document(&sim, "invoices?per_page=200").await;
    assert_eq!(listed["invoice_preview"]["invoice_period"], "2026-11");
    for invoice in invoices {
        let uuid = invoice["invoice_uuid"].as_str().unwrap();
        let items = document(&sim, &format!("invoices/{uuid}?per_page=200")).await;
        let items = items["invoice_items"].as_array().unwrap();
        let sum: i64 = items
            .iter()
            .map(|item| cents(item["amount"].as_str().unwrap()))
            .sum();
        assert_eq!(sum, cents(invoice["amount"].as_str().unwrap()), "{uuid}");
        assert_eq!(items.len(), sim.charges(uuid).len());
        let summary = document(&sim, &format!("invoices/{uuid}/summary")).await;
        assert_eq!(summary["amount"], invoice["amount"]);
        let (status, kind, text) = get(&sim, TOKEN, &format!("invoices/{uuid}/csv")).await;
        assert_eq!((status, kind.as_str()), (200, "text/csv"));
        let text = text.trim_start_matches('\u{feff}');
        assert!(
            text.starts_with("product,group_description,description,hours,start,end,USD"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn pages_scopes_and_unknown_invoices_are_as_everywhere() {
    let sim = start();
    let first = document(&sim, "billing_history?per_page=5").await;
    assert_eq!(first["billing_history"].as_array().unwrap().len(), 5);
    assert!(
        first["links"]["pages"]["next"]
            .as_str()
            .unwrap()
            .contains("page=2")
    );
    assert_eq!(get(&sim, "dop_v1_narrow", "balance").await.0, 403);
    for path in [
        "invoices/never-heard-of",
        "invoices/never-heard-of/csv",
        "nothing",
    ] {
        assert_eq!(get(&sim, TOKEN, path).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn an_invoice_can_be_added_in_any_form() {
    let sim = start();
    let rows = json!([{"product": "Refunds", "description": "a \"b\", c", "cents": -123_456}]);
    for (form, money) in [
        (json!({"columns": 7}), "-$1234.56"),
        (
            json!({"columns": 7, "negatives": "after", "commas": true}),
            "\"$-1,234.56\"",
        ),
        (json!({"columns": 7, "negatives": "brackets"}), "($1234.56)"),
        (json!({"columns": 7, "bare": true}), "-1234.56"),
    ] {
        let bill = json!({"uuid": "mine", "period": "2026-04", "rows": rows, "form": form});
        let control = client().post(format!("{}/_sim/billing/invoices", sim.url()));
        let body = control.body(bill.to_string()).send().await.unwrap();
        assert!(body.status().is_success());
        let (.., text) = get(&sim, TOKEN, "invoices/mine/csv").await;
        assert!(
            text.ends_with(&format!("Refunds,,\"a \"\"b\"\", c\",,,,{money}\n")),
            "{text}"
        );
    }
    sim.bill(json!({"uuid": "many", "period": "2026-04", "lines": 1_000}))
        .unwrap();
    assert_eq!(
        get(&sim, TOKEN, "invoices/many/csv").await.2.lines().count(),
        1_001
    );
    assert!(
        sim.bill(json!({"uuid": "odd", "period": "2026-04", "cents": 5}))
            .is_err()
    );
}
