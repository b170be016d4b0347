//! The operator's window: what is known of each kind and how well, which worker ran when, and the release.

use serde_json::{Value, json};
use shared::sync::{PROJECTS, RunOutcome};
use simulator::{Fault, FaultKind, Scenario};

use crate::access::classified;
use crate::caller::{Api, operator, tenant};
use crate::invariants;
use crate::stage::Stage;
use simulator::scenario::TENANTS;

async fn listing(api: &Api, kind: &str) -> Value {
    let all = api.all("/api/v1/listings", &operator()).await;
    all.into_iter().find(|listing| listing["kind"] == kind).unwrap()
}

async fn blind_spots(api: &Api) -> Vec<Value> {
    let answer = api.get("/api/v1/inventory/summary", &operator()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let spots = answer.body["data"]["blind_spots"].as_array().unwrap().iter();
    spots.map(|spot| spot["kind"].clone()).collect()
}

#[tokio::test]
async fn every_kind_is_there_whether_or_not_it_was_ever_listed() {
    let stage = Stage::with(Scenario::Default).await;
    let api = Api::over(&stage.database);
    for kind in ["droplet", "project"] {
        let never = listing(&api, kind).await;
        assert_eq!(
            (
                &never["verdict"],
                &never["last_complete_at"],
                &never["age_seconds"],
                &never["live"]
            ),
            (&json!(null), &json!(null), &json!(null), &json!(0))
        );
        assert!(blind_spots(&api).await.contains(&json!(kind)));
    }
    stage.run(&PROJECTS).await;
    stage.sync().await;
    let rows = stage.rows("droplet").await.len();
    let now = listing(&api, "droplet").await;
    assert_eq!(
        (
            &now["verdict"],
            &now["last_complete_size"],
            &now["live"],
            &now["error"]
        ),
        (&json!("complete"), &json!(rows), &json!(rows), &json!(null))
    );
    assert_eq!(now["last_complete_at"], "2026-11-21T10:00:00Z");
    assert!(now["age_seconds"].is_i64());
    let spots = blind_spots(&api).await;
    assert!(!spots.contains(&json!("droplet")) && !spots.contains(&json!("project")));
}

#[tokio::test]
async fn what_could_not_be_listed_is_a_blind_spot_with_its_reason() {
    let mut stage = Stage::with(Scenario::Default).await;
    stage.sync().await;
    let api = Api::over(&stage.database);
    stage
        .sim
        .fault(Fault::new(FaultKind::LostScope403).on("/v2/droplets"));
    let report = stage.later(5).sync().await;
    assert_eq!(report.outcome, RunOutcome::Unreadable);
    let shown = listing(&api, "droplet").await;
    assert_eq!(
        (&shown["verdict"], &shown["last_complete_at"]),
        (&json!("unreadable"), &json!("2026-11-21T10:00:00Z"))
    );
    assert!(!shown["error"].as_str().unwrap().is_empty());
    assert!(blind_spots(&api).await.contains(&json!("droplet")));
    let runs = api.all("/api/v1/sync-runs?limit=1", &operator()).await;
    let outcomes: Vec<&Value> = runs.iter().map(|run| &run["outcome"]).collect();
    assert_eq!(outcomes, ["unreadable", "complete"], "the newest first");
    assert_eq!(runs[0]["id"], report.run_id.unwrap().to_string());
}

#[tokio::test]
async fn runs_are_found_by_worker_outcome_and_time_and_paged() {
    let mut stage = Stage::with(Scenario::Empty).await;
    for _ in 0..7 {
        stage.later(10).run(&PROJECTS).await;
        stage.sync().await;
    }
    let api = Api::over(&stage.database);
    for (query, expected) in [
        ("", 14),
        ("worker=sync-droplets", 7),
        ("worker=sync-nothing", 0),
        ("outcome=complete", 14),
        ("outcome=failed", 0),
        ("since=2026-11-21T10:30:00Z", 10),
        ("until=2026-11-21T10:30:00Z", 4),
        (
            "worker=sync-projects&since=2026-11-21T10:20:00Z&until=2026-11-21T10:40:00Z",
            2,
        ),
    ] {
        for limit in [1, 3, 100] {
            let path = format!("/api/v1/sync-runs?limit={limit}&{query}");
            let runs = api.all(path.trim_end_matches('&'), &operator()).await;
            assert_eq!(runs.len(), expected, "{path}");
            let times: Vec<_> = runs
                .iter()
                .map(|run| crate::questions::moment(&run["started_at"]))
                .collect();
            assert!(times.is_sorted_by(|a, b| a >= b), "{path}");
        }
    }
}

#[tokio::test]
async fn a_suspicion_is_released_for_what_is_missing() {
    let mut stage = Stage::with(Scenario::Scale { droplets: 12 }).await;
    stage.sync().await;
    let api = Api::over(&stage.database);
    let path = "/api/v1/listings/droplet/release";
    let calm = api.edit("POST", path, &operator(), None, &json!({})).await;
    assert_eq!(calm.status, 409, "{}", calm.text);
    let unknown = api
        .edit(
            "POST",
            "/api/v1/listings/volume/release",
            &operator(),
            None,
            &json!({}),
        )
        .await;
    assert_eq!(unknown.status, 404);

    let ids: Vec<String> = stage
        .sim
        .items("droplets")
        .iter()
        .map(|item| item["id"].to_string())
        .collect();
    for id in &ids[..6] {
        stage.sim.destroy("droplets", id).unwrap();
    }
    assert_eq!(stage.later(11).sync().await.outcome, RunOutcome::Suspect);
    let shown = listing(&api, "droplet").await;
    assert_eq!(
        (&shown["verdict"], &shown["suspicion"]["listings"]),
        (&json!("suspect"), &json!(1))
    );
    for (body, culprit) in [
        (json!({"for_minutes": 0}), "for_minutes"),
        (json!({"for_minutes": 43_201}), "for_minutes"),
        (json!({"minutes": 5}), "minutes"),
    ] {
        let answer = api.edit("POST", path, &operator(), None, &body).await;
        assert_eq!(answer.status, 422, "{body}");
        assert!(answer.body["errors"].to_string().contains(culprit));
    }
    assert_eq!(
        api.edit("POST", path, &tenant("a"), None, &json!({}))
            .await
            .status,
        403
    );
    assert!(listing(&api, "droplet").await["release"].is_null());

    let body = json!({"reason": "the old cluster is gone", "for_minutes": 43_200});
    let released = api.edit("POST", path, &operator(), None, &body).await;
    assert_eq!(released.status, 200, "{}", released.text);
    let release = &released.body["data"]["release"];
    assert_eq!(
        (&release["by"], &release["reason"]),
        (
            &json!("operator@arcadia.example"),
            &json!("the old cluster is gone")
        )
    );

    // Believed now; what goes missing next is not what was released.
    for _ in 0..2 {
        assert_eq!(stage.later(11).sync().await.outcome, RunOutcome::Complete);
    }
    for id in &ids[6..] {
        stage.sim.destroy("droplets", id).unwrap();
    }
    assert_eq!(stage.later(11).sync().await.outcome, RunOutcome::Suspect);
    assert_eq!(stage.tombstones("droplet").await, 6);
    assert!(
        listing(&api, "droplet").await["release"].is_null(),
        "the release was for the others"
    );
    // Without a body: while they are missing.
    let authorization = format!("Bearer {}", operator());
    let bare = api
        .send("POST", path, &[("authorization", &authorization)], "")
        .await;
    assert_eq!(bare.status, 200, "{}", bare.text);
    assert_eq!(bare.body["data"]["release"]["until"], json!(null));
    for _ in 0..3 {
        stage.later(11).sync().await;
    }
    assert_eq!(stage.tombstones("droplet").await, 12);
    invariants::hold(&stage.pool).await;
}

#[tokio::test]
async fn a_summary_counts_what_its_reader_may_see() {
    let stage = classified().await;
    let api = Api::over(&stage.database);
    let rows = stage.everything().await;
    let all = api.get("/api/v1/inventory/summary", &operator()).await.body["data"].clone();
    assert_eq!(
        (&all["resources"], &all["deleted"]),
        (&json!(rows.len()), &json!(0))
    );
    let kinds = all["kinds"].as_array().unwrap();
    for kind in ["droplet", "spaces_bucket"] {
        let shown = kinds.iter().find(|shown| shown["kind"] == kind).unwrap();
        let count = rows.iter().filter(|row| row.kind == kind).count();
        assert_eq!(shown["resources"], json!(count), "{kind}");
    }
    let tenants: i64 = all["tenants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["resources"].as_i64().unwrap())
        .sum();
    assert_eq!(tenants, i64::try_from(rows.len()).unwrap());
    for (_, id) in TENANTS {
        let own = api.get("/api/v1/inventory/summary", &tenant(id)).await;
        let count = rows
            .iter()
            .filter(|row| row.tenant_id.as_deref() == Some(id))
            .count();
        let summary = &own.body["data"];
        assert_eq!(summary["resources"], json!(count), "{id}");
        assert_eq!(summary["tenants"], json!([{"tenant_id": id, "resources": count}]));
        assert_eq!(summary["kinds"][0]["last_complete_at"], "2026-11-21T10:00:00Z");
        assert!(
            summary.get("blind_spots").is_none(),
            "sizes and errors speak of the whole account"
        );
    }
    let nobody = api.get("/api/v1/inventory/summary", &tenant("nobody")).await;
    assert_eq!(nobody.body["data"]["resources"], json!(0));
}

#[tokio::test]
async fn an_entity_tag_is_of_everything_that_is_shown() {
    let mut stage = classified().await;
    let api = Api::over(&stage.database);
    let id = stage.rows("droplet").await[0].id;
    let path = format!("/api/v1/inventory/{id}");
    let authorization = format!("Bearer {}", operator());
    let ask = async |tag: &str| {
        let headers = [("authorization", authorization.as_str()), ("if-none-match", tag)];
        api.send("GET", &path, &headers, "").await
    };
    let first = ask("\"none\"").await;
    let tag = first.headers["etag"].to_str().unwrap().to_owned();
    let same = ask(&tag).await;
    assert_eq!((same.status, same.text.as_str()), (304, ""));
    assert_eq!(same.headers["etag"], tag.as_str());
    // Seen again: no new version, and yet not the same answer.
    stage.later(5).sync().await;
    let seen = ask(&tag).await;
    assert_eq!(
        (seen.status, &seen.body["data"]["version"]),
        (200, &first.body["data"]["version"])
    );
    let head = api
        .send("HEAD", &path, &[("authorization", authorization.as_str())], "")
        .await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_eq!(head.headers["etag"], seen.headers["etag"]);
}
