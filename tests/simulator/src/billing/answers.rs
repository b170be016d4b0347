//! What `GET /v2/customers/my/…` answers.
//!
//! Lists are rows for the same envelope as every other listing, so that every fault of lists works on them;
//! files are text, streamed where they are long. Called by `api` once the scope is checked.

use std::sync::Arc;

use axum::body::Bytes;
use serde_json::{Map, Value, json};

use super::{
    Entry, Invoice, Ledger,
    csv::{self, Bulk},
    lines::Line,
    money::Money,
};
use crate::{
    answer::{Answer, Delivery, Pieces},
    call::Window,
    clock,
    collection::Item,
    problem::Problem,
};

/// A list to be paged, and what stands beside it on every page.
pub struct Paged {
    pub root: &'static str,
    pub id_field: &'static str,
    pub rows: Vec<Arc<Item>>,
    /// How many there are in all, where `rows` are the asked page's alone: a million are not made for each page.
    pub all: Option<u64>,
    pub beside: Vec<(&'static str, Value)>,
}

pub enum Billed {
    List(Paged),
    Whole(Answer),
}

/// Whether this path below `/v2/customers/my` is a list.
pub fn is_list(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    matches!(
        path.as_slice(),
        ["billing_history" | "invoices"] | ["invoices", _]
    )
}

impl Ledger {
    /// The answer to a path below `/v2/customers/my`.
    pub fn answer(&mut self, path: &[String], window: Window) -> Result<Billed, Problem> {
        self.make();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let whole = |value: Value| Billed::Whole(Answer::json(200, &value));
        Ok(match path.as_slice() {
            ["balance"] => whole(self.balance_json()),
            ["billing_history"] => Billed::List(Paged {
                root: "billing_history",
                id_field: "date",
                rows: loose(self.history.iter().rev().map(Entry::json)),
                all: None,
                beside: Vec::new(),
            }),
            ["invoices"] => {
                let preview = self.preview.as_ref().map(|invoice| {
                    let mut header = invoice.header();
                    header.insert(
                        "updated_at".to_owned(),
                        Value::from(self.balance.generated_at.as_str()),
                    );
                    ("invoice_preview", Value::Object(header))
                });
                let listed = self.invoices.iter().rev().filter(|invoice| !invoice.unlisted);
                let headers = listed.map(|invoice| Value::Object(invoice.header()));
                Billed::List(Paged {
                    root: "invoices",
                    id_field: "invoice_uuid",
                    rows: loose(headers),
                    all: None,
                    beside: preview.into_iter().collect(),
                })
            }
            ["invoices", uuid] => {
                let invoice = self.find(uuid)?;
                let (rows, all) = match &invoice.bulk {
                    None => (loose(invoice.lines.iter().map(Line::json)), None),
                    Some(bulk) => page_of(&invoice.lines, bulk, window),
                };
                Billed::List(Paged {
                    root: "invoice_items",
                    id_field: "description",
                    rows,
                    all,
                    beside: Vec::new(),
                })
            }
            ["invoices", uuid, "csv"] => Billed::Whole(self.find(uuid)?.csv()),
            ["invoices", uuid, "summary"] => {
                let invoice = self.find(uuid)?;
                whole(invoice.summary(&self.rules.owner, &self.overages()))
            }
            _ => return Err(Problem::not_found()),
        })
    }

    fn balance_json(&self) -> Value {
        let balance = &self.balance;
        let running = self.preview.as_ref().map_or(Money(0), Invoice::total);
        let usage = balance.month_to_date_usage.unwrap_or(running);
        json!({
            "month_to_date_balance": (balance.account_balance + usage).text(),
            "account_balance": balance.account_balance.text(),
            "month_to_date_usage": usage.text(),
            "generated_at": balance.generated_at,
        })
    }

