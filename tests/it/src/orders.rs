//! Whichever is synced first: all orders of projects, droplets, volumes and snapshots, and of projects, clusters and their
//! workers, end in the same attribution, and an operator's word survives all of them. What belongs to something follows it when it moves.

use serde_json::json;
use shared::inventory::edit::{self, Edit};
use shared::inventory::{self, Actor, Classification};
use shared::sync::{
    DOMAINS, DROPLETS, FLOATING_IPS, KUBERNETES, PROJECTS, RunOutcome, SNAPSHOTS, VOLUMES, Worker,
};
use simulator::Scenario;
use simulator::scenario::TENANTS;
use sqlx::Row;

use crate::invariants;
use crate::projects::project;
use crate::stage::Stage;

const ADA: Actor<'static> = Actor {
    name: "ada",
    lease: None,
};

/// Kind, id, project, tenant and rule of every row.
type Attributions = Vec<(String, String, Option<String>, Option<String>, String)>;

async fn attributions(stage: &Stage) -> Attributions {
    let rows = sqlx::query(
        "SELECT r.kind, r.provider_id, p.name, r.tenant_id, r.attribution
         FROM cloud_resources r LEFT JOIN cloud_projects p ON p.id = r.cloud_project_id
         ORDER BY r.kind, r.provider_id",
    )
    .fetch_all(&stage.pool)
    .await
    .unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)))
        .collect()
}

async fn classify(stage: &Stage) {
    for (name, tenant) in TENANTS {
        let says = Classification {
            purpose: "tenant".to_owned(),
            tenant_id: Some((*tenant).to_owned()),
        };
        let id = project(stage, name).await;
        let done = inventory::classify_project(&stage.pool, ADA, id, &says, "as agreed", stage.now).await;
        assert!(done.unwrap(), "{name}");
    }
}

