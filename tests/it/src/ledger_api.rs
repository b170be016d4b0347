//! The ledger through the API: what operators are told, that it adds up, and that tenants are told nothing.

use std::collections::BTreeMap;

use harness::tokens;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use shared::sync::PROJECTS;
use simulator::Scenario;

use crate::books::Books;
use crate::caller::{Api, SECRET, operator, tenant};

fn money(value: &Value) -> Decimal {
    value
        .as_str()
        .unwrap_or_else(|| panic!("money is a string: {value}"))
        .parse()
        .unwrap()
}

fn sum(items: &[Value]) -> Decimal {
    items.iter().map(|item| money(&item["amount"])).sum()
}

async fn filled() -> (Books, Api) {
    let books = Books::with(Scenario::Default).await;
    books.stage.run(&PROJECTS).await;
    books.stage.sync().await;
    books.balance().await;
    books.history().await;
    books.ingest_all().await;
    for (project, owner) in simulator::scenario::TENANTS {
        sqlx::query("UPDATE cloud_resources SET tenant_id = $2 WHERE cloud_project_id = (SELECT id FROM cloud_projects WHERE name = $1)")
            .bind(project)
            .bind(owner)
            .execute(&books.stage.pool)
            .await
            .unwrap();
    }
    let api = Api::over(&books.stage.database);
    (books, api)
}

const PATHS: [&str; 9] = [
    "/api/v1/billing/balance",
    "/api/v1/billing/balance/history",
    "/api/v1/billing/invoices",
    "/api/v1/billing/invoices/preview",
    "/api/v1/billing/cost-lines",
    "/api/v1/billing/costs",
    "/api/v1/billing/focus",
    "/api/v1/billing/cost-lines?period=2026-04-17",
    "/api/v1/billing/costs?group_by=tenant",
];

