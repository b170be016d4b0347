//! What else has to follow when an item is made, changed or destroyed.
//!
//! A droplet lists the snapshots that were made of it, a volume lets go of a droplet that is gone, a droplet's
//! snapshot is an image too, a cluster takes its node pools along, and an item that names its project says the
//! new one once it has been moved. Which collection does what stands in the fixtures. Called by `World`
//! under the lock. It refuses to touch a membership.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    collection::{Collection, Item, Making},
    problem::Problem,
    volatile::each_member,
    world::World,
};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bonds {
    pub listed_in: Vec<ListedIn>,
    /// Field -> the collection whose items it names: what is destroyed there is named here no longer.
    pub lets_go_of: BTreeMap<String, String>,
    pub twin: Option<Twin>,
}

/// A list of ids, kept by the items of another collection, in which an item of this one stands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedIn {
    pub collection: String,
    pub list: String,
    /// The field of this item that says in whose list.
    pub by: String,
    #[serde(default, rename = "where")]
    pub holds: Map<String, Value>,
}

/// The same thing, shown by another collection under the same id.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Twin {
    pub collection: String,
    #[serde(default, rename = "where")]
    pub holds: Map<String, Value>,
    pub copied: Vec<String>,
    #[serde(default)]
    pub fixed: Map<String, Value>,
}

fn holds(item: &Map<String, Value>, wanted: &Map<String, Value>) -> bool {
    wanted.iter().all(|(field, value)| item.get(field) == Some(value))
}

