//! What belongs together stays together: references, twins, parents, projects.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use simulator::{Options, Scopes, Simulator, scenario};

use crate::client::Client;

fn start() -> Simulator {
    Simulator::start(Options::default()).unwrap()
}

fn named(simulator: &Simulator, collection: &str, name: &str) -> Value {
    let items = simulator.items(collection);
    let found = items
        .into_iter()
        .find(|item| item["name"] == name || item["label"] == name);
    found.unwrap_or_else(|| panic!("{collection} has no {name}"))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Every id under these fields of these items.
fn ids_in(items: &[Value], pointer: &str) -> BTreeSet<String> {
    let values = items.iter().filter_map(|item| item.pointer(pointer));
    let values = values.flat_map(|value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]));
    values
        .filter(|value| !value.is_null())
        .map(|value| text(&value))
        .collect()
}

#[test]
fn the_default_account_contradicts_itself_nowhere() {
    let simulator = start();
    let all = |collection: &str| simulator.items(collection);
    let ids = |collection: &str| ids_in(&all(collection), "/id");
    let (droplets, volumes) = (all("droplets"), all("volumes"));
    // Volumes and droplets name each other.
    for volume in &volumes {
        for droplet in volume["droplet_ids"].as_array().unwrap() {
            let droplet = droplets.iter().find(|one| one["id"] == *droplet).unwrap();
            assert!(droplet["volume_ids"].as_array().unwrap().contains(&volume["id"]));
            assert_eq!(
                droplet["region"]["slug"], volume["region"]["slug"],
                "{}",
                volume["name"]
            );
        }
    }
    assert!(ids_in(&droplets, "/volume_ids").is_subset(&ids("volumes")));
    // Backups: of the droplets that have them enabled, and of those alone.
    let backups: Vec<Value> = all("images")
        .into_iter()
        .filter(|image| image["type"] == "backup")
        .collect();
    assert_eq!(ids_in(&droplets, "/backup_ids"), ids_in(&backups, "/id"));
    for droplet in &droplets {
        let enabled = droplet["features"]
            .as_array()
            .unwrap()
            .contains(&json!("backups"));
        assert_eq!(enabled, droplet["backup_ids"] != json!([]), "{}", droplet["name"]);
    }
    // Snapshots of droplets are images too; one is of a droplet that is gone.
    let snapshots = all("snapshots");
    let of = |kind: &str| -> Vec<Value> {
        let them = snapshots.iter().filter(|one| one["resource_type"] == kind);
        them.cloned().collect()
    };
    let images: Vec<Value> = all("images")
        .into_iter()
        .filter(|image| image["type"] == "snapshot")
        .collect();
    assert_eq!(ids_in(&of("droplet"), "/id"), ids_in(&images, "/id"));
    let gone: Vec<_> = ids_in(&of("droplet"), "/resource_id")
        .difference(&ids("droplets"))
        .cloned()
        .collect();
    assert_eq!(gone, ["401882217"]);
    assert!(ids_in(&droplets, "/snapshot_ids").is_subset(&ids_in(&of("droplet"), "/id")));
    assert_eq!(
        ids_in(&of("volume"), "/resource_id")
            .difference(&ids("volumes"))
            .count(),
        1
    );
    // Whoever names a droplet names one that is there.
    for (collection, pointer) in [
        ("load_balancers", "/droplet_ids"),
        ("firewalls", "/droplet_ids"),
        ("reserved_ips", "/droplet/id"),
        ("monitoring/alerts", "/entities"),
    ] {
        let named = ids_in(&all(collection), pointer);
        assert!(
            !named.is_empty() && named.is_subset(&ids("droplets")),
            "{collection}"
        );
    }
    // Workers are droplets with their cluster's tags, in its region.
    let pools = all("kubernetes/clusters/node_pools");
    let mut workers = BTreeSet::new();
    for pool in &pools {
        let nodes = pool["nodes"].as_array().unwrap();
        assert_eq!(json!(nodes.len()), pool["count"]);
        for node in nodes {
            let droplet = droplets
                .iter()
                .find(|one| text(&one["id"]) == text(&node["droplet_id"]))
                .unwrap();
            let tags = droplet["tags"].as_array().unwrap();
            assert!(
                tags.contains(&json!(format!("k8s:{}", text(&pool["cluster"]))))
                    && tags.contains(&json!("k8s:worker"))
            );
            assert_eq!(droplet["size_slug"], pool["size"]);
            workers.insert(droplet["id"].to_string());
        }
    }
    let tagged = droplets
        .iter()
        .filter(|one| one["tags"].as_array().unwrap().contains(&json!("k8s:worker")));
    assert_eq!(workers.len(), tagged.count());
    assert_eq!(all("kubernetes/clusters").len(), 2);
    // Everything in a VPC is in one that is there.
    assert!(ids_in(&droplets, "/vpc_uuid").is_subset(&ids("vpcs")));
    // Whoever says its project says the one it is a member of.
    let members = simulator.members();
    for (collection, kind, id) in [
        ("databases", "dbaas", "id"),
        ("load_balancers", "loadbalancer", "id"),
        ("reserved_ips", "floatingip", "ip"),
        ("apps", "app", "id"),
    ] {
        for item in all(collection) {
            let member = (
                format!("do:{kind}:{}", text(&item[id])),
                text(&item["project_id"]),
            );
            assert!(members.contains(&member), "{collection} {item}");
        }
    }
    // Every tenant has something besides droplets, and buckets are in projects alone.
    for (project, _) in scenario::TENANTS {
        let id = simulator.project_id(project).unwrap();
        let kinds: BTreeSet<&str> = members
            .iter()
            .filter(|(_, project)| *project == id)
            .filter_map(|(urn, _)| urn.split(':').nth(1))
            .collect();
        assert!(
            kinds.len() >= 5 && kinds.contains("space"),
            "{project}: {kinds:?}"
        );
    }
    assert!(
        members
            .iter()
            .any(|(urn, _)| urn == "do:space:harbour.scans.archive")
    );
}

