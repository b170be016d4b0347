//! A resource goes from one tenant to another: neither reads a word of the other's, wherever it looks.
//!
//! By the operator's word, by a membership at DigitalOcean, by a project that changes hands, and by coming back from
//! the dead in somebody else's project. Words that only one side may know are planted before and after; then both
//! sides ask everything there is to ask, and every answer is searched, cursors opened.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use shared::inventory::Classification;
use shared::inventory::edit;
use shared::sync::PROJECTS;
use simulator::scenario::TENANTS;
use uuid::Uuid;

use crate::access::classified;
use crate::caller::{Api, operator, tenant};
use crate::invariants;
use crate::past::{api_pool, by_ada};
use crate::questions::encoded;
use crate::stage::{Stage, Stored};

const FROM: (&str, &str) = TENANTS[3];
const TO: (&str, &str) = TENANTS[0];
const OTHER: (&str, &str) = TENANTS[2];

/// Plants what only the present owner may know: a name, a tag, a size; all at once, seen in one listing.
async fn plant(stage: &mut Stage, rows: &[Stored], word: &str) {
    for row in rows {
        let patch = json!({"name": format!("name-{word}"), "tags": [format!("tag-{word}")], "size_slug": format!("s-{word}")});
        stage.sim.change("droplets", &row.provider_id, patch).unwrap();
    }
    stage.later(5).sync().await;
}

async fn project_ids(stage: &Stage, name: &str) -> [String; 2] {
    let row: (Uuid, String) = sqlx::query_as("SELECT id, provider_id FROM cloud_projects WHERE name = $1")
        .bind(name)
        .fetch_one(&stage.pool)
        .await
        .unwrap();
    [row.0.to_string(), row.1]
}

struct Moved {
    stage: Stage,
    rows: Vec<Stored>,
    /// A moment at which the first owner had them, and one at which the second has.
    before: DateTime<Utc>,
    after: DateTime<Utc>,
}

/// Three resources that go from one to the other, each by a way of its own.
async fn moved() -> Moved {
    let mut stage = classified().await;
    let pool = api_pool(&stage).await;
    let rows: Vec<Stored> = stage
        .rows("droplet")
        .await
        .into_iter()
        .filter(|row| row.tenant_id.as_deref() == Some(FROM.1))
        .take(3)
        .collect();
    assert_eq!(rows.len(), 3);
    plant(&mut stage, &rows, "canary-first").await;
    let before = stage.now;
    // What it is handed over with belongs to both.
    plant(&mut stage, &rows[..2], "handed").await;
    stage.later(5);
    // By the operator's word.
    edit::attribute(&pool, rows[0].id, Some(TO.1), &by_ada(stage.now))
        .await
        .unwrap();
    // By DigitalOcean's.
    let urn = |row: &Stored| format!("do:droplet:{}", row.provider_id);
    stage.sim.assign(&urn(&rows[1]), TO.0).unwrap();
    stage.run(&PROJECTS).await;
    // From the dead: it disappears as the one's, and is the other's when it is seen again.
    stage.hide(&[&rows[2].provider_id]);
    stage.deny(&rows[2].provider_id);
    for _ in 0..3 {
        stage.later(11).sync().await;
    }
    assert_eq!(stage.tombstones("droplet").await, 1);
    stage.sim.assign(&urn(&rows[2]), TO.0).unwrap();
    stage.later(5).run(&PROJECTS).await;
    stage.sim.clear_bodies();
    // The last one changes and changes hands in one event.
    plant(&mut stage, &rows, "canary-second").await;
    let rows = stage
        .rows("droplet")
        .await
        .into_iter()
        .filter(|row| rows.iter().any(|moved| moved.id == row.id))
        .collect::<Vec<_>>();
    for row in &rows {
        assert_eq!(
            (row.tenant_id.as_deref(), row.deleted_at),
            (Some(TO.1), None),
            "{row:?}"
        );
        assert_eq!(row.name, "name-canary-second");
    }
    invariants::hold(&stage.pool).await;
    let after = stage.now;
    Moved {
        stage,
        rows,
        before,
        after,
    }
}