fn orders(workers: &[&'static Worker]) -> Vec<Vec<&'static Worker>> {
    fn rest(left: &[&'static Worker]) -> Vec<Vec<&'static Worker>> {
        if left.is_empty() {
            return vec![Vec::new()];
        }
        let mut orders = Vec::new();
        for (at, first) in left.iter().enumerate() {
            let mut others = left.to_vec();
            others.remove(at);
            for mut order in rest(&others) {
                order.insert(0, *first);
                orders.push(order);
            }
        }
        orders
    }
    rest(workers)
}

#[tokio::test]
async fn all_orders_end_in_the_same_attribution() {
    let mut expected: Option<Attributions> = None;
    for order in orders(&[&PROJECTS, &DROPLETS, &VOLUMES, &SNAPSHOTS]) {
        let names: Vec<&str> = order.iter().map(|worker| worker.name).collect();
        let mut stage = Stage::with(Scenario::Default).await;
        for worker in &order {
            assert_eq!(stage.run(worker).await.outcome, RunOutcome::Complete, "{names:?}");
        }
        // Nothing that was attributed is left for a second pass.
        let once = attributions(&stage).await;
        for worker in &order {
            stage.later(20).run(worker).await;
        }
        assert_eq!(attributions(&stage).await, once, "{names:?}: not at rest");
        classify(&stage).await;
        let end = attributions(&stage).await;
        let of_parents = end.iter().filter(|row| row.4 == "parent" && row.3.is_some());
        assert!(of_parents.count() > 2, "{names:?}: {end:?}");
        assert_eq!(expected.get_or_insert_with(|| end.clone()), &end, "{names:?}");
        // The operator's own word survives all of them, and what belongs to the thing goes by it.
        let snapshot = stage
            .rows("snapshot")
            .await
            .into_iter()
            .find(|row| row.attribution == "parent" && row.attrs["parent"]["kind"] == "volume")
            .unwrap();
        let volume = stage
            .row("volume", snapshot.attrs["parent"]["id"].as_str().unwrap())
            .await;
        let word = Edit {
            by: "ada",
            reason: "as agreed",
            versions: None,
            now: stage.now,
        };
        let edited = edit::attribute(&stage.pool, volume.id, Some("by-word"), &word)
            .await
            .unwrap();
        assert!(edited.moved >= 1, "{names:?}");
        for worker in &order {
            stage.later(20).run(worker).await;
        }
        for (kind, row, rule) in [("volume", &volume, "operator"), ("snapshot", &snapshot, "parent")] {
            let row = stage.row(kind, &row.provider_id).await;
            assert_eq!(
                (row.tenant_id.as_deref(), row.attribution.as_str()),
                (Some("by-word"), rule),
                "{names:?}"
            );
        }
        invariants::hold(&stage.pool).await;
    }
}

#[tokio::test]
async fn what_belongs_to_something_moves_with_it_in_the_same_pass() {
    let mut stage = Stage::with(Scenario::Default).await;
    for worker in [&PROJECTS, &DROPLETS, &VOLUMES, &SNAPSHOTS, &FLOATING_IPS] {
        stage.run(worker).await;
    }
    classify(&stage).await;
    let snapshot = stage
        .rows("snapshot")
        .await
        .into_iter()
        .find(|row| row.attrs["parent"]["kind"] == "volume" && row.tenant_id.is_some())
        .unwrap();
    let volume = snapshot.attrs["parent"]["id"].as_str().unwrap().to_owned();
    let (name, tenant) = TENANTS
        .iter()
        .find(|(_, tenant)| Some(*tenant) != snapshot.tenant_id.as_deref())
        .unwrap();
    stage.sim.assign(&format!("do:volume:{volume}"), name).unwrap();
    stage.later(15).run(&PROJECTS).await;
    for (kind, id) in [("volume", &volume), ("snapshot", &snapshot.provider_id)] {
        let row = stage.row(kind, id).await;
        assert_eq!(row.tenant_id.as_deref(), Some(*tenant), "{kind}");
    }
    let row = stage.row("snapshot", &snapshot.provider_id).await;
    assert_eq!(
        (row.attribution.as_str(), row.version),
        ("parent", snapshot.version + 1)
    );
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn a_snapshot_outlives_what_it_was_made_of_and_stays_its_owners() {
    let mut stage = Stage::with(Scenario::Default).await;
    for worker in [&PROJECTS, &VOLUMES] {
        stage.run(worker).await;
    }
    classify(&stage).await;
    let snapshots = stage.sim.items("snapshots");
    let (snapshot, volume) = snapshots
        .iter()
        .find_map(|item| {
            let volume = stage.sim.item("volumes", item["resource_id"].as_str()?)?;
            Some((item["id"].as_str()?.to_owned(), volume["id"].as_str()?.to_owned()))
        })
        .unwrap();
    let owner = stage.row("volume", &volume).await.tenant_id;
    stage.sim.destroy("volumes", &volume).unwrap();
    for _ in 0..3 {
        stage.later(15).run(&VOLUMES).await;
    }
    assert!(stage.row("volume", &volume).await.deleted_at.is_some());
    // Seen for the first time when there is only a tombstone to ask.
    stage.later(15).run(&SNAPSHOTS).await;
    let row = stage.row("snapshot", &snapshot).await;
    assert_eq!((row.tenant_id, row.attribution.as_str()), (owner, "parent"));
    invariants::hold(&stage.pool).await;
}

/// A zone's id is its name: when it is made again, perhaps by somebody else, the operator's word about the first one is
/// about nothing any more.
#[tokio::test]
async fn a_zone_that_is_made_again_is_not_its_former_owners() {
    let mut stage = Stage::with(Scenario::Default).await;
    for worker in [&PROJECTS, &DOMAINS] {
        stage.run(worker).await;
    }
    classify(&stage).await;
    let word = Edit {
        by: "ada",
        reason: "as agreed",
        versions: None,
        now: stage.now,
    };
    let zone = stage.rows("dns_zone").await.remove(0);
    edit::attribute(&stage.pool, zone.id, Some("by-word"), &word)
        .await
        .unwrap();
    let item = stage.sim.item("domains", &zone.provider_id).unwrap();
    stage.sim.destroy("domains", &zone.provider_id).unwrap();
    for _ in 0..3 {
        stage.later(15).run(&DOMAINS).await;
    }
    let dead = stage.row("dns_zone", &zone.provider_id).await;
    assert_eq!(
        (dead.tenant_id.as_deref(), dead.deleted_at.is_some()),
        (Some("by-word"), true)
    );
    stage
        .sim
        .create("domains", json!({"name": item["name"]}))
        .unwrap();
    let (name, tenant) = TENANTS[1];
    let project = stage.sim.project_id(name).unwrap();
    let urn = format!("do:domain:{}", zone.provider_id);
    stage.sim.assign(&urn, &project).unwrap();
    stage.later(15).run(&DOMAINS).await;
    stage.run(&PROJECTS).await;
    let row = stage.row("dns_zone", &zone.provider_id).await;
    assert_eq!(
        (row.deleted_at, row.tenant_id.as_deref(), row.attribution.as_str()),
        (None, Some(tenant), "membership")
    );
    invariants::hold(&stage.pool).await;
}

/// A word that is taken back is taken back of what followed it, too.
#[tokio::test]
async fn what_followed_a_word_goes_with_it() {
    let mut stage = Stage::with(Scenario::Default).await;
    for worker in [&VOLUMES, &SNAPSHOTS] {
        stage.run(worker).await;
    }
    let mut word = Edit {
        by: "ada",
        reason: "as agreed",
        versions: None,
        now: stage.now,
    };
    let snapshots = stage.rows("snapshot").await;
    let snapshot = snapshots
        .iter()
        .find(|row| row.attrs["parent"]["kind"] == "volume")
        .unwrap();
    let volume = stage
        .row("volume", snapshot.attrs["parent"]["id"].as_str().unwrap())
        .await;
    assert_eq!(volume.attribution, "none");
    for (tenant, rules) in [
        (Some("by-word"), ["operator", "parent"]),
        (None, ["none", "none"]),
    ] {
        edit::attribute(&stage.pool, volume.id, tenant, &word)
            .await
            .unwrap();
        for (row, rule) in [(&volume, rules[0]), (snapshot, rules[1])] {
            let row = stage.row(&row.kind, &row.provider_id).await;
            assert_eq!(
                (row.tenant_id.as_deref(), row.attribution.as_str()),
                (tenant, rule),
                "{}",
                row.kind
            );
        }
        word.now = stage.later(1).now;
    }
    invariants::hold(&stage.pool).await;
}

/// Workers belong to their cluster, whichever is seen first.
#[tokio::test]
async fn all_orders_of_clusters_and_their_workers_end_in_the_same_attribution() {
    let mut expected: Option<Attributions> = None;
    for order in orders(&[&PROJECTS, &KUBERNETES, &DROPLETS]) {
        let names: Vec<&str> = order.iter().map(|worker| worker.name).collect();
        let stage = Stage::with(Scenario::Default).await;
        for worker in &order {
            assert_eq!(stage.run(worker).await.outcome, RunOutcome::Complete, "{names:?}");
        }
        classify(&stage).await;
        let workers: Vec<_> = stage.rows("droplet").await;
        let owned = workers
            .iter()
            .filter(|row| row.attrs["parent"]["kind"] == "k8s_cluster");
        assert!(owned.count() > 0, "{names:?}");
        let end = attributions(&stage).await;
        assert_eq!(expected.get_or_insert_with(|| end.clone()), &end, "{names:?}");
        invariants::hold(&stage.pool).await;
    }
}
