//! RUNS: who is at work, which ticks have been done, and what a token has left.
//!
//! Sole writer of `sync_runs` and `token_budgets`. A run begins by taking its worker's lease, renews it while
//! it fetches, and ends by writing its outcome. The lease is a row with an expiry and a fencing number, never
//! a transaction held open across HTTP: a frozen sandbox must not hold anybody up, and when it thaws it finds
//! that its fence is old and writes nothing. It decides nothing about resources.

pub mod budget;
mod lease;
pub mod read;
mod success;

pub use lease::{Finish, Lease, Refused, begin};
pub use success::since_complete;

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// The time of one run: `now`, read once, and what has passed since on this machine's monotonic clock.
///
/// Mirror rules use `now` only. Leases and budgets are about real time passing, and use [`Clock::instant`].
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    now: DateTime<Utc>,
    begun: Instant,
}

impl Clock {
    /// A clock that shows `now` at this moment.
    pub fn at(now: DateTime<Utc>) -> Self {
        Self {
            now,
            begun: Instant::now(),
        }
    }

    /// The one `now` of the run.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// What has passed since.
    pub fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// `now` and what has passed since.
    pub fn instant(&self) -> DateTime<Utc> {
        self.now + TimeDelta::from_std(self.elapsed()).unwrap_or(TimeDelta::zero())
    }
}

/// One firing of a schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tick {
    /// When it was meant to fire; `None` when somebody started the worker by hand.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// From what age on it is not worth doing.
    pub max_age: Option<Duration>,
}

impl Tick {
    /// Whether the time for this tick has passed: after an outage, a backlog of them arrives at once.
    pub fn is_stale(&self, now: DateTime<Utc>) -> bool {
        match (self.scheduled_for, self.max_age.map(TimeDelta::from_std)) {
            (Some(scheduled), Some(Ok(max_age))) => now - scheduled > max_age,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_stale_when_older_than_it_may_be() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let tick = |age: i64, max: Option<u64>| Tick {
            scheduled_for: Some(now - TimeDelta::seconds(age)),
            max_age: max.map(Duration::from_secs),
        };
        for (age, max, stale) in [
            (0, Some(60), false),
            (60, Some(60), false),
            (61, Some(60), true),
            (9_999, None, false),
            (-5, Some(0), false),
        ] {
            assert_eq!(tick(age, max).is_stale(now), stale, "{age} {max:?}");
        }
        assert!(
            !Tick {
                scheduled_for: None,
                max_age: Some(Duration::ZERO)
            }
            .is_stale(now)
        );
    }
}
