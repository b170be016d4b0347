//! What has happened: to one resource, and to everything.
//!
//! An operator reads the audit trail as it is; a tenant what concerns the time in which it owned a thing, without
//! anybody else's words. Pages follow ids, which follow the order in which things were written.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use shared::inventory::read::Sort;
use shared::inventory::read::history::{self, EVENT_TYPES, EventFilter};

use crate::api;
use crate::api::access::Caller;
use crate::api::document::{Access, Answer, Operation, Parameter, Takes};
use crate::api::error::Problem;
use crate::api::form::Form;
use crate::api::query::Parameters;
use crate::api::{page, values};

const TYPE: Parameter = Parameter {
    name: "type",
    detail: "Of this type.",
    takes: Takes::OneOf(&EVENT_TYPES),
    example: "deleted",
};
const SINCE: Parameter = Parameter {
    name: "since",
    detail: "At or after this moment.",
    takes: Takes::Moment,
    example: "2026-11-14T00:00:00Z",
};
const UNTIL: Parameter = Parameter {
    name: "until",
    detail: "Before this moment.",
    takes: Takes::Moment,
    example: "2026-11-21T00:00:00Z",
};
const SORT: Parameter = Parameter {
    name: "sort",
    detail: "The oldest first, or (-id) the newest.",
    takes: Takes::OneOf(&["id", "-id"]),
    example: "-id",
};

/// The columns of CSV.
const COLUMNS: [&str; 14] = [
    "id",
    "resource_id",
    "project_id",
    "kind",
    "provider_id",
    "version",
    "event_type",
    "changes",
    "tenant_id",
    "left_tenant_id",
    "actor",
    "reason",
    "sync_run_id",
    "occurred_at",
];

pub(in crate::api) static LIST: Operation = Operation {
    method: "get",
    path: "/api/v1/events",
    id: "listEvents",
    tag: "events",
    summary: "What has happened",
    detail: "A tenant is told of the time in which it owned a resource; that it leaves is an event of its own.",
    access: Access::Caller,
    parameters: &[
        Parameter {
            name: "kind",
            detail: "To things of this kind; `project` for projects.",
            takes: Takes::Kind,
            example: "droplet",
        },
        TYPE,
        Parameter {
            name: "resource_id",
            detail: "To this resource.",
            takes: Takes::Id,
            example: "0197e7a0-5b1c-7c3e-9a51-2f7d0f4f8a10",
        },
        Parameter {
            name: "project_id",
            detail: "To this project itself.",
            takes: Takes::Id,
            example: "0197e79f-11d0-7a4b-8d62-90c1d64b7e55",
        },
        Parameter {
            name: "tenant_id",
            detail: "To what this tenant owned, or as it left. A tenant may name itself only.",
            takes: Takes::Text,
            example: "larkspur-bakery",
        },
        SINCE,
        UNTIL,
        SORT,
        Parameter::LIMIT,
        Parameter::CURSOR,
    ],
    body: None,
    answer: Answer::List("Event", &Form::ALL),
    problems: &[],
};

pub(in crate::api) static OF_ONE: Operation = Operation {
    method: "get",
    path: "/api/v1/inventory/{id}/events",
    id: "listResourceEvents",
    tag: "events",
    summary: "What has happened to one resource",
    detail: "",
    access: Access::Caller,
    parameters: &[TYPE, SINCE, UNTIL, SORT, Parameter::LIMIT, Parameter::CURSOR],
    body: None,
    answer: Answer::List("Event", &Form::ALL),
    problems: &[],
};

/// `GET /api/v1/events`
///
/// # Errors
/// 400 for parameters, 403 for another tenant's events, 406, 503 while the database is away.
pub async fn list(
    caller: Caller,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&request, LIST.parameters);
    let filter = EventFilter {
        resource_id: parameters.parsed("resource_id", values::id),
        project_id: parameters.parsed("project_id", values::id),
        kind: parameters.parsed("kind", values::kind),
        tenant_id: parameters.text("tenant_id"),
        ..common(&mut parameters)
    };
    caller.may_name(filter.tenant_id.as_deref())?;
    answer(&caller, &state, request.headers(), parameters, &filter).await
}

/// `GET /api/v1/inventory/{id}/events`
///
/// # Errors
/// 404, if the caller may know of no event of this resource.
pub async fn of_one(
    caller: Caller,
    State(state): State<Arc<api::State>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let nothing = || Problem::not_found("There is no resource of this id that you may see.");
    let mut parameters = Parameters::of(&request, OF_ONE.parameters);
    let filter = EventFilter {
        resource_id: Some(values::id(&id).map_err(|_| nothing())?),
        ..common(&mut parameters)
    };
    let response = answer(&caller, &state, request.headers(), parameters, &filter).await?;
    // Every resource has events: without any, there is no such resource for this caller.
    if let Some(id) = filter.resource_id
        && !history::knows(&state.database().await?, caller.scope(), id).await?
    {
        return Err(nothing());
    }
    Ok(response)
}

fn common(parameters: &mut Parameters) -> EventFilter {
    const TYPES: &str = "must be discovered, updated, tagged, deleted, restored or drift_detected";
    EventFilter {
        event_type: parameters.parsed("type", values::word(&EVENT_TYPES, TYPES)),
        since: parameters.parsed("since", values::moment),
        until: parameters.parsed("until", values::moment),
        descending: parameters
            .parsed("sort", |text| match text {
                "id" => Ok(false),
                "-id" => Ok(true),
                _ => Err("must be id or -id"),
            })
            .unwrap_or_default(),
        ..EventFilter::default()
    }
}

async fn answer(
    caller: &Caller,
    state: &api::State,
    headers: &HeaderMap,
    mut parameters: Parameters,
    filter: &EventFilter,
) -> Result<Response, Problem> {
    let limit = page::limit(&mut parameters);
    let after = page::cursor(&mut parameters, Sort::default());
    parameters.check()?;
    let form = LIST.form(headers)?;
    let pool = state.database().await?;
    let found = history::events(&pool, caller.scope(), filter, after.as_ref(), limit).await?;
    page::answer_in(
        form,
        &COLUMNS,
        &parameters,
        limit,
        &found.items,
        found.more,
        history::Event::position,
    )
}
