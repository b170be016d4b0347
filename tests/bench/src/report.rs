//! What was measured: tables in Markdown on standard output, ready for `docs/performance.md`, and JSON in `.local`.
//!
//! A table is printed as soon as it is full, so that a run which is cut short has said something. Goals are compared
//! and shown; a missed one is a word in a table, not an error.

use std::time::Duration;

use harness::place;
use serde_json::{Map, Value, json};

/// Repetitions of one figure.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// The middle one; of an even number, the lower of the two.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
            .get(sorted.len().saturating_sub(1) / 2)
            .copied()
            .unwrap_or(f64::NAN)
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(samples: I) -> Self {
        Self(samples.into_iter().collect())
    }
}

/// One cell: what people read, and what programs do.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    value: Value,
}

/// Words.
pub fn text(text: impl Into<String>) -> Cell {
    let text = text.into();
    Cell {
        value: json!(text),
        text,
    }
}

/// Nothing to say.
pub fn nothing() -> Cell {
    Cell {
        text: "–".into(),
        value: Value::Null,
    }
}

/// A number of things.
pub fn count(number: u64) -> Cell {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    Cell {
        text,
        value: json!(number),
    }
}

/// Seconds.
pub fn seconds(seconds: f64) -> Cell {
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Cell {
        text: match seconds {
            s if s >= 10.0 => format!("{s:.1} s"),
            s if s >= 1.0 => format!("{s:.2} s"),
            s if s >= 0.1 => format!("{:.0} ms", s * 1e3),
            s if s >= 1e-3 => format!("{:.1} ms", s * 1e3),
            _ => format!("{:.1} µs", duration.as_nanos() as f64 / 1e3),
        },
        value: json!(seconds),
    }
}

/// How many times the limit.
pub fn ratio(ratio: f64) -> Cell {
    let text = if ratio >= 10.0 {
        format!("{ratio:.0} ×")
    } else {
        format!("{ratio:.2} ×")
    };
    Cell {
        text,
        value: json!(ratio),
    }
}

/// Any other number, with its decimals and its unit.
pub fn number(value: f64, decimals: usize, unit: &str) -> Cell {
    Cell {
        text: format!("{value:.decimals$} {unit}").trim_end().to_owned(),
        value: json!(value),
    }
}

/// Bytes, in millions of them.
pub fn megabytes(bytes: f64) -> Cell {
    number(bytes / 1e6, 1, "MB")
}

/// Rows under named columns.
#[derive(Debug)]
pub struct Table {
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    notes: Vec<String>,
}

impl Table {
    pub fn new(title: impl Into<String>, columns: &[&'static str]) -> Self {
        Self {
            title: title.into(),
            columns: columns.to_vec(),
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        let cells = cells.into();
        assert_eq!(cells.len(), self.columns.len(), "{}", self.title);
        self.rows.push(cells);
    }

    /// A sentence below the table.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn print(&self) {
        println!("\n### {}\n", self.title);
        let line = |cells: Vec<&str>| println!("| {} |", cells.join(" | "));
        line(self.columns.clone());
        let numeric = |at: usize| self.rows.iter().all(|row| !row[at].value.is_string());
        line(
            (0..self.columns.len())
                .map(|at| if numeric(at) { "---:" } else { "---" })
                .collect(),
        );
        for row in &self.rows {
            line(row.iter().map(|cell| cell.text.as_str()).collect());
        }
        for note in &self.notes {
            println!("\n{note}");
        }
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let members = self.columns.iter().zip(row);
            members
                .map(|(column, cell)| ((*column).to_owned(), cell.value.clone()))
                .collect::<Map<_, _>>()
        });
        json!({"title": self.title, "rows": rows.collect::<Vec<_>>(), "notes": self.notes})
    }
}

/// Everything that one run has found out.
pub struct Report {
    reps: usize,
    server: String,
    tables: Vec<Table>,
    goals: Table,
}

impl Report {
    pub fn begin(reps: usize, server: &str) -> Self {
        println!("Medians of {reps}. {server}");
        Self {
            reps,
            server: server.to_owned(),
            tables: Vec::new(),
            goals: Table::new("Goals", &["what", "measured", "at most", ""]),
        }
    }

    /// Shows a table and keeps it.
    pub fn table(&mut self, table: Table) {
        table.print();
        self.tables.push(table);
    }

    /// Compares a figure with the most that it may be.
    pub fn at_most(&mut self, what: impl Into<String>, measured: f64, most: f64, unit: &str) {
        self.goal(what, measured, most, unit, measured <= most);
    }

    /// Compares a figure with the least that it may be.
    pub fn at_least(&mut self, what: impl Into<String>, measured: f64, least: f64, unit: &str) {
        self.goal(
            format!("{} (at least)", what.into()),
            measured,
            least,
            unit,
            measured >= least,
        );
    }

    fn goal(&mut self, what: impl Into<String>, measured: f64, limit: f64, unit: &str, met: bool) {
        let decimals = if limit.fract() == 0.0 && limit >= 10.0 {
            0
        } else {
            2
        };
        self.goals.row([
            text(what),
            number(measured, decimals, unit),
            number(limit, decimals, unit),
            text(if met { "met" } else { "MISSED" }),
        ]);
    }

    /// Shows the goals and writes everything down.
    pub fn end(mut self) {
        if !self.goals.rows.is_empty() {
            self.goals.print();
            self.tables.push(self.goals);
        }
        let tables: Vec<Value> = self.tables.iter().map(Table::json).collect();
        let written = json!({"repetitions": self.reps, "server": self.server, "tables": tables});
        let path = place::local("bench.json").unwrap();
        std::fs::write(&path, format!("{written:#}")).unwrap();
        println!("\nWritten to .local/bench.json.");
    }
}