/// Ids are compared as text: `"7"` is 7.
pub fn text(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// Digits are a number, as in every list of droplets, images and snapshots.
fn id_value(id: &str) -> Value {
    id.parse::<u64>().map_or_else(|_| Value::from(id), Value::from)
}

impl World {
    /// Replaces `"@droplets:name"` by that item's id, as its collection writes it, and `"@droplets:name:text"`
    /// by the same as text. The place of a name may be taken by the id itself.
    pub(crate) fn resolve(&self, value: &mut Value) -> Result<(), Problem> {
        match value {
            Value::String(reference) => {
                let Some((name, item)) = reference.strip_prefix('@').and_then(|rest| rest.split_once(':'))
                else {
                    return Ok(());
                };
                let Ok(collection) = self.collection(name) else {
                    return Ok(());
                };
                let (item, as_text) = match item.strip_suffix(":text") {
                    Some(item) => (item, true),
                    None => (item, false),
                };
                let id = self
                    .id_of(collection, item)
                    .ok_or_else(|| Problem::unprocessable(format!("{name} has no item {item}")))?;
                *value = if as_text { Value::from(id) } else { id_value(&id) };
            }
            Value::Array(values) => {
                for value in values {
                    self.resolve(value)?;
                }
            }
            Value::Object(members) => {
                for value in members.values_mut() {
                    self.resolve(value)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// An item's id, by id or by name.
    fn id_of(&self, collection: &Collection, name: &str) -> Option<String> {
        if collection.get(name).is_some() {
            return Some(name.to_owned());
        }
        if let Some(id) = self.names.get(&(collection.kind.name.clone(), name.to_owned())) {
            return Some(id.clone());
        }
        let named = |item: &&Arc<Item>| {
            let object = item.object();
            let at = |path: &str| object.get(path).is_some_and(|value| value == name);
            let in_spec = object.get("spec").and_then(|spec| spec.get("name"));
            at("name") || at("label") || at("description") || in_spec.is_some_and(|value| value == name)
        };
        collection.all().find(named).map(|item| item.id.clone())
    }

    /// Fills in whose part a new item is: given by id or name, or the first there is.
    pub(crate) fn adopt(&self, name: &str, spec: &mut Map<String, Value>) -> Result<(), Problem> {
        let Some(parent) = &self.collection(name)?.kind.definition.parent else {
            return Ok(());
        };
        let parents = self.collection(&parent.collection)?;
        let id = match spec.get(&parent.field) {
            Some(given) => self.id_of(parents, &text(given)),
            None => parents.all().next().map(|item| item.id.clone()),
        };
        let id = id.ok_or_else(|| {
            Problem::unprocessable(format!(
                "{} must be an item of {}",
                parent.field, parent.collection
            ))
        })?;
        spec.insert(parent.field.clone(), Value::from(id));
        Ok(())
    }

    /// After an item was made.
    pub(crate) fn bind(&mut self, name: &str, item: &Item, created_at: &str) -> Result<(), Problem> {
        let kind = Arc::clone(&self.collection(name)?.kind);
        let bonds = &kind.definition.bonds;
        if bonds.listed_in.is_empty() && bonds.twin.is_none() {
            return Ok(());
        }
        let object = item.object();
        for listed in bonds.listed_in.iter().filter(|bond| holds(&object, &bond.holds)) {
            self.list_in(listed, &object, &item.id, true)?;
        }
        if let Some(twin) = bonds.twin.as_ref().filter(|twin| holds(&object, &twin.holds)) {
            let mut spec = twin.fixed.clone();
            spec.extend(copies(twin, &object));
            let making = Making {
                seed: self.seed(),
                created_at: created_at.to_owned(),
                front: false,
            };
            let store = self.collection_mut(&twin.collection)?;
            let id_field = store.kind.definition.id.field.clone();
            spec.insert(id_field, id_value(&item.id));
            if store.get(&item.id).is_none() {
                store.add(&spec, &making)?;
            }
        }
        Ok(())
    }

    /// After an item was changed: its twin shows the same.
    pub(crate) fn rebind(&mut self, name: &str, item: &Item) -> Result<(), Problem> {
        let kind = Arc::clone(&self.collection(name)?.kind);
        let Some(twin) = &kind.definition.bonds.twin else {
            return Ok(());
        };
        let object = item.object();
        let store = self.collection_mut(&twin.collection)?;
        if holds(&object, &twin.holds) && store.get(&item.id).is_some() {
            let fields: Vec<_> = copies(twin, &object)
                .map(|(field, value)| (field, Some(value)))
                .collect();
            store.change(&item.id, &fields)?;
        }
        Ok(())
    }

    /// After an item was destroyed.
    pub(crate) fn unbind(&mut self, name: &str, item: &Item) -> Result<(), Problem> {
        let kind = Arc::clone(&self.collection(name)?.kind);
        if !kind.definition.bonds.listed_in.is_empty() {
            let object = item.object();
            for listed in kind.definition.bonds.listed_in.iter() {
                if holds(&object, &listed.holds) {
                    self.list_in(listed, &object, &item.id, false)?;
                }
            }
        }
        let mut orphans = Vec::new();
        for store in &mut self.collections {
            let other = Arc::clone(&store.kind);
            for (field, _) in other
                .definition
                .bonds
                .lets_go_of
                .iter()
                .filter(|(_, of)| *of == name)
            {
                let_go(store, field, &item.id)?;
            }
            if other
                .definition
                .parent
                .as_ref()
                .is_some_and(|parent| parent.collection == name)
            {
                orphans.extend(
                    store
                        .children_of(&item.id)
                        .map(|child| (other.name.clone(), child.id.clone())),
                );
            }
            // The twin in either direction; the one that is destroyed is gone already.
            let twin =
                |bonds: &Bonds, of: &str| bonds.twin.as_ref().is_some_and(|twin| twin.collection == of);
            if (twin(&other.definition.bonds, name) || twin(&kind.definition.bonds, &other.name))
                && store.get(&item.id).is_some()
            {
                orphans.push((other.name.clone(), item.id.clone()));
            }
        }
        for (name, id) in orphans {
            self.destroy(&name, &id, false)?;
        }
        Ok(())
    }

    /// Writes this id into the lists it belongs in, or takes it out of them.
    fn list_in(
        &mut self,
        bond: &ListedIn,
        object: &Map<String, Value>,
        id: &str,
        present: bool,
    ) -> Result<(), Problem> {
        let keepers: Vec<String> = match object.get(&bond.by) {
            Some(Value::Array(values)) => values.iter().map(text).collect(),
            Some(Value::Null) | None => Vec::new(),
            Some(value) => vec![text(value)],
        };
        let store = self.collection_mut(&bond.collection)?;
        for keeper in keepers {
            // What it was made of may be gone.
            let Some(item) = store.get(&keeper) else { continue };
            let listed = item.object().get(&bond.list).and_then(Value::as_array).cloned();
            let mut listed = listed.unwrap_or_default();
            let there = listed.iter().any(|value| text(value) == id);
            match present {
                true if !there => listed.push(id_value(id)),
                false if there => listed.retain(|value| text(value) != id),
                _ => continue,
            }
            store.change(&keeper, &[(bond.list.clone(), Some(Value::Array(listed)))])?;
        }
        Ok(())
    }

    /// The item says in which project it is, if its kind does.
    pub(crate) fn say_project(&mut self, name: &str, id: &str, project: &str) -> Result<(), Problem> {
        let store = self.collection_mut(name)?;
        let Some(path) = store.kind.definition.project_field.clone() else {
            return Ok(());
        };
        let item = store.get(id).ok_or_else(Problem::not_found)?;
        let field = deep_set(&item.object(), &path, Value::from(project));
        store.change(id, &[field]).map(drop)
    }
}

/// The top-level member that a change deep inside an item amounts to.
pub fn deep_set(object: &Map<String, Value>, path: &str, value: Value) -> (String, Option<Value>) {
    let top = path.split('.').next().unwrap_or(path);
    let mut slice = Map::new();
    if let Some(present) = object.get(top) {
        slice.insert(top.to_owned(), present.clone());
    }
    each_member(&mut slice, path, &mut |holder, key| {
        holder.insert(key.to_owned(), value.clone());
    });
    (top.to_owned(), slice.remove(top))
}

fn copies(twin: &Twin, object: &Map<String, Value>) -> impl Iterator<Item = (String, Value)> {
    let copied = twin.copied.iter();
    copied.filter_map(|field| Some((field.clone(), object.get(field)?.clone())))
}

/// No item of this collection names this id any longer.
fn let_go(store: &mut Collection, field: &str, id: &str) -> Result<(), Problem> {
    let named = store.all().filter_map(|item| {
        let present = item.object().get(field)?.clone();
        let left = match present {
            Value::Array(values) => {
                let left: Vec<Value> = values.iter().filter(|value| text(value) != id).cloned().collect();
                (left.len() < values.len()).then_some(Value::Array(left))?
            }
            single => (text(&single) == id).then_some(Value::Null)?,
        };
        Some((item.id.clone(), left))
    });
    let named: Vec<(String, Value)> = named.collect();
    for (holder, left) in named {
        store.change(&holder, &[(field.to_owned(), Some(left))])?;
    }
    Ok(())
}
