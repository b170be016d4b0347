//! Faults of status, headers and bytes, as reqwest sees them, and how faults pick their requests.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use simulator::{Fault, FaultKind, Options, Token};

use crate::client::Client;

fn with(name: &str) -> Client {
    let client = Client::default();
    client
        .simulator
        .fault(Fault::new(FaultKind::named(name).unwrap()));
    client
}

#[tokio::test]
async fn statuses() {
    for (name, status, json) in [
        ("burst_429", 429, true),
        ("hourly_429", 429, true),
        ("status_500", 500, true),
        ("status_502_html", 502, false),
        ("status_503", 503, true),
        ("status_504", 504, false),
        ("unauthorized_401", 401, true),
        ("not_found_404", 404, true),
        ("lost_scope_403", 403, true),
        ("redirect", 302, false),
        ("html_200", 200, false),
        ("empty_body_200", 200, false),
    ] {
        let got = with(name).get("/v2/droplets").await;
        assert_eq!(got.status, status, "{name}");
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&got.body).is_ok(),
            json,
            "{name}"
        );
    }
}

#[tokio::test]
async fn headers() {
    let burst = with("burst_429").get("/v2/droplets").await;
    assert_eq!(
        (burst.header("retry-after"), burst.header("ratelimit-remaining")),
        (Some("1"), Some("0"))
    );
    let hourly = with("hourly_429").get("/v2/droplets").await;
    assert_eq!(
        (hourly.header("retry-after"), hourly.header("ratelimit-remaining")),
        (None, Some("0"))
    );
    assert!(hourly.header("ratelimit-reset").is_some());
    let gateway = with("status_502_html").get("/v2/droplets").await;
    assert_eq!(gateway.header("ratelimit-limit"), None);
    let moved = with("redirect").get("/v2/droplets?page=2").await;
    assert_eq!(
        moved.header("location"),
        Some("http://other-host.invalid/v2/droplets?page=2")
    );
    let wrong = with("wrong_content_type").get("/v2/droplets").await;
    assert_eq!(
        (
            wrong.header("content-type"),
            wrong.json()["meta"]["total"].clone()
        ),
        (Some("text/html"), json!(32))
    );
}

#[tokio::test]
async fn connections_break() {
    for name in ["reset", "hang", "truncated_body", "truncated_gzip", "lost_answer"] {
        let mut client = with(name);
        client.patience = Duration::from_millis(if name == "hang" { 150 } else { 5_000 });
        let error = client
            .send(Method::GET, "/v2/droplets", None)
            .await
            .err()
            .unwrap_or_else(|| panic!("{name}"));
        let expected = match name {
            "hang" => error.is_timeout(),
            "reset" | "lost_answer" => error.is_request() && !error.is_timeout(),
            _ => error.is_body() || error.is_decode(),
        };
        assert!(expected, "{name}: {error:?}");
        client.simulator.clear_faults();
        client.patience = Duration::from_secs(5);
        assert_eq!(
            client.get("/v2/droplets").await.status,
            200,
            "the next connection works"
        );
    }
}

#[tokio::test]
async fn a_lost_answer_was_carried_out_and_a_reset_was_not() {
    let wanted = |name: &str| Some(json!({"name": name, "purpose": "IoT"}));
    let client = Client::default();
    let id = client
        .simulator
        .fault(Fault::new(FaultKind::Reset).method("POST"));
    assert!(
        client
            .send(Method::POST, "/v2/projects", wanted("one"))
            .await
            .is_err()
    );
    assert_eq!(client.simulator.project_id("one"), None);
    assert!(client.simulator.clear_fault(id));
    client
        .simulator
        .fault(Fault::new(FaultKind::LostAnswer).method("POST"));
    assert!(
        client
            .send(Method::POST, "/v2/projects", wanted("two"))
            .await
            .is_err()
    );
    assert!(client.simulator.project_id("two").is_some());
    let last = client.simulator.requests().pop().unwrap();
    assert_eq!((last.status, last.fault.as_deref()), (0, Some("lost_answer")));
}

#[tokio::test]
async fn bodies_break() {
    let short = with("truncated_json").get("/v2/droplets").await;
    assert!(short.status == 200 && serde_json::from_slice::<serde_json::Value>(&short.body).is_err());
    let bytes = with("invalid_utf8").get("/v2/droplets").await.body;
    assert!(std::str::from_utf8(&bytes).is_err());
    for chunked in [false, true] {
        let client = Client::default();
        client.simulator.fault(Fault::new(FaultKind::OversizedBody {
            bytes: 9 << 20,
            chunked,
        }));
        let big = client.get("/v2/droplets").await;
        assert_eq!(big.header("content-length").is_none(), chunked);
        assert!(big.body.len() > 8 << 20 && big.json()["meta"]["total"] == 32);
    }
}

#[tokio::test]
async fn answers_are_late() {
    for name in ["slow", "trickle"] {
        let (client, started) = (with(name), Instant::now());
        assert_eq!(client.get("/v2/droplets").await.json()["meta"]["total"], 32);
        assert!(started.elapsed() >= Duration::from_millis(150), "{name}");
    }
}

#[tokio::test]
async fn a_fault_picks_its_requests() {
    let tokens = vec![Token::new("one", "1"), Token::new("two", "2")];
    let mut client = Client::with(Options {
        tokens,
        ..Options::default()
    });
    let gone = Fault::new(FaultKind::NotFound404);
    client
        .simulator
        .fault(gone.clone().on("/v2/droplets").query("type=gpus").skip(1).once());
    client
        .simulator
        .fault(gone.clone().exactly_on("/v2/projects").token("two"));
    // A list's fault leaves everything else alone.
    client
        .simulator
        .fault(Fault::new(FaultKind::NullList).on("/v2/account"));
    client.token = "1".to_owned();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(client.get("/v2/droplets?type=gpus").await.status);
    }
    assert_eq!(statuses, [200, 404, 200]);
    assert_eq!(client.get("/v2/droplets").await.status, 200);
    assert_eq!(client.get("/v2/projects").await.status, 200);
    assert_eq!(client.get("/v2/account").await.status, 200);
    client.token = "2".to_owned();
    assert_eq!(client.get("/v2/projects").await.status, 404);
    assert_eq!(client.get("/v2/projects/default").await.status, 200);
    let fired: Vec<_> = client
        .simulator
        .faults()
        .iter()
        .map(|fault| fault.fired)
        .collect();
    assert_eq!(fired, [1, 1, 0]);
}
