//! Questions to the ledger, and the SQL that asks them.
//!
//! Pure. Conditions are there only if somebody asked for them, values are bound, and a page begins behind the last
//! row of the one before. Lines are read invoice by invoice: each invoice's own indexes find them.

use chrono::{Datelike, NaiveDate};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::billing::product::Class;

/// Which invoices.
#[derive(Clone, Debug, Default)]
pub struct Invoices {
    /// The month that has this day.
    pub period: Option<NaiveDate>,
    /// `pending`, `ingested`, `quarantined`.
    pub ingest_status: Option<String>,
    /// `reconciled`, `rounded`, `mismatch`.
    pub reconciliation: Option<String>,
}

/// Which lines; every condition must hold.
#[derive(Clone, Debug, Default)]
pub struct LineFilter {
    /// Of this invoice.
    pub invoice_uuid: Option<String>,
    /// Of the month that has this day.
    pub period: Option<NaiveDate>,
    /// Of the running month instead of the invoices.
    pub preview: bool,
    /// Exactly this kind.
    pub kind: Option<String>,
    /// Exactly this class.
    pub class: Option<Class>,
    /// With a resource, or without.
    pub matched: Option<bool>,
}

/// Where a page of lines ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Month of the last line.
    pub period: NaiveDate,
    /// Its invoice.
    pub invoice: Uuid,
    /// Its number.
    pub line_no: i32,
}

const INVOICE: &str = "SELECT id, invoice_uuid, invoice_id, period, preview, amount, issued_at, ingest_status, ingested_at, \
    last_error, line_count, lines_total, lines_total - amount AS difference, reconciliation, resource_lines, matched_lines, \
    round(matched_lines::numeric / nullif(resource_lines, 0), 4) AS match_rate, items_page FROM cloud_invoices WHERE ";

/// The month that a day is in, by its first day.
pub(crate) fn month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

pub(super) fn invoices(asked: &Invoices, after: Option<&(NaiveDate, Uuid)>) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(INVOICE);
    sql.push("NOT preview");
    if let Some(day) = asked.period {
        sql.push(" AND period = ").push_bind(month(day));
    }
    for (column, value) in [
        ("ingest_status", &asked.ingest_status),
        ("reconciliation", &asked.reconciliation),
    ] {
        if let Some(value) = value {
            sql.push(" AND ")
                .push(column)
                .push(" = ")
                .push_bind(value.clone());
        }
    }
    if let Some((period, id)) = after {
        sql.push(" AND (period, id) < (")
            .push_bind(*period)
            .push(", ")
            .push_bind(*id)
            .push(")");
    }
    sql.push(" ORDER BY period DESC, id DESC");
    sql
}

pub(super) fn invoice(invoice_uuid: &str) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(INVOICE);
    sql.push("invoice_uuid = ").push_bind(invoice_uuid.to_owned());
    sql
}

pub(super) fn lines(filter: &LineFilter, after: Option<&Place>) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(
        "SELECT cloud_invoice_id, invoice_uuid, line_no, period, product, group_description, description, hours, \
         starts_at, ends_at, amount, project_name, category, class, kind, resource_name, cloud_resource_id, match_rule, \
         tenant_id, cloud_project_id AS project_id FROM cloud_ledger WHERE ",
    );
    conditions(&mut sql, filter, after);
    sql
}

/// What a filter says, after a WHERE, and the order of pages.
pub(crate) fn conditions(sql: &mut QueryBuilder<Postgres>, filter: &LineFilter, after: Option<&Place>) {
    match &filter.invoice_uuid {
        Some(uuid) => sql.push("invoice_uuid = ").push_bind(uuid.clone()),
        None => sql.push(if filter.preview { "preview" } else { "NOT preview" }),
    };
    if let Some(day) = filter.period {
        sql.push(" AND period = ").push_bind(month(day));
    }
    if let Some(kind) = &filter.kind {
        sql.push(" AND kind = ").push_bind(kind.clone());
    }
    if let Some(class) = filter.class {
        sql.push(" AND class = ").push_bind(class.name());
    }
    match filter.matched {
        Some(true) => drop(sql.push(" AND cloud_resource_id IS NOT NULL")),
        Some(false) => drop(sql.push(" AND cloud_resource_id IS NULL")),
        None => {}
    }
    if let Some(place) = after {
        sql.push(" AND (period, cloud_invoice_id, line_no) > (")
            .push_bind(place.period)
            .push(", ")
            .push_bind(place.invoice)
            .push(", ")
            .push_bind(place.line_no)
            .push(")");
    }
    sql.push(" ORDER BY period, cloud_invoice_id, line_no");
}
