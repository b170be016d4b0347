//! Any collection is data: three that the simulator does not have, of three sorts of id and two of paging.

use serde_json::{Value, json};
use simulator::{Churn, Options};

use crate::client::Client;

fn client() -> Client {
    let kind = |more: Value| {
        let mut kind =
            json!({"paging": "paged", "template": {"id": "$id", "name": "$name", "note": "for ${name}"}});
        kind.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        kind.to_string()
    };
    let fixtures = vec![
        kind(json!({
            "path": "/v2/crates", "root": "crates", "singular": "crate", "scope": "crate:read",
            "id": {"field": "id", "type": "uuid"}, "urn": "crate",
            "changes": [{"field": "note", "suffix": "!"}],
            "items": [{"name": "data-1", "project": "Operations"}, {"name": "data-2"}, {"name": "\"odd\""}],
        })),
        kind(json!({
            "path": "/v2/labels", "root": "labels", "singular": "label", "scope": "label:read",
            "id": {"field": "name", "type": "name"}, "urn": "label",
            "template": {"name": "$name", "ttl": 1800}, "items": [{"name": "larkspur.example"}],
        })),
        kind(json!({
            "path": "/v2/harbour/cranes", "root": "harbour_cranes", "singular": "harbour_crane",
            "scope": "crane:read", "id": {"field": "id", "type": "uuid"}, "paging": "unpaged",
            "items": [{"name": "a"}, {"name": "b"}],
        })),
    ];
    Client::with(Options {
        fixtures,
        ..Options::default()
    })
}

#[tokio::test]
async fn they_are_listed_found_and_filed() {
    let client = client();
    let crates = client.get("/v2/crates?per_page=2").await.json();
    assert_eq!(
        (&crates["meta"]["total"], &crates["crates"][1]["note"]),
        (&json!(3), &json!("for data-2"))
    );
    let odd = client.get("/v2/crates?per_page=2&page=2").await.json()["crates"][0].clone();
    assert_eq!(odd["note"], "for \"odd\"");
    let id = odd["id"].as_str().unwrap();
    assert_eq!(client.get(&format!("/v2/crates/{id}")).await.json()["crate"], odd);
    assert_eq!(
        client.get("/v2/labels/larkspur.example").await.json()["label"]["ttl"],
        1800
    );
    let members = client.simulator.members();
    assert!(members.contains(&(
        format!("do:crate:{id}"),
        simulator::scenario::DEFAULT_PROJECT_ID.to_owned()
    )));
    assert!(members.iter().any(|(urn, _)| urn == "do:label:larkspur.example"));
}

#[tokio::test]
async fn an_unpaged_list_is_whole_and_bare() {
    let client = client();
    let list = client.get("/v2/harbour/cranes?per_page=1").await.json();
    assert_eq!(list["harbour_cranes"].as_array().unwrap().len(), 2);
    assert_eq!(list.as_object().unwrap().len(), 1);
    let id = list["harbour_cranes"][0]["id"].as_str().unwrap();
    assert_eq!(client.get(&format!("/v2/harbour/cranes/{id}")).await.status, 200);
    assert_eq!(
        client.get(&format!("/_sim/harbour/cranes/{id}")).await.json()["name"],
        "a"
    );
}

#[tokio::test]
async fn they_change_like_droplets() {
    let client = client();
    let made = client
        .simulator
        .create("labels", json!({"name": "new.example", "project": "Operations"}))
        .unwrap();
    assert_eq!(made, json!({"name": "new.example", "ttl": 1800}));
    assert!(
        client
            .simulator
            .create("labels", json!({"name": "new.example"}))
            .is_err()
    );
    assert!(client.simulator.create("labels", json!({})).is_err());
    client.simulator.destroy("labels", "new.example").unwrap();
    let churn = Churn {
        collection: "crates".to_owned(),
        count: Some(3),
        ..Churn::default()
    };
    let done = client.simulator.churn(&churn).unwrap();
    assert_eq!(
        [done.created.len(), done.changed.len(), done.destroyed.len()],
        [1, 1, 1]
    );
    let changed = client.simulator.item("crates", &done.changed[0]).unwrap();
    assert!(changed["note"].as_str().unwrap().ends_with('!'));
}
