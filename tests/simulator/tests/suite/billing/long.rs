//! Invoices of any number of lines: streamed, and charged for what the account holds.

use serde_json::json;

use super::{INVOICES, amount, client, file, table, text};

#[tokio::test]
async fn a_long_file_is_streamed() {
    let mut client = client();
    client.patience = std::time::Duration::from_secs(60);
    let lines = 50_003;
    let made = client
        .simulator
        .add_invoice(json!({"period": "2025-10", "lines": lines}))
        .unwrap();
    let uuid = text(&made["invoice_uuid"]);
    let got = client.get(&format!("{INVOICES}/{uuid}/csv")).await;
    assert_eq!(got.header("content-length"), None);
    let rows = table(&String::from_utf8(got.body).unwrap());
    assert_eq!(rows.len(), lines + 1);
    let sum: i64 = rows[1..].iter().map(|row| amount(&row[6])).sum();
    assert_eq!(sum, amount(&text(&made["amount"])));
    let page = client
        .get(&format!("{INVOICES}/{uuid}?per_page=200&page=251"))
        .await
        .json();
    assert_eq!(page["meta"]["total"], lines);
    let items = page["invoice_items"].as_array().unwrap();
    assert_eq!(
        (items.len(), &items[2]["description"]),
        (3, &json!(rows[lines][2]))
    );
}

#[tokio::test]
async fn a_long_file_may_be_of_what_is_there() {
    let client = client();
    let droplets = client.simulator.items("droplets");
    let (round, lines) = (droplets.len(), droplets.len() * 2 + 3);
    let asked = json!({"period": "2025-10", "lines": lines, "of_droplets": true});
    let made = client.simulator.add_invoice(asked).unwrap();
    let path = format!("{INVOICES}/{}", text(&made["invoice_uuid"]));
    let rows = table(&file(&client, &text(&made["invoice_uuid"])).await);
    let mut items = Vec::new();
    for page in 1..=lines.div_ceil(50) {
        let page = client
            .get(&format!("{path}?per_page=50&page={page}"))
            .await
            .json();
        items.extend(page["invoice_items"].as_array().unwrap().clone());
    }
    assert_eq!((rows.len(), items.len()), (lines + 1, lines));
    for (n, (row, item)) in rows[1..].iter().zip(&items).enumerate() {
        let droplet = &droplets[n % round];
        assert_eq!(item["resource_id"], droplet["id"].to_string());
        assert!(row[2].starts_with(&format!("{} (", droplet["name"].as_str().unwrap())));
        assert_eq!(item["description"], row[2]);
    }
    // The next round is charged from where the one before ended.
    assert_eq!(items[0]["end_time"], items[round]["start_time"]);
    assert_eq!(items[0]["start_time"], "2025-10-01T00:00:00Z");
    assert_eq!(items[2 * round]["end_time"], "2025-11-01T00:00:00Z");
    let beyond = client.get(&format!("{path}?per_page=50&page=1000")).await.json();
    assert_eq!(
        (&beyond["invoice_items"], &beyond["meta"]["total"]),
        (&json!([]), &json!(lines))
    );
}
