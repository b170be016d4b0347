//! Who may ask, for what, and how often.
//!
//! A token has a name (which appears in the log) and a text (which does not: it is kept as a fingerprint
//! only, and `Debug` leaves it out). Each has its scopes, its team, its rate windows and its counters.
//! It refuses to give a token's text back.

use std::{
    collections::BTreeSet,
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use crate::limits::Windows;

/// What a token may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scopes {
    #[default]
    Full,
    Only(BTreeSet<String>),
}

impl Scopes {
    pub fn only<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Only(scopes.into_iter().map(str::to_owned).collect())
    }

    pub fn allow(&self, scope: &str) -> bool {
        match self {
            Self::Full => true,
            Self::Only(scopes) => scopes.contains(scope),
        }
    }
}

/// A token as a test hands it over.
#[derive(Clone)]
pub struct Token {
    name: String,
    text: String,
    scopes: Scopes,
    other_team: bool,
}

impl Token {
    /// A full-access token. `text` is what comes after `Bearer `.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
            scopes: Scopes::Full,
            other_team: false,
        }
    }

    /// A custom-scoped token, e.g. `["droplet:read", "project:read"]`.
    #[must_use]
    pub fn scopes<'a>(mut self, scopes: impl IntoIterator<Item = &'a str>) -> Self {
        self.scopes = Scopes::only(scopes);
        self
    }

    /// A valid token, of somebody else's team.
    #[must_use]
    pub fn of_other_team(mut self) -> Self {
        self.other_team = true;
        self
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Token({}, …)", self.name)
    }
}

/// A token as the simulator keeps it.
#[derive(Debug)]
pub struct Credential {
    pub name: String,
    print: [u64; 2],
    pub scopes: Scopes,
    pub other_team: bool,
    pub windows: Windows,
    pub requests: u64,
    /// Requests that were refused by a limit: a well-behaved client has none.
    pub blocked: u64,
    pub in_flight: u64,
    pub peak_in_flight: u64,
}

impl Credential {
    pub fn new(token: &Token) -> Self {
        Self {
            name: token.name.clone(),
            print: print(&token.text),
            scopes: token.scopes.clone(),
            other_team: token.other_team,
            windows: Windows::default(),
            requests: 0,
            blocked: 0,
            in_flight: 0,
            peak_in_flight: 0,
        }
    }

    pub fn is(&self, text: &str) -> bool {
        self.print == print(text)
    }
}

/// Two differently started hashes: enough to tell test tokens apart, useless to anybody else.
fn print(text: &str) -> [u64; 2] {
    [1_u8, 2].map(|start| {
        let mut hasher = DefaultHasher::new();
        (start, text).hash(&mut hasher);
        hasher.finish()
    })
}
