//! Paging: `limit` and `cursor` in, the envelope and its `Link` out.
//!
//! A cursor is opaque: where a page ended, and a fingerprint of the filters and the order it belongs to, so that
//! it cannot be used with others. It is not signed, because it opens nothing: the scope is in every query. A page
//! stays below 5 MB *as Lambda returns it*, a JSON text within JSON, in which each quote counts twice; one that
//! would not is cut, and goes on behind its cursor. It refuses to skip rows and to leave any out.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike};
use serde::Serialize;
use serde_json::{Value, json};
use shared::inventory::read::{Key, Place, Position, Sort};
use uuid::Uuid;

use super::error::Problem;
use super::form::{Form, csv_line};
use super::query::Parameters;

const DEFAULT_LIMIT: usize = 100;
const LARGEST_LIMIT: usize = 500;
/// Lambda takes 6 MB; the rest is for headers and room to breathe.
const LARGEST_PAGE: usize = 5_000_000;

/// The `limit` parameter.
pub fn limit(parameters: &mut Parameters) -> usize {
    parameters.parsed("limit", read_limit).unwrap_or(DEFAULT_LIMIT)
}

fn read_limit(text: &str) -> Result<usize, &'static str> {
    let plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|limit| plain && *limit <= LARGEST_LIMIT)
        .ok_or("must be a whole number from 1 to 500")
}

/// The `cursor` parameter of a list in this order.
pub fn cursor(parameters: &mut Parameters, sort: Sort) -> Option<Position> {
    let fingerprint = parameters.fingerprint();
    parameters.parsed("cursor", |text| decode(text, fingerprint, sort.key))
}

fn encode(position: &Position, fingerprint: u64) -> String {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend(fingerprint.to_be_bytes());
    bytes.extend(position.id.as_bytes());
    match &position.place {
        Place::Id => (),
        Place::Name(name) => bytes.extend(name.as_bytes()),
        Place::UpdatedAt(moment) => bytes.extend(moment.timestamp_micros().to_be_bytes()),
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str, fingerprint: u64, key: Key) -> Result<Position, &'static str> {
    const MALFORMED: &str = "is not a cursor of ours";
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| MALFORMED)?;
    let (theirs, rest) = bytes.split_first_chunk::<8>().ok_or(MALFORMED)?;
    let (id, rest) = rest.split_first_chunk::<16>().ok_or(MALFORMED)?;
    if u64::from_be_bytes(*theirs) != fingerprint {
        return Err("belongs to other filters or another order");
    }
    let place = match key {
        Key::Id if rest.is_empty() => Place::Id,
        Key::Id => return Err(MALFORMED),
        Key::Name => {
            let name = std::str::from_utf8(rest).map_err(|_| MALFORMED)?;
            // The one character that Postgres cannot take.
            if name.contains('\0') {
                return Err(MALFORMED);
            }
            Place::Name(name.to_owned())
        }
        Key::UpdatedAt => {
            let micros = i64::from_be_bytes(rest.try_into().map_err(|_| MALFORMED)?);
            let moment = DateTime::from_timestamp_micros(micros).ok_or(MALFORMED)?;
            // Postgres knows fewer years than we do.
            if !(0..=9_999).contains(&moment.year()) {
                return Err(MALFORMED);
            }
            Place::UpdatedAt(moment)
        }
    };
    Ok(Position {
        place,
        id: Uuid::from_bytes(*id),
    })
}

/// The envelope around as many of the items as fit.
///
/// # Errors
/// 500, if an item cannot be written as JSON.
pub fn answer<T: Serialize>(
    parameters: &Parameters,
    limit: usize,
    items: &[T],
    more: bool,
    position: impl Fn(&T) -> Position,
) -> Result<Response, Problem> {
    answer_in(Form::Json, &[], parameters, limit, items, more, position)
}

