//! What it costs: `/api/v1/billing/…`. Operators only; money is a string.
//!
//! Balances, invoices with how they reconcile and how much of them is matched, their lines, costs by group, and the
//! FOCUS export. `preview` in place of an invoice's uuid is the running month, which is in no other list unless
//! `preview=true` asks for it alone. Two corrections: ingest again, match again. Any day selects its month.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc};
use serde_json::json;
use shared::billing::product::Class;
use shared::billing::read::costs::{self, Asked, Key};
use shared::billing::read::{self, CostLine, Invoices, LineFilter, Place};
use shared::billing::{correct, focus};
use shared::database;
use shared::inventory::read::{self as inventory, Position, Sort};
use uuid::Uuid;

use crate::api;
use crate::api::access::Operator;
use crate::api::error::Problem;
use crate::api::page;
use crate::api::query::Parameters;

/// Lambda takes 6 MB, a JSON text around it included.
const LARGEST_EXPORT: usize = 4_500_000;

/// By a moment, the newest first.
const NEWEST_FIRST: Sort = Sort {
    key: inventory::Key::UpdatedAt,
    descending: true,
};
/// By a text.
const IN_ORDER: Sort = Sort {
    key: inventory::Key::Name,
    descending: false,
};

/// `GET /api/v1/billing/balance`
///
/// # Errors
/// 404 before there is one, 503 while the database is away.
pub async fn balance(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Response, Problem> {
    Parameters::of(&request, &[]).check()?;
    let found = read::balances(&state.database().await?, operator.scope(), None, 1).await?;
    match found.items.into_iter().next() {
        Some(balance) => Ok(Json(json!({ "data": balance })).into_response()),
        None => Err(Problem::of_status(StatusCode::NOT_FOUND)),
    }
}

/// `GET /api/v1/billing/balance/history`
///
/// # Errors
/// 400 for parameters, 503 while the database is away.
pub async fn balances(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&request, &["limit", "cursor"]);
    let limit = page::limit(&mut parameters);
    let before = place(&mut parameters, NEWEST_FIRST, moment_of);
    parameters.check()?;
    let found = read::balances(&state.database().await?, operator.scope(), before, limit).await?;
    page::answer(&parameters, limit, &found.items, found.more, |balance| Position {
        place: inventory::Place::UpdatedAt(balance.generated_at),
        id: Uuid::nil(),
    })
}

/// `GET /api/v1/billing/invoices`
///
/// # Errors
/// 400 for parameters, 503 while the database is away.
pub async fn invoices(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Response, Problem> {
    let known = ["period", "ingest_status", "reconciliation", "limit", "cursor"];
    let mut parameters = Parameters::of(&request, &known);
    let word = |words: &'static [&'static str], refusal| {
        move |text: &str| words.contains(&text).then(|| text.to_owned()).ok_or(refusal)
    };
    let asked = Invoices {
        period: parameters.parsed("period", day),
        ingest_status: parameters.parsed(
            "ingest_status",
            word(
                &["pending", "ingested", "quarantined"],
                "must be pending, ingested or quarantined",
            ),
        ),
        reconciliation: parameters.parsed(
            "reconciliation",
            word(
                &["reconciled", "rounded", "mismatch"],
                "must be reconciled, rounded or mismatch",
            ),
        ),
    };
    let limit = page::limit(&mut parameters);
    let after = place(&mut parameters, NEWEST_FIRST, |position| {
        Some((moment_of(position)?.date_naive(), position.id))
    });
    parameters.check()?;
    let pool = state.database().await?;
    let found = read::invoices(&pool, operator.scope(), &asked, after.as_ref(), limit).await?;
    page::answer(&parameters, limit, &found.items, found.more, |invoice| Position {
        place: inventory::Place::UpdatedAt(invoice.period.and_time(NaiveTime::MIN).and_utc()),
        id: invoice.id,
    })
}

