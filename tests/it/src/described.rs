//! What the description says is so: parameters are accepted, answers have the shape that is documented.
//!
//! Real answers of every operation are held against its schema, which is closed: a field too many is as wrong as one
//! that is missing. The checker knows the words of JSON Schema that the document uses, and fails on any other.

use functions::api::document::{Access, Operation};
use functions::api::operations;
use functions::api::routes::description::DOCUMENT;
use serde_json::{Value, json};
use simulator::Scenario;
use simulator::scenario::TENANTS;

use crate::access::{classified, classify};
use crate::books::Books;
use crate::caller::{Api, operator, tenant};
use crate::questions::encoded;
use crate::stage::Stage;

/// Panics where the value is not as the schema says.
fn holds(schema: &Value, value: &Value, at: &str) {
    for (word, rule) in schema.as_object().unwrap() {
        let number = || value.as_i64().unwrap();
        match word.as_str() {
            "description" | "examples" | "default" | "maxLength" | "pattern" => (),
            "$ref" => holds(
                DOCUMENT
                    .pointer(rule.as_str().unwrap().trim_start_matches('#'))
                    .unwrap(),
                value,
                at,
            ),
            "type" => {
                let is = match value {
                    Value::Null => "null",
                    Value::Bool(_) => "boolean",
                    Value::Number(_) => "integer",
                    Value::String(_) => "string",
                    Value::Array(_) => "array",
                    Value::Object(_) => "object",
                };
                assert!(
                    rule == is || rule.as_array().is_some_and(|types| types.contains(&json!(is))),
                    "{at} is {is}"
                );
            }
            "enum" => assert!(rule.as_array().unwrap().contains(value), "{at} is {value}"),
            "oneOf" => {
                let fits = |way: &&Value| (way["type"] == "null") == value.is_null();
                holds(rule.as_array().unwrap().iter().find(fits).unwrap(), value, at);
            }
            // Failing ways say so on standard error: only the last word counts.
            "anyOf" => {
                let fits = |way: &Value| std::panic::catch_unwind(|| holds(way, value, at)).is_ok();
                assert!(
                    rule.as_array().unwrap().iter().any(fits),
                    "{at} fits in no way: {value}"
                );
            }
            "minimum" => assert!(number() >= rule.as_i64().unwrap(), "{at} is {value}"),
            "maximum" => assert!(number() <= rule.as_i64().unwrap(), "{at} is {value}"),
            "minLength" => assert!(!value.as_str().is_some_and(str::is_empty), "{at} is empty"),
            "format" => {
                if let Some(text) = value.as_str() {
                    let good = match rule.as_str().unwrap() {
                        "uuid" => text.parse::<uuid::Uuid>().is_ok(),
                        "date-time" => {
                            text.ends_with('Z') && text.parse::<chrono::DateTime<chrono::Utc>>().is_ok()
                        }
                        "date" => text.parse::<chrono::NaiveDate>().is_ok(),
                        "decimal" => text.parse::<rust_decimal::Decimal>().is_ok(),
                        other => panic!("an unknown format {other}"),
                    };
                    assert!(good, "{at} is {text}");
                }
            }
            "items" => {
                for (n, item) in value.as_array().into_iter().flatten().enumerate() {
                    holds(rule, item, &format!("{at}[{n}]"));
                }
            }
            "required" => {
                if let Some(object) = value.as_object() {
                    for name in rule.as_array().unwrap() {
                        assert!(object.contains_key(name.as_str().unwrap()), "{at} has no {name}");
                    }
                }
            }
            "properties" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    if let Some(rule) = rule.get(name) {
                        holds(rule, value, &format!("{at}.{name}"));
                    }
                }
            }
            "additionalProperties" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    match (schema["properties"].get(name), rule) {
                        (Some(_), _) => (),
                        (None, Value::Bool(allowed)) => assert!(allowed, "{at} has {name}"),
                        (None, rule) => holds(rule, value, &format!("{at}.{name}")),
                    }
                }
            }
            other => panic!("{at}: the checker does not know {other}"),
        }
    }
}

