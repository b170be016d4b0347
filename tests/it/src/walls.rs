//! The walls of the house, kept by a test: who writes what, what agrees with what, how long a file may be.
//!
//! Reads the sources and the template as text, from the repository that this test was built in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use shared::kinds::CATALOGUE;
use shared::sync::{Job, WORKERS};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Every Rust file below these folders, with its path from the root.
fn sources(folders: &[&str]) -> Vec<(String, String)> {
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

#[test]
fn catalogue_binaries_and_template_agree() {
    let binaries: BTreeSet<String> = std::fs::read_dir(root().join("functions/src/bin"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let mut expected: BTreeSet<String> = WORKERS.iter().map(|worker| worker.name.to_owned()).collect();
    expected.extend(["api", "ingest-invoice", "migrate"].map(str::to_owned));
    assert_eq!(binaries, expected, "functions/src/bin and the workers");
    let template = read("template.yaml");
    let named = template.lines().filter_map(|line| line.split("Binary: ").nth(1));
    let deployed: Vec<&str> = named.map(|rest| rest.trim_end_matches([' ', '}'])).collect();
    let unique: BTreeSet<String> = deployed.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(
        (unique, deployed.len()),
        (expected.clone(), expected.len()),
        "the template and the binaries"
    );
    assert_eq!(
        template.matches("Type: ScheduleV2").count(),
        WORKERS.len(),
        "each worker has its schedule"
    );
    assert_eq!(
        template.matches("<aws.scheduler.scheduled-time>").count(),
        WORKERS.len(),
        "and its tick"
    );
    let mut kept: Vec<&str> = WORKERS
        .iter()
        .filter_map(|worker| match worker.job {
            Job::Kinds(kinds) => Some(kinds.iter().map(|kind| kind.name)),
            Job::Projects | Job::Balance | Job::BillingHistory => None,
        })
        .flatten()
        .collect();
    kept.sort_unstable();
    // Projects' members tell of the others.
    let listed = CATALOGUE.iter().filter(|kind| !kind.is_known_by_urn_only());
    let mut catalogue: Vec<&str> = listed.map(|kind| kind.name).collect();
    catalogue.sort_unstable();
    assert_eq!(kept, catalogue, "every kind is kept by exactly one worker");
}

#[test]
fn each_table_is_written_in_its_own_room() {
    let rooms = [
        (
            "shared/src/inventory/",
            [
                "cloud_accounts",
                "cloud_projects",
                "cloud_project_members",
                "cloud_resources",
                "cloud_resource_events",
                "sync_markers",
            ]
            .as_slice(),
        ),
        ("shared/src/runs/", ["sync_runs", "token_budgets"].as_slice()),
        (
            "shared/src/billing/",
            ["cloud_balance_snapshots", "cloud_invoices", "cloud_cost_lines"].as_slice(),
        ),
    ];
    for (file, text) in sources(&["shared/src", "functions/src"]) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let words = words.join(" ");
        for (room, tables) in rooms {
            for table in tables {
                let writes = ["INSERT INTO", "UPDATE", "DELETE FROM"].map(|verb| format!("{verb} {table} "));
                let found = writes.iter().any(|write| words.contains(write.as_str()));
                assert!(!found || file.starts_with(room), "{file} writes {table}");
            }
        }
    }
}

#[test]
fn the_edge_knows_no_sql_and_sends_no_requests() {
    let manifest = read("functions/Cargo.toml");
    for forbidden in ["sqlx", "reqwest"] {
        assert!(
            !manifest.contains(&format!("\n{forbidden}")),
            "functions depends on {forbidden}"
        );
    }
    let program = read("functions/ops/Cargo.toml");
    assert!(
        !program.contains("sqlx") && !program.contains("reqwest"),
        "ops has SQL or HTTP of its own"
    );
    let simulator = read("tests/simulator/Cargo.toml");
    assert!(
        !simulator.contains("shared.workspace"),
        "the simulator must be able to contradict us"
    );
    for (file, text) in sources(&["shared/src/digitalocean", "shared/src/kinds", "shared/src/auth"]) {
        assert!(!text.contains("sqlx"), "{file} has heard of the database");
    }
    for (file, text) in sources(&["shared/src/sync"]) {
        assert!(!text.contains("sqlx::query"), "{file} is a job and has SQL");
    }
}

/// Money is decimal from the CSV to the answer: no binary float in any room that has to do with it.
#[test]
fn no_binary_float_touches_money() {
    let rooms = ["shared/src/billing", "functions/src/api/routes"];
    let client = (
        "shared/src/digitalocean/billing.rs".to_owned(),
        read("shared/src/digitalocean/billing.rs"),
    );
    let ledger = read("migrations/0008_cost_ledger.sql") + &read("migrations/0009_owners_of_then.sql");
    for float in ["double precision", "real", "float8", "money"] {
        assert!(
            !ledger.split_whitespace().any(|word| word == float),
            "the ledger has a column of type {float}"
        );
    }
    for (file, text) in sources(&rooms).into_iter().chain([client]) {
        for float in ["f32", "f64", "to_f32", "to_f64", "from_f32", "from_f64"] {
            let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
            assert!(!words.any(|word| word == float), "{file} has {float}");
        }
    }
}

#[test]
fn files_say_what_they_are_for_and_are_not_too_long() {
    for (file, text) in sources(&[
        "shared/src",
        "functions/src",
        "functions/ops/src",
        "tests/harness/src",
        "tests/simulator/src",
        "tests/it/src",
    ]) {
        assert!(text.starts_with("//!"), "{file} does not say what it is for");
        assert!(text.lines().count() <= 500, "{file} is two files");
    }
}

#[test]
fn every_path_on_the_map_exists() {
    let readme = read("README.md");
    let (_, map) = readme.split_once("## The map").unwrap();
    let block = map.split("```").nth(1).unwrap();
    let mut folder = String::new();
    for line in block.lines().filter(|line| !line.trim().is_empty()) {
        let path = line.split_whitespace().next().unwrap();
        let full = if line.starts_with(' ') {
            format!("{folder}{path}")
        } else {
            path.to_owned()
        };
        if !line.starts_with(' ') && path.ends_with('/') {
            path.clone_into(&mut folder);
        }
        let full = full.split('*').next().unwrap();
        assert!(root().join(full).exists(), "the map names {full}");
    }
}
