//! The account's money: a balance, a history, invoices.
//!
//! The default account has a year of invoices for what it holds, written as DO wrote them at the time, and the
//! running month. They are made when somebody first asks, of what the account held when it was laid out:
//! closed invoices do not change because a droplet is destroyed today. The control endpoint adds invoices, files
//! and entries. It refuses to charge anybody.

pub mod answers;
mod control;
mod csv;
mod lines;
mod money;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use chrono::{DateTime, Months, NaiveDate};
use serde::Deserialize;
use serde_json::Value;

use crate::{chance, clock, fixtures::BILLING, problem::Problem, world::World};
use csv::{Bulk, Format};
use lines::{Estate, Gone, Line, Span};
use money::Money;

/// The fixture: prices, months, what is not in any collection.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    prices: Prices,
    months: Vec<Month>,
    gone: Vec<Gone>,
    extra: Vec<Extra>,
    history: Vec<Entry>,
    balance: Balance,
    owner: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prices {
    volume_gb: Money,
    snapshot_gb: Money,
    address: Money,
    balancer: Money,
    nat_gateway: Money,
    bucket: Money,
    control_plane: Money,
    backup_percent: i64,
    /// Size of a node -> how a line words it, and its price.
    nodes: BTreeMap<String, (String, Money)>,
    sizes: BTreeMap<String, Money>,
}

/// One invoice to be made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Month {
    /// `2025-06`
    period: String,
    /// The first and the last day, of an invoice for a part of a month.
    from_day: Option<u32>,
    until_day: Option<u32>,
    #[serde(default)]
    format: Format,
    /// Products under their former names.
    #[serde(default)]
    old_names: bool,
    /// Tax in percent, and its name.
    tax: Option<(i64, String)>,
}

/// A line that belongs to no resource.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Extra {
    /// None: in every period.
    #[serde(default)]
    periods: BTreeSet<String>,
    #[serde(default)]
    overage: bool,
    line: Line,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    date: String,
    #[serde(rename = "type")]
    kind: String,
    description: String,
    amount: Money,
    /// Of an `Invoice`.
    #[serde(skip)]
    invoice: Option<(String, String)>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Balance {
    account_balance: Money,
    /// None: what the running month comes to.
    month_to_date_usage: Option<Money>,
    generated_at: String,
}

#[derive(Clone, Debug)]
struct Invoice {
    uuid: String,
    id: String,
    period: String,
    issued_at: String,
    lines: Vec<Line>,
    /// Lines beyond those, made up while they are sent.
    bulk: Option<Bulk>,
    format: Format,
    /// What the header says, if not the sum of the lines.
    amount: Option<Money>,
    /// The file, if not as the lines are.
    file: Option<String>,
    /// In the history only.
    unlisted: bool,
}

impl Invoice {
    fn total(&self) -> Money {
        let bulk = self.bulk.as_ref().map_or(Money(0), Bulk::total);
        let lines: Money = self.lines.iter().map(|line| line.amount).sum();
        self.amount.unwrap_or(lines + bulk).cents()
    }
}

#[derive(Debug)]
pub struct Ledger {
    seed: u64,
    rules: Arc<Rules>,
    estate: Estate,
    /// Oldest first; none: not made yet.
    made: bool,
    invoices: Vec<Invoice>,
    preview: Option<Invoice>,
    history: Vec<Entry>,
    balance: Balance,
}

fn rules() -> Result<Arc<Rules>, Problem> {
    static RULES: OnceLock<Result<Arc<Rules>, String>> = OnceLock::new();
    let parsed = RULES.get_or_init(|| {
        let rules = serde_json::from_str(BILLING).map(Arc::new);
        rules.map_err(|error| error.to_string())
    });
    let parsed = parsed.clone();
    parsed.map_err(|error| {
        Problem::new(
            500,
            "server_error",
            format!("billing.json does not parse: {error}"),
        )
    })
}

impl Ledger {
    /// No invoices, no debts.
    pub fn empty(seed: u64) -> Result<Self, Problem> {
        let rules = rules()?;
        let balance = Balance {
            account_balance: Money(0),
            month_to_date_usage: Some(Money(0)),
            ..rules.balance.clone()
        };
        Ok(Self {
            seed,
            balance,
            rules,
            estate: Estate::default(),
            made: true,
            invoices: Vec::new(),
            preview: None,
            history: Vec::new(),
        })
    }

    /// A year of what this account holds.
    pub fn of_year(world: &World) -> Result<Self, Problem> {
        let rules = rules()?;
        Ok(Self {
            estate: Estate::of(world),
            made: false,
            balance: rules.balance.clone(),
            ..Self::empty(world.seed())?
        })
    }

