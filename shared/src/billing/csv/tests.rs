//! The reader of invoices: the years' variants, what is refused and how it is said, and that cutting changes nothing.

use proptest::prelude::*;

use super::*;

const NINE: &str = "product,group_description,description,hours,start,end,USD,project_name,category";
const ROW: &str =
    "Droplets,,indra (s-2vcpu-4gb),446,2019-01-13 09:39:51 +0000,2019-02-01 00:00:00 +0000,$13.27,Web,iaas";

fn read(text: &str) -> Result<Vec<Line>, Refusal> {
    Lines::of(text.as_bytes()).collect()
}

fn one(text: &str) -> Line {
    let lines = read(text).unwrap();
    assert_eq!(lines.len(), 1, "{text}");
    lines.into_iter().next().unwrap()
}

fn refused(text: &str) -> (u64, String) {
    let refusal = read(text).unwrap_err();
    (refusal.line, refusal.reason)
}

#[test]
fn a_row_is_read_by_the_names_of_its_columns() {
    let line = one(&format!("{NINE}\n{ROW}\n"));
    assert_eq!(
        line,
        Line {
            number: 1,
            product: "Droplets".into(),
            group: String::new(),
            description: "indra (s-2vcpu-4gb)".into(),
            hours: Some(Decimal::from(446)),
            start: DateTime::from_timestamp(1_547_372_391, 0),
            end: DateTime::from_timestamp(1_548_979_200, 0),
            amount: Decimal::new(1327, 2),
            project: "Web".into(),
            category: "iaas".into(),
        }
    );
    let moved = "category,USD,vat_id,end,start,hours,description,group_description,product,project_name\n\
                 iaas,$13.27,XY,2019-02-01 00:00:00 +0000,2019-01-13 09:39:51 +0000,446,indra (s-2vcpu-4gb),,Droplets,Web\n";
    assert_eq!(one(moved), line);
    let spoken = format!(
        "{}\n{ROW}\n",
        "Product,Group Description, DESCRIPTION ,Hours,Start,End,usd,Project Name,Category"
    );
    assert_eq!(one(&spoken), line);
}

#[test]
fn the_variants_of_the_years_say_the_same() {
    let whole = one(&format!("{NINE}\n{ROW}\n"));
    for text in [
        format!("\u{feff}{NINE}\n{ROW}\n"),
        format!("{NINE}\r\n{ROW}\r\n"),
        format!("{NINE}\n{ROW}"),
        format!("\n\n{NINE}\n\n\n{ROW}\n\n"),
        format!("\u{feff}\"{}\"\r\n{ROW}\r\n", NINE.replace(',', "\",\"")),
        format!("{NINE}\n{ROW},,\n"),
    ] {
        assert_eq!(one(&text), whole, "{text}");
    }
    let seven = "product,group_description,description,hours,start,end,USD";
    for (header, row, project, category) in [
        (seven.to_owned(), "Taxes,,GST (10%),,,,$7.90", "", ""),
        (
            format!("{seven},project_name"),
            "Taxes,,GST (10%),,,,$7.90,Web",
            "Web",
            "",
        ),
        (NINE.to_owned(), "Taxes,,GST (10%),,,,$7.90", "", ""),
        (NINE.to_owned(), "Taxes,,GST (10%),,,,$7.90,,iaas", "", "iaas"),
    ] {
        let line = one(&format!("{header}\n{row}\n"));
        assert_eq!(
            (line.project.as_str(), line.category.as_str()),
            (project, category)
        );
        assert_eq!((line.hours, line.start, line.end), (None, None, None));
        assert_eq!(line.amount, Decimal::new(790, 2));
    }
    let quoted = one(&format!(
        "{NINE}\n\"Droplet Snapshots\",,\"before \"\"2.0\"\", again\nand again\",,,,\"$1,234.56\"\n"
    ));
    assert_eq!(quoted.description, "before \"2.0\", again\nand again");
    assert_eq!(quoted.amount, Decimal::new(123_456, 2));
    assert_eq!(read(&format!("{NINE}\n")), Ok(vec![]));
}

/// Rows in the words of DigitalOcean's own documentation.
#[test]
fn the_documented_rows_are_read() {
    let text = format!(
        "{NINE}\nFloating IPs,,Unused Floating IP - 1.1.1.1,100,2020-07-01 00:00:00 +0000,2020-07-22 18:14:39 +0000,$3.11,,iaas\n\
         Taxes,,STATE SALES TAX (6.25%),,2020-07-01 00:00:00 +0000,2020-07-31 23:59:59 +0000,$0.16,,iaas\n"
    );
    let lines = read(&text).unwrap();
    let amounts: Vec<String> = lines.iter().map(|line| line.amount.to_string()).collect();
    assert_eq!(amounts, ["3.11", "0.16"]);
    assert_eq!(lines[0].end, DateTime::from_timestamp(1_595_441_679, 0));
    assert_eq!((lines[1].hours, lines[1].project.as_str()), (None, ""));
}

