//! A run's way upstream: every request is paid for, and the lease is kept alive between them.
//!
//! The budget of a token is shared by all who use it, so requests are reserved before they are sent. When the
//! minute is used up the run waits if the invocation can afford it; when the hour is, it stops, and ticks skip
//! until then. It refuses to go on once the lease is somebody else's.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::{Failure, Station};
use crate::digitalocean::listing::{Collection, CompleteListing, Incomplete, Unreadable, Walk};
use crate::digitalocean::{Client, Error, Proof};
use crate::inventory;
use crate::runs::budget::{self, Grant};
use crate::runs::{Clock, Lease};

/// Time kept for writing: no wait may eat into it.
const WRITING: Duration = Duration::from_secs(15);
/// What an invocation is taken to have when nobody says.
const USUAL: Duration = Duration::from_secs(120);
/// Requests reserved at a time; the lease is renewed in between.
const CHUNK: u32 = 40;
/// Times a single GET is asked before it is given up.
const ATTEMPTS: u32 = 3;

pub(super) struct Upstream<'a> {
    station: &'a Station,
    clock: &'a Clock,
    lease: Lease,
    time_left: Duration,
    fingerprint: Option<String>,
    requests: u32,
    last_request_id: Option<String>,
}

impl<'a> Upstream<'a> {
    pub(super) fn new(
        station: &'a Station,
        clock: &'a Clock,
        lease: Lease,
        time_left: Option<Duration>,
    ) -> Self {
        let time_left = time_left.unwrap_or(USUAL).saturating_sub(WRITING);
        Self {
            station,
            clock,
            lease,
            time_left,
            fingerprint: None,
            requests: 0,
            last_request_id: None,
        }
    }

    pub(super) fn station(&self) -> &'a Station {
        self.station
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(super) fn lease(&self) -> &Lease {
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

    fn client(&self) -> &'a Client {
        &self.station.client
    }

    /// Refuses the account of another team before anything is written.
    pub(super) async fn check_account(&mut self) -> Result<(), Failure> {
        let mut attempt = 1;
        let account = loop {
            self.reserve(1).await?;
            self.requests += 1;
            let asked = self.in_time(self.client().account(self.clock.instant())).await;
            match asked.unwrap_or(Err(Error::Transport("time ran out"))) {
                Ok(account) => break account,
                Err(error) => self.again(&mut attempt, error).await?,
            }
        };
        Ok(inventory::check_account(&self.station.pool, &account, self.now()).await?)
    }

    /// Walks a collection to its end, or says why that proves nothing. Items go to `read`, which answers ids.
    pub(super) async fn walk(
        &mut self,
        collection: &Collection,
        read: &mut (dyn FnMut(&RawValue) -> Result<String, Unreadable> + Send),
    ) -> Result<Result<CompleteListing, Incomplete>, Failure> {
        let mut walk = Walk::new(self.client(), collection.clone(), self.now());
        while walk.wants() > 0 {
            let granted = match self.reserve(walk.wants().min(CHUNK)).await {
                Ok(granted) => granted,
                // What was seen so far may be believed; what was not seen says nothing.
                Err(Failure::NotBefore(_) | Failure::NoTime) if walk.requests() > 0 => {
                    walk.stop("the token has no requests left");
                    break;
                }
                Err(failure) => return Err(failure),
            };
            let fetched = self
                .in_time(walk.fetch(granted, self.clock.instant(), read))
                .await;
            if fetched.is_none() {
                walk.stop("there is no time left to wait for an answer");
            }
            if let Some(pause) = walk.pause()
                && !self.rest(pause).await
            {
                walk.stop("there is no time left to ask again");
            }
        }
        self.requests += walk.requests();
        self.last_request_id = walk
            .last_request_id()
            .map(str::to_owned)
            .or(self.last_request_id.take());
        let end = walk.finish();
        if let Err(Incomplete::Page {
            error: Error::Exhausted(until),
            ..
        }) = &end
        {
            self.remember(*until).await?;
        }
        Ok(end)
    }

    /// Makes a project; never asks twice. Answers whether it was made.
    pub(super) async fn create_project(&mut self, name: &str) -> Result<bool, Failure> {
        self.reserve(1).await?;
        self.requests += 1;
        Ok(self.client().create_project(name, self.clock.instant()).await?)
    }

    /// Asks for each of these by id. A request that cannot be paid for proves nothing.
    pub(super) async fn prove(
        &mut self,
        ids: Vec<String>,
        path_of: impl Fn(&str) -> Option<String>,
    ) -> Result<BTreeMap<String, Proof>, Failure> {
        let mut proofs = BTreeMap::new();
        for id in ids {
            let Some(path) = path_of(&id) else { continue };
            match self.reserve(1).await {
                Ok(_) => {}
                Err(Failure::NotBefore(_) | Failure::NoTime) => break,
                Err(failure) => return Err(failure),
            }
            self.requests += 1;
            match self
                .in_time(self.client().prove(&path, self.clock.instant()))
                .await
            {
                Some(Ok(proof)) => drop(proofs.insert(id, proof)),
                Some(Err(Error::Exhausted(until))) => {
                    self.remember(until).await?;
                    break;
                }
                Some(Err(_)) | None => break,
            }
        }
        Ok(proofs)
    }

    /// Pays for up to `wanted` requests; waits while the minute is used up.
    async fn reserve(&mut self, wanted: u32) -> Result<u32, Failure> {
        let fingerprint = match &self.fingerprint {
            Some(fingerprint) => fingerprint.clone(),
            None => self
                .fingerprint
                .insert(self.client().fingerprint().await?)
                .clone(),
        };
        loop {
            if !self.lease.renew(&self.station.pool, self.clock).await? {
                return Err(Failure::Fenced);
            }
            match budget::reserve(&self.station.pool, &fingerprint, wanted, self.clock).await? {
                Grant::Go(granted) => return Ok(granted),
                Grant::NotBefore(until) => return Err(Failure::NotBefore(until)),
                Grant::Wait(wait) => {
                    if !self.rest(wait).await {
                        return Err(Failure::NoTime);
                    }
                }
            }
        }
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
    async fn again(&mut self, attempt: &mut u32, error: Error) -> Result<(), Failure> {
        let wait = match &error {
            Error::Burst(wait) => *wait,
            error if error.is_transient() => Duration::from_millis(300) * *attempt,
            Error::Exhausted(until) => {
                self.remember(*until).await?;
                return Err(error.into());
            }
            _ => return Err(error.into()),
        };
        *attempt += 1;
        if *attempt > ATTEMPTS || !self.rest(wait).await {
            return Err(error.into());
        }
        Ok(())
    }

    async fn remember(&self, until: DateTime<Utc>) -> Result<(), Failure> {
        if let Some(fingerprint) = &self.fingerprint {
            budget::not_before(&self.station.pool, fingerprint, until).await?;
        }
        Ok(())
    }
}