/// As many of the items as fit, in this form; `columns` are those of CSV.
///
/// # Errors
/// 500, if an item cannot be written as JSON.
pub fn answer_in<T: Serialize>(
    form: Form,
    columns: &[&str],
    parameters: &Parameters,
    limit: usize,
    items: &[T],
    more: bool,
    position: impl Fn(&T) -> Position,
) -> Result<Response, Problem> {
    let (mut body, between) = beginning(form, columns);
    let mut scales = Scales::default();
    let (mut last, mut cut) = (None, false);
    for item in items {
        let end = body.len();
        if last.is_some() {
            body.extend_from_slice(between);
        }
        write(&mut body, form, columns, item)?;
        cut = scales.too_heavy(&body) && last.is_some();
        if cut {
            body.truncate(end);
            break;
        }
        if last.is_none() {
            // The others will be as long.
            body.reserve((body.len() * (items.len() - 1)).min(LARGEST_PAGE));
        }
        last = Some(item);
    }
    let next = last
        .filter(|_| more || cut)
        .map(|item| encode(&position(item), parameters.fingerprint()));
    if form == Form::Json {
        let page = json!({ "next_cursor": next, "limit": limit });
        body.extend(format!("],\"page\":{page}}}").into_bytes());
    }

    let mut response = Body::from(body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    let link = next.map(|cursor| format!("<{}>; rel=\"next\"", parameters.with_cursor(&cursor)));
    if let Some(link) = link.and_then(|link| HeaderValue::try_from(link).ok()) {
        headers.insert(LINK, link);
    }
    Ok(response)
}

/// All of these, in this form, on one page.
///
/// # Errors
/// 413, if that is more than a page holds; 500, if an item cannot be written as JSON.
pub fn whole_in<T: Serialize>(form: Form, columns: &[&str], items: &[T]) -> Result<Response, Problem> {
    let (mut body, between) = beginning(form, columns);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            body.extend_from_slice(between);
        }
        write(&mut body, form, columns, item)?;
    }
    if form == Form::Json {
        body.extend(b"]}");
    }
    if weigh(&body) > LARGEST_PAGE {
        let detail = "There is more of this than one answer holds: ask for less.";
        return Err(Problem::too_large(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    let mut response = Body::from(body).into_response();
    let form = HeaderValue::from_static(form.content_type());
    response.headers_mut().insert(CONTENT_TYPE, form);
    Ok(response)
}

/// What stands before the items, and what between them.
fn beginning(form: Form, columns: &[&str]) -> (Vec<u8>, &'static [u8]) {
    match form {
        Form::Json => (b"{\"data\":[".to_vec(), b","),
        Form::Ndjson => (Vec::new(), b""),
        Form::Csv => (format!("{}\r\n", columns.join(",")).into_bytes(), b""),
    }
}

/// The `Link` to what comes behind this position.
pub fn link(parameters: &Parameters, position: &Position) -> Option<HeaderValue> {
    let cursor = encode(position, parameters.fingerprint());
    HeaderValue::try_from(format!("<{}>; rel=\"next\"", parameters.with_cursor(&cursor))).ok()
}

fn write<T: Serialize>(body: &mut Vec<u8>, form: Form, columns: &[&str], item: &T) -> Result<(), Problem> {
    match form {
        Form::Json => serde_json::to_writer(body, item).map_err(Problem::internal)?,
        Form::Ndjson => {
            serde_json::to_writer(&mut *body, item).map_err(Problem::internal)?;
            body.push(b'\n');
        }
        Form::Csv => {
            let text = serde_json::to_vec(item).map_err(Problem::internal)?;
            let item: Value = serde_json::from_slice(&text).map_err(Problem::internal)?;
            body.extend_from_slice(csv_line(columns.iter().map(|column| item.get(column))).as_bytes());
        }
    }
    Ok(())
}

/// What a body has weighed so far, as it grows.
#[derive(Default)]
struct Scales {
    weighed: usize,
    weight: usize,
}

impl Scales {
    /// Whether this is more than a page may be. Nothing weighs more than twice its length, so most pages, which are
    /// shorter than half, are never looked through.
    fn too_heavy(&mut self, body: &[u8]) -> bool {
        if body.len() <= LARGEST_PAGE / 2 {
            return false;
        }
        self.weight += weigh(body.get(self.weighed..).unwrap_or_default());
        self.weighed = body.len();
        self.weight > LARGEST_PAGE
    }
}

/// What a text costs in Lambda's answer: the body is a string there, so quotes, backslashes and ends of lines are
/// escaped.
fn weigh(text: &[u8]) -> usize {
    let escaped = text
        .iter()
        .filter(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r'));
    text.len() + escaped.count()
}

#[cfg(test)]
mod tests {
    use axum::extract::Request;
    use chrono::Utc;

    use super::*;

    fn moment(micros: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(micros).unwrap()
    }

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let names = [
            "",
            "web-1",
            "Web 1",
            "größe",
            "\u{1f980}",
            "a\\b",
            "%_'\"",
            &"n".repeat(255),
        ];
        let places = names
            .iter()
            .map(|name| (Key::Name, Place::Name((*name).to_owned())))
            .chain([(Key::Id, Place::Id)])
            .chain([0, 1, -1, 1_767_225_600_123_456].map(|m| (Key::UpdatedAt, Place::UpdatedAt(moment(m)))));
        for (key, place) in places {
            for (id, fingerprint) in [(Uuid::nil(), 0), (Uuid::max(), u64::MAX), (Uuid::new_v4(), 7)] {
                let position = Position {
                    place: place.clone(),
                    id,
                };
                let text = encode(&position, fingerprint);
                assert_eq!(decode(&text, fingerprint, key), Ok(position));
                assert!(decode(&text, fingerprint ^ 1, key).is_err());
                assert!(
                    text.bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
                );
            }
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let good = encode(
            &Position {
                place: Place::Id,
                id: Uuid::nil(),
            },
            7,
        );
        for bad in [
            String::new(),
            "x".to_owned(),
            "!!!!".to_owned(),
            good.split_at(1).1.to_owned(),
            good.split_at(good.len() - 1).0.to_owned(),
            format!("{good}="),
            format!("{good}AAAA"),
            good.replace('A', "+"),
            "A".repeat(2_000),
        ] {
            for key in [Key::Id, Key::UpdatedAt] {
                assert!(decode(&bad, 7, key).is_err(), "{bad}");
            }
        }
        for rest in [&b"a\0b"[..], b"\xff\xfe"] {
            let bytes = [&7_u64.to_be_bytes()[..], Uuid::nil().as_bytes(), rest].concat();
            assert!(decode(&URL_SAFE_NO_PAD.encode(bytes), 7, Key::Name).is_err());
        }
        for micros in [i64::MIN, i64::MAX, -80_000_000_000_000_000] {
            let bytes = [
                &7_u64.to_be_bytes()[..],
                Uuid::nil().as_bytes(),
                &micros.to_be_bytes(),
            ]
            .concat();
            assert!(
                decode(&URL_SAFE_NO_PAD.encode(bytes), 7, Key::UpdatedAt).is_err(),
                "{micros}"
            );
        }
    }

    #[test]
    fn limits_are_plain_numbers() {
        for (text, limit) in [("1", 1), ("100", 100), ("500", 500)] {
            assert_eq!(read_limit(text), Ok(limit));
        }
        for bad in [
            "0",
            "501",
            "-1",
            "+1",
            " 1",
            "1 ",
            "01",
            "1_0",
            "1.0",
            "1e2",
            "٣",
            "99999999999999999999",
        ] {
            assert!(read_limit(bad).is_err(), "{bad}");
        }
    }

    async fn page(items: &[Value], more: bool) -> (Value, Option<String>, usize) {
        let request = Request::builder().uri("/p?limit=9").body(Body::empty()).unwrap();
        let parameters = Parameters::of(&request, &["limit"]);
        let position = |_: &Value| Position {
            place: Place::Id,
            id: Uuid::nil(),
        };
        let response = answer(&parameters, 9, items, more, position).unwrap();
        let link = response
            .headers()
            .get(LINK)
            .map(|link| link.to_str().unwrap().to_owned());
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap();
        (serde_json::from_slice(&bytes).unwrap(), link, weigh(&bytes))
    }

    #[tokio::test]
    async fn the_last_page_has_no_next() {
        for items in [vec![], vec![json!({"a": 1}), json!({"a": 2})]] {
            let (body, link, _) = page(&items, false).await;
            assert_eq!(
                body,
                json!({ "data": items, "page": { "next_cursor": null, "limit": 9 } })
            );
            assert_eq!(link, None);
        }
        let (body, link, _) = page(&[json!(1)], true).await;
        let cursor = body["page"]["next_cursor"].as_str().unwrap();
        assert_eq!(
            link.unwrap(),
            format!("</p?limit=9&cursor={cursor}>; rel=\"next\"")
        );
    }

    #[tokio::test]
    async fn a_page_that_would_be_too_big_is_cut() {
        // Mostly quotes: 1.2 MB that weighs 2 MB in Lambda's answer.
        let heavy = json!(vec![""; 400_000]);
        let (body, link, weight) = page(&[heavy.clone(), heavy.clone(), heavy.clone()], false).await;
        assert_eq!(body["data"].as_array().unwrap().len(), 2);
        assert!(link.is_some() && weight < LARGEST_PAGE + 1_000);
        let (body, link, _) = page(&[heavy.clone(), heavy.clone()], false).await;
        assert_eq!(body["data"].as_array().unwrap().len(), 2);
        assert!(link.is_none());
        // What is not paged is whole, or not sent.
        for form in Form::ALL {
            assert!(whole_in(form, &["a"], &[heavy.clone(), heavy.clone()]).is_ok());
        }
        let refused = whole_in(Form::Json, &[], &[heavy.clone(), heavy.clone(), heavy]);
        assert!(refused.is_err());
    }
}