/// `GET /api/v1/billing/invoices/{uuid}`: the invoice and its first lines; the others are in `cost-lines`.
///
/// # Errors
/// 404 for an unknown one, 503 while the database is away.
pub async fn invoice(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    Path(uuid): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    /// Lines that come with it.
    const LINES: usize = 500;
    Parameters::of(&request, &[]).check()?;
    let uuid = known_form(&uuid)?;
    let pool = state.database().await?;
    let Some(invoice) = read::invoice(&pool, operator.scope(), uuid).await? else {
        return Err(Problem::of_status(StatusCode::NOT_FOUND));
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
    Ok(Json(json!({ "data": data })).into_response())
}

/// `POST /api/v1/billing/invoices/{uuid}/ingest`: 202; the ledger follows when the queue has delivered it.
///
/// # Errors
/// 404 for an unknown one, 503 while the database is away.
pub async fn ingest(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    Path(uuid): Path<String>,
) -> Result<Response, Problem> {
    let uuid = known_form(&uuid)?;
    let pool = state.database().await?;
    let now = database::now(&pool).await.map_err(Problem::unavailable)?;
    let sent = correct::ingest_again(&pool, operator.scope(), uuid, state.queue(), now).await?;
    let sent = sent.ok_or_else(|| Problem::of_status(StatusCode::NOT_FOUND))?;
    tracing::info!(
        subject = operator.subject(),
        invoice_uuid = uuid,
        sent,
        "an invoice is to be ingested again"
    );
    let data = json!({ "invoice_uuid": uuid, "ingest_status": "pending", "sent": sent });
    Ok((StatusCode::ACCEPTED, Json(json!({ "data": data }))).into_response())
}

/// `POST /api/v1/billing/invoices/{uuid}/match`: a second look at the lines that have no resource.
///
/// # Errors
/// 404 for an unknown one, 503 while the database is away.
pub async fn match_again(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    Path(uuid): Path<String>,
) -> Result<Response, Problem> {
    let uuid = known_form(&uuid)?;
    let found = correct::match_again(&state.database().await?, operator.scope(), uuid).await?;
    let found = found.ok_or_else(|| Problem::of_status(StatusCode::NOT_FOUND))?;
    tracing::info!(
        subject = operator.subject(),
        invoice_uuid = uuid,
        found,
        "an invoice was matched again"
    );
    Ok(Json(json!({ "data": { "invoice_uuid": uuid, "matched": found } })).into_response())
}

/// `GET /api/v1/billing/cost-lines`
///
/// # Errors
/// 400 for parameters, 503 while the database is away.
pub async fn cost_lines(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Response, Problem> {
    let known = [
        "period",
        "invoice_uuid",
        "preview",
        "kind",
        "class",
        "matched",
        "limit",
        "cursor",
    ];
    let mut parameters = Parameters::of(&request, &known);
    let filter = LineFilter {
        period: parameters.parsed("period", day),
        invoice_uuid: parameters.text("invoice_uuid"),
        preview: parameters.parsed("preview", truth).unwrap_or_default(),
        kind: parameters.text("kind"),
        class: parameters.parsed("class", class),
        matched: parameters.parsed("matched", truth),
    };
    let limit = page::limit(&mut parameters);
    let after = place(&mut parameters, IN_ORDER, line_at);
    parameters.check()?;
    let pool = state.database().await?;
    let found = read::lines(&pool, operator.scope(), &filter, after.as_ref(), limit).await?;
    page::answer(&parameters, limit, &found.items, found.more, |line: &CostLine| {
        place_of(line.period, line.cloud_invoice_id, line.line_no)
    })
}

/// `GET /api/v1/billing/costs`
///
/// # Errors
/// 400 for parameters, 503 while the database is away.
pub async fn costs(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&request, &["from", "to", "group_by", "preview"]);
    let from = parameters.parsed("from", day);
    let to = parameters.parsed("to", day);
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        parameters.parsed("to", |_| Err::<(), _>("is before from"));
    }
    let asked = Asked {
        from,
        to,
        preview: parameters.parsed("preview", truth).unwrap_or_default(),
        by: parameters.parsed("group_by", keys).unwrap_or_default(),
    };
    parameters.check()?;
    let found = costs::costs(&state.database().await?, operator.scope(), &asked).await?;
    if found.more {
        return Err(Problem::too_large(
            StatusCode::PAYLOAD_TOO_LARGE,
            "There are more than 10,000 groups: ask for fewer months or keys.",
        ));
    }
    Ok(Json(json!({ "data": found.items })).into_response())
}

