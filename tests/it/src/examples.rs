//! The official example answers, served as they are, and the proof that only what is listed as kept is kept.
//!
//! `examples/*.json` are the documented answers of `GET /v2/droplets` and of `?type=gpus` with every key, type,
//! nesting and null, in words and values of our own. They sync without a complaint. Then every place that is not
//! on the allow-list holds a canary, secrets that nobody documents included: none may reach the database.

use serde_json::{Map, Value, json};
use shared::sync::RunOutcome;
use simulator::Scenario;

use crate::invariants;
use crate::stage::Stage;

const CPU: &str = include_str!("../examples/droplets.json");
const GPU: &str = include_str!("../examples/gpu_droplets.json");

/// What the mirror keeps of a droplet; `[]` stands for every element.
const KEPT: &[&str] = &[
    "id",
    "name",
    "status",
    "tags[]",
    "region.slug",
    "size_slug",
    "memory",
    "vcpus",
    "disk",
    "disk_info[].type",
    "disk_info[].size.amount",
    "disk_info[].size.unit",
    "gpu_info.count",
    "gpu_info.model",
    "gpu_info.vram.amount",
    "gpu_info.vram.unit",
    "image.id",
    "image.slug",
    "features[]",
    "volume_ids[]",
    "networks.v4[].ip_address",
    "networks.v4[].type",
    "networks.v6[].ip_address",
    "networks.v6[].type",
    "vpc_uuid",
    "created_at",
];

/// What a careless answer might hold besides.
const SECRETS: &[&str] = &[
    "user_data",
    "root_password",
    "ssh_keys",
    "private_key",
    "access_token",
];

async fn served(cpu: &str, gpu: &str) -> Stage {
    let stage = Stage::with(Scenario::Empty).await;
    stage.sim.serve_body("/v2/droplets", cpu);
    stage.sim.serve_body("/v2/droplets?type=gpus", gpu);
    stage
}

#[tokio::test]
async fn the_documented_answers_sync_as_they_are() {
    let mut stage = served(CPU, GPU).await;
    let report = stage.sync().await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    assert_eq!((report.kinds[0].seen, report.kinds[0].outcome.discovered), (4, 4));
    let documented: Vec<Value> = [CPU, GPU]
        .iter()
        .flat_map(|text| {
            let answer: Value = serde_json::from_str(text).unwrap();
            answer["droplets"].as_array().unwrap().clone()
        })
        .collect();
    for item in &documented {
        let row = stage.row("droplet", &item["id"].to_string()).await;
        assert_eq!(
            (row.name.as_str(), row.status.as_str()),
            (item["name"].as_str().unwrap(), "active")
        );
        assert_eq!(row.attrs["size_slug"], item["size_slug"]);
        assert_eq!(row.attrs["vpc_uuid"], item["vpc_uuid"]);
        assert_eq!(row.attrs["image_id"], item["image"]["id"]);
        assert_eq!(row.attrs.get("gpu_info"), item.get("gpu_info"));
        for left_out in [
            "locked",
            "next_backup_window",
            "backup_ids",
            "snapshot_ids",
            "kernel",
            "size",
            "image",
        ] {
            assert!(row.attrs.get(left_out).is_none(), "{left_out} is kept");
        }
    }
    let places = stage.places().await;
    let report = stage.later(1).sync().await;
    assert_eq!(
        (report.outcome, report.kinds[0].outcome.events()),
        (RunOutcome::Complete, 0)
    );
    assert_eq!(stage.places().await, places);
    invariants::hold(&stage.pool).await;
}

/// Puts a canary into every place that is not kept, and secrets beside.
fn plant(value: &mut Value, at: &str, planted: &mut usize) {
    match value {
        Value::Object(members) => {
            for (key, member) in members.iter_mut() {
                let at = if at.is_empty() {
                    key.clone()
                } else {
                    format!("{at}.{key}")
                };
                plant(member, &at, planted);
            }
            // Objects that are kept whole are not ours to fill.
            if !KEPT
                .iter()
                .any(|kept| kept.starts_with(at) && !at.is_empty() && at.contains("_info"))
            {
                hide_secrets(members, planted);
            }
        }
        Value::Array(items) => {
            for item in items {
                plant(item, &format!("{at}[]"), planted);
            }
        }
        _ if KEPT.contains(&at) => {}
        Value::Number(_) => {
            *planted += 1;
            *value = json!(990_990_000 + *planted);
        }
        Value::Bool(_) => {}
        Value::Null | Value::String(_) => {
            *planted += 1;
            *value = json!(format!("CANARY-{at}"));
        }
    }
}

fn hide_secrets(members: &mut Map<String, Value>, planted: &mut usize) {
    for secret in SECRETS {
        *planted += 1;
        members.insert((*secret).to_owned(), json!(format!("CANARY-{secret}")));
    }
}

#[tokio::test]
async fn nothing_but_what_is_kept_reaches_the_database() {
    let mut planted = 0;
    let canaries = [CPU, GPU].map(|text| {
        let mut answer: Value = serde_json::from_str(text).unwrap();
        for item in answer["droplets"].as_array_mut().unwrap() {
            plant(item, "", &mut planted);
        }
        answer.to_string()
    });
    assert!(planted > 300, "{planted} canaries");
    let mut stage = served(CPU, GPU).await;
    stage.sync().await;
    stage.sim.serve_body("/v2/droplets", canaries[0].as_str());
    stage
        .sim
        .serve_body("/v2/droplets?type=gpus", canaries[1].as_str());
    // Nothing that is kept has changed, and so nothing has.
    let report = stage.later(1).sync().await;
    assert_eq!(
        (report.outcome, report.kinds[0].outcome.events()),
        (RunOutcome::Complete, 0),
        "{report:?}"
    );
    let fresh = served(&canaries[0], &canaries[1]).await;
    assert_eq!(fresh.sync().await.kinds[0].outcome.discovered, 4);
    for stage in [&stage, &fresh] {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT t::text FROM cloud_resources t UNION ALL SELECT t::text FROM cloud_resource_events t
             UNION ALL SELECT t::text FROM sync_markers t UNION ALL SELECT t::text FROM sync_runs t",
        )
        .fetch_all(&stage.pool)
        .await
        .unwrap();
        assert!(rows.len() > 8);
        for row in rows {
            assert!(!row.contains("CANARY") && !row.contains("99099"), "kept: {row}");
        }
    }
}
