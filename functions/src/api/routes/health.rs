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
use crate::api::error::Problem;

/// How long readiness may take to find out.
const WITHIN: Duration = Duration::from_secs(1);

/// `GET /api/health`
pub async fn alive() -> Json<Value> {
    Json(json!({ "status": "ok", "service": "arcadia-cloud", "version": env!("CARGO_PKG_VERSION") }))
}

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
