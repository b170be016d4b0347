//! Every route, on one page, each with its description.
//!
//! Built once per sandbox, and by tests, which ask it directly. Paths match exactly: no trailing slashes, no dots
//! resolved, no prefixes, so whatever decides by path decides by the matched route. Layers, from the outside in:
//! the common part of answers, CORS (from configuration, by tower-http alone), panics, size of bodies, gzip.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{self, Request};
use axum::http::header::{
    AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LINK, ORIGIN, RETRY_AFTER,
};
use axum::http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, Version};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, patch, post};
use chrono::Utc;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{Predicate, SizeAbove};
use tower_http::cors::CorsLayer;

use super::answer::{X_REQUEST_ID, answer};
use super::body;
use super::document::Operation;
use super::error::Problem;
use super::routes::billing::{self, costs};
use super::routes::{description, events, health, inventory, listings, projects, runs};
use super::state::State;

/// One line of the page: what it is, and who answers.
type Route = (&'static Operation, MethodRouter<Arc<State>>);

fn routes() -> Vec<Route> {
    vec![
        (&health::ALIVE, get(health::alive)),
        (&health::READY, get(health::ready)),
        (&description::OPENAPI, get(description::openapi)),
        (&description::DOCS, get(description::docs)),
        (&inventory::LIST, get(inventory::list)),
        (&inventory::SUMMARY, get(inventory::summarise)),
        (&inventory::ONE, get(inventory::get)),
        (&inventory::ATTRIBUTE, patch(inventory::attribute)),
        (&events::OF_ONE, get(events::of_one)),
        (&events::LIST, get(events::list)),
        (&projects::LIST, get(projects::list)),
        (&projects::CLASSIFY, patch(projects::classify)),
        (&runs::LIST, get(runs::list)),
        (&listings::LIST, get(listings::list)),
        (&listings::RELEASE, post(listings::release)),
        (&billing::BALANCE, get(billing::balance)),
        (&billing::BALANCES, get(billing::balances)),
        (&billing::INVOICES, get(billing::invoices)),
        (&billing::INVOICE, get(billing::invoice)),
        (&billing::INGEST, post(billing::ingest)),
        (&billing::MATCH, post(billing::match_again)),
        (&costs::LINES, get(costs::cost_lines)),
        (&costs::COSTS, get(costs::costs)),
        (&costs::FOCUS, get(costs::focus)),
    ]
}

/// What the API does, route by route.
pub fn operations() -> Vec<&'static Operation> {
    routes().into_iter().map(|(operation, _)| operation).collect()
}

/// The API.
pub fn router(state: Arc<State>) -> Router {
    let cors = cors(state.origins());
    let page = routes()
        .into_iter()
        .fold(Router::new(), |page, (operation, handler)| {
            page.route(operation.path, handler)
        });
    page.fallback(|| async { Problem::of_status(StatusCode::NOT_FOUND) })
        .method_not_allowed_fallback(|| async { Problem::of_status(StatusCode::METHOD_NOT_ALLOWED) })
        .layer(
            CompressionLayer::new()
                .gzip(true)
                .compress_when(SizeAbove::new(1_024).and(untagged)),
        )
        .layer(from_fn_with_state(Arc::clone(&state), doubt))
        .layer(from_fn(refuse_large_bodies))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(cors)
        .layer(from_fn(answer))
        .with_state(state)
}

/// A strong entity tag is of the bytes as they are; everything else is made smaller from 1 KiB on.
fn untagged(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    !headers.contains_key(ETAG)
}

/// Exact origins only; credentials are bearer tokens, so cookies are never allowed.
fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::PATCH, Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH])
        .expose_headers([ETAG, LINK, RETRY_AFTER, X_REQUEST_ID])
        .max_age(Duration::from_secs(600))
        .vary([AUTHORIZATION, ORIGIN])
}

/// Who could not be served because something is away makes us look whether the way there has changed.
#[expect(
    clippy::disallowed_methods,
    reason = "only spaces out how often a secret is read again"
)]
async fn doubt(extract::State(state): extract::State<Arc<State>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        state.doubt_the_database(Utc::now()).await;
    }
    response
}

async fn refuse_large_bodies(request: Request, next: Next) -> Response {
    if request.body().size_hint().lower() > body::LARGEST as u64 {
        let detail = "The body may have 16 KiB at most.";
        return Problem::too_large(StatusCode::PAYLOAD_TOO_LARGE, detail).into_response();
    }
    next.run(request).await
}

/// The panic hook has logged where it happened; its message may quote data and goes nowhere.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    Problem::internal("a handler panicked").into_response()
}

#[cfg(test)]
mod tests;
