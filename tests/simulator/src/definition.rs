//! What a collection is, read from its fixture file.
//!
//! A fixture says where the collection is listed, how its items are named and rendered, what a narrow token
//! does not see, and which items the default scenario starts with. A later kind is a later file in
//! `fixtures/` and a line in `FIXTURES`. It refuses a fixture that does not parse when the simulator starts.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    problem::Problem,
    template::{Slot, Template},
};

/// Every collection of the account, projects first (the others are filed into them).
const FIXTURES: &[&str] = &[
    include_str!("../fixtures/projects.json"),
    include_str!("../fixtures/droplets.json"),
];

/// All kinds, parsed once a process (tests start a simulator each), and those of further fixtures.
pub fn kinds(further: &[String]) -> Result<Vec<Arc<Kind>>, Problem> {
    static KINDS: OnceLock<Result<Vec<Arc<Kind>>, String>> = OnceLock::new();
    let parse = |fixture: &str| {
        Kind::parse(fixture)
            .map(Arc::new)
            .map_err(|error| error.to_string())
    };
    let ours = KINDS.get_or_init(|| FIXTURES.iter().map(|fixture| parse(fixture)).collect());
    let all = ours.clone().and_then(|mut kinds| {
        for fixture in further {
            kinds.push(parse(fixture)?);
        }
        Ok(kinds)
    });
    all.map_err(|error| Problem::new(500, "server_error", format!("a fixture does not parse: {error}")))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// `/v2/droplets`
    pub path: String,
    /// Key of the list in its envelope, and of one item.
    pub root: String,
    pub singular: String,
    pub id: IdRule,
    /// The scope a custom token needs to read it.
    pub scope: String,
    /// Type in `do:<type>:<id>`; none: not a member of projects.
    pub urn: Option<String>,
    pub paging: Paging,
    /// A query parameter that selects one of several disjoint lists (`type=gpus`).
    pub partition: Option<Partition>,
    #[serde(default)]
    pub filters: BTreeMap<String, Filter>,
    /// Query parameters that may not be combined.
    #[serde(default)]
    pub exclusive: Vec<Vec<String>>,
    /// Scope -> fields that vanish without it.
    #[serde(default)]
    pub hidden: BTreeMap<String, Vec<String>>,
    /// What churn may do to an item.
    #[serde(default)]
    pub changes: Vec<ChangeRule>,
    #[serde(default)]
    pub synthetic: Synthetic,
    #[serde(default)]
    pub defaults: Map<String, Value>,
    #[serde(rename = "template")]
    pub raw_template: Map<String, Value>,
    /// `"@name"` inside the catalogue stands for one of these.
    #[serde(default)]
    pub constants: Map<String, Value>,
    #[serde(default)]
    catalogue: BTreeMap<String, RawCatalogue>,
    /// Items of the default scenario.
    #[serde(default)]
    pub items: Vec<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
pub struct IdRule {
    pub field: String,
    #[serde(rename = "type")]
    pub kind: IdKind,
    #[serde(default)]
    pub start: u64,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum IdKind {
    Int,
    Uuid,
    /// The id is text the item brings along: a domain's name, a reserved address.
    Name,
    /// The id is the item's public address.
    Address,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Paging {
    Paged,
    Unpaged,
}

#[derive(Debug, Deserialize)]
pub struct Partition {
    pub param: String,
    pub default: String,
    pub values: Vec<PartitionValue>,
}

#[derive(Debug, Deserialize)]
pub struct PartitionValue {
    pub name: String,
    #[serde(default)]
    pub present: Option<String>,
    #[serde(default)]
    pub absent: Option<String>,
    /// Field -> value that an item of this part has.
    #[serde(default)]
    pub equals: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
pub struct Filter {
    pub field: String,
    pub rule: FilterRule,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterRule {
    Equals,
    EqualsIgnoreCase,
    Contains,
}

/// One of: put the next of `cycle`, toggle an array element, toggle a suffix.
#[derive(Debug, Deserialize)]
pub struct ChangeRule {
    pub field: String,
    /// Where the present value is read, if not from `field`.
    pub read: Option<String>,
    #[serde(default)]
    pub cycle: Vec<Value>,
    pub toggle: Option<String>,
    pub suffix: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Synthetic {
    #[serde(default)]
    pub prefixes: Vec<String>,
    #[serde(default)]
    pub fields: BTreeMap<String, Vec<Value>>,
}

#[derive(Debug, Deserialize)]
struct RawCatalogue {
    /// The variable whose value picks the entry; the catalogue's own name if not given.
    by: Option<String>,
    entries: BTreeMap<String, Value>,
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

/// A definition ready for use.
#[derive(Debug)]
pub struct Kind {
    pub definition: Definition,
    pub template: Template,
    /// Renders only the fields that decide in which of the disjoint lists an item belongs.
    pub part_template: Template,
    pub catalogues: BTreeMap<String, Catalogue>,
    /// What an item's making may say that the template or a catalogue uses up.
    pub variables: BTreeSet<String>,
}

impl Kind {
    pub fn parse(fixture: &str) -> Result<Self, serde_json::Error> {
        let definition: Definition = serde_json::from_str(fixture)?;
        let template = Template::compile(&Value::Object(definition.raw_template.clone()));
        let catalogues = definition
            .catalogue
            .iter()
            .map(|(name, raw)| {
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
                let by = raw.by.clone().unwrap_or_else(|| name.clone());
                (
                    name.clone(),
                    Catalogue {
                        by,
                        entries: entries.collect(),
                    },
                )
            })
            .collect::<BTreeMap<String, Catalogue>>();
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
        let members =
            deciding.filter_map(|key| Some((key.clone(), definition.raw_template.get(key)?.clone())));
        // A constant member first: optional ones bring a comma.
        let members = members.chain([(" ".to_owned(), Value::Null)]).collect();
        let part_template = Template::compile(&Value::Object(members));
        let mut variables: BTreeSet<String> = template.names();
        variables.extend(catalogues.values().map(|catalogue| catalogue.by.clone()));
        Ok(Self {
            definition,
            template,
            part_template,
            catalogues,
            variables,
        })
    }

    /// `droplets` for `/v2/droplets`: the name the control endpoint and the library use.
    pub fn name(&self) -> &str {
        self.definition
            .path
            .strip_prefix("/v2/")
            .unwrap_or(&self.definition.path)
    }

    /// The item's URN, if its kind is kept in projects.
    pub fn urn_of(&self, id: &str) -> Option<String> {
        self.definition.urn.as_ref().map(|kind| format!("do:{kind}:{id}"))
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
