//! One kind, from listing to mirror: list, read, prove, reconcile, report.
//!
//! Runs for every kind of a worker's tick. Items equal to what is stored are dropped as their page arrives, so
//! that an unchanged account costs no memory and no write; of a first sync, whole batches of pages are written
//! while the walk goes on. It decides nothing: what a listing is worth is the pager's word, and what to do about
//! it is the plan's.

use std::borrow::Cow;

use super::upstream::{Token, Upstream};
use super::{Failure, KindReport, Worker};
use crate::digitalocean::Error;
use crate::digitalocean::listing::{Collection, CompleteListing, Entry, Incomplete, Unreadable};
use crate::inventory::{self, Actor, BATCH, Known, Observation, Outcome, Partial, Proofs};
use crate::kinds::{Holds, Kind, Parent, Sighting, Told, entry, segment};

/// Absent rows that are asked for by id in one run, at most.
pub(super) const PROOFS: usize = 50;

/// What has come of listing one kind so far.
struct Listed {
    kind: &'static Kind,
    worker: &'static str,
    known: Known,
    told: Told,
    /// Read, new or changed, and not yet recorded.
    sightings: Vec<Sighting>,
    seen: usize,
    recorded: Outcome,
    whole: Result<Option<CompleteListing>, Incomplete>,
}

pub(super) async fn sync(
    upstream: &mut Upstream<'_>,
    token: &Token,
    worker: &'static Worker,
    kind: &'static Kind,
) -> Result<KindReport, Failure> {
    let pool = &upstream.station().pool;
    let (now, spacing) = (upstream.now(), upstream.station().config.strike_spacing);
    let mut listed = Listed {
        kind,
        worker: worker.name,
        known: inventory::known(pool, kind).await?,
        told: told(upstream, token, kind).await?,
        sightings: Vec::new(),
        seen: 0,
        recorded: Outcome::default(),
        whole: Ok(None),
    };
    for listing in kind.listings {
        match listing.holds {
            Holds::Under { path, root, .. } => {
                let mut parents = Vec::new();
                let mut read = |item: &str| {
                    let found = entry::read(kind, listing.holds, item, None, &Told::new(), &mut |_| ())?;
                    if let Entry::Beside(parent) = &found
                        && entry::has_some_under(listing.holds, item)
                    {
                        parents.push(parent.clone());
                    }
                    Ok(found)
                };
                let end = upstream
                    .walk(token, &listing.collection, &mut |item| read(item.get()))
                    .await?;
                listed.end(end);
                for parent in parents {
                    let under = Collection {
                        path: Cow::Owned(path.replace("{parent}", &segment(&parent).unwrap_or_default())),
                        ..Collection::whole("", root)
                    };
                    listed
                        .walk(upstream, token, &under, Holds::Items, Some(&parent))
                        .await?;
                }
            }
            holds => {
                listed
                    .walk(upstream, token, &listing.collection, holds, None)
                    .await?;
            }
        }
    }
    let Listed {
        sightings,
        seen,
        recorded,
        whole,
        ..
    } = listed;
    let mut proofs = Proofs::new();
    if let Ok(Some(listing)) = &whole
        && kind.by_id.is_some()
    {
        let due = inventory::due_for_proof(pool, kind, listing, now, spacing, PROOFS).await?;
        proofs = upstream.prove(token, kind, &due).await?;
    }
    let reason = whole.as_ref().err().map(ToString::to_string);
    let listing = worth(&whole, reason.as_deref());
    let observation = Observation {
        kind,
        sightings,
        recorded,
        listing,
        begun_at: now,
    };
    let actor = Actor {
        name: worker.name,
        lease: Some(upstream.lease()),
    };
    let outcome = inventory::reconcile(pool, actor, observation, &proofs, now, spacing).await?;
    Ok(KindReport {
        kind: kind.name,
        seen,
        outcome,
    })
}

impl Listed {
    /// Walks one collection; whole batches are written while it goes on.
    async fn walk(
        &mut self,
        upstream: &mut Upstream<'_>,
        token: &Token,
        collection: &Collection,
        holds: Holds,
        outer: Option<&str>,
    ) -> Result<(), Failure> {
        let mut tour = upstream.tour(token, collection);
        loop {
            let more = {
                let (kind, known, told) = (self.kind, &self.known, &self.told);
                let (seen, sightings) = (&mut self.seen, &mut self.sightings);
                let mut take = |sighting: Sighting| {
                    *seen += 1;
                    if !known.holds(&sighting) {
                        sightings.push(sighting);
                    }
                };
                let mut read = |item: &serde_json::value::RawValue| -> Result<Entry, Unreadable> {
                    entry::read(kind, holds, item.get(), outer, told, &mut take)
                };
                upstream.step(&mut tour, &mut read).await?
            };
            if self.sightings.len() >= BATCH {
                let actor = Actor {
                    name: self.worker,
                    lease: Some(upstream.lease()),
                };
                let (pool, now) = (&upstream.station().pool, upstream.now());
                let batch = std::mem::take(&mut self.sightings);
                inventory::record(pool, actor, self.kind, batch, now, now, &mut self.recorded).await?;
            }
            if !more {
                break;
            }
        }
        let end = upstream.end(tour).await?;
        self.end(end);
        Ok(())
    }

    /// Whole is what is whole in every part.
    fn end(&mut self, end: Result<CompleteListing, Incomplete>) {
        let before = std::mem::replace(&mut self.whole, Ok(None));
        self.whole = match (before, end) {
            (Ok(None), Ok(listing)) => Ok(Some(listing)),
            (Ok(Some(before)), Ok(listing)) => Ok(Some(before.join(listing))),
            (Err(incomplete), _) | (Ok(_), Err(incomplete)) => Err(incomplete),
        };
    }
}

/// What parents say about their children. A listing of parents that is not whole says less, and that is all: what is
/// not said about a parent is unknown.
async fn told(upstream: &mut Upstream<'_>, token: &Token, kind: &'static Kind) -> Result<Told, Failure> {
    let mut told = Told::new();
    for parent in kind.parents {
        let Parent::Names { kind: parents, list } = parent else {
            continue;
        };
        for listing in parents.listings {
            let mut read = |item: &serde_json::value::RawValue| {
                let (parent, children) = entry::named_children(item.get(), list)?;
                told.extend(children.into_iter().map(|child| (child, parent.clone())));
                Ok(Entry::One(parent))
            };
            drop(upstream.walk(token, &listing.collection, &mut read).await?);
        }
    }
    Ok(told)
}

/// What the mirror may conclude from the end of a walk.
pub(super) fn worth<'w>(
    whole: &'w Result<Option<CompleteListing>, Incomplete>,
    reason: Option<&'w str>,
) -> Result<&'w CompleteListing, Partial<'w>> {
    match (whole, reason) {
        (Ok(Some(listing)), _) => Ok(listing),
        (
            Err(Incomplete::Page {
                error: Error::Unreadable(_),
                ..
            }),
            Some(reason),
        ) => Err(Partial::Unreadable(reason)),
        (_, reason) => Err(Partial::Incomplete(reason.unwrap_or("the kind has no listing"))),
    }
}
