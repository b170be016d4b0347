//! What the kinds make of items in the official shapes: statuses that DigitalOcean does not tell, regions in four
//! shapes, parents, and what stays out.

use serde_json::{Value, json};

use super::entry::{self, Reader};
use super::{
    Address, CATALOGUE, Glimpse, Holds, Kind, Sighting, Told, db_replica, droplet, k8s_node_pool, urn,
};
use crate::digitalocean::listing::Entry;

fn kind(name: &str) -> &'static Kind {
    Kind::named(name).unwrap()
}

fn read(name: &str, item: &Value) -> Sighting {
    Sighting::read_within(kind(name), &item.to_string(), Some("outer"), None).unwrap()
}

/// Reads one item of a kind's first collection as a walk does.
fn walk(name: &str, item: &Value, told: &Told) -> (Entry, Vec<Sighting>) {
    let mut found = Vec::new();
    let (kind, text) = (kind(name), item.to_string());
    let holds = kind.listings[0].holds;
    let members = entry::members(kind, holds);
    let mut reader = Reader::new(kind, holds, &members);
    let mut take = |one: Glimpse<'_>| found.push(one.keep());
    let entry = reader.read(&members.of(&text).unwrap(), None, told, &mut take);
    (entry.unwrap(), found)
}

#[test]
fn a_status_that_nobody_tells_follows_from_what_is_told() {
    for (name, item, status) in [
        ("volume", json!({"id": "a", "droplet_ids": [7]}), Some("attached")),
        ("volume", json!({"id": "a", "droplet_ids": []}), Some("detached")),
        (
            "volume",
            json!({"id": "a", "droplet_ids": null}),
            Some("detached"),
        ),
        // A narrow token does not see the droplets: unknown, not detached.
        ("volume", json!({"id": "a"}), None),
        (
            "floating_ip",
            json!({"ip": "192.0.2.1", "droplet": {"id": 7}}),
            Some("assigned"),
        ),
        (
            "floating_ip",
            json!({"ip": "192.0.2.1", "droplet": null}),
            Some("unassigned"),
        ),
        ("floating_ip", json!({"ip": "192.0.2.1"}), None),
        (
            "uptime_check",
            json!({"id": "a", "enabled": false}),
            Some("disabled"),
        ),
        (
            "alert_policy",
            json!({"uuid": "a", "enabled": true}),
            Some("enabled"),
        ),
        ("dns_zone", json!({"name": "example.com"}), Some("active")),
        (
            "firewall",
            json!({"id": "a", "status": "succeeded"}),
            Some("succeeded"),
        ),
        ("firewall", json!({"id": "a", "status": "waiting"}), None),
        (
            "k8s_cluster",
            json!({"id": "a", "status": {"state": "running", "message": "x"}}),
            Some("running"),
        ),
        (
            "app",
            json!({"id": "a", "active_deployment": {"phase": "ACTIVE"}}),
            Some("ACTIVE"),
        ),
        (
            "certificate",
            json!({"id": "a", "state": "verified"}),
            Some("verified"),
        ),
        (
            "genai_agent",
            json!({"uuid": "a", "deployment": {"status": "STATUS_RUNNING"}}),
            Some("STATUS_RUNNING"),
        ),
    ] {
        assert_eq!(read(name, &item).status.as_deref(), status, "{name}: {item}");
    }
}

#[test]
fn regions_come_in_four_shapes() {
    let known = |region: &str| Some(Some(region.to_owned()));
    for (name, item, region) in [
        (
            "volume",
            json!({"id": "a", "region": {"slug": "fra1", "sizes": []}}),
            known("fra1"),
        ),
        ("managed_db", json!({"id": "a", "region": "nyc3"}), known("nyc3")),
        (
            "reserved_ipv6",
            json!({"ip": "2001:db8::1", "region_slug": "tor1"}),
            known("tor1"),
        ),
        ("snapshot", json!({"id": "1", "regions": ["ams3"]}), known("ams3")),
        (
            "snapshot",
            json!({"id": "1", "regions": ["ams3", "fra1"]}),
            Some(None),
        ),
        ("snapshot", json!({"id": "1", "regions": []}), Some(None)),
        ("load_balancer", json!({"id": "a", "type": "GLOBAL"}), None),
        ("dns_zone", json!({"name": "example.com"}), None),
    ] {
        assert_eq!(read(name, &item).region, region, "{name}: {item}");
    }
}

