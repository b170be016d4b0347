//! Every route and everybody who may not: walked by the router's own list, so that a new route is walked too.
//!
//! No token, bad tokens, a tenant where only an operator may; and another tenant who knows everything about the one it
//! spies on (ids, names, projects, cursors, entity tags, moments) and asks for it in every way there is. It is answered
//! as it would be if none of that existed.

use std::collections::BTreeSet;

use functions::api::document::{Access, Operation};
use functions::api::operations;
use harness::tokens;
use serde_json::{Value, json};
use simulator::scenario::TENANTS;

use crate::access::classified;
use crate::caller::{Answer, Api, SECRET, operator, tenant};
use crate::described::{billed, real};
use crate::questions::encoded;
use crate::stage::Stage;

/// Whose things are asked for, and who asks.
const VICTIM: &str = TENANTS[0].1;
const SPY: &str = TENANTS[1].1;

/// A body that the route would take.
fn body(operation: &Operation) -> Value {
    match operation.body {
        Some(("Releasing", _)) => json!({}),
        Some(_) => json!({"tenant_id": SPY, "reason": "mine now"}),
        None => Value::Null,
    }
}

async fn ask(api: &Api, operation: &Operation, path: &str, authorization: Option<&str>) -> Answer {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(authorization.map(|value| ("authorization", value)));
    let (body, method) = (body(operation), operation.method.to_ascii_uppercase());
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    api.send(&method, path, &headers, &body).await
}

/// The answer without what is different each time.
fn without_ids(answer: &Answer) -> String {
    let mut body = answer.body.clone();
    if let Some(body) = body.as_object_mut() {
        body.retain(|name, _| name != "instance" && name != "request_id");
    }
    format!("{} {body}", answer.status)
}

#[tokio::test]
async fn every_route_refuses_no_token_bad_tokens_and_another_tenants() {
    let books = billed().await;
    let stage = &books.stage;
    let api = Api::over(&stage.database);
    let now = tokens::now();
    let mut stale = tokens::claims("somebody", now - 86_400);
    stale["roles"] = json!(["platform_admin"]);
    let mut refresh = tokens::claims("somebody", now);
    refresh["roles"] = json!(["platform_admin"]);
    refresh["typ"] = json!("refresh");
    let (head, rest) = operator()
        .split_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let bad = [
        String::new(),
        "Bearer".to_owned(),
        "Bearer a.b.c".to_owned(),
        format!("Basic {}", operator()),
        format!("Bearer {}", tokens::operator(&SECRET.replace('-', "_"), now)),
        format!("Bearer {}", tokens::mint(SECRET, &stale)),
        format!("Bearer {}", tokens::mint(SECRET, &refresh)),
        format!(
            "Bearer {}",
            tokens::signed(SECRET, &json!({"alg": "none"}), &stale)
        ),
        format!("Bearer {head}.{}", rest.replace('.', "A.")),
        format!("Bearer {},Bearer {}", operator(), operator()),
    ];
    let before = written(stage).await;
    let (mut public, mut refusals, mut walked) = (Vec::new(), BTreeSet::new(), 0);
    for operation in operations() {
        if operation.access == Access::Public {
            public.push(operation.path);
            continue;
        }
        let path = real(stage, operation).await;
        for authorization in [None]
            .into_iter()
            .chain(bad.iter().map(|value| Some(value.as_str())))
        {
            let answer = ask(&api, operation, &path, authorization).await;
            assert_eq!(answer.status, 401, "{} as {authorization:?}", operation.id);
            let challenge = if authorization.is_some_and(|value| value.starts_with("Bearer ")) {
                "Bearer error=\"invalid_token\""
            } else {
                "Bearer realm=\"arcadia-cloud\""
            };
            assert_eq!(answer.headers["www-authenticate"], challenge);
            refusals.insert(without_ids(&answer));
        }
        // Neither a role of ours nor a tenant; a tenant of nobody; the spy.
        let nobody = tokens::mint(SECRET, &tokens::claims("somebody", now));
        let answer = ask(&api, operation, &path, Some(&format!("Bearer {nobody}"))).await;
        assert_eq!(answer.status, 403, "{}", operation.id);
        for who in [SPY, "nobody", "Larkspur-Bakery", "%", "*"] {
            let answer = ask(&api, operation, &path, Some(&format!("Bearer {}", tenant(who)))).await;
            let expected = match (operation.access, operation.path.contains("{id}")) {
                (Access::Operator, _) => 403,
                (_, true) => 404,
                (_, false) => 200,
            };
            assert_eq!(
                answer.status, expected,
                "{} as {who}: {}",
                operation.id, answer.text
            );
            assert!(
                !answer.text.contains(VICTIM),
                "{} as {who}: {}",
                operation.id,
                answer.text
            );
        }
        walked += 1;
    }
    assert_eq!(
        public,
        ["/api/health", "/api/health/ready", "/openapi.json", "/docs"]
    );
    assert_eq!(refusals.len(), 1, "refusals can be told apart: {refusals:?}");
    assert_eq!(walked + public.len(), operations().len());
    assert_eq!(
        written(stage).await,
        before,
        "somebody who may not has changed something"
    );
}