#[tokio::test]
async fn neither_owner_reads_a_word_of_the_other() {
    let Moved {
        stage,
        rows,
        before,
        after,
        ..
    } = moved().await;
    let api = Api::over(&stage.database);
    let [from_project, to_project] = [project_ids(&stage, FROM.0).await, project_ids(&stage, TO.0).await];
    let words = |tenant: &str, project: &str, ids: &[String; 2], planted: &str| -> Vec<String> {
        [tenant, project, &ids[0], &ids[1], planted]
            .iter()
            .map(|word| (*word).to_owned())
            .chain(["ada-canary", "reason-canary"].map(str::to_owned))
            .collect()
    };
    let first = words(FROM.1, FROM.0, &from_project, "canary-first");
    let second = words(TO.1, TO.0, &to_project, "canary-second");
    let moments: BTreeSet<DateTime<Utc>> =
        sqlx::query_scalar("SELECT DISTINCT occurred_at FROM cloud_resource_events")
            .fetch_all(&stage.pool)
            .await
            .unwrap()
            .into_iter()
            .chain([before, after])
            .collect();
    let mut paths = vec![
        "/api/v1/inventory?include_deleted=true&limit=2".to_owned(),
        "/api/v1/inventory/summary".to_owned(),
        "/api/v1/events?limit=3".to_owned(),
        "/api/v1/events?sort=-id".to_owned(),
        "/api/v1/events?kind=droplet&type=updated".to_owned(),
        "/api/v1/events?type=restored".to_owned(),
    ];
    for word in first.iter().chain(&second) {
        for filter in ["q", "tag", "status", "region"] {
            paths.push(format!(
                "/api/v1/inventory?include_deleted=true&{filter}={}",
                encoded(word)
            ));
        }
    }
    for id in [&from_project[0], &to_project[0]] {
        paths.push(format!("/api/v1/inventory?include_deleted=true&project_id={id}"));
        paths.push(format!("/api/v1/events?project_id={id}"));
    }
    for name in ["name-canary-first", "name-canary-second"] {
        paths.push(format!("/api/v1/inventory?include_deleted=true&q={name}"));
    }
    for row in &rows {
        paths.push(format!("/api/v1/inventory/{}", row.id));
        paths.push(format!("/api/v1/inventory/{}/events", row.id));
        paths.push(format!("/api/v1/events?resource_id={}", row.id));
    }
    for moment in &moments {
        let at = encoded(&moment.to_rfc3339_opts(SecondsFormat::Micros, true));
        paths.push(format!("/api/v1/inventory?include_deleted=true&as_of={at}"));
        paths.push(format!(
            "/api/v1/inventory?sort=-name&limit=3&include_deleted=true&as_of={at}"
        ));
        paths.push(format!("/api/v1/events?since={at}"));
        for row in &rows {
            paths.push(format!("/api/v1/inventory/{}?as_of={at}", row.id));
        }
    }
    let mut cursors: Vec<(String, String)> = Vec::new();
    for (own, foreign) in [(FROM.1, &second), (TO.1, &first)] {
        let mut searched = 0;
        for path in &paths {
            let mut next = path.clone();
            loop {
                let answer = api.get(&next, &tenant(own)).await;
                assert!(matches!(answer.status, 200 | 404), "{next}: {}", answer.text);
                let cursor = answer.body["page"]["next_cursor"].as_str().map(str::to_owned);
                let opened = cursor
                    .iter()
                    .map(|cursor| URL_SAFE_NO_PAD.decode(cursor).unwrap());
                let opened: Vec<String> = opened.map(|c| String::from_utf8_lossy(&c).into_owned()).collect();
                for text in opened.iter().chain([&answer.text]) {
                    let leak = foreign.iter().find(|word| text.contains(word.as_str()));
                    assert_eq!(leak, None, "{next} as {own}: {text}");
                    searched += text.len();
                }
                let Some(cursor) = cursor else { break };
                next = format!("{path}&cursor={cursor}");
                cursors.push((path.clone(), cursor));
            }
        }
        assert!(searched > 50_000, "{own} was shown {searched} bytes in all");
    }
    // Anybody's cursor in anybody's hands.
    for (path, cursor) in &cursors {
        for (own, foreign) in [(FROM.1, &second), (TO.1, &first)] {
            let answer = api.get(&format!("{path}&cursor={cursor}"), &tenant(own)).await;
            let leak = foreign.iter().find(|word| answer.text.contains(word.as_str()));
            assert_eq!((answer.status, leak), (200, None), "{path} as {own}");
        }
    }
}

