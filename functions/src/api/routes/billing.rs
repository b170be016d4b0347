//! What it costs: balances, and invoices with how they reconcile and how much of them is matched.
//!
//! For operators; money is a string. Lines, groups and the export are in [`costs`]. `preview` in place of an
//! invoice's uuid is the running month, which is in no other list unless `preview=true` asks for it alone. Two
//! corrections: ingest again, match again. Any day selects its month.

pub mod costs;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};
use serde_json::json;
use shared::billing::correct;
use shared::billing::read::{self, Invoices, LineFilter};
use shared::database;
use shared::inventory::read::{self as inventory, Position, Sort};
use uuid::Uuid;

use super::one;
use crate::api;
use crate::api::access::Operator;
use crate::api::document::{Access, Answer, Operation, Parameter, Takes};
use crate::api::error::Problem;
use crate::api::form::Form;
use crate::api::query::Parameters;
use crate::api::{page, values};

/// What became of an invoice.
pub(in crate::api) const STATUSES: [&str; 3] = ["pending", "ingested", "quarantined"];
/// How an invoice and its lines agree.
pub(in crate::api) const AGREEMENTS: [&str; 3] = ["reconciled", "rounded", "mismatch"];

/// Of one month.
const PERIOD: Parameter = Parameter {
    name: "period",
    detail: "Of the month that has this day.",
    takes: Takes::Date,
    example: "2025-04-01",
};

/// By a moment, the newest first.
const NEWEST_FIRST: Sort = Sort {
    key: inventory::Key::UpdatedAt,
    descending: true,
};

/// What a balance has as CSV, in this order.
const BALANCE_COLUMNS: [&str; 5] = [
    "generated_at",
    "fetched_at",
    "month_to_date_balance",
    "account_balance",
    "month_to_date_usage",
];

/// What an invoice has as CSV, in this order.
const INVOICE_COLUMNS: [&str; 17] = [
    "invoice_uuid",
    "invoice_id",
    "period",
    "preview",
    "amount",
    "issued_at",
    "ingest_status",
    "ingested_at",
    "last_error",
    "line_count",
    "lines_total",
    "difference",
    "reconciliation",
    "resource_lines",
    "matched_lines",
    "match_rate",
    "items_page",
];

pub(in crate::api) static BALANCE: Operation = Operation {
    method: "get",
    path: "/api/v1/billing/balance",
    id: "getBalance",
    tag: "billing",
    summary: "What is owed now",
    detail: "The newest figure that DigitalOcean has computed; 404 before there is one.",
    access: Access::Operator,
    parameters: &[],
    body: None,
    answer: Answer::One("Balance"),
    problems: &[404],
};

/// `GET /api/v1/billing/balance`
///
/// # Errors
/// 404 before there is one, 406, 503 while the database is away.
pub async fn balance(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Response, Problem> {
    Parameters::of(&request, BALANCE.parameters).check()?;
    BALANCE.form(request.headers())?;
    let found = read::balances(&state.database().await?, operator.scope(), None, 1).await?;
    match found.items.into_iter().next() {
        Some(balance) => one(request.headers(), 0, &balance),
        None => Err(Problem::not_found("No balance has been read yet.")),
    }
}

pub(in crate::api) static BALANCES: Operation = Operation {
    method: "get",
    path: "/api/v1/billing/balance/history",
    id: "listBalances",
    tag: "billing",
    summary: "What was owed",
    detail: "The newest first; a figure that was read twice is there once.",
    access: Access::Operator,
    parameters: &[Parameter::LIMIT, Parameter::CURSOR],
    body: None,
    answer: Answer::List("Balance", &Form::ALL),
    problems: &[],
};

/// `GET /api/v1/billing/balance/history`
///
/// # Errors
/// 400 for parameters, 406, 503 while the database is away.
pub async fn balances(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&request, BALANCES.parameters);
    let limit = page::limit(&mut parameters);
    let before = place(&mut parameters, NEWEST_FIRST, moment_of);
    parameters.check()?;
    let form = BALANCES.form(request.headers())?;
    let found = read::balances(&state.database().await?, operator.scope(), before, limit).await?;
    let position = |balance: &read::Balance| Position {
        place: inventory::Place::UpdatedAt(balance.generated_at),
        id: Uuid::nil(),
    };
    let (items, more) = (&found.items, found.more);
    page::answer_in(form, &BALANCE_COLUMNS, &parameters, limit, items, more, position)
}

