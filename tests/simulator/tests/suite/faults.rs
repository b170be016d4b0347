//! Faults in well-formed answers: what a careless client would believe.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulator::{FAULT_NAMES, Fault, FaultKind};

use crate::client::{Client, ids};

/// Twenty-five droplets in three pages of ten, one fault.
async fn pages(kind: FaultKind) -> (Client, Vec<Value>) {
    let client = Client::scale(25);
    client.simulator.fault(Fault::new(kind).on("/v2/droplets"));
    let mut pages = Vec::new();
    for page in 1..=3 {
        pages.push(
            client
                .get(&format!("/v2/droplets?per_page=10&page={page}"))
                .await
                .json(),
        );
    }
    (client, pages)
}

fn rows(page: &Value) -> &Vec<Value> {
    page["droplets"].as_array().unwrap()
}

fn all_ids(pages: &[Value]) -> (usize, usize) {
    let all: Vec<_> = pages.iter().flat_map(|page| ids(rows(page))).collect();
    let mut unique = all.clone();
    unique.sort();
    unique.dedup();
    (all.len(), unique.len())
}

#[test]
fn every_name_is_a_kind_of_its_own() {
    let kinds = FaultKind::all();
    assert!(kinds.len() >= 24 && kinds.len() == FAULT_NAMES.len());
    for (kind, name) in kinds.iter().zip(FAULT_NAMES) {
        assert_eq!(kind.name(), *name);
    }
}

#[tokio::test]
async fn every_kind_shows_on_droplets() {
    every_kind_shows_on("/v2/droplets").await;
}

#[tokio::test]
async fn every_kind_shows_on_projects() {
    every_kind_shows_on("/v2/projects").await;
}

#[tokio::test]
async fn every_kind_shows_on_members() {
    every_kind_shows_on("/v2/projects/default/resources").await;
}

/// Whatever the kind: on a paged listing it shows, and without it nothing does.
async fn every_kind_shows_on(path: &str) {
    let mut client = Client::scale(600);
    client.simulator.set_limits(simulator::Limits::off());
    for kind in FaultKind::all() {
        let before = two_pages(&client, path).await;
        assert_eq!(two_pages(&client, path).await.0, before.0);
        client.simulator.fault(Fault::new(kind.clone()).exactly_on(path));
        client.patience = Duration::from_millis(if kind == FaultKind::Hang { 150 } else { 5_000 });
        let after = two_pages(&client, path).await;
        client.patience = Duration::from_secs(5);
        client.simulator.clear_faults();
        match kind {
            FaultKind::Slow { .. } | FaultKind::Trickle { .. } => assert!(after.1.as_millis() >= 300),
            _ => assert_ne!(after.0, before.0, "{} does not show on {path}", kind.name()),
        }
    }
}

/// What can be seen of two pages of two, and how long it took.
async fn two_pages(client: &Client, path: &str) -> ([String; 2], Duration) {
    let (started, mut seen) = (Instant::now(), [String::new(), String::new()]);
    for (page, seen) in (1..).zip(&mut seen) {
        let got = client
            .send(
                reqwest::Method::GET,
                &format!("{path}?per_page=2&page={page}"),
                None,
            )
            .await;
        *seen = match got {
            Ok(got) => {
                let start = String::from_utf8_lossy(&got.body[..got.body.len().min(20_000)]).into_owned();
                format!("{} {:?} {start}", got.status, got.header("content-type"))
            }
            Err(error) => format!("{error:?}"),
        };
    }
    (seen, started.elapsed())
}

#[tokio::test]
async fn totals_lie() {
    for (name, wanted) in [
        ("lying_total_high", json!([26, 26, 26])),
        ("lying_total_low", json!([24, 24, 24])),
        ("changing_total", json!([26, 27, 28])),
        ("total_as_text", json!(["25", "25", "25"])),
        ("missing_meta", json!([null, null, null])),
    ] {
        let (_, pages) = pages(FaultKind::named(name).unwrap()).await;
        let totals: Vec<_> = pages.iter().map(|page| page["meta"]["total"].clone()).collect();
        assert_eq!(json!(totals), wanted, "{name}");
        assert_eq!(all_ids(&pages), (25, 25));
    }
}

