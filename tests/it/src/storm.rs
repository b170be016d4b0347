//! Hostile events, made up at random, for the compiled binary under Lambda's own protocol.
//!
//! Usual events of every route with some of them broken: members gone, replaced, doubled in size, of another type; raw
//! bytes where text belongs. Whatever comes, the process lives on and answers each, and never with a 5xx.

use axum::http::StatusCode;
use functions::api::operations;
use harness::sandbox::Outcome;
use harness::tokens;
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use simulator::Scenario;

use crate::binaries::request;
use crate::deployment::{Deployment, GUARDIAN, lines};

#[tokio::test]
async fn hostile_events_leave_the_binary_alive() {
    events(1_000, 41).await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_hostile_events_leave_the_binary_alive() {
    events(10_000, 42).await;
}

async fn events(count: usize, seed: u64) {
    println!("seed {seed}");
    let deployment = Deployment::with(Scenario::Empty).await;
    let api = deployment.sandbox("api", &[]).await;
    let token = tokens::operator(GUARDIAN, tokens::now());
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut refused, mut answered) = (0, 0);
    for at in 0..count {
        let event = hostile(&mut random, &token);
        let Outcome::Ok(answer) = api.invoke(&event).await else {
            panic!("event {at} of seed {seed} ended it: {event}\n{}", api.stdout())
        };
        let status = answer["statusCode"].as_u64().unwrap_or_default();
        let shown = || format!("event {at} of seed {seed}: {event}\n{answer}");
        assert!((200..500).contains(&status), "{}", shown());
        if status < 400 {
            answered += 1;
        } else {
            let problem: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap_or_default();
            // An answer to HEAD has none.
            assert!(problem["status"] == status || answer["body"] == "", "{}", shown());
            assert_eq!(
                answer["headers"]["content-type"],
                "application/problem+json",
                "{}",
                shown()
            );
            refused += 1;
        }
        assert!(answer["headers"]["x-request-id"].is_string(), "{}", shown());
    }
    assert!(
        refused > count / 4 && answered > count / 20,
        "{refused} refused, {answered} answered"
    );
    assert!(api.ended().is_none());
    let errors = lines(&api).into_iter().filter(|line| line["level"] == "ERROR");
    assert_eq!(errors.collect::<Vec<_>>(), Vec::<Value>::new());
    assert_eq!(
        StatusCode::OK.as_u16(),
        status(&api.invoke(&request("/api/health", "", None)).await)
    );
}

/// What cargo lambda watch cannot carry, and `make fuzz` therefore leaves out; and a browser's question before it asks.
#[tokio::test]
async fn odd_bytes_and_preflights_come_as_api_gateway_sends_them() {
    const ORIGIN: &str = "https://app.example.com";
    let deployment = Deployment::with(Scenario::Empty).await;
    let api = deployment.sandbox("api", &[("CORS_ALLOW_ORIGINS", ORIGIN)]).await;
    let token = tokens::operator(GUARDIAN, tokens::now());
    let mut edit = request("/api/v1/listings/droplet/release", "", Some(&token));
    edit["requestContext"]["http"]["method"] = json!("POST");
    edit["headers"]["content-type"] = json!("application/json");
    edit["isBase64Encoded"] = json!(true);
    for bytes in ["bUP/", "/w==", "AA==", "eyJyZWFzb24iOiAi/yJ9"] {
        edit["body"] = json!(bytes);
        assert_eq!(status(&api.invoke(&edit).await), 400, "{bytes}");
    }
    let mut look = request("/api/v1/inventory/summary", "", Some(&token));
    for value in ["pÌ4ër", "à\"fÜ", "\u{1f980}"] {
        look["headers"]["if-none-match"] = json!(value);
        assert_eq!(status(&api.invoke(&look).await), 200, "{value}");
    }
    let mut preflight = request("/api/v1/inventory", "", None);
    preflight["requestContext"]["http"]["method"] = json!("OPTIONS");
    preflight["headers"]["access-control-request-method"] = json!("GET");
    preflight["headers"]["access-control-request-headers"] = json!("authorization");
    for (origin, allowed) in [
        (ORIGIN, true),
        ("https://app.example.com.evil.example", false),
        ("null", false),
    ] {
        preflight["headers"]["origin"] = json!(origin);
        let Outcome::Ok(answer) = api.invoke(&preflight).await else {
            panic!("no answer")
        };
        let header = answer["headers"].get("access-control-allow-origin");
        assert_eq!(header, allowed.then_some(&json!(ORIGIN)), "{answer}");
        assert_eq!(answer["statusCode"], 200, "{answer}");
    }
}

