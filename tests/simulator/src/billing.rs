//! What the account owes: `/v2/customers/my/…`.
//!
//! Balance, history, the list of invoices with its preview, and each invoice as JSON, summary and CSV. A bill is rows
//! and a form, so that its CSV and its items agree; a test may instead bring the text of the CSV, or only a number of
//! lines. Amounts are whole cents here. The default scenario has a year of bills made from its droplets (`year`). It
//! refuses whatever DO refuses: other methods, unknown uuids, tokens without `billing:read`.

mod year;

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    answer::Answer,
    call::Call,
    page::{Links, Page, Shape},
    problem::Problem,
    token::Scopes,
};

pub use year::Fixture;

const BASE: &str = "/v2/customers/my/";

/// One charge. `id` is the truth: which resource caused it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Row {
    pub product: String,
    pub group: String,
    pub description: String,
    pub hours: Option<u64>,
    pub start: Option<String>,
    pub end: Option<String>,
    pub cents: i64,
    pub project: String,
    pub category: Option<String>,
    pub id: Option<String>,
}

/// How the CSV of a bill is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Form {
    /// 7, 8 or 9; 0 is 9.
    pub columns: usize,
    pub bom: bool,
    pub crlf: bool,
    /// `$1,234.56`.
    pub commas: bool,
    /// Without the dollar.
    pub bare: bool,
    /// `before` (`-$5.00`), `after` (`$-5.00`) or `brackets` (`($5.00)`).
    pub negatives: Option<String>,
}

/// An invoice, as tests and the control endpoint give it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bill {
    pub uuid: String,
    pub invoice_id: Option<String>,
    /// `YYYY-MM`
    pub period: String,
    /// When it was issued; the first of the next month if not said.
    pub date: Option<String>,
    /// What it asks for; the sum of its rows if not said.
    pub amount: Option<String>,
    pub rows: Vec<Row>,
    pub form: Form,
    /// The CSV as it is, instead of the rows'.
    pub csv: Option<String>,
    /// That many made-up droplet lines, instead of the rows.
    pub lines: Option<u64>,
    /// Not in the list of invoices, so that only its description knows its month.
    pub unlisted: bool,
}

#[derive(Debug, Default)]
pub struct Billing {
    balance: Value,
    bills: Vec<Bill>,
    preview: Option<Bill>,
    others: Vec<Value>,
}

/// Whether a request is for this room.
pub fn is_ours(call: &Call) -> bool {
    call.path.starts_with(BASE)
}

impl Billing {
    /// Adds an invoice, or replaces the one of the same uuid; `preview` is the running month.
    pub fn add(&mut self, mut bill: Bill) -> Result<(), Problem> {
        if bill.uuid.is_empty() || bill.period.len() != 7 {
            return Err(Problem::unprocessable(
                "a bill has a uuid and a period such as 2026-04",
            ));
        }
        if let Some(lines) = bill.lines {
            bill.rows = (0..lines).map(|number| made_up(number, &bill.period)).collect();
        }
        if bill.uuid == "preview" {
            self.preview = Some(bill);
            return Ok(());
        }
        self.bills.retain(|old| old.uuid != bill.uuid);
        self.bills.push(bill);
        Ok(())
    }

    /// What `GET /v2/customers/my/balance` says from now on.
    pub fn set_balance(&mut self, balance: Value) {
        self.balance = balance;
    }

    /// Forgets every invoice.
    pub fn clear(&mut self) {
        self.bills.clear();
        self.preview = None;
        self.others.clear();
    }

    /// Every invoice's uuid.
    pub fn uuids(&self) -> Vec<String> {
        self.bills.iter().map(|bill| bill.uuid.clone()).collect()
    }

    /// The rows of an invoice.
    pub fn rows(&self, uuid: &str) -> Option<&[Row]> {
        self.bill(uuid).map(|bill| bill.rows.as_slice())
    }

    fn bill(&self, uuid: &str) -> Option<&Bill> {
        let mut all = self.bills.iter().chain(&self.preview);
        all.find(|bill| bill.uuid == uuid)
    }

