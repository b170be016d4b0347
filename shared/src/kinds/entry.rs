//! One item of a collection: what it is to the walk, and what of it belongs to the kind.
//!
//! Most items are one thing each. Some collections hold other things besides (images), or parents with lists of what
//! is meant (node pools inside clusters), and some parents name their children (a droplet's backups). Pure.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::item::{own_id, plain_id, unquoted};
use super::sighting::{self, Glimpse, Sight, Told};
use super::{Holds, Kind};
use crate::digitalocean::item::{Item, Members};
use crate::digitalocean::listing::{Entry, Unreadable};

/// Reads the items of one collection for one kind: made once a walk.
#[derive(Debug)]
pub struct Reader<'k> {
    holds: Holds,
    sight: Sight<'k>,
    /// Of the things inside an item, where they are not the items themselves.
    inner: Members,
}

/// The members that are looked at in the items of a collection which holds this of a kind.
pub fn members(kind: &Kind, holds: Holds) -> Members {
    let of_the_kind = sighting::members(kind);
    match holds {
        Holds::Items => Members::at(of_the_kind),
        Holds::Only { field, .. } => Members::at(of_the_kind.chain(["id", field])),
        Holds::Inside(list) => Members::at(["id", list]),
        Holds::Under { except, .. } => Members::at(["id"].into_iter().chain(except.map(|(field, _)| field))),
    }
}

impl<'k> Reader<'k> {
    /// For a collection whose items are cut into the [`members`] of the same kind.
    pub fn new(kind: &'k Kind, holds: Holds, members: &Members) -> Self {
        let inner = match holds {
            Holds::Inside(_) => Members::at(sighting::members(kind)),
            Holds::Items | Holds::Only { .. } | Holds::Under { .. } => Members::default(),
        };
        let is_inside = matches!(holds, Holds::Inside(_));
        Self {
            holds,
            sight: Sight::of(kind, if is_inside { &inner } else { members }),
            inner,
        }
    }

    /// Reads one item: what it is to the walk, and what of it belongs to the kind.
    ///
    /// # Errors
    /// As [`Sighting::read`](super::Sighting::read).
    pub fn read<'a>(
        &'a mut self,
        item: &Item<'a>,
        outer: Option<&str>,
        told: &Told,
        take: &mut dyn FnMut(Glimpse<'_>),
    ) -> Result<Entry, Unreadable> {
        match self.holds {
            Holds::Only { field, value } if !says(item, field, value) => {
                Ok(Entry::Beside(own_id(item)?.into_owned()))
            }
            Holds::Items | Holds::Only { .. } => {
                let glimpse = self.sight.read(item, outer, Some(told))?;
                let (id, content) = (glimpse.provider_id.clone().into_owned(), glimpse.hash);
                take(glimpse);
                Ok(Entry::Read(id, content))
            }
            Holds::Inside(list) => {
                let id = own_id(item)?;
                let items: Option<Vec<&RawValue>> = match item.raw(list).map(serde_json::from_str) {
                    Some(Ok(items)) => items,
                    // A parent that hides its list must not look as if it had emptied it.
                    _ => return Err(Unreadable(Cow::Owned(format!("{list} is missing")))),
                };
                let mut ids = Vec::new();
                for item in items.unwrap_or_default() {
                    let item = self.inner.of(item.get())?;
                    let glimpse = self.sight.read(&item, Some(&id), Some(told))?;
                    ids.push(glimpse.provider_id.clone().into_owned());
                    take(glimpse);
                }
                Ok(Entry::Many(id.into_owned(), ids))
            }
            Holds::Under { .. } => Ok(Entry::Beside(own_id(item)?.into_owned())),
        }
    }
}

fn says(item: &Item<'_>, field: &str, value: &str) -> bool {
    item.raw(field)
        .and_then(unquoted)
        .is_some_and(|found| found == value)
}

/// Whether a parent has a collection of what is under it.
pub fn has_some_under(holds: Holds, parent: &Item<'_>) -> bool {
    match holds {
        Holds::Under {
            except: Some((field, values)),
            ..
        } => !values.iter().any(|value| says(parent, field, value)),
        _ => true,
    }
}

/// The members of a parent that tell of its children.
pub(crate) fn of_parents(list: &'static str) -> Members {
    Members::at(["id", list])
}

/// The children that a parent names, and the parent's id.
///
/// # Errors
/// When it is no item with an id.
pub(crate) fn named_children(
    parent: &Item<'_>,
    list: &'static str,
) -> Result<(String, Vec<String>), Unreadable> {
    let id = own_id(parent)?.into_owned();
    let ids: Vec<&RawValue> = parent
        .raw(list)
        .and_then(|list| serde_json::from_str(list).ok())
        .unwrap_or_default();
    let ids = ids.into_iter().filter_map(|id| plain_id(id.get()));
    Ok((id, ids.map(Cow::into_owned).collect()))
}
