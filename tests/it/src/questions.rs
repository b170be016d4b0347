//! Random questions of random callers, compared with a model: a filter over all rows.
//!
//! Whoever asks, whatever the filters, the order and the size of pages: the answer is what the model says, in the
//! order that the model says, and never a foreign row. The same for single resources and for what has happened.

use chrono::{DateTime, Utc};
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use simulator::scenario::TENANTS;

use crate::access::classified;
use crate::caller::{Api, operator, tenant};

const SORTS: [&str; 6] = ["id", "-id", "name", "-name", "updated_at", "-updated_at"];
const EQUALITIES: [&str; 6] = [
    "kind",
    "status",
    "region",
    "project_id",
    "tenant_id",
    "attribution",
];

#[tokio::test]
async fn random_questions_of_random_callers_agree_with_a_model() {
    questions(300, 11).await;
}

#[tokio::test]
#[ignore = "long proof: make prove"]
async fn prove_random_questions_of_random_callers_agree_with_a_model() {
    questions(10_000, 12).await;
}

/// One question about the inventory.
pub struct Question {
    /// The tenant that asks; `None`: an operator.
    pub who: Option<&'static str>,
    filters: Vec<(&'static str, String)>,
    include_deleted: bool,
    sort: &'static str,
    limit: usize,
}

impl Question {
    /// About things like these.
    pub fn random(random: &mut ChaCha8Rng, all: &[Value]) -> Self {
        let sample = all.choose(random).unwrap();
        let mut filters = Vec::new();
        for field in EQUALITIES {
            if let Some(value) = sample[field].as_str()
                && random.random_bool(0.2)
            {
                filters.push((field, value.to_owned()));
            }
        }
        if let Some(tag) = sample["tags"].get(0).and_then(Value::as_str)
            && random.random_bool(0.2)
        {
            filters.push(("tag", tag.to_owned()));
        }
        if random.random_bool(0.2) {
            let name = sample["name"].as_str().unwrap();
            let begin: String = name.chars().take(random.random_range(1..5)).collect();
            filters.push(("q", begin.to_ascii_uppercase()));
        }
        if random.random_bool(0.1) {
            filters.push(("updated_since", sample["updated_at"].as_str().unwrap().to_owned()));
        }
        Self {
            who: random.random_bool(0.7).then(|| TENANTS.choose(random).unwrap().1),
            filters,
            include_deleted: random.random(),
            sort: SORTS.choose(random).unwrap(),
            limit: random.random_range(1..40),
        }
    }

    /// As a path and query.
    pub fn path(&self) -> String {
        let asked: Vec<String> = self
            .filters
            .iter()
            .map(|(field, value)| format!("&{field}={}", encoded(value)))
            .collect();
        format!(
            "/api/v1/inventory?sort={}&limit={}&include_deleted={}{}",
            self.sort,
            self.limit,
            self.include_deleted,
            asked.concat()
        )
    }

    /// Whether a tenant names somebody else.
    pub fn is_foreign(&self) -> bool {
        self.filters
            .iter()
            .any(|(field, value)| *field == "tenant_id" && self.who.is_some_and(|who| who != value))
    }

    pub fn token(&self) -> String {
        self.who.map_or_else(operator, tenant)
    }

    /// The ids of the answer, in its order, among these.
    pub fn answer(&self, all: &[Value]) -> Vec<String> {
        let mut fitting: Vec<&Value> = all.iter().filter(|item| self.fits(item)).collect();
        let id = |item: &Value| item["id"].as_str().unwrap().to_owned();
        let name = |item: &Value| item["name"].as_str().unwrap().to_ascii_lowercase();
        match self.sort.trim_start_matches('-') {
            "id" => fitting.sort_by_key(|item| id(item)),
            "name" => fitting.sort_by_key(|item| (name(item), id(item))),
            _ => fitting.sort_by_key(|item| (moment(&item["updated_at"]), id(item))),
        }
        if self.sort.starts_with('-') {
            fitting.reverse();
        }
        fitting.into_iter().map(id).collect()
    }

