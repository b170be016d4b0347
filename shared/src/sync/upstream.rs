//! A run's way upstream: every request is paid for, and the lease is kept alive between them.
//!
//! The budget of a token is shared by all who use it, so requests are reserved before they are sent. When the
//! minute is used up the run waits if the invocation can afford it; when the hour is, it stops, and ticks skip
//! until then. One run uses one token: it is read again only if the very first question is refused. It refuses
//! to go on once the lease is somebody else's.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;

use super::{Failure, Station};
use crate::digitalocean::item::Members;
use crate::digitalocean::listing::{Answered, Collection, CompleteListing, Incomplete, Read, Walk};
use crate::digitalocean::remembered::Remembered;
use crate::digitalocean::{Error, Proof, Session};
use crate::inventory;
use crate::kinds::{Address, Kind};
use crate::runs::budget::{self, Grant};
use crate::runs::{Clock, Lease};

/// Time kept for writing, the wait for the mirror's lock included: no wait for an answer may eat into it. Of a short
/// invocation it is half.
const WRITING: Duration = Duration::from_secs(25);
/// What an invocation is taken to have when nobody says.
const USUAL: Duration = Duration::from_secs(120);
/// Requests reserved at a time.
const CHUNK: u32 = 64;
/// How long a reservation may lie: sent much later than they were counted, requests would count for another minute.
const KEPT: Duration = Duration::from_secs(5);
/// Times a single GET is asked before it is given up.
const ATTEMPTS: u32 = 3;

/// The token of the run, and the name that its budget goes by.
pub(crate) struct Token {
    session: Session,
    fingerprint: String,
}

pub(crate) struct Upstream<'a> {
    station: &'a Station,
    clock: &'a Clock,
    lease: Lease,
    time_left: Duration,
    /// Paid for and not sent.
    reserved: u32,
    /// When that was, and for which token.
    reserved_at: DateTime<Utc>,
    reserved_for: Option<String>,
    /// Requests that the rest of the run will need, as far as anybody can tell: reserved together.
    expected: u32,
    requests: u32,
    last_request_id: Option<String>,
}

/// A walk that is being paid for.
pub(super) struct Tour<'t> {
    walk: Walk<'t>,
    token: &'t Token,
    /// The minute is used up: how long until there is something to reserve again.
    wait: Option<Duration>,
}

impl Tour<'_> {
    /// This is what the collection held the last time, as far as it still counts.
    pub(super) fn remember(&mut self, before: Remembered) {
        self.walk.remember(before);
    }

    /// Items that were not read, because they are what they were.
    pub(super) fn unread(&self) -> usize {
        self.walk.unread()
    }

    /// What the collection holds, to be remembered.
    pub(super) fn take_remembered(&mut self) -> Option<Remembered> {
        self.walk.take_remembered()
    }
}

impl Token {
    fn of(session: Session) -> Self {
        let fingerprint = session.fingerprint();
        Self { session, fingerprint }
    }
}

impl<'a> Upstream<'a> {
    pub(super) fn new(
        station: &'a Station,
        clock: &'a Clock,
        lease: Lease,
        time_left: Option<Duration>,
    ) -> Self {
        let time_left = time_left.unwrap_or(USUAL);
        let time_left = time_left.saturating_sub(WRITING.min(time_left / 2));
        Self {
            station,
            clock,
            lease,
            time_left,
            reserved: 0,
            reserved_at: clock.now(),
            reserved_for: None,
            expected: 0,
            requests: 0,
            last_request_id: None,
        }
    }

    pub(crate) fn station(&self) -> &'a Station {
        self.station
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(super) fn into_lease(self) -> Lease {
        self.lease
    }

    pub(super) fn requests(&self) -> u32 {
        self.requests
    }

    pub(super) fn last_request_id(&self) -> Option<&str> {
        self.last_request_id.as_deref()
    }

