//! The documented list answer of every kind, read as a walk reads it.
//!
//! `examples/*.json` have every key, type, nesting and null of DigitalOcean's own examples, in words and values of our
//! own, and secrets where theirs have some. Each item is read by the kind it is listed for, and nothing that is secret
//! in it is kept.

use serde_json::Value;
use shared::kinds::entry::{self, Reader};
use shared::kinds::{CATALOGUE, Glimpse, Holds, Kind, Listing, Told};

/// The file of a listing: its path with underscores, and what is asked for.
fn file(listing: &Listing) -> String {
    let path = listing
        .collection
        .path
        .trim_start_matches("/v2/")
        .replace(['/', '-'], "_");
    match listing.collection.query {
        [("type", "gpus")] => "gpu_droplets".to_owned(),
        [("resource_type", of)] => format!("{path}_{of}"),
        [("private", _)] => format!("{path}_private"),
        _ => path,
    }
}

fn items(file: &str, root: &str) -> Vec<Value> {
    let path = harness::place::repository().join(format!("tests/it/examples/{file}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let answer: Value = serde_json::from_str(&text).unwrap();
    answer[root]
        .as_array()
        .unwrap_or_else(|| panic!("{file} has no {root}"))
        .clone()
}

/// Where DigitalOcean's list answers hold what nobody else may know.
const SECRET: &[&str] = &[
    "password",
    "uri",
    "user_data",
    "sso_url",
    "authorization",
    "secret_key",
    "public_key",
    "api_key",
    "auth_key",
    "access_cert",
    "access_key_secret",
];

/// The secrets in an item.
fn secrets(item: &Value, found: &mut Vec<String>) {
    match item {
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(text) if SECRET.contains(&key.as_str()) && text.len() > 5 => {
                        found.push(text.clone());
                    }
                    // A namespace's key, and what a variable of an app is set to.
                    Value::String(text) if (key == "key" || key == "value") && text.len() > 30 => {
                        found.push(text.clone());
                    }
                    Value::String(text) if key == "url" && text.contains("hooks") => found.push(text.clone()),
                    other => secrets(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| secrets(item, found)),
        _ => {}
    }
}

/// Two made-up words.
fn filler(text: &str) -> bool {
    text.split_once('-').is_some_and(|(one, other)| {
        [one, other]
            .iter()
            .all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()))
    })
}

/// How many things of the kind these items hold; all of them readable.
fn read(kind: &Kind, holds: Holds, items: &[Value], outer: Option<&str>, kept: &mut String) -> usize {
    let mut found = 0;
    let members = entry::members(kind, holds);
    let mut reader = Reader::new(kind, holds, &members);
    for item in items {
        let mut take = |glimpse: Glimpse<'_>| {
            found += 1;
            kept.push_str(&format!("{:?}", glimpse.keep()));
        };
        let text = item.to_string();
        let entry = reader.read(&members.of(&text).unwrap(), outer, &Told::new(), &mut take);
        entry.unwrap_or_else(|error| panic!("{}: {error}: {item}", kind.name));
    }
    found
}

#[test]
fn the_documented_answer_of_every_kind_is_read_and_no_secret_of_it_is_kept() {
    let mut all = 0;
    for kind in CATALOGUE.iter().filter(|kind| !kind.is_known_by_urn_only()) {
        let (mut found, mut kept, mut hidden) = (0, String::new(), Vec::new());
        for listing in kind.listings {
            let (file, root) = (file(listing), listing.collection.root);
            let items = items(&file, root);
            items.iter().for_each(|item| secrets(item, &mut hidden));
            found += read(kind, listing.holds, &items, None, &mut kept);
            if let Holds::Under { root, .. } = listing.holds {
                let under = self::items(&format!("{file}_{root}"), root);
                under.iter().for_each(|item| secrets(item, &mut hidden));
                found += read(kind, Holds::Items, &under, Some("parent"), &mut kept);
            }
        }
        assert!(found > 0, "the examples hold no {}", kind.name);
        // The examples' filler stands in many places, secret ones among them: only what stands nowhere else tells.
        hidden.retain(|secret| !filler(secret));
        for secret in &hidden {
            assert!(!kept.contains(secret), "{} keeps {secret}", kind.name);
        }
        all += hidden.len();
    }
    assert!(all > 8, "the examples hold {all} secrets only");
}
