//! Lists, pages, filters and single items, for droplets and (in the definitions' own words) anything else.

use serde_json::{Value, json};

use crate::client::{Client, ids};

#[tokio::test]
async fn a_walk_sees_everything_once() {
    let client = Client::default();
    let mut seen = client.walk("/v2/droplets", "droplets").await;
    seen.extend(client.walk("/v2/droplets?type=gpus", "droplets").await);
    assert_eq!(seen, client.simulator.items("droplets"));
    let mut unique = ids(&seen);
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), seen.len());
}

#[tokio::test]
async fn the_envelope_says_where_a_page_stands() {
    let client = Client::default();
    let url = client.simulator.url();
    let link = |page: u64| Value::from(format!("{url}/v2/droplets?per_page=15&page={page}"));
    let first = client.get("/v2/droplets?per_page=15").await.json();
    assert_eq!(
        first["links"],
        json!({"pages": {"next": link(2), "last": link(3)}})
    );
    assert_eq!(first["meta"], json!({"total": 32}));
    let middle = client.get("/v2/droplets?per_page=15&page=2").await.json();
    assert_eq!(
        middle["links"],
        json!({"pages": {"first": link(1), "prev": link(1), "next": link(3), "last": link(3)}})
    );
    let last = client.get("/v2/droplets?page=3&per_page=15").await.json();
    assert_eq!(last["droplets"].as_array().unwrap().len(), 2);
    assert_eq!(
        last["links"],
        json!({"pages": {"first": link(1), "prev": link(2)}})
    );
    assert_eq!(
        client.get("/v2/droplets?per_page=200").await.json()["links"],
        json!({})
    );
    assert_eq!(
        client.get("/v2/droplets?page=9").await.json()["droplets"],
        json!([])
    );
    assert_eq!(
        client.get("/v2/droplets").await.json()["droplets"]
            .as_array()
            .unwrap()
            .len(),
        20
    );
}

#[tokio::test]
async fn pages_outside_the_rules_are_refused() {
    let client = Client::default();
    for query in [
        "per_page=0",
        "per_page=201",
        "per_page=x",
        "page=0",
        "page=-1",
        "type=cats",
    ] {
        let got = client.get(&format!("/v2/droplets?{query}")).await;
        assert_eq!(
            (got.status, got.json()["id"].as_str()),
            (422, Some("unprocessable_entity")),
            "{query}"
        );
    }
    assert_eq!(
        client.get("/v2/droplets?type=gpus&tag_name=gpu").await.status,
        400
    );
}

#[tokio::test]
async fn gpu_droplets_stay_behind_their_type() {
    let client = Client::default();
    let plain = client.walk("/v2/droplets", "droplets").await;
    assert!(plain.iter().all(|droplet| droplet.get("gpu_info").is_none()));
    let gpus = client.walk("/v2/droplets?type=gpus", "droplets").await;
    assert_eq!(gpus.len(), 2);
    assert!(gpus.iter().all(|droplet| droplet["gpu_info"]["count"].is_u64()));
    // By id there is no such difference.
    assert_eq!(
        client
            .get(&format!("/v2/droplets/{}", gpus[0]["id"]))
            .await
            .json()["droplet"],
        gpus[0]
    );
}

#[tokio::test]
async fn filters_narrow_a_list() {
    let client = Client::default();
    let tagged = client
        .walk("/v2/droplets?tag_name=k8s%3Aworker", "droplets")
        .await;
    assert_eq!(tagged.len(), 4);
    assert!(tagged.iter().all(|droplet| droplet["image"]["slug"].is_null()));
    let named = client.get("/v2/droplets?name=OPS-mail").await.json();
    assert_eq!(
        (&named["meta"]["total"], &named["droplets"][0]["name"]),
        (&json!(1), &json!("ops-mail"))
    );
}

#[tokio::test]
async fn what_is_not_there_is_404_in_dos_shape() {
    let client = Client::default();
    for path in [
        "/v2/droplets/1",
        "/v2/nothing",
        "/",
        "/v2/projects/nope/resources",
    ] {
        let got = client.get(path).await;
        let body = got.json();
        assert_eq!(
            (got.status, body["id"].as_str()),
            (404, Some("not_found")),
            "{path}"
        );
        assert_eq!(body["request_id"].as_str(), got.header("x-request-id"), "{path}");
        assert!(
            got.header("content-type")
                .unwrap()
                .starts_with("application/json"),
            "{path}"
        );
    }
    assert_eq!(
        client
            .send(reqwest::Method::DELETE, "/v2/droplets/1", None)
            .await
            .unwrap()
            .status,
        405
    );
}

#[tokio::test]
async fn a_given_body_is_served_as_it_is() {
    let client = Client::default();
    client.simulator.serve_body("/v2/droplets", "{\"droplets\": [ ]}");
    client.simulator.serve_body("/v2/droplets?type=gpus", "{ }");
    assert_eq!(
        client.get("/v2/droplets?page=1&per_page=200").await.body,
        b"{\"droplets\": [ ]}"
    );
    assert_eq!(client.get("/v2/droplets?page=1&type=gpus").await.body, b"{ }");
    client.simulator.clear_bodies();
    assert_eq!(
        client.get("/v2/droplets?per_page=200").await.json()["meta"]["total"],
        32
    );
}
