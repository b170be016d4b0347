//! What the list of projects says about money: the last month of which an invoice was read, and what it came to.
//!
//! Compared with the costs by project, which are added up elsewhere and in another way.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::sync::PROJECTS;
use simulator::Scenario;

use crate::books::Books;
use crate::caller::{Api, operator};
use crate::described::billed;
use crate::overheard::Overheard;

#[tokio::test]
async fn each_project_says_what_it_cost_in_the_last_month_that_was_read() {
    let books = billed().await;
    let (overheard, url) = Overheard::at(&books.stage.database, "arcadia_api_login").await;
    let api = Api::with(&url);
    let read = "SELECT max(period)::text FROM cloud_invoices WHERE NOT preview";
    let month: String = sqlx::query_scalar(read)
        .fetch_one(&books.stage.pool)
        .await
        .unwrap();
    let listed = api.all("/api/v1/projects?limit=2", &operator()).await;
    let texts = overheard.texts();
    let path = format!("/api/v1/billing/costs?group_by=project&from={month}&to={month}");
    let costs = api.get(&path, &operator()).await.body["data"].clone();
    let costs: BTreeMap<String, Value> = costs
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|cost| Some((cost["project_id"].as_str()?.to_owned(), cost["amount"].clone())))
        .collect();
    let mut told = 0;
    for project in &listed {
        assert_eq!(project["cost_month"], json!(month), "{project}");
        let expected = costs.get(project["id"].as_str().unwrap());
        assert_eq!(&project["cost"], expected.unwrap_or(&json!("0")), "{project}");
        told += usize::from(expected.is_some());
    }
    assert_eq!(
        (told, costs.len()),
        (costs.len(), told),
        "every cost is some project's"
    );
    assert!(told > 2 && listed.len() > told, "{told} of {}", listed.len());

    // However many are asked for, it is one question.
    assert_eq!(api.all("/api/v1/projects?limit=500", &operator()).await, listed);
    assert_eq!(
        overheard.texts().difference(&texts).count(),
        1,
        "only the costs' own"
    );
    // The first page and those that follow it.
    let about = |table: &str| texts.iter().filter(|text| text.contains(table)).count();
    assert_eq!((about("cloud_project"), about("cloud_project_costs")), (2, 2));
}

#[tokio::test]
async fn before_the_first_invoice_there_is_no_cost() {
    let books = Books::with(Scenario::Default).await;
    books.stage.run(&PROJECTS).await;
    let api = Api::over(&books.stage.database);
    let listed = api.all("/api/v1/projects", &operator()).await;
    assert!(!listed.is_empty());
    for project in listed {
        assert_eq!(
            (&project["cost_month"], &project["cost"]),
            (&Value::Null, &Value::Null)
        );
    }
}
