//! `sync-billing-history`: which invoices there are, once a day.
//!
//! Every page of the history is read; each entry of the type `Invoice` that names one becomes a header, whose month
//! the list of invoices knows. Then: messages for what is pending, the running month, and a second look at what has no
//! match. A backfill puts invoices back into the queue, and as a dry run says what it would do and does nothing. It
//! refuses to take payments and credits for charges.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Months, NaiveDate, Utc};
use futures_util::FutureExt;
use serde::Serialize;

use super::store::{self, Header, Heading};
use super::{PREVIEW, figure, ids, ingest, outbox, rematch};
use crate::digitalocean::billing::{self, Booking, Listed};
use crate::digitalocean::item::Members;
use crate::digitalocean::listing::{Entry, Incomplete, Unreadable};
use crate::sync::{Failure, Report, Token, Upstream};

/// What one invoice costs in requests: the account, the CSV, its items.
const REQUESTS: usize = 3;
/// A token's requests a minute.
const A_MINUTE: usize = 250;

/// Asks for invoices to be ingested again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backfill {
    /// From this month on; `None` for all.
    pub from: Option<NaiveDate>,
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// Those that have been ingested, too.
    pub force: bool,
}

/// What a backfill would do.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Invoices in the history, from the month asked for.
    pub found: usize,
    /// Those that have been ingested.
    pub ingested: usize,
    /// Those that could not be read.
    pub quarantined: usize,
    /// Messages to send.
    pub to_send: usize,
    /// Requests to DigitalOcean that they would cost.
    pub requests: usize,
    /// Minutes that these take at least.
    pub minutes: usize,
}

pub(crate) async fn run(
    upstream: &mut Upstream<'_>,
    token: &Token,
    backfill: Option<Backfill>,
    report: &mut Report,
) -> Result<(), Failure> {
    let now = upstream.now();
    let headings = read(upstream, token, report).await?;
    let pool = &upstream.station().pool;
    report.ledger.get_or_insert_default().invoices = Some(headings.len());
    if let Some(backfill) = backfill.filter(|backfill| backfill.dry_run) {
        let stored = store::headers(pool).await?;
        report.ledger.get_or_insert_default().plan = Some(plan(&headings, &stored, backfill));
        return Ok(());
    }
    let new = store::keep_headings(pool, &headings, now).await?;
    if let Some(backfill) = backfill {
        let stored = store::headers(pool).await?;
        let again: Vec<String> = stored
            .iter()
            .filter(|header| backfill.wants(header.period, Some(&header.ingest_status)))
            .map(|header| header.invoice_uuid.clone())
            .collect();
        store::put_back(pool, &again).await?;
    }
    let ledger = report.ledger.get_or_insert_default();
    ledger.new = Some(new);
    ledger.sent = Some(outbox::send(upstream).await?);
    preview(upstream, token, report).await?;
    let rematched = rematch::run(upstream).await?;
    report.ledger.get_or_insert_default().rematched = Some(rematched);
    Ok(())
}