    pub fn answer(&self, call: &Call, scopes: &Scopes) -> Result<Answer, Problem> {
        if call.method != "GET" {
            return Err(Problem::new(405, "method_not_allowed", "Not with this method."));
        }
        if !scopes.allow("billing:read") {
            return Err(Problem::forbidden());
        }
        let segments = call.segments();
        let parts: Vec<&str> = segments.iter().skip(3).map(String::as_str).collect();
        let bill = |uuid: &str| self.bill(uuid).ok_or_else(Problem::not_found);
        match parts.as_slice() {
            ["balance"] => Ok(Answer::json(200, &self.balance)),
            ["billing_history"] => listed(call, "billing_history", &self.history(), None),
            ["invoices"] => {
                let listed_bills: Vec<Value> = self
                    .newest_first()
                    .filter(|bill| !bill.unlisted)
                    .map(Bill::listed)
                    .collect();
                let preview = self.preview.as_ref().map(|preview| {
                    let mut listed = preview.listed();
                    if let Some(listed) = listed.as_object_mut() {
                        listed.insert("updated_at".to_owned(), json!("2026-11-21T06:31:50Z"));
                        listed.insert(
                            "invoice_uuid".to_owned(),
                            json!("1afe95e6-0958-4eb0-8d9a-9c5060d3ef03"),
                        );
                    }
                    listed
                });
                listed(call, "invoices", &listed_bills, preview)
            }
            ["invoices", uuid] => {
                let items: Vec<Value> = bill(uuid)?.rows.iter().map(Row::item).collect();
                listed(call, "invoice_items", &items, None)
            }
            ["invoices", uuid, "summary"] => Ok(Answer::json(200, &bill(uuid)?.summary())),
            ["invoices", uuid, "csv"] => {
                let bill = bill(uuid)?;
                let name = format!(
                    "attachment; filename=\"DigitalOcean Invoice {}.csv\"",
                    bill.period
                );
                Ok(Answer::typed(200, "text/csv", bill.text()).header("content-disposition", name))
            }
            _ => Err(Problem::not_found()),
        }
    }

    fn newest_first(&self) -> impl Iterator<Item = &Bill> {
        let mut bills: Vec<&Bill> = self.bills.iter().collect();
        bills.sort_by_key(|bill| std::cmp::Reverse((bill.issued(), bill.uuid.clone())));
        bills.into_iter()
    }

    /// An entry for each invoice, one for its payment, and whatever else happened; newest first.
    fn history(&self) -> Vec<Value> {
        let mut entries = self.others.clone();
        for bill in self.newest_first() {
            let amount = bill.amount();
            let paid = amount
                .strip_prefix('-')
                .map_or(format!("-{amount}"), str::to_owned);
            let issued = bill.issued();
            let mut entry = json!({
                "description": format!("Invoice for {}", spoken(&bill.period)), "amount": amount,
                "invoice_uuid": bill.uuid, "date": issued, "type": "Invoice",
            });
            if let (Some(entry), Some(id)) = (entry.as_object_mut(), &bill.invoice_id) {
                entry.insert("invoice_id".to_owned(), json!(id));
            }
            entries.push(entry);
            let later = issued.replacen("T0", "T1", 1);
            entries.push(
                json!({"description": "Payment (MC 4242)", "amount": paid, "date": later, "type": "Payment"}),
            );
        }
        entries.sort_by_key(|entry| {
            std::cmp::Reverse(entry.get("date").and_then(Value::as_str).map(str::to_owned))
        });
        entries
    }
}

impl Bill {
    fn cents(&self) -> i64 {
        self.rows.iter().map(|row| row.cents).sum()
    }

    fn amount(&self) -> String {
        self.amount.clone().unwrap_or_else(|| plain(self.cents()))
    }

    fn issued(&self) -> String {
        self.date
            .clone()
            .unwrap_or_else(|| format!("{}-01T08:44:38Z", year::month_after(&self.period)))
    }

    fn listed(&self) -> Value {
        json!({
            "invoice_uuid": self.uuid, "invoice_id": self.invoice_id.clone().unwrap_or_default(),
            "amount": self.amount(), "invoice_period": self.period,
        })
    }

    fn summary(&self) -> Value {
        let sum = |tax: bool| -> i64 {
            let rows = self.rows.iter().filter(|row| (row.product == "Taxes") == tax);
            rows.map(|row| row.cents).sum()
        };
        json!({
            "invoice_uuid": self.uuid, "invoice_id": self.invoice_id, "billing_period": self.period, "amount": self.amount(),
            "user_name": "Arcadia Operations", "user_email": "ops@arcadia-hosting.example",
            "product_charges": {"name": "Product usage charges", "amount": plain(sum(false)), "items": []},
            "overages": {"name": "Overages", "amount": "0.00"},
            "taxes": {"name": "Taxes", "amount": plain(sum(true))},
            "credits_and_adjustments": {"name": "Credits & adjustments", "amount": "0.00"},
        })
    }

