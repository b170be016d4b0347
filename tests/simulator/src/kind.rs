//! A collection's definition, ready for use.
//!
//! Parsed once a process (tests start a simulator each): templates compiled, catalogues rendered, addresses
//! cut into segments. A new kind is a file in `fixtures/` and its line in `FIXTURES`. It refuses a fixture
//! that does not parse, and one that borrows from a collection which comes later.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use serde_json::{Map, Value};

use crate::{
    definition::{Definition, PartitionValue},
    fixtures::FIXTURES,
    problem::Problem,
    template::{Slot, Template},
};

/// All kinds, parsed once a process, and those of further fixtures.
pub fn kinds(further: &[String]) -> Result<Vec<Arc<Kind>>, Problem> {
    static KINDS: OnceLock<Result<Vec<Arc<Kind>>, String>> = OnceLock::new();
    let ours = KINDS.get_or_init(|| parse_all(Vec::new(), FIXTURES.iter().copied()));
    let all = ours
        .clone()
        .and_then(|kinds| parse_all(kinds, further.iter().map(String::as_str)));
    all.map_err(|error| Problem::new(500, "server_error", format!("a fixture does not parse: {error}")))
}

/// A fixture of a path that is there already takes its place.
fn parse_all<'a>(
    mut kinds: Vec<Arc<Kind>>,
    fixtures: impl Iterator<Item = &'a str>,
) -> Result<Vec<Arc<Kind>>, String> {
    for fixture in fixtures {
        let kind = Arc::new(Kind::parse(fixture, &kinds)?);
        match kinds.iter_mut().find(|known| known.name == kind.name) {
            Some(known) => *known = kind,
            None => kinds.push(kind),
        }
    }
    Ok(kinds)
}

/// A catalogue with every entry, and every member of it, already rendered.
#[derive(Debug)]
pub struct Catalogue {
    pub by: String,
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    whole: String,
    fields: BTreeMap<String, String>,
}

impl Catalogue {
    /// JSON text of an entry, or of a member of it.
    pub fn text(&self, entry: &str, field: Option<&str>) -> Option<&str> {
        let entry = self.entries.get(entry)?;
        match field {
            Some(field) => entry.fields.get(field).map(String::as_str),
            None => Some(&entry.whole),
        }
    }

    pub fn has(&self, entry: &str) -> bool {
        self.entries.contains_key(entry)
    }
}

/// One address of a collection, in segments; `{…}` stands for a parent's id.
#[derive(Debug)]
pub struct Address {
    segments: Vec<String>,
    pub root: String,
    pub singular: String,
}

/// What a path asks of a collection.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    pub parent: Option<&'a str>,
    pub id: Option<&'a str>,
}

impl Address {
    fn new(path: &str, root: &str, singular: &str) -> Self {
        Self {
            segments: path.split('/').skip(1).map(str::to_owned).collect(),
            root: root.to_owned(),
            singular: singular.to_owned(),
        }
    }

    pub fn asked<'a>(&self, path: &[&'a str]) -> Option<Asked<'a>> {
        let (own, rest) = path.split_at_checked(self.segments.len())?;
        let id = match rest {
            [] => None,
            [id] => Some(*id),
            _ => return None,
        };
        let mut parent = None;
        for (segment, given) in self.segments.iter().zip(own) {
            if segment.starts_with('{') {
                parent = Some(*given);
            } else if segment != given {
                return None;
            }
        }
        Some(Asked { parent, id })
    }
}

/// A definition ready for use.
#[derive(Debug)]
pub struct Kind {
    pub definition: Definition,
    /// `droplets` for `/v2/droplets`, `databases/replicas` for `/v2/databases/{database}/replicas`: the name
    /// that the control endpoint and the library use.
    pub name: String,
    pub addresses: Vec<Address>,
    pub template: Template,
    /// Renders only the fields that decide in which of the disjoint lists an item belongs.
    pub part_template: Template,
    pub catalogues: BTreeMap<String, Arc<Catalogue>>,
    /// What an item's making may say that the template or a catalogue uses up.
    pub variables: BTreeSet<String>,
}

impl Kind {
    fn parse(fixture: &str, earlier: &[Arc<Self>]) -> Result<Self, String> {
        let definition: Definition = serde_json::from_str(fixture).map_err(|error| error.to_string())?;
        let template = Template::compile(&Value::Object(definition.raw_template.clone()));
        let mut catalogues = catalogues(&definition);
        for (name, owner) in &definition.borrowed {
            let lender = earlier.iter().find(|kind| kind.name == *owner);
            let catalogue = lender.and_then(|kind| kind.catalogues.get(name));
            let catalogue = catalogue
                .ok_or_else(|| format!("{}: {owner} has no catalogue called {name}", definition.path))?;
            catalogues.insert(name.clone(), Arc::clone(catalogue));
        }
        let mut variables: BTreeSet<String> = template.names();
        variables.extend(catalogues.values().map(|catalogue| catalogue.by.clone()));
        let mut addresses = vec![Address::new(
            &definition.path,
            &definition.root,
            &definition.singular,
        )];
        let aliases = definition.aliases.iter();
        addresses.extend(aliases.map(|alias| Address::new(&alias.path, &alias.root, &alias.singular)));
        let own = definition.path.split('/').skip(2);
        let name: Vec<&str> = own.filter(|segment| !segment.starts_with('{')).collect();
        Ok(Self {
            name: name.join("/"),
            addresses,
            template,
            part_template: part_template(&definition),
            catalogues,
            variables,
            definition,
        })
    }