pub(in crate::api) static INVOICES: Operation = Operation {
    method: "get",
    path: "/api/v1/billing/invoices",
    id: "listInvoices",
    tag: "billing",
    summary: "Invoices, and how well they are understood",
    detail: "The newest month first. The running month is no invoice: ask for `preview` by name.",
    access: Access::Operator,
    parameters: &[
        PERIOD,
        Parameter {
            name: "ingest_status",
            detail: "With this status.",
            takes: Takes::OneOf(&STATUSES),
            example: "quarantined",
        },
        Parameter {
            name: "reconciliation",
            detail: "Whose lines agree with it like this.",
            takes: Takes::OneOf(&AGREEMENTS),
            example: "mismatch",
        },
        Parameter::LIMIT,
        Parameter::CURSOR,
    ],
    body: None,
    answer: Answer::List("Invoice", &Form::ALL),
    problems: &[],
};

/// `GET /api/v1/billing/invoices`
///
/// # Errors
/// 400 for parameters, 406, 503 while the database is away.
pub async fn invoices(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&request, INVOICES.parameters);
    let status = values::word(&STATUSES, "must be pending, ingested or quarantined");
    let agreement = values::word(&AGREEMENTS, "must be reconciled, rounded or mismatch");
    let asked = Invoices {
        period: parameters.parsed("period", day),
        ingest_status: parameters.parsed("ingest_status", status),
        reconciliation: parameters.parsed("reconciliation", agreement),
    };
    let limit = page::limit(&mut parameters);
    let after = place(&mut parameters, NEWEST_FIRST, |position| {
        Some((moment_of(position)?.date_naive(), position.id))
    });
    parameters.check()?;
    let form = INVOICES.form(request.headers())?;
    let pool = state.database().await?;
    let found = read::invoices(&pool, operator.scope(), &asked, after.as_ref(), limit).await?;
    let position = |invoice: &read::Invoice| Position {
        place: inventory::Place::UpdatedAt(invoice.period.and_time(NaiveTime::MIN).and_utc()),
        id: invoice.id,
    };
    let (items, more) = (&found.items, found.more);
    page::answer_in(form, &INVOICE_COLUMNS, &parameters, limit, items, more, position)
}

pub(in crate::api) static INVOICE: Operation = Operation {
    method: "get",
    path: "/api/v1/billing/invoices/{uuid}",
    id: "getInvoice",
    tag: "billing",
    summary: "One invoice with its first lines",
    detail: "`preview` is the running month. Lines beyond 500 are in the list of cost lines.",
    access: Access::Operator,
    parameters: &[],
    body: None,
    answer: Answer::One("ItemisedInvoice"),
    problems: &[],
};

/// `GET /api/v1/billing/invoices/{uuid}`: the invoice and its first lines; the others are in `cost-lines`.
///
/// # Errors
/// 404 for an unknown one, 406, 503 while the database is away.
pub async fn invoice(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    Path(uuid): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    /// Lines that come with it.
    const LINES: usize = 500;
    Parameters::of(&request, INVOICE.parameters).check()?;
    INVOICE.form(request.headers())?;
    let uuid = known_form(&uuid)?;
    let pool = state.database().await?;
    let Some(invoice) = read::invoice(&pool, operator.scope(), uuid).await? else {
        return Err(unknown());
    };
    let filter = LineFilter {
        invoice_uuid: Some(uuid.to_owned()),
        ..LineFilter::default()
    };
    let lines = read::lines(&pool, operator.scope(), &filter, None, LINES).await?;
    let mut data = serde_json::to_value(&invoice).map_err(Problem::internal)?;
    if let Some(data) = data.as_object_mut() {
        data.insert("lines".to_owned(), json!(lines.items));
        data.insert("more_lines".to_owned(), json!(lines.more));
    }
    one(request.headers(), 0, &data)
}

