//! The control endpoint does what the handle does.

use reqwest::Method;
use serde_json::json;
use simulator::FAULT_NAMES;

use crate::client::Client;

#[tokio::test]
async fn droplets_by_curl() {
    let client = Client::default();
    let made = client
        .post(
            "/_sim/droplets",
            json!({"name": "by-hand", "tags": ["a"], "project": "Operations"}),
        )
        .await;
    assert_eq!((made.status, made.json()["tags"].clone()), (201, json!(["a"])));
    let path = format!("/_sim/droplets/{}", made.json()["id"]);
    let changed = client
        .send(Method::PATCH, &path, Some(json!({"name": "renamed"})))
        .await
        .unwrap();
    assert_eq!(changed.json()["name"], "renamed");
    let generic = path.replace("/_sim/droplets", "/_sim/collections/droplets/items");
    assert_eq!(client.get(&generic).await.json()["name"], "renamed");
    assert_eq!(
        client.send(Method::DELETE, &generic, None).await.unwrap().status,
        204
    );
    assert_eq!(client.get(&path).await.status, 404);
    assert_eq!(client.get("/_sim/unknown").await.status, 404);
    assert_eq!(
        client.get("/_sim/droplets").await.json()["items"]
            .as_array()
            .unwrap()
            .len(),
        34
    );
}

#[tokio::test]
async fn projects_by_curl() {
    let client = Client::default();
    let made = client
        .post("/_sim/projects", json!({"name": "New Tenant", "purpose": "IoT"}))
        .await
        .json();
    let urn = format!("do:droplet:{}", client.simulator.items("droplets")[0]["id"]);
    let path = format!("/_sim/projects/{}/assign", made["id"].as_str().unwrap());
    assert_eq!(client.post(&path, json!({"resources": [urn]})).await.status, 204);
    let members = client.get("/_sim/members").await.json()["members"].clone();
    assert!(
        members
            .as_array()
            .unwrap()
            .contains(&json!({"urn": urn, "project": made["id"]}))
    );
    let row = format!("/_sim/members/{urn}");
    client
        .send(Method::PATCH, &row, Some(json!({"status": "service_down"})))
        .await
        .unwrap();
    let rows = client
        .get(&format!(
            "/v2/projects/{}/resources",
            made["id"].as_str().unwrap()
        ))
        .await
        .json();
    assert_eq!(rows["resources"][0]["status"], "service_down");
}

#[tokio::test]
async fn faults_by_curl() {
    let client = Client::default();
    let fault = json!({"kind": "status_500", "on": {"path": "/v2/droplets", "page": 2}, "times": 1});
    let id = client.post("/_sim/faults", fault).await.json()["id"].clone();
    assert_eq!(client.get("/v2/droplets").await.status, 200);
    assert_eq!(client.get("/v2/droplets?page=2").await.status, 500);
    assert_eq!(client.get("/v2/droplets?page=2").await.status, 200);
    let listed = client.get("/_sim/faults").await.json();
    assert_eq!(
        (&listed["faults"][0]["fired"], &listed["kinds"]),
        (&json!(1), &json!(FAULT_NAMES))
    );
    assert_eq!(
        client
            .send(Method::DELETE, &format!("/_sim/faults/{id}"), None)
            .await
            .unwrap()
            .status,
        204
    );
    assert_eq!(
        client
            .post("/_sim/faults", json!({"kind": "gremlins"}))
            .await
            .status,
        422
    );
    client
        .post("/_sim/faults", json!({"kind": "slow", "ms": 1}))
        .await;
    client.send(Method::DELETE, "/_sim/faults", None).await.unwrap();
    assert_eq!(client.get("/_sim/faults").await.json()["faults"], json!([]));
}

#[tokio::test]
async fn settings_log_and_reset_by_curl() {
    let client = Client::default();
    let put = |body| client.send(Method::PUT, "/_sim/settings", Some(body));
    let set = put(json!({"limits": {"per_minute": 1}})).await.unwrap().json();
    assert_eq!(
        (&set["limits"]["per_minute"], &set["limits"]["per_hour"]),
        (&json!(1), &json!(5000))
    );
    client.get("/v2/account").await;
    assert_eq!(client.get("/v2/account").await.status, 429);
    put(json!({"limits": "off", "latency_ms": 1})).await.unwrap();
    assert_eq!(client.get("/v2/account").await.status, 200);
    assert_eq!(put(json!({"unknown": 1})).await.unwrap().status, 422);
    let log = client.get("/_sim/requests?status=429&limit=5").await.json();
    assert_eq!(
        (log["requests"].as_array().unwrap().len(), &log["blocked"]),
        (1, &json!(1))
    );
    client.send(Method::DELETE, "/_sim/requests", None).await.unwrap();
    assert!(client.simulator.requests().is_empty());

    let done = client
        .post("/_sim/churn", json!({"seed": 3, "count": 3}))
        .await
        .json();
    assert_eq!(done["changed"].as_array().unwrap().len(), 1);
    let state = client
        .post("/_sim/reset", json!({"seed": 5, "droplets": 40}))
        .await
        .json();
    assert_eq!(
        (&state["collections"]["droplets"], &state["seed"]),
        (&json!(40), &json!(5))
    );
    assert_eq!(
        client
            .post("/_sim/reset", json!({"scenario": "empty"}))
            .await
            .json()["members"],
        0
    );
    assert_eq!(
        client
            .post("/_sim/reset", json!({"scenario": "mars"}))
            .await
            .status,
        422
    );
    assert_eq!(
        client.get("/_sim/state").await.json()["settings"]["latency_ms"],
        1
    );
}

#[tokio::test]
async fn tokens_clock_and_bodies_by_curl() {
    let mut client = Client::default();
    client
        .post(
            "/_sim/tokens",
            json!({"name": "narrow", "token": "n", "scopes": ["account:read"]}),
        )
        .await;
    client
        .post(
            "/_sim/serve",
            json!({"path": "/v2/account", "body": {"own": true}}),
        )
        .await;
    assert_eq!(
        client
            .post("/_sim/clock", json!({"advance_seconds": 60}))
            .await
            .status,
        204
    );
    assert_eq!(client.post("/_sim/clock", json!({})).await.status, 422);
    client.token = "n".to_owned();
    assert_eq!(client.get("/v2/account").await.json(), json!({"own": true}));
    assert_eq!(client.get("/v2/droplets").await.status, 403);
    client.post("/_sim/tokens", json!({"name": "narrow"})).await;
    assert_eq!(client.get("/v2/droplets").await.status, 200);
}
