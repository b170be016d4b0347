//! Every kind of the catalogue through one walk: discovered, updated, three spaced strikes with proof, tombstone,
//! restored, a broken page, a thing that is hidden but alive.
//!
//! All kinds walk at once, each worker in turn, over the simulator's default account. A kind that is added to the
//! catalogue walks along as soon as it has its line in [`change_of`], which says what to change of one.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use shared::kinds::{CATALOGUE, Holds, Kind};
use shared::sync::{APPS, BACKUPS, Job, LONG_TAIL, RunOutcome, WORKERS};
use simulator::{Fault, FaultKind, Scenario};

use crate::invariants;
use crate::stage::Stage;

/// What of a thing of this kind is changed, and where the mirror shows it.
fn change_of(kind: &str) -> (Value, &'static str) {
    match kind {
        "droplet" => (json!({"size_slug": "s-8vcpu-16gb"}), "/attrs/size_slug"),
        "volume" => (json!({"size_gigabytes": 4_000}), "/attrs/size_gigabytes"),
        "snapshot" | "droplet_backup" | "custom_image" => (json!({"name": "renamed"}), "/name"),
        "floating_ip" => (json!({"region": {"slug": "sgp1"}}), "/region"),
        "reserved_ipv6" => (json!({"region_slug": "sgp1"}), "/region"),
        "load_balancer" => (json!({"size_unit": 9}), "/attrs/size_unit"),
        "managed_db" | "db_replica" => (json!({"size": "db-s-8vcpu-32gb"}), "/attrs/size"),
        "k8s_cluster" => (json!({"version": "9.9.9-do.0"}), "/attrs/version"),
        "app" => (json!({"tier_slug": "professional-9"}), "/attrs/tier_slug"),
        "dns_zone" => (json!({"ttl": 99}), "/attrs/ttl"),
        "cdn_endpoint" => (json!({"ttl": 99}), "/attrs/ttl"),
        "container_registry" => (json!({"region": "sgp1"}), "/region"),
        "alert_policy" => (json!({"window": "1h"}), "/attrs/window"),
        "functions_namespace" => (json!({"label": "renamed"}), "/name"),
        "byoip_prefix" => (json!({"advertised": "now"}), "/attrs/advertised"),
        "nfs_share" => (json!({"size_gib": 9_000}), "/attrs/size_gib"),
        "addon" => (json!({"plan_slug": "enterprise"}), "/attrs/plan_slug"),
        "dedicated_inference" => (json!({"region": "sgp1"}), "/region"),
        "autoscale_pool" | "firewall" | "vpc" | "vpc_peering" | "nat_gateway" | "partner_attachment"
        | "certificate" | "uptime_check" | "ssh_key" | "spaces_key" | "genai_agent" | "knowledge_base"
        | "vector_db" | "k8s_node_pool" => (json!({"name": "renamed"}), "/name"),
        other => panic!("what is to be changed of a {other}?"),
    }
}

/// Every kind that is listed.
fn listed() -> impl Iterator<Item = &'static Kind> {
    CATALOGUE
        .iter()
        .copied()
        .filter(|kind| !kind.is_known_by_urn_only())
}

/// The simulator's name for where things of a kind are.
fn collection(kind: &Kind) -> String {
    let listing = &kind.listings[0];
    let path = match listing.holds {
        Holds::Under { path, .. } => path.replace("{parent}/", ""),
        Holds::Inside(list) => format!("{}/{list}", listing.collection.path),
        Holds::Items | Holds::Only { .. } => listing.collection.path.to_string(),
    };
    path.trim_start_matches("/v2/").to_owned()
}

/// The things of a kind that there are, as the simulator has them.
pub fn there(stage: &Stage, kind: &Kind) -> Vec<Value> {
    let mut items = stage.sim.items(&collection(kind));
    if let Holds::Only { field, value } = kind.listings[0].holds {
        items.retain(|item| item[field] == value);
    }
    items
}

/// DigitalOcean's id of an item.
pub fn id_of(kind: &Kind, item: &Value) -> String {
    match &item[kind.id] {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        other => panic!("{} without an id: {other}", kind.name),
    }
}

