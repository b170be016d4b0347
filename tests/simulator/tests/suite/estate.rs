//! Every kind of thing in the account: listed, found, hidden, changed, restless.
//!
//! These tests walk the simulator's own list of collections, so that a kind which is added later is tested
//! without a word. What is particular to a kind stands in `bonds` and `styles`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use simulator::{Churn, Limits, Options, Scenario, Scopes, Simulator};

use crate::client::Client;

fn client() -> Client {
    let client = Client::default();
    client.simulator.set_limits(Limits::off());
    client
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Where a collection is listed: once, or below each of its parents.
fn lists(simulator: &Simulator, collection: &Value) -> Vec<String> {
    let path = collection["path"].as_str().unwrap();
    let Some(parent) = collection["parent"].as_str() else {
        return vec![path.to_owned()];
    };
    let (before, rest) = path.split_once('{').unwrap();
    let (_, after) = rest.split_once('}').unwrap();
    let parents = simulator.items(parent);
    let id = simulator
        .collections()
        .into_iter()
        .find(|one| one["name"] == parent)
        .map(|one| text(&one["id"]))
        .unwrap();
    parents
        .iter()
        .map(|item| format!("{before}{}{after}", text(&item[&id])))
        .collect()
}

/// All rows of a listing, whatever its style of paging, three a page.
pub async fn rows(client: &Client, path: &str, root: &str, paging: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for page in 1.. {
        let mark = if path.contains('?') { '&' } else { '?' };
        let got = client.get(&format!("{path}{mark}per_page=3&page={page}")).await;
        assert_eq!(got.status, 200, "{path}");
        let answer = got.json();
        all.extend(
            answer[root]
                .as_array()
                .unwrap_or_else(|| panic!("{path}"))
                .iter()
                .cloned(),
        );
        let more = match paging {
            "paged" | "gen_ai" => !answer["links"]["pages"]["next"].is_null(),
            "total_beside" => (all.len() as u64) < answer["total"].as_u64().unwrap(),
            _ => false,
        };
        if !more {
            break;
        }
    }
    all
}

/// Every row of a collection, and the list it was found on.
async fn everything(client: &Client, collection: &Value) -> Vec<(String, Value)> {
    let (root, paging) = (text(&collection["root"]), text(&collection["paging"]));
    let mut all = Vec::new();
    for path in lists(&client.simulator, collection) {
        let parts: &[&str] = if collection["name"] == "droplets" {
            &["", "?type=gpus"]
        } else {
            &[""]
        };
        for part in parts {
            let listed = rows(client, &format!("{path}{part}"), &root, &paging).await;
            all.extend(listed.into_iter().map(|row| (path.clone(), row)));
        }
    }
    all
}

#[tokio::test]
async fn everything_is_listed_once_and_found_by_id() {
    let client = client();
    let mut total = 0;
    for collection in client.simulator.collections() {
        let (name, id) = (text(&collection["name"]), text(&collection["id"]));
        let all = everything(&client, &collection).await;
        let known: BTreeSet<String> = client
            .simulator
            .items(&name)
            .iter()
            .map(|item| text(&item[&id]))
            .collect();
        let seen: BTreeSet<String> = all.iter().map(|(_, row)| text(&row[&id])).collect();
        assert_eq!((all.len(), &seen), (known.len(), &known), "{name}");
        assert!(!known.is_empty(), "{name} is empty");
        total += known.len();
        let by = collection["found_by"]
            .as_array()
            .unwrap()
            .last()
            .map_or_else(|| id.clone(), text);
        for (path, row) in all {
            let by = if row[&by].is_null() { &id } else { &by };
            let one = client.get(&format!("{path}/{}", text(&row[by]))).await;
            assert_eq!(one.status, 200, "{name}");
            let one = one.json()[text(&collection["singular"])].clone();
            for (field, value) in one.as_object().unwrap() {
                // A listing says less of apps and of addresses than a GET by id does.
                assert!(
                    row.get(field).is_none_or(|listed| listed == value),
                    "{name} {field}"
                );
            }
        }
        let path = lists(&client.simulator, &collection).swap_remove(0);
        assert_eq!(client.get(&format!("{path}/nobody")).await.status, 404, "{name}");
        let post = client.post(&format!("{path}/x/y/z"), json!({})).await;
        assert_eq!(post.status, 404, "{name}");
    }
    assert!(total > 140, "{total}");
}

#[tokio::test]
async fn each_needs_its_scopes_and_hides_what_the_others_are_for() {
    let client = client();
    let before: BTreeMap<String, Vec<(String, Value)>> = {
        let mut before = BTreeMap::new();
        for collection in client.simulator.collections() {
            before.insert(text(&collection["name"]), everything(&client, &collection).await);
        }
        before
    };
    for collection in client.simulator.collections() {
        let name = text(&collection["name"]);
        let scopes: Vec<String> = collection["scopes"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect();
        let path = lists(&client.simulator, &collection).swap_remove(0);
        let one = format!("{path}/{}", text(&before[&name][0].1[text(&collection["id"])]));
        for left_out in &scopes {
            let others = scopes
                .iter()
                .filter(|scope| *scope != left_out)
                .map(String::as_str);
            client.simulator.set_scopes("default", Scopes::only(others));
            assert_eq!(client.get(&path).await.status, 403, "{name} without {left_out}");
            assert_eq!(client.get(&one).await.status, 403, "{name} without {left_out}");
        }
        client
            .simulator
            .set_scopes("default", Scopes::only(scopes.iter().map(String::as_str)));
        let hidden: BTreeSet<String> = collection["hidden"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(scope, _)| !scopes.contains(scope))
            .flat_map(|(_, fields)| fields.as_array().unwrap().iter().map(text))
            .collect();
        let narrow = everything(&client, &collection).await;
        for ((_, full), (_, narrow)) in before[&name].iter().zip(&narrow) {
            let gone: BTreeSet<String> = full
                .as_object()
                .unwrap()
                .keys()
                .filter(|key| narrow.get(key.as_str()).is_none())
                .cloned()
                .collect();
            assert!(gone.is_subset(&hidden), "{name}: {gone:?}");
            assert!(hidden.iter().all(|field| narrow.get(field).is_none()), "{name}");
        }
    }
}

#[test]
fn every_collection_churns_the_same_way_twice() {
    let (one, two) = (start(7), start(7));
    for collection in one.collections() {
        let name = text(&collection["name"]);
        let churn = Churn {
            collection: name.clone(),
            seed: 11,
            count: Some(3),
            ..Churn::default()
        };
        if name == "projects" {
            continue;
        }
        // Those that a churn of others has taken along are made again first.
        for simulator in [&one, &two] {
            for number in 0..2 {
                let spec = json!({"name": format!("extra-{number}.example")});
                simulator
                    .create(&name, spec)
                    .unwrap_or_else(|problem| panic!("{name}: {problem}"));
            }
        }
        let before = one.items(&name);
        let done = one
            .churn(&churn)
            .unwrap_or_else(|problem| panic!("{name}: {problem}"));
        assert_eq!(two.churn(&churn).unwrap(), done, "{name}");
        assert_eq!(
            [done.created.len(), done.changed.len(), done.destroyed.len()],
            [1, 1, 1],
            "{name}"
        );
        let id = text(&collection["id"]);
        let find =
            |items: &[Value], wanted: &str| items.iter().find(|item| text(&item[&id]) == wanted).cloned();
        let after = one.items(&name);
        assert_eq!(after, two.items(&name), "{name}");
        assert_ne!(
            find(&before, &done.changed[0]).unwrap(),
            find(&after, &done.changed[0]).unwrap(),
            "{name}"
        );
        assert!(find(&before, &done.created[0]).is_none() && find(&after, &done.created[0]).is_some());
        assert!(find(&before, &done.destroyed[0]).is_some() && find(&after, &done.destroyed[0]).is_none());
    }
}

#[test]
fn every_change_rule_changes_something() {
    for seed in 0..24 {
        let simulator = start(seed);
        for collection in simulator.collections() {
            let name = text(&collection["name"]);
            let churn = Churn {
                collection: name.clone(),
                seed,
                count: Some(1),
                create: 0,
                destroy: 0,
                ..Churn::default()
            };
            let before = simulator.items(&name);
            simulator.churn(&churn).unwrap();
            let after = simulator.items(&name);
            let differ = before.iter().zip(&after).filter(|(one, two)| one != two);
            assert_eq!(differ.count(), 1, "{name} with seed {seed}");
        }
    }
}

fn start(seed: u64) -> Simulator {
    Simulator::start(Options {
        seed,
        ..Options::default()
    })
    .unwrap()
}

/// A value without its order: sets compare as sets.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(values) => {
            let mut values: Vec<Value> = values.iter().map(sorted).collect();
            values.sort_by_key(Value::to_string);
            Value::Array(values)
        }
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), sorted(value)))
            .collect(),
        other => other.clone(),
    }
}

