//! Projects, their members, and what a POST does to both.

use serde_json::json;
use simulator::{Scopes, scenario};

use crate::client::Client;

#[tokio::test]
async fn projects_are_listed_and_found() {
    let client = Client::default();
    let projects = client.walk("/v2/projects", "projects").await;
    let names: Vec<_> = projects
        .iter()
        .map(|project| project["name"].as_str().unwrap())
        .collect();
    for (name, tenant) in scenario::TENANTS {
        assert!(names.contains(name) && !tenant.is_empty());
    }
    assert!(names.contains(&scenario::INTERNAL_PROJECT));
    assert!(!names.contains(&"skyai-internal"));
    let default = client.get("/v2/projects/default").await.json();
    assert_eq!(default["project"]["name"], scenario::DEFAULT_PROJECT);
    assert_eq!(default["project"]["id"], scenario::DEFAULT_PROJECT_ID);
    let id = projects[2]["id"].as_str().unwrap();
    assert_eq!(
        client.get(&format!("/v2/projects/{id}")).await.json()["project"],
        projects[2]
    );
}

#[tokio::test]
async fn a_project_is_made_once() {
    let client = Client::default();
    let wanted =
        json!({"name": "skyai-internal", "purpose": "Our own machines", "environment": "Production"});
    let made = client.post("/v2/projects", wanted.clone()).await;
    assert_eq!(made.status, 201);
    assert_eq!(made.json()["project"]["purpose"], "Other: Our own machines");
    assert_eq!(client.post("/v2/projects", wanted).await.status, 409);
    assert_eq!(
        client.post("/v2/projects", json!({"name": "x"})).await.status,
        422
    );
    assert_eq!(
        client
            .post("/v2/projects", json!({"purpose": "IoT"}))
            .await
            .status,
        422
    );
    let known = client
        .post("/v2/projects", json!({"name": "sensors", "purpose": "IoT"}))
        .await;
    assert_eq!(known.json()["project"]["purpose"], "IoT");
    assert_eq!(client.walk("/v2/projects", "projects").await.len(), 8);
}

#[tokio::test]
async fn every_droplet_is_in_one_project() {
    let client = Client::default();
    let mut seen = Vec::new();
    for project in client.walk("/v2/projects", "projects").await {
        let id = project["id"].as_str().unwrap();
        for row in client
            .walk(&format!("/v2/projects/{id}/resources"), "resources")
            .await
        {
            assert_eq!(row["status"], "ok");
            seen.push((row["urn"].as_str().unwrap().to_owned(), id.to_owned()));
        }
    }
    seen.sort();
    assert_eq!(seen, client.simulator.members());
    let droplets = seen.iter().filter(|(urn, _)| urn.starts_with("do:droplet:"));
    assert_eq!(droplets.count(), client.simulator.items("droplets").len());
}

#[tokio::test]
async fn assigning_moves_all_or_nothing() {
    let client = Client::default();
    let operations = client.simulator.project_id("Operations").unwrap();
    let path = format!("/v2/projects/{operations}/resources");
    let before = client.walk(&path, "resources").await.len();
    let made = client
        .simulator
        .create("droplets", json!({"name": "fresh"}))
        .unwrap();
    let urn = format!("do:droplet:{}", made["id"]);
    let left = client.walk("/v2/projects/default/resources", "resources").await;
    assert_eq!(
        left.last().unwrap()["urn"],
        json!(urn),
        "new resources land in the default project"
    );

    let got = client
        .post(&path, json!({"resources": [urn, "do:droplet:1"]}))
        .await;
    assert_eq!(got.status, 404);
    assert_eq!(client.walk(&path, "resources").await.len(), before);
    let got = client.post(&path, json!({"resources": [urn]})).await.json();
    let rows = got["resources"].as_array().unwrap().clone();
    assert_eq!(
        (rows.len(), &rows[before]["status"]),
        (before + 1, &json!("assigned"))
    );
    let again = client.post(&path, json!({"resources": [urn]})).await.json();
    assert_eq!(again["resources"][before]["status"], "already_assigned");
    assert_eq!(client.walk(&path, "resources").await[before]["status"], "ok");
}

#[tokio::test]
async fn a_destroyed_member_lingers_on_request() {
    let client = Client::default();
    let ids: Vec<_> = client
        .simulator
        .items("droplets")
        .iter()
        .map(|droplet| droplet["id"].clone())
        .collect();
    let path = format!(
        "/v2/projects/{}/resources",
        client.simulator.project_id("Larkspur Bakery").unwrap()
    );
    let before = client.walk(&path, "resources").await;
    let members = client.simulator.members().len();
    client.simulator.destroy("droplets", &ids[0]).unwrap();
    client.simulator.destroy_lingering("droplets", &ids[1]).unwrap();
    let rows = client.walk(&path, "resources").await;
    assert_eq!(rows.len(), before.len() - 1);
    assert_eq!(rows[0]["urn"], json!(format!("do:droplet:{}", ids[1])));
    assert_eq!(rows[0]["status"], "not_found");
    assert_eq!(client.simulator.members().len(), members - 2);
}

#[tokio::test]
async fn members_show_only_to_scopes_that_may_read_them() {
    let client = Client::default();
    let path = format!(
        "/v2/projects/{}/resources",
        client.simulator.project_id("Larkspur Bakery").unwrap()
    );
    let types = |rows: &[serde_json::Value]| {
        let urns = rows.iter().map(|row| row["urn"].as_str().unwrap());
        let types = urns.map(|urn| urn.split(':').nth(1).unwrap().to_owned());
        types.collect::<std::collections::BTreeSet<_>>()
    };
    let all = [
        "app",
        "dbaas",
        "domain",
        "droplet",
        "floatingip",
        "loadbalancer",
        "space",
        "volume",
    ];
    assert_eq!(
        types(&client.walk(&path, "resources").await),
        all.map(str::to_owned).into()
    );
    client
        .simulator
        .set_scopes("default", Scopes::only(["project:read"]));
    let rows = client.walk(&path, "resources").await;
    assert_eq!(
        (rows.len(), &rows[0]["urn"]),
        (1, &json!("do:space:larkspur-media"))
    );
    assert_eq!(
        rows[0]["links"]["self"],
        "https://larkspur-media.fra1.digitaloceanspaces.com"
    );
}
