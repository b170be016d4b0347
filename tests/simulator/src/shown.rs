//! What an answer shows of an item.
//!
//! Stored are bytes; shown are the same bytes, unless the token's scopes hide something, a field is filled in
//! from another collection, is only shown on request or to nobody, or everything volatile is to change.
//! Made once a page. It refuses to parse an item that is shown as it is.

use std::borrow::Cow;

use axum::body::Bytes;
use serde_json::{Map, Value};

use crate::{
    call::Call,
    collection::{Collection, Item},
    definition::{Definition, Embedded},
    token::Scopes,
    volatile::{self, Moment},
    world::World,
};

/// Who looks, and how.
#[derive(Clone, Copy)]
pub struct Eyes<'a> {
    pub world: &'a World,
    pub scopes: &'a Scopes,
    /// The request, if it is for a list.
    pub listing: Option<&'a Call>,
    pub moment: Option<Moment>,
}

/// How the items of one collection are shown in one answer.
pub struct Shown<'a> {
    eyes: Eyes<'a>,
    definition: &'a Definition,
    without: Vec<&'a String>,
}

impl<'a> Shown<'a> {
    pub fn of(collection: &'a Collection, eyes: Eyes<'a>) -> Self {
        let definition = &collection.kind.definition;
        let hidden = definition.hidden.iter();
        let hidden = hidden.filter(|(scope, _)| !eyes.scopes.allow(scope));
        let unasked = definition.shown_with.iter().filter(|(param, _)| {
            eyes.listing
                .is_some_and(|call| call.query_value(param) != Some("true"))
        });
        let mut without: Vec<&String> = hidden.chain(unasked).flat_map(|(_, fields)| fields).collect();
        if eyes.listing.is_none() {
            without.extend(&definition.only_listed);
        }
        without.extend(&definition.internal);
        Self {
            eyes,
            definition,
            without,
        }
    }

    pub fn bytes(&self, item: &Item) -> Bytes {
        let plain = self.without.is_empty() && self.definition.embedded.is_empty();
        if plain && self.eyes.moment.is_none() {
            return item.bytes.clone();
        }
        Bytes::from(Value::Object(self.object(item)).to_string())
    }

    fn object(&self, item: &Item) -> Map<String, Value> {
        let mut object = item.object();
        for (field, embedded) in &self.definition.embedded {
            match looked_up(embedded, self.eyes, item, object.get(field)) {
                Some(value) => drop(object.insert(field.clone(), value)),
                None => drop(object.remove(field)),
            }
        }
        object.retain(|field, _| !self.without.contains(&field));
        if let Some(moment) = self.eyes.moment {
            volatile::stir(&mut object, &item.id, self.definition, moment);
        }
        object
    }
}

fn looked_up(embedded: &Embedded, eyes: Eyes<'_>, item: &Item, held: Option<&Value>) -> Option<Value> {
    // What stands inside another item is shown as a list shows it, whatever was asked for.
    let shown =
        |collection: &Collection, item: &Item| Value::Object(Shown::of(collection, eyes).object(item));
    match embedded {
        Embedded::ItemOf(name) | Embedded::ItemOrAbsent(name) => {
            let collection = eyes.world.collection(name).ok()?;
            let id = held.map(|id| {
                id.as_str()
                    .map_or_else(|| Cow::Owned(id.to_string()), Cow::Borrowed)
            });
            let found = id.and_then(|id| collection.get(&id));
            match (found, embedded) {
                (Some(found), _) => Some(shown(collection, found)),
                (None, Embedded::ItemOrAbsent(_)) if eyes.listing.is_some() => None,
                (None, _) => Some(Value::Null),
            }
        }
        Embedded::Children(name) => {
            let collection = eyes.world.collection(name).ok()?;
            let children = collection.children_of(&item.id);
            Some(Value::Array(
                children.map(|child| shown(collection, child)).collect(),
            ))
        }
    }
}

/// The whole item as the control endpoint and the library see it: everything filled in, internal fields too.
pub fn whole(world: &World, collection: &Collection, item: &Item) -> Value {
    let eyes = Eyes {
        world,
        scopes: &Scopes::Full,
        listing: None,
        moment: None,
    };
    let mut object = item.object();
    for (field, embedded) in &collection.kind.definition.embedded {
        let value = looked_up(embedded, eyes, item, object.get(field)).unwrap_or_default();
        object.insert(field.clone(), value);
    }
    Value::Object(object)
}