#[test]
fn what_belongs_to_what() {
    let cluster = "7f1c2b9e-1111-4222-8333-944445555666";
    let of = |kind: &str, id: &str| Some(json!({"kind": kind, "id": id}));
    for (name, item, parent) in [
        (
            "snapshot",
            json!({"id": "1", "resource_type": "droplet", "resource_id": "77"}),
            of("droplet", "77"),
        ),
        (
            "snapshot",
            json!({"id": "a", "resource_type": "volume", "resource_id": "v"}),
            of("volume", "v"),
        ),
        ("snapshot", json!({"id": "1"}), None),
        (
            "floating_ip",
            json!({"ip": "192.0.2.1", "droplet": {"id": 77}}),
            of("droplet", "77"),
        ),
        (
            "floating_ip",
            json!({"ip": "192.0.2.1", "droplet": null}),
            Some(Value::Null),
        ),
        ("floating_ip", json!({"ip": "192.0.2.1"}), None),
        (
            "droplet",
            json!({"id": 1, "tags": ["k8s", "k8s:worker", format!("k8s:{cluster}")]}),
            of("k8s_cluster", cluster),
        ),
        ("droplet", json!({"id": 1, "tags": ["k8s:worker"]}), None),
        (
            "k8s_node_pool",
            json!({"id": "p", "name": "pool"}),
            of("k8s_cluster", "outer"),
        ),
        ("db_replica", json!({"name": "read-1"}), of("managed_db", "outer")),
    ] {
        assert_eq!(read(name, &item).attrs.get("parent"), parent, "{name}: {item}");
    }
}

#[test]
fn names_and_ids_stand_where_each_kind_has_them() {
    for (name, item, id, called) in [
        ("app", json!({"id": "a", "spec": {"name": "shop"}}), "a", "shop"),
        (
            "floating_ip",
            json!({"ip": "192.0.2.1"}),
            "192.0.2.1",
            "192.0.2.1",
        ),
        (
            "cdn_endpoint",
            json!({"id": "a", "endpoint": "x.cdn.example"}),
            "a",
            "x.cdn.example",
        ),
        (
            "alert_policy",
            json!({"uuid": "u", "description": "CPU is high"}),
            "u",
            "CPU is high",
        ),
        (
            "functions_namespace",
            json!({"uuid": "u", "namespace": "fn-u", "label": "jobs"}),
            "u",
            "jobs",
        ),
        (
            "byoip_prefix",
            json!({"uuid": "u", "prefix": "203.0.113.0/24"}),
            "u",
            "203.0.113.0/24",
        ),
        (
            "container_registry",
            json!({"name": "bakery"}),
            "bakery",
            "bakery",
        ),
        (
            "spaces_key",
            json!({"access_key": "DO00X", "name": "k"}),
            "DO00X",
            "k",
        ),
        ("db_replica", json!({"name": "read-1"}), "outer/read-1", "read-1"),
        ("db_replica", json!({"id": "r", "name": "read-1"}), "r", "read-1"),
        ("ssh_key", json!({"id": 512, "name": "ops"}), "512", "ops"),
    ] {
        let sighting = read(name, &item);
        assert_eq!(
            (sighting.provider_id.as_str(), sighting.name.as_deref()),
            (id, Some(called)),
            "{name}"
        );
    }
}

#[test]
fn a_collection_may_hold_other_things_or_parents() {
    let none = Told::new();
    let (entry, found) = walk(
        "droplet_backup",
        &json!({"id": 5, "type": "snapshot", "name": "s"}),
        &none,
    );
    assert_eq!((entry, found.len()), (Entry::Beside("5".into()), 0));
    let told = Told::from([("6".to_owned(), "77".to_owned())]);
    let (entry, found) = walk(
        "droplet_backup",
        &json!({"id": 6, "type": "backup", "name": "b"}),
        &told,
    );
    assert_eq!(entry, Entry::Read("6".into(), found[0].hash));
    assert_eq!(
        found[0].attrs.get("parent").unwrap(),
        json!({"kind": "droplet", "id": "77"})
    );
    let cluster = json!({"id": "c", "node_pools": [{"id": "p", "name": "a"}, {"id": "q", "name": "b"}]});
    let (entry, found) = walk("k8s_node_pool", &cluster, &none);
    assert_eq!(entry, Entry::Many("c".into(), vec!["p".into(), "q".into()]));
    assert_eq!(
        found[1].attrs.get("parent").unwrap(),
        json!({"kind": "k8s_cluster", "id": "c"})
    );
    // A cluster that does not show its pools has not lost them.
    let holds = kind("k8s_node_pool").listings[0].holds;
    for hidden in [json!({"id": "c"}), json!({"id": "c", "node_pools": 3})] {
        let members = entry::members(kind("k8s_node_pool"), holds);
        let mut reader = Reader::new(kind("k8s_node_pool"), holds, &members);
        let text = hidden.to_string();
        let read = reader.read(&members.of(&text).unwrap(), None, &none, &mut |_| ());
        assert!(read.is_err(), "{hidden}");
    }
    assert!(matches!(
        kind("db_replica").listings[0].holds,
        Holds::Under { .. }
    ));
    let (entry, found) = walk("db_replica", &json!({"id": "d", "name": "main"}), &none);
    assert_eq!((entry, found.len()), (Entry::Beside("d".into()), 0));
    let holds = kind("db_replica").listings[0].holds;
    for (cluster, has_some) in [
        (json!({"id": "d", "engine": "pg"}), true),
        (json!({"id": "d", "engine": "valkey"}), false),
        (json!({"id": "d", "engine": "redis"}), false),
        (json!({"id": "d", "engine": null}), true),
        (json!({"id": "d"}), true),
    ] {
        let members = entry::members(kind("db_replica"), holds);
        let text = cluster.to_string();
        let parent = members.of(&text).unwrap();
        assert_eq!(entry::has_some_under(holds, &parent), has_some, "{cluster}");
    }
}

