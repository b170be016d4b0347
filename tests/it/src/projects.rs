//! Projects, who is in them, and whose everything therefore is.
//!
//! `sync-projects` beside `sync-droplets` in any order, the bootstrap project, the operator's classification,
//! moves between projects, members that say nothing, tokens that see too little, and projects that go away.

use shared::inventory::{self, Actor, Classification, Member, Memberships};
use shared::sync::{DROPLETS, PROJECTS, Report, RunOutcome};
use simulator::scenario::{INTERNAL_PROJECT, TENANTS};
use simulator::{Fault, FaultKind, Scenario, Scopes};
use sqlx::Row;
use uuid::Uuid;

use crate::invariants;
use crate::stage::{Stage, Stored};

const ADA: Actor<'static> = Actor {
    name: "ada",
    lease: None,
};

/// The mirror's id of a project.
pub async fn project(stage: &Stage, name: &str) -> Uuid {
    sqlx::query_scalar("SELECT id FROM cloud_projects WHERE name = $1")
        .bind(name)
        .fetch_one(&stage.pool)
        .await
        .unwrap()
}

async fn classify(stage: &Stage, name: &str, purpose: &str, tenant: Option<&str>) {
    let says = Classification {
        purpose: purpose.to_owned(),
        tenant_id: tenant.map(str::to_owned),
    };
    let id = project(stage, name).await;
    let done = inventory::classify_project(&stage.pool, ADA, id, &says, "as agreed", stage.now).await;
    assert!(done.unwrap(), "{name}");
}

async fn classify_tenants(stage: &Stage) {
    for (name, tenant) in TENANTS {
        classify(stage, name, "tenant", Some(tenant)).await;
    }
}

/// Droplet, project, tenant and rule of every row: the end state of attribution.
async fn attributions(stage: &Stage) -> Vec<(String, Option<String>, Option<String>, String)> {
    let rows = sqlx::query(
        "SELECT r.name, p.name AS project, r.tenant_id, r.attribution
         FROM cloud_resources r LEFT JOIN cloud_projects p ON p.id = r.cloud_project_id ORDER BY r.name",
    )
    .fetch_all(&stage.pool)
    .await
    .unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
        .collect()
}

async fn droplet(stage: &Stage, name: &str) -> Stored {
    stage.row("droplet", &stage.droplet(name)).await
}

fn attributed(report: &Report) -> u32 {
    report.settled.unwrap().attributed
}

#[tokio::test]
async fn the_order_of_syncs_does_not_matter() {
    let mut ends = Vec::new();
    for projects_first in [true, false] {
        let mut stage = Stage::with(Scenario::Default).await;
        let order = if projects_first {
            [&PROJECTS, &DROPLETS]
        } else {
            [&DROPLETS, &PROJECTS]
        };
        for worker in order {
            assert_eq!(stage.run(worker).await.outcome, RunOutcome::Complete);
        }
        classify_tenants(&stage).await;
        ends.push(attributions(&stage).await);
        let events = stage.event_count().await;
        for worker in [&PROJECTS, &DROPLETS, &PROJECTS] {
            stage.later(15).run(worker).await;
        }
        assert_eq!(stage.event_count().await, events, "not at rest");
        invariants::hold(&stage.pool).await;
    }
    assert_eq!(ends[0], ends[1]);
    for (name, project, tenant, rule) in &ends[0] {
        assert_eq!((rule.as_str(), project.is_some()), ("membership", true), "{name}");
        let owner = TENANTS
            .iter()
            .find(|(known, _)| Some(*known) == project.as_deref());
        assert_eq!(tenant.as_deref(), owner.map(|(_, tenant)| *tenant), "{name}");
    }
}

