//! The items of one collection, rendered.
//!
//! Items are kept as bytes in listing order, one list per partition, and found by id through an index.
//! A page is a slice of those bytes; a mutation renders one item again. Used by `World` under the lock.
//! It refuses to keep item trees: at a hundred thousand droplets they would take gigabytes.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use axum::body::Bytes;
use serde_json::{Map, Value};

use crate::{
    address,
    bonds::text,
    chance,
    definition::{FilterRule, IdKind},
    kind::Kind,
    problem::Problem,
    template::Slot,
};

/// One item: its place in the listing, its id as text, its JSON.
#[derive(Debug)]
pub struct Item {
    pub order: i64,
    pub id: String,
    pub bytes: Bytes,
}

impl Item {
    /// A row that is not kept anywhere (memberships, fakes made by faults).
    pub fn loose(id: String, bytes: Bytes) -> Arc<Self> {
        Arc::new(Self { order: 0, id, bytes })
    }

    /// Parsed again.
    pub fn object(&self) -> Map<String, Value> {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }
}

#[derive(Debug)]
pub struct Collection {
    pub kind: Arc<Kind>,
    parts: Vec<Vec<Arc<Item>>>,
    places: BTreeMap<String, (usize, i64)>,
    front: i64,
    back: i64,
    ordinal: u64,
    next_id: u64,
}

/// What the account adds to the making of an item.
pub struct Making {
    pub seed: u64,
    pub created_at: String,
    /// At the head of the listing, which shifts every page.
    pub front: bool,
}

impl Collection {
    pub fn new(kind: Arc<Kind>) -> Self {
        let (parts, next_id) = (kind.parts(), kind.definition.id.start);
        let parts = (0..parts).map(|_| Vec::new()).collect();
        Self {
            kind,
            parts,
            places: BTreeMap::new(),
            front: 0,
            back: 0,
            ordinal: 0,
            next_id,
        }
    }

    pub fn len(&self) -> usize {
        self.places.len()
    }

    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many items were ever made: the number the next synthetic one gets.
    pub fn ordinal(&self) -> u64 {
        self.ordinal
    }

