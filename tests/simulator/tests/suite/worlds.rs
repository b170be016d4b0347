//! Determinism, scale, and mutations through the handle.

use std::time::Duration;

use serde_json::{Value, json};
use simulator::{Churn, FaultKind, Options, Scenario, Simulator};

use crate::client::Client;

fn world(seed: u64, scenario: Scenario) -> (Vec<Value>, Vec<Value>, Vec<(String, String)>) {
    let simulator = Simulator::start(Options {
        seed,
        scenario,
        ..Options::default()
    })
    .unwrap();
    (
        simulator.items("droplets"),
        simulator.items("projects"),
        simulator.members(),
    )
}

#[tokio::test]
async fn the_same_seed_gives_the_same_bytes() {
    for path in ["/v2/droplets?per_page=200", "/v2/projects/default"] {
        let (one, two) = (Client::default(), Client::default());
        assert_eq!(one.get(path).await.body.len(), two.get(path).await.body.len());
    }
    assert_eq!(world(3, Scenario::Default), world(3, Scenario::Default));
    assert_ne!(world(3, Scenario::Default).0, world(4, Scenario::Default).0);
    let scale = Scenario::Scale { droplets: 300 };
    assert_eq!(world(3, scale), world(3, scale));
    assert_ne!(world(3, scale).2, world(4, scale).2);
}

#[test]
fn the_default_scenario_reads_like_a_business() {
    let (droplets, projects, members) = world(7, Scenario::Default);
    assert_eq!(projects.len(), 6);
    assert!((25..=40).contains(&droplets.len()));
    let filed = |kind: &str| members.iter().filter(|(urn, _)| urn.starts_with(kind)).count();
    assert_eq!(filed("do:droplet:"), droplets.len());
    assert!(droplets.iter().any(|droplet| droplet["status"] == "off"));
    assert!(droplets.iter().any(|droplet| droplet["volume_ids"] != json!([])));
    let left = members.iter().filter(|(urn, project)| {
        urn.starts_with("do:droplet:") && project == simulator::scenario::DEFAULT_PROJECT_ID
    });
    assert_eq!(left.count(), 6);
}

#[test]
fn empty_is_a_default_project_and_nothing_else() {
    let (droplets, projects, members) = world(7, Scenario::Empty);
    assert_eq!((droplets.len(), projects.len(), members.len()), (0, 1, 0));
}

#[tokio::test]
async fn scale_is_many_small_projects() {
    let client = Client::scale(1_000);
    assert_eq!(client.simulator.items("projects").len(), 11);
    assert_eq!(client.simulator.members().len(), 1_000);
    let page = client.get("/v2/droplets?per_page=200").await;
    assert_eq!(page.json()["meta"]["total"], 1_000);
    assert!((2_000..5_000).contains(&(page.body.len() / 200)));
}

#[tokio::test]
async fn mutations_show_at_once() {
    let client = Client::default();
    let made = client
        .simulator
        .create(
            "droplets",
            json!({"name": "new-one", "size": "c-4", "project": "Operations", "odd": 1}),
        )
        .unwrap();
    let path = format!("/v2/droplets/{}", made["id"]);
    let shown = client.get(&path).await.json()["droplet"].clone();
    assert_eq!(
        (&shown["vcpus"], &shown["size"]["slug"], &shown["odd"]),
        (&json!(4), &json!("c-4"), &json!(1))
    );
    client
        .simulator
        .change(
            "droplets",
            &made["id"],
            json!({"size": "gpu-h100x1-80gb", "status": "off"}),
        )
        .unwrap();
    let gpus = client.walk("/v2/droplets?type=gpus", "droplets").await;
    assert_eq!((&gpus[2]["id"], &gpus[2]["status"]), (&made["id"], &json!("off")));
    client.simulator.destroy("droplets", &made["id"]).unwrap();
    assert_eq!(client.get(&path).await.status, 404);
    assert!(
        client
            .simulator
            .create("droplets", json!({"size": "huge"}))
            .is_err()
    );
    assert!(client.simulator.change("droplets", 5, json!({})).is_err());
    let first = client.simulator.items("droplets")[0]["id"].clone();
    assert!(
        client
            .simulator
            .change("droplets", first, json!({"id": 5}))
            .is_err()
    );
}

#[test]
fn churn_does_what_it_says() {
    let start = || {
        Simulator::start(Options {
            scenario: Scenario::Scale { droplets: 500 },
            ..Options::default()
        })
        .unwrap()
    };
    let churn = Churn {
        seed: 9,
        count: Some(80),
        create: 1,
        change: 5,
        destroy: 1,
        moves: 1,
        ..Churn::default()
    };
    let (simulator, twin) = (start(), start());
    let before = simulator.items("droplets");
    let done = simulator.churn(&churn).unwrap();
    assert_eq!(done, twin.churn(&churn).unwrap());
    let after = simulator.items("droplets");
    assert_eq!(after, twin.items("droplets"));
    assert_eq!(
        [&done.created, &done.changed, &done.destroyed, &done.moved].map(Vec::len),
        [10, 50, 10, 10]
    );
    let find = |items: &[Value], id: &str| items.iter().find(|item| *id == *item["id"].to_string()).cloned();
    for id in &done.changed {
        assert_ne!(find(&before, id).unwrap(), find(&after, id).unwrap(), "{id}");
    }
    for id in &done.destroyed {
        assert_eq!(find(&after, id), None);
    }
    assert_eq!(after.len(), 500);
    let untouched = after.iter().filter(|item| before.contains(item)).count();
    assert_eq!(untouched, 500 - 10 - 50);
}

#[tokio::test]
async fn a_stopped_simulator_frees_its_port() {
    let mut client = Client::default();
    client.patience = Duration::from_millis(100);
    let port = client.simulator.address().port();
    client.simulator.fault(simulator::Fault::new(FaultKind::Hang));
    let hanging = client.send(reqwest::Method::GET, "/v2/account", None).await;
    assert!(hanging.is_err());
    client.simulator.stop();
    Simulator::start(Options {
        port,
        ..Options::default()
    })
    .unwrap();
}
