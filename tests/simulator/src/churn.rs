//! A batch of random mutations that is the same every time.
//!
//! `Churn { seed, permille or count, create, change, destroy }`: the last three are shares of the batch, and
//! its size is a number or a thousandth part of the collection. Items are picked without repetition, so that a test can say
//! exactly how many updates a mirror must find. It touches one collection and never the default project.

use std::collections::BTreeSet;

use rand::{Rng as _, seq::SliceRandom as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    chance,
    definition::ChangeRule,
    problem::Problem,
    scenario,
    world::{PROJECTS, World},
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Churn {
    pub seed: u64,
    pub collection: String,
    /// Size of the batch; none: `permille` of the collection, at least one.
    pub count: Option<u64>,
    pub permille: u64,
    /// Shares of the batch.
    pub create: u64,
    pub change: u64,
    pub destroy: u64,
    /// Share that is moved to another project.
    pub moves: u64,
    /// Whether destroyed items linger as `not_found` members.
    pub linger: bool,
}

impl Default for Churn {
    fn default() -> Self {
        Self {
            seed: 1,
            collection: "droplets".to_owned(),
            count: None,
            permille: 10,
            create: 1,
            change: 1,
            destroy: 1,
            moves: 0,
            linger: false,
        }
    }
}

/// Ids of what was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Churned {
    pub created: Vec<String>,
    pub changed: Vec<String>,
    pub destroyed: Vec<String>,
    pub moved: Vec<String>,
}

impl World {
    /// Carry out a batch. The same seed on the same world does the same.
    pub fn churn(&mut self, churn: &Churn) -> Result<Churned, Problem> {
        let mut rng = chance::generator(churn.seed);
        let home = self.default_project().to_owned();
        let mut pool: Vec<String> = self
            .collection(&churn.collection)?
            .all()
            .map(|item| item.id.clone())
            .filter(|id| *id != home)
            .collect();
        let size = u64::try_from(pool.len()).unwrap_or(u64::MAX);
        let batch = churn
            .count
            .unwrap_or_else(|| (size.saturating_mul(churn.permille) / 1000).max(1));
        let shares = churn.create + churn.change + churn.destroy + churn.moves;
        let part =
            |share: u64| usize::try_from((batch * share).div_ceil(shares.max(1))).unwrap_or(usize::MAX);
        pool.shuffle(&mut rng);
        let mut take = |share: u64| pool.split_off(pool.len().saturating_sub(part(share)));
        let (changes, destroys, moves) = (take(churn.change), take(churn.destroy), take(churn.moves));

        let mut done = Churned::default();
        for id in changes {
            self.change_somehow(&churn.collection, &id, rng.random())?;
            done.changed.push(id);
        }
        for id in moves {
            if self.move_somewhere(&churn.collection, &id, rng.random())? {
                done.moved.push(id);
            }
        }
        for id in destroys {
            self.destroy(&churn.collection, &id, churn.linger)?;
            done.destroyed.push(id);
        }
        for _ in 0..part(churn.create) {
            let collection = self.collection(&churn.collection)?;
            let number = collection.ordinal();
            let spec = scenario::synthetic(&collection.kind.definition.synthetic, number, &mut rng);
            let id_field = collection.kind.definition.id.field.clone();
            let made = self.create(&churn.collection, Value::Object(spec))?;
            let id = made
                .get(&id_field)
                .map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
            done.created.extend(id);
        }
        Ok(done)
    }

    /// Apply one of the definition's change rules, always with an effect.
    fn change_somehow(&mut self, name: &str, id: &str, chance: u64) -> Result<(), Problem> {
        let collection = self.collection(name)?;
        let item = collection.get(id).ok_or_else(Problem::not_found)?.object();
        let rules = &collection.kind.definition.changes;
        let at = usize::try_from(chance % u64::try_from(rules.len().max(1)).unwrap_or(1)).unwrap_or(0);
        let rule = rules
            .get(at)
            .ok_or_else(|| Problem::unprocessable(format!("{name} has no change rules")))?;
        let path = rule.read.as_ref().unwrap_or(&rule.field);
        let path = format!("/{}", path.replace('.', "/"));
        let present = Value::Object(item).pointer(&path).cloned().unwrap_or_default();
        let value = match (&rule.pick, present) {
            (None, present) => changed(rule, present),
            (Some(_), present) if !present.is_null() => Value::Null,
            (Some(from), _) => self.picked(from, chance)?,
        };
        let mut patch = Map::new();
        patch.insert(rule.field.clone(), value);
        self.change(name, id, Value::Object(patch)).map(drop)
    }

    /// The id of some item, as its collection writes it.
    fn picked(&self, name: &str, chance: u64) -> Result<Value, Problem> {
        let collection = self.collection(name)?;
        let at = usize::try_from(chance >> 8).unwrap_or(0) % collection.len().max(1);
        let item = collection.all().nth(at);
        let id = item.and_then(|item| item.object().get(&collection.kind.definition.id.field).cloned());
        Ok(id.unwrap_or_default())
    }

    /// False for a kind that projects do not keep, or where there is no other project.
    fn move_somewhere(&mut self, name: &str, id: &str, chance: u64) -> Result<bool, Problem> {
        let Some(urn) = self.collection(name)?.kind.urn_of(id) else {
            return Ok(false);
        };
        let present = self
            .membership()
            .get(&urn)
            .map(|member| member.project.clone())
            .unwrap_or_default();
        let others: BTreeSet<&String> = self
            .collection(PROJECTS)?
            .all()
            .map(|item| &item.id)
            .filter(|id| **id != present)
            .collect();
        let at = usize::try_from(chance % u64::try_from(others.len().max(1)).unwrap_or(1)).unwrap_or(0);
        let Some(project) = others.into_iter().nth(at).cloned() else {
            return Ok(false);
        };
        self.assign(&urn, &project)?;
        Ok(true)
    }
}

fn changed(rule: &ChangeRule, present: Value) -> Value {
    match (&rule.toggle, &rule.suffix, present) {
        (Some(mark), _, present) => {
            let mut values = present.as_array().cloned().unwrap_or_default();
            match values.iter().position(|value| value == mark) {
                Some(at) => drop(values.remove(at)),
                None => values.push(Value::from(mark.as_str())),
            }
            Value::Array(values)
        }
        (None, Some(suffix), Value::String(text)) => match text.strip_suffix(suffix.as_str()) {
            Some(before) => Value::from(before),
            None => Value::from(format!("{text}{suffix}")),
        },
        (None, _, present) => {
            let next = rule
                .cycle
                .iter()
                .position(|value| *value == present)
                .map_or(0, |at| at + 1);
            rule.cycle.iter().cycle().nth(next).cloned().unwrap_or_default()
        }
    }
}
