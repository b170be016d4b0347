//! MIRROR: sole writer of projects, resources, their events, and the markers of what a listing was worth.
//!
//! [`reconcile`] is the door: it makes the mirror agree with one listing. Each of its transactions takes the
//! mirror lock before it reads anything, asks [`plan`] what to do, and writes row and event together. A big
//! first sync commits in batches, strikes last. It does no HTTP: listing and proofs are brought to it, and it
//! strikes nothing without a [`CompleteListing`], which only a pager can make.

mod apply;
mod attribution;
pub mod edit;
mod freshness;
mod membership;
pub mod plan;
mod projects;
pub mod read;
mod recording;
mod stored;
mod verify;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use crate::database::{LockError, Pool, lock_mirror};
use crate::digitalocean::listing::CompleteListing;
use crate::digitalocean::{Account, Proof};
use crate::kinds::{Address, Kind, PROVIDER, Sighting};
use crate::runs::Lease;

pub use edit::{Classification, classify_project};
pub use freshness::{Age, ages};
pub use membership::{Member, Memberships, Settled, settle};
pub use plan::Verdict;
pub use projects::reconcile_projects;
pub use recording::Recording;
pub use stored::{Known, kinds_known_by_urn_only, known, sizes};
pub use verify::{Breach, Judged, Verification, VerifyError, mirrored_team, verify};

use attribution::Claim;

/// Changes planned at a time, and but for a [`Recording`] the most that are written in one transaction: more would only take
/// more memory, and keep others from the mirror's lock.
pub(crate) const BATCH: usize = 2_000;

/// Who changes the mirror.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    /// A worker's name, or an operator's subject.
    pub name: &'a str,
    /// The lease under which a worker writes; without one (an operator) there is nothing to be fenced off from.
    pub lease: Option<&'a Lease>,
}

/// What was seen of one kind, and what that is worth.
#[derive(Debug)]
pub struct Observation<'a> {
    /// The kind.
    pub kind: &'static Kind,
    /// Everything seen and not yet recorded; what is known to be unchanged may be left out.
    pub sightings: Vec<Sighting>,
    /// What [`Recording`]s have done for this listing before.
    pub recorded: Outcome,
    /// Proof of wholeness, or why there is none.
    pub listing: Result<&'a CompleteListing, Partial<'a>>,
    /// When the listing was begun: an older one than the last is refused.
    pub begun_at: DateTime<Utc>,
}

/// Why a listing proves nothing.
#[derive(Clone, Copy, Debug)]
pub enum Partial<'a> {
    /// Not whole.
    Incomplete(&'a str),
    /// The token may not read it.
    Unreadable(&'a str),
}

/// Proofs by provider id.
pub type Proofs = BTreeMap<String, Proof>;

/// What a reconciliation did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Outcome {
    /// What became of the kind.
    pub verdict: Verdict,
    /// New rows.
    pub discovered: u32,
    /// Rows whose content changed.
    pub updated: u32,
    /// Rows of which only the tags changed.
    pub tagged: u32,
    /// Tombstones seen again.
    pub restored: u32,
    /// Rows that got a strike.
    pub struck: u32,
    /// Rows whose strikes were cleared.
    pub cleared: u32,
    /// Rows that became tombstones.
    pub deleted: u32,
    /// Absent rows that DigitalOcean still answers for by id.
    pub contradicted: u32,
    /// Absent rows held at two strikes for want of proof.
    pub held: u32,
    /// Live rows that were not in the listing.
    pub missing: u32,
    /// Why the verdict is what it is, if it is not `complete`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why nothing, or not all, was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another writer held the mirror for too long.
    #[error("the mirror is busy: another writer held its lock for 20 s")]
    Busy,
    /// The lease is somebody else's now.
    #[error("this run's lease was taken over: it writes nothing")]
    Fenced,
    /// A newer listing of this kind has been applied already.
    #[error("a newer listing of {0} has been applied already")]
    Overtaken(&'static str),
    /// The token opens another team's account than the one that is mirrored.
    #[error("the token belongs to team {found}, and the mirror is of team {expected}: nothing was written")]
    OtherTeam {
        /// Whose token it is.
        found: String,
        /// Whose account is mirrored.
        expected: String,
    },
    /// A stored row cannot be what it is: named, so that it can be looked at.
    #[error("stored {kind} {provider_id} contradicts itself: {what}")]
    Contradiction {
        /// Its kind.
        kind: &'static str,
        /// Its id.
        provider_id: String,
        /// What is wrong.
        what: &'static str,
    },
    /// Anything else.
    #[error("database: {0}")]
    Driver(#[from] sqlx::Error),
}

impl From<LockError> for Error {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Busy => Error::Busy,
            LockError::Driver(error) => Error::Driver(error),
        }
    }
}

