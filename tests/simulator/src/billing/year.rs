//! The default scenario's year of invoices: its droplets, month by month, and what `fixtures/billing.json` adds.
//!
//! Deterministic: same seed, same bytes. Every month has another form of CSV, as the years had. Droplets are charged
//! from the day they were made, backups with them; the rest of the estate is in the fixture's words and has ids only
//! if the account lists it. The truth of each row is its id.

use serde::Deserialize;
use serde_json::Value;

use super::{Bill, Billing, Form, Row};
use crate::{chance, problem::Problem, world::World};

const FIXTURE: &str = include_str!("../../fixtures/billing.json");

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixture {
    first_period: String,
    /// One per month; as many months as there are.
    forms: Vec<Form>,
    every_month: Vec<Row>,
    some_months: std::collections::BTreeMap<usize, Vec<Row>>,
    threshold: Threshold,
    tax: Row,
    balance: Value,
    other_entries: Vec<Value>,
}

/// An invoice of the middle of a month.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Threshold {
    month: usize,
    day: u32,
    rows: Vec<Row>,
}

impl Billing {
    /// A year of invoices for this account, or none at all.
    pub fn of(world: &World, whole: bool) -> Result<Self, Problem> {
        let fixture: Fixture = serde_json::from_str(FIXTURE).map_err(|error| {
            Problem::new(
                500,
                "server_error",
                format!("billing.json does not parse: {error}"),
            )
        })?;
        let mut billing = Self {
            balance: fixture.balance.clone(),
            ..Self::default()
        };
        if !whole {
            return Ok(billing);
        }
        let droplets = world.items("droplets");
        let mut period = fixture.first_period.clone();
        for (month, form) in fixture.forms.iter().enumerate() {
            let mut rows: Vec<Row> = droplets
                .iter()
                .flat_map(|droplet| of_droplet(droplet, &period))
                .collect();
            let some = fixture.some_months.get(&month).into_iter().flatten();
            rows.extend(
                fixture
                    .every_month
                    .iter()
                    .chain(some)
                    .map(|row| dated(row, &period)),
            );
            billing.add(taxed(&fixture, world, month, &period, rows, form))?;
            if fixture.threshold.month == month {
                let rows = fixture
                    .threshold
                    .rows
                    .iter()
                    .map(|row| dated(row, &period))
                    .collect();
                let mut bill = taxed(&fixture, world, month + 100, &period, rows, form);
                bill.date = Some(format!("{period}-{:02}T11:02:09Z", fixture.threshold.day));
                billing.add(bill)?;
            }
            period = month_after(&period);
        }
        let rows = droplets
            .iter()
            .flat_map(|droplet| of_droplet(droplet, &period))
            .collect();
        let mut preview = taxed(&fixture, world, 200, &period, rows, &Form::default());
        "preview".clone_into(&mut preview.uuid);
        billing.add(preview)?;
        billing.others = fixture.other_entries;
        Ok(billing)
    }
}

fn taxed(
    fixture: &Fixture,
    world: &World,
    number: usize,
    period: &str,
    mut rows: Vec<Row>,
    form: &Form,
) -> Bill {
    let net: i64 = rows.iter().map(|row| row.cents).sum();
    let mut tax = dated(&fixture.tax, period);
    tax.cents = net / 10;
    rows.push(tax);
    let number = number as u64;
    Bill {
        uuid: chance::uuid(world.seed(), "invoice", number),
        invoice_id: Some((418_071_234 + number).to_string()),
        period: period.to_owned(),
        rows,
        form: form.clone(),
        ..Bill::default()
    }
}

/// A droplet's own line, and its backups' if it has them.
fn of_droplet(droplet: &Value, period: &str) -> Vec<Row> {
    let text = |path: &str| droplet.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let (first, next) = (
        format!("{period}-01T00:00:00Z"),
        format!("{}-01T00:00:00Z", month_after(period)),
    );
    let made = text("/created_at");
    if made >= next.as_str() {
        return Vec::new();
    }
    let monthly = droplet
        .pointer("/size/price_monthly")
        .map(Value::to_string)
        .unwrap_or_default();
    let (whole, fraction) = monthly.split_once('.').unwrap_or((&monthly, "0"));
    let fraction = format!("{fraction:0<2}");
    let cents = whole.parse::<i64>().unwrap_or(0) * 100
        + fraction.get(..2).and_then(|f| f.parse::<i64>().ok()).unwrap_or(0);
    let own = Row {
        product: if droplet.pointer("/gpu_info").is_some_and(Value::is_object) {
            "GPU Droplets"
        } else {
            "Droplets"
        }
        .to_owned(),
        description: format!("{} ({})", text("/name"), text("/size_slug")),
        hours: Some(720),
        start: Some(if made > first.as_str() {
            made.to_owned()
        } else {
            first
        }),
        end: Some(next),
        cents,
        id: droplet.get("id").map(Value::to_string),
        ..Row::default()
    };
    let features = droplet
        .get("features")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut rows = vec![own.clone()];
    if features.into_iter().any(|feature| feature == "backups") {
        rows.push(Row {
            product: "Droplet Backups".to_owned(),
            hours: None,
            cents: cents / 5,
            ..own
        });
    }
    rows
}

/// A row of the fixture, in this month; some products end at the month's last second.
fn dated(row: &Row, period: &str) -> Row {
    let mut row = row.clone();
    row.start.get_or_insert_with(|| format!("{period}-01T00:00:00Z"));
    row.end
        .get_or_insert_with(|| format!("{}-01T00:00:00Z", month_after(period)));
    row
}

/// `2026-01` for `2025-12`.
pub(super) fn month_after(period: &str) -> String {
    let (year, month) = period.split_once('-').unwrap_or((period, "1"));
    match (year.parse::<u32>(), month.parse::<u32>()) {
        (Ok(year), Ok(12)) => format!("{:04}-01", year + 1),
        (Ok(year), Ok(month)) => format!("{year:04}-{:02}", month + 1),
        _ => period.to_owned(),
    }
}
