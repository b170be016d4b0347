//! Every route, on one page.
//!
//! Built once per sandbox, and by tests, which ask it directly. Paths match exactly: no trailing slashes, no dots
//! resolved, no prefixes, so whatever decides by path decides by the matched route. Layers, from the outside in:
//! the common part of answers, CORS (from configuration, by tower-http alone), panics, size of bodies.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, LINK, ORIGIN, RETRY_AFTER};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;

use super::answer::{X_REQUEST_ID, answer};
use super::error::Problem;
use super::routes::{billing, health, inventory};
use super::state::State;

/// Nobody sends us more than a few lines.
const LARGEST_BODY: u64 = 16 * 1024;

/// The API.
pub fn router(state: Arc<State>) -> Router {
    let cors = cors(state.origins());
    Router::new()
        .route("/api/health", get(health::alive))
        .route("/api/health/ready", get(health::ready))
        .route("/api/v1/inventory", get(inventory::list))
        .route("/api/v1/billing/balance", get(billing::balance))
        .route("/api/v1/billing/balance/history", get(billing::balances))
        .route("/api/v1/billing/invoices", get(billing::invoices))
        .route("/api/v1/billing/invoices/{uuid}", get(billing::invoice))
        .route("/api/v1/billing/invoices/{uuid}/ingest", post(billing::ingest))
        .route(
            "/api/v1/billing/invoices/{uuid}/match",
            post(billing::match_again),
        )
        .route("/api/v1/billing/cost-lines", get(billing::cost_lines))
        .route("/api/v1/billing/costs", get(billing::costs))
        .route("/api/v1/billing/focus", get(billing::focus))
        .fallback(|| async { Problem::of_status(StatusCode::NOT_FOUND) })
        .method_not_allowed_fallback(|| async { Problem::of_status(StatusCode::METHOD_NOT_ALLOWED) })
        .layer(from_fn(refuse_large_bodies))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(cors)
        .layer(from_fn(answer))
        .with_state(state)
}

/// Exact origins only; credentials are bearer tokens, so cookies are never allowed.
fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([LINK, RETRY_AFTER, X_REQUEST_ID])
        .max_age(Duration::from_secs(600))
        .vary([AUTHORIZATION, ORIGIN])
}

async fn refuse_large_bodies(request: Request, next: Next) -> Response {
    if request.body().size_hint().lower() > LARGEST_BODY {
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
