//! Whose a cost was: the owner at the time of the charge, not of today, and not a cent more or less for it.
//!
//! Resources change hands in every way there is; each line is held against its resource's events, replayed here, and
//! each group against the lines. The suite does some steps at random, `prove_` many; seeds are printed.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use shared::inventory::edit;
use shared::sync::PROJECTS;
use uuid::Uuid;

use crate::access::classify;
use crate::books::Books;
use crate::caller::{Api, operator};
use crate::past::{api_pool, by_ada, change};

fn row(id: &str, cents: i64, from: DateTime<Utc>, until: DateTime<Utc>) -> Value {
    let text = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    json!({"product": "Droplets", "description": format!("of-{id} (s-1vcpu-1gb)"), "hours": 1, "cents": cents,
           "start": text(from), "end": text(until), "id": id})
}

async fn ingest(books: &Books, rows: &[Value]) {
    books.bill(json!({"uuid": "owners", "period": "2026-11", "rows": rows}));
    books.history().await;
    let report = books.ingest(0, "owners").await;
    assert!(report.error.is_none(), "{report:?}");
}

#[tokio::test]
async fn a_line_is_whose_its_resource_was_when_the_charge_ended() {
    let mut books = Books::empty().await;
    let made = books
        .stage
        .sim
        .create(
            "droplets",
            json!({"name": "wanderer", "created_at": "2026-06-01T00:00:00Z"}),
        )
        .unwrap();
    let id = made["id"].to_string();
    books.stage.sync().await;
    let (found, pool) = (books.stage.now, api_pool(&books.stage).await);
    let resource = books.stage.row("droplet", &id).await.id;
    let day = |number: i64| found + TimeDelta::days(number);
    for (days, owner) in [(1, Some("acme")), (9, Some("globex")), (10, None)] {
        books.stage.later(days * 24 * 60);
        edit::attribute(&pool, resource, owner, &by_ada(books.stage.now))
            .await
            .unwrap();
    }
    let cases = [
        // Before we knew it: the first owner that it came to have.
        (-60, -30, Some("acme")),
        (-30, 0, Some("acme")),
        // We knew it, and it was nobody's.
        (-1, 1, None),
        (0, 5, Some("acme")),
        // It changed hands in the middle: whoever had it in the end. The moment of the change is the next one's.
        (5, 10, Some("acme")),
        (5, 15, Some("globex")),
        (12, 20, Some("globex")),
        (15, 30, None),
    ];
    let rows: Vec<Value> = (1_i64..)
        .zip(cases)
        .map(|(n, (from, until, _))| row(&id, n, day(from), day(until)))
        .collect();
    ingest(&books, &rows).await;
    let api = Api::over(&books.stage.database);
    let lines = api
        .all("/api/v1/billing/cost-lines?invoice_uuid=owners", &operator())
        .await;
    assert_eq!(lines.len(), cases.len());
    for ((from, until, owner), line) in cases.iter().zip(&lines) {
        assert_eq!(line["cloud_resource_id"], json!(resource));
        assert_eq!(line["tenant_id"], json!(owner), "{from} to {until}");
    }
    let answer = api
        .get("/api/v1/billing/costs?group_by=tenant", &operator())
        .await;
    let group = |share: &str, tenant: Value, cents: i64, lines: i64| {
        let mut group = json!({"share": share, "amount": Decimal::new(cents, 2).to_string(), "lines": lines});
        if !tenant.is_null() {
            group["tenant_id"] = tenant;
        }
        group
    };
    let expected = json!([
        group("attributed", json!("acme"), 1 + 2 + 4 + 5, 4),
        group("attributed", json!("globex"), 6 + 7, 2),
        group("unattributed", Value::Null, 3 + 8, 2),
    ]);
    assert_eq!(answer.body["data"], expected);
    // By kind nobody's owner matters, and the sum is the same.
    let answer = api.get("/api/v1/billing/costs?group_by=kind", &operator()).await;
    assert_eq!(answer.body["data"][0]["amount"], "0.36");
}

