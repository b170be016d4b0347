//! Entity tags of single things: the version, and a hash of everything that is shown.
//!
//! `If-None-Match` compares the whole tag, because sightings and strikes move without a new version. `If-Match` is
//! about edits, and an edit is lost only if somebody else has edited: it compares the version alone, so `"7"` and the
//! tag of any answer that showed version 7 are both good. Weak tags match nothing there.

use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use xxhash_rust::xxh3::xxh3_64;

use super::error::Problem;

/// The tag of something at this version that is shown like this.
pub fn of(version: i32, shown: &[u8]) -> String {
    format!("\"{version}-{:016x}\"", xxh3_64(shown))
}

/// The response with its tag; 304 if the caller has exactly this already.
pub fn tagged(headers: &HeaderMap, tag: &str, response: Response) -> Response {
    let known = list(headers, &IF_NONE_MATCH).is_some_and(|tags| {
        tags.iter()
            .any(|known| *known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
    });
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        response
    };
    if let Ok(tag) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// The versions that `If-Match` names; `None`: any, because there is no such header or it says so.
///
/// # Errors
/// 400, if it is not a list of entity tags.
pub fn versions(headers: &HeaderMap) -> Result<Option<Vec<i32>>, Problem> {
    let Some(tags) = list(headers, &IF_MATCH) else {
        return Ok(None);
    };
    if tags == ["*"] {
        return Ok(None);
    }
    let quoted = |tag: &&str| {
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        inner.is_some_and(|inner| !inner.contains('"'))
    };
    if tags.is_empty() || !tags.iter().all(quoted) {
        return Err(Problem::unreadable(
            "If-Match must be *, or entity tags such as \"7\" with commas between them.",
        ));
    }
    let version = |tag: &&str| {
        let inner = tag.strip_prefix('"')?.strip_suffix('"')?;
        inner.split('-').next()?.parse().ok()
    };
    Ok(Some(tags.iter().filter_map(version).collect()))
}

/// The members of a list header; what is not text is no member of any list.
fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<Vec<&'h str>> {
    headers.contains_key(name).then(|| {
        headers
            .get_all(name)
            .iter()
            .flat_map(|value| value.to_str().unwrap_or("?").split(','))
            .map(str::trim)
            .filter(|tag| !tag.is_empty())
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_version_is_read_out_of_any_strong_tag() {
        assert_eq!(versions(&HeaderMap::new()).unwrap(), None);
        for (value, expected) in [
            ("*", None),
            ("\"7\"", Some(vec![7])),
            (&of(7, b"x"), Some(vec![7])),
            ("\"7\", \"9-00\"", Some(vec![7, 9])),
            ("W/\"7\"", Some(vec![])),
            ("\"seven\"", Some(vec![])),
            ("\"99999999999\"", Some(vec![])),
        ] {
            assert_eq!(versions(&headers(IF_MATCH, value)).unwrap(), expected, "{value}");
        }
        for bad in ["7", "\"7", "", ",", "\"7\" \"8\"", "*, \"7\"", "ä"] {
            assert!(versions(&headers(IF_MATCH, bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_what_is_the_same_throughout_is_not_modified() {
        let tag = of(7, b"shown");
        let status = |value: &str| {
            tagged(&headers(IF_NONE_MATCH, value), &tag, ().into_response())
                .status()
                .as_u16()
        };
        for same in [tag.as_str(), "*", &format!("W/{tag}"), &format!("\"a\", {tag}")] {
            assert_eq!(status(same), 304, "{same}");
        }
        for other in ["\"7\"", &of(7, b"shown otherwise"), &of(8, b"shown")] {
            assert_eq!(status(other), 200, "{other}");
        }
    }
}
