//! Styles of paging, aliases, other names, secrets: what differs from one kind to the next.

use serde_json::{Value, json};
use simulator::{Fault, FaultKind, Limits, Options};

use crate::client::Client;
use crate::estate::rows;

#[tokio::test]
async fn an_unpaged_list_stands_alone() {
    let client = Client::default();
    for (path, root) in [
        ("/v2/databases", "databases"),
        ("/v2/registries", "registries"),
        ("/v2/nfs", "shares"),
        ("/v2/functions/namespaces", "namespaces"),
        ("/v2/add-ons/saas", "resources"),
    ] {
        let answer = client.get(&format!("{path}?page=2&per_page=1")).await.json();
        assert_eq!(
            answer.as_object().unwrap().keys().collect::<Vec<_>>(),
            [root],
            "{path}"
        );
        assert!(answer[root].as_array().unwrap().len() > 1);
    }
}

#[tokio::test]
async fn gen_ai_pages_in_its_own_way() {
    let client = Client::default();
    let first = client.get("/v2/gen-ai/agents?per_page=1").await.json();
    assert_eq!(first["meta"], json!({"page": 1, "pages": 2, "total": 2}));
    assert!(
        first["links"]["pages"]["next"]
            .as_str()
            .unwrap()
            .ends_with("page=2")
    );
    let second = client.get("/v2/gen-ai/agents?per_page=1&page=2").await.json();
    assert_eq!(second["meta"]["page"], 2);
    assert!(
        second["links"]["pages"]["previous"]
            .as_str()
            .unwrap()
            .ends_with("page=1")
    );
    assert!(second["links"]["pages"].get("prev").is_none());
    let vectors = client.get("/v2/vector-databases?per_page=1").await.json();
    assert_eq!(
        (&vectors["total"], vectors["vector_dbs"].as_array().unwrap().len()),
        (&json!(2), 1)
    );
    assert!(vectors.get("links").is_none() && vectors.get("meta").is_none());
}

#[tokio::test]
async fn faults_of_lists_show_in_every_style() {
    let client = Client::default();
    client.simulator.set_limits(Limits::off());
    for (path, root, paging) in [
        ("/v2/databases", "databases", "unpaged"),
        ("/v2/gen-ai/agents", "agents", "gen_ai"),
        ("/v2/vector-databases", "vector_dbs", "total_beside"),
        ("/v2/reserved_ips", "reserved_ips", "paged"),
    ] {
        let quiet = client.get(path).await.json();
        let total = rows(&client, path, root, paging).await.len();
        for kind in FaultKind::all().into_iter().filter(FaultKind::needs_list) {
            let name = kind.name();
            // Pages and totals mean nothing where there are none; links nothing where there is no second page.
            let of_pages = name.contains("next") || name.contains("repeated");
            let of_totals = ["missing_meta", "total_as_text", "changing_total"].contains(&name.as_str())
                || name.starts_with("lying");
            let later = name.starts_with("shifting") || name == "shuffled_order";
            if of_pages || later || (of_totals && paging == "unpaged") {
                continue;
            }
            client.simulator.fault(Fault::new(kind).exactly_on(path));
            let seen = client.get(path).await.json();
            client.simulator.clear_faults();
            assert_ne!(seen, quiet, "{name} on {path}");
        }
        let lie = |answer: &Value| match paging {
            "total_beside" => answer["total"].clone(),
            _ => answer["meta"]["total"].clone(),
        };
        if paging != "unpaged" {
            client
                .simulator
                .fault(Fault::new(FaultKind::LyingTotalHigh { by: 3 }).exactly_on(path));
            assert_eq!(lie(&client.get(path).await.json()), json!(total + 3), "{path}");
            client.simulator.clear_faults();
            client
                .simulator
                .fault(Fault::new(FaultKind::MissingMeta).exactly_on(path));
            assert_eq!(lie(&client.get(path).await.json()), Value::Null, "{path}");
            client.simulator.clear_faults();
        }
        client
            .simulator
            .fault(Fault::new(FaultKind::ShiftingPagesDrop).exactly_on(path).once());
        client.get(path).await;
        assert_eq!(rows(&client, path, root, paging).await.len(), total - 1);
        client
            .simulator
            .fault(Fault::new(FaultKind::ShiftingPagesInsert).exactly_on(path).once());
        client.get(path).await;
        assert_eq!(rows(&client, path, root, paging).await.len(), total);
    }
}

