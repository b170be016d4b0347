//! Which worker ran when, and what came of it.
//!
//! For operators; the newest run first. What a run saw and changed is in `counts`, kind by kind.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use shared::inventory::read::{Key, Place, Position, Sort};
use shared::runs::read::{self, OUTCOMES, Run, RunFilter};

use crate::api;
use crate::api::access::Operator;
use crate::api::document::{Access, Answer, Operation, Parameter, Takes};
use crate::api::error::Problem;
use crate::api::form::Form;
use crate::api::query::Parameters;
use crate::api::{page, values};

pub(in crate::api) static LIST: Operation = Operation {
    method: "get",
    path: "/api/v1/sync-runs",
    id: "listSyncRuns",
    tag: "mirror",
    summary: "Which worker ran when, and what came of it",
    detail: "",
    access: Access::Operator,
    parameters: &[
        Parameter {
            name: "worker",
            detail: "Of this worker.",
            takes: Takes::Text,
            example: "sync-droplets",
        },
        Parameter {
            name: "outcome",
            detail: "That ended like this.",
            takes: Takes::OneOf(&OUTCOMES),
            example: "failed",
        },
        Parameter {
            name: "since",
            detail: "Begun at or after this moment.",
            takes: Takes::Moment,
            example: "2026-11-14T00:00:00Z",
        },
        Parameter {
            name: "until",
            detail: "Begun before this moment.",
            takes: Takes::Moment,
            example: "2026-11-21T00:00:00Z",
        },
        Parameter::LIMIT,
        Parameter::CURSOR,
    ],
    body: None,
    answer: Answer::List("Run", &[Form::Json]),
    problems: &[],
};

/// `GET /api/v1/sync-runs`
///
/// # Errors
/// 400 for parameters, 406, 503 while the database is away.
pub async fn list(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Response, Problem> {
    const WORDS: &str =
        "must be complete, incomplete, suspect, unreadable, busy, rate_limited, failed or abandoned";
    let order = Sort {
        key: Key::UpdatedAt,
        descending: true,
    };
    let mut parameters = Parameters::of(&request, LIST.parameters);
    let filter = RunFilter {
        worker: parameters.text("worker"),
        outcome: parameters.parsed("outcome", values::word(&OUTCOMES, WORDS)),
        since: parameters.parsed("since", values::moment),
        until: parameters.parsed("until", values::moment),
    };
    let limit = page::limit(&mut parameters);
    let after = page::cursor(&mut parameters, order).and_then(|position| match position.place {
        Place::UpdatedAt(started_at) => Some((started_at, position.id)),
        _ => None,
    });
    parameters.check()?;
    LIST.form(request.headers())?;
    let pool = state.database().await?;
    let (runs, more) = read::runs(&pool, operator.scope(), &filter, after, limit).await?;
    page::answer(&parameters, limit, &runs, more, |run: &Run| Position {
        place: Place::UpdatedAt(run.started_at),
        id: run.id,
    })
}