#[test]
fn what_is_destroyed_is_let_go_of() {
    let simulator = start();
    let droplet = named(&simulator, "droplets", "larkspur-web-1");
    let id = droplet["id"].clone();
    assert!(
        named(&simulator, "load_balancers", "larkspur-shop-lb")["droplet_ids"]
            .as_array()
            .unwrap()
            .contains(&id)
    );
    let address = |simulator: &Simulator| {
        let all = simulator.items("reserved_ips");
        all.iter().filter(|one| one["droplet"]["id"] == id).count()
    };
    assert_eq!(address(&simulator), 1);
    simulator.destroy("droplets", &id).unwrap();
    assert_eq!(
        named(&simulator, "load_balancers", "larkspur-shop-lb")["droplet_ids"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(address(&simulator), 0);
    let free = simulator.items("reserved_ips");
    assert_eq!(free.iter().filter(|one| one["droplet"].is_null()).count(), 3);
    // Its snapshots and backups stay, as at DO; a cluster takes its pools along, a database its replicas.
    let cluster = named(&simulator, "kubernetes/clusters", "fjordfinch-shop");
    assert_eq!(cluster["node_pools"].as_array().unwrap().len(), 2);
    simulator
        .destroy("kubernetes/clusters", text(&cluster["id"]))
        .unwrap();
    assert_eq!(simulator.items("kubernetes/clusters/node_pools").len(), 1);
    let database = named(&simulator, "databases", "harbour-booking");
    simulator.destroy("databases", text(&database["id"])).unwrap();
    assert_eq!(simulator.items("databases/replicas").len(), 1);
}

#[test]
fn a_droplets_snapshot_is_an_image_too() {
    let simulator = start();
    let droplet = named(&simulator, "droplets", "ops-mail");
    let spec = json!({"name": "before the move", "resource_type": "droplet", "resource_id": "@droplets:ops-mail:text"});
    let made = simulator.create("snapshots", spec).unwrap();
    let id = text(&made["id"]);
    assert!(id.parse::<u64>().is_ok(), "{id}");
    assert_eq!(made["resource_id"], droplet["id"].to_string());
    let image = simulator.item("images", &id).unwrap();
    assert_eq!(
        (&image["type"], &image["name"], image["id"].to_string()),
        (&json!("snapshot"), &made["name"], id.clone())
    );
    assert_eq!(
        named(&simulator, "droplets", "ops-mail")["snapshot_ids"],
        json!([image["id"]])
    );
    simulator
        .change("snapshots", &id, json!({"name": "after all"}))
        .unwrap();
    assert_eq!(simulator.item("images", &id).unwrap()["name"], "after all");
    simulator.destroy("images", &id).unwrap();
    assert_eq!(simulator.item("snapshots", &id), None);
    assert_eq!(
        named(&simulator, "droplets", "ops-mail")["snapshot_ids"],
        json!([])
    );
    // A volume's snapshot is no image.
    let made = simulator
        .create("snapshots", json!({"name": "of a volume"}))
        .unwrap();
    assert_eq!(
        (
            text(&made["id"]).len(),
            simulator.item("images", text(&made["id"]))
        ),
        (36, None)
    );
    // A backup is listed by its droplet.
    let spec = json!({"name": "by hand", "type": "backup", "droplet": "@droplets:ops-bastion"});
    let backup = simulator.create("images", spec).unwrap();
    assert_eq!(
        named(&simulator, "droplets", "ops-bastion")["backup_ids"],
        json!([backup["id"]])
    );
    simulator.destroy("images", &backup["id"]).unwrap();
    assert_eq!(
        named(&simulator, "droplets", "ops-bastion")["backup_ids"],
        json!([])
    );
}

#[tokio::test]
async fn an_item_that_says_its_project_says_the_new_one() {
    let client = Client::default();
    let simulator = &client.simulator;
    let database = named(simulator, "databases", "novak-geo");
    let urn = format!("do:dbaas:{}", text(&database["id"]));
    let (from, to) = (
        simulator.project_id("Novak Surveying").unwrap(),
        simulator.project_id("Operations").unwrap(),
    );
    assert_eq!(text(&database["project_id"]), from);
    client
        .post(
            &format!("/v2/projects/{to}/resources"),
            json!({"resources": [urn]}),
        )
        .await;
    assert_eq!(
        text(&named(simulator, "databases", "novak-geo")["project_id"]),
        to
    );
    assert!(simulator.members().contains(&(urn, to.clone())));
    // Those that are in no membership move all the same, deep inside an item or not.
    let agent = named(simulator, "gen-ai/agents", "Reception helper");
    let moved = simulator
        .change(
            "gen-ai/agents",
            text(&agent["uuid"]),
            json!({"project": "Operations"}),
        )
        .unwrap();
    assert_eq!(text(&moved["project_id"]), to);
    let pool = named(simulator, "droplets/autoscale", "novak-render-pool");
    assert_eq!(text(&pool["droplet_template"]["project_id"]), from);
    simulator.destroy("projects", &from).unwrap();
    let pool = named(simulator, "droplets/autoscale", "novak-render-pool");
    assert_eq!(
        text(&pool["droplet_template"]["project_id"]),
        scenario::DEFAULT_PROJECT_ID
    );
    // An app says it where it is asked to.
    let app = simulator.items("apps")[0].clone();
    for (query, shown) in [
        ("", false),
        ("?with_projects=true", true),
        ("?with_projects=false", false),
    ] {
        let listed = client.get(&format!("/v2/apps{query}")).await.json()["apps"][0].clone();
        assert_eq!(listed.get("project_id").is_some(), shown, "{query}");
    }
    let one = client.get(&format!("/v2/apps/{}", text(&app["id"]))).await.json();
    assert_eq!(one["app"]["project_id"], app["project_id"]);
    simulator.set_scopes("default", Scopes::only(["app:read"]));
    let listed = client.get("/v2/apps?with_projects=true").await.json();
    assert!(listed["apps"][0].get("project_id").is_none());
}

#[tokio::test]
async fn parts_are_found_through_their_whole() {
    let client = Client::default();
    let simulator = &client.simulator;
    let cluster = named(simulator, "kubernetes/clusters", "fjordfinch-shop");
    let other = named(simulator, "kubernetes/clusters", "novak-jobs");
    let (id, other) = (text(&cluster["id"]), text(&other["id"]));
    let made = simulator
        .create(
            "kubernetes/clusters/node_pools",
            json!({"cluster": "fjordfinch-shop", "name": "pool-new", "size": "c-4"}),
        )
        .unwrap();
    let pool = text(&made["id"]);
    let answer = client.get(&format!("/v2/kubernetes/clusters/{id}")).await.json();
    let pools = answer["kubernetes_cluster"]["node_pools"].as_array().unwrap();
    assert_eq!((pools.len(), &pools[2]["name"]), (3, &json!("pool-new")));
    assert!(
        pools[2].get("cluster").is_none(),
        "DO does not say whose a pool is"
    );
    assert_eq!(
        client
            .get(&format!("/v2/kubernetes/clusters/{id}/node_pools/{pool}"))
            .await
            .json()["node_pool"],
        pools[2]
    );
    assert_eq!(
        client
            .get(&format!("/v2/kubernetes/clusters/{other}/node_pools/{pool}"))
            .await
            .status,
        404
    );
    assert_eq!(
        client
            .get("/v2/kubernetes/clusters/nobody/node_pools")
            .await
            .status,
        404
    );
    simulator
        .change("kubernetes/clusters/node_pools", &pool, json!({"count": 2}))
        .unwrap();
    let listed = client.get("/v2/kubernetes/clusters").await.json();
    assert_eq!(listed["kubernetes_clusters"][0]["node_pools"][2]["count"], 2);
    simulator
        .destroy("kubernetes/clusters/node_pools", &pool)
        .unwrap();
    assert!(
        simulator
            .create("kubernetes/clusters/node_pools", json!({"cluster": "nobody"}))
            .is_err()
    );
    // A replica goes by its name, below its database.
    let database = text(&named(simulator, "databases", "larkspur-orders")["id"]);
    let path = format!("/v2/databases/{database}/replicas");
    let replica = client.get(&format!("{path}/larkspur-orders-read")).await.json()["replica"].clone();
    assert_eq!(replica["region"], "fra1");
    assert_eq!(
        client
            .get(&format!("{path}/{}", text(&replica["id"])))
            .await
            .status,
        404
    );
    assert_eq!(client.get(&format!("{path}/harbour-reports")).await.status, 404);
    let by_hand = client.get("/_sim/databases/replicas").await.json();
    assert_eq!(by_hand["items"].as_array().unwrap().len(), 3);
}
