//! In which form a list is sent: JSON, CSV, or one JSON document per line, as `Accept` says.
//!
//! Decided before anything is read; no form that we have is a 406. The forms share everything else: parameters,
//! cursors, the `Link` to the next page. It refuses to guess from anything but `Accept`, and to send a body in a form
//! that was given quality 0.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use serde_json::Value;

use super::error::Problem;

/// A form that a list can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The envelope.
    Json,
    /// A line with the names of the columns, then one line per item.
    Csv,
    /// One item per line.
    Ndjson,
}

impl Form {
    /// Every form, best first.
    pub const ALL: [Form; 3] = [Form::Json, Form::Csv, Form::Ndjson];

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Form::Json => "application/json",
            Form::Csv => "text/csv",
            Form::Ndjson => "application/x-ndjson",
        }
    }

    /// As a `Content-Type`.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Form::Json => "application/json",
            Form::Csv => "text/csv; charset=utf-8; header=present",
            Form::Ndjson => "application/x-ndjson",
        }
    }

    /// The form that the caller likes best.
    ///
    /// # Errors
    /// 406, if it accepts none of these.
    pub fn accepted(headers: &HeaderMap, offered: &[Form]) -> Result<Form, Problem> {
        let ranges: Vec<Range> = headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(Range::read)
            .collect();
        if !headers.contains_key(ACCEPT) {
            return offered.first().copied().ok_or_else(|| refused(offered));
        }
        let liked = |form: &Form| {
            let (kind, subkind) = form.media_type().split_once('/').unwrap_or_default();
            let fitting = ranges.iter().filter(|range| range.fits(kind, subkind));
            fitting
                .max_by_key(|range| range.exactness())
                .map_or(0, |range| range.quality)
        };
        // The first of the equally liked: max_by_key gives the last.
        let best = offered.iter().rev().max_by_key(|form| liked(form));
        best.copied()
            .filter(|form| liked(form) > 0)
            .ok_or_else(|| refused(offered))
    }
}

fn refused(offered: &[Form]) -> Problem {
    let offered: Vec<&str> = offered.iter().map(|form| form.media_type()).collect();
    Problem::not_acceptable(format!("This can be had as {}.", offered.join(", ")))
}

/// One media range of an `Accept` header; quality in thousandths.
struct Range {
    kind: String,
    subkind: String,
    quality: u16,
}

impl Range {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subkind) = parts.next()?.split_once('/')?;
        let mut quality = 1_000;
        for parameter in parts {
            let (name, value) = parameter.split_once('=')?;
            if name.trim().eq_ignore_ascii_case("q") {
                quality = thousandths(value.trim())?;
            }
        }
        Some(Self {
            kind: kind.to_ascii_lowercase(),
            subkind: subkind.to_ascii_lowercase(),
            quality,
        })
    }

    fn fits(&self, kind: &str, subkind: &str) -> bool {
        (self.kind == "*" && self.subkind == "*")
            || (self.kind == kind && (self.subkind == "*" || self.subkind == subkind))
    }

    fn exactness(&self) -> u8 {
        u8::from(self.kind != "*") + u8::from(self.subkind != "*")
    }
}

/// `0`, `1`, or either with up to three decimals, not above one.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let fraction: u16 = format!("{decimals:0<3}").parse().ok().filter(|_| digits)?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1_000),
        _ => None,
    }
}

/// A line of CSV (RFC 4180): texts as they are, nothing where there is nothing, everything else as JSON.
pub(super) fn csv_line<'a>(cells: impl Iterator<Item = Option<&'a Value>>) -> String {
    let mut line = String::new();
    for (at, cell) in cells.enumerate() {
        if at > 0 {
            line.push(',');
        }
        match cell {
            None | Some(Value::Null) => (),
            Some(Value::String(text)) => push_cell(&mut line, text),
            Some(other) => push_cell(&mut line, &other.to_string()),
        }
    }
    line.push_str("\r\n");
    line
}

fn push_cell(line: &mut String, text: &str) {
    if text.contains(['"', ',', '\r', '\n']) {
        line.push('"');
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use serde_json::json;

    use super::*;

    fn accepted(accept: &str) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
        Form::accepted(&headers, &Form::ALL).ok()
    }

    #[test]
    fn the_form_that_is_liked_best_is_sent() {
        for (accept, form) in [
            ("*/*", Form::Json),
            ("application/*", Form::Json),
            ("text/*", Form::Csv),
            ("text/csv", Form::Csv),
            ("Text/CSV; charset=utf-8", Form::Csv),
            ("application/x-ndjson", Form::Ndjson),
            ("text/html, */*;q=0.1", Form::Json),
            ("application/json;q=0.5, text/csv;q=0.9", Form::Csv),
            ("*/*, application/json;q=0", Form::Csv),
            ("text/csv, application/json", Form::Json),
            (
                "application/json;q=0.1, application/x-ndjson;q=1.000",
                Form::Ndjson,
            ),
            ("nonsense, text/csv", Form::Csv),
        ] {
            assert_eq!(accepted(accept), Some(form), "{accept}");
        }
        assert_eq!(Form::accepted(&HeaderMap::new(), &Form::ALL).unwrap(), Form::Json);
    }

    #[test]
    fn what_we_do_not_have_is_not_acceptable() {
        for accept in [
            "text/html",
            "image/*",
            "application/json;q=0",
            "*/*;q=0",
            "json",
            "",
            "text/csv;q=2",
        ] {
            assert_eq!(accepted(accept), None, "{accept}");
        }
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let cells = [
            json!("plain"),
            json!("a,b"),
            json!("say \"no\""),
            json!("two\nlines"),
            Value::Null,
            json!(7),
            json!(["a", "b"]),
        ];
        assert_eq!(
            csv_line(cells.iter().map(Some)),
            "plain,\"a,b\",\"say \"\"no\"\"\",\"two\nlines\",,7,\"[\"\"a\"\",\"\"b\"\"]\"\r\n"
        );
    }
}