#[tokio::test]
async fn the_old_name_of_reserved_addresses_still_answers() {
    let client = Client::default();
    let new = client.get("/v2/reserved_ips").await.json();
    let old = client.get("/v2/floating_ips").await.json();
    assert_eq!(new["reserved_ips"], old["floating_ips"]);
    let ip = new["reserved_ips"][0]["ip"].as_str().unwrap();
    let one = client.get(&format!("/v2/floating_ips/{ip}")).await.json();
    assert_eq!(one["floating_ip"], new["reserved_ips"][0]);
    assert!(
        one["floating_ip"]["droplet"]["networks"]["v4"].is_array(),
        "the whole droplet"
    );
    let six = client.get("/v2/reserved_ipv6").await.json();
    let free = six["reserved_ipv6s"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one.get("droplet").is_none());
    let ip = free.unwrap()["ip"].as_str().unwrap();
    let one = client.get(&format!("/v2/reserved_ipv6/{ip}")).await.json();
    assert_eq!(one["reserved_ipv6"]["droplet"], Value::Null);
}

#[tokio::test]
async fn some_go_by_other_names() {
    let client = Client::default();
    let keys = client.get("/v2/account/keys").await.json();
    let key = &keys["ssh_keys"][1];
    for name in [
        key["id"].to_string(),
        key["fingerprint"].as_str().unwrap().to_owned(),
    ] {
        let one = client.get(&format!("/v2/account/keys/{name}")).await.json();
        assert_eq!(one["ssh_key"], *key);
    }
    let spaces = client.get("/v2/functions/namespaces").await.json();
    let space = &spaces["namespaces"][0];
    let (name, uuid) = (
        space["namespace"].as_str().unwrap(),
        space["uuid"].as_str().unwrap(),
    );
    assert_eq!(
        client
            .get(&format!("/v2/functions/namespaces/{name}"))
            .await
            .json()["namespace"],
        *space
    );
    assert_eq!(
        client
            .get(&format!("/v2/functions/namespaces/{uuid}"))
            .await
            .status,
        404
    );
    let public = client.get("/v2/images?per_page=200").await.json();
    let own = client.get("/v2/images?private=true&per_page=200").await.json();
    assert!(
        own["images"]
            .as_array()
            .unwrap()
            .iter()
            .all(|image| image["public"] == false)
    );
    assert!(public["meta"]["total"].as_u64().unwrap() > own["meta"]["total"].as_u64().unwrap());
    for (kind, total) in [("droplet", 3), ("volume", 4)] {
        let some = client
            .get(&format!("/v2/snapshots?resource_type={kind}"))
            .await
            .json();
        assert_eq!(some["meta"]["total"], total);
        assert!(
            some["snapshots"]
                .as_array()
                .unwrap()
                .iter()
                .all(|one| one["resource_type"] == kind)
        );
    }
    let global = client.get("/v2/load_balancers").await.json();
    let global = global["load_balancers"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["type"] == "GLOBAL");
    assert!(global.unwrap().get("region").is_none(), "a global one is nowhere");
}

#[tokio::test]
async fn some_addresses_have_limits_of_their_own() {
    let client = Client::default();
    for (path, requests) in [("/v2/account/keys", 10), ("/v2/cdn/endpoints", 5)] {
        for _ in 0..requests {
            assert_eq!(client.get(path).await.status, 200);
        }
        let refused = client.get(path).await;
        assert_eq!(refused.status, 429, "{path}");
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait));
        assert_eq!(client.get("/v2/vpcs").await.status, 200, "others answer");
        client.simulator.advance(std::time::Duration::from_secs(wait));
        assert_eq!(client.get(path).await.status, 200);
    }
    assert_eq!(client.simulator.blocked(), 2);
}

#[tokio::test]
async fn secrets_stand_where_do_puts_them() {
    let client = Client::with(Options {
        settings: simulator::Settings {
            limits: Limits::off(),
            ..simulator::Settings::default()
        },
        ..Options::default()
    });
    for (path, secrets) in [
        (
            "/v2/databases",
            [
                "canary-db-password",
                "canary-db-user-password",
                "canary-db-access-key",
            ]
            .as_slice(),
        ),
        ("/v2/functions/namespaces", &["canary-functions-key"]),
        ("/v2/droplets/autoscale", &["canary-autoscale-user-data"]),
        (
            "/v2/apps",
            &[
                "canary-app-env",
                "canary-app-plain-env",
                "canary-app-log-endpoint",
                "canary-app-validation",
            ],
        ),
        ("/v2/monitoring/alerts", &["canary-slack-webhook"]),
        (
            "/v2/gen-ai/agents",
            &["canary-agent-mcp-authorization", "canary-agent-mcp-header"],
        ),
        ("/v2/add-ons/saas", &["canary-addon-sso", "canary-addon-metadata"]),
        ("/v2/domains", &["canary-zone-file"]),
    ] {
        let body = String::from_utf8(client.get(path).await.body).unwrap();
        for secret in secrets {
            assert!(body.contains(secret), "{path} has no {secret}");
        }
    }
}
