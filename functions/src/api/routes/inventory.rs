//! What there is and what there was: the inventory, one resource of it, its numbers, and whose a resource is.
//!
//! An operator sees everything, a tenant what it owns; with `as_of`, what it owned then. Filters are joined by "and",
//! each given once. A tenant that asks for another tenant's things by name is told 403: that is a mistake to be told
//! of, and the same answer whether or not such a tenant exists. Another tenant's id is a 404.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use shared::database;
use shared::inventory::edit::{self, Edit};
use shared::inventory::read::{self, ATTRIBUTIONS, Filter, Sort, summary};

use super::{edited, one};
use crate::api;
use crate::api::access::{Caller, Operator};
use crate::api::body::Members;
use crate::api::document::{Access, Answer, Operation, Parameter, Takes};
use crate::api::error::Problem;
use crate::api::form::Form;
use crate::api::query::Parameters;
use crate::api::{etag, page, values};

const AS_OF: Parameter = Parameter {
    name: "as_of",
    detail: "As things were at this moment, tombstones and owners included.",
    takes: Takes::Moment,
    example: "2026-11-14T00:00:00Z",
};

const PARAMETERS: [Parameter; 14] = [
    Parameter {
        name: "kind",
        detail: "Exactly this kind.",
        takes: Takes::Kind,
        example: "droplet",
    },
    Parameter {
        name: "status",
        detail: "Exactly this status.",
        takes: Takes::Text,
        example: "active",
    },
    Parameter {
        name: "region",
        detail: "Exactly this region.",
        takes: Takes::Text,
        example: "fra1",
    },
    Parameter {
        name: "project_id",
        detail: "In this project.",
        takes: Takes::Id,
        example: "0197e79f-11d0-7a4b-8d62-90c1d64b7e55",
    },
    Parameter {
        name: "tenant_id",
        detail: "Of this tenant. A tenant may name itself only.",
        takes: Takes::Text,
        example: "larkspur-bakery",
    },
    Parameter {
        name: "attribution",
        detail: "Attributed by this rule.",
        takes: Takes::OneOf(&ATTRIBUTIONS),
        example: "membership",
    },
    Parameter {
        name: "tag",
        detail: "With this tag.",
        takes: Takes::Text,
        example: "web",
    },
    Parameter {
        name: "q",
        detail: "The name begins with this, whatever the case, or this is the provider's id.",
        takes: Takes::Text,
        example: "larkspur",
    },
    Parameter {
        name: "updated_since",
        detail: "Changed at or after this moment.",
        takes: Takes::Moment,
        example: "2026-11-14T00:00:00Z",
    },
    Parameter {
        name: "include_deleted",
        detail: "Tombstones too.",
        takes: Takes::Truth,
        example: "false",
    },
    AS_OF,
    Parameter {
        name: "sort",
        detail: "The order; - before it is descending.",
        takes: Takes::OneOf(&["id", "-id", "name", "-name", "updated_at", "-updated_at"]),
        example: "name",
    },
    Parameter::LIMIT,
    Parameter::CURSOR,
];

/// The columns of CSV.
const COLUMNS: [&str; 19] = [
    "id",
    "kind",
    "provider",
    "provider_id",
    "urn",
    "name",
    "region",
    "status",
    "tags",
    "attrs",
    "project_id",
    "tenant_id",
    "attribution",
    "version",
    "first_seen_at",
    "last_seen_at",
    "stale_strike_count",
    "deleted_at",
    "updated_at",
];

pub(in crate::api) static LIST: Operation = Operation {
    method: "get",
    path: "/api/v1/inventory",
    id: "listInventory",
    tag: "inventory",
    summary: "What there is",
    detail: "Every kind in one list. As CSV or NDJSON it has the same pages: the next one is in the Link header.",
    access: Access::Caller,
    parameters: &PARAMETERS,
    body: None,
    answer: Answer::List("Resource", &Form::ALL),
    problems: &[],
};

/// `GET /api/v1/inventory`
///
/// # Errors
/// 400 for parameters, 403 for another tenant's things, 406, 503 while the database is away.
pub async fn list(
    caller: Caller,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&request, LIST.parameters);
    let filter = filter(&mut parameters);
    let sort: Sort = parameters.parsed("sort", str::parse).unwrap_or_default();
    let limit = page::limit(&mut parameters);
    let after = page::cursor(&mut parameters, sort);
    parameters.check()?;
    let form = LIST.form(request.headers())?;
    caller.may_name(filter.tenant_id.as_deref())?;
    let pool = state.database().await?;
    let found = read::list(&pool, caller.scope(), &filter, sort, after.as_ref(), limit).await?;
    page::answer_in(
        form,
        &COLUMNS,
        &parameters,
        limit,
        &found.items,
        found.more,
        |item| item.position(sort.key),
    )
}