/// Makes sure that the account is the one that is mirrored; the first one seen is.
///
/// # Errors
/// [`Error::OtherTeam`], before anything is written.
pub async fn check_account(pool: &Pool, account: &Account, now: DateTime<Utc>) -> Result<(), Error> {
    if compare_account(pool, account).await? {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO cloud_accounts (provider, account_id, name, first_seen_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (provider) DO NOTHING",
        PROVIDER,
        account.team_id,
        account.team_name,
        now
    )
    .execute(pool)
    .await?;
    compare_account(pool, account).await.map(drop)
}

/// The same without remembering it; false: none is mirrored yet.
///
/// # Errors
/// [`Error::OtherTeam`].
pub async fn compare_account(pool: &Pool, account: &Account) -> Result<bool, Error> {
    let stored = sqlx::query_scalar!(
        "SELECT account_id FROM cloud_accounts WHERE provider = $1",
        PROVIDER
    )
    .fetch_optional(pool)
    .await?;
    match stored {
        Some(expected) if expected != account.team_id => Err(Error::OtherTeam {
            found: account.team_id.clone(),
            expected,
        }),
        stored => Ok(stored.is_some()),
    }
}

/// The absent projects that a proof is due for.
///
/// # Errors
/// When the database cannot be used.
pub async fn projects_due_for_proof(
    pool: &Pool,
    listing: &CompleteListing,
    now: DateTime<Utc>,
    spacing: Duration,
    limit: usize,
) -> Result<Vec<Address>, Error> {
    let struck = stored::struck_projects(pool).await?;
    Ok(due(struck, listing, now, spacing, limit))
}

/// The absent rows that a proof is due for: two strikes, and the last one long enough ago. At most `limit`.
///
/// # Errors
/// When the database cannot be used.
pub async fn due_for_proof(
    pool: &Pool,
    kind: &'static Kind,
    listing: &CompleteListing,
    now: DateTime<Utc>,
    spacing: Duration,
    limit: usize,
) -> Result<Vec<Address>, Error> {
    let struck = stored::struck(pool, kind).await?;
    Ok(due(struck, listing, now, spacing, limit))
}

fn due(
    struck: Vec<(plan::Live, Address)>,
    listing: &CompleteListing,
    now: DateTime<Utc>,
    spacing: Duration,
    limit: usize,
) -> Vec<Address> {
    let due = struck.into_iter().filter(|(row, _)| {
        plan::is_due_for_proof(row, now, spacing) && !listing.ids().contains(&row.provider_id)
    });
    due.map(|(_, address)| address).take(limit).collect()
}

/// Remembers that a kind could not be listed at all, and why.
///
/// # Errors
/// See [`Error`].
pub async fn note_unlisted(
    pool: &Pool,
    actor: Actor<'_>,
    kind: &'static Kind,
    reason: &str,
    begun_at: DateTime<Utc>,
) -> Result<(), Error> {
    let mut door = enter(pool, actor, kind, begun_at).await?;
    apply::mark_doubtful(&mut door, kind, Verdict::Incomplete, reason, begun_at).await?;
    leave(door, actor).await?;
    Ok(())
}

/// By id, each once: rows are locked in one order.
fn sort(sightings: &mut Vec<Sighting>) {
    sightings.sort_unstable_by(|a, b| a.provider_id.cmp(&b.provider_id));
    sightings.dedup_by(|a, b| a.provider_id == b.provider_id);
}

/// Makes the mirror agree with what was seen. Who was `known` before the listing was begun and is not in it is absent.
///
/// # Errors
/// See [`Error`]; batches that were committed before stay, and the next run continues from there.
pub async fn reconcile(
    pool: &Pool,
    actor: Actor<'_>,
    known: &Known,
    mut observation: Observation<'_>,
    proofs: &Proofs,
    now: DateTime<Utc>,
    spacing: Duration,
) -> Result<Outcome, Error> {
    let mut outcome = std::mem::take(&mut observation.recorded);
    sort(&mut observation.sightings);
    let mut sightings = observation.sightings.as_slice();
    while sightings.len() > BATCH {
        let (batch, rest) = sightings.split_at(BATCH);
        let mut door = enter(pool, actor, observation.kind, observation.begun_at).await?;
        upsert(&mut door, actor, observation.kind, batch, now, &mut outcome).await?;
        leave(door, actor).await?;
        sightings = rest;
    }
    let mut door = enter(pool, actor, observation.kind, observation.begun_at).await?;
    upsert(&mut door, actor, observation.kind, sightings, now, &mut outcome).await?;
    match observation.listing {
        Ok(listing) => {
            strike(
                &mut door,
                actor,
                observation.kind,
                listing,
                known,
                proofs,
                now,
                spacing,
                &mut outcome,
            )
            .await?;
        }
        Err(partial) => {
            doubt(
                &mut door,
                observation.kind,
                partial,
                observation.begun_at,
                &mut outcome,
            )
            .await?;
        }
    }
    leave(door, actor).await?;
    Ok(outcome)
}

/// Remembers a listing that proves nothing, and says so in the outcome.
async fn doubt(
    door: &mut Transaction<'_, Postgres>,
    kind: &'static Kind,
    partial: Partial<'_>,
    begun_at: DateTime<Utc>,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let (verdict, reason) = match partial {
        Partial::Incomplete(reason) => (Verdict::Incomplete, reason),
        Partial::Unreadable(reason) => (Verdict::Unreadable, reason),
    };
    outcome.verdict = verdict;
    outcome.reason = Some(reason.to_owned());
    apply::mark_doubtful(door, kind, verdict, reason, begun_at).await
}

/// A transaction in which this actor may write this kind.
async fn enter(
    pool: &Pool,
    actor: Actor<'_>,
    kind: &'static Kind,
    begun_at: DateTime<Utc>,
) -> Result<Transaction<'static, Postgres>, Error> {
    let mut door = lock_mirror(pool).await?;
    if let Some(lease) = actor.lease
        && !lease.holds(&mut door).await?
    {
        return Err(Error::Fenced);
    }
    let newest = sqlx::query_scalar!(
        "SELECT last_attempt_at FROM sync_markers WHERE provider = $1 AND kind = $2",
        PROVIDER,
        kind.name
    )
    .fetch_optional(&mut *door)
    .await?;
    if newest.is_some_and(|newest| newest > begun_at) {
        return Err(Error::Overtaken(kind.name));
    }
    Ok(door)
}