#[tokio::test]
async fn costs_follow_the_owners_of_then() {
    owners(8, 120, 31).await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_costs_follow_the_owners_of_then() {
    owners(60, 6_000, 32).await;
}

async fn owners(steps: usize, count: usize, seed: u64) {
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut books = Books::empty().await;
    books.stage = classify(books.stage).await;
    let pool = api_pool(&books.stage).await;
    let first = books.stage.now;
    let mut moments = vec![first - TimeDelta::days(300), first - TimeDelta::days(30)];
    for _ in 0..steps {
        books.stage.later(11);
        change(&books.stage, &pool, &mut random).await;
        books.stage.sync().await;
        if random.random_bool(0.5) {
            books.stage.run(&PROJECTS).await;
        }
        moments.extend([books.stage.now, books.stage.now + TimeDelta::seconds(1)]);
    }
    moments.push(books.stage.now + TimeDelta::days(9));
    let droplets = books.stage.rows("droplet").await;
    let rows: Vec<Value> = (0..count)
        .map(|_| {
            let id = &droplets.choose(&mut random).unwrap().provider_id;
            let until = *moments.choose(&mut random).unwrap();
            let from = until - TimeDelta::minutes(random.random_range(1..50_000));
            row(id, random.random_range(1..1_000_000), from, until)
        })
        .collect();
    ingest(&books, &rows).await;

    let api = Api::over(&books.stage.database);
    let lines = api
        .all(
            "/api/v1/billing/cost-lines?invoice_uuid=owners&limit=500",
            &operator(),
        )
        .await;
    assert_eq!(lines.len(), count);
    let (mut groups, mut moved) = (BTreeMap::<Owner, Decimal>::new(), 0);
    for line in &lines {
        let said = [text(&line["tenant_id"]), text(&line["project_id"])];
        let amount: Decimal = line["amount"].as_str().unwrap().parse().unwrap();
        *groups.entry((said[0].clone(), said[1].clone())).or_default() += amount;
        let Some(resource) = line["cloud_resource_id"].as_str() else {
            assert_eq!(said, [None, None]);
            continue;
        };
        let resource: Uuid = resource.parse().unwrap();
        let ended: DateTime<Utc> = line["ends_at"].as_str().unwrap().parse().unwrap();
        let then = replayed(&books, resource, ended).await;
        assert_eq!(said, then, "{line}");
        moved += usize::from(then != replayed(&books, resource, books.stage.now + TimeDelta::days(99)).await);
    }
    println!("{moved} of {count} lines are of an owner who is no longer");
    assert!(moved > count / 20, "{moved}");
    let answer = api
        .get("/api/v1/billing/costs?group_by=tenant,project", &operator())
        .await;
    let mut told = BTreeMap::<Owner, Decimal>::new();
    for group in answer.body["data"].as_array().unwrap() {
        let amount: Decimal = group["amount"].as_str().unwrap().parse().unwrap();
        *told
            .entry((text(&group["tenant_id"]), text(&group["project_id"])))
            .or_default() += amount;
    }
    assert_eq!(told, groups);
    let total: Decimal = told.values().sum();
    assert_eq!(books.header("owners").await["lines_total"], total.to_string());
}

/// Tenant and project.
type Owner = (Option<String>, Option<String>);

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Tenant and project just before a moment, told event by event; of a time before the first, the first there was.
async fn replayed(books: &Books, resource: Uuid, moment: DateTime<Utc>) -> [Option<String>; 2] {
    let events: Vec<(DateTime<Utc>, Value)> = sqlx::query_as(
        "SELECT occurred_at, changes FROM cloud_resource_events WHERE resource_id = $1 ORDER BY version",
    )
    .bind(resource)
    .fetch_all(&books.stage.pool)
    .await
    .unwrap();
    let known = events.iter().rposition(|(at, _)| *at < moment);
    ["tenant_id", "cloud_project_id"].map(|field| {
        let mut owners = events
            .iter()
            .map(|(_, changes)| changes.get(field).map(|change| text(&change["to"])));
        match known {
            Some(last) => owners.take(last + 1).flatten().last().flatten(),
            None => owners.find_map(Option::flatten),
        }
    })
}
