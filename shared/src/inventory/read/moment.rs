//! Moments as JSON, to the letter as chrono writes them, in a third of the time.
//!
//! chrono formats character by character through the escaping of JSON texts, and a page of resources has some four
//! hundred moments. Only what Postgres stores by the way: microseconds, and years of four digits; the rest is chrono's.

use chrono::{DateTime, Datelike, Timelike, Utc};
use serde::{Serialize, Serializer};

/// As a text.
pub(super) fn write<S: Serializer>(moment: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    match text(moment) {
        Some(text) => to.serialize_str(&text),
        None => moment.serialize(to),
    }
}

/// As a text, or null.
pub(super) fn write_if_any<S: Serializer>(moment: &Option<DateTime<Utc>>, to: S) -> Result<S::Ok, S::Error> {
    match moment {
        Some(moment) => write(moment, to),
        None => to.serialize_none(),
    }
}

fn text(moment: &DateTime<Utc>) -> Option<String> {
    let year = u32::try_from(moment.year()).ok().filter(|year| *year <= 9_999)?;
    let nanos = moment.nanosecond();
    // Below a microsecond, or a leap second.
    if !nanos.is_multiple_of(1_000) || nanos >= 1_000_000_000 {
        return None;
    }
    let digit = |number: u32| char::from_digit(number % 10, 10).unwrap_or('0');
    let two = |number: u32| [digit(number / 10), digit(number)];
    let ([y1, y2], [y3, y4]) = (two(year / 100), two(year));
    let ([m1, m2], [d1, d2]) = (two(moment.month()), two(moment.day()));
    let ([h1, h2], [i1, i2], [s1, s2]) = (two(moment.hour()), two(moment.minute()), two(moment.second()));
    let mut text = String::with_capacity(27);
    text.extend([
        y1, y2, y3, y4, '-', m1, m2, '-', d1, d2, 'T', h1, h2, ':', i1, i2, ':', s1, s2,
    ]);
    // As many digits as it takes, by threes.
    let micros = nanos / 1_000;
    if micros > 0 {
        let ([a, b], [c, d], [e, f]) = (two(micros / 10_000), two(micros / 100), two(micros));
        text.extend(['.', a, b, c]);
        if !micros.is_multiple_of(1_000) {
            text.extend([d, e, f]);
        }
    }
    text.push('Z');
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Serialize)]
    struct Both {
        #[serde(serialize_with = "write")]
        ours: DateTime<Utc>,
        #[serde(serialize_with = "write_if_any")]
        perhaps: Option<DateTime<Utc>>,
        chronos: DateTime<Utc>,
    }

    fn agree(moment: DateTime<Utc>) {
        let both = Both {
            ours: moment,
            perhaps: Some(moment),
            chronos: moment,
        };
        let both = serde_json::to_value(both).unwrap();
        assert_eq!(both["ours"], both["chronos"]);
        assert_eq!(both["perhaps"], both["chronos"]);
    }

    #[test]
    fn odd_moments_are_as_chrono_writes_them() {
        for text in [
            "0000-01-01T00:00:00Z",
            "0001-12-31T23:59:59.999999Z",
            "2016-12-31T23:59:60Z",
            "2026-02-28T05:06:07.100Z",
            "2026-02-28T05:06:07.000100Z",
            "2026-02-28T05:06:07.000000001Z",
            "9999-12-31T23:59:59.999999Z",
        ] {
            agree(text.parse().unwrap());
        }
        agree(DateTime::<Utc>::MIN_UTC);
        agree(DateTime::<Utc>::MAX_UTC);
        let none = serde_json::to_value(Both {
            ours: DateTime::UNIX_EPOCH,
            perhaps: None,
            chronos: DateTime::UNIX_EPOCH,
        });
        assert!(none.unwrap()["perhaps"].is_null());
    }

    proptest! {
        #[test]
        fn every_moment_is_as_chrono_writes_it(micros in -70_000_000_000_000_000_i64..260_000_000_000_000_000) {
            for micros in [micros, micros / 1_000 * 1_000, micros / 1_000_000 * 1_000_000] {
                agree(DateTime::from_timestamp_micros(micros).unwrap());
            }
        }
    }
}
