//! The CSV of an invoice, row by row: the ledger's source.
//!
//! Pure and streaming: it is given something to read and answers one [`Line`] after the other, so that nothing but a
//! row is ever held. Columns are found by the header's names, never by position; unknown ones are ignored. It is
//! lenient about form (byte order mark, CRLF, quoted newlines, short rows) and strict about content: a row that
//! cannot be read is a [`Refusal`] that names its line and what is wrong, and there are no lines after it. It refuses
//! to guess an amount, and to repeat what stands in a row.

mod figure;

use std::io::{self, BufRead};

use chrono::{DateTime, Utc};
use csv_core::ReadRecordResult;
use rust_decimal::Decimal;

pub use figure::{amount, hours, instant};

/// The longest row that is read. DigitalOcean's have about 130 bytes.
const LONGEST_ROW: usize = 64 * 1024;
/// Most columns that a header may have.
const MOST_COLUMNS: usize = 64;
/// The most rows of one invoice: line numbers are 32 bits wide, and memory is not endless.
const MOST_ROWS: u32 = 5_000_000;
const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// One row, typed. Text is trimmed; what the row does not say is empty or `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its place among the rows, from 1; the header is none.
    pub number: u32,
    /// Product family, such as `Droplets`.
    pub product: String,
    /// Name of the parent of grouped usage: a cluster, an app.
    pub group: String,
    /// What was charged for, usually `name (size)`.
    pub description: String,
    /// Billed hours.
    pub hours: Option<Decimal>,
    /// When the charge begins.
    pub start: Option<DateTime<Utc>>,
    /// When it ends.
    pub end: Option<DateTime<Utc>>,
    /// US dollars, its sign kept.
    pub amount: Decimal,
    /// The project's name at that time.
    pub project: String,
    /// DigitalOcean's own word, such as `iaas`.
    pub category: String,
}

/// Why an invoice cannot be read. Sending it again does not help; reading a corrected one does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Refusal {
    /// The line of the file, from 1.
    pub line: u64,
    /// What is wrong with it, without repeating it.
    pub reason: String,
}

/// The columns that make an invoice; the last two are missing from older ones.
const COLUMNS: [&str; 9] = [
    "product",
    "group_description",
    "description",
    "hours",
    "start",
    "end",
    "usd",
    "project_name",
    "category",
];
const NEEDED: usize = 7;

/// The rows of a CSV.
pub struct Lines<R> {
    source: R,
    parser: csv_core::Reader,
    mark: usize,
    columns: Option<[Option<usize>; COLUMNS.len()]>,
    width: usize,
    number: u32,
    over: bool,
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// One record as it stands in the file.
struct Record {
    line: u64,
    length: usize,
    cells: usize,
}

impl<R: BufRead> Lines<R> {
    /// The rows of this file.
    pub fn of(source: R) -> Self {
        Self {
            source,
            parser: csv_core::Reader::new(),
            mark: 0,
            columns: None,
            width: 0,
            number: 0,
            over: false,
            text: vec![0; 1024],
            ends: vec![0; MOST_COLUMNS],
        }
    }

    fn read(&mut self) -> Result<Option<Line>, Refusal> {
        if self.columns.is_none() {
            let Some(header) = self.record()? else {
                return Err(refusal(1, "the file is empty"));
            };
            self.header(&header)?;
        }
        match self.record()? {
            None => Ok(None),
            Some(record) => self.line(&record).map(Some),
        }
    }

    /// The next record, whatever pieces it is read in.
    fn record(&mut self) -> Result<Option<Record>, Refusal> {
        let mut line = self.parser.line();
        let (mut length, mut cells, mut quotes, mut begun) = (0, 0, 0_usize, false);
        loop {
            self.skip_mark().map_err(|error| unread(line, &error))?;
            let input = self.source.fill_buf().map_err(|error| unread(line, &error))?;
            let ended = input.is_empty();
            let (text, ends) = (
                self.text.get_mut(length..).unwrap_or_default(),
                self.ends.get_mut(cells..).unwrap_or_default(),
            );
            let (result, read, written, ended_cells) = self.parser.read_record(input, text, ends);
            let taken = input.get(..read).unwrap_or_default();
            if !begun {
                // Empty lines before it are no rows, but they are lines.
                let blank = taken
                    .iter()
                    .take_while(|byte| matches!(byte, b'\n' | b'\r'))
                    .count();
                let newlines = taken.iter().take(blank).filter(|byte| **byte == b'\n').count();
                line += newlines as u64;
                begun = blank < taken.len();
            }
            quotes += taken.iter().filter(|byte| **byte == b'"').count();
            self.source.consume(read);
            length += written;
            cells += ended_cells;
            match result {
                ReadRecordResult::InputEmpty if ended => return Ok(None),
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.text.len() >= LONGEST_ROW => {
                    return Err(refusal(line, "the row is longer than 64 KiB"));
                }
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 4, 0),
                ReadRecordResult::OutputEndsFull => {
                    return Err(refusal(line, "the row has more than 64 cells"));
                }
                // Whatever follows an open quote reads as part of one cell, to the end of the file.
                ReadRecordResult::Record | ReadRecordResult::End if quotes % 2 == 1 => {
                    return Err(refusal(line, "a quote is never closed"));
                }
                ReadRecordResult::Record => return Ok(Some(Record { line, length, cells })),
                ReadRecordResult::End => return Ok(None),
            }
        }
    }

