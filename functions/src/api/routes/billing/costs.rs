//! What the money went to: cost lines, sums by group, and the FOCUS export.
//!
//! For operators. A line is in exactly one group, so groups add up to the invoices. Tenant and project are those that
//! the resource had when the charge ended. It refuses to mix the running month into invoices: that is asked for alone.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use shared::billing::focus;
use shared::billing::product::Class;
use shared::billing::read::costs::{self, Asked, Key};
use shared::billing::read::{self, CostLine, LineFilter, Place};
use shared::inventory::read::{self as inventory, Position, Sort};
use uuid::Uuid;

use super::{PERIOD, day, place};
use crate::api;
use crate::api::access::Operator;
use crate::api::document::{Access, Answer, Operation, Parameter, Takes};
use crate::api::error::Problem;
use crate::api::form::Form;
use crate::api::query::Parameters;
use crate::api::{page, values};

/// Lambda takes 6 MB, a JSON text around it included.
const LARGEST_EXPORT: usize = 4_500_000;

/// By a text.
const IN_ORDER: Sort = Sort {
    key: inventory::Key::Name,
    descending: false,
};

/// Classes of lines.
pub(in crate::api) const CLASSES: [&str; 5] = ["resource", "tax", "credit", "account", "unknown"];
/// Editions of FOCUS.
const VERSIONS: [&str; 2] = ["1.2", "1.4"];

/// The running month instead.
const PREVIEW: Parameter = Parameter {
    name: "preview",
    detail: "Of the running month, and of no invoice.",
    takes: Takes::Truth,
    example: "true",
};

/// What a line has as CSV, in this order.
const LINE_COLUMNS: [&str; 19] = [
    "invoice_uuid",
    "line_no",
    "period",
    "product",
    "group_description",
    "description",
    "hours",
    "starts_at",
    "ends_at",
    "amount",
    "project_name",
    "category",
    "class",
    "kind",
    "resource_name",
    "cloud_resource_id",
    "match_rule",
    "tenant_id",
    "project_id",
];

/// What a group has as CSV, in this order; a key that was not asked for is blank.
const GROUP_COLUMNS: [&str; 8] = [
    "share",
    "tenant_id",
    "project_id",
    "project_name",
    "kind",
    "month",
    "amount",
    "lines",
];

pub(in crate::api) static LINES: Operation = Operation {
    method: "get",
    path: "/api/v1/billing/cost-lines",
    id: "listCostLines",
    tag: "billing",
    summary: "Lines of invoices, and what caused them",
    detail: "By month, and within an invoice as it has them.",
    access: Access::Operator,
    parameters: &[
        PERIOD,
        Parameter {
            name: "invoice_uuid",
            detail: "Of this invoice.",
            takes: Takes::Invoice,
            example: "preview",
        },
        PREVIEW,
        Parameter {
            name: "kind",
            detail: "Of this kind.",
            takes: Takes::Kind,
            example: "droplet",
        },
        Parameter {
            name: "class",
            detail: "Of this class.",
            takes: Takes::OneOf(&CLASSES),
            example: "tax",
        },
        Parameter {
            name: "matched",
            detail: "With a resource, or without.",
            takes: Takes::Truth,
            example: "false",
        },
        Parameter::LIMIT,
        Parameter::CURSOR,
    ],
    body: None,
    answer: Answer::List("CostLine", &Form::ALL),
    problems: &[],
};

/// `GET /api/v1/billing/cost-lines`
///
/// # Errors
/// 400 for parameters, 406, 503 while the database is away.
pub async fn cost_lines(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&request, LINES.parameters);
    let filter = LineFilter {
        period: parameters.parsed("period", day),
        invoice_uuid: parameters.parsed("invoice_uuid", invoice),
        preview: parameters.parsed("preview", values::truth).unwrap_or_default(),
        kind: parameters.parsed("kind", values::kind),
        class: parameters.parsed("class", class),
        matched: parameters.parsed("matched", values::truth),
    };
    let limit = page::limit(&mut parameters);
    let after = place(&mut parameters, IN_ORDER, line_at);
    parameters.check()?;
    let form = LINES.form(request.headers())?;
    let pool = state.database().await?;
    let found = read::lines(&pool, operator.scope(), &filter, after.as_ref(), limit).await?;
    let position = |line: &CostLine| place_of(line.period, line.cloud_invoice_id, line.line_no);
    let (items, more) = (&found.items, found.more);
    page::answer_in(form, &LINE_COLUMNS, &parameters, limit, items, more, position)
}