    /// Descriptions of what counts as an overage.
    fn overages(&self) -> Vec<&str> {
        let extra = self.rules.extra.iter().filter(|extra| extra.overage);
        extra.map(|extra| extra.line.description.as_str()).collect()
    }
}

/// The rows of one page of a bulk invoice, and how many there are on all pages.
fn page_of(lines: &[Line], bulk: &Bulk, window: Window) -> (Vec<Arc<Item>>, Option<u64>) {
    let before = u64::try_from(lines.len()).unwrap_or(0);
    let all = before + bulk.lines;
    let first = (window.page - 1).saturating_mul(window.per_page);
    let last = first.saturating_add(window.per_page).min(all);
    let line = |at: u64| {
        let own = usize::try_from(at).ok().and_then(|at| lines.get(at));
        own.map_or_else(|| bulk.line(at - before).json(), Line::json)
    };
    (loose((first..last).map(line)), Some(all))
}

fn loose(rows: impl Iterator<Item = Value>) -> Vec<Arc<Item>> {
    rows.map(|row| Item::loose(String::new(), Bytes::from(row.to_string())))
        .collect()
}

impl Entry {
    pub(super) fn json(&self) -> Value {
        let mut entry = json!({
            "description": self.description, "amount": self.amount.text(), "date": self.date, "type": self.kind,
        });
        if let (Some((id, uuid)), Some(members)) = (&self.invoice, entry.as_object_mut()) {
            members.insert("invoice_id".to_owned(), Value::from(id.as_str()));
            members.insert("invoice_uuid".to_owned(), Value::from(uuid.as_str()));
        }
        entry
    }
}

impl Line {
    /// As the JSON form of an invoice has it: with the ids, and without what is not known.
    fn json(&self) -> Value {
        let mut item = Map::new();
        let mut put = |key: &str, value: &str| {
            if !value.is_empty() {
                item.insert(key.to_owned(), Value::from(value));
            }
        };
        let time = |at: Option<i64>| at.map(clock::rfc3339).unwrap_or_default();
        put("product", &self.product);
        put("resource_id", self.resource_id.as_deref().unwrap_or_default());
        put("resource_uuid", self.resource_uuid.as_deref().unwrap_or_default());
        put("group_description", &self.group);
        put("description", &self.description);
        put("amount", &self.amount.text());
        put(
            "duration",
            &self.hours.map(|hours| hours.to_string()).unwrap_or_default(),
        );
        put("duration_unit", if self.hours.is_some() { "Hours" } else { "" });
        put("start_time", &time(self.start));
        put("end_time", &time(self.end));
        put("project_name", &self.project);
        put("category", &self.category);
        Value::Object(item)
    }
}

impl Invoice {
    pub(super) fn header(&self) -> Map<String, Value> {
        let header = json!({
            "invoice_uuid": self.uuid, "invoice_id": self.id, "amount": self.total().text(),
            "invoice_period": self.period,
        });
        header.as_object().cloned().unwrap_or_default()
    }

    /// Every line of the file, or the file somebody put in its place.
    fn csv(&self) -> Answer {
        let name = format!("DigitalOcean Invoice {} ({}).csv", self.period, self.id);
        let rows = self.lines.iter().map(|line| csv::row(line, &self.format));
        let own: String = std::iter::once(csv::header(&self.format)).chain(rows).collect();
        let text = self.file.clone().unwrap_or(own);
        let mut answer = Answer::typed(200, "text/csv", text);
        if let (Some(bulk), None) = (&self.bulk, &self.file) {
            let (format, beginning) = (self.format.clone(), std::mem::take(&mut answer.body));
            let bulk = bulk.clone();
            let piece = move |number: u64| match number {
                0 => Some(beginning.clone()),
                number => csv::piece(&format, &bulk, number),
            };
            answer.delivery = Delivery::Pieces(Pieces::new(piece));
        }
        answer.header("content-disposition", format!("attachment; filename=\"{name}\""))
    }

    fn summary(&self, owner: &Value, overages: &[&str]) -> Value {
        let sum = |wanted: &dyn Fn(&Line) -> bool| -> Money {
            let lines = self.lines.iter().filter(|line| wanted(line));
            lines.map(|line| line.amount).sum::<Money>().cents()
        };
        let is_tax = |line: &Line| line.product == "Taxes";
        let is_credit = |line: &Line| line.amount < Money(0);
        let is_overage = |line: &Line| overages.contains(&line.description.as_str());
        let is_usage = |line: &Line| !is_tax(line) && !is_credit(line) && !is_overage(line);
        let mut products: Vec<(&str, Money, u64)> = Vec::new();
        for line in self.lines.iter().filter(|line| is_usage(line)) {
            match products.iter_mut().find(|(name, ..)| *name == line.product) {
                Some((_, amount, count)) => (*amount, *count) = (*amount + line.amount, *count + 1),
                None => products.push((&line.product, line.amount, 1)),
            }
        }
        if let Some(bulk) = &self.bulk {
            products.push(("Droplets", bulk.total(), bulk.lines));
        }
        let items = products.iter().map(|(name, amount, count)| {
            json!({"name": name, "amount": amount.cents().text(), "count": count.to_string()})
        });
        let bulk = self.bulk.as_ref().map_or(Money(0), Bulk::total);
        let mut summary = json!({
            "invoice_uuid": self.uuid, "invoice_id": self.id, "billing_period": self.period,
            "amount": self.total().text(),
            "product_charges": {"name": "Product usage charges", "amount": (sum(&is_usage) + bulk).text(),
                                "items": items.collect::<Vec<_>>()},
            "overages": {"name": "Overages", "amount": sum(&is_overage).text()},
            "taxes": {"name": "Taxes", "amount": sum(&is_tax).text()},
            "credits_and_adjustments": {"name": "Credits & adjustments", "amount": sum(&is_credit).text()},
        });
        if let (Some(members), Some(owner)) = (summary.as_object_mut(), owner.as_object()) {
            members.extend(owner.clone());
        }
        summary
    }
}
