//! What each fault does.
//!
//! Called by `api` at five places: instead of an answer, on the rows of a listing, on a page, on the
//! finished answer, and on the world after it. A kind is handled in exactly one of them. It refuses to be
//! particular about collections: what works for droplets works for whatever is listed later.

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::body::Bytes;
use rand::seq::SliceRandom as _;
use serde_json::{Map, Value, json};

use crate::{
    answer::{Answer, Delivery},
    call::Call,
    chance,
    collection::Item,
    faults::FaultKind as Kind,
    page::{Page, Shape},
    problem::Problem,
    world::{PROJECTS, World},
};

/// Answers that do not depend on what was asked for. The request is not carried out.
pub fn instead(kind: &Kind, call: &Call, request_id: &str, now_ms: u64) -> Option<Answer> {
    let problem = |status, id, message: &str| Answer::problem(&Problem::new(status, id, message), request_id);
    let gateway = |mut answer: Answer| {
        answer.gateway = true;
        answer
    };
    let undelivered = |delivery| Answer {
        delivery,
        ..Answer::typed(0, "text/plain", "")
    };
    Some(match kind {
        Kind::Burst429 { retry_after } => {
            problem(429, "too_many_requests", "Slow down: too much in a minute.")
                .header("retry-after", retry_after)
                .header("ratelimit-remaining", 0)
        }
        Kind::Hourly429 { reset_in } => problem(429, "too_many_requests", "Slow down: too much in an hour.")
            .header("ratelimit-remaining", 0)
            .header("ratelimit-reset", now_ms.div_ceil(1000) + reset_in),
        Kind::Status500 => problem(500, "server_error", "Something broke on our side."),
        Kind::Status502Html => gateway(Answer::html(502)),
        Kind::Status503 => problem(503, "service_unavailable", "Down for a moment."),
        Kind::Status504 => gateway(Answer::typed(504, "text/plain", "upstream request timeout")),
        Kind::Unauthorized401 => Answer::unauthorized(),
        Kind::NotFound404 => Answer::problem(&Problem::not_found(), request_id),
        Kind::LostScope403 => Answer::problem(&Problem::forbidden(), request_id),
        Kind::Redirect { host } => Answer::typed(302, "text/html", "").header(
            "location",
            format!("{}{}?{}", host.trim_end_matches('/'), call.path, call.raw_query),
        ),
        Kind::Hang => undelivered(Delivery::Never),
        Kind::Reset => undelivered(Delivery::Reset),
        Kind::Html200 => Answer::html(200),
        Kind::EmptyBody200 => Answer::rendered(200, ""),
        Kind::MissingKey => problem(200, "server_error", "An error that calls itself a success."),
        _ => return None,
    })
}

/// The rows of a listing before it is cut into pages.
pub fn rows<'a>(kind: &Kind, rows: Cow<'a, [Arc<Item>]>, request: u64) -> Cow<'a, [Arc<Item>]> {
    match kind {
        Kind::EmptyList => Cow::Owned(Vec::new()),
        Kind::LostScopeRows { permille } => {
            let kept = |item: &&Arc<Item>| chance::word(1, &item.id, 0) % 1000 >= *permille;
            let mut kept: Vec<_> = rows.iter().filter(kept).cloned().collect();
            // At least one goes, or the fault would not be one.
            if kept.len() == rows.len() {
                kept.pop();
            }
            Cow::Owned(kept)
        }
        Kind::ShuffledOrder => {
            let mut rows = rows.into_owned();
            rows.shuffle(&mut chance::generator(request));
            Cow::Owned(rows)
        }
        _ => rows,
    }
}

/// The page whose rows are shown.
pub fn shown_page(kind: &Kind, page: u64) -> u64 {
    if *kind == Kind::RepeatedPage {
        page.saturating_sub(1).max(1)
    } else {
        page
    }
}

/// Where a page stands in its listing.
pub struct Place<'a> {
    pub page: u64,
    pub total: u64,
    pub id_field: &'a str,
}

/// The page, before it is rendered.
pub fn page(kind: &Kind, page: &mut Page, place: &Place<'_>, call: &Call) {
    let total = |page: &mut Page, total: Value| {
        if page.total.is_some() {
            page.total = Some(total);
        }
    };
    let next = |page: &mut Page, url: Option<String>| {
        if let Some(links) = &mut page.links {
            links.next = url;
        }
    };
    match kind {
        Kind::NullList => page.shape = Shape::Null,
        Kind::NotAnArray => page.shape = Shape::Object,
        Kind::ItemWithoutId => {
            if let Some(row) = page.rows.last_mut() {
                let mut item: Map<String, Value> = serde_json::from_slice(row).unwrap_or_default();
                item.remove(place.id_field);
                *row = Bytes::from(Value::Object(item).to_string());
            }
        }
        Kind::ItemNotObject => {
            if let Some(row) = page.rows.last_mut() {
                *row = Bytes::from_static(b"\"unavailable\"");
            }
        }
        Kind::MissingMeta => page.total = None,
        Kind::TotalAsText => total(page, Value::from(place.total.to_string())),
        Kind::LyingTotalHigh { by } => total(page, Value::from(place.total + by)),
        Kind::LyingTotalLow { by } => total(page, Value::from(place.total.saturating_sub(*by))),
        Kind::ChangingTotal => total(page, Value::from(place.total + place.page)),
        Kind::RepeatedNext => next(page, Some(call.page_url(place.page))),
        Kind::MissingNext => next(page, None),
        Kind::ForeignNext { host } => {
            let here = format!("http://{}", call.host);
            let there = call
                .page_url(place.page + 1)
                .replacen(&here, host.trim_end_matches('/'), 1);
            next(page, Some(there));
        }
        Kind::DuplicateItem => {
            if let Some(first) = page.rows.first().cloned() {
                if page.rows.len() > 1 {
                    page.rows.pop();
                }
                page.rows.push(first);
            }
        }
        Kind::ShortPage { missing } => {
            let keep = page
                .rows
                .len()
                .saturating_sub(usize::try_from(*missing).unwrap_or(usize::MAX));
            page.rows.truncate(keep);
        }
        _ => {}
    }
}