/// Ends what [`enter`] began: what was only a rehearsal is taken back.
async fn leave(door: Transaction<'_, Postgres>, actor: Actor<'_>) -> Result<(), Error> {
    if actor.lease.is_some_and(Lease::is_rehearsal) {
        door.rollback().await?;
    } else {
        door.commit().await?;
    }
    Ok(())
}

async fn upsert(
    door: &mut Transaction<'_, Postgres>,
    actor: Actor<'_>,
    kind: &'static Kind,
    sightings: &[Sighting],
    now: DateTime<Utc>,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    if sightings.is_empty() {
        return Ok(());
    }
    let stored = stored::rows(door, kind, sightings).await?;
    let claims: Vec<Claim<'_>> = sightings
        .iter()
        .map(|sighting| Claim::of(sighting, stored.get(&sighting.provider_id)))
        .collect();
    let attributions = attribution::resolve(door, kind.name, &claims).await?;
    let mut changes = Vec::new();
    for sighting in sightings {
        let attribution = attributions.get(&sighting.provider_id);
        let change = match stored.get(&sighting.provider_id) {
            None => Some(plan::discovered(Uuid::now_v7(), sighting, attribution)),
            Some(row) => plan::seen(kind, row, sighting, attribution),
        };
        if let Some(change) = change {
            outcome.count(&change);
            changes.push(change);
        }
    }
    apply::write(door, actor, kind, &changes, None, now).await?;
    // What belongs to these follows them, whichever of the two was seen first.
    let moved: Vec<Uuid> = changes.iter().filter_map(plan::Change::gives_a_project).collect();
    membership::follow(door, actor, None, moved, now).await?;
    Ok(())
}

#[expect(
    clippy::too_many_arguments,
    reason = "one caller; a struct would only rename them"
)]
async fn strike(
    door: &mut Transaction<'_, Postgres>,
    actor: Actor<'_>,
    kind: &'static Kind,
    listing: &CompleteListing,
    known: &Known,
    proofs: &Proofs,
    now: DateTime<Utc>,
    spacing: Duration,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    // Too much is measured against what was known before: what has just come does not vouch for what is gone.
    let live = stored::live(door, kind, listing, known).await?;
    let marker = stored::marker(door, kind).await?;
    let proofs = kind.by_id.map(|_| proofs);
    let absence = plan::absent(&live, listing, &marker, proofs, now, spacing);
    outcome.missing = u32::try_from(absence.missing).unwrap_or(u32::MAX);
    outcome.verdict = absence.verdict;
    outcome.reason.clone_from(&absence.reason);
    for change in &absence.changes {
        outcome.count(change);
    }
    apply::write(door, actor, kind, &absence.changes, marker.last_complete_at, now).await?;
    apply::mark(door, kind, listing, &marker, &absence, now).await
}

impl Outcome {
    fn count(&mut self, change: &plan::Change<'_>) {
        use plan::Change;
        let counter = match change {
            Change::Discovered(_) => &mut self.discovered,
            Change::Updated(_) => &mut self.updated,
            Change::Tagged(_) => &mut self.tagged,
            Change::Restored(_) => &mut self.restored,
            Change::Reread { .. } => return,
            Change::Cleared { .. } => &mut self.cleared,
            Change::Struck { .. } => &mut self.struck,
            Change::Contradicted { .. } => &mut self.contradicted,
            Change::Held { .. } => &mut self.held,
            Change::Deleted(_) => &mut self.deleted,
        };
        *counter += 1;
    }

    /// Rows that changed in a way that wrote an event.
    pub fn events(&self) -> u32 {
        self.discovered + self.updated + self.tagged + self.restored + self.deleted
    }
}

/// `spacing` as the calendar library counts.
fn delta(spacing: Duration) -> TimeDelta {
    TimeDelta::from_std(spacing).unwrap_or(TimeDelta::MAX)
}
