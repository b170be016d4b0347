//! `/_sim/billing`: other invoices, other files, other balances.
//!
//! Called by the control endpoint and by the library, so that both say no in the same words. An invoice that
//! is added without lines is one for what the account holds. It refuses what does not parse, and changes
//! nothing then.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Entry, Invoice, Ledger, Month,
    csv::{Bulk, Format},
    lines::{self, Estate, Line},
    money::Money,
    period_of, span,
};
use crate::{chance, clock, problem::Problem, world::World};

/// An invoice as it is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Asked {
    period: Option<String>,
    uuid: Option<String>,
    from_day: Option<u32>,
    until_day: Option<u32>,
    /// None, and no number of lines either: lines for what the account holds now.
    items: Option<Vec<Line>>,
    /// How many lines to make up.
    lines: Option<u64>,
    /// Those lines are of the account's droplets, one after the other and again from the first; else of nobody's.
    of_droplets: bool,
    format: Format,
    old_names: bool,
    tax: Option<(i64, String)>,
    amount: Option<Money>,
    csv: Option<String>,
    /// When it was issued: its place in the history.
    #[serde(deserialize_with = "lines::instant")]
    issued_at: Option<i64>,
    /// In the history, and not in the list of invoices.
    unlisted: bool,
    /// The running month's, not a closed one.
    preview: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Patch {
    amount: Option<Money>,
    /// Null: the file its lines make.
    #[serde(deserialize_with = "given")]
    csv: Option<Option<String>>,
    format: Option<Format>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct BalancePatch {
    account_balance: Option<Money>,
    month_to_date_usage: Option<Money>,
    generated_at: Option<String>,
}

/// Tells null from nothing.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

fn read<T: serde::de::DeserializeOwned>(body: Value) -> Result<T, Problem> {
    serde_json::from_value(body).map_err(|error| Problem::unprocessable(error.to_string()))
}

impl World {
    /// Everything about the account's money: balance, invoices (newest first, with their numbers of lines), history.
    pub fn billing(&mut self) -> Value {
        self.ledger.make();
        let ledger = &self.ledger;
        let shown = |invoice: &Invoice| {
            let mut header = invoice.header();
            let count = u64::try_from(invoice.lines.len()).unwrap_or(0)
                + invoice.bulk.as_ref().map_or(0, |bulk| bulk.lines);
            header.insert("lines".to_owned(), Value::from(count));
            header.insert("issued_at".to_owned(), Value::from(invoice.issued_at.as_str()));
            Value::Object(header)
        };
        json!({
            "account_balance": ledger.balance.account_balance.text(),
            "generated_at": ledger.balance.generated_at,
            "invoices": ledger.invoices.iter().rev().map(shown).collect::<Vec<_>>(),
            "preview": ledger.preview.as_ref().map(shown),
            "history": ledger.history.iter().rev().map(Entry::json).collect::<Vec<_>>(),
        })
    }

    /// Add an invoice; answers its header.
    pub fn add_invoice(&mut self, spec: Value) -> Result<Value, Problem> {
        self.ledger.make();
        let asked: Asked = read(spec)?;
        let period = asked
            .period
            .unwrap_or_else(|| period_of(clock::WORLD_START - 40 * 86_400));
        let month = Month {
            period,
            from_day: asked.from_day,
            until_day: asked.until_day,
            format: asked.format,
            old_names: asked.old_names,
            tax: asked.tax,
        };
        let span = span(&month).ok_or_else(|| Problem::unprocessable("period must be like 2025-10"))?;
        let estate = Estate::of(self);
        let before = std::mem::replace(&mut self.ledger.estate, estate);
        let mut invoice = self.ledger.invoice(&month, span);
        let estate = std::mem::replace(&mut self.ledger.estate, before);
        if asked.items.is_some() || asked.lines.is_some() {
            invoice.lines = asked.items.unwrap_or_default();
        }
        let droplets = if asked.of_droplets {
            estate.droplets()
        } else {
            Vec::new()
        };
        if asked.of_droplets && droplets.is_empty() {
            return Err(Problem::unprocessable("the account has no droplets"));
        }
        invoice.bulk = asked.lines.map(|lines| Bulk {
            lines,
            from: span.month.0,
            to: span.month.1,
            droplets: droplets.into(),
        });
        (invoice.amount, invoice.file, invoice.unlisted) = (asked.amount, asked.csv, asked.unlisted);
        if let Some(at) = asked.issued_at {
            invoice.issued_at = clock::rfc3339(at);
        }
        if let Some(uuid) = asked.uuid {
            invoice.uuid = uuid;
        }
        while self.ledger.find(&invoice.uuid).is_ok() {
            invoice.uuid = chance::uuid(self.ledger.seed, &invoice.uuid, 1);
        }
        let header = Value::Object(invoice.header());
        if asked.preview {
            self.ledger.preview = Some(invoice);
        } else {
            self.ledger.issue(invoice);
            self.ledger.history.sort_by(|one, two| one.date.cmp(&two.date));
        }
        Ok(header)
    }

    /// `amount`, `csv` (null: as the lines are) and `format` of an invoice, by uuid or `preview`.
    pub fn change_invoice(&mut self, uuid: &str, patch: Value) -> Result<(), Problem> {
        self.ledger.make();
        let patch: Patch = read(patch)?;
        let ledger = &mut self.ledger;
        let mut all = ledger.invoices.iter_mut().chain(&mut ledger.preview);
        let preview = uuid == "preview";
        let invoice = if preview {
            all.next_back()
        } else {
            all.find(|invoice| invoice.uuid == uuid)
        };
        let invoice = invoice.ok_or_else(Problem::not_found)?;
        invoice.amount = patch.amount.or(invoice.amount);
        if let Some(file) = patch.csv {
            invoice.file = file;
        }
        if let Some(format) = patch.format {
            invoice.format = format;
        }
        Ok(())
    }

    /// Take an invoice away, its entry in the history too.
    pub fn forget_invoice(&mut self, uuid: &str) -> Result<(), Problem> {
        self.ledger.make();
        self.ledger.find(uuid)?;
        self.ledger.invoices.retain(|invoice| invoice.uuid != uuid);
        self.ledger
            .history
            .retain(|entry| entry.invoice.as_ref().is_none_or(|(_, of)| of != uuid));
        Ok(())
    }

    /// `account_balance`, `month_to_date_usage`, `generated_at`: what is left out stays.
    pub fn change_balance(&mut self, patch: Value) -> Result<(), Problem> {
        let patch: BalancePatch = read(patch)?;
        let balance = &mut self.ledger.balance;
        balance.account_balance = patch.account_balance.unwrap_or(balance.account_balance);
        balance.month_to_date_usage = patch.month_to_date_usage.or(balance.month_to_date_usage);
        if let Some(at) = patch.generated_at {
            lines::seconds(&at).ok_or_else(|| Problem::unprocessable("generated_at is no instant"))?;
            balance.generated_at = at;
        }
        Ok(())
    }

    /// An entry of the history: `date`, `type`, `description`, `amount`.
    pub fn add_history(&mut self, entry: Value) -> Result<(), Problem> {
        self.ledger.make();
        let entry: Entry = read(entry)?;
        let at = self
            .ledger
            .history
            .partition_point(|other| other.date <= entry.date);
        self.ledger.history.insert(at, entry);
        Ok(())
    }
}

impl Ledger {
    /// The control endpoint's part below `/_sim/billing`.
    pub fn control(
        world: &mut World,
        method: &str,
        path: &[&str],
        body: Value,
    ) -> Result<(u16, Value), Problem> {
        let done = |()| (204, Value::Null);
        match (method, path) {
            ("GET", []) => Ok((200, world.billing())),
            ("POST", ["invoices"]) => Ok((201, world.add_invoice(body)?)),
            ("PATCH", ["invoices", uuid]) => world.change_invoice(uuid, body).map(done),
            ("DELETE", ["invoices", uuid]) => world.forget_invoice(uuid).map(done),
            ("PATCH", ["balance"]) => world.change_balance(body).map(done),
            ("POST", ["history"]) => world.add_history(body).map(done),
            _ => Err(Problem::not_found()),
        }
    }
}