    /// The item's URN, if its kind is kept in projects.
    pub fn urn_of(&self, id: &str) -> Option<String> {
        self.definition.urn.as_ref().map(|kind| format!("do:{kind}:{id}"))
    }

    /// Where one item is asked for.
    pub fn path_of(&self, id: &str) -> String {
        format!("{}/{id}", self.definition.path)
    }

    /// Replace `{"size": "s-1vcpu-1gb"}` by every field of the item that comes from that catalogue entry.
    /// An optional field the entry lacks becomes null here and is taken away by the caller.
    pub fn expand(&self, patch: &Map<String, Value>) -> Result<Vec<(String, Option<Value>)>, Problem> {
        let mut fields = Vec::new();
        for (key, value) in patch {
            let entry = value.as_str();
            let picked: Vec<_> = self
                .catalogues
                .iter()
                .filter(|(_, catalogue)| catalogue.by == *key)
                .collect();
            let (Some(entry), false) = (entry, picked.is_empty()) else {
                fields.push((key.clone(), Some(value.clone())));
                continue;
            };
            for (name, catalogue) in picked {
                if !catalogue.has(entry) {
                    return Err(Problem::unprocessable(format!(
                        "there is no {name} called {entry}"
                    )));
                }
                for (field, place) in &self.definition.raw_template {
                    let slot = place
                        .as_str()
                        .and_then(Slot::parse)
                        .filter(|(slot, _)| slot.name == *name);
                    if let Some((slot, _)) = slot {
                        let text = catalogue.text(entry, slot.field.as_deref());
                        fields.push((
                            field.clone(),
                            text.and_then(|text| serde_json::from_str(text).ok()),
                        ));
                    }
                }
            }
        }
        Ok(fields)
    }

    /// Which of the disjoint lists an item belongs to.
    pub fn part_of(&self, item: &Map<String, Value>) -> usize {
        let Some(partition) = &self.definition.partition else {
            return 0;
        };
        let holds = |value: &PartitionValue| {
            value
                .present
                .as_ref()
                .is_none_or(|field| item.contains_key(field))
                && value
                    .absent
                    .as_ref()
                    .is_none_or(|field| !item.contains_key(field))
                && value
                    .equals
                    .iter()
                    .all(|(field, wanted)| item.get(field) == Some(wanted))
        };
        partition.values.iter().position(holds).unwrap_or(0)
    }

    pub fn parts(&self) -> usize {
        self.definition
            .partition
            .as_ref()
            .map_or(1, |partition| partition.values.len().max(1))
    }
}

fn part_template(definition: &Definition) -> Template {
    let deciding = definition
        .partition
        .iter()
        .flat_map(|partition| &partition.values)
        .flat_map(|value| {
            value
                .present
                .iter()
                .chain(&value.absent)
                .chain(value.equals.keys())
                .collect::<Vec<_>>()
        });
    let members = deciding.filter_map(|key| Some((key.clone(), definition.raw_template.get(key)?.clone())));
    // A constant member first: optional ones bring a comma.
    let members = members.chain([(" ".to_owned(), Value::Null)]).collect();
    Template::compile(&Value::Object(members))
}

fn catalogues(definition: &Definition) -> BTreeMap<String, Arc<Catalogue>> {
    let rendered = definition.catalogue.iter().map(|(name, raw)| {
        let entries = raw.entries.iter().map(|(key, value)| {
            let value = with_constants(value, &definition.constants);
            let fields = value
                .as_object()
                .map(|members| members.iter().map(|(k, v)| (k.clone(), v.to_string())).collect())
                .unwrap_or_default();
            (
                key.clone(),
                Entry {
                    whole: value.to_string(),
                    fields,
                },
            )
        });
        let catalogue = Catalogue {
            by: raw.by.clone().unwrap_or_else(|| name.clone()),
            entries: entries.collect(),
        };
        (name.clone(), Arc::new(catalogue))
    });
    rendered.collect()
}

fn with_constants(value: &Value, constants: &Map<String, Value>) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix('@').and_then(|name| constants.get(name)) {
            Some(constant) => constant.clone(),
            None => value.clone(),
        },
        Value::Array(values) => values
            .iter()
            .map(|value| with_constants(value, constants))
            .collect(),
        Value::Object(members) => {
            let members = members
                .iter()
                .map(|(key, value)| (key.clone(), with_constants(value, constants)));
            Value::Object(members.collect())
        }
        other => other.clone(),
    }
}
