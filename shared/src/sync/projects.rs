//! Projects, in two passes: the projects themselves, then who is in each.
//!
//! Makes sure first that the bootstrap project exists (list, create if absent, list again): a no-op ever after,
//! and if the token may not, a note in the report and nothing worse. What a membership says about a resource
//! is settled at the end in one transaction, whether or not that resource has been seen yet. What only memberships
//! tell of (buckets, types that nobody has described) is kept, and struck, by complete passes over all projects.

use std::collections::BTreeMap;

use super::kind::{PROOFS, worth};
use super::upstream::{Token, Upstream};
use super::{Failure, KindReport, Report, Worker};
use crate::digitalocean::item::Members;
use crate::digitalocean::listing::{CompleteListing, Entry, Incomplete};
use crate::inventory::{self, Actor, Member, Memberships, Observation, Outcome, Partial, Proofs, Verdict};
use crate::kinds::project::{PROJECT, members_of};
use crate::kinds::{CATALOGUE, Glimpse, Kind, Sighting, Told, entry, kind_named, urn};

type Seen = (Vec<Sighting>, Result<Option<CompleteListing>, Incomplete>);

pub(super) async fn sync(
    upstream: &mut Upstream<'_>,
    token: &Token,
    worker: &'static Worker,
    report: &mut Report,
) -> Result<(), Failure> {
    let station = upstream.station();
    let (pool, now, spacing) = (&station.pool, upstream.now(), station.config.strike_spacing);
    let bootstrap = station.config.bootstrap_project.as_deref();
    let (mut sightings, mut whole) = list(upstream, token).await?;
    if let (Some(name), Ok(_)) = (bootstrap, &whole)
        && !sightings
            .iter()
            .any(|project| project.name.as_deref() == Some(name))
    {
        if upstream.lease().is_rehearsal() {
            report.notes.push(format!("the project {name} would be made"));
        } else {
            match upstream.create_project(token, name).await {
                Ok(_) => (sightings, whole) = list(upstream, token).await?,
                Err(Failure::Upstream(error)) => {
                    report.notes.push(format!(
                        "the project {name} is not there and could not be made: {error}"
                    ));
                }
                Err(failure) => return Err(failure),
            }
        }
    }
    let mut proofs = Proofs::new();
    if let Ok(Some(listing)) = &whole {
        let due = inventory::projects_due_for_proof(pool, listing, now, spacing, PROOFS).await?;
        proofs = upstream.prove(token, &PROJECT, &due).await?;
    }
    let seen: Vec<String> = sightings
        .iter()
        .map(|project| project.provider_id.clone())
        .collect();
    let reason = whole.as_ref().err().map(ToString::to_string);
    let listing = worth(&whole, reason.as_deref());
    let observation = Observation {
        kind: &PROJECT,
        sightings,
        recorded: Outcome::default(),
        listing,
        begun_at: now,
    };
    let actor = Actor {
        name: worker.name,
        lease: Some(upstream.lease()),
    };
    let outcome = inventory::reconcile_projects(pool, actor, &observation, &proofs, now, spacing).await?;
    // "In no project at all" can be said only if all projects are known and believed, and each was walked: one that is
    // missing and has no tombstone may be there, with everything in it.
    let complete = outcome.verdict == Verdict::Complete && outcome.missing == outcome.deleted;
    report.add(KindReport {
        kind: PROJECT.name,
        seen: seen.len(),
        outcome,
    });

    let mut memberships = Memberships {
        projects: Vec::new(),
        complete,
    };
    let mut members_seen: Option<CompleteListing> = None;
    let whole = Members::whole();
    for project in seen {
        let mut members = Vec::new();
        let end = upstream
            .walk(token, &members_of(&project), &whole, &mut |item| {
                let member = Member::read(item.text())?;
                let urn = member.urn.clone();
                members.push(member);
                Ok(Entry::One(urn))
            })
            .await?;
        match end {
            Ok(listing) => {
                members_seen = Some(match members_seen.take() {
                    Some(before) => before.join(listing),
                    None => listing,
                });
            }
            Err(incomplete) => {
                memberships.complete = false;
                report
                    .notes
                    .push(format!("members of project {project}: {incomplete}"));
            }
        }
        memberships.projects.push((project, members));
    }
    let actor = Actor {
        name: worker.name,
        lease: Some(upstream.lease()),
    };
    report.settled = Some(inventory::settle(pool, actor, &memberships, bootstrap, now, now).await?);
    let whole = members_seen.filter(|_| memberships.complete);
    only_members(upstream, worker, report, &memberships, whole.as_ref()).await
}

/// What no listing tells of: kept, and struck, by what the members of all projects say.
async fn only_members(
    upstream: &Upstream<'_>,
    worker: &'static Worker,
    report: &mut Report,
    memberships: &Memberships,
    whole: Option<&CompleteListing>,
) -> Result<(), Failure> {
    let station = upstream.station();
    let (pool, now, spacing) = (&station.pool, upstream.now(), station.config.strike_spacing);
    let mut kinds: BTreeMap<&'static str, (&'static Kind, Vec<Sighting>)> = BTreeMap::new();
    let buckets = CATALOGUE
        .iter()
        .copied()
        .filter(|kind| kind.is_known_by_urn_only());
    for kind in buckets.chain(inventory::kinds_known_by_urn_only(pool).await?) {
        kinds.insert(kind.name, (kind, Vec::new()));
    }
    for member in memberships.projects.iter().flat_map(|(_, members)| members) {
        let Some(found) = urn::parse(&member.urn) else {
            continue;
        };
        let Some(kind) = kind_named(&found.kind).filter(|kind| kind.is_known_by_urn_only()) else {
            continue;
        };
        let (_, sightings) = kinds.entry(kind.name).or_insert_with(|| (kind, Vec::new()));
        sightings.extend(member.sighting(kind, found.provider_id));
    }
    let actor = Actor {
        name: worker.name,
        lease: Some(upstream.lease()),
    };
    for (kind, sightings) in kinds.into_values() {
        let listing = whole.map(|whole| {
            whole.select(|text| {
                let found = urn::parse(text)?;
                (found.kind == kind.name).then(|| found.provider_id.to_owned())
            })
        });
        let seen = sightings.len();
        let known = inventory::known(pool, kind).await?;
        let observation = Observation {
            kind,
            sightings,
            recorded: Outcome::default(),
            listing: listing
                .as_ref()
                .ok_or(Partial::Incomplete("not every project's members were listed")),
            begun_at: now,
        };
        let outcome =
            inventory::reconcile(pool, actor, &known, observation, &Proofs::new(), now, spacing).await?;
        report.add(KindReport {
            kind: kind.name,
            seen,
            outcome,
        });
    }
    Ok(())
}

async fn list(upstream: &mut Upstream<'_>, token: &Token) -> Result<Seen, Failure> {
    let mut sightings = Vec::new();
    let mut whole = Ok(None);
    for listing in PROJECT.listings {
        let members = entry::members(&PROJECT, listing.holds);
        let mut reader = entry::Reader::new(&PROJECT, listing.holds, &members);
        let mut keep = |glimpse: Glimpse<'_>| sightings.push(glimpse.keep());
        let end = upstream
            .walk(token, &listing.collection, &members, &mut |item| {
                reader.read(item, None, &Told::new(), &mut keep)
            })
            .await?;
        whole = end.map(Some);
    }
    Ok((sightings, whole))
}