#[tokio::test]
async fn the_former_owner_sees_it_leave_and_the_new_one_sees_it_come() {
    let Moved {
        stage,
        rows,
        before,
        after,
        ..
    } = moved().await;
    let api = Api::over(&stage.database);
    let at = |moment: DateTime<Utc>| encoded(&moment.to_rfc3339_opts(SecondsFormat::Micros, true));
    for row in &rows {
        let path = format!("/api/v1/inventory/{}", row.id);
        let (was, is) = (
            format!("{path}?as_of={}", at(before)),
            format!("{path}?as_of={}", at(after)),
        );
        for (own, then, now, name) in [
            (FROM.1, 200, 404, "name-canary-first"),
            (TO.1, 404, 200, "name-canary-second"),
        ] {
            let (past, present) = (
                api.get(&was, &tenant(own)).await,
                api.get(&is, &tenant(own)).await,
            );
            assert_eq!((past.status, present.status), (then, now), "{own}");
            assert_eq!(api.get(&path, &tenant(own)).await.status, now, "{own}");
            let shown = if then == 200 { past } else { present };
            assert_eq!(shown.body["data"]["name"], name);
        }
        let told = api.all(&format!("{path}/events"), &operator()).await;
        let (gone, came) = (
            api.all(&format!("{path}/events"), &tenant(FROM.1)).await,
            api.all(&format!("{path}/events"), &tenant(TO.1)).await,
        );
        // The event between them is both's: the last of the one, the first of the other. What was nobody's is nobody's.
        let of = |who: &str| {
            let concerns = told
                .iter()
                .filter(|event| event["tenant_id"] == who || event["left_tenant_id"] == who);
            concerns.count()
        };
        assert_eq!((gone.len(), came.len()), (of(FROM.1), of(TO.1)), "{told:#?}");
        let (leaves, arrives) = (gone.last().unwrap(), came.first().unwrap());
        assert_eq!(leaves["id"], arrives["id"]);
        assert_eq!(
            leaves["changes"]["tenant_id"],
            json!({"from": FROM.1, "to": null}),
            "{leaves}"
        );
        assert_eq!(
            (
                &leaves["event_type"],
                &leaves["tenant_id"],
                &leaves["left_tenant_id"]
            ),
            (&json!("updated"), &json!(null), &json!(FROM.1))
        );
        assert_eq!(arrives["changes"]["tenant_id"], json!({"from": null, "to": TO.1}));
        assert_eq!(arrives["left_tenant_id"], json!(null));
        assert_eq!(
            gone.first().unwrap()["changes"]["tenant_id"],
            json!({"from": null, "to": FROM.1})
        );
        for event in gone.iter().chain(&came) {
            let actor = event["actor"].as_str().unwrap();
            assert!(
                ["operator", "sync-droplets", "sync-projects"].contains(&actor),
                "{actor}"
            );
            assert_eq!(
                (&event["reason"], &event["sync_run_id"]),
                (&json!(null), &json!(null))
            );
        }
        let nobody = api.get(&format!("{path}/events"), &tenant(OTHER.1)).await;
        assert_eq!(nobody.status, 404);
    }
    let spoken = api.all("/api/v1/events?type=updated", &operator()).await;
    assert!(
        spoken
            .iter()
            .any(|event| event["reason"] == "reason-canary" && event["actor"] == "ada-canary")
    );
}

/// A whole project changes hands: what the operator gave to somebody by itself stays, and forgets the project.
#[tokio::test]
async fn a_project_that_changes_hands_takes_no_word_along() {
    let mut stage = classified().await;
    let pool = api_pool(&stage).await;
    let [id, provider_id] = project_ids(&stage, FROM.0).await;
    let id: Uuid = id.parse().unwrap();
    let rows: Vec<Stored> = stage
        .everything()
        .await
        .into_iter()
        .filter(|row| row.tenant_id.as_deref() == Some(FROM.1))
        .collect();
    // Kept for the old tenant by word: it is in its own project until that is somebody else's.
    edit::attribute(&pool, rows[0].id, Some(FROM.1), &by_ada(stage.later(1).now))
        .await
        .unwrap();
    let said = Classification {
        purpose: "tenant".to_owned(),
        tenant_id: Some(OTHER.1.to_owned()),
    };
    let done = edit::classify(&pool, id, &said, &by_ada(stage.later(1).now))
        .await
        .unwrap();
    assert_eq!(done.moved, rows.len());
    let api = Api::over(&stage.database);
    let kept = api
        .get(&format!("/api/v1/inventory/{}", rows[0].id), &tenant(FROM.1))
        .await;
    assert_eq!(
        (
            &kept.body["data"]["attribution"],
            &kept.body["data"]["project_id"]
        ),
        (&json!("operator"), &json!(null))
    );
    let theirs = api.all("/api/v1/inventory", &tenant(OTHER.1)).await;
    assert!(theirs.iter().all(|item| item["id"] != rows[0].id.to_string()));
    assert!(
        rows[1..]
            .iter()
            .all(|row| theirs.iter().any(|item| item["id"] == row.id.to_string()))
    );
    let mut text = api.get("/api/v1/events?limit=500", &tenant(OTHER.1)).await.text;
    text += &serde_json::to_string(&theirs).unwrap();
    for word in [FROM.1, &provider_id, "ada-canary"] {
        assert!(!text.contains(word), "{word}");
    }
    invariants::hold(&stage.pool).await;
}
