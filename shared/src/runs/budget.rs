//! What a token has left, shared by everybody who uses it.
//!
//! DigitalOcean allows 250 requests a minute and 5,000 an hour per token, both sliding. Requests are reserved
//! here before they are sent, in chunks, in rings of counters; the oldest, partly passed slot counts whole,
//! so that neither limit can be passed whatever the timing. It refuses while DigitalOcean has said "not
//! before then", and keeps some of each hour back for those who need a request at once.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Postgres, Transaction};

use super::Clock;
use crate::database::Pool;

/// Requests a minute per token: DigitalOcean's limit.
pub const PER_MINUTE: u32 = 250;
/// Requests an hour per token: DigitalOcean's 5,000, less what is kept back.
pub const PER_HOUR: u32 = 4_900;

const MINUTE: Ring = Ring { slot: 5, slots: 13 };
const HOUR: Ring = Ring { slot: 60, slots: 61 };

/// The answer to a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// So many requests may be sent now; at least one.
    Go(u32),
    /// None now; some after this time.
    Wait(Duration),
    /// The hour is used up, or DigitalOcean said so: not before then.
    NotBefore(DateTime<Utc>),
}

/// Reserves up to `wanted` requests.
///
/// # Errors
/// When the database cannot be used.
pub async fn reserve(
    pool: &Pool,
    fingerprint: &str,
    wanted: u32,
    clock: &Clock,
) -> Result<Grant, sqlx::Error> {
    let now = clock.instant();
    let (mut transaction, mut counted) = open(pool, fingerprint).await?;
    if let Some(not_before) = counted.not_before
        && not_before > now
    {
        return Ok(Grant::NotBefore(not_before));
    }
    counted.minute.turn(MINUTE, now);
    counted.hour.turn(HOUR, now);
    let left_in_hour = PER_HOUR.saturating_sub(counted.hour.sum());
    let left_in_minute = PER_MINUTE.saturating_sub(counted.minute.sum());
    let granted = wanted.min(left_in_hour).min(left_in_minute);
    if granted == 0 {
        return Ok(if left_in_hour == 0 {
            Grant::NotBefore(now + counted.hour.relief(HOUR, now))
        } else {
            let relief = counted.minute.relief(MINUTE, now).to_std();
            Grant::Wait(relief.unwrap_or(Duration::from_secs(5)))
        });
    }
    counted.minute.add(granted);
    counted.hour.add(granted);
    counted.not_before = None;
    counted.store(&mut transaction, fingerprint).await?;
    transaction.commit().await?;
    Ok(Grant::Go(granted))
}

/// Gives back what was reserved at `at` and is not going to be sent.
///
/// # Errors
/// When the database cannot be used: it then counts as sent.
pub async fn give_back(
    pool: &Pool,
    fingerprint: &str,
    requests: u32,
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let (mut transaction, mut counted) = open(pool, fingerprint).await?;
    // From the slot that they were counted in: another one would leave the window at another time.
    counted.minute.take_out(MINUTE, requests, at);
    counted.hour.take_out(HOUR, requests, at);
    counted.store(&mut transaction, fingerprint).await?;
    transaction.commit().await
}

/// What is stored of a token.
struct Counted {
    minute: Used,
    hour: Used,
    not_before: Option<DateTime<Utc>>,
}

/// A transaction in which the counters of a token are ours.
async fn open(
    pool: &Pool,
    fingerprint: &str,
) -> Result<(Transaction<'static, Postgres>, Counted), sqlx::Error> {
    // Not waited for: a server that crashes within the second after forgets a few requests, and DigitalOcean counts too.
    let mut transaction = pool
        .begin_with("BEGIN; SET LOCAL synchronous_commit = off")
        .await?;
    loop {
        let row = sqlx::query!(
            "SELECT minute_slot, minute_ring, hour_slot, hour_ring, not_before FROM token_budgets
         WHERE fingerprint = $1 FOR UPDATE",
            fingerprint
        )
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(row) = row {
            let counted = Counted {
                minute: Used {
                    newest: row.minute_slot,
                    counts: row.minute_ring,
                },
                hour: Used {
                    newest: row.hour_slot,
                    counts: row.hour_ring,
                },
                not_before: row.not_before,
            };
            return Ok((transaction, counted));
        }
        sqlx::query!(
            "INSERT INTO token_budgets (fingerprint, minute_slot, minute_ring, hour_slot, hour_ring)
         VALUES ($1, 0, '{}', 0, '{}') ON CONFLICT DO NOTHING",
            fingerprint
        )
        .execute(&mut *transaction)
        .await?;
    }
}

impl Counted {
    async fn store(
        &self,
        transaction: &mut Transaction<'_, Postgres>,
        fingerprint: &str,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "UPDATE token_budgets SET minute_slot = $2, minute_ring = $3, hour_slot = $4, hour_ring = $5, not_before = $6
         WHERE fingerprint = $1",
            fingerprint,
            self.minute.newest,
            &self.minute.counts,
            self.hour.newest,
            &self.hour.counts,
            self.not_before
        )
        .execute(&mut **transaction)
        .await?;
        Ok(())
    }
}