/// All invoices of the history, each once.
async fn read(
    upstream: &mut Upstream<'_>,
    token: &Token,
    report: &mut Report,
) -> Result<Vec<Heading>, Failure> {
    let (mut entries, mut listed, mut seen) = (Vec::new(), BTreeMap::new(), 0_usize);
    let whole = Members::whole();
    let history = upstream
        .walk(token, &billing::history(), &whole, &mut |item| {
            seen += 1;
            let entry: Booking = serde_json::from_str(item.text())
                .map_err(|_| Unreadable("an entry of the history".into()))?;
            let invoice = entry.invoice_uuid.clone().filter(|uuid| !uuid.is_empty());
            // Other entries have no id of their own, and two of them may well be equal.
            let Some(invoice) = invoice.filter(|_| entry.kind == "Invoice") else {
                return Ok(Entry::Beside(format!("#{seen}")));
            };
            if !is_uuid(&invoice) {
                return Err(Unreadable("the uuid of an invoice".into()));
            }
            let amount =
                figure("amount", &entry.amount).map_err(|_| Unreadable("the amount of an invoice".into()))?;
            entries.push((invoice.clone(), amount, entry));
            Ok(Entry::One(invoice))
        })
        .await?;
    let list = upstream
        .walk(token, &billing::invoices(), &whole, &mut |item| {
            let invoice: Listed =
                serde_json::from_str(item.text()).map_err(|_| Unreadable("an invoice".into()))?;
            let uuid = invoice.invoice_uuid.clone();
            listed.insert(uuid.clone(), invoice);
            Ok(Entry::One(uuid))
        })
        .await?;
    for (end, what) in [(history, "the history"), (list, "the list of invoices")] {
        if let Err(incomplete) = end {
            refuse_to_go_on(&incomplete)?;
            // What was seen is true; what was not is found by the next run.
            report.incomplete(format!("{what}: {incomplete}"));
        }
    }
    let mut headings = BTreeMap::new();
    for (invoice, amount, entry) in entries {
        let listed = listed.get(&invoice);
        let heading = Heading {
            period: period(
                listed.map(|listed| listed.invoice_period.as_str()),
                &entry.description,
                entry.date,
            ),
            invoice_id: entry
                .invoice_id
                .or_else(|| listed?.invoice_id.clone())
                .filter(|id| !id.is_empty()),
            issued_at: entry.date,
            invoice_uuid: invoice.clone(),
            amount,
        };
        headings.insert(invoice, heading);
    }
    Ok(headings.into_values().collect())
}

/// The running month: shown beside the invoices and never among them.
async fn preview(upstream: &mut Upstream<'_>, token: &Token, report: &mut Report) -> Result<(), Failure> {
    let listed = upstream
        .once(token, |session, now| session.preview(now).boxed())
        .await?;
    let Some(listed) = listed else {
        report.notes.push("there is no running month".to_owned());
        return Ok(());
    };
    let (now, pool) = (upstream.now(), &upstream.station().pool);
    let heading = Heading {
        invoice_uuid: PREVIEW.to_owned(),
        invoice_id: None,
        period: period(Some(&listed.invoice_period), "", now),
        amount: figure("amount of the preview", &listed.amount)?,
        issued_at: listed.updated_at.unwrap_or(now),
    };
    store::keep_headings(pool, &[heading], now).await?;
    let Some(header) = store::header(pool, PREVIEW).await? else {
        return Ok(());
    };
    let ingested = ingest::ingest(upstream, token, &header, report).await?;
    report.ledger.get_or_insert_default().preview = Some(ingested);
    // A running month of that many lines has tomorrow's file before it has all ids of today's.
    ids::read_on(upstream, token, PREVIEW, report).await
}

/// A list that may not be read ends the run; one that could not be read this time does not.
fn refuse_to_go_on(incomplete: &Incomplete) -> Result<(), Failure> {
    match incomplete {
        Incomplete::Page { error, .. } if !error.is_transient() => Err(error.clone().into()),
        _ => Ok(()),
    }
}