#[tokio::test]
async fn lists_are_not_lists() {
    let (_, null) = pages(FaultKind::NullList).await;
    assert!(null[0]["droplets"].is_null() && null[0]["meta"]["total"] == 25);
    let (_, object) = pages(FaultKind::NotAnArray).await;
    assert!(object[0]["droplets"].is_object());
    let (_, missing) = pages(FaultKind::MissingKey).await;
    assert!(missing[0].get("droplets").is_none() && missing[0]["message"].is_string());
    let (_, without) = pages(FaultKind::ItemWithoutId).await;
    assert!(rows(&without[1])[9].get("id").is_none() && rows(&without[1])[8].get("id").is_some());
    let (_, text) = pages(FaultKind::ItemNotObject).await;
    assert!(rows(&text[2])[4].is_string());
    let (_, empty) = pages(FaultKind::EmptyList).await;
    assert_eq!(
        empty[0],
        json!({"droplets": [], "links": {}, "meta": {"total": 0}})
    );
}

#[tokio::test]
async fn pages_overlap_or_fall_short() {
    let (_, repeated) = pages(FaultKind::RepeatedPage).await;
    assert_eq!(rows(&repeated[0]), rows(&repeated[1]));
    assert_ne!(rows(&repeated[1]), rows(&repeated[2]));
    let (_, doubled) = pages(FaultKind::DuplicateItem).await;
    assert_eq!(all_ids(&doubled), (25, 22));
    let (_, short) = pages(FaultKind::ShortPage { missing: 2 }).await;
    assert_eq!(
        short.iter().map(|page| rows(page).len()).collect::<Vec<_>>(),
        [8, 8, 3]
    );
    let (_, shuffled) = pages(FaultKind::ShuffledOrder).await;
    let (all, unique) = all_ids(&shuffled);
    assert!(all == 25 && unique < 25);
    let (_, lost) = pages(FaultKind::LostScopeRows { permille: 500 }).await;
    let total = lost[0]["meta"]["total"].as_u64().unwrap();
    assert!(total < 25 && all_ids(&lost).0 == usize::try_from(total).unwrap());
}

#[tokio::test]
async fn pages_shift_for_real() {
    let (client, dropped) = pages(FaultKind::ShiftingPagesDrop).await;
    assert_eq!(client.simulator.items("droplets").len(), 22);
    assert_eq!(
        all_ids(&dropped),
        (23, 23),
        "the walk misses two that are still there"
    );
    let (client, inserted) = pages(FaultKind::ShiftingPagesInsert).await;
    assert_eq!(client.simulator.items("droplets").len(), 28);
    assert_eq!(
        all_ids(&inserted),
        (27, 25),
        "the walk sees two twice and none of the new"
    );
}

#[tokio::test]
async fn next_leads_astray() {
    let next = |page: &Value| page["links"]["pages"]["next"].as_str().map(str::to_owned);
    let (_, same) = pages(FaultKind::RepeatedNext).await;
    assert!(
        same.iter()
            .zip(1..)
            .all(|(page, n)| next(page).unwrap().ends_with(&format!("page={n}")))
    );
    let (_, none) = pages(FaultKind::MissingNext).await;
    assert!(none.iter().all(|page| next(page).is_none()) && rows(&none[0]).len() == 10);
    let (_, foreign) = pages(FaultKind::named("foreign_next").unwrap()).await;
    let wanted = "http://other-host.invalid/v2/droplets?per_page=10&page=2";
    assert_eq!(next(&foreign[0]).as_deref(), Some(wanted));
}

#[tokio::test]
async fn another_team_answers() {
    let client = Client::default();
    let ours = client.get("/v2/account").await.json();
    client.simulator.fault(Fault::new(FaultKind::OtherTeam));
    let theirs = client.get("/v2/account").await.json();
    assert_ne!(ours["account"]["team"], theirs["account"]["team"]);
    let droplets = client.get("/v2/droplets").await.json();
    assert_eq!(droplets["meta"]["total"], 9);
    assert!(
        !client
            .simulator
            .items("droplets")
            .contains(&droplets["droplets"][0])
    );
}