/// The finished answer, and how it gets there.
pub fn finished(kind: &Kind, answer: &mut Answer) {
    let half = answer.body.len() / 2;
    match kind {
        Kind::Slow { ms } => answer.delay += Duration::from_millis(*ms),
        Kind::Trickle { pieces, pause_ms } => {
            let pieces = usize::try_from(*pieces).unwrap_or(1).max(1);
            answer.delivery = Delivery::Trickle {
                pieces,
                pause: Duration::from_millis(*pause_ms),
            };
        }
        Kind::LostAnswer => answer.delivery = Delivery::Reset,
        Kind::TruncatedBody => answer.delivery = Delivery::Cut { after: half },
        Kind::TruncatedJson => answer.body.truncate(half),
        Kind::TruncatedGzip => {
            answer.body = broken_gzip(&answer.body);
            answer.set_header("content-encoding", "gzip");
        }
        Kind::InvalidUtf8 => {
            let mut bytes = answer.body.to_vec();
            // Inside the first string after the middle, so that the bytes around it are still JSON.
            let quote = bytes.iter().skip(half).position(|byte| byte.is_ascii_lowercase());
            if let Some(byte) = quote.and_then(|at| bytes.get_mut(half + at)) {
                *byte = 0xff;
            }
            answer.body = Bytes::from(bytes);
        }
        Kind::WrongContentType => answer.set_header("content-type", "text/html"),
        Kind::OversizedBody { bytes, chunked } => {
            if let Some(rest) = answer.body.strip_prefix(b"{") {
                let mut body = b"{\"padding\":\"".to_vec();
                body.resize(body.len() + usize::try_from(*bytes).unwrap_or_default(), b'x');
                body.extend_from_slice(b"\",");
                body.extend_from_slice(rest);
                answer.body = Bytes::from(body);
            }
            if *chunked {
                answer.delivery = Delivery::Chunked;
            }
        }
        _ => {}
    }
}

/// A gzip header and a stored block that promises more than there is.
fn broken_gzip(body: &[u8]) -> Bytes {
    let stored = body.get(..body.len().min(60_000)).unwrap_or_default();
    let promised = u16::try_from(stored.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    bytes.extend_from_slice(&promised.to_le_bytes());
    bytes.extend_from_slice(&(!promised).to_le_bytes());
    bytes.extend_from_slice(stored.get(..stored.len() / 2).unwrap_or_default());
    Bytes::from(bytes)
}

/// What a listing lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    Collection(String),
    Members(String),
}

/// What happens to the world once the answer is made.
pub fn afterwards(kind: &Kind, world: &mut World, listed: &Listed) {
    // A shift that can not be made (nothing left to destroy) is no shift.
    let _ = match (kind, listed) {
        (Kind::ShiftingPagesDrop, Listed::Collection(name)) => {
            let home = world.default_project().to_owned();
            let first = world
                .collection(name)
                .ok()
                .and_then(|c| c.all().find(|item| item.id != home).cloned());
            first.map_or(Ok(()), |item| world.destroy(name, &item.id, false))
        }
        (Kind::ShiftingPagesDrop, Listed::Members(project)) => {
            let first = world.membership().of(project).map(|(urn, _)| urn.clone()).next();
            let item = first.as_deref().and_then(|urn| {
                let (owner, id) = world.owner_of(urn)?;
                Some((owner.kind.name.clone(), id.to_owned()))
            });
            item.map_or(Ok(()), |(name, id)| world.destroy(&name, &id, false))
        }
        (Kind::ShiftingPagesInsert, Listed::Collection(name)) => {
            let project = json!({"name": format!("Shifted {}", world.items(PROJECTS).len()), "front": true});
            let plain = json!({"name": "shifted-in", "front": true});
            world
                .create(name, if name == PROJECTS { project } else { plain })
                .map(drop)
        }
        (Kind::ShiftingPagesInsert, Listed::Members(project)) => {
            let spec = json!({"name": "shifted-in", "front": true, "project": project});
            world.create("droplets", spec).map(drop)
        }
        _ => Ok(()),
    };
}
