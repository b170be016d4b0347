//! Whichever is synced first: all orders of projects, clusters, droplets, volumes and snapshots end in the same
//! attribution, and an operator's word survives all of them. What belongs to something follows it when it moves.

use shared::inventory::edit::{self, Edit};
use shared::inventory::{self, Actor, Classification};
use shared::sync::{DROPLETS, FLOATING_IPS, PROJECTS, RunOutcome, SNAPSHOTS, VOLUMES, Worker};
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

fn orders() -> Vec<Vec<&'static Worker>> {
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
    rest(&[&PROJECTS, &DROPLETS, &VOLUMES, &SNAPSHOTS])
}

#[tokio::test]
async fn all_orders_end_in_the_same_attribution() {
    let mut expected: Option<Attributions> = None;
    for order in orders() {
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