/// Events and what an invoice waits for: what an edit or an order would have moved.
async fn written(stage: &Stage) -> (i64, Option<String>) {
    let waiting =
        "SELECT string_agg(invoice_uuid || ingest_status || coalesce(enqueued_at::text, ''), ',' ORDER BY id)
                   FROM cloud_invoices";
    let waiting = sqlx::query_scalar(waiting).fetch_one(&stage.pool).await.unwrap();
    (stage.event_count().await, waiting)
}

#[tokio::test]
async fn a_spy_who_knows_everything_finds_nothing() {
    let stage = classified().await;
    let api = Api::over(&stage.database);
    let theirs = api
        .all(
            "/api/v1/inventory?include_deleted=true&limit=500",
            &tenant(VICTIM),
        )
        .await;
    let own = api
        .all("/api/v1/inventory?include_deleted=true&limit=500", &tenant(SPY))
        .await;
    let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
    let secret: BTreeSet<String> = theirs
        .iter()
        .flat_map(|item| [text(item, "id"), text(item, "project_id")])
        .chain([VICTIM.to_owned()])
        .filter(|word| !word.is_empty())
        .collect();
    assert!(secret.len() > 5 && own.iter().all(|item| !secret.contains(&text(item, "id"))));
    let bearer = format!("Bearer {}", tenant(SPY));
    let mut asked = 0;
    for operation in operations()
        .into_iter()
        .filter(|operation| operation.access == Access::Caller)
    {
        for item in &theirs {
            let path = operation.path.replace("{id}", &text(item, "id"));
            let mut queries = vec![String::new()];
            for parameter in operation.parameters {
                let values = match parameter.name {
                    "tenant_id" => vec![VICTIM.to_owned()],
                    "project_id" => vec![text(item, "project_id")],
                    "resource_id" => vec![text(item, "id")],
                    "q" => vec![text(item, "name"), text(item, "provider_id")],
                    "tag" => item["tags"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|tag| tag.as_str().unwrap().to_owned())
                        .collect(),
                    "as_of" | "since" | "until" | "updated_since" => {
                        vec![
                            text(item, "first_seen_at"),
                            text(item, "updated_at"),
                            "2099-01-01T00:00:00Z".to_owned(),
                        ]
                    }
                    "cursor" => vec![
                        cursor(&api, &path, &tenant(VICTIM)).await,
                        cursor(&api, &path, &operator()).await,
                    ],
                    "limit" => vec!["500".to_owned()],
                    "sort" => ["-id", "name", "-updated_at"].map(str::to_owned).to_vec(),
                    "include_deleted" => vec!["true".to_owned()],
                    name => vec![text(item, name), parameter.example.to_owned()],
                };
                let values = values.into_iter().filter(|value| !value.is_empty());
                queries.extend(values.map(|value| format!("?{}={}", parameter.name, encoded(&value))));
            }
            let tag = api
                .get(
                    &format!("/api/v1/inventory/{}", text(item, "id")),
                    &tenant(VICTIM),
                )
                .await;
            let tag = tag.headers["etag"].to_str().unwrap().to_owned();
            for query in queries {
                for accept in ["application/json", "text/csv", "application/x-ndjson"] {
                    let headers = [
                        ("authorization", bearer.as_str()),
                        ("accept", accept),
                        ("if-none-match", tag.as_str()),
                    ];
                    let answer = api.send("GET", &format!("{path}{query}"), &headers, "").await;
                    let shown = format!("{path}{query} as {accept}: {} {}", answer.status, answer.text);
                    assert!([200, 400, 403, 404, 406].contains(&answer.status), "{shown}");
                    // What the spy has said itself may come back to it.
                    let said = encoded_words(&query);
                    for word in secret
                        .iter()
                        .filter(|word| !said.contains(word.as_str()) && !path.contains(word.as_str()))
                    {
                        assert!(!answer.text.contains(word.as_str()), "{shown}");
                    }
                    // What is not had in this form is not looked for, whose ever it is.
                    let had = operation.forms().iter().any(|form| form.media_type() == accept);
                    if operation.path.contains("{id}") && had {
                        assert!([400, 404].contains(&answer.status), "{shown}");
                    }
                    if !had {
                        assert!([400, 403, 406].contains(&answer.status), "{shown}");
                    }
                    asked += 1;
                }
            }
        }
    }
    assert!(asked > 700, "{asked}");
    // A thing of somebody's and a thing of nobody's cannot be told apart.
    for path in ["/api/v1/inventory/{id}", "/api/v1/inventory/{id}/events"] {
        let of = |id: &str| path.replace("{id}", id);
        let there = api.get(&of(&text(&theirs[0], "id")), &tenant(SPY)).await;
        let nowhere = api
            .get(&of("0197e7a0-0000-7000-8000-000000000001"), &tenant(SPY))
            .await;
        assert_eq!(without_ids(&there), without_ids(&nowhere));
    }
}

fn encoded_words(query: &str) -> &str {
    query.split_once('=').map_or("", |(_, value)| value)
}

/// Where somebody's first page ends; empty if it is their last.
async fn cursor(api: &Api, path: &str, token: &str) -> String {
    let answer = api.get(&format!("{path}?limit=1"), token).await;
    answer.body["page"]["next_cursor"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
