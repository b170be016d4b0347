//! EventBridge's schedule expressions: `rate(15 minutes)`, `cron(7 * * * ? *)`; all times UTC.
//!
//! The driver asks for the next time after a given one. It understands what AWS documents and our template may
//! use: lists, ranges, steps and names; `L`, `W`, `#` and `at(…)` are refused by name rather than misread.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Days, TimeDelta, Timelike, Utc};

use crate::failure::Failure;

/// When something is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Schedule {
    /// Every so many seconds.
    Rate(i64),
    /// At these minutes, hours, days.
    Cron(Box<Cron>),
}

/// The six fields of a cron expression, as sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cron {
    minutes: BTreeSet<u32>,
    hours: BTreeSet<u32>,
    /// `None` for `?`, as for the days of the week: one of the two is.
    days_of_month: Option<BTreeSet<u32>>,
    months: BTreeSet<u32>,
    days_of_week: Option<BTreeSet<u32>>,
    years: BTreeSet<u32>,
}

impl Schedule {
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let refuse = |reason: &str| Failure::new(format!("the schedule {text:?} {reason}"));
        let inner = |prefix: &str| {
            text.trim()
                .strip_prefix(prefix)?
                .trim_start()
                .strip_prefix('(')?
                .strip_suffix(')')
        };
        if let Some(rate) = inner("rate") {
            return parse_rate(rate).map(Self::Rate).map_err(refuse);
        }
        if let Some(cron) = inner("cron") {
            return Cron::parse(cron)
                .map(Box::new)
                .map(Self::Cron)
                .map_err(|reason| refuse(&reason));
        }
        Err(refuse("is neither rate(…) nor cron(…)"))
    }

    /// The first time after this one. Rates tick at multiples since 1970, so that a minute's rate ticks when
    /// a minute begins. `None` if there is no such time within four years.
    pub(super) fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Rate(seconds) => {
                let next = after
                    .timestamp()
                    .div_euclid(*seconds)
                    .checked_add(1)?
                    .checked_mul(*seconds)?;
                DateTime::from_timestamp(next, 0)
            }
            Self::Cron(cron) => cron.next_after(after),
        }
    }
}

fn parse_rate(text: &str) -> Result<i64, &'static str> {
    let (number, unit) = text.trim().split_once(' ').ok_or("has no unit")?;
    let number: i64 = number
        .parse()
        .ok()
        .filter(|number| *number > 0)
        .ok_or("has no positive whole number")?;
    let unit = match (unit.trim(), number) {
        ("minute", 1) | ("minutes", _) => 60,
        ("hour", 1) | ("hours", _) => 3600,
        ("day", 1) | ("days", _) => 86_400,
        _ => return Err("has a unit that AWS does not know (minute, minutes, hour, hours, day, days)"),
    };
    number.checked_mul(unit).ok_or("is too long")
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

impl Cron {
    fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, day_of_month, months, day_of_week, years] = fields.as_slice() else {
            return Err(format!(
                "has {} fields, and a cron expression has six",
                fields.len()
            ));
        };
        let days = |field: &str, low, high, names: &[&str]| match field {
            "?" => Ok(None),
            field => parse_field(field, low, high, names).map(Some),
        };
        let cron = Self {
            minutes: parse_field(minutes, 0, 59, &[])?,
            hours: parse_field(hours, 0, 23, &[])?,
            days_of_month: days(day_of_month, 1, 31, &[])?,
            months: parse_field(months, 1, 12, &MONTHS)?,
            days_of_week: days(day_of_week, 1, 7, &DAYS)?,
            years: parse_field(years, 1970, 2199, &[])?,
        };
        if cron.days_of_month.is_some() == cron.days_of_week.is_some() {
            return Err("must have ? for one of day of month and day of week".to_owned());
        }
        Ok(cron)
    }

    fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let first = after
            .with_second(0)?
            .with_nanosecond(0)?
            .checked_add_signed(TimeDelta::minutes(1))?;
        // A leap day is the rarest thing that a plain cron can ask for.
        (0..=4 * 366).find_map(|day| {
            let date = first.date_naive().checked_add_days(Days::new(day))?;
            if !self.on(
                date.year().unsigned_abs(),
                date.month(),
                date.day(),
                date.weekday(),
            ) {
                return None;
            }
            let times = self
                .hours
                .iter()
                .flat_map(|hour| self.minutes.iter().map(move |minute| (*hour, *minute)));
            times
                .filter_map(|(hour, minute)| Some(date.and_hms_opt(hour, minute, 0)?.and_utc()))
                .find(|t| *t >= first)
        })
    }

    fn on(&self, year: u32, month: u32, day: u32, weekday: chrono::Weekday) -> bool {
        let weekday = weekday.num_days_from_sunday() + 1;
        self.years.contains(&year)
            && self.months.contains(&month)
            && self.days_of_month.as_ref().is_none_or(|days| days.contains(&day))
            && self
                .days_of_week
                .as_ref()
                .is_none_or(|days| days.contains(&weekday))
    }
}