#[test]
fn what_cannot_be_read_is_named_by_line_and_reason() {
    let after = |row: &str| refused(&format!("{NINE}\n{ROW}\n{row}\n{ROW}\n"));
    for (row, reason) in [
        ("Droplets,,web (s),1,,,", "USD is blank"),
        ("Droplets,,web (s)", "USD is blank"),
        (
            "Droplets,,web (s),1,,,five",
            "USD is not an amount such as $1,234.56",
        ),
        (
            "Droplets,,web (s),1,,,$1.2.3",
            "USD is not an amount such as $1,234.56",
        ),
        ("Droplets,,web (s),some,,,$1", "hours is not a number of hours"),
        (
            "Droplets,,web (s),1,soon,,$1",
            "start is not a time such as 2020-07-01 00:00:00 +0000",
        ),
        (
            "Droplets,,web (s),1,,never,$1",
            "end is not a time such as 2020-07-01 00:00:00 +0000",
        ),
        (",,web (s),1,,,$1", "product is blank"),
        (
            "Droplets,,a, b and c (s),1,,,$1,,,",
            "hours is not a number of hours",
        ),
        (
            "Droplets,,web (s),1,,,$1,p,c,more",
            "the row has more cells than the header",
        ),
        ("Droplets,,we\0b (s),1,,,$1", "the row has a NUL in it"),
    ] {
        assert_eq!(after(row), (3, reason.to_owned()), "{row}");
    }
    assert_eq!(refused(""), (1, "the file is empty".to_owned()));
    assert_eq!(refused("\n\n").1, "the file is empty");
    assert_eq!(
        refused("{\"id\": \"server_error\"}").1,
        "the column product is missing"
    );
    assert_eq!(
        refused("<!DOCTYPE html>\n<html>").1,
        "the column product is missing"
    );
    assert_eq!(refused(&NINE.replace(",USD", "")).1, "the column usd is missing");
    assert_eq!(
        refused(&NINE.replace("hours", "usd")).1,
        "the column usd is there twice"
    );
    assert_eq!(
        after("Droplets,,web (s),1,,,$1,\"never closed").1,
        "a quote is never closed"
    );
    let long = format!("Droplets,,{},1,,,$1", "x".repeat(LONGEST_ROW));
    assert_eq!(after(&long), (3, "the row is longer than 64 KiB".to_owned()));
    let wide = format!("Droplets,,web,1,,,$1{}", ",".repeat(MOST_COLUMNS));
    assert_eq!(after(&wide), (3, "the row has more than 64 cells".to_owned()));
    let latin: Vec<u8> = [format!("{NINE}\nDroplets,,caf").as_bytes(), b"\xe9,1,,,$1\n"].concat();
    let refusal = Lines::of(latin.as_slice())
        .collect::<Result<Vec<_>, _>>()
        .unwrap_err();
    assert_eq!(
        (refusal.line, refusal.reason.as_str()),
        (2, "the row is not UTF-8")
    );
}

#[test]
fn lines_are_counted_past_quoted_newlines_and_empty_lines() {
    let text = format!("{NINE}\r\n\r\nDroplets,,\"a\r\nb\r\nc\",1,,,$1\r\n\r\n\r\nDroplets,,x,1,,,oops\r\n");
    assert_eq!(refused(&text).0, 8);
}

#[test]
fn after_a_refusal_there_is_nothing() {
    let text = format!("{NINE}\nDroplets,,a,1,,,oops\n{ROW}\n");
    let mut lines = Lines::of(text.as_bytes());
    assert!(lines.next().is_some_and(|line| line.is_err()));
    assert!(lines.next().is_none() && lines.next().is_none());
}

/// A file that comes in these pieces.
struct Pieces<'a>(std::collections::VecDeque<&'a [u8]>);

impl io::Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.0.front().is_some_and(|piece| piece.is_empty()) {
            self.0.pop_front();
        }
        Ok(self.0.front().copied().unwrap_or_default())
    }

    fn consume(&mut self, bytes: usize) {
        if let Some(piece) = self.0.front_mut() {
            *piece = &piece[bytes..];
        }
    }
}

#[test]
fn what_cannot_be_read_on_is_refused() {
    struct Broken(bool);
    impl io::Read for Broken {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, true) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            io::Read::read(&mut format!("{NINE}\n{ROW}\nDrop").as_bytes(), into)
        }
    }
    let read: Result<Vec<Line>, Refusal> = Lines::of(io::BufReader::new(Broken(false))).collect();
    assert_eq!(
        read.unwrap_err().to_string(),
        "line 3: the file cannot be read on: invalid data"
    );
}

proptest! {
    /// However the network cuts the file, the same lines or the same refusal come out of it.
    #[test]
    fn cutting_changes_nothing(rows in proptest::collection::vec("[a\"\u{e9},\r\n$1]{0,12}", 0..6), cuts in proptest::collection::vec(0_usize..400, 0..12)) {
        let mut text = format!("\u{feff}{NINE}\r\n{ROW}\r\n");
        for row in rows {
            text.push_str(&row);
            text.push_str(",,web (s),1,,,$1.00\n");
        }
        let bytes = text.as_bytes();
        let mut places: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
        places.sort_unstable();
        let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let cut: Result<Vec<Line>, Refusal> = Lines::of(Pieces(pieces.into())).collect();
        prop_assert_eq!(cut, read(&text));
    }

    /// Nothing that comes in ends the process.
    #[test]
    fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut file = format!("{NINE}\n").into_bytes();
        file.extend(&bytes);
        drop(Lines::of(file.as_slice()).collect::<Result<Vec<_>, _>>());
        drop(Lines::of(bytes.as_slice()).collect::<Result<Vec<_>, _>>());
    }
}