/// `GET /api/v1/billing/focus`: CSV, paged by `Link` like every list.
///
/// # Errors
/// 400 for parameters, 503 while the database is away.
pub async fn focus(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&request, &["period", "version", "preview", "limit", "cursor"]);
    let version = parameters.parsed("version", str::parse).unwrap_or_default();
    let filter = LineFilter {
        period: parameters.parsed("period", day),
        preview: parameters.parsed("preview", truth).unwrap_or_default(),
        ..LineFilter::default()
    };
    let limit = page::limit(&mut parameters);
    let after = place(&mut parameters, IN_ORDER, line_at);
    parameters.check()?;
    let pool = state.database().await?;
    let found = focus::charges(&pool, operator.scope(), &filter, after.as_ref(), limit).await?;
    let (text, taken) = focus::csv(version, &found.items, LARGEST_EXPORT);
    let more = found.more || taken < found.items.len();
    let last = found.items.get(taken.saturating_sub(1)).filter(|_| more);
    let mut response = Body::from(text).into_response();
    let csv = HeaderValue::from_static("text/csv; charset=utf-8; header=present");
    response.headers_mut().insert(CONTENT_TYPE, csv);
    let next = last.map(|charge| place_of(charge.period, charge.cloud_invoice_id, charge.line_no));
    if let Some(link) = next.and_then(|position| page::link(&parameters, &position)) {
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
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

/// A line's place in the order of lines, as the cursor carries it.
fn place_of(period: NaiveDate, invoice: Uuid, line_no: i32) -> Position {
    Position {
        place: inventory::Place::Name(format!("{period} {line_no}")),
        id: invoice,
    }
}

fn line_at(position: &Position) -> Option<Place> {
    let inventory::Place::Name(text) = &position.place else {
        return None;
    };
    let (period, line_no) = text.split_once(' ')?;
    Some(Place {
        period: period.parse().ok()?,
        invoice: position.id,
        line_no: line_no.parse().ok()?,
    })
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
        Err(Problem::of_status(StatusCode::NOT_FOUND))
    }
}

fn day(text: &str) -> Result<NaiveDate, &'static str> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    day.filter(|day| text.len() == 10 && (2010..2100).contains(&day.year()))
        .ok_or("must be a day such as 2026-04-01; any day selects its month")
}

fn class(text: &str) -> Result<Class, &'static str> {
    let found = Class::ALL.into_iter().find(|class| class.name() == text);
    found.ok_or("must be resource, tax, credit, account or unknown")
}

fn keys(text: &str) -> Result<Vec<Key>, &'static str> {
    text.split(',').map(str::parse).collect()
}

fn truth(text: &str) -> Result<bool, &'static str> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false"),
    }
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
        assert_eq!(keys("tenant,month"), Ok(vec![Key::Tenant, Key::Month]));
        for bad in ["", "tenant,", "Tenant", "tenant month", "owner"] {
            assert!(keys(bad).is_err(), "{bad}");
        }
        assert!(class("tax").is_ok() && class("Tax").is_err());
        for bad in ["a/b", "", "a b", "..%2f", &"x".repeat(65)] {
            assert!(known_form(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_s_place_survives_the_cursor() {
        let period = NaiveDate::from_ymd_opt(2026, 4, 1).unwrap_or_default();
        let place = line_at(&place_of(period, Uuid::max(), 4_999_999));
        let expected = Place {
            period,
            invoice: Uuid::max(),
            line_no: 4_999_999,
        };
        assert_eq!(place, Some(expected));
    }
}