pub(in crate::api) static INGEST: Operation = Operation {
    method: "post",
    path: "/api/v1/billing/invoices/{uuid}/ingest",
    id: "ingestInvoice",
    tag: "billing",
    summary: "Have an invoice ingested again",
    detail: "Its lines stay until the queue has delivered it and there are others.",
    access: Access::Operator,
    parameters: &[],
    body: None,
    answer: Answer::Accepted("Sending"),
    problems: &[],
};

/// `POST /api/v1/billing/invoices/{uuid}/ingest`: 202; the ledger follows when the queue has delivered it.
///
/// # Errors
/// 404 for an unknown one, 503 while the database is away.
pub async fn ingest(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    Path(uuid): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    Parameters::of(&request, INGEST.parameters).check()?;
    let uuid = known_form(&uuid)?;
    let pool = state.database().await?;
    let now = database::now(&pool).await.map_err(Problem::unavailable)?;
    let sent = correct::ingest_again(&pool, operator.scope(), uuid, state.queue(), now).await?;
    let sent = sent.ok_or_else(unknown)?;
    tracing::info!(
        subject = operator.subject(),
        invoice_uuid = uuid,
        sent,
        "an invoice is to be ingested again"
    );
    let data = json!({ "invoice_uuid": uuid, "ingest_status": "pending", "sent": sent });
    Ok((StatusCode::ACCEPTED, Json(json!({ "data": data }))).into_response())
}

pub(in crate::api) static MATCH: Operation = Operation {
    method: "post",
    path: "/api/v1/billing/invoices/{uuid}/match",
    id: "matchInvoice",
    tag: "billing",
    summary: "Look again for what its lines are about",
    detail: "For lines without a resource only; amounts are not touched.",
    access: Access::Operator,
    parameters: &[],
    body: None,
    answer: Answer::One("Matching"),
    problems: &[],
};

/// `POST /api/v1/billing/invoices/{uuid}/match`: a second look at the lines that have no resource.
///
/// # Errors
/// 404 for an unknown one, 503 while the database is away.
pub async fn match_again(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    Path(uuid): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    Parameters::of(&request, MATCH.parameters).check()?;
    let uuid = known_form(&uuid)?;
    let found = correct::match_again(&state.database().await?, operator.scope(), uuid).await?;
    let found = found.ok_or_else(unknown)?;
    tracing::info!(
        subject = operator.subject(),
        invoice_uuid = uuid,
        found,
        "an invoice was matched again"
    );
    Ok(Json(json!({ "data": { "invoice_uuid": uuid, "matched": found } })).into_response())
}

/// Where the page before ended. What is no cursor of this list is said to be none: the list must not begin again.
fn place<T>(
    parameters: &mut Parameters,
    order: Sort,
    read: impl FnOnce(&Position) -> Option<T>,
) -> Option<T> {
    let position = page::cursor(parameters, order)?;
    let place = read(&position);
    if place.is_none() {
        parameters.parsed("cursor", |_| Err::<(), _>("is not a cursor of ours"));
    }
    place
}

fn moment_of(position: &Position) -> Option<DateTime<Utc>> {
    match position.place {
        inventory::Place::UpdatedAt(moment) => Some(moment),
        _ => None,
    }
}

/// What could be the name of an invoice; anything else is none.
fn known_form(uuid: &str) -> Result<&str, Problem> {
    let plain = uuid
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if plain && (1..=64).contains(&uuid.len()) {
        Ok(uuid)
    } else {
        Err(unknown())
    }
}

fn unknown() -> Problem {
    Problem::not_found("There is no such invoice.")
}

fn day(text: &str) -> Result<NaiveDate, &'static str> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    day.filter(|day| text.len() == 10 && (2010..2100).contains(&day.year()))
        .ok_or("must be a day such as 2026-04-01; any day selects its month")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_literally_or_not_at_all() {
        assert!(day("2026-04-30").is_ok());
        for bad in [
            "2026-04",
            "2026-4-1",
            "2026-04-31",
            "1999-01-01",
            "30-04-2026",
            "2026-04-30T00:00:00Z",
        ] {
            assert!(day(bad).is_err(), "{bad}");
        }
        for bad in ["a/b", "", "a b", "..%2f", &"x".repeat(65)] {
            assert!(known_form(bad).is_err(), "{bad}");
        }
    }
}
