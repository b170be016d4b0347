//! One kind, from listing to mirror: list, read, prove, reconcile, report.
//!
//! Runs for every kind of a worker's tick. Items equal to what is stored are dropped as their page arrives, so
//! that an unchanged account costs no write, and no memory but for its ids and what is remembered until the next run; what
//! a first sync has read goes to a writer while the next pages are fetched. It decides nothing: what a listing is worth is
//! the pager's word, and what to do about it is the plan's.

mod writer;

use std::borrow::Cow;

use futures_util::future::join;
use tokio::task::yield_now;

use super::upstream::{Token, Tour, Upstream};
use super::{Failure, KindReport, Worker};
use crate::digitalocean::Error;
use crate::digitalocean::item::Item;
use crate::digitalocean::listing::{Answered, Collection, CompleteListing, Entry, Incomplete, PER_PAGE};
use crate::inventory::{self, Actor, BATCH, Known, Observation, Outcome, Partial, Proofs};
use crate::kinds::entry::{self, Reader};
use crate::kinds::{Glimpse, Holds, Kind, Parent, Sighting, Told, segment};
use writer::{Errand, PORTION, Writer};

/// New or changed things that are worth a writer; where all is new, the first portion is.
const WORTH_A_WRITER: usize = BATCH;

/// Absent rows that are asked for by id in one run, at most.
pub(super) const PROOFS: usize = 50;

/// What has come of listing one kind so far.
struct Listed {
    kind: &'static Kind,
    worker: &'static str,
    /// Read while the first answer is on its way: nobody else writes this kind while the lease is ours.
    known: Option<Known>,
    told: Told,
    /// Read, new or changed, and not yet on their way into the mirror.
    sightings: Vec<Sighting>,
    /// Who writes while the walk goes on, once there is enough to write: on a connection of its own, because the usual one
    /// reserves requests.
    writer: Option<Writer>,
    seen: usize,
    whole: Result<Option<CompleteListing>, Incomplete>,
}

/// Mirrors a kind that was so large the last time.
pub(super) async fn sync(
    upstream: &mut Upstream<'_>,
    token: &Token,
    worker: &'static Worker,
    kind: &'static Kind,
    size: usize,
) -> Result<KindReport, Failure> {
    let pool = &upstream.station().pool;
    let (now, spacing) = (upstream.now(), upstream.station().config.strike_spacing);
    let mut listed = Listed {
        kind,
        worker: worker.name,
        known: None,
        told: told(upstream, token, kind).await?,
        sightings: Vec::new(),
        writer: None,
        seen: 0,
        whole: Ok(None),
    };
    // Things that are spread over several collections may be in any of them: as many pages as will surely be there.
    let mut pages = match kind.listings {
        [_] => size.div_ceil(PER_PAGE as usize),
        _ => size / PER_PAGE as usize,
    };
    for listing in kind.listings {
        match listing.holds {
            Holds::Under { path, root, .. } => {
                let mut parents = Vec::new();
                let members = entry::members(kind, listing.holds);
                let mut reader = Reader::new(kind, listing.holds, &members);
                let end = upstream
                    .walk(token, &listing.collection, &members, &mut |item| {
                        let found = reader.read(item, None, &Told::new(), &mut |_| ())?;
                        if let Entry::Beside(parent) = &found
                            && entry::has_some_under(listing.holds, item)
                        {
                            parents.push(parent.clone());
                        }
                        Ok(found)
                    })
                    .await?;
                listed.end(end);
                for parent in parents {
                    let under = Collection {
                        path: Cow::Owned(path.replace("{parent}", &segment(&parent).unwrap_or_default())),
                        ..Collection::whole("", root)
                    };
                    listed
                        .walk(upstream, token, &under, 1, Holds::Items, Some(&parent))
                        .await?;
                }
            }
            holds => {
                // Of collections that hold other things besides nobody knows how large they are.
                let pages = match holds {
                    Holds::Items => std::mem::take(&mut pages),
                    _ => 1,
                };
                listed
                    .walk(upstream, token, &listing.collection, pages, holds, None)
                    .await?;
            }
        }
    }
    let Listed {
        sightings,
        known,
        writer,
        seen,
        whole,
        ..
    } = listed;
    let (recorded, writer) = match writer {
        Some(writer) => writer
            .end()
            .await
            .map(|(recorded, idle)| (recorded, Some(idle)))?,
        None => (Outcome::default(), None),
    };
    let known = match known {
        Some(known) => known,
        None => inventory::known(pool, kind).await?,
    };
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
    // Who has written goes on writing: it has all statements prepared.
    let writing = writer.as_ref().map_or(pool, |idle| &idle.pool);
    let outcome = inventory::reconcile(writing, actor, &known, observation, &proofs, now, spacing).await;
    if let Some(writer) = writer {
        // Whatever has become of it: what is taken back is taken back before anything else is done.
        writer.pool.close().await;
    }
    let outcome = outcome?;
    Ok(KindReport {
        kind: kind.name,
        seen,
        outcome,
    })
}