#[test]
fn what_somebody_else_sees_to_is_null() {
    let by_tag = read(
        "load_balancer",
        &json!({"id": "a", "tag": "web", "droplet_ids": [1]}),
    );
    // Said, not hidden: what it was when somebody saw to it by hand is not what it is.
    assert_eq!(by_tag.attrs.get("droplet_ids").unwrap(), Value::Null);
    let narrow = read("load_balancer", &json!({"id": "a", "droplet_ids": [1]}));
    assert!(narrow.attrs.get("droplet_ids").is_none());
    let by_hand = read(
        "load_balancer",
        &json!({"id": "a", "tag": "", "droplet_ids": [2, 1]}),
    );
    assert_eq!(by_hand.attrs.get("droplet_ids").unwrap(), json!([1, 2]));
    let scaled = read(
        "k8s_node_pool",
        &json!({"id": "a", "auto_scale": true, "count": 3}),
    );
    assert_eq!(scaled.attrs.get("count").unwrap(), Value::Null);
    let fixed = read(
        "k8s_node_pool",
        &json!({"id": "a", "auto_scale": false, "count": 3}),
    );
    assert_eq!(fixed.attrs.get("count").unwrap(), 3);
}

#[test]
fn order_means_nothing_at_any_depth() {
    let rules = |a: &str, b: &str| json!({"id": "f", "inbound_rules": [{"protocol": "tcp", "ports": "22", "sources": {"addresses": [a, b]}}]});
    let (one, other) = (
        read("firewall", &rules("10.0.0.1", "10.0.0.2")),
        read("firewall", &rules("10.0.0.2", "10.0.0.1")),
    );
    assert_eq!(one.hash, other.hash);
}

#[test]
fn secrets_are_on_no_list() {
    let secret = "hunter2";
    let items = json!({
        "managed_db": {"id": "a", "connection": {"host": "h", "password": secret, "uri": secret}, "users": [{"name": "u", "password": secret}],
                       "private_connection": {"uri": secret}, "ui_connection": {"uri": secret}},
        "functions_namespace": {"uuid": "a", "key": secret},
        "autoscale_pool": {"id": "a", "droplet_template": {"user_data": secret, "size": "s"}},
        "app": {"id": "a", "spec": {"name": "n", "envs": [{"key": "K", "value": secret}],
                "services": [{"name": "s", "envs": [{"key": "K", "value": secret}]}]},
                "active_deployment": {"id": "d", "spec": {"envs": [{"value": secret}]}}},
        "alert_policy": {"uuid": "a", "alerts": {"slack": [{"url": secret}], "email": [secret]}},
        "genai_agent": {"uuid": "a", "mcp_servers": [{"authorization": secret}], "instruction": secret},
        "addon": {"uuid": "a", "sso_url": secret, "metadata": [{"value": secret}]},
        "spaces_key": {"access_key": "a", "secret_key": secret},
        "ssh_key": {"id": 1, "public_key": secret},
        "partner_attachment": {"id": "a", "bgp": {"local_asn": 1, "auth_key": secret}},
        "db_replica": {"id": "a", "connection": {"password": secret}},
    });
    for (name, item) in items.as_object().unwrap() {
        assert!(item.to_string().contains(secret), "{name} holds none");
        let sighting = read(name, item);
        assert!(!format!("{sighting:?}").contains(secret), "{name} keeps a secret");
    }
}

#[test]
fn an_item_with_nothing_but_its_id_is_read_by_every_kind() {
    for kind in CATALOGUE {
        let item = json!({ kind.id: "x" });
        let sighting = Sighting::read(kind, &item.to_string());
        assert_eq!(sighting.unwrap().provider_id, "x", "{}", kind.name);
        for bad in [
            json!({}),
            json!({ kind.id: {} }),
            json!({ kind.id: "" }),
            json!([]),
        ] {
            assert!(
                Sighting::read(kind, &bad.to_string()).is_err(),
                "{}: {bad}",
                kind.name
            );
        }
    }
}

