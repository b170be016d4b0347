//! The simulator's two clocks.
//!
//! Rate windows and the request log run on real time plus an offset that a test may push forward, so that
//! an hour can pass in a millisecond. What the account itself shows (`created_at`, `assigned_at`) runs on
//! world time: a fixed day, one second a mutation, so that the same seed gives the same bytes.
//! It refuses to let real time into the world.

use std::time::{SystemTime, UNIX_EPOCH};

use chrono::DateTime;

/// 2025-11-03T08:00:00Z: the moment the default scenario is frozen at.
pub const WORLD_START: i64 = 1_762_156_800;

/// Real time with an offset. Milliseconds since the epoch.
#[derive(Debug, Default)]
pub struct Clock {
    offset_ms: u64,
}

impl Clock {
    /// Real time now, plus what tests have added.
    #[expect(
        clippy::disallowed_methods,
        reason = "a server of its own: rate windows need a real clock, read here only"
    )]
    pub fn now_ms(&self) -> u64 {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(real.as_millis())
            .unwrap_or(u64::MAX)
            .saturating_add(self.offset_ms)
    }

    /// Let time pass for rate windows and the log.
    pub fn advance(&mut self, milliseconds: u64) {
        self.offset_ms = self.offset_ms.saturating_add(milliseconds);
    }
}

/// `2025-11-03T08:00:00Z`.
pub fn rfc3339(seconds: i64) -> String {
    DateTime::from_timestamp(seconds, 0)
        .map(|at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default()
}

/// The same with nanoseconds, as DO writes some `assigned_at`.
pub fn rfc3339_nanos(seconds: i64, nanos: u32) -> String {
    DateTime::from_timestamp(seconds, nanos % 1_000_000_000)
        .map(|at| at.format("%Y-%m-%dT%H:%M:%S%.9fZ").to_string())
        .unwrap_or_default()
}
