//! Random questions of random callers, compared with a model: a filter over all rows.
//!
//! Whoever asks, whatever the filters, the order and the size of pages: the answer is what the model says, and never
//! a foreign row.

use std::collections::BTreeSet;

use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use simulator::scenario::TENANTS;

use crate::access::classified;
use crate::caller::{Api, operator, tenant};

#[tokio::test]
async fn random_questions_of_random_callers_agree_with_a_model() {
    questions(100, 11).await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_random_questions_of_random_callers_agree_with_a_model() {
    questions(1_000, 12).await;
}

/// Whatever is asked by whomever: the answer is what a filter over all rows says, and never a foreign row.
async fn questions(count: usize, seed: u64) {
    println!("seed {seed}");
    let stage = classified().await;
    let api = Api::over(&stage.database);
    let all = api
        .all("/api/v1/inventory?include_deleted=true", &operator())
        .await;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..count {
        let who = random
            .random_bool(0.7)
            .then(|| TENANTS.choose(&mut random).unwrap().1);
        let sample = all.choose(&mut random).unwrap();
        let mut filters = Vec::new();
        for field in [
            "kind",
            "status",
            "region",
            "project_id",
            "tenant_id",
            "attribution",
        ] {
            if let Some(value) = sample[field].as_str()
                && random.random_bool(0.3)
            {
                filters.push((field, value.to_owned()));
            }
        }
        if let Some(tag) = sample["tags"].get(0).and_then(|tag| tag.as_str())
            && random.random_bool(0.3)
        {
            filters.push(("tag", tag.to_owned()));
        }
        let asked: Vec<String> = filters
            .iter()
            .map(|(field, value)| format!("{field}={}", encoded(value)))
            .collect();
        let sort = ["id", "-id", "name", "-name", "updated_at", "-updated_at"]
            .choose(&mut random)
            .unwrap();
        let limit = random.random_range(1..9);
        let path = format!("/api/v1/inventory?sort={sort}&limit={limit}&{}", asked.join("&"));
        let path = path.trim_end_matches('&');
        let foreign = filters
            .iter()
            .any(|(field, value)| *field == "tenant_id" && who.is_some_and(|who| who != value));
        let token = who.map_or_else(operator, tenant);
        if foreign {
            assert_eq!(api.get(path, &token).await.status, 403, "{path} as {who:?}");
            continue;
        }
        let found: BTreeSet<String> = api
            .all(path, &token)
            .await
            .iter()
            .map(|item| item["id"].to_string())
            .collect();
        let expected: BTreeSet<String> = all
            .iter()
            .filter(|item| who.is_none_or(|who| item["tenant_id"] == who))
            .filter(|item| {
                filters.iter().all(|(field, value)| match *field {
                    "tag" => item["tags"].as_array().unwrap().iter().any(|tag| tag == value),
                    field => item[field] == value.as_str(),
                })
            })
            .map(|item| item["id"].to_string())
            .collect();
        assert_eq!(found, expected, "{path} as {who:?}");
    }
}

pub fn encoded(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}