fn filter(parameters: &mut Parameters) -> Filter {
    const RULES: &str = "must be operator, item, membership, parent, fallback or none";
    Filter {
        kind: parameters.parsed("kind", values::kind),
        status: parameters.text("status"),
        region: parameters.text("region"),
        project_id: parameters.parsed("project_id", values::id),
        tenant_id: parameters.text("tenant_id"),
        attribution: parameters.parsed("attribution", values::word(&ATTRIBUTIONS, RULES)),
        tag: parameters.text("tag"),
        q: parameters.text("q"),
        updated_since: parameters.parsed("updated_since", values::moment),
        include_deleted: parameters
            .parsed("include_deleted", values::truth)
            .unwrap_or_default(),
        as_of: parameters.parsed("as_of", values::moment),
    }
}

pub(in crate::api) static ONE: Operation = Operation {
    method: "get",
    path: "/api/v1/inventory/{id}",
    id: "getResource",
    tag: "inventory",
    summary: "One resource, tombstones included",
    detail: "",
    access: Access::Caller,
    parameters: &[AS_OF],
    body: None,
    answer: Answer::One("Resource"),
    problems: &[],
};

/// `GET /api/v1/inventory/{id}`
///
/// # Errors
/// 404, if the caller may see nothing of this id; 406.
pub async fn get(
    caller: Caller,
    State(state): State<Arc<api::State>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&request, ONE.parameters);
    let as_of = parameters.parsed("as_of", values::moment);
    parameters.check()?;
    ONE.form(request.headers())?;
    let id = values::id(&id).map_err(|_| nothing())?;
    let pool = state.database().await?;
    let item = read::one(&pool, caller.scope(), id, as_of)
        .await?
        .ok_or_else(nothing)?;
    one(request.headers(), item.version, &item)
}

fn nothing() -> Problem {
    Problem::not_found("There is no resource of this id that you may see.")
}

pub(in crate::api) static SUMMARY: Operation = Operation {
    method: "get",
    path: "/api/v1/inventory/summary",
    id: "summariseInventory",
    tag: "inventory",
    summary: "The inventory in a few numbers",
    detail: "Counts by kind, tenant and rule, how fresh they are, and, for operators, what cannot be seen.",
    access: Access::Caller,
    parameters: &[],
    body: None,
    answer: Answer::One("Summary"),
    problems: &[],
};

/// `GET /api/v1/inventory/summary`
///
/// # Errors
/// 406, 503 while the database is away.
pub async fn summarise(
    caller: Caller,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Response, Problem> {
    Parameters::of(&request, SUMMARY.parameters).check()?;
    SUMMARY.form(request.headers())?;
    let pool = state.database().await?;
    let summary = summary::summary(&pool, caller.scope()).await?;
    one(request.headers(), 0, &summary)
}

pub(in crate::api) static ATTRIBUTE: Operation = Operation {
    method: "patch",
    path: "/api/v1/inventory/{id}",
    id: "attributeResource",
    tag: "inventory",
    summary: "Say whose a resource is",
    detail: "The operator's word, which no sync overrules; null takes it back and lets the rules decide again.",
    access: Access::Operator,
    parameters: &[],
    body: Some(("Attribution", true)),
    answer: Answer::Document("EditedResource"),
    problems: &[409, 412],
};

/// `PATCH /api/v1/inventory/{id}`
///
/// # Errors
/// 404, 409 for tombstones, 412 if it has changed since it was read, 422 for members.
pub async fn attribute(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    Parameters::of(&request, ATTRIBUTE.parameters).check()?;
    let versions = etag::versions(request.headers())?;
    let mut members = Members::of(request, &["tenant_id", "reason"]).await?;
    members.require("tenant_id");
    members.require("reason");
    let (tenant, reason) = (members.tenant("tenant_id"), members.reason("reason"));
    members.check()?;
    let id = values::id(&id).map_err(|_| nothing())?;
    let pool = state.database().await?;
    let edit = Edit {
        by: operator.subject(),
        reason: reason.as_deref().unwrap_or_default(),
        versions: versions.as_deref(),
        now: database::now(&pool).await?,
    };
    let done = edit::attribute(&pool, id, tenant.flatten().as_deref(), &edit).await?;
    edited(done.row.version, &done)
}