fn status(outcome: &Outcome) -> u16 {
    let Outcome::Ok(answer) = outcome else { return 0 };
    answer["statusCode"].as_u64().unwrap() as u16
}

/// A usual event with up to four things wrong.
fn hostile(random: &mut ChaCha8Rng, token: &str) -> Value {
    let all = operations();
    let operation = all.choose(random).unwrap();
    let path = operation
        .path
        .replace("{id}", "0197e7a0-0000-7000-8000-000000000001")
        .replace("{kind}", "droplet")
        .replace("{uuid}", "preview");
    let query = operation.parameters.choose(random);
    let query = query.map_or_else(String::new, |one| format!("{}={}", one.name, one.example));
    let mut event = request(&path, &query, random.random_bool(0.8).then_some(token));
    event["requestContext"]["http"]["method"] = json!(operation.method.to_ascii_uppercase());
    if operation.body.is_some() {
        event["headers"]["content-type"] = json!("application/json");
        event["body"] = json!(r#"{"reason": "a test", "tenant_id": "larkspur"}"#);
    }
    for _ in 0..random.random_range(0..=4) {
        wrong(random, &mut event);
    }
    event
}

fn wrong(random: &mut ChaCha8Rng, event: &mut Value) {
    const PLACES: [&str; 16] = [
        "rawPath",
        "rawQueryString",
        "headers",
        "requestContext",
        "isBase64Encoded",
        "body",
        "version",
        "cookies",
        "headers.host",
        "headers.accept",
        "headers.authorization",
        "headers.content-type",
        "headers.if-match",
        "headers.accept-encoding",
        "requestContext.http",
        "requestContext.stage",
    ];
    const WITHIN: [&str; 4] = ["method", "path", "protocol", "sourceIp"];
    let mut names: Vec<&str> = PLACES.choose(random).unwrap().split('.').collect();
    if names.last() == Some(&"http") && random.random_bool(0.7) {
        names.push(WITHIN.choose(random).unwrap());
    }
    let (last, parents) = names.split_last().unwrap();
    let mut place = &mut *event;
    for name in parents {
        if !place[*name].is_object() {
            place[*name] = json!({});
        }
        place = &mut place[*name];
    }
    let Some(object) = place.as_object_mut() else {
        return;
    };
    match random.random_range(0..4) {
        0 => drop(object.remove(*last)),
        1 => drop(object.insert(any_text(random, 24), value(random))),
        _ => drop(object.insert((*last).to_owned(), value(random))),
    }
}

fn value(random: &mut ChaCha8Rng) -> Value {
    match random.random_range(0..12) {
        0 => Value::Null,
        1 => json!(random.random::<bool>()),
        2 => json!(random.random::<i64>()),
        3 => json!(random.random::<f64>() * 1e300),
        4 => json!([value(random), "x"]),
        5 => json!({ any_text(random, 8): value(random) }),
        6 => json!("%".repeat(random.random_range(1..70_000))),
        7 => json!(format!("/api/v1/inventory/{}", any_text(random, 40))),
        8 => json!(
            ["GET", "HEAD", "OPTIONS", "PATCH", "get", "BREW", "G T", ""]
                .choose(random)
                .unwrap()
        ),
        9 => (0..random.random_range(1..200)).fold(json!(1), |inner, _| json!([inner])),
        _ => json!(any_text(random, 300)),
    }
}

/// Text of every sort: ASCII, control characters, what URLs and headers give a meaning, other scripts.
fn any_text(random: &mut ChaCha8Rng, longest: usize) -> String {
    const ODD: [char; 24] = [
        '\0',
        '\n',
        '\r',
        '\t',
        '\u{7f}',
        '\u{85}',
        '\u{202e}',
        '\u{fffd}',
        '\u{1f600}',
        'ä',
        '𝕊',
        '%',
        '/',
        '\\',
        '?',
        '#',
        '&',
        '=',
        ';',
        ':',
        '@',
        '[',
        '"',
        ' ',
    ];
    let length = random.random_range(0..longest);
    let one = |random: &mut ChaCha8Rng| match random.random_range(0..3) {
        0 => *ODD.choose(random).unwrap(),
        1 => char::from(random.random_range(0..128_u8)),
        _ => char::from(random.random_range(b'a'..=b'z')),
    };
    (0..length).map(|_| one(random)).collect()
}
