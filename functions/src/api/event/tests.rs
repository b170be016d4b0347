//! Hostile events: none may end the process, none may be answered with a 5xx.

use std::sync::Arc;

use axum::routing::get;
use serde_json::{Value, json};
use shared::config::Environment;
use shared::secrets::Secrets;

use super::*;
use crate::api;

fn router() -> Router {
    let config = Environment::of([
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing"),
        ("GUARDIAN_SECRET_KEY", "a secret of at least thirty-two bytes"),
    ]);
    api::router(Arc::new(api::State::new(
        config.api().unwrap(),
        Secrets::default(),
    )))
}

fn event(path: &str, query: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": query,
        "headers": { "host": "api.example.com", "x-forwarded-proto": "https" },
        "requestContext": { "http": { "method": "GET", "path": path }, "stage": "$default", "requestId": "r-1=" },
        "isBase64Encoded": false
    })
}

/// A good event with one thing changed.
fn with(pointer: &str, value: Value) -> Value {
    let mut event = event("/api/health", "");
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    event.pointer_mut(parent).unwrap()[member] = value;
    event
}

fn body(text: &str, encoded: bool) -> Value {
    let mut event = with("/body", json!(text));
    event["isBase64Encoded"] = json!(encoded);
    event
}

async fn status(event: &str) -> u16 {
    let answer = handle(router(), event, "lambda-1").await;
    let id = answer.headers["x-request-id"].clone();
    if answer.status_code >= 400 {
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        assert_eq!(problem["status"], answer.status_code);
        assert_eq!(problem["request_id"], id.as_str());
    }
    answer.status_code
}

#[tokio::test]
async fn a_usual_event_is_answered() {
    let answer = handle(router(), &event("/api/health", "").to_string(), "lambda-1").await;
    assert_eq!((answer.status_code, answer.is_base64_encoded), (200, false));
    assert_eq!(answer.headers["x-request-id"], "r-1=");
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["vary"], "authorization, origin");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        body,
        json!({ "status": "ok", "service": "arcadia-cloud", "version": env!("CARGO_PKG_VERSION") })
    );
}

#[tokio::test]
async fn a_compressed_answer_travels_as_base64() {
    let mut event = event("/openapi.json", "");
    event["headers"]["accept-encoding"] = json!("br, gzip");
    let answer = handle(router(), &event.to_string(), "lambda-1").await;
    assert_eq!((answer.status_code, answer.is_base64_encoded), (200, true));
    assert_eq!(answer.headers["content-encoding"], "gzip");
    assert_eq!(STANDARD.decode(&answer.body).unwrap()[..2], [0x1f, 0x8b]);
    assert!(!answer.headers.contains_key("content-length"));
}

#[tokio::test]
async fn stages_are_taken_off_the_path() {
    for (path, stage, expected) in [
        ("/api/health", json!("$default"), 200),
        ("/api/health", Value::Null, 200),
        ("/api/health", json!("prod"), 200),
        ("/prod/api/health", json!("prod"), 200),
        ("/prod/prod/api/health", json!("prod"), 404),
        ("/production/api/health", json!("prod"), 404),
        ("/prod", json!("prod"), 404),
        ("/prod/api/health", json!("$default"), 404),
    ] {
        let mut event = with("/requestContext/stage", stage.clone());
        event["rawPath"] = json!(path);
        assert_eq!(status(&event.to_string()).await, expected, "{path} {stage}");
    }
    assert_eq!(split_stage("/prod/api", Some("prod")), ("/prod", "/api"));
    assert_eq!(split_stage("/prod", Some("prod")), ("/prod", ""));
    assert_eq!(split_stage("", Some("prod")), ("", ""));
}

