//! US dollars as the simulator counts them: whole ten-thousandths.
//!
//! DO's invoices have cents, and now and then more digits in a line. Read from fixtures and control calls,
//! written as JSON text (`12.34`) and in the notations that CSV files of different years use. It refuses
//! floating point.

use std::{iter::Sum, ops};

use serde::{Deserialize, Deserializer, de::Error as _};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(pub i64);

/// How a CSV writes an amount.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Notation {
    /// `$1234.56`, `-$5.00`
    #[default]
    Plain,
    /// `$1,234.56`, `-$5.00`
    Grouped,
    /// `$-5.00`
    MinusInside,
    /// `($5.00)`
    Parentheses,
    /// `1234.56`, `-5.00`
    Bare,
}

impl Money {
    /// `-1234.5` and the like: an optional sign, digits, up to four decimals.
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if decimals.len() > 4 || !digits(decimals) || !digits(whole) {
            return None;
        }
        let whole: i64 = whole.parse().ok()?;
        let decimals: i64 = format!("{decimals:0<4}").parse().ok()?;
        Some(Self(sign * (whole.checked_mul(10_000)?.checked_add(decimals)?)))
    }

    /// To whole cents, halves away from zero.
    pub fn cents(self) -> Self {
        let half = if self.0 < 0 { -50 } else { 50 };
        Self((self.0 + half) / 100 * 100)
    }

    /// This price for so much of that much.
    pub fn share(self, part: i64, whole: i64) -> Self {
        let product = i128::from(self.0) * i128::from(part) / i128::from(whole.max(1));
        Self(i64::try_from(product).unwrap_or(i64::MAX))
    }

    /// As JSON answers and CSVs write it: cents, or all four decimals where cents are not enough.
    pub fn text(self) -> String {
        let digits = self.digits(false);
        if self.0 < 0 { format!("-{digits}") } else { digits }
    }

    pub fn written(self, notation: Notation) -> String {
        let (negative, digits) = (self.0 < 0, self.digits(notation == Notation::Grouped));
        match notation {
            Notation::Bare => self.text(),
            Notation::MinusInside if negative => format!("$-{digits}"),
            Notation::Parentheses if negative => format!("(${digits})"),
            _ if negative => format!("-${digits}"),
            _ => format!("${digits}"),
        }
    }

    fn digits(self, grouped: bool) -> String {
        let (whole, rest) = (self.0.unsigned_abs() / 10_000, self.0.unsigned_abs() % 10_000);
        let whole = whole.to_string();
        let mut out = String::new();
        for (position, digit) in whole.chars().enumerate() {
            if grouped && position > 0 && (whole.len() - position).is_multiple_of(3) {
                out.push(',');
            }
            out.push(digit);
        }
        match rest % 100 {
            0 => format!("{out}.{:02}", rest / 100),
            _ => format!("{out}.{rest:04}"),
        }
    }
}

impl ops::Add for Money {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl ops::Sub for Money {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self(0), |sum, one| sum + one)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("{text} is not an amount")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_they_were_over_the_years() {
        let amount = |text: &str| Money::parse(text).unwrap();
        for (text, notation, written) in [
            ("1234.56", Notation::Plain, "$1234.56"),
            ("1234567.5", Notation::Grouped, "$1,234,567.50"),
            ("-1234.56", Notation::Grouped, "-$1,234.56"),
            ("-5", Notation::MinusInside, "$-5.00"),
            ("-5", Notation::Parentheses, "($5.00)"),
            ("5", Notation::Parentheses, "$5.00"),
            ("-5.1", Notation::Bare, "-5.10"),
            ("0.0446", Notation::Plain, "$0.0446"),
        ] {
            assert_eq!(amount(text).written(notation), written);
        }
        assert_eq!(amount("0.005").cents(), amount("0.01"));
        assert_eq!(amount("-0.005").cents(), amount("-0.01"));
        assert_eq!(amount("20").share(446, 672).cents(), amount("13.27"));
        for odd in ["", "-", "1.23456", "$1", "1,2", "--1", "1.x", "+1"] {
            assert_eq!(Money::parse(odd), None, "{odd}");
        }
    }
}
