//! DO's two rate limits, per token.
//!
//! 250 requests a minute (refused with `retry-after`) and 5,000 an hour, sliding: each request ages out on
//! its own, and `ratelimit-reset` is the second at which the oldest does. Asked once for every request that
//! has a valid token. Refused requests do not count against the windows.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::definition::OwnLimit;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Off: no request is ever refused or counted.
    pub enabled: bool,
    pub per_hour: u64,
    pub per_minute: u64,
    /// Lengths of the two windows, for tests that will not wait.
    pub hour_ms: u64,
    pub minute_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            enabled: true,
            per_hour: 5_000,
            per_minute: 250,
            hour_ms: 3_600_000,
            minute_ms: 60_000,
        }
    }
}

impl Limits {
    pub fn off() -> Self {
        Self {
            enabled: false,
            ..Self::default()
        }
    }
}

/// What the headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub limit: u64,
    pub remaining: u64,
    /// Seconds since the epoch.
    pub reset: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Allowed(Reading),
    Burst { reading: Reading, retry_after: u64 },
    Hourly(Reading),
}

#[derive(Debug, Default)]
pub struct Windows {
    hour: VecDeque<u64>,
    minute: VecDeque<u64>,
    /// Of addresses with a limit of their own.
    own: BTreeMap<String, VecDeque<u64>>,
}

impl Windows {
    /// Counts a request to an address that has its own limit; if it is one too many: how long to wait, in seconds.
    /// A minute may be shorter, for tests that will not wait.
    pub fn ask_own(&mut self, now_ms: u64, name: &str, limit: OwnLimit, minute_ms: u64) -> Option<u64> {
        let window = self.own.entry(name.to_owned()).or_default();
        let length = limit.seconds.saturating_mul(minute_ms) / 60;
        age_out(window, now_ms, length);
        if window.len() >= limit.requests {
            let free_at = window.front().copied().unwrap_or(now_ms) + length;
            return Some(free_at.saturating_sub(now_ms).div_ceil(1000).max(1));
        }
        window.push_back(now_ms);
        None
    }

    pub fn ask(&mut self, now_ms: u64, limits: &Limits) -> Verdict {
        if !limits.enabled {
            let reset = (now_ms + limits.hour_ms) / 1000;
            return Verdict::Allowed(Reading {
                limit: limits.per_hour,
                remaining: limits.per_hour,
                reset,
            });
        }
        age_out(&mut self.hour, now_ms, limits.hour_ms);
        age_out(&mut self.minute, now_ms, limits.minute_ms);
        let used = |window: &VecDeque<u64>| u64::try_from(window.len()).unwrap_or(u64::MAX);
        if used(&self.hour) >= limits.per_hour {
            return Verdict::Hourly(self.reading(now_ms, limits, 0));
        }
        if used(&self.minute) >= limits.per_minute {
            let free_at = self.minute.front().copied().unwrap_or(now_ms) + limits.minute_ms;
            let retry_after = free_at.saturating_sub(now_ms).div_ceil(1000).max(1);
            return Verdict::Burst {
                reading: self.reading(now_ms, limits, 0),
                retry_after,
            };
        }
        self.hour.push_back(now_ms);
        self.minute.push_back(now_ms);
        let remaining = limits.per_hour.saturating_sub(used(&self.hour));
        Verdict::Allowed(self.reading(now_ms, limits, remaining))
    }

    pub fn clear(&mut self) {
        self.hour.clear();
        self.minute.clear();
        self.own.clear();
    }

    /// Rounded up: a client that comes back at that second is let in.
    fn reading(&self, now_ms: u64, limits: &Limits, remaining: u64) -> Reading {
        let oldest = self.hour.front().copied().unwrap_or(now_ms);
        Reading {
            limit: limits.per_hour,
            remaining,
            reset: (oldest + limits.hour_ms).div_ceil(1000),
        }
    }
}

fn age_out(window: &mut VecDeque<u64>, now_ms: u64, length_ms: u64) {
    while window.front().is_some_and(|at| at + length_ms <= now_ms) {
        window.pop_front();
    }
}