/// Runs every worker; answers the verdict of each kind.
async fn round(stage: &Stage) -> BTreeMap<&'static str, &'static str> {
    let mut verdicts = BTreeMap::new();
    for worker in WORKERS {
        let report = stage.run(worker).await;
        let Job::Kinds(_) = worker.job else { continue };
        for done in &report.kinds {
            let reason = done.outcome.reason.as_deref().unwrap_or_default();
            assert!(
                done.outcome.verdict.name() != "unreadable",
                "{}: {reason}",
                done.kind
            );
            verdicts.insert(done.kind, done.outcome.verdict.name());
        }
    }
    verdicts
}

async fn all_complete(stage: &Stage) {
    let verdicts = round(stage).await;
    for kind in listed() {
        assert_eq!(verdicts.get(kind.name), Some(&"complete"), "{}", kind.name);
    }
}

/// One row as JSON.
async fn shown(stage: &Stage, kind: &Kind, id: &str) -> Value {
    let row = "SELECT to_jsonb(r) FROM cloud_resources r WHERE kind = $1 AND provider_id = $2";
    sqlx::query_scalar(row)
        .bind(kind.name)
        .bind(id)
        .fetch_optional(&stage.pool)
        .await
        .unwrap()
        .unwrap_or_else(|| panic!("{} {id} is not in the mirror", kind.name))
}

/// What has happened to it so far.
async fn happened(stage: &Stage, row: &Value) -> Vec<String> {
    stage.events(row["id"].as_str().unwrap().parse().unwrap()).await
}