impl Listed {
    /// Walks one collection; where much of it is new, that is written while it goes on.
    async fn walk(
        &mut self,
        upstream: &mut Upstream<'_>,
        token: &Token,
        collection: &Collection,
        pages: usize,
        holds: Holds,
        outer: Option<&str>,
    ) -> Result<(), Failure> {
        let members = entry::members(self.kind, holds);
        let mut reader = Reader::new(self.kind, holds, &members);
        // Only of things that are told by their own items alone.
        let is_told = (self.kind.parents.iter()).any(|parent| matches!(parent, Parent::Names { .. }));
        let is_remembered = matches!(holds, Holds::Items) && outer.is_none() && !is_told;
        let memory = &upstream.station().memory;
        let mut before = is_remembered.then(|| memory.take(self.kind.name, collection));
        let mut tour = upstream.tour(token, collection, &members, pages);
        loop {
            let answered = self.answered(upstream, &mut tour).await?;
            let known = self.known.get_or_insert_default();
            // Once it is known what the mirror holds, and before any page is read.
            if let Some(mut before) = before.take() {
                before.only(|id, hash| known.holds(id, hash));
                tour.remember(before);
            }
            let is_all_new = known.is_empty();
            let (told, seen, sightings) = (&self.told, &mut self.seen, &mut self.sightings);
            let mut take = |glimpse: Glimpse<'_>| {
                *seen += 1;
                if !known.holds(&glimpse.provider_id, glimpse.hash) {
                    sightings.push(glimpse.keep());
                }
            };
            let mut read = |item: &Item<'_>| reader.read(item, outer, told, &mut take);
            let more = upstream.take(&mut tour, answered, &mut read).await?;
            let enough = match self.writer {
                None if !is_all_new => WORTH_A_WRITER,
                _ => PORTION,
            };
            if self.sightings.len() >= enough {
                self.write(upstream).await?;
            }
            if !more {
                break;
            }
            // Of pages that have come already one is read after the other: requests are sent in between.
            yield_now().await;
        }
        self.seen += tour.unread();
        let remembered = tour.take_remembered();
        let end = upstream.end(tour).await?;
        if let (Ok(_), Some(remembered)) = (&end, remembered) {
            memory.keep(self.kind.name, collection, remembered);
        }
        self.end(end);
        Ok(())
    }

    /// The next answer; what is known is read while the first one is on its way.
    async fn answered(
        &mut self,
        upstream: &mut Upstream<'_>,
        tour: &mut Tour<'_>,
    ) -> Result<Option<Answered>, Failure> {
        if self.known.is_some() {
            return upstream.answered(tour).await;
        }
        let pool = &upstream.station().pool;
        let (answered, known) = join(upstream.answered(tour), inventory::known(pool, self.kind)).await;
        self.known = Some(known?);
        answered
    }

    /// Sends what was read so far on its way into the mirror, portion by portion.
    async fn write(&mut self, upstream: &Upstream<'_>) -> Result<(), Failure> {
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let errand = Errand {
                    worker: self.worker,
                    lease: upstream.lease().clone(),
                    kind: self.kind,
                    now: upstream.now(),
                };
                Writer::begin(&upstream.station().pool, errand).await?
            }
        };
        while self.sightings.len() >= PORTION {
            writer = writer.send(self.sightings.drain(..PORTION).collect()).await?;
        }
        self.writer = Some(writer);
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
        let members = entry::of_parents(list);
        for listing in parents.listings {
            let mut read = |item: &Item<'_>| {
                let (parent, children) = entry::named_children(item, list)?;
                told.extend(children.into_iter().map(|child| (child, parent.clone())));
                Ok(Entry::One(parent))
            };
            drop(
                upstream
                    .walk(token, &listing.collection, &members, &mut read)
                    .await?,
            );
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
