//! What an account holds when the simulator starts.
//!
//! `default` reads like a small hosting business: four tenants' projects, an internal one, leftovers in the
//! default project; its items stand in the fixtures. `empty` has the default project alone. `scale` has any
//! number of synthetic droplets. Same seed, same bytes. It never makes the project the product bootstraps.

use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    billing::Ledger,
    chance,
    definition::Synthetic,
    fixtures::{ACCOUNT, MEMBERS},
    problem::Problem,
    world::{PROJECTS, World},
};

/// Whose project each of the default scenario's tenants' projects is: (project name, tenant id). Tenant ids
/// are text, slugs and uuids.
pub const TENANTS: &[(&str, &str)] = &[
    ("Larkspur Bakery", "larkspur-bakery"),
    ("Harbour Dental Group", "8d0f6c1e-52b7-4a39-9e84-f1a7c3b05d26"),
    ("Fjord & Finch Outfitters", "fjord-finch"),
    ("Novak Surveying", "b3e71f94-0c68-4d5a-87f2-24d9a6e0c815"),
];

/// The default scenario's internal project. `skyai-internal` is not there: the product makes it.
pub const INTERNAL_PROJECT: &str = "Operations";

/// The team's default project, in every scenario.
pub const DEFAULT_PROJECT: &str = "first-project";

/// The id of the default project, in every scenario.
pub const DEFAULT_PROJECT_ID: &str = "0d3f6b52-7a41-4c8e-9b20-5e1f8a6c9d01";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "scenario", rename_all = "snake_case")]
pub enum Scenario {
    #[default]
    Default,
    Empty,
    Scale {
        droplets: u64,
    },
}

/// The account, filled.
pub(crate) fn build(seed: u64, scenario: Scenario, fixtures: &[String]) -> Result<World, Problem> {
    let account: Value = serde_json::from_str(ACCOUNT).map_err(broken)?;
    lay_out(
        seed,
        scenario,
        json!({"account": account.get("account")}),
        fixtures,
    )
}

/// Another team's account: the same business idea under other ids.
pub(crate) fn build_other_team(seed: u64, fixtures: &[String]) -> Result<World, Problem> {
    let account: Value = serde_json::from_str(ACCOUNT).map_err(broken)?;
    let mut shown = json!({"account": account.get("account")});
    if let (Some(team), Some(other)) = (shown.pointer_mut("/account/team"), account.get("other_team")) {
        *team = other.clone();
    }
    if let Some(uuid) = shown.pointer_mut("/account/uuid") {
        *uuid = Value::from(chance::hex40(seed, "other team", 0));
    }
    lay_out(!seed, Scenario::Scale { droplets: 9 }, shown, fixtures)
}

fn broken(error: serde_json::Error) -> Problem {
    Problem::new(500, "server_error", format!("a fixture does not parse: {error}"))
}

fn lay_out(seed: u64, scenario: Scenario, account: Value, fixtures: &[String]) -> Result<World, Problem> {
    let mut world = World::bare(seed, account, fixtures)?;
    let names: Vec<String> = world.collections().iter().map(|c| c.kind.name.clone()).collect();
    for name in &names {
        let items = world.collection(name)?.kind.definition.items.clone();
        for item in items {
            let is_default = item.get("is_default").is_some_and(|is| is == true);
            if scenario == Scenario::Default || is_default {
                let id = world.create(name, Value::Object(item.clone()))?;
                let called = ["name", "label", "description"]
                    .iter()
                    .find_map(|key| item.get(*key)?.as_str());
                if let (Some(called), Some(id)) = (called, id.as_str()) {
                    world
                        .names
                        .insert((name.clone(), called.to_owned()), id.to_owned());
                }
            }
            if let (true, Some(id)) = (is_default, item.get("id").and_then(Value::as_str)) {
                world.set_default_project(id);
            }
        }
    }
    match scenario {
        Scenario::Default => {
            file_members(&mut world)?;
            world.ledger = Ledger::of_year(&world)?;
        }
        Scenario::Scale { droplets } => fill(&mut world, droplets)?,
        Scenario::Empty => {}
    }
    world.laid_out();
    Ok(world)
}

/// Members of projects that no collection lists: buckets, and what nobody has heard of.
fn file_members(world: &mut World) -> Result<(), Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        urn: String,
        project: String,
        link: Option<String>,
        status: Option<String>,
    }
    let rows: Vec<Row> = serde_json::from_str(MEMBERS).map_err(broken)?;
    for row in rows {
        world.assign(&row.urn, &row.project)?;
        if let Some(link) = row.link {
            world.set_member_link(&row.urn, &link)?;
        }
        if let Some(status) = row.status {
            world.set_member_status(&row.urn, &status)?;
        }
    }
    Ok(())
}

/// Droplets in projects of about a hundred; every fiftieth is left in the default project.
fn fill(world: &mut World, droplets: u64) -> Result<(), Problem> {
    let mut rng = chance::generator(world.seed());
    let projects = (droplets / 100).clamp(3, 200);
    let mut homes = Vec::new();
    for number in 0..projects {
        let id = chance::uuid(world.seed(), "scale project", number);
        let mut spec = synthetic(
            &world.collection(PROJECTS)?.kind.definition.synthetic,
            number,
            &mut rng,
        );
        spec.insert("id".to_owned(), Value::from(id.as_str()));
        spec.insert(
            "name".to_owned(),
            Value::from(format!("Customer {:04}", number + 1)),
        );
        world.create(PROJECTS, Value::Object(spec))?;
        homes.push(id);
    }
    for number in 0..droplets {
        let mut spec = synthetic(
            &world.collection("droplets")?.kind.definition.synthetic,
            number,
            &mut rng,
        );
        let home = homes
            .get(rng.random_range(0..homes.len()))
            .filter(|_| number % 50 != 49);
        if let Some(home) = home {
            spec.insert("project".to_owned(), Value::from(home.as_str()));
        }
        world.create("droplets", Value::Object(spec))?;
    }
    Ok(())
}

/// A made-up item of a kind: one of each field's values, and a numbered name.
pub(crate) fn synthetic(rules: &Synthetic, number: u64, rng: &mut ChaCha8Rng) -> Map<String, Value> {
    let mut spec = Map::new();
    for (field, values) in &rules.fields {
        if let Some(value) = values.get(rng.random_range(0..values.len().max(1))) {
            spec.insert(field.clone(), value.clone());
        }
    }
    if let Some(prefix) = rules
        .prefixes
        .get(rng.random_range(0..rules.prefixes.len().max(1)))
    {
        spec.insert(
            "name".to_owned(),
            Value::from(format!("{prefix}-{:06}{}", number + 1, rules.suffix)),
        );
    }
    spec
}