    /// A byte order mark at the very beginning, however the pieces cut it.
    fn skip_mark(&mut self) -> io::Result<()> {
        while self.mark < BYTE_ORDER_MARK.len() {
            let next = self.source.fill_buf()?.first();
            if next.is_none() || next != BYTE_ORDER_MARK.get(self.mark) {
                self.mark = BYTE_ORDER_MARK.len();
                return Ok(());
            }
            self.mark += 1;
            self.source.consume(1);
        }
        Ok(())
    }

    /// The cells of a record, as text.
    fn cells(&self, record: &Record) -> Result<Vec<&str>, Refusal> {
        let text = self.text.get(..record.length).unwrap_or_default();
        let text = std::str::from_utf8(text).map_err(|_| refusal(record.line, "the row is not UTF-8"))?;
        if text.contains('\0') {
            return Err(refusal(record.line, "the row has a NUL in it"));
        }
        let ends = self.ends.get(..record.cells).unwrap_or_default();
        let starts = std::iter::once(&0).chain(ends);
        // A cell ends where a delimiter stood, so never within a character.
        Ok(starts
            .zip(ends)
            .map(|(start, end)| text.get(*start..*end).unwrap_or_default().trim())
            .collect())
    }

    fn header(&mut self, record: &Record) -> Result<(), Refusal> {
        let mut places = [None; COLUMNS.len()];
        let cells = self.cells(record)?;
        for (place, cell) in cells.iter().enumerate() {
            // Names were seen with spaces, and nothing says that their case is kept.
            let name = cell.to_ascii_lowercase().replace(' ', "_");
            let known = COLUMNS.iter().position(|column| *column == name);
            let Some(slot) = known.and_then(|known| places.get_mut(known)) else {
                continue;
            };
            if slot.replace(place).is_some() {
                return Err(refusal(record.line, format!("the column {name} is there twice")));
            }
        }
        for (column, place) in COLUMNS.iter().zip(places).take(NEEDED) {
            if place.is_none() {
                return Err(refusal(record.line, format!("the column {column} is missing")));
            }
        }
        (self.width, self.columns) = (cells.len(), Some(places));
        Ok(())
    }

    fn line(&mut self, record: &Record) -> Result<Line, Refusal> {
        self.number += 1;
        let wrong = |column: &str, reason: &str| refusal(record.line, format!("{column} {reason}"));
        if self.number > MOST_ROWS {
            return Err(refusal(record.line, "there are more than 5,000,000 rows"));
        }
        let cells = self.cells(record)?;
        if cells.iter().skip(self.width).any(|cell| !cell.is_empty()) {
            return Err(refusal(record.line, "the row has more cells than the header"));
        }
        let places = self.columns.unwrap_or_default();
        let cell = |column: usize| {
            let place = places.get(column).copied().flatten();
            place.and_then(|place| cells.get(place)).copied().unwrap_or("")
        };
        let [
            product,
            group,
            description,
            hours,
            start,
            end,
            usd,
            project,
            category,
        ] = std::array::from_fn(cell);
        if product.is_empty() {
            return Err(wrong("product", "is blank"));
        }
        Ok(Line {
            number: self.number,
            product: product.to_owned(),
            group: group.to_owned(),
            description: description.to_owned(),
            hours: optional(hours, figure::hours).map_err(|reason| wrong("hours", reason))?,
            start: optional(start, instant).map_err(|reason| wrong("start", reason))?,
            end: optional(end, instant).map_err(|reason| wrong("end", reason))?,
            amount: amount(usd).map_err(|reason| wrong("USD", reason))?,
            project: project.to_owned(),
            category: category.to_owned(),
        })
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Result<Line, Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.read().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

fn unread(line: u64, error: &io::Error) -> Refusal {
    refusal(line, format!("the file cannot be read on: {}", error.kind()))
}

fn refusal(line: u64, reason: impl Into<String>) -> Refusal {
    Refusal {
        line,
        reason: reason.into(),
    }
}

fn optional<T>(
    text: &str,
    read: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<Option<T>, &'static str> {
    if text.is_empty() {
        Ok(None)
    } else {
        read(text).map(Some)
    }
}

#[cfg(test)]
mod tests;