    /// Make what is not made yet.
    fn make(&mut self) {
        if self.made {
            return;
        }
        self.made = true;
        let rules = Arc::clone(&self.rules);
        for month in &rules.months {
            let Some(span) = span(month) else { continue };
            let mut invoice = self.invoice(month, span);
            if span.to >= clock::WORLD_START {
                invoice.uuid = chance::uuid(self.seed, "preview", 0);
                self.preview = Some(invoice);
            } else {
                self.issue(invoice);
            }
        }
        self.history.extend(rules.history.iter().cloned());
        self.history.sort_by(|one, two| one.date.cmp(&two.date));
    }

    fn invoice(&self, month: &Month, span: Span) -> Invoice {
        let rules = &self.rules;
        let mut lines = lines::of_estate(&self.estate, rules, span, month.old_names);
        lines.extend(lines::of_the_past(rules, span));
        let extras = rules.extra.iter().filter(|extra| {
            let here = extra.periods.is_empty() || extra.periods.contains(&month.period);
            // A month's fixed costs stand on its last invoice.
            here && span.to == span.month.1.min(clock::WORLD_START)
        });
        for extra in extras {
            let mut line = extra.line.clone();
            line.start = line.start.or(Some(span.from));
            line.end = line.end.or(Some(span.to - 1));
            lines.push(line);
        }
        if let Some((percent, name)) = &month.tax {
            let net: Money = lines.iter().map(|line| line.amount).sum();
            lines.push(Line {
                product: "Taxes".to_owned(),
                description: format!("{name} ({percent}.00%)"),
                start: Some(span.from),
                end: Some(span.to - 1),
                amount: net.share(*percent, 100).cents(),
                category: "iaas".to_owned(),
                ..Line::default()
            });
        }
        let number = u64::try_from(self.invoices.len()).unwrap_or(0);
        Invoice {
            uuid: chance::uuid(self.seed, "invoice", number),
            id: (510_000_000 + chance::word(self.seed, "invoice id", number) % 9_000_000).to_string(),
            period: month.period.clone(),
            issued_at: clock::rfc3339(span.to.min(clock::WORLD_START) + 29_000),
            lines,
            bulk: None,
            format: month.format.clone(),
            amount: None,
            file: None,
            unlisted: false,
        }
    }

    /// Put an invoice among the others, with its entry in the history and, a day later, its payment.
    fn issue(&mut self, invoice: Invoice) {
        let (amount, issued) = (invoice.total(), lines::seconds(&invoice.issued_at).unwrap_or(0));
        self.history.push(Entry {
            date: invoice.issued_at.clone(),
            kind: "Invoice".to_owned(),
            description: format!("Invoice for {}", month_in_words(&invoice.period)),
            amount,
            invoice: Some((invoice.id.clone(), invoice.uuid.clone())),
        });
        self.history.push(Entry {
            date: clock::rfc3339(issued + 86_400),
            kind: "Payment".to_owned(),
            description: "Payment (Visa 4018)".to_owned(),
            amount: Money(0) - amount,
            invoice: None,
        });
        self.invoices.push(invoice);
    }

    /// By uuid, or `preview`.
    fn find(&self, uuid: &str) -> Result<&Invoice, Problem> {
        let found = match uuid {
            "preview" => self.preview.as_ref(),
            uuid => self.invoices.iter().find(|invoice| invoice.uuid == uuid),
        };
        found.ok_or_else(Problem::not_found)
    }
}

/// The instants a month's invoice is about.
fn span(month: &Month) -> Option<Span> {
    let first = NaiveDate::parse_from_str(&format!("{}-01", month.period), "%Y-%m-%d").ok()?;
    let midnight = |day: NaiveDate| Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp());
    let bounds = (
        midnight(first)?,
        midnight(first.checked_add_months(Months::new(1))?)?,
    );
    let day = |number: u32| bounds.0 + i64::from(number) * 86_400;
    Some(Span {
        month: bounds,
        from: month
            .from_day
            .map_or(bounds.0, |number| day(number.saturating_sub(1))),
        to: month
            .until_day
            .map_or(bounds.1, day)
            .min(bounds.1.min(clock::WORLD_START.max(bounds.0 + 1))),
    })
}

/// `October 2025`, as descriptions have it.
fn month_in_words(period: &str) -> String {
    let first = NaiveDate::parse_from_str(&format!("{period}-01"), "%Y-%m-%d");
    first.map_or_else(|_| period.to_owned(), |day| day.format("%B %Y").to_string())
}

/// `2025-10` of an instant.
fn period_of(seconds: i64) -> String {
    let at = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    at.format("%Y-%m").to_string()
}