    /// The token of this run, whose account has been checked: another team's is refused before anything is
    /// written. A token that is refused is read again, once.
    pub(crate) async fn open(&mut self) -> Result<Token, Failure> {
        let client = &self.station.client;
        let mut token = Token::of(client.open(false).await?);
        let mut refreshed = !client.can_be_rotated();
        let mut attempt = 1;
        let account = loop {
            self.reserve(&token).await?;
            self.requests += 1;
            let asked = self.in_time(token.session.account(self.clock.instant())).await;
            match asked.unwrap_or(Err(Error::Transport("time ran out"))) {
                Ok(account) => break account,
                Err(Error::Unauthorized) if !refreshed => {
                    refreshed = true;
                    self.put_back().await;
                    token = Token::of(client.open(true).await?);
                }
                Err(Error::Unauthorized) => {
                    return Err(Failure::Unauthorized(client.token_source().to_owned()));
                }
                Err(error) => self.again(&token, &mut attempt, error).await?,
            }
        };
        if self.lease.is_rehearsal() {
            inventory::compare_account(&self.station.pool, &account).await?;
        } else {
            inventory::check_account(&self.station.pool, &account, self.now()).await?;
        }
        Ok(token)
    }

    /// So many requests will be needed, going by what was there the last time.
    pub(super) fn expect(&mut self, requests: usize) {
        self.expected = u32::try_from(requests).unwrap_or(u32::MAX);
    }

    /// What has been paid for and lies too long goes back, and is asked for again when it is needed.
    async fn put_back(&mut self) {
        self.expected = self.expected.saturating_add(self.reserved);
        self.give_back().await;
    }

    /// Whether something is paid for that may still be sent.
    async fn has_some(&mut self) -> bool {
        let lain = self.clock.instant() - self.reserved_at;
        if self.reserved > 0 && lain.to_std().is_ok_and(|lain| lain >= KEPT) {
            self.put_back().await;
        }
        self.reserved > 0
    }

    /// What was paid for and is not needed goes back to the others; what cannot go back counts as sent.
    pub(super) async fn give_back(&mut self) {
        let left = std::mem::take(&mut self.reserved);
        if let Some(fingerprint) = self.reserved_for.take().filter(|_| left > 0) {
            drop(budget::give_back(&self.station.pool, &fingerprint, left, self.reserved_at).await);
        }
    }