/// `*`, `5`, `1-5`, `MON-FRI`, `0/15`, `*/15`, `10-40/5`, and lists of those.
fn parse_field(field: &str, low: u32, high: u32, names: &[&str]) -> Result<BTreeSet<u32>, String> {
    let value = |text: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let named = named
            .and_then(|index| u32::try_from(index).ok())
            .map(|index| index + low);
        named
            .or_else(|| text.parse().ok())
            .filter(|value| (low..=high).contains(value))
            .ok_or_else(|| format!("has {text:?} where a value from {low} to {high} is expected"))
    };
    let mut values = BTreeSet::new();
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            None => (part, None),
            Some((range, step)) => {
                let step = step.parse::<u32>().ok().filter(|step| *step > 0);
                (
                    range,
                    Some(step.ok_or_else(|| format!("has a step in {part:?} that is none"))?),
                )
            }
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((from, to)) => (value(from)?, value(to)?),
            // `5/15` goes on to the end, `5` alone does not.
            None => (value(range)?, if step.is_some() { high } else { value(range)? }),
        };
        if from > to {
            return Err(format!("has the range {range:?}, which is backwards"));
        }
        values.extend((from..=to).step_by(step.unwrap_or(1).try_into().unwrap_or(1)));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_time_is_the_documented_one() {
        for (expression, after, expected) in [
            ("rate(1 minute)", "2026-11-21T10:00:00Z", "2026-11-21T10:01:00Z"),
            ("rate(1 minute)", "2026-11-21T10:00:59Z", "2026-11-21T10:01:00Z"),
            ("rate(15 minutes)", "2026-11-21T10:14:59Z", "2026-11-21T10:15:00Z"),
            ("rate(1 hour)", "2026-11-21T23:30:00Z", "2026-11-22T00:00:00Z"),
            (
                "cron(7 * * * ? *)",
                "2026-11-21T10:07:00Z",
                "2026-11-21T11:07:00Z",
            ),
            (
                "cron(7 * * * ? *)",
                "2026-11-21T10:06:59Z",
                "2026-11-21T10:07:00Z",
            ),
            (
                "cron(3/15 * * * ? *)",
                "2026-11-21T10:04:00Z",
                "2026-11-21T10:18:00Z",
            ),
            (
                "cron(3/15 * * * ? *)",
                "2026-11-21T10:48:00Z",
                "2026-11-21T11:03:00Z",
            ),
            (
                "cron(*/20 * * * ? *)",
                "2026-11-21T10:01:00Z",
                "2026-11-21T10:20:00Z",
            ),
            (
                "cron(2,17,32,47 * * * ? *)",
                "2026-11-21T10:47:00Z",
                "2026-11-21T11:02:00Z",
            ),
            (
                "cron(23 2 * * ? *)",
                "2026-11-21T02:23:00Z",
                "2026-11-22T02:23:00Z",
            ),
            (
                "cron(0 8 1 * ? *)",
                "2026-11-21T00:00:00Z",
                "2026-12-01T08:00:00Z",
            ),
            (
                "cron(0 18 ? * MON-FRI *)",
                "2026-11-20T18:00:00Z",
                "2026-11-23T18:00:00Z",
            ),
            (
                "cron(0 0 ? * 1 *)",
                "2026-11-21T00:00:00Z",
                "2026-11-22T00:00:00Z",
            ),
            (
                "cron(0 0 29 FEB ? *)",
                "2026-11-21T00:00:00Z",
                "2028-02-29T00:00:00Z",
            ),
            (
                "cron(10-20/5 9 * * ? 2027)",
                "2026-11-21T00:00:00Z",
                "2027-01-01T09:10:00Z",
            ),
        ] {
            let schedule = Schedule::parse(expression).unwrap();
            let next = schedule.next_after(after.parse().unwrap()).unwrap();
            assert_eq!(
                next,
                expected.parse::<DateTime<Utc>>().unwrap(),
                "{expression} after {after}"
            );
        }
        let past = Schedule::parse("cron(0 0 1 1 ? 2020)").unwrap();
        assert_eq!(past.next_after("2026-11-21T00:00:00Z".parse().unwrap()), None);
    }

    #[test]
    fn what_is_not_understood_is_refused_and_named() {
        for expression in [
            "rate(0 minutes)",
            "rate(2 minute)",
            "rate(5 seconds)",
            "rate(5)",
            "at(2026-11-21T10:00:00)",
            "every minute",
            "cron(0 0 * * *)",
            "cron(0 0 * * * *)",
            "cron(0 0 ? * ? *)",
            "cron(60 0 * * ? *)",
            "cron(0 0 L * ? *)",
            "cron(0 0 ? * 2#1 *)",
            "cron(5-1 0 * * ? *)",
            "cron(0/0 0 * * ? *)",
        ] {
            let refused = Schedule::parse(expression).unwrap_err().to_string();
            assert!(refused.contains(expression), "{refused}");
        }
    }
}