#[tokio::test]
async fn a_classified_project_takes_everything_in_it_along_one_event_each() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage.sync().await;
    stage.run(&PROJECTS).await;
    let (name, tenant) = TENANTS[0];
    let inside: Vec<_> = attributions(&stage)
        .await
        .into_iter()
        .filter(|row| row.1.as_deref() == Some(name))
        .collect();
    assert!(inside.len() > 3);
    let before = stage.event_count().await;
    stage.later(1);
    classify(&stage, name, "tenant", Some(tenant)).await;
    assert_eq!(
        usize::try_from(stage.event_count().await - before).unwrap(),
        inside.len() + 1
    );
    // Saying the same again says nothing.
    classify(&stage, name, "tenant", Some(tenant)).await;
    assert_eq!(
        usize::try_from(stage.event_count().await - before).unwrap(),
        inside.len() + 1
    );
    let row = droplet(&stage, "larkspur-web-1").await;
    assert_eq!((row.tenant_id.as_deref(), row.version), (Some(tenant), 3));
    // Given to somebody else: whoever loses it is named.
    classify(&stage, name, "tenant", Some("new-owner")).await;
    assert_eq!(left_by(&stage, row.id).await, ["", "", "", tenant]);
    classify(&stage, name, "internal", None).await;
    assert_eq!(droplet(&stage, "larkspur-web-1").await.tenant_id, None);
    let events = stage.event_count().await;
    stage.later(15).run(&PROJECTS).await;
    stage.sync().await;
    assert_eq!(
        stage.event_count().await,
        events,
        "a sync touched the operator's word"
    );
    invariants::hold(&stage.pool).await;
}

/// Whom each event of a resource took it from; `""` for nobody.
async fn left_by(stage: &Stage, id: Uuid) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT COALESCE(left_tenant_id, '') FROM cloud_resource_events WHERE resource_id = $1 ORDER BY id",
    )
    .bind(id)
    .fetch_all(&stage.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_move_is_one_change_that_says_whom_it_left() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage.sync().await;
    stage.run(&PROJECTS).await;
    classify_tenants(&stage).await;
    let row = droplet(&stage, "novak-tiles-1").await;
    let (from, to) = (TENANTS[3], TENANTS[0]);
    assert_eq!(row.tenant_id.as_deref(), Some(from.1));
    stage
        .sim
        .assign(&format!("do:droplet:{}", row.provider_id), to.0)
        .unwrap();
    let before = stage.event_count().await;
    stage.later(15);
    stage.sync().await;
    assert_eq!(
        stage.event_count().await,
        before,
        "a droplet does not say whose it is"
    );
    let report = stage.run(&PROJECTS).await;
    assert_eq!(
        (attributed(&report), report.settled.unwrap().members),
        (1, 1),
        "{report:?}"
    );
    assert_eq!(stage.event_count().await, before + 1);
    let moved = stage.row("droplet", &row.provider_id).await;
    assert_eq!(
        (moved.tenant_id.as_deref(), moved.version),
        (Some(to.1), row.version + 1)
    );
    let changes = stage.last_change(row.id).await;
    assert_eq!(
        changes["tenant_id"],
        serde_json::json!({"from": from.1, "to": to.1})
    );
    assert_eq!(changes.as_object().unwrap().len(), 2, "{changes}");
    assert_eq!(left_by(&stage, row.id).await.last().unwrap(), from.1);
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn what_a_membership_does_not_say_changes_nothing() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage.sync().await;
    stage.run(&PROJECTS).await;
    classify_tenants(&stage).await;
    let (before, events) = (attributions(&stage).await, stage.event_count().await);
    let urn = |name: &str| format!("do:droplet:{}", stage.droplet(name));
    // Rows that are there and say nothing, and one of them in another project at that.
    let (down, missing) = (urn("harbour-sql"), urn("harbour-vpn"));
    stage.sim.assign(&down, TENANTS[0].0).unwrap();
    stage
        .sim
        .world()
        .set_member_status(&down, "service_down")
        .unwrap();
    stage
        .sim
        .world()
        .set_member_status(&missing, "not_found")
        .unwrap();
    let report = stage.later(15).run(&PROJECTS).await;
    assert_eq!(
        (report.outcome, attributed(&report)),
        (RunOutcome::Complete, 0),
        "{report:?}"
    );
    // Rows that are not there at all, because the token may not see droplets.
    stage
        .sim
        .set_scopes("sync", Scopes::only(["account:read", "project:read"]));
    let report = stage.later(15).run(&PROJECTS).await;
    assert_eq!(
        (report.outcome, attributed(&report)),
        (RunOutcome::Complete, 0),
        "{report:?}"
    );
    // Lists that cannot be had.
    stage.sim.set_scopes("sync", Scopes::Full);
    stage.sim.world().set_member_status(&down, "ok").unwrap();
    stage.sim.assign(&down, TENANTS[1].0).unwrap();
    let broken = stage.sim.project_id(TENANTS[2].0).unwrap();
    stage
        .sim
        .fault(Fault::new(FaultKind::LostScope403).on(&format!("/v2/projects/{broken}/resources")));
    let report = stage.later(15).run(&PROJECTS).await;
    assert_eq!((attributed(&report), report.notes.len()), (0, 1), "{report:?}");
    assert_eq!(attributions(&stage).await, before);
    assert_eq!(stage.event_count().await, events);
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn a_droplet_in_no_project_falls_back_and_a_later_membership_wins() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage.sync().await;
    stage.run(&PROJECTS).await;
    let made = stage
        .sim
        .create("droplets", serde_json::json!({"name": "homeless"}))
        .unwrap();
    let (id, urn) = (made["id"].to_string(), format!("do:droplet:{}", made["id"]));
    stage.sim.world().forget_member(&urn).unwrap();
    stage.later(1).sync().await;
    assert_eq!(stage.row("droplet", &id).await.attribution, "none");
    // A pass that could not see every project cannot say that something is in none.
    let broken = stage.sim.project_id(TENANTS[2].0).unwrap();
    stage
        .sim
        .fault(Fault::new(FaultKind::LostScope403).on(&format!("/v2/projects/{broken}/resources")));
    stage.later(1).run(&PROJECTS).await;
    assert_eq!(stage.row("droplet", &id).await.attribution, "none");
    stage.sim.clear_faults();
    stage.later(1).run(&PROJECTS).await;
    let row = stage.row("droplet", &id).await;
    assert_eq!((row.attribution.as_str(), row.version), ("fallback", 2));
    stage.sim.assign(&urn, TENANTS[0].0).unwrap();
    stage.later(1).run(&PROJECTS).await;
    assert_eq!(stage.row("droplet", &id).await.attribution, "membership");
    // Seen no more, it stays where it is known to have been.
    stage.sim.world().forget_member(&urn).unwrap();
    let report = stage.later(1).run(&PROJECTS).await;
    assert_eq!(attributed(&report), 0);
    invariants::hold(&stage.pool).await;
}