#[tokio::test]
async fn tenants_see_none_of_it() {
    let (books, api) = filled().await;
    let tenant = tenant("larkspur-bakery");
    for path in PATHS {
        assert_eq!(
            api.ask("GET", path, Some(&format!("Bearer {tenant}")))
                .await
                .status,
            403,
            "{path}"
        );
        assert_eq!(api.ask("GET", path, None).await.status, 401, "{path}");
    }
    let post = "/api/v1/billing/invoices/preview/ingest";
    assert_eq!(
        api.ask("POST", post, Some(&format!("Bearer {tenant}")))
            .await
            .status,
        403
    );
    // And beneath the edge: the tenant's role and the mirror's login read nothing, the API's own login nothing either.
    for (login, role) in [
        ("arcadia_api_login", "SET ROLE arcadia_tenant"),
        ("arcadia_api_login", "SELECT 1"),
        ("arcadia_sync_login", "SELECT 1"),
    ] {
        let pool = sqlx::PgPool::connect(&books.stage.database.url_as(login))
            .await
            .unwrap();
        let mut connection = pool.acquire().await.unwrap();
        sqlx::query(role).execute(&mut *connection).await.unwrap();
        for table in [
            "cloud_invoices",
            "cloud_cost_lines",
            "cloud_balance_snapshots",
            "cloud_ledger",
        ] {
            let read = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
            let seen: Result<i64, sqlx::Error> = sqlx::query_scalar(read).fetch_one(&mut *connection).await;
            let refused = seen
                .as_ref()
                .is_err_and(|error| error.to_string().contains("permission denied"));
            assert!(refused, "{login}, {role}: {table}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn invoices_lines_and_groups_add_up_to_the_same() {
    let (books, api) = filled().await;
    let token = operator();
    let invoices = api.all("/api/v1/billing/invoices?limit=4", &token).await;
    assert_eq!(invoices.len(), books.issued().len());
    let periods: Vec<&str> = invoices
        .iter()
        .map(|invoice| invoice["period"].as_str().unwrap())
        .collect();
    assert!(periods.is_sorted_by(|one, other| one >= other), "{periods:?}");
    for invoice in &invoices {
        assert_eq!(invoice["preview"], false);
        assert_ne!(invoice["reconciliation"], "mismatch");
        let difference = money(&invoice["lines_total"]) - money(&invoice["amount"]);
        assert_eq!(money(&invoice["difference"]), difference);
        let rate = money(&invoice["match_rate"]);
        assert!(rate <= Decimal::ONE && rate >= Decimal::ZERO, "{invoice}");
    }
    let all: Decimal = invoices
        .iter()
        .map(|invoice| money(&invoice["lines_total"]))
        .sum();
    let lines = api.all("/api/v1/billing/cost-lines?limit=150", &token).await;
    assert_eq!(sum(&lines), all);
    let expected = books.count("SELECT count(*) FROM cloud_cost_lines l JOIN cloud_invoices i ON i.id = cloud_invoice_id WHERE NOT preview").await;
    assert_eq!(lines.len() as i64, expected);

    for group_by in [
        "",
        "group_by=tenant",
        "group_by=kind",
        "group_by=project,month",
        "group_by=tenant,project,kind,month",
    ] {
        let answer = api
            .get(&format!("/api/v1/billing/costs?{group_by}"), &token)
            .await;
        assert_eq!(answer.status, 200, "{group_by}: {:?}", answer.body);
        let groups = answer.body["data"].as_array().unwrap();
        assert_eq!(sum(groups), all, "{group_by}");
    }
    let answer = api.get("/api/v1/billing/costs?group_by=tenant", &token).await;
    let mut shares: BTreeMap<&str, Decimal> = BTreeMap::new();
    for group in answer.body["data"].as_array().unwrap() {
        *shares.entry(group["share"].as_str().unwrap()).or_default() += money(&group["amount"]);
    }
    let names: Vec<&str> = shares.keys().copied().collect();
    assert_eq!(names, ["attributed", "credit", "tax", "unattributed"]);
    let april = api
        .get("/api/v1/billing/costs?from=2025-04-09&to=2025-04-20", &token)
        .await;
    let of_april = api
        .all("/api/v1/billing/cost-lines?period=2025-04-30", &token)
        .await;
    assert_eq!(sum(april.body["data"].as_array().unwrap()), sum(&of_april));

    for (filter, holds) in [
        (
            "kind=droplet",
            (|line: &Value| line["kind"] == "droplet") as fn(&Value) -> bool,
        ),
        ("class=tax", |line| line["class"] == "tax"),
        ("matched=true", |line| line["match_rule"].is_string()),
        ("matched=false&class=resource", |line| {
            line["cloud_resource_id"].is_null() && line["class"] == "resource"
        }),
    ] {
        let found = api
            .all(&format!("/api/v1/billing/cost-lines?{filter}"), &token)
            .await;
        let wanted = lines.iter().filter(|line| holds(line)).count();
        assert!(
            wanted > 0 && found.len() == wanted && found.iter().all(holds),
            "{filter}"
        );
    }
    for (path, culprit) in [
        ("/api/v1/billing/cost-lines?period=2026-04", "period"),
        ("/api/v1/billing/cost-lines?class=taxes", "class"),
        ("/api/v1/billing/cost-lines?matched=maybe", "matched"),
        ("/api/v1/billing/costs?group_by=owner", "group_by"),
        ("/api/v1/billing/focus?version=1.3", "version"),
        ("/api/v1/billing/invoices?status=pending", "status"),
        ("/api/v1/billing/cost-lines?cursor=AAAA", "cursor"),
    ] {
        let answer = api.get(path, &token).await;
        assert_eq!(
            (answer.status, &answer.body["errors"][0]["parameter"]),
            (400, &json!(culprit)),
            "{path}"
        );
    }
}

/// Every page of a list in some form, joined.
async fn pages(api: &Api, path: &str, accept: &str) -> Vec<String> {
    let authorization = format!("Bearer {}", operator());
    let headers = [("authorization", authorization.as_str()), ("accept", accept)];
    let (mut pages, mut next) = (Vec::new(), path.to_owned());
    loop {
        let answer = api.send("GET", &next, &headers, "").await;
        assert_eq!(answer.status, 200, "{next}");
        assert!(
            answer.headers["content-type"]
                .to_str()
                .unwrap()
                .starts_with(accept)
        );
        pages.push(answer.text);
        let Some(link) = answer.headers.get("link") else {
            return pages;
        };
        next = link
            .to_str()
            .unwrap()
            .split(['<', '>'])
            .nth(1)
            .unwrap()
            .to_owned();
    }
}

#[tokio::test]
async fn lists_are_the_same_in_every_form() {
    let (books, api) = filled().await;
    let later = json!({"account_balance": "-20.00", "generated_at": "2026-11-21T09:00:00Z"});
    books.stage.sim.world().change_balance(later).unwrap();
    books.balance().await;
    for (path, paged) in [
        ("/api/v1/billing/balance/history?limit=1", true),
        ("/api/v1/billing/invoices?limit=5", true),
        ("/api/v1/billing/cost-lines?limit=250", true),
        ("/api/v1/billing/costs?group_by=tenant,kind,month", false),
        ("/api/v1/billing/costs", false),
    ] {
        let items = if paged {
            api.all(path, &operator()).await
        } else {
            let answer = api.get(path, &operator()).await;
            answer.body["data"].as_array().unwrap().clone()
        };
        assert!(items.len() > 1, "{path}");
        let told = pages(&api, path, "application/x-ndjson").await;
        assert!(!paged || told.len() > 1, "{path}");
        let told: Vec<Value> = told
            .iter()
            .flat_map(|page| page.lines())
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(told, items, "{path}");
        let mut rows = Vec::new();
        for page in pages(&api, path, "text/csv").await {
            let mut reader = csv::Reader::from_reader(page.as_bytes());
            let names = reader.headers().unwrap().clone();
            for record in reader.records() {
                let cells = record.unwrap();
                let row = names
                    .iter()
                    .zip(&cells)
                    .map(|(name, cell)| (name.to_owned(), cell.to_owned()));
                rows.push(row.collect::<BTreeMap<String, String>>());
            }
        }
        assert_eq!(rows.len(), items.len(), "{path}");
        for (row, item) in rows.iter().zip(&items) {
            let item = item.as_object().unwrap();
            assert!(item.keys().all(|key| row.contains_key(key)), "{path}: {item:?}");
            for (name, cell) in row {
                let said = match item.get(name) {
                    None | Some(Value::Null) => String::new(),
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                };
                assert_eq!(*cell, said, "{path}: {name}");
            }
        }
        let authorization = format!("Bearer {}", operator());
        let html = [("authorization", authorization.as_str()), ("accept", "text/html")];
        assert_eq!(api.send("GET", path, &html, "").await.status, 406, "{path}");
    }
}

#[tokio::test]
async fn the_running_month_is_asked_for_by_name() {
    let (_books, api) = filled().await;
    let token = operator();
    let preview = api.get("/api/v1/billing/invoices/preview", &token).await;
    let data = &preview.body["data"];
    assert_eq!(
        (&data["preview"], &data["period"]),
        (&json!(true), &json!("2025-11-01"))
    );
    let lines = api.all("/api/v1/billing/cost-lines?preview=true", &token).await;
    assert_eq!(sum(&lines), money(&data["lines_total"]));
    assert_eq!(data["lines"].as_array().unwrap().len(), lines.len());
    let accrual = api
        .get("/api/v1/billing/costs?preview=true&group_by=tenant", &token)
        .await;
    let groups = accrual.body["data"].as_array().unwrap();
    assert!(
        groups.iter().any(|group| group["tenant_id"] == "larkspur-bakery"),
        "{groups:?}"
    );
    assert_eq!(sum(groups), money(&data["lines_total"]));
    let mixed = api
        .all("/api/v1/billing/cost-lines?period=2025-11-21", &token)
        .await;
    assert!(mixed.is_empty(), "no invoice of that month yet");
    assert_eq!(
        api.get("/api/v1/billing/invoices/never-heard-of", &token)
            .await
            .status,
        404
    );
    assert_eq!(
        api.get("/api/v1/billing/invoices/a%20b", &token).await.status,
        404
    );
    let balance = api.get("/api/v1/billing/balance", &token).await;
    assert!(money(&balance.body["data"]["month_to_date_usage"]) > Decimal::ZERO);
    assert_eq!(api.all("/api/v1/billing/balance/history", &token).await.len(), 1);
}

/// FOCUS's own rule: what was billed adds up to the invoice.
#[tokio::test]
async fn the_export_adds_up_to_each_invoice() {
    let (books, api) = filled().await;
    let (token, mut next) = (
        tokens::operator(SECRET, tokens::now()),
        "/api/v1/billing/focus?version=1.4&limit=100".to_owned(),
    );
    let (mut billed, mut details) = (
        BTreeMap::<String, Decimal>::new(),
        std::collections::BTreeSet::new(),
    );
    loop {
        let (headers, text) = api.text(&next, &token).await;
        assert!(headers["content-type"].to_str().unwrap().starts_with("text/csv"));
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let names = reader.headers().unwrap().clone();
        let at = |name: &str| names.iter().position(|other| other == name).unwrap();
        let (cost, invoice, detail) = (at("BilledCost"), at("x_InvoiceUuid"), at("InvoiceDetailId"));
        for record in reader.records() {
            let record = record.unwrap();
            *billed.entry(record[invoice].to_owned()).or_default() +=
                record[cost].parse::<Decimal>().unwrap();
            assert!(details.insert(record[detail].to_owned()), "twice: {record:?}");
        }
        let Some(link) = headers.get("link") else { break };
        let link = link.to_str().unwrap();
        next = link.split(['<', '>']).nth(1).unwrap().to_owned();
    }
    assert_eq!(billed.len(), books.issued().len());
    for (invoice, billed) in billed {
        assert_eq!(money(&books.header(&invoice).await["lines_total"]), billed);
    }
}

#[tokio::test]
async fn an_operator_sends_an_invoice_back_and_has_it_matched_again() {
    let (books, api) = filled().await;
    let (token, invoice) = (format!("Bearer {}", operator()), books.known().await.remove(0));
    books.drain(&books.queues.ingest).await;
    let path = format!("/api/v1/billing/invoices/{invoice}/ingest");
    let answer = api.ask("POST", &path, Some(&token)).await;
    assert_eq!(
        (answer.status, &answer.body["data"]["sent"]),
        (202, &json!(false)),
        "without a queue it waits"
    );
    assert_eq!(
        books.balance().await.ledger.unwrap().sent,
        Some(1),
        "for the next run"
    );
    let with_queue = Api::with_queue(&books.stage.database, &books.queues.ingest);
    let answer = with_queue.ask("POST", &path, Some(&token)).await;
    assert_eq!((answer.status, &answer.body["data"]["sent"]), (202, &json!(true)));
    assert_eq!(books.drain(&books.queues.ingest).await.len(), 2);
    assert_eq!(books.ingested(&invoice).await.status, "ingested");

    sqlx::query("UPDATE cloud_cost_lines SET cloud_resource_id = NULL, match_rule = NULL")
        .execute(&books.stage.pool)
        .await
        .unwrap();
    sqlx::query("UPDATE cloud_invoices SET matched_lines = 0")
        .execute(&books.stage.pool)
        .await
        .unwrap();
    let path = format!("/api/v1/billing/invoices/{invoice}/match");
    let answer = api.ask("POST", &path, Some(&token)).await;
    let (possible, right) = books.judge(&invoice).await;
    assert_eq!(
        (answer.status, &answer.body["data"]["matched"]),
        (200, &json!(possible))
    );
    assert_eq!(possible, right);
    for unknown in ["ingest", "match"] {
        let path = format!("/api/v1/billing/invoices/never-heard-of/{unknown}");
        assert_eq!(api.ask("POST", &path, Some(&token)).await.status, 404);
    }
}
