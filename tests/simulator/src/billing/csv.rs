//! An invoice as the CSV of its time.
//!
//! The header grew from seven to nine columns, amounts changed their notation, some files have a BOM or CRLF,
//! some leave out a row's trailing blanks. Written once per request; a bulk invoice is written in pieces
//! while it is sent, so that a million lines need no memory. It refuses to know what a line means.

use std::{fmt::Write as _, sync::Arc};

use axum::body::Bytes;
use chrono::DateTime;
use serde::Deserialize;

use super::{
    lines::Line,
    money::{Money, Notation},
};

/// How a file is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Format {
    /// 7 (as long ago), 8 (with the project) or 9 (with the category).
    pub columns: usize,
    pub bom: bool,
    pub crlf: bool,
    pub amounts: Notation,
    /// A row ends at its last value.
    pub short_rows: bool,
    /// A column that nobody has heard of, in the middle.
    pub odd_column: bool,
}

impl Default for Format {
    fn default() -> Self {
        Self {
            columns: 9,
            bom: false,
            crlf: false,
            amounts: Notation::Plain,
            short_rows: false,
            odd_column: false,
        }
    }
}

const COLUMNS: [&str; 9] = [
    "product",
    "group_description",
    "description",
    "hours",
    "start",
    "end",
    "USD",
    "project_name",
    "category",
];

/// The file's beginning.
pub fn header(format: &Format) -> String {
    let mut names: Vec<&str> = COLUMNS.iter().take(format.columns.clamp(7, 9)).copied().collect();
    if format.odd_column {
        names.insert(3, "sku");
    }
    let bom = if format.bom { "\u{feff}" } else { "" };
    format!("{bom}{}{}", names.join(","), end(format))
}

pub fn row(line: &Line, format: &Format) -> String {
    let time = |at: Option<i64>| at.map(moment).unwrap_or_default();
    let mut fields = vec![
        line.product.clone(),
        line.group.clone(),
        line.description.clone(),
        line.hours.map(|hours| hours.to_string()).unwrap_or_default(),
        time(line.start),
        time(line.end),
        line.amount.written(format.amounts),
        line.project.clone(),
        line.category.clone(),
    ];
    fields.truncate(format.columns.clamp(7, 9));
    if format.odd_column {
        fields.insert(3, "1-DO-0109".to_owned());
    }
    while format.short_rows && fields.last().is_some_and(String::is_empty) {
        fields.pop();
    }
    let mut out = String::with_capacity(160);
    for (position, field) in fields.iter().enumerate() {
        let comma = if position > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{}", quoted(field));
    }
    out.push_str(end(format));
    out
}

fn end(format: &Format) -> &'static str {
    if format.crlf { "\r\n" } else { "\n" }
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", field.replace('"', "\"\""));
    }
    field.to_owned()
}

/// `2020-07-01 00:00:00 +0000`
fn moment(seconds: i64) -> String {
    let at = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    at.format("%Y-%m-%d %H:%M:%S +0000").to_string()
}

/// How many lines are written at once.
const PIECE: u64 = 2_000;

/// The n-th piece of a bulk invoice's file; none after the last.
pub fn piece(format: &Format, bulk: &Bulk, number: u64) -> Option<Bytes> {
    if number == 0 {
        return Some(Bytes::from(header(format)));
    }
    let first = (number - 1) * PIECE;
    let last = (first + PIECE).min(bulk.lines);
    let rows: String = (first..last).map(|at| row(&bulk.line(at), format)).collect();
    (first < bulk.lines).then(|| Bytes::from(rows))
}

/// Any number of lines of droplets.
#[derive(Clone, Debug)]
pub struct Bulk {
    pub lines: u64,
    /// The billed month's first instant, and the next one's.
    pub from: i64,
    pub to: i64,
    /// Whose they are: id, name and project. None: of droplets that were there all month, and that nobody has.
    pub droplets: Arc<[(String, String, String)]>,
}

const SIZES: [(&str, i64); 4] = [
    ("s-1vcpu-1gb", 60_000),
    ("s-1vcpu-2gb", 120_000),
    ("s-2vcpu-4gb", 240_000),
    ("c-4", 840_000),
];

impl Bulk {
    pub fn line(&self, number: u64) -> Line {
        let at = usize::try_from(number % 4).unwrap_or(0);
        let (size, price) = SIZES.get(at).copied().unwrap_or(("s-1vcpu-1gb", 60_000));
        let (from, to) = self.time(number);
        let (id, name, project) = self.droplet(number);
        Line {
            product: "Droplets".to_owned(),
            description: format!("{name} ({size})"),
            hours: Some((to - from) / 3600),
            start: Some(from),
            end: Some(to),
            amount: Money(price),
            project,
            category: "iaas".to_owned(),
            resource_id: Some(id),
            ..Line::default()
        }
    }

    fn droplet(&self, number: u64) -> (String, String, String) {
        let count = u64::try_from(self.droplets.len()).unwrap_or(0);
        let at = number.checked_rem(count).and_then(|at| usize::try_from(at).ok());
        let there = at.and_then(|at| self.droplets.get(at)).cloned();
        there.unwrap_or_else(|| {
            (
                (500_000_000 + number).to_string(),
                format!("web-{:07}", number + 1),
                format!("Customer {:04}", number % 200 + 1),
            )
        })
    }

    /// Each time a droplet comes round again it is charged for the next part of the month: nothing is charged twice.
    fn time(&self, number: u64) -> (i64, i64) {
        let count = u64::try_from(self.droplets.len()).unwrap_or(0);
        let (Some(round), Some(rounds)) = (
            number.checked_div(count),
            self.lines.checked_add(count.saturating_sub(1)),
        ) else {
            return (self.from, self.to);
        };
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let rounds = signed(rounds / count.max(1)).max(1);
        let at = |round: i64| self.from + (self.to - self.from) * round / rounds;
        (at(signed(round)), at(signed(round) + 1))
    }

    pub fn total(&self) -> Money {
        let full: i64 = SIZES.iter().map(|(_, price)| price).sum();
        let rest = usize::try_from(self.lines % 4).unwrap_or(0);
        let rest: i64 = SIZES.iter().take(rest).map(|(_, price)| price).sum();
        Money(i64::try_from(self.lines / 4).unwrap_or(0) * full + rest)
    }
}
