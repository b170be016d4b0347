//! API Gateway's events (payload 2.0) in, its answers out, whatever the event.
//!
//! Runs around the router, once per invocation. We read the event ourselves, because the usual library ends the
//! process on events that anybody can send (raw spaces in a query, odd Host headers, bad base64): what cannot
//! be read is a 400, like everything else with a problem document. Host and X-Forwarded-* are not looked at.
//!
//! The path is taken as it is and matched as it is: dots and double slashes are not resolved, characters that
//! have no place in a URL are encoded and so match nothing. A stage other than `$default` stands before the
//! path and is taken off.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tower::ServiceExt as _;

use super::answer::{Asked, RequestId, finish};
use super::error::Problem;

/// API Gateway lets 10 KiB through for request line and headers together; these are for everybody else.
const LONGEST_URI: usize = 8 * 1024;
const LARGEST_HEADERS: usize = 16 * 1024;

/// A stage's prefix that was taken off the path, so that links can put it back.
#[derive(Clone, Debug)]
pub(super) struct Stage(pub(super) String);

/// The event, as far as we need it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    raw_path: String,
    raw_query_string: Option<String>,
    headers: Option<BTreeMap<String, Option<String>>>,
    request_context: Context,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    http: Http,
    stage: Option<String>,
    request_id: Option<String>,
}

#[derive(Deserialize)]
struct Http {
    method: String,
}

/// The answer, in the form that API Gateway expects.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The HTTP status.
    pub status_code: u16,
    /// Each once; repeated ones joined by commas.
    pub headers: BTreeMap<String, String>,
    /// Text, or base64.
    pub body: String,
    /// Which of the two.
    pub is_base64_encoded: bool,
    /// None are ever set. The member is there because emulators of the gateway insist on it.
    pub cookies: [String; 0],
}

/// Answers one event. `lambda_id` names the request where the event does not.
pub async fn handle(router: Router, event: &str, lambda_id: &str) -> Answer {
    let (id, request) = read(event, lambda_id);
    let response = match request {
        Ok(mut request) => {
            request.extensions_mut().insert(id);
            match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
        Err(problem) => finish(problem.into_response(), &Asked::unreadable(id), None),
    };
    write(response).await
}

fn read(event: &str, lambda_id: &str) -> (RequestId, Result<Request, Problem>) {
    match serde_json::from_str::<Event>(event) {
        Ok(event) => {
            let id = [event.request_context.request_id.as_deref(), Some(lambda_id)];
            (RequestId::first_of(id), request(event))
        }
        Err(_) => {
            let detail = "This is not an HTTP request in API Gateway's format, version 2.0.";
            (
                RequestId::first_of([None, Some(lambda_id)]),
                Err(Problem::unreadable(detail)),
            )
        }
    }
}

fn request(event: Event) -> Result<Request, Problem> {
    let (stage, path) = split_stage(&event.raw_path, event.request_context.stage.as_deref());
    let uri = uri(path, event.raw_query_string.as_deref().unwrap_or_default())?;
    let method = Method::try_from(event.request_context.http.method.as_str())
        .map_err(|_| Problem::unreadable("The method is not one word."))?;
    let body = match (event.body, event.is_base64_encoded) {
        (None, _) => Vec::new(),
        (Some(text), Some(true)) => STANDARD
            .decode(text)
            .map_err(|_| Problem::unreadable("The body is not the base64 it claims to be."))?,
        (Some(text), _) => text.into_bytes(),
    };
    let mut request = Request::new(Body::from(body));
    *request.uri_mut() = uri;
    *request.method_mut() = method;
    *request.headers_mut() = headers(event.headers.unwrap_or_default())?;
    request.extensions_mut().insert(Stage(stage.to_owned()));
    Ok(request)
}

/// `/prod/api/health` of the stage `prod` is `/prod` and `/api/health`.
fn split_stage<'a>(path: &'a str, stage: Option<&str>) -> (&'a str, &'a str) {
    let stage = stage.filter(|stage| !stage.is_empty() && *stage != "$default");
    let rest = stage.and_then(|stage| path.strip_prefix('/')?.strip_prefix(stage));
    match rest.filter(|rest| rest.is_empty() || rest.starts_with('/')) {
        Some(rest) => (path.get(..path.len() - rest.len()).unwrap_or_default(), rest),
        None => ("", path),
    }
}

fn uri(path: &str, query: &str) -> Result<Uri, Problem> {
    if path.len() + query.len() > LONGEST_URI {
        return Err(Problem::too_large(
            StatusCode::URI_TOO_LONG,
            "The URL may have 8 KiB at most.",
        ));
    }
    let mut text = if path.starts_with('/') {
        String::new()
    } else {
        "/".to_owned()
    };
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    if !query.is_empty() {
        if !query
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte))
        {
            return Err(Problem::unreadable(
                "The query has characters that must be percent-encoded.",
            ));
        }
        text.push('?');
        text.push_str(query);
    }
    let text = PathAndQuery::try_from(text).map_err(|_| Problem::unreadable("The URL cannot be read."))?;
    Ok(Uri::from(text))
}

fn headers(given: BTreeMap<String, Option<String>>) -> Result<HeaderMap, Problem> {
    let size: usize = given
        .iter()
        .map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len))
        .sum();
    if size > LARGEST_HEADERS {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(Problem::too_large(status, "The headers may have 16 KiB at most."));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let unreadable = || Problem::unreadable("A header has a name or a value that is not HTTP.");
        let Some(value) = value else { continue };
        let name = HeaderName::try_from(name).map_err(|_| unreadable())?;
        let value = HeaderValue::try_from(value).map_err(|_| unreadable())?;
        headers.try_append(name, value).map_err(|_| unreadable())?;
    }
    Ok(headers)
}

async fn write(response: Response) -> Answer {
    let (parts, body) = response.into_parts();
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &parts.headers {
        let Ok(value) = value.to_str() else { continue };
        headers
            .entry(name.as_str().to_owned())
            .and_modify(|joined| *joined = format!("{joined}, {value}"))
            .or_insert_with(|| value.to_owned());
    }
    // Bodies are made here, in memory: reading one cannot fail.
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let (body, is_base64_encoded) = match String::from_utf8(bytes.into()) {
        Ok(text) => (text, false),
        Err(bytes) => (STANDARD.encode(bytes.as_bytes()), true),
    };
    Answer {
        status_code: parts.status.as_u16(),
        headers,
        body,
        is_base64_encoded,
        cookies: [],
    }
}

#[cfg(test)]
mod tests;
