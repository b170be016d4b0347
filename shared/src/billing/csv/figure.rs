//! Amounts, hours and times as they stand in an invoice, in DigitalOcean's own forms and no others.
//!
//! Pure. An amount is read digit by digit into a decimal: no binary float ever holds money. What is not one of the
//! documented or plausible forms is refused, because reading it as 0 would be a lie that sums up.

use chrono::{DateTime, Datelike, NaiveDateTime, Utc};
use rust_decimal::Decimal;

/// Digits before the point: far beyond any invoice, and what the database's own check allows.
const WHOLE: usize = 12;
/// Digits after it. Two are usual; per-second billing may bring more.
const FRACTION: usize = 10;

/// `$3.11`, `3.11`, `-$5.00`, `$-5.00`, `($5.00)`, `$1,234.56`.
///
/// # Errors
/// The rest of a sentence that begins with the column's name.
pub fn amount(text: &str) -> Result<Decimal, &'static str> {
    const ODD: &str = "is not an amount such as $1,234.56";
    if text.is_empty() {
        return Err("is blank");
    }
    let inner = text.strip_prefix('(').map(|rest| rest.strip_suffix(')'));
    let (bracketed, rest) = match inner {
        Some(Some(inner)) => (true, inner),
        Some(None) => return Err(ODD),
        None => (false, text),
    };
    let (before, rest) = sign(rest);
    let rest = rest.strip_prefix('$').unwrap_or(rest);
    let (after, digits) = sign(rest);
    // One way of saying that it is negative, not two.
    if usize::from(bracketed) + usize::from(before) + usize::from(after) > 1 {
        return Err(ODD);
    }
    let value = unsigned(digits).ok_or(ODD)?;
    let negative = (bracketed || before || after) && !value.is_zero();
    Ok(if negative { -value } else { value })
}

/// Whole or, since droplets are billed by the second, fractional hours.
///
/// # Errors
/// The rest of a sentence.
pub fn hours(text: &str) -> Result<Decimal, &'static str> {
    unsigned(text)
        .filter(|hours| *hours < Decimal::from(1_000_000_000))
        .ok_or("is not a number of hours")
}

/// `2020-07-01 00:00:00 +0000`, or RFC 3339.
///
/// # Errors
/// The rest of a sentence.
pub fn instant(text: &str) -> Result<DateTime<Utc>, &'static str> {
    let own = text
        .strip_suffix(" UTC")
        .map(|naive| NaiveDateTime::parse_from_str(naive, "%Y-%m-%d %H:%M:%S").map(|naive| naive.and_utc()));
    let parsed = match own {
        Some(parsed) => parsed,
        None => DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S %z")
            .or_else(|_| DateTime::parse_from_rfc3339(text))
            .map(|instant| instant.to_utc()),
    };
    parsed
        .ok()
        .filter(|instant| (2010..2100).contains(&instant.year()))
        .ok_or("is not a time such as 2020-07-01 00:00:00 +0000")
}

fn sign(text: &str) -> (bool, &str) {
    text.strip_prefix('-').map_or((false, text), |rest| (true, rest))
}

fn unsigned(text: &str) -> Option<Decimal> {
    let (whole, fraction) = text
        .split_once('.')
        .map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let digits = |part: &str, longest| {
        (1..=longest).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if fraction.is_some_and(|fraction| !digits(fraction, FRACTION)) {
        return None;
    }
    let mut plain = String::with_capacity(text.len());
    let mut groups = whole.split(',');
    let first = groups.next()?;
    plain.push_str(first);
    let mut grouped = false;
    for group in groups {
        grouped = true;
        if !digits(group, 3) || group.len() != 3 {
            return None;
        }
        plain.push_str(group);
    }
    if (grouped && first.len() > 3) || !digits(first, WHOLE) || !digits(&plain, WHOLE) {
        return None;
    }
    if let Some(fraction) = fraction {
        plain.push('.');
        plain.push_str(fraction);
    }
    Decimal::from_str_exact(&plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_amount_is_read_to_the_last_digit() {
        for (text, value) in [
            ("$3.11", "3.11"),
            ("3.11", "3.11"),
            ("$0.00", "0.00"),
            ("0", "0"),
            ("-$5.00", "-5.00"),
            ("$-5.00", "-5.00"),
            ("($5.00)", "-5.00"),
            ("(5.00)", "-5.00"),
            ("-5", "-5"),
            ("$1,234.56", "1234.56"),
            ("-$1,234,567.89", "-1234567.89"),
            ("$1234.5", "1234.5"),
            ("$0.0000012345", "0.0000012345"),
            ("$999999999999.9999999999", "999999999999.9999999999"),
            ("$0012.30", "12.30"),
        ] {
            assert_eq!(
                amount(text).map(|value| value.to_string()),
                Ok(value.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn nothing_else_is_an_amount() {
        for text in [
            "",
            " ",
            "$",
            "-",
            "()",
            "($)",
            ".",
            "$.5",
            "$5.",
            "5.00-",
            "+5",
            "--5",
            "-$-5",
            "(-5)",
            "-(5)",
            "$(5)",
            "((5))",
            "(5",
            "5)",
            "$ 5",
            "$$5",
            "€5",
            "5 USD",
            "1e3",
            "1E3",
            "0x10",
            "NaN",
            "Infinity",
            "inf",
            "1,23",
            "12,34.5",
            "1,2345",
            "1234,567",
            ",123",
            "1,,234",
            "1,234,",
            "5,00",
            "1.234,56",
            "1.2.3",
            "5.-1",
            "1000000000000",
            "0.12345678901",
            "٣",
            "1_000",
            "null",
            "five",
        ] {
            assert!(amount(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn hours_have_no_sign_and_may_have_a_fraction() {
        for (text, value) in [("744", "744"), ("0", "0"), ("0.25", "0.25"), ("1,488", "1488")] {
            assert_eq!(hours(text).map(|value| value.to_string()), Ok(value.to_owned()));
        }
        for text in ["-1", "", "$5", "1h", "1e2", "1000000000"] {
            assert!(hours(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn times_are_instants() {
        let july = DateTime::from_timestamp(1_593_561_600, 0);
        for text in [
            "2020-07-01 00:00:00 +0000",
            "2020-07-01 02:00:00 +0200",
            "2020-07-01T00:00:00Z",
            "2020-07-01T00:00:00+00:00",
            "2020-07-01 00:00:00 UTC",
        ] {
            assert_eq!(instant(text).ok(), july, "{text}");
        }
        for text in [
            "",
            "2020-07-01",
            "2020-07-01 00:00:00",
            "2020-13-01 00:00:00 +0000",
            "2020-02-30 00:00:00 +0000",
            "1970-01-01 00:00:00 +0000",
            "9999-01-01 00:00:00 +0000",
            "07/01/2020",
            "1593561600",
        ] {
            assert!(instant(text).is_err(), "{text:?}");
        }
    }
}
