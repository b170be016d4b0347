//! The request log and the counters.
//!
//! Written once for every request to the API (not for `/_sim`), read by tests: how many requests did a sync
//! make, with which token, did it ask again while it was told to wait. Bounded; the oldest entries go first,
//! the counters stay. It never holds a token's text, only its name.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    pub number: u64,
    /// Milliseconds since the epoch, on the simulator's clock.
    pub at_ms: u64,
    pub method: String,
    pub path: String,
    pub query: String,
    /// Name of the token; none: unknown or missing.
    pub token: Option<String>,
    /// 0: no answer was given.
    pub status: u16,
    pub fault: Option<String>,
}

/// Which entries to show. Everything not given fits.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    pub token: Option<String>,
    pub method: Option<String>,
    /// Start of the path.
    pub path: Option<String>,
    pub status: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    pub token: Option<String>,
    pub path: String,
    pub requests: u64,
}

#[derive(Debug)]
pub struct Journal {
    entries: VecDeque<Entry>,
    room: usize,
    counts: BTreeMap<(Option<String>, String), u64>,
}

impl Journal {
    pub fn new(room: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            room,
            counts: BTreeMap::new(),
        }
    }

    pub fn note(&mut self, entry: Entry) {
        *self
            .counts
            .entry((entry.token.clone(), entry.path.clone()))
            .or_default() += 1;
        while self.entries.len() >= self.room.max(1) {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    /// Oldest first.
    pub fn entries(&self, wanted: &Wanted) -> Vec<Entry> {
        let fits = |entry: &&Entry| {
            wanted
                .token
                .as_ref()
                .is_none_or(|token| entry.token.as_ref() == Some(token))
                && wanted
                    .method
                    .as_ref()
                    .is_none_or(|method| method.eq_ignore_ascii_case(&entry.method))
                && wanted
                    .path
                    .as_ref()
                    .is_none_or(|path| entry.path.starts_with(path))
                && wanted.status.is_none_or(|status| status == entry.status)
        };
        self.entries.iter().filter(fits).cloned().collect()
    }

    pub fn counts(&self) -> Vec<Count> {
        let counts = self.counts.iter();
        counts
            .map(|((token, path), requests)| Count {
                token: token.clone(),
                path: path.clone(),
                requests: *requests,
            })
            .collect()
    }

    pub fn clear(&mut self) {
        self.entries.clear();
        self.counts.clear();
    }
}