#[tokio::test]
async fn every_kind_walks_from_discovery_to_restoration() {
    let mut stage = Stage::with(Scenario::Default).await;
    all_complete(&stage).await;
    let mut chosen: Vec<(&'static Kind, String, Value)> = Vec::new();
    for kind in listed() {
        let items = there(&stage, kind);
        assert!(!items.is_empty(), "the account has no {}", kind.name);
        let rows = stage.rows(kind.name).await;
        let (mut stored, mut known): (Vec<String>, Vec<String>) = (
            rows.iter().map(|row| row.provider_id.clone()).collect(),
            items.iter().map(|item| id_of(kind, item)).collect(),
        );
        stored.sort();
        known.sort();
        assert_eq!(stored, known, "{}", kind.name);
        let item = items.last().unwrap().clone();
        chosen.push((kind, id_of(kind, &item), item));
    }

    // At rest nothing is written, whatever changes by itself and in whatever order it comes.
    let events = stage.event_count().await;
    stage.sim.set_volatile(true);
    for _ in 0..3 {
        all_complete(stage.later(60)).await;
    }
    stage.sim.set_volatile(false);
    assert_eq!(
        stage.event_count().await,
        events,
        "{:?}",
        newest(&stage, events).await
    );

    stage.later(60);
    for (kind, id, _) in &chosen {
        stage
            .sim
            .change(&collection(kind), id, change_of(kind.name).0)
            .unwrap();
    }
    all_complete(&stage).await;
    for (kind, id, _) in &chosen {
        let row = shown(&stage, kind, id).await;
        let (patch, at) = change_of(kind.name);
        let to = patch.as_object().unwrap().values().next().unwrap();
        let to = to.get("slug").unwrap_or(to);
        assert_eq!(row.pointer(at), Some(to), "{}", kind.name);
        assert_eq!(happened(&stage, &row).await.last().unwrap(), "updated");
    }

    // Gone: three spaced complete listings and a proof, and not one less. What is inside goes before what holds it.
    let inside_first = |kind: &Kind| matches!(kind.listings[0].holds, Holds::Items | Holds::Only { .. });
    chosen.sort_by_key(|(kind, ..)| inside_first(kind));
    let mut before = BTreeMap::new();
    for (kind, id, item) in &mut chosen {
        *item = stage.sim.item(&collection(kind), &*id).unwrap();
        stage.sim.destroy(&collection(kind), &*id).unwrap();
        before.insert(kind.name, stage.tombstones(kind.name).await);
    }
    for strikes in 1..=3 {
        stage.sim.clear_requests();
        all_complete(stage.later(60)).await;
        for (kind, id, _) in &chosen {
            let row = shown(&stage, kind, id).await;
            assert_eq!(row["stale_strike_count"], strikes, "{}", kind.name);
            assert_eq!(row["deleted_at"].is_null(), strikes < 3, "{}", kind.name);
        }
    }
    for (kind, id, _) in &chosen {
        let row = shown(&stage, kind, id).await;
        let events = happened(&stage, &row).await;
        assert_eq!(
            events.iter().filter(|event| *event == "deleted").count(),
            1,
            "{}: {events:?}",
            kind.name
        );
        assert!(kind.by_id.is_some(), "{} dies without a proof", kind.name);
    }

    // Back again, what holds before what is inside.
    for (kind, _, item) in chosen.iter().rev() {
        let made = stage.sim.create(&collection(kind), item.clone());
        made.unwrap_or_else(|problem| panic!("{}: {problem:?}", kind.name));
    }
    all_complete(stage.later(60)).await;
    for (kind, id, _) in &chosen {
        let row = shown(&stage, kind, id).await;
        assert!(row["deleted_at"].is_null(), "{}", kind.name);
        assert_eq!(happened(&stage, &row).await.last().unwrap(), "restored");
    }
    invariants::hold(&stage.pool).await;
}

/// What has happened since there were so many events, for a test that expected nothing.
async fn newest(stage: &Stage, before: i64) -> Vec<Value> {
    sqlx::query_scalar(
        "SELECT jsonb_build_object('kind', r.kind, 'changes', e.changes)
         FROM cloud_resource_events e JOIN cloud_resources r ON r.id = e.resource_id ORDER BY e.id OFFSET $1 LIMIT 5",
    )
    .bind(before)
    .fetch_all(&stage.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_broken_page_of_any_kind_strikes_nobody() {
    let mut stage = Stage::with(Scenario::Default).await;
    all_complete(&stage).await;
    // One of each is really gone, so that somebody would be struck by a page that is wrongly believed.
    for kind in listed() {
        let items = there(&stage, kind);
        if items.len() > 1 {
            let id = id_of(kind, items.last().unwrap());
            stage.sim.destroy(&collection(kind), id).unwrap();
        }
    }
    // Broken for good: what may mend by itself is asked for again, and has its own test.
    for fault in [
        FaultKind::ItemWithoutId,
        FaultKind::ItemNotObject,
        FaultKind::DuplicateItem,
    ] {
        for kind in listed() {
            let listing = &kind.listings[0];
            stage
                .sim
                .fault(Fault::new(fault.clone()).exactly_on(&listing.collection.path));
        }
        stage.later(60);
        for worker in WORKERS {
            let Job::Kinds(kinds) = worker.job else { continue };
            let report = stage.run(worker).await;
            assert_eq!(
                report.outcome,
                RunOutcome::Incomplete,
                "{}: {report:?}",
                worker.name
            );
            assert_eq!(
                report.kinds.len(),
                kinds.len(),
                "{} stopped at a kind",
                worker.name
            );
            for done in &report.kinds {
                assert_eq!(done.outcome.verdict.name(), "incomplete", "{}", done.kind);
            }
        }
        stage.sim.clear_faults();
    }
    let struck: i64 = sqlx::query_scalar("SELECT count(*) FROM cloud_resources WHERE stale_strike_count > 0")
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    assert_eq!(struck, 0);
    invariants::hold(&stage.pool).await;
}

/// The body of a listing that shows only these, in the envelope of its style of paging.
fn page(kind: &Kind, items: &[Value]) -> String {
    let mut body = Map::new();
    body.insert(kind.listings[0].collection.root.to_owned(), items.into());
    body.insert("links".to_owned(), json!({}));
    body.insert("meta".to_owned(), json!({"total": items.len()}));
    body.insert("total".to_owned(), items.len().into());
    Value::Object(body).to_string()
}

#[tokio::test]
async fn what_answers_by_id_is_never_a_tombstone_of_any_kind() {
    let mut stage = Stage::with(Scenario::Default).await;
    all_complete(&stage).await;
    let mut hidden = Vec::new();
    for kind in listed() {
        let listing = &kind.listings[0];
        // What is inside another has no listing of its own to hide it from.
        if !matches!(listing.holds, Holds::Items) || kind.name == "droplet" || kind.name == "snapshot" {
            continue;
        }
        let mut items = there(&stage, kind);
        let Some(item) = items.pop() else { continue };
        let mut address = format!("{}?", listing.collection.path);
        for (name, value) in listing.collection.query {
            address += &format!("{name}={value}&");
        }
        if listing.collection.paging != shared::digitalocean::listing::Paging::Whole {
            address += "page=1&per_page=200";
        }
        stage
            .sim
            .serve_body(address.trim_end_matches(['?', '&']), page(kind, &items));
        hidden.push((kind, id_of(kind, &item)));
    }
    assert!(hidden.len() > 25);
    for _ in 0..5 {
        round(stage.later(60)).await;
    }
    for (kind, id) in hidden {
        let row = shown(&stage, kind, &id).await;
        assert_eq!(
            (row["deleted_at"].is_null(), &row["stale_strike_count"]),
            (true, &json!(2)),
            "{} {id}",
            kind.name
        );
    }
    invariants::hold(&stage.pool).await;
}

/// An image keeps its id when a backup is made a snapshot: what is there by id is another kind.
#[tokio::test]
async fn a_backup_that_was_made_a_snapshot_is_gone_as_a_backup() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage.run(&BACKUPS).await;
    let kind = Kind::named("droplet_backup").unwrap();
    let backups = there(&stage, kind);
    let (made, kept) = (id_of(kind, &backups[0]), id_of(kind, &backups[1]));
    stage
        .sim
        .change("images", &made, json!({"type": "snapshot"}))
        .unwrap();
    for _ in 0..3 {
        stage.later(60).run(&BACKUPS).await;
    }
    assert!(!shown(&stage, kind, &made).await["deleted_at"].is_null());
    assert!(shown(&stage, kind, &kept).await["deleted_at"].is_null());
    invariants::hold(&stage.pool).await;
}

/// Some services give fewer items a page than they are asked for.
#[tokio::test]
async fn pages_smaller_than_asked_for_are_walked_to_the_end() {
    let mut stage = Stage::with(Scenario::Empty).await;
    let apps: Vec<Value> = (0..60)
        .map(|n| json!({"id": format!("app-{n:02}"), "spec": {"name": format!("app-{n:02}")}}))
        .collect();
    for (at, items) in apps.chunks(25).enumerate() {
        let page = at + 1;
        let next = format!("{}/v2/apps?page={}&per_page=25", stage.sim.url(), page + 1);
        let links = if page < 3 {
            json!({"pages": {"next": next}})
        } else {
            json!({})
        };
        let body = json!({"apps": items, "links": links, "meta": {"total": apps.len()}});
        let address = format!("/v2/apps?with_projects=true&page={page}&per_page=200");
        stage.sim.serve_body(&address, body.to_string());
    }
    let report = stage.run(&APPS).await;
    let done = &report.kinds[0];
    assert_eq!(
        (report.outcome, done.seen, done.outcome.discovered),
        (RunOutcome::Complete, 60, 60),
        "{report:?}"
    );
    // The last page lies: doubt, and nobody is struck.
    let body = json!({"apps": apps[50..59], "links": {}, "meta": {"total": apps.len()}});
    stage.sim.serve_body(
        "/v2/apps?with_projects=true&page=3&per_page=200",
        body.to_string(),
    );
    assert_eq!(stage.later(20).run(&APPS).await.outcome, RunOutcome::Incomplete);
    invariants::hold(&stage.pool).await;
}

/// What Postgres refuses of one kind is said of that kind, and the others are none the worse for it.
#[tokio::test]
async fn a_statement_that_is_refused_stops_one_kind_only() {
    let mut stage = Stage::with(Scenario::Default).await;
    sqlx::raw_sql("ALTER TABLE cloud_resources ADD CONSTRAINT no_vpc CHECK (kind <> 'vpc')")
        .execute(&stage.pool)
        .await
        .unwrap();
    let report = stage.run(&LONG_TAIL).await;
    assert_eq!(
        (report.outcome, report.error_class),
        (RunOutcome::Failed, Some("database"))
    );
    let Job::Kinds(kinds) = LONG_TAIL.job else {
        panic!()
    };
    assert_eq!(report.kinds.len(), kinds.len() - 1, "{report:?}");
    let marker = stage.marker("vpc").await;
    assert_eq!(marker["verdict"], "incomplete", "{marker}");
    sqlx::raw_sql("ALTER TABLE cloud_resources DROP CONSTRAINT no_vpc")
        .execute(&stage.pool)
        .await
        .unwrap();
    assert_eq!(
        stage.later(60).run(&LONG_TAIL).await.outcome,
        RunOutcome::Complete
    );
    assert_eq!(stage.marker("vpc").await["verdict"], "complete");
    invariants::hold(&stage.pool).await;
}