#[tokio::test]
async fn what_changes_by_itself_changes_on_every_poll_and_nothing_else_does() {
    let client = client();
    let mut quiet = BTreeMap::new();
    for collection in client.simulator.collections() {
        let first = everything(&client, &collection).await;
        assert_eq!(
            first,
            everything(&client, &collection).await,
            "{}",
            collection["name"]
        );
        quiet.insert(text(&collection["name"]), first);
    }
    client.simulator.set_volatile(true);
    for collection in client.simulator.collections() {
        let name = text(&collection["name"]);
        let mut seen = BTreeSet::new();
        for _ in 0..12 {
            let polled = everything(&client, &collection).await;
            let ids = |all: &[(String, Value)]| {
                all.iter()
                    .map(|(_, row)| text(&row[text(&collection["id"])]))
                    .collect::<Vec<_>>()
            };
            assert_eq!(
                ids(&polled),
                ids(&quiet[&name]),
                "{name}: who is there does not change"
            );
            seen.insert(format!("{polled:?}"));
        }
        // These have nothing that changes by itself, and nothing that has an order.
        let still = ["account/keys", "cdn/endpoints", "vpcs"].contains(&name.as_str());
        assert_eq!(seen.len() > 1, !still, "{name}");
    }
    client.simulator.set_volatile(false);
    for collection in client.simulator.collections() {
        let again = everything(&client, &collection).await;
        assert_eq!(again, quiet[&text(&collection["name"])], "nothing was stored");
    }
}

