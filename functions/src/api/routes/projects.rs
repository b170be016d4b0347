//! The account's projects: how much is in each, what it costs, what each is for, and whose it is.
//!
//! For operators. Classifying a project moves everything in it, in one transaction; the answer says how much that was.
//! A tenant's project has purpose `tenant` and no other, so one of the two members is enough to say both.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use shared::database;
use shared::inventory::Classification;
use shared::inventory::edit::{self, Edit};
use shared::inventory::read::Sort;
use shared::inventory::read::projects::{self, PURPOSES, ProjectFilter};

use super::edited;
use crate::api;
use crate::api::access::Operator;
use crate::api::body::Members;
use crate::api::document::{Access, Answer, Operation, Parameter, Takes};
use crate::api::error::Problem;
use crate::api::form::Form;
use crate::api::query::Parameters;
use crate::api::{etag, page, values};

pub(in crate::api) static LIST: Operation = Operation {
    method: "get",
    path: "/api/v1/projects",
    id: "listProjects",
    tag: "projects",
    summary: "The projects, how much is in each, and what it costs",
    detail: "",
    access: Access::Operator,
    parameters: &[
        Parameter {
            name: "tenant_id",
            detail: "Of this tenant.",
            takes: Takes::Text,
            example: "larkspur-bakery",
        },
        Parameter {
            name: "purpose",
            detail: "Of this purpose.",
            takes: Takes::OneOf(&PURPOSES),
            example: "unclassified",
        },
        Parameter {
            name: "include_deleted",
            detail: "Tombstones too.",
            takes: Takes::Truth,
            example: "false",
        },
        Parameter::LIMIT,
        Parameter::CURSOR,
    ],
    body: None,
    answer: Answer::List("PricedProject", &[Form::Json]),
    problems: &[],
};

/// `GET /api/v1/projects`
///
/// # Errors
/// 400 for parameters, 406, 503 while the database is away.
pub async fn list(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Response, Problem> {
    const WORDS: &str = "must be unclassified, internal, tenant or shared";
    let mut parameters = Parameters::of(&request, LIST.parameters);
    let filter = ProjectFilter {
        tenant_id: parameters.text("tenant_id"),
        purpose: parameters.parsed("purpose", values::word(&PURPOSES, WORDS)),
        include_deleted: parameters
            .parsed("include_deleted", values::truth)
            .unwrap_or_default(),
    };
    let limit = page::limit(&mut parameters);
    let after = page::cursor(&mut parameters, Sort::default());
    parameters.check()?;
    LIST.form(request.headers())?;
    let pool = state.database().await?;
    let found = projects::projects(&pool, operator.scope(), &filter, after.as_ref(), limit).await?;
    page::answer(&parameters, limit, &found.items, found.more, |priced| {
        priced.project.position()
    })
}

pub(in crate::api) static CLASSIFY: Operation = Operation {
    method: "patch",
    path: "/api/v1/projects/{id}",
    id: "classifyProject",
    tag: "projects",
    summary: "Say what a project is for and whose it is",
    detail: "Everything in the project follows, each thing with an event of its own.",
    access: Access::Operator,
    parameters: &[],
    body: Some(("Classification", true)),
    answer: Answer::Document("EditedProject"),
    problems: &[409, 412],
};

/// `PATCH /api/v1/projects/{id}`
///
/// # Errors
/// 404, 409 for tombstones, 412 if it has changed since it was read, 422 for members.
pub async fn classify(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    Parameters::of(&request, CLASSIFY.parameters).check()?;
    let versions = etag::versions(request.headers())?;
    let mut members = Members::of(request, &["tenant_id", "purpose", "reason"]).await?;
    members.require("reason");
    let reason = members.reason("reason");
    let said = said(&mut members);
    members.check()?;
    let nothing = || Problem::not_found("There is no project of this id.");
    let id = values::id(&id).map_err(|_| nothing())?;
    let pool = state.database().await?;
    let edit = Edit {
        by: operator.subject(),
        reason: reason.as_deref().unwrap_or_default(),
        versions: versions.as_deref(),
        now: database::now(&pool).await?,
    };
    let done = edit::classify(&pool, id, &said, &edit).await?;
    edited(done.row.version, &done)
}

/// Purpose and tenant, the one from the other where only one is given.
fn said(members: &mut Members) -> Classification {
    let given = members.has("purpose");
    let tenant = members.tenant("tenant_id");
    let purpose = members.one_of("purpose", &PURPOSES);
    match (&tenant, purpose) {
        (None, None) if !given && !members.has("tenant_id") => {
            members.wrong("tenant_id", "or purpose must be given");
        }
        (Some(Some(_)), Some(purpose)) if purpose != "tenant" => {
            members.wrong("tenant_id", "goes with purpose tenant only");
        }
        (Some(None), Some("tenant")) => members.wrong("tenant_id", "must name the tenant"),
        (None, Some("tenant")) if !members.has("tenant_id") => {
            members.wrong("tenant_id", "must be given with purpose tenant");
        }
        _ => (),
    }
    let tenant_id = tenant.flatten();
    let inferred = if tenant_id.is_some() {
        "tenant"
    } else {
        "unclassified"
    };
    Classification {
        purpose: purpose.unwrap_or(inferred).to_owned(),
        tenant_id,
    }
}
