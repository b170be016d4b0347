//! One request, as the rest of the simulator sees it.
//!
//! Made by `server` from HTTP, read by `api` and `control`. It holds the bearer text for as long as the
//! request lasts, which is why it has no `Debug`. It refuses to decode twice.

use std::fmt::Write as _;

use axum::body::Bytes;
use serde_json::Value;

use crate::problem::Problem;

pub struct Call {
    pub method: String,
    /// As sent, without the query.
    pub path: String,
    pub raw_query: String,
    pub query: Vec<(String, String)>,
    /// What `Host` said: links are built on it.
    pub host: String,
    pub bearer: Option<String>,
    pub body: Bytes,
}

/// `page` and `per_page`, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub page: u64,
    pub per_page: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            page: 1,
            per_page: 20,
        }
    }
}

impl Call {
    pub fn query_value(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The path's segments, decoded.
    pub fn segments(&self) -> Vec<String> {
        self.path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| decode(part, false))
            .collect()
    }

    pub fn json(&self) -> Result<Value, Problem> {
        if self.body.is_empty() {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        serde_json::from_slice(&self.body).map_err(|_| Problem::bad_request("the request's body is not JSON"))
    }

    /// 20 a page if nothing is said, 200 at most. What DO answers beyond that is not documented: 422 here.
    pub fn window(&self) -> Result<Window, Problem> {
        let number = |name: &str, absent: u64, most: u64| match self.query_value(name) {
            None => Ok(absent),
            Some(text) => match text.parse::<u64>() {
                Ok(number) if (1..=most).contains(&number) => Ok(number),
                _ => Err(Problem::unprocessable(format!(
                    "{name} must be between 1 and {most}"
                ))),
            },
        };
        Ok(Window {
            page: number("page", 1, 10_000_000)?,
            per_page: number("per_page", 20, 200)?,
        })
    }

    /// The page asked for, whatever else is wrong.
    pub fn page(&self) -> u64 {
        self.query_value("page")
            .and_then(|page| page.parse().ok())
            .unwrap_or(1)
    }

    /// This listing's address with another page number, on the host the client used.
    pub fn page_url(&self, page: u64) -> String {
        let mut url = format!("http://{}{}?", self.host, self.path);
        for (key, value) in self.query.iter().filter(|(key, _)| key != "page") {
            let _ = write!(url, "{}={}&", encode(key), encode(value));
        }
        let _ = write!(url, "page={page}");
        url
    }
}

pub fn parse_query(raw: &str) -> Vec<(String, String)> {
    let pairs = raw.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key, true), decode(value, true))
        })
        .collect()
}

/// Percent-decoding; what is not valid stays as it is.
fn decode(text: &str, plus_is_space: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let hex = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (byte, hex(ahead.next()), hex(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                rest = ahead;
            }
            (b'+', ..) if plus_is_space => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
