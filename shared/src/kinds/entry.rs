//! One item of a collection: what it is to the walk, and what of it belongs to the kind.
//!
//! Most items are one thing each. Some collections hold other things besides (images), or parents with lists of what
//! is meant (node pools inside clusters), and some parents name their children (a droplet's backups). Pure.

use std::borrow::Cow;

use serde_json::Value;
use serde_json::value::RawValue;

use super::item::{Item, plain_id};
use super::sighting::Told;
use super::{Holds, Kind, Sighting};
use crate::digitalocean::listing::{Entry, Unreadable};

/// Reads one item of a collection: what it is to the walk, and what of it belongs to the kind.
///
/// # Errors
/// As [`Sighting::read`].
pub fn read(
    kind: &Kind,
    holds: Holds,
    item: &str,
    outer: Option<&str>,
    told: &Told,
    take: &mut dyn FnMut(Sighting),
) -> Result<Entry, Unreadable> {
    match holds {
        Holds::Items => {
            let sighting = Sighting::read_within(kind, item, outer, Some(told))?;
            let id = sighting.provider_id.clone();
            take(sighting);
            Ok(Entry::One(id))
        }
        Holds::Only { field, value } => {
            let mut other = Item::of(item)?;
            if other.at(field).is_some_and(|found| found == value) {
                return read(kind, Holds::Items, item, outer, told, take);
            }
            Ok(Entry::Beside(other.id()?))
        }
        Holds::Inside(list) => {
            let mut parent = Item::of(item)?;
            let id = parent.id()?;
            let inside = parent.raw(list);
            let items: Option<Vec<&RawValue>> = match inside.map(|list| serde_json::from_str(list.get())) {
                Some(Ok(items)) => items,
                // A parent that hides its list must not look as if it had emptied it.
                _ => return Err(Unreadable(Cow::Owned(format!("{list} is missing")))),
            };
            let mut ids = Vec::new();
            for item in items.unwrap_or_default() {
                let sighting = Sighting::read_within(kind, item.get(), Some(&id), Some(told))?;
                ids.push(sighting.provider_id.clone());
                take(sighting);
            }
            Ok(Entry::Many(id, ids))
        }
        Holds::Under { .. } => Ok(Entry::Beside(Item::of(item)?.id()?)),
    }
}

/// Whether a parent has a collection of what is under it.
pub fn has_some_under(holds: Holds, parent: &str) -> bool {
    let Holds::Under {
        except: Some((field, values)),
        ..
    } = holds
    else {
        return true;
    };
    let said = Item::of(parent).ok().and_then(|mut parent| parent.at(field));
    !said.is_some_and(|said| said.as_str().is_some_and(|said| values.contains(&said)))
}

/// The children that a parent names, and the parent's id.
///
/// # Errors
/// When it is no item with an id.
pub(crate) fn named_children(item: &str, list: &'static str) -> Result<(String, Vec<String>), Unreadable> {
    let mut parent = Item::of(item)?;
    let id = parent.id()?;
    let ids = match parent.at(list) {
        Some(Value::Array(ids)) => ids.into_iter().filter_map(plain_id).collect(),
        _ => Vec::new(),
    };
    Ok((id, ids))
}