    /// The CSV.
    pub fn text(&self) -> String {
        if let Some(csv) = &self.csv {
            return csv.clone();
        }
        let form = &self.form;
        let columns = if form.columns == 0 { 9 } else { form.columns };
        let end = if form.crlf { "\r\n" } else { "\n" };
        let names = [
            "product",
            "group_description",
            "description",
            "hours",
            "start",
            "end",
            "USD",
            "project_name",
            "category",
        ];
        let mut text = String::from(if form.bom { "\u{feff}" } else { "" });
        text.push_str(&names.iter().take(columns).copied().collect::<Vec<_>>().join(","));
        text.push_str(end);
        for row in &self.rows {
            let time = |time: &Option<String>| time.as_deref().map(spaced).unwrap_or_default();
            let cells = [
                row.product.clone(),
                row.group.clone(),
                row.description.clone(),
                row.hours.map(|hours| hours.to_string()).unwrap_or_default(),
                time(&row.start),
                time(&row.end),
                form.money(row.cents),
                row.project.clone(),
                row.category.clone().unwrap_or_else(|| "iaas".to_owned()),
            ];
            let cells: Vec<String> = cells.iter().take(columns).map(|cell| quoted(cell)).collect();
            text.push_str(&cells.join(","));
            text.push_str(end);
        }
        text
    }
}

impl Row {
    /// The same charge in the JSON form, which knows the id.
    fn item(&self) -> Value {
        let mut item = json!({
            "product": self.product, "description": self.description, "amount": plain(self.cents),
            "duration": self.hours.map(|hours| hours.to_string()), "duration_unit": "Hours",
            "start_time": self.start, "end_time": self.end,
        });
        if let Some(item) = item.as_object_mut() {
            for (name, text) in [
                ("group_description", &self.group),
                ("project_name", &self.project),
            ] {
                if !text.is_empty() {
                    item.insert(name.to_owned(), json!(text));
                }
            }
            if let Some(id) = &self.id {
                let name = if id.contains('-') {
                    "resource_uuid"
                } else {
                    "resource_id"
                };
                item.insert(name.to_owned(), json!(id));
            }
        }
        item
    }
}

impl Form {
    fn money(&self, cents: i64) -> String {
        let mark = if self.bare { "" } else { "$" };
        let mut whole = (cents.unsigned_abs() / 100).to_string();
        if self.commas {
            for place in (1..whole.len())
                .rev()
                .filter(|place| (whole.len() - place).is_multiple_of(3))
                .collect::<Vec<_>>()
            {
                whole.insert(place, ',');
            }
        }
        let digits = format!("{whole}.{:02}", cents.unsigned_abs() % 100);
        match (cents < 0, self.negatives.as_deref()) {
            (false, _) => format!("{mark}{digits}"),
            (true, Some("after")) => format!("{mark}-{digits}"),
            (true, Some("brackets")) => format!("({mark}{digits})"),
            (true, _) => format!("-{mark}{digits}"),
        }
    }
}

fn listed(call: &Call, root: &str, rows: &[Value], preview: Option<Value>) -> Result<Answer, Problem> {
    let window = call.window()?;
    let total = rows.len() as u64;
    let last = total.div_ceil(window.per_page).max(1);
    let skip = usize::try_from((window.page - 1).saturating_mul(window.per_page)).unwrap_or(usize::MAX);
    let take = usize::try_from(window.per_page).unwrap_or(usize::MAX);
    let shown = rows.iter().skip(skip).take(take);
    let page = Page {
        root: root.to_owned(),
        rows: shown.map(|row| row.to_string().into()).collect(),
        shape: Shape::List,
        meta: Some(json!({ "total": total })),
        links: Some(Links::new(window.page, last, |number| call.page_url(number))),
    };
    let text = String::from_utf8_lossy(&page.render()).into_owned();
    // Beside the list, on every page.
    let text = match (preview, text.strip_suffix('}')) {
        (Some(preview), Some(open)) => format!("{open},\"invoice_preview\":{preview}}}"),
        _ => text,
    };
    Ok(Answer::rendered(200, text))
}

fn made_up(number: u64, period: &str) -> Row {
    Row {
        product: "Droplets".to_owned(),
        description: format!("made-up-{number:07} (s-1vcpu-1gb)"),
        hours: Some(720),
        start: Some(format!("{period}-01T00:00:00Z")),
        end: Some(format!("{}-01T00:00:00Z", year::month_after(period))),
        cents: 600 + i64::try_from(number % 100).unwrap_or(0),
        project: "Operations".to_owned(),
        id: Some((900_000_000 + number).to_string()),
        ..Row::default()
    }
}

/// `12.34`
fn plain(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!(
        "{sign}{}.{:02}",
        cents.unsigned_abs() / 100,
        cents.unsigned_abs() % 100
    )
}

/// `2020-07-01 00:00:00 +0000`
fn spaced(time: &str) -> String {
    time.replace('T', " ").replace('Z', " +0000")
}

fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) {
        let mut text = String::from("\"");
        let _ = write!(text, "{}\"", cell.replace('"', "\"\""));
        return text;
    }
    cell.to_owned()
}

/// `May 2018`
fn spoken(period: &str) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let (year, month) = period.split_once('-').unwrap_or((period, "01"));
    let month = month
        .parse::<usize>()
        .ok()
        .and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    format!("{} {year}", month.unwrap_or(&"January"))
}
