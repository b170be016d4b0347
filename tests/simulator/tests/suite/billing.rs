//! Balance, history and invoices: what a ledger will have to read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use simulator::{Fault, FaultKind, Limits, Options, Scenario, Scopes};

use crate::client::Client;

mod long;

const INVOICES: &str = "/v2/customers/my/invoices";

fn client() -> Client {
    let client = Client::default();
    client.simulator.set_limits(Limits::off());
    client
}

async fn file(client: &Client, uuid: &str) -> String {
    let got = client.get(&format!("{INVOICES}/{uuid}/csv")).await;
    assert_eq!((got.status, got.header("content-type")), (200, Some("text/csv")));
    String::from_utf8(got.body).unwrap()
}

/// Rows of a CSV, quotes undone: a reader of its own, so that a mistake in the writer shows.
fn table(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut rest = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '"' if quoted && rest.peek() == Some(&'"') => field.extend(rest.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            '\r' if !quoted => {}
            other => field.push(other),
        }
    }
    rows
}

/// Ten-thousandths of a dollar, in any of the notations.
fn amount(text: &str) -> i64 {
    let negative = text.contains('-') || text.starts_with('(');
    let digits: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
    let (whole, decimals) = digits.split_once('.').unwrap_or((&digits, ""));
    let value = whole.parse::<i64>().unwrap() * 10_000 + format!("{decimals:0<4}").parse::<i64>().unwrap();
    if negative { -value } else { value }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_year_of_invoices_and_the_running_month() {
    let client = client();
    let (mut periods, mut preview) = (Vec::new(), BTreeSet::new());
    for page in 1..=3 {
        let answer = client
            .get(&format!("{INVOICES}?per_page=5&page={page}"))
            .await
            .json();
        assert_eq!(answer["meta"]["total"], 13);
        preview.insert(answer["invoice_preview"].to_string());
        periods.extend(
            answer["invoices"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| text(&one["invoice_period"])),
        );
    }
    assert_eq!(preview.len(), 1, "the same beside every page");
    let preview: Value = serde_json::from_str(preview.first().unwrap()).unwrap();
    assert_eq!(preview["invoice_period"], "2025-11");
    assert!(preview["updated_at"].is_string());
    let mut newest_first = periods.clone();
    newest_first.sort_by(|one, two| two.cmp(one));
    assert_eq!(periods, newest_first);
    assert_eq!(periods.iter().filter(|period| *period == "2025-06").count(), 2);
    assert_eq!(periods.iter().collect::<BTreeSet<_>>().len(), 12);
    let balance = client.get("/v2/customers/my/balance").await.json();
    assert_eq!(balance["month_to_date_usage"], preview["amount"]);
    assert_eq!(balance.as_object().unwrap().len(), 4);
    client
        .simulator
        .set_scopes("default", Scopes::only(["droplet:read"]));
    assert_eq!(client.get(INVOICES).await.status, 403);
    client
        .simulator
        .set_scopes("default", Scopes::only(["billing:read"]));
    assert_eq!(client.get(INVOICES).await.status, 200);
    assert_eq!(client.get(&format!("{INVOICES}/nobody/csv")).await.status, 404);
    assert_eq!(client.get("/v2/customers/my/nothing").await.status, 404);
}

#[tokio::test]
async fn every_file_is_of_its_time_and_adds_up() {
    let client = client();
    let headers = client.get(&format!("{INVOICES}?per_page=200")).await.json();
    let (mut columns, mut notations, mut rounded) = (BTreeSet::new(), BTreeSet::new(), 0);
    let (mut boms, mut crlfs, mut short, mut newlines) = (0, 0, 0, 0);
    for header in headers["invoices"].as_array().unwrap() {
        let uuid = text(&header["invoice_uuid"]);
        let raw = file(&client, &uuid).await;
        boms += usize::from(raw.starts_with('\u{feff}'));
        crlfs += usize::from(raw.contains("\r\n"));
        let rows = table(&raw);
        let names = &rows[0];
        columns.insert(names.len());
        assert!(names.iter().any(|name| name == "product") && rows.len() > 10);
        let usd = names.iter().position(|name| name == "USD").unwrap();
        let amounts = rows[1..].iter().map(|row| row[usd].clone());
        let sum: i64 = amounts.clone().map(|text| amount(&text)).sum();
        notations.extend(amounts.map(|text| {
            let odd: String = text
                .chars()
                .filter(|c| !c.is_ascii_digit() && *c != '.')
                .collect();
            if text.contains('.') && text.split('.').nth(1).unwrap().trim_end_matches(')').len() == 4 {
                return format!("{odd}....");
            }
            odd
        }));
        short += rows[1..].iter().filter(|row| row.len() < names.len()).count();
        newlines += rows.iter().flatten().filter(|field| field.contains('\n')).count();
        // The header has cents; a line may have more.
        let stated = amount(&text(&header["amount"]));
        assert!((stated - sum).abs() <= 50, "{header}: {sum}");
        rounded += usize::from(stated != sum);
        // The JSON form says the same, and more.
        let items = client.walk(&format!("{INVOICES}/{uuid}"), "invoice_items").await;
        assert_eq!(items.len(), rows.len() - 1);
        assert_eq!(
            items
                .iter()
                .map(|item| amount(&text(&item["amount"])))
                .sum::<i64>(),
            sum
        );
        let summary = client.get(&format!("{INVOICES}/{uuid}/summary")).await.json();
        let parts = ["product_charges", "overages", "taxes", "credits_and_adjustments"];
        let parts: i64 = parts
            .iter()
            .map(|part| amount(&text(&summary[part]["amount"])))
            .sum();
        assert!((parts - stated).abs() <= 100, "{summary}");
    }
    assert_eq!(columns, [7, 8, 9, 10].into());
    assert_eq!((boms, crlfs, rounded), (2, 2, 1));
    assert!(
        short > 8 && newlines == 2,
        "{short} short rows, {newlines} newlines"
    );
    for notation in ["$", "", "$-", "($)", "$,", "$....", "-"] {
        assert!(notations.contains(notation), "{notation} in {notations:?}");
    }
}

#[tokio::test]
async fn lines_are_of_what_the_account_holds() {
    let client = client();
    let all = client.get(&format!("{INVOICES}?per_page=200")).await.json();
    let newest = text(&all["invoices"][0]["invoice_uuid"]);
    let items = client
        .walk(&format!("{INVOICES}/{newest}"), "invoice_items")
        .await;
    let mut products: BTreeMap<String, usize> = BTreeMap::new();
    for item in &items {
        *products.entry(text(&item["product"])).or_default() += 1;
    }
    for product in [
        "Droplets",
        "Droplet Backups",
        "Droplet Snapshots",
        "Volumes",
        "Volume Snapshots",
        "Reserved IPs",
        "Load Balancers",
        "Kubernetes Clusters",
        "Database Clusters",
        "App Platform",
        "Container Registry",
        "Spaces Subscription",
        "Spaces",
        "NAT Gateways",
        "Taxes",
        "Quantum Queues",
    ] {
        assert!(products.contains_key(product), "no {product} in {products:?}");
    }
    // Workers are billed with their cluster: 34 droplets less 4.
    assert_eq!(products["Droplets"], 30);
    let droplets = client.simulator.items("droplets");
    let of = |item: &Value| {
        droplets
            .iter()
            .find(|one| one["id"].as_u64() == text(&item["resource_id"]).parse().ok())
    };
    let month = |item: &&Value| item["product"] == "Droplets" && item["duration"] == "744";
    let whole: Vec<&Value> = items.iter().filter(month).collect();
    assert!(whole.len() > 25);
    for item in whole {
        let droplet = of(item).unwrap();
        let price = amount(&droplet["size"]["price_monthly"].to_string());
        assert_eq!(amount(&text(&item["amount"])), price, "{item}");
        let name = format!("{} ({})", text(&droplet["name"]), text(&droplet["size_slug"]));
        assert_eq!(text(&item["description"]), name);
        assert!(
            ["start_time", "end_time"]
                .iter()
                .all(|time| item[time].is_string())
        );
    }
    // A part of a month: so many hours of 672.
    let mut parts = 0;
    for header in all["invoices"].as_array().unwrap() {
        let path = format!("{INVOICES}/{}", text(&header["invoice_uuid"]));
        let items = client.walk(&path, "invoice_items").await;
        for item in items
            .iter()
            .filter(|item| item["product"] == "Droplets" && of(item).is_some())
        {
            let hours: i64 = text(&item["duration"]).parse().unwrap();
            let price = amount(&of(item).unwrap()["size"]["price_monthly"].to_string());
            if hours < 400 && header["invoice_period"] != "2025-06" {
                assert_eq!(
                    amount(&text(&item["amount"])),
                    (price * hours / 672 + 50) / 100 * 100,
                    "{item}"
                );
                parts += 1;
            }
        }
    }
    assert!(parts > 3, "{parts}");
    // One name, two resources.
    let april = all["invoices"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["invoice_period"] == "2025-04")
        .unwrap();
    let items = client
        .walk(
            &format!("{INVOICES}/{}", text(&april["invoice_uuid"])),
            "invoice_items",
        )
        .await;
    let twice = items
        .iter()
        .filter(|item| item["description"] == "ops-ci-2 (c-4)" && item["product"] == "Droplets");
    let ids: BTreeSet<String> = twice.map(|item| text(&item["resource_id"])).collect();
    assert!(ids.len() >= 2, "{ids:?}");
}

#[tokio::test]
async fn the_history_knows_ten_types() {
    let client = client();
    let entries = client
        .walk("/v2/customers/my/billing_history", "billing_history")
        .await;
    let types: BTreeSet<String> = entries.iter().map(|entry| text(&entry["type"])).collect();
    let known = [
        "ACHFailure",
        "Adjustment",
        "AttemptFailed",
        "Chargeback",
        "Credit",
        "CreditExpiration",
        "Invoice",
        "Payment",
        "Refund",
        "Reversal",
    ];
    assert_eq!(types, known.map(str::to_owned).into());
    assert!(entries.is_sorted_by(|one, two| text(&one["date"]) >= text(&two["date"])));
    for entry in entries {
        let invoice = entry["type"] == "Invoice";
        assert_eq!(entry.get("invoice_uuid").is_some(), invoice, "{entry}");
        if invoice {
            let uuid = text(&entry["invoice_uuid"]);
            let summary = client.get(&format!("{INVOICES}/{uuid}/summary")).await.json();
            assert_eq!(
                (&summary["amount"], &summary["invoice_id"]),
                (&entry["amount"], &entry["invoice_id"])
            );
        }
    }
}

#[tokio::test]
async fn what_is_closed_stays_and_the_same_seed_writes_the_same_files() {
    let (one, two) = (client(), client());
    let other = Client::with(Options {
        seed: 9,
        ..Options::default()
    });
    let newest = |client: &Client| text(&client.simulator.billing()["invoices"][0]["invoice_uuid"]);
    // Whatever happens before anybody asks for an invoice.
    for droplet in two.simulator.items("droplets").iter().take(9) {
        two.simulator.destroy("droplets", &droplet["id"]).unwrap();
    }
    assert_eq!(file(&one, &newest(&one)).await, file(&two, &newest(&two)).await);
    assert_eq!(one.simulator.billing(), two.simulator.billing());
    assert_ne!(one.simulator.billing(), other.simulator.billing());
    let empty = Client::with(Options {
        scenario: Scenario::Empty,
        ..Options::default()
    });
    assert_eq!(empty.get(INVOICES).await.json()["meta"]["total"], 0);
}

#[tokio::test]
async fn invoices_files_and_balances_by_hand() {
    let client = client();
    let made = client
        .post("/_sim/billing/invoices", json!({"period": "2025-10", "uuid": "11111111-2222-4333-8444-555555555555", "items": [
            {"product": "Droplets", "description": "by-hand (c-4)", "amount": "84.00", "hours": 744, "start": "2025-10-01T00:00:00Z"},
            {"product": "Credits", "description": "sorry", "amount": "-4.00"}]}))
        .await;
    assert_eq!(
        (made.status, text(&made.json()["amount"])),
        (201, "80.00".to_owned())
    );
    let uuid = "11111111-2222-4333-8444-555555555555";
    let rows = table(&file(&client, uuid).await);
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[2], ["Credits", "", "sorry", "", "", "", "-$4.00", "", ""]);
    let path = format!("/_sim/billing/invoices/{uuid}");
    let patch = |body| client.send(reqwest::Method::PATCH, &path, Some(body));
    assert_eq!(
        patch(json!({"csv": "broken", "amount": "81.00"}))
            .await
            .unwrap()
            .status,
        204
    );
    assert_eq!(file(&client, uuid).await, "broken");
    assert_eq!(
        client.get(INVOICES).await.json()["invoices"][0]["amount"],
        "81.00"
    );
    assert_eq!(
        patch(json!({"csv": null, "format": {"columns": 8}}))
            .await
            .unwrap()
            .status,
        204
    );
    assert_eq!(table(&file(&client, uuid).await)[0].len(), 8);
    assert_eq!(patch(json!({"amount": 3})).await.unwrap().status, 422);
    client
        .simulator
        .change_balance(json!({"account_balance": "-12.50", "month_to_date_usage": "2.25"}))
        .unwrap();
    let balance = client.get("/v2/customers/my/balance").await.json();
    assert_eq!(
        (&balance["month_to_date_balance"], &balance["account_balance"]),
        (&json!("-10.25"), &json!("-12.50"))
    );
    let entry = json!({"date": "2025-11-02T00:00:00Z", "type": "Credit", "description": "by hand", "amount": "-1.00"});
    assert_eq!(client.post("/_sim/billing/history", entry).await.status, 204);
    let total = client.simulator.billing()["invoices"].as_array().unwrap().len();
    assert_eq!(
        client
            .send(reqwest::Method::DELETE, &path, None)
            .await
            .unwrap()
            .status,
        204
    );
    assert_eq!(
        client.simulator.billing()["invoices"].as_array().unwrap().len(),
        total - 1
    );
    // For what the account holds now, twice: two invoices all the same.
    for _ in 0..2 {
        client
            .simulator
            .add_invoice(json!({"period": "2025-10"}))
            .unwrap();
    }
    let uuids: BTreeSet<String> = client.simulator.billing()["invoices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| text(&one["invoice_uuid"]))
        .collect();
    assert_eq!(uuids.len(), total + 1);
    assert!(
        client
            .simulator
            .add_invoice(json!({"period": "October"}))
            .is_err()
    );
}

#[tokio::test]
async fn the_history_may_know_an_invoice_that_the_list_does_not() {
    let client = client();
    let before = client.simulator.billing()["history"].as_array().unwrap().len();
    let made = client
        .simulator
        .add_invoice(
            json!({"period": "2019-05", "items": [], "issued_at": "2019-06-01T08:00:00Z", "unlisted": true}),
        )
        .unwrap();
    let uuid = text(&made["invoice_uuid"]);
    let listed = client.walk(INVOICES, "invoices").await;
    assert!(listed.iter().all(|invoice| invoice["invoice_uuid"] != uuid));
    let history = client
        .walk("/v2/customers/my/billing_history", "billing_history")
        .await;
    assert_eq!(history.len(), before + 2, "the invoice and its payment");
    assert!(history.is_sorted_by(|one, two| text(&one["date"]) >= text(&two["date"])));
    let oldest = history.last().unwrap();
    assert_eq!(
        (
            text(&oldest["invoice_uuid"]),
            &oldest["date"],
            &oldest["description"]
        ),
        (
            uuid.clone(),
            &json!("2019-06-01T08:00:00Z"),
            &json!("Invoice for May 2019")
        )
    );
    assert_eq!(table(&file(&client, &uuid).await).len(), 1);
    let odd = json!({"period": "2019-05", "issued_at": "last summer"});
    assert!(client.simulator.add_invoice(odd).is_err());
}

#[tokio::test]
async fn faults_show_on_money_too() {
    let client = client();
    let quiet = client.get(INVOICES).await.json();
    for kind in [
        FaultKind::EmptyList,
        FaultKind::NullList,
        FaultKind::MissingMeta,
        FaultKind::DuplicateItem,
        FaultKind::Status503,
    ] {
        client
            .simulator
            .fault(Fault::new(kind.clone()).on(INVOICES).once());
        assert_ne!(client.get(INVOICES).await.json(), quiet, "{}", kind.name());
    }
    assert_eq!(client.get(INVOICES).await.json(), quiet);
    client
        .simulator
        .fault(Fault::new(FaultKind::TruncatedBody).on(INVOICES).once());
    let uuid = text(&quiet["invoices"][0]["invoice_uuid"]);
    let cut = client
        .send(reqwest::Method::GET, &format!("{INVOICES}/{uuid}/csv"), None)
        .await;
    assert!(cut.is_err());
}