/// Remembers that DigitalOcean wants no requests of this token before a time. A later time wins.
///
/// # Errors
/// When the database cannot be used.
pub async fn not_before(pool: &Pool, fingerprint: &str, until: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO token_budgets AS b (fingerprint, minute_slot, minute_ring, hour_slot, hour_ring, not_before)
         VALUES ($1, 0, '{}', 0, '{}', $2)
         ON CONFLICT (fingerprint) DO UPDATE SET not_before = GREATEST(b.not_before, excluded.not_before)",
        fingerprint,
        until
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// What is left of this hour's requests by our own count; 0 while DigitalOcean has said "not before then".
///
/// # Errors
/// When the database cannot be used.
pub async fn left(pool: &Pool, fingerprint: &str) -> Result<u32, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT hour_slot, hour_ring, not_before, clock_timestamp() AS "now!" FROM token_budgets WHERE fingerprint = $1"#,
        fingerprint
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else {
        return Ok(PER_HOUR);
    };
    if row.not_before.is_some_and(|not_before| not_before > row.now) {
        return Ok(0);
    }
    let mut hour = Used {
        newest: row.hour_slot,
        counts: row.hour_ring,
    };
    hour.turn(HOUR, row.now);
    Ok(PER_HOUR.saturating_sub(hour.sum()))
}

/// How a sliding window is cut: seconds a slot, and slots for the window plus the partial one.
#[derive(Clone, Copy)]
struct Ring {
    slot: i64,
    slots: usize,
}

/// Requests per slot, the oldest first.
#[derive(Debug, PartialEq)]
struct Used {
    newest: i64,
    counts: Vec<i16>,
}

impl Used {
    /// Lets the slots that have left the window go.
    fn turn(&mut self, ring: Ring, now: DateTime<Utc>) {
        let current = now.timestamp().div_euclid(ring.slot);
        let passed = usize::try_from(current - self.newest)
            .unwrap_or(0)
            .min(ring.slots);
        self.newest = self.newest.max(current);
        self.counts.drain(..passed.min(self.counts.len()));
        while self.counts.len() < ring.slots {
            self.counts.push(0);
        }
    }

    fn sum(&self) -> u32 {
        self.counts
            .iter()
            .map(|count| u32::try_from(*count).unwrap_or(0))
            .sum()
    }

    fn add(&mut self, requests: u32) {
        if let Some(newest) = self.counts.last_mut() {
            *newest = newest.saturating_add(i16::try_from(requests).unwrap_or(i16::MAX));
        }
    }

    /// Takes requests out of the slot that they were counted in, if it is still there.
    fn take_out(&mut self, ring: Ring, requests: u32, at: DateTime<Utc>) {
        let behind = self.newest - at.timestamp().div_euclid(ring.slot);
        let place = usize::try_from(behind)
            .ok()
            .and_then(|behind| self.counts.len().checked_sub(behind + 1));
        if let Some(count) = place.and_then(|place| self.counts.get_mut(place)) {
            *count = (*count - i16::try_from(requests).unwrap_or(i16::MAX)).max(0);
        }
    }

    /// How long until the oldest used slot leaves the window.
    fn relief(&self, ring: Ring, now: DateTime<Utc>) -> TimeDelta {
        let ahead = self.counts.iter().position(|count| *count > 0).unwrap_or(0);
        let slot = self.newest + i64::try_from(ahead).unwrap_or(0) + 1;
        DateTime::from_timestamp(slot * ring.slot, 0).map_or(TimeDelta::seconds(ring.slot), |at| at - now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_full_minute_is_relieved_when_its_slot_has_left() {
        let mut used = Used {
            newest: 0,
            counts: Vec::new(),
        };
        used.turn(MINUTE, at(0));
        used.add(PER_MINUTE);
        let relief = used.relief(MINUTE, at(3));
        assert_eq!(relief, TimeDelta::seconds(62));
        used.turn(MINUTE, at(64));
        assert_eq!(used.sum(), PER_MINUTE);
        used.turn(MINUTE, at(65));
        assert_eq!(used.sum(), 0);
    }

    #[test]
    fn what_is_given_back_leaves_the_slot_that_it_was_counted_in() {
        let mut used = Used {
            newest: 0,
            counts: Vec::new(),
        };
        used.turn(MINUTE, at(0));
        used.add(60);
        used.turn(MINUTE, at(7));
        used.add(5);
        used.take_out(MINUTE, 50, at(0));
        assert_eq!((used.sum(), used.counts.last()), (15, Some(&5)));
        used.turn(MINUTE, at(65));
        assert_eq!(used.sum(), 5);
        used.take_out(MINUTE, 50, at(0)); // left long ago
        assert_eq!(used.sum(), 5);
        used.take_out(MINUTE, 50, at(7)); // never below nothing
        assert_eq!(used.sum(), 0);
    }

    #[test]
    fn a_clock_that_went_back_frees_nothing() {
        let mut used = Used {
            newest: 0,
            counts: Vec::new(),
        };
        used.turn(HOUR, at(7_200));
        used.add(10);
        used.turn(HOUR, at(0));
        assert_eq!(used.sum(), 10);
    }

    proptest! {
        /// Whoever takes all that is granted never sends more than the limit in any window.
        #[test]
        fn no_window_is_ever_overfull(steps in proptest::collection::vec((0_i64..40, 0_u32..300), 1..80)) {
            let (mut used, mut sent, mut clock) = (Used { newest: 0, counts: Vec::new() }, Vec::new(), 0);
            for (wait, wanted) in steps {
                clock += wait;
                used.turn(MINUTE, at(clock));
                let granted = wanted.min(PER_MINUTE.saturating_sub(used.sum()));
                used.add(granted);
                sent.push((clock, granted));
                let window: u32 = sent.iter().filter(|(when, _)| clock - when < 60).map(|(_, n)| n).sum();
                prop_assert!(window <= PER_MINUTE, "{window} in one minute");
            }
        }
    }
}
