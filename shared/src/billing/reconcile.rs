//! Do the lines add up to what the invoice asks for?
//!
//! Pure, and decimal to the last digit. A difference that rounding each line to cents can explain is told apart from
//! one that it cannot, which is for a person to look at.

use rust_decimal::Decimal;

/// What comparing an invoice with its lines came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reconciliation {
    /// Equal.
    Reconciled,
    /// A difference of up to a cent times the root of the number of lines: what rounding adds up to.
    Rounded,
    /// More than that.
    Mismatch,
}

impl Reconciliation {
    /// Compares.
    pub fn of(amount: Decimal, lines: Decimal, count: u32) -> Self {
        let difference = lines - amount;
        if difference.is_zero() {
            return Self::Reconciled;
        }
        // |difference| <= 0.01 * sqrt(count), squared so that no root is needed.
        let squared = difference
            .checked_mul(Decimal::ONE_HUNDRED)
            .and_then(|cents| cents.checked_mul(cents));
        match squared {
            Some(squared) if squared <= Decimal::from(count) => Self::Rounded,
            _ => Self::Mismatch,
        }
    }

    /// Its word in the database and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reconciled => "reconciled",
            Self::Rounded => "rounded",
            Self::Mismatch => "mismatch",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cent_times_the_root_of_the_lines_is_rounding() {
        for (amount, lines, count, word) in [
            ("86.92", "86.92", 33, "reconciled"),
            ("86.92", "86.9200", 33, "reconciled"),
            ("0", "0", 0, "reconciled"),
            ("86.92", "86.93", 1, "rounded"),
            ("86.92", "86.91", 1, "rounded"),
            ("86.92", "86.94", 3, "mismatch"),
            ("86.92", "86.94", 4, "rounded"),
            ("86.92", "86.97", 25, "rounded"),
            ("86.92", "86.98", 25, "mismatch"),
            ("86.92", "86.920001", 0, "mismatch"),
            ("86.92", "0", 0, "mismatch"),
            ("-5", "5", 1_000, "mismatch"),
            ("999999999999", "-999999999999", 5_000_000, "mismatch"),
        ] {
            let of = Reconciliation::of(amount.parse().unwrap(), lines.parse().unwrap(), count);
            assert_eq!(of.name(), word, "{amount} {lines} {count}");
        }
    }
}
