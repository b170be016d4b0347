//! What cannot be seen: every kind's last listing and what it was worth, and the release of a suspicion.
//!
//! For operators. A release is for what is missing now; it deletes nothing by itself, and strikes and
//! proofs go on as ever.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use chrono::TimeDelta;
use serde_json::{Value, json};
use shared::database;
use shared::inventory::edit::{self, Edit};
use shared::inventory::read::listings;

use crate::api;
use crate::api::access::Operator;
use crate::api::body::Members;
use crate::api::document::{Access, Answer, Operation};
use crate::api::error::Problem;
use crate::api::form::Form;
use crate::api::query::Parameters;
use crate::api::values;

/// A month: whoever needs longer has another problem.
const LONGEST_RELEASE: i64 = 43_200;

pub(in crate::api) static LIST: Operation = Operation {
    method: "get",
    path: "/api/v1/listings",
    id: "listListings",
    tag: "mirror",
    summary: "How well each kind is known",
    detail: "Every kind, those never listed included, on one page.",
    access: Access::Operator,
    parameters: &[],
    body: None,
    answer: Answer::List("Listing", &[Form::Json]),
    problems: &[],
};

/// `GET /api/v1/listings`
///
/// # Errors
/// 406, 503 while the database is away.
pub async fn list(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    Parameters::of(&request, LIST.parameters).check()?;
    LIST.form(request.headers())?;
    let pool = state.database().await?;
    let found = listings::listings(&pool, operator.scope()).await?;
    // A few dozen: one page, whatever there is.
    let limit = found.len().clamp(1, 500);
    Ok(Json(
        json!({ "data": found, "page": { "next_cursor": null, "limit": limit } }),
    ))
}

pub(in crate::api) static RELEASE: Operation = Operation {
    method: "post",
    path: "/api/v1/listings/{kind}/release",
    id: "releaseListing",
    tag: "mirror",
    summary: "Say that what is missing is really gone",
    detail: "For what is missing now, until it has its tombstone or is back: what goes missing later is judged by itself.",
    access: Access::Operator,
    parameters: &[],
    body: Some(("Releasing", false)),
    answer: Answer::One("Listing"),
    problems: &[409],
};

/// `POST /api/v1/listings/{kind}/release`
///
/// # Errors
/// 404, if the kind was never listed; 409, if it is not suspect; 422 for members.
pub async fn release(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    Path(kind): Path<String>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    Parameters::of(&request, RELEASE.parameters).check()?;
    let mut members = Members::of(request, &["reason", "for_minutes"]).await?;
    let (reason, minutes) = (
        members.reason("reason"),
        members.number("for_minutes", 1..=LONGEST_RELEASE),
    );
    members.check()?;
    let nothing = || Problem::not_found("There is no such kind, or it was never listed.");
    let kind = values::kind(&kind).map_err(|_| nothing())?;
    let pool = state.database().await?;
    let now = database::now(&pool).await?;
    let edit = Edit {
        by: operator.subject(),
        reason: reason.as_deref().unwrap_or_default(),
        versions: None,
        now,
    };
    let until = minutes.map(|minutes| now + TimeDelta::minutes(minutes));
    edit::release(&pool, &kind, until, reason.as_deref(), &edit).await?;
    let found = listings::listings(&pool, operator.scope()).await?;
    let listing = found.into_iter().find(|listing| listing.kind == kind);
    Ok(Json(json!({ "data": listing.ok_or_else(nothing)? })))
}
