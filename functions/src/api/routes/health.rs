//! Is it alive, and can it work?
//!
//! `alive` touches nothing: it tells a dead function from a dead database. `ready` asks the database and its schema
//! and takes at most a second, whatever they do. Neither says what exactly is wrong: both are public.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::api;
use crate::api::document::{Access, Answer, Operation};
use crate::api::error::Problem;

/// How long readiness may take to find out.
const WITHIN: Duration = Duration::from_secs(1);

pub(in crate::api) static ALIVE: Operation = Operation {
    method: "get",
    path: "/api/health",
    id: "getHealth",
    tag: "service",
    summary: "Is it alive",
    detail: "Touches nothing: neither database nor secrets.",
    access: Access::Public,
    parameters: &[],
    body: None,
    answer: Answer::Document("Health"),
    problems: &[],
};

/// `GET /api/health`
pub async fn alive() -> Json<Value> {
    Json(json!({ "status": "ok", "service": "arcadia-cloud", "version": env!("CARGO_PKG_VERSION") }))
}

pub(in crate::api) static READY: Operation = Operation {
    method: "get",
    path: "/api/health/ready",
    id: "getReadiness",
    tag: "service",
    summary: "Can it work",
    detail: "Asks the database, for a second at most.",
    access: Access::Public,
    parameters: &[],
    body: None,
    answer: Answer::Document("Readiness"),
    problems: &[503],
};

/// `GET /api/health/ready`
///
/// # Errors
/// 503, if the database does not answer in time or its schema is too old.
pub async fn ready(State(state): State<Arc<api::State>>) -> Result<Json<Value>, Problem> {
    match tokio::time::timeout(WITHIN, state.check_database()).await {
        Ok(Ok(())) => Ok(Json(json!({ "status": "ready" }))),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Problem::unavailable("the database did not answer within 1 s")),
    }
}
