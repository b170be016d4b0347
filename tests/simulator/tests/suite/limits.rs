//! The two rate limits and their headers.

use std::time::Duration;

use simulator::Limits;

use crate::client::Client;

fn number(got: &crate::client::Got, name: &str) -> u64 {
    got.header(name)
        .unwrap_or_else(|| panic!("no {name}"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn the_minute_limit_says_when_to_come_back() {
    let client = Client::default();
    client.simulator.set_limits(Limits {
        per_minute: 3,
        ..Limits::default()
    });
    for remaining in [4999, 4998, 4997] {
        let got = client.get("/v2/account").await;
        assert_eq!(
            (got.status, number(&got, "ratelimit-remaining")),
            (200, remaining)
        );
        assert_eq!(number(&got, "ratelimit-limit"), 5000);
    }
    let got = client.get("/v2/account").await;
    assert_eq!(
        (got.status, got.json()["id"].as_str()),
        (429, Some("too_many_requests"))
    );
    assert_eq!(number(&got, "ratelimit-remaining"), 0);
    let wait = number(&got, "retry-after");
    assert!((1..=60).contains(&wait));
    assert_eq!(client.simulator.blocked(), 1);
    client.simulator.advance(Duration::from_secs(wait));
    assert_eq!(client.get("/v2/account").await.status, 200);
}

#[tokio::test]
async fn the_hour_limit_slides() {
    let client = Client::default();
    client.simulator.set_limits(Limits {
        per_hour: 2,
        ..Limits::default()
    });
    client.get("/v2/account").await;
    client.simulator.advance(Duration::from_secs(600));
    let second = client.get("/v2/account").await;
    let got = client.get("/v2/account").await;
    assert_eq!((got.status, got.header("retry-after")), (429, None));
    // Until the oldest expires, ten minutes less than an hour from here; then one fits, not two.
    assert_eq!(
        number(&got, "ratelimit-reset"),
        number(&second, "ratelimit-reset")
    );
    client.simulator.advance(Duration::from_secs(3001));
    assert_eq!(client.get("/v2/account").await.status, 200);
    assert_eq!(client.get("/v2/account").await.status, 429);
    assert_eq!(client.simulator.blocked(), 2);
}

#[tokio::test]
async fn limits_can_be_off() {
    let client = Client::default();
    client.simulator.set_limits(Limits {
        per_minute: 1,
        enabled: false,
        ..Limits::default()
    });
    for _ in 0..5 {
        assert_eq!(client.get("/v2/account").await.status, 200);
    }
}

#[tokio::test]
async fn requests_in_flight_are_counted() {
    let client = Client::default();
    client.simulator.set_latency(40);
    tokio::join!(
        client.get("/v2/account"),
        client.get("/v2/account"),
        client.get("/v2/account")
    );
    assert_eq!(client.simulator.peak_in_flight(), 3);
}