#[tokio::test]
async fn hostile_events_are_answered_with_a_4xx() {
    let long = |length: usize| "x".repeat(length);
    let many: serde_json::Map<String, Value> = (0..40_000).map(|n| (format!("h{n}"), json!("v"))).collect();
    let h = "/api/health";
    let events: Vec<(u16, Value)> = vec![
        // Queries.
        (400, event(h, "a b")),
        (400, event(h, "a=\"x\"")),
        (400, event(h, "a=<script>")),
        (400, event(h, "a=\u{0}")),
        (400, event(h, "a=\r\nSet-Cookie: x")),
        (400, event(h, "a=\u{7f}")),
        (400, event(h, "a=ä")),
        (400, event(h, "a=\u{1f980}")),
        (400, event(h, "a#b")),
        (400, event(h, "a={}|\\^`")),
        (414, event(h, &long(64 * 1024))),
        (414, event(h, &long(1024 * 1024))),
        // Paths.
        (404, event("", "")),
        (404, event("/", "")),
        (404, event("//evil.example/api/health", "")),
        (404, event("//api/health", "")),
        (404, event("/api/health/", "")),
        (404, event("/API/health", "")),
        (404, event("/api/v1/../../api/health", "")),
        (404, event("/api/%2e%2e/api/health", "")),
        (404, event("/api%2fhealth", "")),
        (404, event("/api\\health", "")),
        (404, event("/api/health?x=1", "")),
        (404, event("/api/health#x", "")),
        (404, event("/api/health\u{0}", "")),
        (404, event("/api/\r\nhealth", "")),
        (404, event("/api/ä", "")),
        (404, event("/%", "")),
        (404, event("/%zz%ff", "")),
        (404, event(":99999/x", "")),
        (404, event("http://evil.example/api/health", "")),
        (404, event("*", "")),
        (404, event("@evil.example", "")),
        (414, event(&format!("/{}", long(65_536)), "")),
        (400, with("/rawPath", json!(7))),
        (400, with("/rawPath", Value::Null)),
        // Methods.
        (400, with("/requestContext/http/method", json!(""))),
        (400, with("/requestContext/http/method", json!("GE T"))),
        (400, with("/requestContext/http/method", json!("GET\r\n"))),
        (400, with("/requestContext/http/method", json!(["GET"]))),
        (405, with("/requestContext/http/method", json!("get"))),
        (405, with("/requestContext/http/method", json!("BREW"))),
        (405, with("/requestContext/http/method", json!("TRACE"))),
        (405, with("/requestContext/http/method", json!(long(5_000)))),
        (405, with("/requestContext/http/method", json!("CONNECT"))),
        // Headers.
        (400, with("/headers/bad name", json!("x"))),
        (400, with("/headers/", json!("x"))),
        (400, with("/headers/x", json!("a\r\nb: c"))),
        (400, with("/headers/x", json!("\u{0}"))),
        (400, with("/headers/x", json!(7))),
        (400, with("/headers/x", json!(["a", "b"]))),
        (400, with("/headers", json!("host: x"))),
        (400, with("/headers", json!([["host", "x"]]))),
        (431, with("/headers/x", json!(long(20_000)))),
        (431, with("/headers", Value::Object(many))),
        // Bodies.
        (400, body("not base64!", true)),
        (400, body("YQ", true)),
        (400, body("YQ=", true)),
        (400, body("\u{1f980}", true)),
        (413, body(&long(16 * 1024 + 1), false)),
        (413, body(&long(5_000_000), false)),
        (400, with("/body", json!({ "a": 1 }))),
        (400, with("/isBase64Encoded", json!("yes"))),
        // Other triggers, and nothing at all.
        (400, json!({})),
        (400, json!([])),
        (400, json!(null)),
        (400, json!("GET /api/health")),
        (400, json!(42)),
        (
            400,
            json!({ "Records": [{ "eventSource": "aws:sqs", "body": "{}" }] }),
        ),
        (400, json!({ "scheduled_time": "2026-01-01T00:00:00Z" })),
        (
            400,
            json!({ "httpMethod": "GET", "path": h, "requestContext": { "stage": "prod" } }),
        ),
        (
            400,
            json!({ "rawPath": h, "requestContext": { "elb": { "targetGroupArn": "x" } } }),
        ),
        (
            400,
            with(
                "/requestContext",
                json!({ "routeKey": "$connect", "eventType": "CONNECT" }),
            ),
        ),
    ];
    for (expected, event) in events {
        let shown: String = event.to_string().chars().take(300).collect();
        assert_eq!(status(&event.to_string()).await, expected, "{shown}");
    }
}

#[tokio::test]
async fn texts_that_are_no_usual_json_are_answered_too() {
    let nested = format!(
        "{{\"rawPath\":\"/\",\"x\":{}{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let good = event("/api/health", "").to_string();
    for text in [
        "",
        "GET / HTTP/1.1",
        "{\"rawPath\":\"/\\ud800\"}",
        "{\"rawPath\":\"/\",\"rawPath\":\"/api/health\"}",
        &nested,
        good.split_at(good.len() - 1).0,
        &good.replacen("/api/health", "/\\udfff", 1),
    ] {
        assert_eq!(status(text).await, 400, "{:.80}", text);
    }
}

#[tokio::test]
async fn hosts_protocols_and_ids_are_not_trusted() {
    for (header, value) in [
        ("host", "a b"),
        ("host", "[::1"),
        ("host", "x:99999"),
        ("host", ""),
        ("host", "ä"),
        ("x-forwarded-proto", "https, http"),
        ("x-forwarded-proto", "javascript:"),
        ("x-forwarded-port", "99999"),
        ("x-request-id", "mine"),
        ("content-length", "-1"),
        ("transfer-encoding", "chunked"),
    ] {
        let answer = handle(
            router(),
            &with(&format!("/headers/{header}"), json!(value)).to_string(),
            "l",
        )
        .await;
        assert_eq!(
            (answer.status_code, answer.headers["x-request-id"].as_str()),
            (200, "r-1="),
            "{header}"
        );
    }
    let answer = handle(
        router(),
        &with("/requestContext/requestId", json!("a\nb")).to_string(),
        "lambda-1",
    )
    .await;
    assert_eq!(answer.headers["x-request-id"], "lambda-1");
    assert_eq!(status(&with("/headers/x", Value::Null).to_string()).await, 200);
    assert_eq!(status(&with("/headers", Value::Null).to_string()).await, 200);
}

#[tokio::test]
async fn bytes_go_out_as_base64_and_repeated_headers_as_one() {
    let app = Router::new().route(
        "/x",
        get(|| async {
            (
                [("link", "<a>"), ("link", "<b>")],
                axum::response::AppendHeaders([("link", "<c>")]),
                vec![255_u8],
            )
        }),
    );
    let answer = handle(app, &event("/x", "").to_string(), "l").await;
    assert_eq!((answer.body.as_str(), answer.is_base64_encoded), ("/w==", true));
    assert_eq!(answer.headers["link"], "<b>, <c>");
}