/// A droplet that was made while the pass was under way is in a project that had been walked already.
#[tokio::test]
async fn what_is_newer_than_the_pass_is_not_said_to_be_in_no_project() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage.sync().await;
    stage.run(&PROJECTS).await;
    let begun_at = stage.later(15).now;
    stage
        .sim
        .create("droplets", serde_json::json!({"name": "newborn"}))
        .unwrap();
    stage.later(1).sync().await;
    let member = r#"{"urn": "do:droplet:1", "assigned_at": "2025-01-01T00:00:00Z", "status": "ok"}"#;
    let seen = Memberships {
        projects: vec![(
            stage.sim.project_id("default").unwrap(),
            vec![Member::read(member).unwrap()],
        )],
        complete: true,
    };
    let settled = inventory::settle(
        &stage.pool,
        ADA,
        &seen,
        Some("skyai-internal"),
        begun_at,
        stage.now,
    )
    .await;
    assert_eq!(settled.unwrap().attributed, 0);
    assert_eq!(droplet(&stage, "newborn").await.attribution, "none");
    let report = stage.later(1).run(&PROJECTS).await;
    assert_eq!(attributed(&report), 1, "{report:?}");
    assert_eq!(droplet(&stage, "newborn").await.attribution, "membership");
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn the_operators_word_about_a_droplet_survives_every_sync() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage.sync().await;
    stage.run(&PROJECTS).await;
    classify_tenants(&stage).await;
    let id = stage.droplet("ops-mail");
    // As the API's PATCH leaves it: row and event.
    sqlx::raw_sql(
        "WITH said AS (UPDATE cloud_resources SET tenant_id = 'by-hand', attribution = 'operator', version = version + 1
                       WHERE name = 'ops-mail' RETURNING id, version)
         INSERT INTO cloud_resource_events (resource_id, version, event_type, changes, tenant_id, actor, occurred_at)
         SELECT id, version, 'updated', '{\"tenant_id\": {\"from\": null, \"to\": \"by-hand\"},
                \"attribution\": {\"from\": \"membership\", \"to\": \"operator\"}}', 'by-hand', 'ada', now() FROM said",
    )
    .execute(&stage.pool)
    .await
    .unwrap();
    stage
        .sim
        .assign(&format!("do:droplet:{id}"), TENANTS[0].0)
        .unwrap();
    stage
        .sim
        .change("droplets", &id, serde_json::json!({"status": "off"}))
        .unwrap();
    stage.later(15).run(&PROJECTS).await;
    stage.sync().await;
    classify(&stage, INTERNAL_PROJECT, "tenant", Some("somebody")).await;
    stage.later(15).run(&PROJECTS).await;
    let row = stage.row("droplet", &id).await;
    assert_eq!(
        (row.tenant_id.as_deref(), row.attribution.as_str()),
        (Some("by-hand"), "operator")
    );
    assert_eq!(row.status, "off");
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn a_project_goes_by_strikes_and_its_droplets_move_first() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage.sync().await;
    stage.run(&PROJECTS).await;
    classify_tenants(&stage).await;
    let (name, tenant) = TENANTS[1];
    let id = stage.sim.project_id(name).unwrap();
    stage.sim.destroy("projects", &id).unwrap();
    let state = async |stage: &Stage| {
        let row = sqlx::query(
            "SELECT stale_strike_count, deleted_at IS NOT NULL FROM cloud_projects WHERE name = $1",
        )
        .bind(name)
        .fetch_one(&stage.pool)
        .await
        .unwrap();
        (row.get::<i16, _>(0), row.get::<bool, _>(1))
    };
    let mut history = Vec::new();
    for minutes in [1, 5, 5, 5, 5, 15] {
        let report = stage.later(minutes).run(&PROJECTS).await;
        history.push(state(&stage).await);
        // Until it has its tombstone it may be there, with members that nobody walked.
        let outcome = if history.len() < 5 {
            RunOutcome::Incomplete
        } else {
            RunOutcome::Complete
        };
        assert_eq!(report.outcome, outcome, "{report:?}");
    }
    let expected = [
        (1, false),
        (1, false),
        (2, false),
        (2, false),
        (3, true),
        (3, true),
    ];
    assert_eq!(history, expected);
    let row = droplet(&stage, "harbour-sql").await;
    assert_eq!((row.tenant_id, row.attribution.as_str()), (None, "membership"));
    assert_eq!(left_by(&stage, row.id).await.last().unwrap(), tenant);
    let dead = sqlx::query_scalar::<_, Vec<String>>(
        "SELECT array_agg(e.event_type ORDER BY e.id) FROM cloud_resource_events e
         JOIN cloud_projects p ON p.id = e.project_id WHERE p.name = $1",
    );
    let events = dead.bind(name).fetch_one(&stage.pool).await.unwrap();
    assert_eq!(events, ["discovered", "updated", "deleted"]);
    invariants::hold(&stage.pool).await;
}

/// A page that repeats a project nobody knew yet is doubtful, and one row all the same.
#[tokio::test]
async fn a_project_that_is_listed_twice_is_one_project() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage
        .sim
        .fault(Fault::new(FaultKind::DuplicateItem).exactly_on("/v2/projects"));
    let report = stage.run(&PROJECTS).await;
    assert_eq!(report.outcome, RunOutcome::Incomplete, "{report:?}");
    stage.sim.clear_faults();
    let report = stage.later(1).run(&PROJECTS).await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    invariants::hold(&stage.pool).await;
}