/// Fields whose noise is told from an order: with both, a set of the rest is the same.
#[tokio::test]
async fn an_order_is_all_that_changes_where_nothing_else_is_volatile() {
    let client = client();
    let before = client.get("/v2/snapshots").await.json();
    client.simulator.set_volatile(true);
    let mut orders = BTreeSet::new();
    for _ in 0..20 {
        let polled = client.get("/v2/snapshots").await.json();
        assert_eq!(sorted(&polled), sorted(&before));
        orders.insert(polled.to_string());
    }
    assert!(orders.len() > 1);
    // The same request of the same account sees the same noise.
    let twin = self::client();
    twin.get("/v2/snapshots").await;
    twin.simulator.set_volatile(true);
    let first = twin.get("/v2/snapshots").await.json();
    assert!(orders.contains(&first.to_string()));
}

#[tokio::test]
async fn the_same_seed_gives_the_same_bytes_of_everything() {
    let (one, two, other) = (
        client(),
        client(),
        Client::with(Options {
            seed: 8,
            ..Options::default()
        }),
    );
    let mut differ = 0;
    for collection in one.simulator.collections() {
        for path in lists(&one.simulator, &collection) {
            let path = format!("{path}?per_page=200");
            let hosts = [&one, &two].map(|client| client.simulator.url());
            let (first, second) = (one.get(&path).await.body, two.get(&path).await.body);
            let [first, second] = [(first, &hosts[0]), (second, &hosts[1])]
                .map(|(body, host)| String::from_utf8(body).unwrap().replace(host.as_str(), ""));
            assert_eq!(first, second, "{path}");
            differ += usize::from(other.get(&path).await.body != first.as_bytes());
        }
    }
    assert!(differ > 30, "another seed is another account");
}

#[test]
fn a_small_account_stays_small() {
    let simulator = Simulator::start(Options {
        scenario: Scenario::Empty,
        ..Options::default()
    })
    .unwrap();
    for collection in simulator.collections() {
        let name = text(&collection["name"]);
        assert_eq!(
            simulator.items(&name).len(),
            usize::from(name == "projects"),
            "{name}"
        );
    }
}
