//! The operator's edits through the API: what they do, what they say about it, and when they are refused.

use serde_json::{Value, json};
use shared::sync::PROJECTS;
use simulator::scenario::TENANTS;

use crate::access::classified;
use crate::caller::{Api, operator, tenant};
use crate::invariants;
use crate::stage::{Stage, Stored};

const REASON: &str = "Ticket 4711";

async fn droplet_of(stage: &Stage, owner: &str) -> Stored {
    let rows = stage.rows("droplet").await;
    rows.into_iter()
        .find(|row| row.tenant_id.as_deref() == Some(owner))
        .unwrap()
}

#[tokio::test]
async fn a_word_is_given_taken_back_and_told() {
    let mut stage = classified().await;
    let api = Api::over(&stage.database);
    let (from, to) = (TENANTS[1].1, TENANTS[2].1);
    let row = droplet_of(&stage, from).await;
    let path = format!("/api/v1/inventory/{}", row.id);
    let give = |to: Value| json!({"tenant_id": to, "reason": REASON});

    let answer = api
        .edit("PATCH", &path, &operator(), None, &give(json!(to)))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let item = &answer.body["data"];
    assert_eq!(
        (
            &item["tenant_id"],
            &item["attribution"],
            &item["project_id"],
            &item["version"]
        ),
        (
            &json!(to),
            &json!("operator"),
            &json!(null),
            &json!(row.version + 1)
        )
    );
    let event = &answer.body["event"];
    assert_eq!(
        (
            &event["actor"],
            &event["reason"],
            &event["left_tenant_id"],
            &event["tenant_id"]
        ),
        (
            &json!("operator@arcadia.example"),
            &json!(REASON),
            &json!(from),
            &json!(to)
        )
    );
    assert_eq!(event["changes"]["tenant_id"], json!({"from": from, "to": to}));
    assert_eq!(&api.get(&path, &operator()).await.body["data"], item);
    assert_eq!(api.get(&path, &tenant(from)).await.status, 404);
    assert_eq!(api.get(&path, &tenant(to)).await.status, 200);

    // The same again says nothing, and no sync says otherwise.
    let events = stage.event_count().await;
    let again = api
        .edit("PATCH", &path, &operator(), None, &give(json!(to)))
        .await;
    assert_eq!((again.status, &again.body["event"]), (200, &json!(null)));
    stage.later(15).run(&PROJECTS).await;
    stage.sync().await;
    assert_eq!(stage.event_count().await, events);

    let back = api
        .edit("PATCH", &path, &operator(), None, &give(json!(null)))
        .await;
    let item = &back.body["data"];
    assert_eq!(
        (&item["tenant_id"], &item["attribution"], &item["version"]),
        (&json!(from), &json!("membership"), &json!(row.version + 2)),
        "{}",
        back.text
    );
    assert!(item["project_id"].is_string());
    // There is no word to take back any more.
    let back = api
        .edit("PATCH", &path, &operator(), None, &give(json!(null)))
        .await;
    assert_eq!((back.status, &back.body["event"]), (200, &json!(null)));
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn who_has_read_something_else_is_told_and_changes_nothing() {
    let stage = classified().await;
    let api = Api::over(&stage.database);
    let row = droplet_of(&stage, TENANTS[1].1).await;
    let project: (uuid::Uuid, i32) = sqlx::query_as("SELECT id, version FROM cloud_projects WHERE name = $1")
        .bind(TENANTS[1].0)
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    let events = stage.event_count().await;
    for (path, version, body) in [
        (
            format!("/api/v1/inventory/{}", row.id),
            row.version,
            json!({"tenant_id": "x", "reason": REASON}),
        ),
        (
            format!("/api/v1/projects/{}", project.0),
            project.1,
            json!({"tenant_id": "x", "reason": REASON}),
        ),
    ] {
        let (older, weak) = (format!("\"{}\"", version - 1), format!("W/\"{version}\""));
        for (tag, status) in [
            (older.as_str(), 412),
            (weak.as_str(), 412),
            ("\"other\"", 412),
            ("7", 400),
        ] {
            let answer = api.edit("PATCH", &path, &operator(), Some(tag), &body).await;
            assert_eq!(answer.status, status, "{path} {tag}");
        }
        assert_eq!(stage.event_count().await, events, "{path}");
    }
    // What an answer said is good for exactly one edit.
    let path = format!("/api/v1/inventory/{}", row.id);
    let read = api.get(&path, &operator()).await;
    let tag = read.headers["etag"].to_str().unwrap().to_owned();
    let body = |tenant: &str| json!({"tenant_id": tenant, "reason": REASON});
    let first = api
        .edit("PATCH", &path, &operator(), Some(&tag), &body("x"))
        .await;
    assert_eq!(first.status, 200, "{}", first.text);
    let second = api
        .edit("PATCH", &path, &operator(), Some(&tag), &body("y"))
        .await;
    assert_eq!(second.status, 412);
    assert!(
        second.body["detail"]
            .as_str()
            .unwrap()
            .contains(&format!("version {}", row.version + 1))
    );
    let next = first.headers["etag"].to_str().unwrap();
    assert_eq!(
        api.edit("PATCH", &path, &operator(), Some(next), &body("y"))
            .await
            .status,
        200
    );
    assert_eq!(stage.event_count().await, events + 2);
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn of_many_edits_at_once_that_have_read_the_same_one_counts() {
    let stage = classified().await;
    let row = droplet_of(&stage, TENANTS[1].1).await;
    let path = format!("/api/v1/inventory/{}", row.id);
    let tag = format!("\"{}\"", row.version);
    let apis: Vec<Api> = (0..8).map(|_| Api::over(&stage.database)).collect();
    let asked = apis.iter().enumerate().map(async |(n, api)| {
        let body = json!({"tenant_id": format!("tenant-{n}"), "reason": REASON});
        api.edit("PATCH", &path, &operator(), Some(&tag), &body)
            .await
            .status
    });
    let mut statuses = futures_util::future::join_all(asked).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn a_project_is_classified_and_everything_in_it_follows() {
    let stage = classified().await;
    let api = Api::over(&stage.database);
    let projects = api.all("/api/v1/projects?limit=2", &operator()).await;
    let found = projects
        .iter()
        .find(|project| project["name"] == TENANTS[0].0)
        .unwrap();
    let live = stage.everything().await;
    let inside: Vec<&Stored> = live
        .iter()
        .filter(|row| row.tenant_id.as_deref() == Some(TENANTS[0].1))
        .collect();
    let of = |kind: &str| inside.iter().filter(|row| row.kind == kind).count();
    assert_eq!(
        (&found["resources"], &found["kinds"]),
        (
            &json!(inside.len()),
            &json!({"droplet": of("droplet"), "spaces_bucket": of("spaces_bucket")})
        )
    );
    let inside = inside.len();
    let path = format!("/api/v1/projects/{}", found["id"].as_str().unwrap());
    for (body, tenant_id, purpose, moved) in [
        (
            json!({"tenant_id": "new-owner"}),
            json!("new-owner"),
            "tenant",
            inside,
        ),
        (json!({"purpose": "internal"}), json!(null), "internal", inside),
        (
            json!({"purpose": "shared", "tenant_id": null}),
            json!(null),
            "shared",
            0,
        ),
        (
            json!({"tenant_id": "a", "purpose": "tenant"}),
            json!("a"),
            "tenant",
            inside,
        ),
        (json!({"tenant_id": "a"}), json!("a"), "tenant", 0),
        (json!({"tenant_id": null}), json!(null), "unclassified", inside),
    ] {
        let mut with_reason = body.clone();
        with_reason["reason"] = json!(REASON);
        let before = stage.event_count().await;
        let answer = api.edit("PATCH", &path, &operator(), None, &with_reason).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.text);
        let project = &answer.body["data"];
        assert_eq!(
            (&project["tenant_id"], &project["purpose"], &answer.body["moved"]),
            (&tenant_id, &json!(purpose), &json!(moved)),
            "{body}"
        );
        let told = usize::from(!answer.body["event"].is_null());
        assert_eq!(
            usize::try_from(stage.event_count().await - before).unwrap(),
            moved + told,
            "{body}"
        );
    }
    let path = format!("/api/v1/events?project_id={}", found["id"].as_str().unwrap());
    let told = api.all(&path, &operator()).await;
    assert_eq!(told.iter().filter(|event| event["reason"] == REASON).count(), 5);
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn what_cannot_be_done_is_said_and_not_done() {
    let mut stage = classified().await;
    let api = Api::over(&stage.database);
    let row = droplet_of(&stage, TENANTS[1].1).await;
    let project: uuid::Uuid = sqlx::query_scalar("SELECT id FROM cloud_projects WHERE name = $1")
        .bind(TENANTS[1].0)
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    let resource = format!("/api/v1/inventory/{}", row.id);
    let project = format!("/api/v1/projects/{project}");
    let nowhere = "/api/v1/inventory/0197e7a0-0000-7000-8000-000000000001";
    let events = stage.event_count().await;
    let ok = json!({"tenant_id": "x", "reason": REASON});
    for (path, body, status, culprit) in [
        (resource.as_str(), json!({"reason": REASON}), 422, "tenant_id"),
        (&resource, json!({"tenant_id": "x"}), 422, "reason"),
        (&resource, json!({"tenant_id": "x", "reason": ""}), 422, "reason"),
        (
            &resource,
            json!({"tenant_id": "", "reason": REASON}),
            422,
            "tenant_id",
        ),
        (
            &resource,
            json!({"tenant_id": 7, "reason": REASON}),
            422,
            "tenant_id",
        ),
        (
            &resource,
            json!({"tenant_id": "x", "reason": REASON, "purpose": "tenant"}),
            422,
            "purpose",
        ),
        (&project, json!({"reason": REASON}), 422, "tenant_id"),
        (
            &project,
            json!({"purpose": "tenant", "reason": REASON}),
            422,
            "tenant_id",
        ),
        (
            &project,
            json!({"purpose": "tenant", "tenant_id": null, "reason": REASON}),
            422,
            "tenant_id",
        ),
        (
            &project,
            json!({"purpose": "shared", "tenant_id": "x", "reason": REASON}),
            422,
            "tenant_id",
        ),
        (
            &project,
            json!({"purpose": "mine", "reason": REASON}),
            422,
            "purpose",
        ),
        (nowhere, ok.clone(), 404, ""),
        ("/api/v1/inventory/7", ok.clone(), 404, ""),
        (
            "/api/v1/projects/0197e7a0-0000-7000-8000-000000000001",
            ok.clone(),
            404,
            "",
        ),
        (&format!("{resource}?force=true"), ok.clone(), 400, "force"),
    ] {
        let answer = api.edit("PATCH", path, &operator(), None, &body).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text);
        assert!(
            answer.body["errors"].to_string().contains(culprit),
            "{path} {body}: {}",
            answer.text
        );
    }
    for path in [&resource, &project] {
        let answer = api.edit("PATCH", path, &tenant(TENANTS[1].1), None, &ok).await;
        assert_eq!(answer.status, 403, "{path} as its owner");
    }
    assert_eq!(stage.event_count().await, events);
    // What is dead is not given away.
    stage.sim.destroy("droplets", &row.provider_id).unwrap();
    for _ in 0..3 {
        stage.later(11).sync().await;
    }
    let answer = api.edit("PATCH", &resource, &operator(), None, &ok).await;
    assert_eq!(answer.status, 409, "{}", answer.text);
    assert_eq!(
        api.get(&resource, &tenant(TENANTS[1].1)).await.body["data"]["tenant_id"],
        TENANTS[1].1
    );
    invariants::hold(&stage.pool).await;
}