/// What may stand in a path of DigitalOcean's and as a name of ours.
pub(super) fn is_uuid(text: &str) -> bool {
    text != PREVIEW
        && (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The month that an invoice bills: what the list says, else its description, else the month before it was issued.
/// An invoice of the middle of a month was issued because usage had passed a threshold, and bills that month.
fn period(listed: Option<&str>, description: &str, issued_at: DateTime<Utc>) -> NaiveDate {
    let month = |text: &str| NaiveDate::parse_from_str(&format!("{text}-01"), "%Y-%m-%d").ok();
    let said = listed.and_then(month);
    let told = || {
        let told = description.split(" for ").nth(1)?;
        let worded = NaiveDate::parse_from_str(&format!("1 {told}"), "%d %B %Y").ok();
        worded.or_else(|| month(told))
    };
    let issued = issued_at.date_naive();
    let first = issued.with_day(1).unwrap_or(issued);
    let guessed = || match issued.day() {
        1..=3 => first.checked_sub_months(Months::new(1)).unwrap_or(first),
        _ => first,
    };
    said.or_else(told).unwrap_or_else(guessed)
}

impl Backfill {
    /// Whether an invoice of this month, in this state, is to be ingested (again).
    fn wants(&self, period: NaiveDate, status: Option<&str>) -> bool {
        self.from.is_none_or(|from| period >= from) && (self.force || status != Some("ingested"))
    }
}

fn plan(headings: &[Heading], stored: &[Header], backfill: Backfill) -> Plan {
    let status: BTreeMap<&str, &str> = stored
        .iter()
        .map(|header| (header.invoice_uuid.as_str(), header.ingest_status.as_str()))
        .collect();
    let wanted = headings
        .iter()
        .filter(|heading| backfill.from.is_none_or(|from| heading.period >= from));
    let states: Vec<_> = wanted
        .map(|heading| (heading.period, status.get(heading.invoice_uuid.as_str()).copied()))
        .collect();
    let with = |word| states.iter().filter(|(_, state)| *state == Some(word)).count();
    let to_send = states
        .iter()
        .filter(|(period, state)| backfill.wants(*period, *state))
        .count();
    Plan {
        found: states.len(),
        ingested: with("ingested"),
        quarantined: with("quarantined"),
        to_send,
        requests: to_send * REQUESTS,
        minutes: (to_send * REQUESTS).div_ceil(A_MINUTE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_billed_month_is_the_surest_of_three_sayings() {
        for (listed, description, issued, month) in [
            (
                Some("2018-05"),
                "Invoice for June 2017",
                "2018-06-01T08:44:38Z",
                "2018-05-01",
            ),
            (None, "Invoice for May 2018", "2018-06-01T08:44:38Z", "2018-05-01"),
            (
                Some("soon"),
                "Invoice for May 2018",
                "2018-06-01T08:44:38Z",
                "2018-05-01",
            ),
            (None, "Invoice", "2018-06-01T08:44:38Z", "2018-05-01"),
            (None, "Invoice", "2018-01-02T00:00:00Z", "2017-12-01"),
            (None, "Invoice for 2018-05", "2018-06-17T08:44:38Z", "2018-05-01"),
            (None, "Invoice for somebody", "2018-06-17T08:44:38Z", "2018-06-01"),
        ] {
            assert_eq!(
                period(listed, description, issued.parse().unwrap()).to_string(),
                month
            );
        }
    }

    #[test]
    fn a_plan_counts_what_a_backfill_would_send() {
        let heading = |uuid: &str, period: &str| Heading {
            invoice_uuid: uuid.into(),
            invoice_id: None,
            period: period.parse().unwrap(),
            amount: 1.into(),
            issued_at: DateTime::UNIX_EPOCH,
        };
        let header = |uuid: &str, status: &str| Header {
            id: uuid::Uuid::nil(),
            invoice_uuid: uuid.into(),
            period: "2020-01-01".parse().unwrap(),
            amount: 1.into(),
            ingest_status: status.into(),
            items_page: None,
        };
        let headings = [
            heading("a", "2013-12-01"),
            heading("b", "2014-01-01"),
            heading("c", "2014-02-01"),
            heading("d", "2014-02-01"),
        ];
        let stored = [
            header("a", "pending"),
            header("b", "ingested"),
            header("c", "quarantined"),
        ];
        let counts = |from: Option<&str>, force| {
            let from = from.map(|from| from.parse().unwrap());
            let plan = plan(
                &headings,
                &stored,
                Backfill {
                    from,
                    dry_run: true,
                    force,
                },
            );
            (
                plan.found,
                plan.ingested,
                plan.quarantined,
                plan.to_send,
                plan.requests,
                plan.minutes,
            )
        };
        assert_eq!(counts(None, false), (4, 1, 1, 3, 9, 1));
        assert_eq!(counts(Some("2014-01-01"), false), (3, 1, 1, 2, 6, 1));
        assert_eq!(counts(Some("2014-01-01"), true), (3, 1, 1, 3, 9, 1));
        assert_eq!(counts(Some("2020-01-01"), true), (0, 0, 0, 0, 0, 0));
    }

    #[test]
    fn the_running_month_is_no_invoice() {
        assert!(is_uuid("22737513-0ea7-4206-8ceb-98a575af7681") && is_uuid("example-uuid"));
        for odd in ["preview", "", "a/b", "a b", "..", "a?b", &"x".repeat(65)] {
            assert!(!is_uuid(odd), "{odd}");
        }
    }
}