#[test]
fn names_and_urn_types_belong_to_one_kind_each() {
    let names: std::collections::BTreeSet<_> = CATALOGUE.iter().map(|kind| kind.name).collect();
    assert_eq!(names.len(), CATALOGUE.len());
    let types: Vec<_> = CATALOGUE.iter().flat_map(|kind| kind.urn_types).collect();
    let unique: std::collections::BTreeSet<_> = types.iter().collect();
    assert_eq!(unique.len(), types.len());
}

#[test]
fn an_id_stays_one_segment_of_a_path() {
    for (id, path) in [
        ("7", Some("/v2/droplets/7")),
        ("a/../b", Some("/v2/droplets/a%2F..%2Fb")),
        ("x?y#z", Some("/v2/droplets/x%3Fy%23z")),
        ("..", None),
        ("", None),
    ] {
        let one = Address {
            provider_id: id.to_owned(),
            ..Address::default()
        };
        assert_eq!(droplet::DROPLET.path_of(&one).as_deref(), path);
    }
}

#[test]
fn one_inside_another_is_found_there() {
    let mut one = Address {
        provider_id: "b".into(),
        name: "pool a".into(),
        parent_id: Some("c/1".into()),
    };
    let path = "/v2/kubernetes/clusters/c%2F1/node_pools/b";
    assert_eq!(k8s_node_pool::K8S_NODE_POOL.path_of(&one).as_deref(), Some(path));
    let path = "/v2/databases/c%2F1/replicas/pool%20a";
    assert_eq!(db_replica::DB_REPLICA.path_of(&one).as_deref(), Some(path));
    one.parent_id = None;
    assert_eq!(db_replica::DB_REPLICA.path_of(&one), None);
}

#[test]
fn every_urn_type_reads_as_its_kind() {
    for kind in CATALOGUE {
        for urn_type in kind.urn_types {
            assert_eq!(urn::kind_of(urn_type), kind.name);
        }
    }
}

#[test]
fn every_kind_is_told_of_and_well_formed() {
    for kind in CATALOGUE {
        assert!(
            !kind.listings.is_empty() || !kind.urn_types.is_empty(),
            "nothing tells of {}",
            kind.name
        );
        assert!(!kind.in_projects || !kind.urn_types.is_empty(), "{}", kind.name);
        let mut keys: Vec<_> = kind.attrs.iter().map(|attr| attr.key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), kind.attrs.len(), "{} keeps a field twice", kind.name);
        assert!(!keys.contains(&"parent"), "{}", kind.name);
    }
}

#[test]
fn a_hash_is_what_it_was_in_the_release_before() {
    // Another hash for an item that has not changed rewrites every row once: that takes a reason, and another READING.
    for (name, item, hash) in [
        (
            "droplet",
            r#"{"id": 7, "name": "gr\u00fc\u00df \"dich\"\u0000", "tags": ["k8s:760e09ef-dc84-11e8-981e-3cfdfeaae000", "b", "a\\", "b"], "memory": 1024.0, "created_at": "2024-03-05T10:11:02.500+01:00", "region": null, "image": {"id": 1, "slug": null}, "volume_ids": null}"#,
            1_489_923_460_977_043_529,
        ),
        (
            "load_balancer",
            r#"{"id": "x", "name": "lb", "tag": "web", "droplet_ids": [1], "status": "active", "forwarding_rules": [{"entry_port": 443, "entry_protocol": "https"}, {"entry_port": 80, "entry_protocol": "http"}], "region": {"slug": "ams3"}}"#,
            7_010_844_426_774_325_129,
        ),
        (
            "firewall",
            r#"{"id": "f", "name": "fw", "status": "succeeded", "inbound_rules": [{"protocol": "tcp", "ports": "22", "sources": {"addresses": ["10.0.0.2", "10.0.0.1"]}}], "droplet_ids": [3, 2]}"#,
            6_817_625_501_700_166_264,
        ),
        (
            "volume",
            r#"{"id": "v", "name": "vol", "droplet_ids": [7], "size_gigabytes": 10.50, "tags": null, "region": {"slug": "nyc1"}}"#,
            -8_520_810_288_824_043_065,
        ),
        (
            "snapshot",
            r#"{"id": 5, "name": "s", "resource_type": "droplet", "resource_id": "77", "regions": ["ams3"], "size_gigabytes": 2.34}"#,
            -3_140_115_468_436_587_778,
        ),
    ] {
        let sighting = Sighting::read_within(kind(name), item, Some("outer"), None).unwrap();
        assert_eq!(sighting.hash, hash, "{name}");
    }
}