    /// Sets out to walk a collection of some pages, going by what was there the last time; of its items these members are
    /// looked at.
    pub(super) fn tour<'t>(
        &self,
        token: &'t Token,
        collection: &Collection,
        members: &'t Members,
        pages: usize,
    ) -> Tour<'t> {
        Tour {
            walk: Walk::new(&token.session, collection.clone(), members, self.now()).expecting(pages),
            token,
            wait: None,
        }
    }

    /// One answer of a walk, the wire kept busy meanwhile; its items go to `read`. Answers whether there is more to do.
    pub(super) async fn step(&mut self, tour: &mut Tour<'_>, read: &mut Read<'_>) -> Result<bool, Failure> {
        let answered = self.answered(tour).await?;
        self.take(tour, answered, read).await
    }

    /// The next answer of a walk, whatever it is, once all that may be asked for has been.
    pub(super) async fn answered(&mut self, tour: &mut Tour<'_>) -> Result<Option<Answered>, Failure> {
        let walk = &mut tour.walk;
        if walk.is_over() {
            return Ok(None);
        }
        self.hold_on().await?;
        if !self.has_some().await && walk.room() > 0 && tour.wait.is_none() {
            match self.ask_for(tour.token, walk.wants()).await? {
                Grant::Go(granted) => self.reserved = granted,
                Grant::Wait(wait) => tour.wait = Some(wait),
                // What was seen so far may be believed; what was not seen says nothing.
                Grant::NotBefore(until) => walk.stop(Failure::NotBefore(until).to_string()),
            }
        }
        self.reserved -= walk.send(self.reserved, self.clock.instant());
        let answered = self.in_time(walk.answered()).await;
        if answered.is_none() {
            walk.abandon("there is no time left to wait for an answer");
        }
        Ok(answered.flatten())
    }

    /// Reads an answer, and waits where it, or the budget, asks for that. Answers whether there is more to do.
    pub(super) async fn take(
        &mut self,
        tour: &mut Tour<'_>,
        answered: Option<Answered>,
        read: &mut Read<'_>,
    ) -> Result<bool, Failure> {
        let walk = &mut tour.walk;
        if let Some(answered) = answered {
            walk.take(answered, read);
        }
        // Answers do not wait for the minute to pass: they are read first.
        if walk.is_quiet()
            && let Some(wait) = tour.wait.take()
            && !self.rest(wait).await
        {
            walk.stop(Failure::NoTime.to_string());
        }
        if let Some(pause) = walk.pause()
            && !self.rest(pause).await
        {
            walk.stop("there is no time left to ask again");
            self.remember(tour.token, self.later(pause)).await?;
        }
        Ok(!tour.walk.is_over())
    }

    /// What a walk has proven.
    pub(super) async fn end(
        &mut self,
        tour: Tour<'_>,
    ) -> Result<Result<CompleteListing, Incomplete>, Failure> {
        let walk = tour.walk;
        self.requests += walk.requests();
        self.last_request_id = walk
            .last_request_id()
            .map(str::to_owned)
            .or(self.last_request_id.take());
        if let Some(until) = walk.spent_until() {
            self.remember(tour.token, until).await?;
        }
        match walk.finish() {
            Err(Incomplete::Page {
                error: Error::Unauthorized,
                ..
            }) => Err(Failure::Unauthorized(
                self.station.client.token_source().to_owned(),
            )),
            end => Ok(end),
        }
    }

    /// A whole walk, for collections that are small enough to be kept.
    pub(crate) async fn walk(
        &mut self,
        token: &Token,
        collection: &Collection,
        members: &Members,
        read: &mut Read<'_>,
    ) -> Result<Result<CompleteListing, Incomplete>, Failure> {
        let mut tour = self.tour(token, collection, members, 1);
        while self.step(&mut tour, read).await? {}
        self.end(tour).await
    }

    /// One GET, paid for, asked again while that may help.
    pub(crate) async fn once<T>(
        &mut self,
        token: &Token,
        ask: impl for<'s> Fn(&'s Session, DateTime<Utc>) -> BoxFuture<'s, Result<T, Error>>,
    ) -> Result<T, Failure> {
        let mut attempt = 1;
        loop {
            self.reserve(token).await?;
            self.requests += 1;
            let asked = self.in_time(ask(&token.session, self.clock.instant())).await;
            match asked.unwrap_or(Err(Error::Transport("time ran out"))) {
                Ok(answer) => return Ok(answer),
                Err(Error::Unauthorized) => {
                    return Err(Failure::Unauthorized(
                        self.station.client.token_source().to_owned(),
                    ));
                }
                Err(error) => self.again(token, &mut attempt, error).await?,
            }
        }
    }

    /// Keeps the lease alive between two pieces of work that send no requests.
    pub(crate) async fn hold_on(&mut self) -> Result<(), Failure> {
        if self.lease.renew(&self.station.pool, self.clock).await? {
            Ok(())
        } else {
            Err(Failure::Fenced)
        }
    }

    /// Whether there is time for more work before the run has to be written down.
    pub(crate) fn has_time(&self) -> bool {
        self.clock.elapsed() < self.time_left
    }

    /// Makes a project; never asks twice. Answers whether it was made.
    pub(super) async fn create_project(&mut self, token: &Token, name: &str) -> Result<bool, Failure> {
        self.reserve(token).await?;
        self.requests += 1;
        Ok(token.session.create_project(name, self.clock.instant()).await?)
    }

    /// Asks for each of these by id. A request that cannot be paid for proves nothing.
    pub(super) async fn prove(
        &mut self,
        token: &Token,
        kind: &'static Kind,
        due: &[Address],
    ) -> Result<BTreeMap<String, Proof>, Failure> {
        let mut proofs = BTreeMap::new();
        for one in due {
            let Some(path) = kind.path_of(one) else { continue };
            if !self.has_time() {
                break;
            }
            match self.reserve(token).await {
                Ok(()) => {}
                Err(Failure::NotBefore(_) | Failure::NoTime) => break,
                Err(failure) => return Err(failure),
            }
            self.requests += 1;
            match self
                .in_time(
                    token
                        .session
                        .prove(&path, kind.told_apart_by(), self.clock.instant()),
                )
                .await
            {
                Some(Ok(proof)) => drop(proofs.insert(one.provider_id.clone(), proof)),
                Some(Err(Error::Exhausted(until))) => {
                    self.remember(token, until).await?;
                    break;
                }
                Some(Err(_)) | None => break,
            }
        }
        Ok(proofs)
    }

    /// Pays for one request; waits while the minute is used up.
    async fn reserve(&mut self, token: &Token) -> Result<(), Failure> {
        if self.has_some().await {
            self.hold_on().await?;
            self.reserved -= 1;
            return Ok(());
        }
        loop {
            match self.ask_for(token, 1).await? {
                Grant::Go(granted) => {
                    self.reserved = granted.saturating_sub(1);
                    return Ok(());
                }
                Grant::NotBefore(until) => return Err(Failure::NotBefore(until)),
                Grant::Wait(wait) => {
                    if !self.rest(wait).await {
                        return Err(Failure::NoTime);
                    }
                }
            }
        }
    }

    /// Asks for up to `wanted` requests, once; for all that the run will need, as far as they may be reserved together.
    async fn ask_for(&mut self, token: &Token, wanted: u32) -> Result<Grant, Failure> {
        self.hold_on().await?;
        let wanted = wanted.max(self.expected).min(CHUNK);
        // Not later than it was counted.
        let at = self.clock.instant();
        let grant = budget::reserve(&self.station.pool, &token.fingerprint, wanted, self.clock).await?;
        if let Grant::Go(granted) = grant {
            self.reserved_at = at;
            self.reserved_for = Some(token.fingerprint.clone());
            self.expected = self.expected.saturating_sub(granted);
        }
        Ok(grant)
    }

    /// The work's outcome, unless the invocation's time runs out first: who hangs must not take the run's end along.
    async fn in_time<F: Future>(&self, work: F) -> Option<F::Output> {
        let left = self.time_left.saturating_sub(self.clock.elapsed());
        tokio::time::timeout(left, work).await.ok()
    }

    /// Waits in pieces, so that the lease outlives a long wait. False: there is no time for it.
    async fn rest(&mut self, wait: Duration) -> bool {
        if self.clock.elapsed() + wait > self.time_left {
            return false;
        }
        if wait >= KEPT {
            self.put_back().await;
        }
        let mut left = wait;
        while !left.is_zero() {
            let piece = left.min(self.station.config.lease / 4);
            tokio::time::sleep(piece).await;
            left -= piece;
            if !left.is_zero() && !matches!(self.lease.renew(&self.station.pool, self.clock).await, Ok(true))
            {
                // The next reservation finds out, and says so.
                return true;
            }
        }
        true
    }

    /// Whether a single GET is worth asking again; if not, its error is the failure.
    async fn again(&mut self, token: &Token, attempt: &mut u32, error: Error) -> Result<(), Failure> {
        let wait = match &error {
            Error::Burst(wait) => *wait,
            error if error.is_transient() => Duration::from_millis(300) * *attempt,
            Error::Exhausted(until) => {
                self.remember(token, *until).await?;
                return Err(error.into());
            }
            _ => return Err(error.into()),
        };
        *attempt += 1;
        if *attempt > ATTEMPTS || !self.rest(wait).await {
            if matches!(error, Error::Burst(_)) {
                self.remember(token, self.later(wait)).await?;
            }
            return Err(error.into());
        }
        Ok(())
    }

    fn later(&self, wait: Duration) -> DateTime<Utc> {
        self.clock.instant() + TimeDelta::from_std(wait).unwrap_or(TimeDelta::zero())
    }

    async fn remember(&self, token: &Token, until: DateTime<Utc>) -> Result<(), Failure> {
        budget::not_before(&self.station.pool, &token.fingerprint, until).await?;
        Ok(())
    }
}