pub(in crate::api) static COSTS: Operation = Operation {
    method: "get",
    path: "/api/v1/billing/costs",
    id: "groupCosts",
    tag: "billing",
    summary: "Costs by tenant, project, kind and month",
    detail: "What nobody is known to have caused is a group of its own, and so are taxes and credits: groups add up to the invoices. Whose a line was is told by the history: who had its resource when the charge ended. All groups come at once; more than 10,000 of them, or 5 MB, are refused.",
    access: Access::Operator,
    parameters: &[
        Parameter {
            name: "from",
            detail: "From the month that has this day.",
            takes: Takes::Date,
            example: "2025-01-01",
        },
        Parameter {
            name: "to",
            detail: "To the month that has this day, and with it.",
            takes: Takes::Date,
            example: "2025-06-30",
        },
        Parameter {
            name: "group_by",
            detail: "`tenant`, `project`, `kind` and `month`, as many as wanted, with commas between them; none: one sum.",
            takes: Takes::ListOf(&["tenant", "project", "kind", "month"]),
            example: "tenant,month",
        },
        PREVIEW,
    ],
    body: None,
    answer: Answer::Group("Cost", &Form::ALL),
    problems: &[],
};

/// `GET /api/v1/billing/costs`
///
/// # Errors
/// 400 for parameters, 406, 413, 503 while the database is away.
pub async fn costs(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&request, COSTS.parameters);
    let from = parameters.parsed("from", day);
    let to = parameters.parsed("to", day);
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        parameters.parsed("to", |_| Err::<(), _>("is before from"));
    }
    let asked = Asked {
        from,
        to,
        preview: parameters.parsed("preview", values::truth).unwrap_or_default(),
        by: parameters.parsed("group_by", keys).unwrap_or_default(),
    };
    parameters.check()?;
    let form = COSTS.form(request.headers())?;
    let found = costs::costs(&state.database().await?, operator.scope(), &asked).await?;
    if found.more {
        return Err(Problem::too_large(
            StatusCode::PAYLOAD_TOO_LARGE,
            "There are more than 10,000 groups: ask for fewer months or keys.",
        ));
    }
    page::whole_in(form, &GROUP_COLUMNS, &found.items)
}

pub(in crate::api) static FOCUS: Operation = Operation {
    method: "get",
    path: "/api/v1/billing/focus",
    id: "exportFocus",
    tag: "billing",
    summary: "The same for tools: FOCUS",
    detail: "CSV, one row a line; `Link` says where the next page is.",
    access: Access::Operator,
    parameters: &[
        PERIOD,
        Parameter {
            name: "version",
            detail: "Which edition; without it, the newest.",
            takes: Takes::OneOf(&VERSIONS),
            example: "1.2",
        },
        PREVIEW,
        Parameter::LIMIT,
        Parameter::CURSOR,
    ],
    body: None,
    answer: Answer::Export(&[Form::Csv]),
    problems: &[],
};

/// `GET /api/v1/billing/focus`: CSV, paged by `Link` like every list.
///
/// # Errors
/// 400 for parameters, 406, 503 while the database is away.
pub async fn focus(
    operator: Operator,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&request, FOCUS.parameters);
    let version = parameters.parsed("version", str::parse).unwrap_or_default();
    let filter = LineFilter {
        period: parameters.parsed("period", day),
        preview: parameters.parsed("preview", values::truth).unwrap_or_default(),
        ..LineFilter::default()
    };
    let limit = page::limit(&mut parameters);
    let after = place(&mut parameters, IN_ORDER, line_at);
    parameters.check()?;
    let form = FOCUS.form(request.headers())?;
    let pool = state.database().await?;
    let found = focus::charges(&pool, operator.scope(), &filter, after.as_ref(), limit).await?;
    let (text, taken) = focus::csv(version, &found.items, LARGEST_EXPORT);
    let more = found.more || taken < found.items.len();
    let last = found.items.get(taken.saturating_sub(1)).filter(|_| more);
    let mut response = Body::from(text).into_response();
    let form = HeaderValue::from_static(form.content_type());
    response.headers_mut().insert(CONTENT_TYPE, form);
    let next = last.map(|charge| place_of(charge.period, charge.cloud_invoice_id, charge.line_no));
    if let Some(link) = next.and_then(|position| page::link(&parameters, &position)) {
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
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

fn class(text: &str) -> Result<Class, &'static str> {
    let found = Class::ALL.into_iter().find(|class| class.name() == text);
    found.ok_or("must be resource, tax, credit, account or unknown")
}

fn keys(text: &str) -> Result<Vec<Key>, &'static str> {
    text.split(',').map(str::parse).collect()
}

fn invoice(text: &str) -> Result<String, &'static str> {
    super::known_form(text)
        .map(str::to_owned)
        .map_err(|_| "must be the uuid of an invoice, or preview")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_literally_or_not_at_all() {
        assert_eq!(keys("tenant,month"), Ok(vec![Key::Tenant, Key::Month]));
        for bad in ["", "tenant,", "Tenant", "tenant month", "owner"] {
            assert!(keys(bad).is_err(), "{bad}");
        }
        assert!(class("tax").is_ok() && class("Tax").is_err());
        assert!(invoice("preview").is_ok() && invoice("a/b").is_err());
    }

    #[test]
    fn the_words_that_are_described_are_those_that_are_taken() {
        assert_eq!(Class::ALL.map(Class::name), CLASSES);
        assert!(CLASSES.iter().all(|word| class(word).is_ok()));
        assert!(VERSIONS.iter().all(|word| word.parse::<focus::Version>().is_ok()));
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
