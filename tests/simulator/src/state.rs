//! Everything behind the lock: worlds, tokens, faults, settings, log.
//!
//! One request is one critical section of `State`, which is what makes mutations atomic with respect to
//! requests. `api` answers from it, `control` and `Simulator` change it. No waiting happens in here.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    answer::Answer,
    billing::Billing,
    call::{Call, parse_query},
    clock::Clock,
    control,
    faults::Faults,
    gate,
    journal::Journal,
    limits::Limits,
    options::Options,
    problem::Problem,
    scenario::{self, Scenario},
    token::{Credential, Scopes, Token},
    world::World,
};

/// What may be set while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Added to every answer of the API.
    pub latency_ms: u64,
    pub limits: Limits,
}

/// A body that is served as it is.
#[derive(Clone, Debug)]
pub struct Override {
    path: String,
    query: Vec<(String, String)>,
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

#[derive(Debug)]
pub struct State {
    pub seed: u64,
    pub scenario: Scenario,
    fixtures: Vec<String>,
    pub world: World,
    pub other_team: World,
    pub billing: Billing,
    pub settings: Settings,
    pub tokens: Vec<Credential>,
    pub faults: Faults,
    pub journal: Journal,
    pub overrides: Vec<Override>,
    pub clock: Clock,
    pub requests: u64,
}

impl State {
    pub fn new(options: &Options) -> Result<Self, Problem> {
        let world = scenario::build(options.seed, options.scenario, &options.fixtures)?;
        Ok(Self {
            billing: Billing::of(&world, options.scenario == Scenario::Default)?,
            seed: options.seed,
            scenario: options.scenario,
            fixtures: options.fixtures.clone(),
            world,
            other_team: scenario::build_other_team(options.seed, &options.fixtures)?,
            settings: options.settings,
            tokens: options.tokens.iter().map(Credential::new).collect(),
            faults: Faults::default(),
            journal: Journal::new(options.log_entries),
            overrides: Vec::new(),
            clock: Clock::default(),
            requests: 0,
        })
    }

    /// Back to the beginning of a scenario: worlds, faults, log, overrides and rate windows. Tokens and
    /// settings stay.
    pub fn reset(&mut self, seed: u64, scenario: Scenario) -> Result<(), Problem> {
        self.world = scenario::build(seed, scenario, &self.fixtures)?;
        self.other_team = scenario::build_other_team(seed, &self.fixtures)?;
        self.billing = Billing::of(&self.world, scenario == Scenario::Default)?;
        (self.seed, self.scenario) = (seed, scenario);
        self.faults.clear();
        self.journal.clear();
        self.overrides.clear();
        for token in &mut self.tokens {
            token.windows.clear();
            (token.requests, token.blocked, token.peak_in_flight) = (0, 0, token.in_flight);
        }
        Ok(())
    }

    /// Answer one request. Second: the position of its token, whose `in_flight` is to be lowered again.
    pub fn answer(&mut self, call: &Call) -> (Answer, Option<usize>) {
        if call.path.starts_with("/_sim") {
            return (control::answer(self, call), None);
        }
        let token = call
            .bearer
            .as_deref()
            .and_then(|text| self.tokens.iter().position(|token| token.is(text)));
        if let Some(credential) = token.and_then(|at| self.tokens.get_mut(at)) {
            credential.in_flight += 1;
            credential.peak_in_flight = credential.peak_in_flight.max(credential.in_flight);
        }
        (gate::answer(self, call, token), token)
    }

    pub fn finish(&mut self, token: usize) {
        if let Some(credential) = self.tokens.get_mut(token) {
            credential.in_flight = credential.in_flight.saturating_sub(1);
        }
    }

    /// Add a token, or replace the one of the same name.
    pub fn set_token(&mut self, token: &Token) {
        let fresh = Credential::new(token);
        match self.tokens.iter_mut().find(|old| old.name == fresh.name) {
            Some(old) => *old = fresh,
            None => self.tokens.push(fresh),
        }
    }

    pub fn set_scopes(&mut self, token: &str, scopes: Scopes) -> bool {
        let found = self.tokens.iter_mut().find(|known| known.name == token);
        found.map(|known| known.scopes = scopes).is_some()
    }

    pub fn serve(&mut self, path_and_query: &str, status: u16, content_type: &str, body: String) {
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let (path, query) = (path.to_owned(), parse_query(query));
        let content_type = content_type.to_owned();
        self.overrides
            .retain(|old| old.path != path || old.query != query);
        self.overrides.push(Override {
            path,
            query,
            status,
            content_type,
            body,
        });
    }

    /// The override for a request: its path, and the most of its query.
    pub fn override_for(&self, call: &Call) -> Option<&Override> {
        let fits = |fixed: &&Override| {
            fixed.path == call.path && fixed.query.iter().all(|pair| call.query.contains(pair))
        };
        self.overrides
            .iter()
            .filter(fits)
            .max_by_key(|fixed| fixed.query.len())
    }

    /// Counts of everything, for `GET /_sim/state`.
    pub fn summary(&self) -> Value {
        let collections: serde_json::Map<String, Value> = self
            .world
            .collections()
            .iter()
            .map(|collection| (collection.kind.name().to_owned(), Value::from(collection.len())))
            .collect();
        let tokens = self.tokens.iter().map(|token| {
            json!({
                "name": token.name,
                "other_team": token.other_team,
                "scopes": match &token.scopes { Scopes::Full => json!("full"), Scopes::Only(only) => json!(only) },
                "requests": token.requests,
                "blocked": token.blocked,
                "in_flight": token.in_flight,
                "peak_in_flight": token.peak_in_flight,
            })
        });
        json!({
            "seed": self.seed,
            "scenario": self.scenario,
            "team": self.world.account().pointer("/account/team"),
            "default_project": self.world.default_project(),
            "collections": collections,
            "members": self.world.members().len(),
            "requests": self.requests,
            "tokens": tokens.collect::<Vec<_>>(),
            "counts": self.journal.counts(),
            "faults": self.faults.all(),
            "settings": self.settings,
            "overrides": self.overrides.len(),
        })
    }
}
