//! The outermost layer: what every answer has in common, and one log line per request.
//!
//! Each answer carries the request id, is never cached and never sniffed. An error becomes a problem document,
//! whoever made it: a handler, an extractor, the router or a layer. The log line says who asked for what and
//! what came of it; it refuses to mention the token, the query or the body.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use uuid::Uuid;

use super::access::Trail;
use super::error::Problem;
use crate::metrics;

/// The header that names a request.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// API Gateway's name for a request, or Lambda's: what a caller can quote and a log can be searched for.
#[derive(Clone, Debug)]
pub(super) struct RequestId(String);

impl RequestId {
    /// Takes the first id that is safe in a header, a URN and a log; makes one up if there is none.
    pub(super) fn first_of(candidates: [Option<&str>; 2]) -> Self {
        let safe = |id: &&str| {
            (1..=64).contains(&id.len())
                && id
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._=-".contains(&byte))
        };
        let id = candidates.into_iter().flatten().find(safe);
        Self(id.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned))
    }
}

/// What the log line says of a request before it is answered.
pub(super) struct Asked {
    id: RequestId,
    method: Method,
    route: String,
    begun: Instant,
}

impl Asked {
    pub(super) fn unreadable(id: RequestId) -> Self {
        Self {
            id,
            method: Method::GET,
            route: "unreadable".to_owned(),
            begun: Instant::now(),
        }
    }
}

/// The layer.
pub(super) async fn answer(mut request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    let asked = Asked {
        id: extensions
            .get()
            .cloned()
            .unwrap_or_else(|| RequestId::first_of([None, None])),
        method: request.method().clone(),
        route: extensions.get().map_or("none", MatchedPath::as_str).to_owned(),
        begun: Instant::now(),
    };
    let trail = Trail::default();
    request.extensions_mut().insert(trail.clone());
    let response = next.run(request).await;
    finish(response, &asked, trail.0.get().map(String::as_str))
}

/// Completes a response and logs it.
pub(super) fn finish(mut response: Response, asked: &Asked, subject: Option<&str>) -> Response {
    let status = response.status();
    let mut problem = response.extensions_mut().remove::<Arc<Problem>>();
    if problem.is_none() && (status.is_client_error() || status.is_server_error()) {
        problem = Some(Arc::new(Problem::of_status(status)));
    }
    if let Some(problem) = &problem {
        *response.body_mut() = Body::from(problem.document(&asked.id.0));
        response.headers_mut().remove(CONTENT_LENGTH);
        response.headers_mut().remove(CONTENT_ENCODING);
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    }
    let headers = response.headers_mut();
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(id) = HeaderValue::from_str(&asked.id.0) {
        headers.insert(X_REQUEST_ID, id);
    }
    log(
        asked,
        status.as_u16(),
        subject,
        problem.as_deref().and_then(Problem::cause),
    );
    response
}

fn log(asked: &Asked, status: u16, subject: Option<&str>, cause: Option<&str>) {
    let Asked {
        id: RequestId(request_id),
        method,
        route,
        begun,
    } = asked;
    // A method may be any word: long ones are somebody's experiment.
    let method: String = method.as_str().chars().take(16).collect();
    let ms = begun.elapsed().as_micros() as f64 / 1_000.0;
    let cold_start = metrics::is_cold_start();
    if status >= 500 {
        tracing::error!(
            request_id, cold_start, method, route, status, ms, subject, cause, "request"
        );
    } else {
        tracing::info!(
            request_id, cold_start, method, route, status, ms, subject, cause, "request"
        );
    }
    if status == 401 {
        metrics::rejected(request_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_safe_request_ids_are_taken_over() {
        let id = |candidates| RequestId::first_of(candidates).0;
        assert_eq!(id([Some("JKJaXmPLvHcESHA="), Some("b")]), "JKJaXmPLvHcESHA=");
        assert_eq!(id([Some("a\nb"), Some("b")]), "b");
        for bad in ["", "a b", "a\"b", "ä", &"x".repeat(65)] {
            assert_eq!(id([Some(bad), None]).len(), 36, "{bad:?}");
        }
    }
}