fn described(operation: &Operation) -> &'static Value {
    &DOCUMENT["paths"][operation.path][operation.method]
}

/// The path with something real in it.
pub async fn real(stage: &Stage, operation: &Operation) -> String {
    let table = if operation.path.contains("projects") {
        "cloud_projects"
    } else {
        "cloud_resources"
    };
    let query = format!(
        "SELECT id::text FROM {table} WHERE tenant_id = '{}' LIMIT 1",
        TENANTS[0].1
    );
    let id: String = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    let path = operation.path.replace("{id}", &id).replace("{kind}", "droplet");
    if !path.contains("{uuid}") {
        return path;
    }
    let oldest = "SELECT invoice_uuid FROM cloud_invoices WHERE NOT preview ORDER BY period LIMIT 1";
    let uuid: String = sqlx::query_scalar(oldest).fetch_one(&stage.pool).await.unwrap();
    path.replace("{uuid}", &uuid)
}

/// The account mirrored, its projects given to their tenants, its invoices ingested.
pub async fn billed() -> Books {
    let mut books = Books::with(Scenario::Default).await;
    books.stage = classify(books.stage).await;
    books.balance().await;
    books.history().await;
    books.ingest_all().await;
    books
}

#[test]
fn every_example_is_as_its_schema_says() {
    let mut held = 0;
    for (name, schema) in DOCUMENT["components"]["schemas"].as_object().unwrap() {
        holds(schema, &schema["examples"][0], name);
    }
    for methods in DOCUMENT["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            let responses = &operation["responses"];
            let good = responses.get("200").or(responses.get("202")).unwrap();
            let answer = &good["content"]["application/json"];
            let body = &operation["requestBody"]["content"]["application/json"];
            for content in [answer, body] {
                if !content["example"].is_null() {
                    holds(
                        &content["schema"],
                        &content["example"],
                        &operation["operationId"].to_string(),
                    );
                    held += 1;
                }
            }
        }
    }
    assert!(held > 10, "{held}");
}

#[tokio::test]
async fn every_answer_is_as_the_description_says() {
    let books = billed().await;
    let stage = &books.stage;
    let api = Api::over(&stage.database);
    let mut held = 0;
    for operation in operations()
        .into_iter()
        .filter(|operation| operation.method == "get")
    {
        let schema = &described(operation)["responses"]["200"]["content"]["application/json"]["schema"];
        let path = real(stage, operation).await;
        let tokens = if operation.access == Access::Operator {
            vec![operator()]
        } else {
            vec![operator(), tenant(TENANTS[0].1)]
        };
        for token in tokens {
            let answer = api.get(&path, &token).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text);
            if operation.id == "getOpenApi" || schema.is_null() {
                continue;
            }
            holds(schema, &answer.body, operation.id);
            if let Some(data) = answer.body["data"].as_array() {
                assert!(!data.is_empty(), "{path} has nothing to look at");
            }
            held += 1;
        }
    }
    assert!(held > 18, "{held}");
    let problem = &DOCUMENT["components"]["schemas"]["Problem"];
    for (path, token) in [
        ("/nothing", operator()),
        ("/api/v1/events?x=1", operator()),
        ("/api/v1/events", "x".into()),
    ] {
        holds(problem, &api.get(path, &token).await.body, path);
    }
    // What an operator has done to an invoice needs no body.
    for (id, status) in [("ingestInvoice", "202"), ("matchInvoice", "200")] {
        let operation = operations()
            .into_iter()
            .find(|operation| operation.id == id)
            .unwrap();
        let authorization = format!("Bearer {}", operator());
        let answer = api
            .ask("POST", &real(stage, operation).await, Some(&authorization))
            .await;
        assert_eq!(answer.status.to_string(), status, "{id}: {}", answer.text);
        let content = &described(operation)["responses"][status]["content"]["application/json"];
        holds(&content["schema"], &answer.body, id);
    }
    // Edits: what they take is what the example is, but for its names.
    for operation in operations()
        .into_iter()
        .filter(|operation| operation.method == "patch")
    {
        let body = &described(operation)["requestBody"]["content"]["application/json"]["example"];
        let answer = api
            .edit("PATCH", &real(stage, operation).await, &operator(), None, body)
            .await;
        assert_eq!(answer.status, 200, "{}: {}", operation.id, answer.text);
        holds(
            &described(operation)["responses"]["200"]["content"]["application/json"]["schema"],
            &answer.body,
            operation.id,
        );
    }
}

