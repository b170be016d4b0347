//! What a collection is, as its fixture file says it.
//!
//! A fixture says where the collection is listed, how its items are named and rendered, what a narrow token
//! does not see, what changes by itself, and which items the default scenario starts with. These are the
//! fixture's members, one for one; `kind` makes them ready for use. A fixture with a member that nobody
//! knows does not parse, and the simulator does not start.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{bonds::Bonds, volatile::Rule};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// `/v2/droplets`; `/v2/databases/{database}/replicas` for what is listed under a parent.
    pub path: String,
    /// Key of the list in its envelope, and of one item.
    pub root: String,
    pub singular: String,
    /// The same items under an older address.
    #[serde(default)]
    pub aliases: Vec<Alias>,
    /// Of what this is listed as a part.
    pub parent: Option<Parent>,
    pub id: IdRule,
    /// The fields by which one item is asked for; none: its id alone.
    #[serde(default)]
    pub found_by: Vec<String>,
    /// The scope a custom token needs to read it, and those it needs besides.
    pub scope: String,
    #[serde(default)]
    pub more_scopes: Vec<String>,
    /// Type in `do:<type>:<id>`; none: not a member of projects.
    pub urn: Option<String>,
    /// Where the item itself says its project: a dotted path.
    pub project_field: Option<String>,
    pub paging: Paging,
    /// A limit of this address alone, per token.
    pub own_limit: Option<OwnLimit>,
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
    /// Query parameter -> fields that a listing shows only where it is `true`.
    #[serde(default)]
    pub shown_with: BTreeMap<String, Vec<String>>,
    /// Fields that only the listing shows, and GET by id does not.
    #[serde(default)]
    pub only_listed: Vec<String>,
    /// Fields that the simulator keeps for itself: only the control endpoint shows them.
    #[serde(default)]
    pub internal: Vec<String>,
    /// Fields that are filled in from other collections whenever an item is shown.
    #[serde(default)]
    pub embedded: BTreeMap<String, Embedded>,
    /// What else has to follow when an item is made or destroyed.
    #[serde(default)]
    pub bonds: Bonds,
    /// What changes by itself, while `volatile` is on.
    #[serde(default)]
    pub volatile: Vec<Rule>,
    /// Arrays without an order: dotted paths, `[]` for every element on the way.
    #[serde(default)]
    pub shuffled: Vec<String>,
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
    pub catalogue: BTreeMap<String, RawCatalogue>,
    /// Catalogues of other collections: name -> collection.
    #[serde(default)]
    pub borrowed: BTreeMap<String, String>,
    /// Items of the default scenario.
    #[serde(default)]
    pub items: Vec<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    pub path: String,
    pub root: String,
    pub singular: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parent {
    pub collection: String,
    /// The (internal) field that holds the parent's id.
    pub field: String,
}

#[derive(Debug, Deserialize)]
pub struct IdRule {
    pub field: String,
    #[serde(rename = "type")]
    pub kind: IdKind,
    #[serde(default)]
    pub start: u64,
    /// Of an address: the block it comes from (a variable of `address`).
    #[serde(default = "public_v4")]
    pub block: String,
    /// Items whose ids are digits although the others' are not: field -> value.
    #[serde(default)]
    pub digits_where: Map<String, Value>,
}

fn public_v4() -> String {
    "public_v4".to_owned()
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum IdKind {
    Int,
    Uuid,
    /// The id is text the item brings along: a domain's name.
    Name,
    /// The id is the item's address.
    Address,
    /// Twenty capitals and digits: an access key.
    Word,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Paging {
    /// `links.pages` and `meta.total`.
    Paged,
    /// The whole list, and nothing beside it.
    Unpaged,
    /// `links.pages` with `previous`, `meta` with `page`, `pages` and `total`.
    GenAi,
    /// Pages, and `total` beside the list instead of `links` and `meta`.
    TotalBeside,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnLimit {
    pub requests: usize,
    pub seconds: u64,
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
    /// The parameter says the opposite of the field (`private` of `public`).
    Not,
}

/// A field that is not stored but looked up.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Embedded {
    /// The field holds an id of this collection; shown is the item, or null.
    ItemOf(String),
    /// The same, but where there is none the field is absent from listings.
    ItemOrAbsent(String),
    /// All items of this collection whose parent this is.
    Children(String),
}

/// One of: put the next of `cycle`, toggle an array element, toggle a suffix, name or no longer name an
/// item of the collection `pick`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeRule {
    /// A dotted path.
    pub field: String,
    /// Where the present value is read, if not from `field`.
    pub read: Option<String>,
    #[serde(default)]
    pub cycle: Vec<Value>,
    pub toggle: Option<String>,
    pub suffix: Option<String>,
    pub pick: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Synthetic {
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// Behind the number.
    #[serde(default)]
    pub suffix: String,
    #[serde(default)]
    pub fields: BTreeMap<String, Vec<Value>>,
}

#[derive(Debug, Deserialize)]
pub struct RawCatalogue {
    /// The variable whose value picks the entry; the catalogue's own name if not given.
    pub by: Option<String>,
    pub entries: BTreeMap<String, Value>,
}
