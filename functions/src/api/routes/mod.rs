//! The handlers, by noun, each beside its description. Which path leads to which is on the router's one page.

pub mod billing;
pub mod description;
pub mod events;
pub mod health;
pub mod inventory;
pub mod listings;
pub mod projects;
pub mod runs;

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use shared::inventory::edit::Edited;

use super::error::Problem;
use super::etag;

/// One thing with its entity tag, or 304.
fn one<T: Serialize>(headers: &HeaderMap, version: i32, item: &T) -> Result<Response, Problem> {
    let shown = serde_json::to_vec(item).map_err(Problem::internal)?;
    let tag = etag::of(version, &shown);
    let body = [b"{\"data\":", shown.as_slice(), b"}"].concat();
    let json = HeaderValue::from_static("application/json");
    let response = ([(header::CONTENT_TYPE, json)], body).into_response();
    Ok(etag::tagged(headers, &tag, response))
}

/// What an edit came to, with the new entity tag of what was edited.
fn edited<T: Serialize>(version: i32, done: &Edited<T>) -> Result<Response, Problem> {
    let shown = serde_json::to_vec(&done.row).map_err(Problem::internal)?;
    let body = json!({ "data": done.row, "event": done.event, "moved": done.moved });
    Ok(etag::tagged(
        &HeaderMap::new(),
        &etag::of(version, &shown),
        Json(body).into_response(),
    ))
}