    /// All items, partition by partition.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Item>> {
        self.parts.iter().flatten()
    }

    pub fn get(&self, id: &str) -> Option<&Arc<Item>> {
        let (part, order) = self.places.get(id)?;
        let items = self.parts.get(*part)?;
        items.get(items.binary_search_by_key(order, |item| item.order).ok()?)
    }

    /// The item that a GET by id asks for: by its id, or by whatever its kind goes by, below this parent.
    pub fn found(&self, key: &str, parent: Option<&str>) -> Option<&Arc<Item>> {
        let definition = &self.kind.definition;
        let (by, id_field) = (&definition.found_by, &definition.id.field);
        let of_parent = |item: &&Arc<Item>| self.is_child(item, parent);
        if (by.is_empty() || by.contains(id_field))
            && let Some(item) = self.get(key).filter(of_parent)
        {
            return Some(item);
        }
        let goes_by = |item: &&Arc<Item>| {
            let object = item.object();
            by.iter().filter(|field| *field != id_field).any(|field| {
                let value = object.get(field).filter(|value| !value.is_null());
                value.is_some_and(|value| text(value) == key)
            })
        };
        if by.is_empty() {
            return None;
        }
        self.all().filter(of_parent).find(goes_by)
    }

    /// The items whose parent this is.
    pub fn children_of<'a>(&'a self, parent: &'a str) -> impl Iterator<Item = &'a Arc<Item>> {
        self.all().filter(move |item| self.is_child(item, Some(parent)))
    }

    fn is_child(&self, item: &Item, parent: Option<&str>) -> bool {
        match (&self.kind.definition.parent, parent) {
            (Some(rule), Some(parent)) => item
                .object()
                .get(&rule.field)
                .is_some_and(|value| value == parent),
            _ => true,
        }
    }

    /// The items a listing with this query shows, before paging.
    pub fn select(
        &self,
        query: &[(String, String)],
        parent: Option<&str>,
    ) -> Result<Cow<'_, [Arc<Item>]>, Problem> {
        let definition = &self.kind.definition;
        let given = |name: &str| {
            query
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        if definition
            .exclusive
            .iter()
            .any(|group| group.iter().all(|name| given(name).is_some()))
        {
            return Err(Problem::bad_request("these filters can not be combined"));
        }
        let part = match &definition.partition {
            None => 0,
            Some(partition) => {
                let wanted = given(&partition.param).unwrap_or(&partition.default);
                let known = partition.values.iter().position(|value| value.name == wanted);
                known.ok_or_else(|| {
                    Problem::unprocessable(format!("{} can not be {wanted}", partition.param))
                })?
            }
        };
        let items = self.parts.get(part).map(Vec::as_slice).unwrap_or_default();
        let wanted: Vec<_> = definition
            .filters
            .iter()
            .filter_map(|(param, filter)| Some((filter, given(param)?)))
            .collect();
        if wanted.is_empty() && definition.parent.is_none() {
            return Ok(Cow::Borrowed(items));
        }
        let holds = |item: &&Arc<Item>| {
            if !self.is_child(item, parent) {
                return false;
            }
            let object = item.object();
            wanted
                .iter()
                .all(|(filter, value)| matches(object.get(&filter.field), filter.rule, value))
        };
        Ok(Cow::Owned(items.iter().filter(holds).cloned().collect()))
    }

    /// Make an item. `spec` fills the template's variables; whatever it does not use is put on top.
    pub fn add(&mut self, spec: &Map<String, Value>, making: &Making) -> Result<Arc<Item>, Problem> {
        for (name, catalogue) in &self.kind.catalogues {
            let picked = spec
                .get(&catalogue.by)
                .or_else(|| self.kind.definition.defaults.get(&catalogue.by));
            if let Some(entry) = picked
                .and_then(Value::as_str)
                .filter(|entry| !catalogue.has(entry))
            {
                return Err(Problem::unprocessable(format!(
                    "there is no {name} called {entry}"
                )));
            }
        }
        let id = self.mint(spec, making.seed)?;
        if self.places.contains_key(&id) {
            return Err(Problem::conflict(format!(
                "{} {id} exists already",
                self.kind.definition.singular
            )));
        }
        let mut text = String::with_capacity(4096);
        let mut resolve = |slot: &Slot, out: &mut String| self.resolve(spec, &id, making, slot, out);
        self.kind.template.render(&mut text, &mut resolve);
        let extras: Vec<_> = spec
            .iter()
            .filter(|(key, _)| !self.kind.variables.contains(*key))
            .collect();
        let part = if extras.is_empty() {
            let mut deciding = String::new();
            self.kind.part_template.render(&mut deciding, &mut resolve);
            self.kind
                .part_of(&serde_json::from_str(&deciding).unwrap_or_default())
        } else {
            let mut object: Map<String, Value> = serde_json::from_str(&text).unwrap_or_default();
            object.extend(
                extras
                    .into_iter()
                    .map(|(key, value)| (key.clone(), value.clone())),
            );
            text = Value::Object(object.clone()).to_string();
            self.kind.part_of(&object)
        };
        self.ordinal += 1;
        let order = if making.front {
            self.front -= 1;
            self.front
        } else {
            self.back += 1;
            self.back
        };
        Ok(self.place(
            part,
            Item {
                order,
                id,
                bytes: Bytes::from(text),
            },
        ))
    }

    /// Put fields into an item; `None` takes the field away.
    pub fn change(&mut self, id: &str, fields: &[(String, Option<Value>)]) -> Result<Arc<Item>, Problem> {
        let old = self.get(id).cloned().ok_or_else(Problem::not_found)?;
        let mut object = old.object();
        for (field, value) in fields {
            if *field == self.kind.definition.id.field && value.as_ref() != object.get(field) {
                return Err(Problem::unprocessable("an id does not change"));
            }
            match value {
                Some(value) => drop(object.insert(field.clone(), value.clone())),
                None => drop(object.remove(field)),
            }
        }
        let part = self.kind.part_of(&object);
        self.remove(id);
        let bytes = Bytes::from(Value::Object(object).to_string());
        Ok(self.place(
            part,
            Item {
                order: old.order,
                id: old.id.clone(),
                bytes,
            },
        ))
    }

    pub fn remove(&mut self, id: &str) -> Option<Arc<Item>> {
        let (part, order) = self.places.remove(id)?;
        let items = self.parts.get_mut(part)?;
        let at = items.binary_search_by_key(&order, |item| item.order).ok()?;
        Some(items.remove(at))
    }

    fn place(&mut self, part: usize, item: Item) -> Arc<Item> {
        let item = Arc::new(item);
        self.places.insert(item.id.clone(), (part, item.order));
        if let Some(items) = self.parts.get_mut(part) {
            let at = items.partition_point(|other| other.order < item.order);
            items.insert(at, Arc::clone(&item));
        }
        item
    }

    fn mint(&mut self, spec: &Map<String, Value>, seed: u64) -> Result<String, Problem> {
        let rule = &self.kind.definition.id;
        let given = spec
            .get(&rule.field)
            .map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
        let label = &self.kind.definition.path;
        let defaults = &self.kind.definition.defaults;
        let has_digits = !rule.digits_where.is_empty()
            && rule
                .digits_where
                .iter()
                .all(|(field, value)| spec.get(field).or_else(|| defaults.get(field)) == Some(value));
        match (rule.kind, given) {
            (_, Some(id)) => Ok(id),
            (IdKind::Int, None) => {
                self.next_id += 1 + chance::word(seed, label, self.ordinal) % 89;
                Ok(self.next_id.to_string())
            }
            (IdKind::Uuid, None) if has_digits => {
                Ok((180_000_000 + chance::word(seed, label, self.ordinal) % 20_000_000).to_string())
            }
            (IdKind::Uuid, None) => Ok(chance::uuid(seed, label, self.ordinal)),
            (IdKind::Address, None) => Ok(address::derived(&rule.block, self.ordinal).unwrap_or_default()),
            (IdKind::Word, None) => Ok(chance::capitals(seed, label, self.ordinal)),
            (IdKind::Name, None) => Err(Problem::unprocessable(format!("{} is required", rule.field))),
        }
    }

    /// A variable's JSON text: what the maker said, a catalogue entry, a derived value, the default.
    fn resolve(
        &self,
        spec: &Map<String, Value>,
        id: &str,
        making: &Making,
        slot: &Slot,
        out: &mut String,
    ) -> bool {
        let defaults = &self.kind.definition.defaults;
        if let Some(catalogue) = self.kind.catalogues.get(&slot.name) {
            let picked = spec.get(&catalogue.by).or_else(|| defaults.get(&catalogue.by));
            if let Some(entry) = picked.and_then(Value::as_str) {
                let text = catalogue.text(entry, slot.field.as_deref());
                out.push_str(text.unwrap_or_default());
                return text.is_some();
            }
        }
        let value = match &slot.field {
            Some(field) => {
                let whole = spec.get(&slot.name).or_else(|| defaults.get(&slot.name));
                whole.and_then(|whole| whole.get(field))
            }
            None => spec.get(&slot.name),
        };
        let quoted = |text: &str| Value::from(text).to_string();
        let path = &self.kind.definition.path;
        let text = match (value, slot.name.as_str()) {
            (Some(value), _) => value.to_string(),
            (None, "id") if self.kind.definition.id.kind == IdKind::Int => id.to_owned(),
            (None, "id") => quoted(id),
            (None, "name") => quoted(&format!(
                "{}-{:06}",
                self.kind.definition.singular,
                self.ordinal + 1
            )),
            (None, "created_at" | "updated_at") => quoted(&making.created_at),
            (None, name) => match (defaults.get(name), address::derived(name, self.ordinal)) {
                (Some(value), _) => value.to_string(),
                (None, Some(address)) => quoted(&address),
                (None, None) if name == "uuid" => {
                    quoted(&chance::uuid(making.seed, &format!("{path}#"), self.ordinal))
                }
                (None, None) if name == "hex40" => quoted(&chance::hex40(making.seed, path, self.ordinal)),
                (None, None) => return false,
            },
        };
        out.push_str(&text);
        true
    }
}

fn matches(present: Option<&Value>, rule: FilterRule, wanted: &str) -> bool {
    match (present, rule) {
        (Some(Value::Array(values)), FilterRule::Contains) => values.iter().any(|value| value == wanted),
        (Some(Value::String(text)), FilterRule::EqualsIgnoreCase) => text.eq_ignore_ascii_case(wanted),
        (Some(Value::String(text)), _) => text == wanted,
        (Some(Value::Number(number)), FilterRule::Equals) => number.to_string() == wanted,
        (Some(Value::Bool(truth)), FilterRule::Not) => (!truth).to_string() == wanted,
        _ => false,
    }
}