    fn fits(&self, item: &Value) -> bool {
        let own = self.who.is_none_or(|who| item["tenant_id"] == who);
        let alive = self.include_deleted || item["deleted_at"].is_null();
        own && alive
            && self.filters.iter().all(|(field, value)| match *field {
                "tag" => item["tags"].as_array().unwrap().iter().any(|tag| tag == value),
                "q" => {
                    let name = item["name"].as_str().unwrap().to_ascii_lowercase();
                    name.starts_with(&value.to_ascii_lowercase()) || item["provider_id"] == value.as_str()
                }
                "updated_since" => moment(&item["updated_at"]) >= value.parse::<DateTime<Utc>>().unwrap(),
                field => item[field] == value.as_str(),
            })
    }
}

pub fn moment(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

/// Whatever is asked by whomever: the answer is what a filter over all rows says, and never a foreign row.
async fn questions(count: usize, seed: u64) {
    println!("seed {seed}");
    let stage = classified().await;
    let api = Api::over(&stage.database);
    let all = api
        .all("/api/v1/inventory?include_deleted=true&limit=500", &operator())
        .await;
    let told = api.all("/api/v1/events?limit=500", &operator()).await;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for _ in 0..count {
        let question = Question::random(&mut random, &all);
        let (path, token) = (question.path(), question.token());
        if question.is_foreign() {
            assert_eq!(api.get(&path, &token).await.status, 403, "{path}");
            continue;
        }
        let found = api.all(&path, &token).await;
        let ids: Vec<&str> = found.iter().map(|item| item["id"].as_str().unwrap()).collect();
        assert_eq!(ids, question.answer(&all), "{path} as {:?}", question.who);
        one(&api, &mut random, &all, question.who).await;
        events(&api, &mut random, &told, question.who).await;
    }
}

/// One resource: as in the list if it is the caller's, otherwise not there.
async fn one(api: &Api, random: &mut ChaCha8Rng, all: &[Value], who: Option<&str>) {
    let item = all.choose(random).unwrap();
    let path = format!("/api/v1/inventory/{}", item["id"].as_str().unwrap());
    let answer = api.get(&path, &who.map_or_else(operator, tenant)).await;
    if who.is_some_and(|who| item["tenant_id"] != who) {
        assert_eq!(answer.status, 404, "{path} as {who:?}");
    } else {
        assert_eq!((answer.status, &answer.body["data"]), (200, item), "{path}");
    }
}

/// What has happened: an operator reads all of it, a tenant its own time.
async fn events(api: &Api, random: &mut ChaCha8Rng, told: &[Value], who: Option<&str>) {
    let sample = told.choose(random).unwrap();
    let mut filters = Vec::new();
    for (name, field) in [
        ("kind", "kind"),
        ("type", "event_type"),
        ("resource_id", "resource_id"),
        ("project_id", "project_id"),
        ("since", "occurred_at"),
        ("until", "occurred_at"),
    ] {
        if let Some(value) = sample[field].as_str()
            && random.random_bool(0.25)
        {
            filters.push((name, field, value.to_owned()));
        }
    }
    let newest_first = random.random_bool(0.5);
    let asked: Vec<String> = filters
        .iter()
        .map(|(name, _, value)| format!("&{name}={}", encoded(value)))
        .collect();
    let path = format!(
        "/api/v1/events?sort={}&limit={}{}",
        if newest_first { "-id" } else { "id" },
        random.random_range(5..60),
        asked.concat()
    );
    let found = api.all(&path, &who.map_or_else(operator, tenant)).await;
    let fits = |event: &&Value| {
        let concerns = |who: &str| {
            !event["resource_id"].is_null() && (event["tenant_id"] == who || event["left_tenant_id"] == who)
        };
        who.is_none_or(concerns)
            && filters.iter().all(|(name, field, value)| match *name {
                "since" => moment(&event["occurred_at"]) >= value.parse::<DateTime<Utc>>().unwrap(),
                "until" => moment(&event["occurred_at"]) < value.parse::<DateTime<Utc>>().unwrap(),
                _ => event[*field] == value.as_str(),
            })
    };
    let mut expected: Vec<i64> = told
        .iter()
        .filter(fits)
        .map(|event| event["id"].as_i64().unwrap())
        .collect();
    if newest_first {
        expected.reverse();
    }
    let ids: Vec<i64> = found.iter().map(|event| event["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, expected, "{path} as {who:?}");
    if let Some(who) = who {
        let text = serde_json::to_string(&found).unwrap();
        for (_, other) in TENANTS.iter().filter(|(_, other)| *other != who) {
            assert!(!text.contains(other), "{path} as {who} names {other}");
        }
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