#[tokio::test]
async fn every_documented_parameter_is_accepted() {
    let books = billed().await;
    let stage = &books.stage;
    let api = Api::over(&stage.database);
    let mut accepted = 0;
    for operation in operations()
        .into_iter()
        .filter(|operation| operation.method == "get")
    {
        let path = real(stage, operation).await;
        for parameter in operation.parameters {
            let example = if parameter.name == "cursor" {
                let first = api.get(&format!("{path}?limit=1"), &operator()).await;
                first.body["page"]["next_cursor"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            } else {
                parameter.example.to_owned()
            };
            if example.is_empty() {
                continue;
            }
            let path = format!("{path}?{}={}", parameter.name, encoded(&example));
            let path = if parameter.name == "cursor" {
                format!("{path}&limit=1")
            } else {
                path
            };
            let status = api.get(&path, &operator()).await.status;
            // A single thing may not have been there at the example's moment.
            assert!(
                status == 200 || (status == 404 && parameter.name == "as_of"),
                "{path}: {status}"
            );
            accepted += 1;
        }
    }
    assert!(accepted > 45, "{accepted}");
}

#[tokio::test]
async fn the_inventory_is_the_same_in_every_form() {
    let stage = classified().await;
    let api = Api::over(&stage.database);
    for token in [operator(), tenant(TENANTS[0].1)] {
        let authorization = format!("Bearer {token}");
        let items = api.all("/api/v1/inventory?sort=-name&limit=4", &token).await;
        for (accept, media_type) in [
            ("application/x-ndjson", "application/x-ndjson"),
            ("text/csv", "text/csv; charset=utf-8; header=present"),
        ] {
            let (mut lines, mut next) = (Vec::new(), "/api/v1/inventory?sort=-name&limit=4".to_owned());
            loop {
                let headers = [("authorization", authorization.as_str()), ("accept", accept)];
                let answer = api.send("GET", &next, &headers, "").await;
                assert_eq!(
                    (answer.status, &answer.headers["content-type"]),
                    (200, &media_type.parse().unwrap())
                );
                let skipped = usize::from(accept == "text/csv");
                if skipped == 1 {
                    assert!(answer.text.starts_with("id,kind,provider,"), "{}", answer.text);
                }
                lines.extend(answer.text.lines().skip(skipped).map(str::to_owned));
                let Some(link) = answer.headers.get("link") else {
                    break;
                };
                let link = link.to_str().unwrap();
                next = link.trim_start_matches('<').split('>').next().unwrap().to_owned();
            }
            assert_eq!(lines.len(), items.len(), "{accept}");
            for (line, item) in lines.iter().zip(&items) {
                if accept == "text/csv" {
                    let text = |field: &str| item[field].as_str().unwrap();
                    let begin = format!("{},{},digitalocean,", text("id"), text("kind"));
                    assert!(line.starts_with(&begin), "{line}");
                    assert!(line.contains(item["name"].as_str().unwrap()));
                } else {
                    assert_eq!(&serde_json::from_str::<Value>(line).unwrap(), item);
                }
            }
        }
        let html = [("authorization", authorization.as_str()), ("accept", "text/html")];
        let refused = api.send("GET", "/api/v1/inventory", &html, "").await;
        assert_eq!(refused.status, 406);
        assert!(refused.body["detail"].as_str().unwrap().contains("text/csv"));
    }
}
