//! The past: whatever was read at a moment is read again when that moment is asked for.
//!
//! An account that changes at random (content, owners by every way there is, disappearing, coming back), read after
//! each step by the operator and by each tenant, and asked about again at the end, at the moments themselves and
//! between them, with every filter and order that there is for now.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use shared::inventory::edit::{self, Edit};
use shared::sync::PROJECTS;
use simulator::scenario::TENANTS;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::access::classified;
use crate::caller::{Api, operator, tenant};
use crate::invariants;
use crate::questions::{Question, encoded};
use crate::stage::Stage;

#[tokio::test]
async fn the_past_is_what_it_was_when_it_was_read() {
    past(12, 120, 21).await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_the_past_is_what_it_was_when_it_was_read() {
    past(60, 3_000, 22).await;
}

/// What somebody read at a moment.
struct Reading {
    at: DateTime<Utc>,
    who: Option<&'static str>,
    items: Vec<Value>,
}

/// The pool of the API's own login.
pub async fn api_pool(stage: &Stage) -> PgPool {
    PgPoolOptions::new()
        .max_connections(2)
        .connect(&stage.database.url_as("arcadia_api_login"))
        .await
        .unwrap()
}

/// An edit of now, by an operator whose name nobody else may read.
pub fn by_ada(now: DateTime<Utc>) -> Edit<'static> {
    Edit {
        by: "ada-canary",
        reason: "reason-canary",
        versions: None,
        now,
    }
}

async fn past(steps: usize, questions: usize, seed: u64) {
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut stage = classified().await;
    let (api, pool) = (Api::over(&stage.database), api_pool(&stage).await);
    let mut readings = Vec::new();
    read(&api, stage.now, &mut readings).await;
    for _ in 0..steps {
        stage.later(11);
        change(&stage, &pool, &mut random).await;
        stage.sync().await;
        if random.random_bool(0.5) {
            stage.run(&PROJECTS).await;
        }
        read(&api, stage.now, &mut readings).await;
    }
    invariants::hold(&stage.pool).await;
    assert!(stage.tombstones("droplet").await > 0, "nothing died");
    let whole: Vec<&Reading> = readings.iter().filter(|reading| reading.who.is_none()).collect();
    let first = whole.first().unwrap();
    assert_ne!(first.items, whole.last().unwrap().items, "nothing changed");
    for _ in 0..questions {
        let reading = readings.choose(&mut random).unwrap();
        if reading.items.is_empty() {
            continue;
        }
        // Nothing happens between the steps.
        let at = reading.at + TimeDelta::seconds(random.random_range(0..600));
        let at = encoded(&at.to_rfc3339_opts(SecondsFormat::Micros, true));
        let mut question = Question::random(&mut random, &reading.items);
        question.who = reading.who;
        if question.is_foreign() {
            continue;
        }
        let path = format!("{}&as_of={at}", question.path());
        let found: Vec<Value> = api.all(&path, &question.token()).await;
        let ids: Vec<&str> = found.iter().map(|item| item["id"].as_str().unwrap()).collect();
        assert_eq!(
            ids,
            question.answer(&reading.items),
            "{path} as {:?}",
            reading.who
        );
        for item in &found {
            let then = reading
                .items
                .iter()
                .find(|then| then["id"] == item["id"])
                .unwrap();
            assert_eq!(item, then, "{path} as {:?}", reading.who);
        }
        // One of all that there ever was: then this caller's, or not there.
        let any = whole.last().unwrap().items.choose(&mut random).unwrap();
        let path = format!("/api/v1/inventory/{}?as_of={at}", any["id"].as_str().unwrap());
        let one = api.get(&path, &question.token()).await;
        match reading.items.iter().find(|then| then["id"] == any["id"]) {
            Some(then) => assert_eq!(&one.body["data"], then, "{path} as {:?}", reading.who),
            None => assert_eq!(one.status, 404, "{path} as {:?}", reading.who),
        }
    }
    let before = encoded(&(first.at - TimeDelta::days(1)).to_rfc3339());
    for token in [operator(), tenant(TENANTS[0].1)] {
        let path = format!("/api/v1/inventory?include_deleted=true&as_of={before}");
        assert_eq!(
            api.all(&path, &token).await,
            Vec::<Value>::new(),
            "before everything"
        );
    }
}

/// Reads the inventory as everybody, without what is not history.
async fn read(api: &Api, at: DateTime<Utc>, readings: &mut Vec<Reading>) {
    for who in [None].into_iter().chain(TENANTS.iter().map(|(_, id)| Some(*id))) {
        let token = who.map_or_else(operator, tenant);
        let mut items = api
            .all("/api/v1/inventory?include_deleted=true&limit=500", &token)
            .await;
        for item in &mut items {
            item["last_seen_at"] = Value::Null;
            item["stale_strike_count"] = Value::Null;
        }
        readings.push(Reading { at, who, items });
    }
}

/// A few things happen: to content, to owners, to existence.
pub async fn change(stage: &Stage, pool: &PgPool, random: &mut ChaCha8Rng) {
    let items = stage.sim.items("droplets");
    for _ in 0..random.random_range(1..6) {
        let item = items.choose(random).unwrap();
        let id = item["id"].to_string();
        let number: u32 = random.random();
        match random.random_range(0..6) {
            0 => drop(
                stage
                    .sim
                    .change("droplets", &id, json!({"tags": [format!("t{number}"), "all"]})),
            ),
            1 => drop(stage.sim.change(
                "droplets",
                &id,
                json!({"name": format!("Name-{number}"), "status": "off"}),
            )),
            2 => drop(stage.sim.destroy("droplets", &id)),
            3 => drop(
                stage
                    .sim
                    .assign(&format!("do:droplet:{id}"), TENANTS.choose(random).unwrap().0),
            ),
            4 => drop(
                stage
                    .sim
                    .create("droplets", json!({"name": format!("new-{number}")})),
            ),
            _ => {
                let rows = stage.rows("droplet").await;
                let row = rows.iter().filter(|row| row.deleted_at.is_none());
                let row = row.collect::<Vec<_>>().choose(random).unwrap().id;
                let word = random.random_bool(0.7).then(|| TENANTS.choose(random).unwrap().1);
                edit::attribute(pool, row, word, &by_ada(stage.now))
                    .await
                    .unwrap();
            }
        }
    }
}
