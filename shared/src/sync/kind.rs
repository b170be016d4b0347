//! One kind, from listing to mirror: list, read, prove, reconcile, report.
//!
//! Runs for every kind of a worker's tick. Items equal to what is stored are dropped as their page arrives, so
//! that an unchanged account costs no memory and no write; of a first sync, whole batches of pages are written
//! while the walk goes on. It decides nothing: what a listing is worth is the pager's word, and what to do about
//! it is the plan's.

use super::upstream::{Token, Upstream};
use super::{Failure, KindReport, Worker};
use crate::digitalocean::Error;
use crate::digitalocean::listing::{CompleteListing, Incomplete};
use crate::inventory::{self, Actor, BATCH, Observation, Outcome, Partial, Proofs};
use crate::kinds::{Kind, Sighting};

/// Absent rows that are asked for by id in one run, at most.
pub(super) const PROOFS: usize = 50;

pub(super) async fn sync(
    upstream: &mut Upstream<'_>,
    token: &Token,
    worker: &'static Worker,
    kind: &'static Kind,
) -> Result<KindReport, Failure> {
    let pool = &upstream.station().pool;
    let (now, spacing) = (upstream.now(), upstream.station().config.strike_spacing);
    let known = inventory::known(pool, kind).await?;
    let (mut sightings, mut seen, mut recorded) = (Vec::new(), 0, Outcome::default());
    let mut whole: Result<Option<CompleteListing>, Incomplete> = Ok(None);
    for collection in kind.listings {
        let mut tour = upstream.tour(token, collection);
        loop {
            let mut read = |item: &serde_json::value::RawValue| {
                let sighting = Sighting::read(kind, item.get())?;
                seen += 1;
                let id = sighting.provider_id.clone();
                if !known.holds(&sighting) {
                    sightings.push(sighting);
                }
                Ok(id)
            };
            let more = upstream.step(&mut tour, &mut read).await?;
            if sightings.len() >= BATCH {
                let actor = Actor {
                    name: worker.name,
                    lease: Some(upstream.lease()),
                };
                let batch = std::mem::take(&mut sightings);
                inventory::record(pool, actor, kind, batch, now, now, &mut recorded).await?;
            }
            if !more {
                break;
            }
        }
        let end = upstream.end(tour).await?;
        whole = match (whole, end) {
            (Ok(None), Ok(listing)) => Ok(Some(listing)),
            (Ok(Some(before)), Ok(listing)) => Ok(Some(before.join(listing))),
            (Err(incomplete), _) | (Ok(_), Err(incomplete)) => Err(incomplete),
        };
    }
    drop(known);
    let mut proofs = Proofs::new();
    if let Ok(Some(listing)) = &whole {
        let due = inventory::due_for_proof(pool, kind, listing, now, spacing, PROOFS).await?;
        proofs = upstream.prove(token, due, |id| kind.path_of(id)).await?;
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
