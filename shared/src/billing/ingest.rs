//! `ingest-invoice`: one invoice, from DigitalOcean's files to matched and reconciled lines.
//!
//! Runs once per message, under a lease of that invoice's own, and again as often as SQS likes: one that has been
//! ingested costs nothing more. What is wrong with the invoice itself is written down and done with; what may be
//! better next time is the run's failure, and the message comes back. An invoice whose items are very many, or too many for
//! what time and requests there are, is stored first and gets its ids behind ([`super::ids`]), by this message and by
//! later ones. It refuses to store half an invoice:
//! rows that cannot be read, or fewer of them than the invoice has items while the sum is wrong, leave everything as
//! it was.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use rust_decimal::Decimal;
use serde::Serialize;

use super::ids;
use super::items::Items;
use super::lines::{self, Ids, Sum};
use super::reconcile::Reconciliation;
use super::store::{self, Header};
use super::{Error, LedgerReport};
use crate::digitalocean;
use crate::digitalocean::billing::{self, Item};
use crate::digitalocean::item::Members;
use crate::digitalocean::listing::{Entry, Incomplete, Unreadable};
use crate::runs::Tick;
use crate::sync::{self, Failure, Report, RunOutcome, Station, Token, Upstream};

/// The worker's name.
pub const INGEST: &str = "ingest-invoice";

/// Beyond so many lines their items are read behind them: five hundred pages are three minutes of a token, which is what
/// an invocation has, and some 25 MB.
const MOST_ITEMS: u32 = 100_000;
/// So many lines have no more items than a token has pages in a minute: nothing but a fault keeps them from being read.
const ITEMS_OF_A_MINUTE: u32 = 40_000;

/// What became of an invoice.
#[derive(Clone, Debug, Serialize)]
pub struct Ingested {
    /// Which.
    pub invoice_uuid: String,
    /// `ingested`, `unchanged`, or `quarantined`.
    pub status: &'static str,
    /// Its lines.
    pub lines: u32,
    /// Lines that some resource caused.
    pub of_resources: u32,
    /// Those that are matched.
    pub matched: u32,
    /// What the lines add up to.
    pub total: Decimal,
    /// What the invoice asks for.
    pub amount: Decimal,
    /// `reconciled`, `rounded` or `mismatch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reconciliation: Option<&'static str>,
    /// Why it is quarantined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Ingests one invoice. Boxed, as [`sync::run_at`] is.
pub fn ingest_at<'a>(
    station: &'a Station,
    invoice_uuid: &'a str,
    now: DateTime<Utc>,
    time_left: Option<Duration>,
) -> futures_util::future::BoxFuture<'a, Report> {
    async move {
        let mut report = Report::of(INGEST, Tick::default());
        let header = match store::header(&station.pool, invoice_uuid).await {
            Ok(Some(header)) if !header.is_preview() => header,
            Ok(_) => {
                report.fail(&Error::Unknown(invoice_uuid.chars().take(64).collect()).into());
                return report;
            }
            Err(error) => {
                report.fail(&error.into());
                return report;
            }
        };
        let stored = header.ingest_status == "ingested";
        if stored && header.items_page.is_none() {
            report.outcome = RunOutcome::Done;
            return report;
        }
        let lease = format!("{INGEST} {invoice_uuid}");
        let known = header.clone();
        let report = sync::under_lease(station, &lease, report, now, time_left, |upstream, report| {
            async move {
                let token = upstream.open().await?;
                if stored {
                    return ids::read_on(upstream, &token, &known.invoice_uuid, report).await;
                }
                let ingested = ingest(upstream, &token, &known, report).await?;
                report.ledger.insert(LedgerReport::default()).ingested = Some(ingested);
                ids::read_on(upstream, &token, &known.invoice_uuid, report).await
            }
            .boxed()
        })
        .await;
        if let Some(error) = report.error.as_deref()
            && let Err(unsaid) = store::note(&station.pool, &header, error).await
        {
            tracing::warn!(invoice_uuid, %unsaid, "the failure was not written down");
        }
        report
    }
    .boxed()
}

/// Fetches, reads, checks, replaces.
pub(super) async fn ingest(
    upstream: &mut Upstream<'_>,
    token: &Token,
    header: &Header,
    report: &mut Report,
) -> Result<Ingested, Failure> {
    let (pool, now) = (&upstream.station().pool, upstream.now());
    let uuid = &header.invoice_uuid;
    let fetched = upstream.once(token, |session, now| {
        let uuid = header.invoice_uuid.clone();
        async move { session.csv(&uuid, now).await }.boxed()
    });
    let csv = match fetched.await {
        Ok(csv) => csv,
        Err(Failure::Upstream(digitalocean::Error::Unreadable(404))) => {
            return refuse(
                upstream,
                header,
                "DigitalOcean knows no such invoice (404)".to_owned(),
            )
            .await;
        }
        Err(failure) => return Err(failure),
    };
    let sum = match lines::check(&csv) {
        Ok(sum) => sum,
        Err(refusal) => return refuse(upstream, header, refusal.to_string()).await,
    };
    let ids = items(upstream, token, header, sum, report).await?;
    let mismatch = Reconciliation::of(header.amount, sum.total, sum.lines) == Reconciliation::Mismatch;
    if let Ids::Of(items) = &ids
        && mismatch
        && items.len() > sum.lines as usize
        && !header.is_preview()
    {
        let reason = format!(
            "the CSV has {} rows and the invoice {} items",
            sum.lines,
            items.len()
        );
        return refuse(upstream, header, reason).await;
    }
    upstream.hold_on().await?;
    let replaced = lines::replace(pool, upstream.lease(), header, &csv, sum, ids, now).await?;
    if replaced.reconciliation == Reconciliation::Mismatch {
        tracing::error!(
            invoice_uuid = uuid,
            error_class = "mismatch",
            "the lines of an invoice do not add up to its amount"
        );
    }
    Ok(Ingested {
        invoice_uuid: uuid.clone(),
        status: if replaced.unchanged {
            "unchanged"
        } else {
            "ingested"
        },
        lines: replaced.lines,
        of_resources: replaced.of_resources,
        matched: replaced.matched,
        total: replaced.total,
        amount: header.amount,
        reconciliation: Some(replaced.reconciliation.name()),
        reason: None,
    })
}

/// The items' ids. Without them names have to do.
async fn items(
    upstream: &mut Upstream<'_>,
    token: &Token,
    header: &Header,
    sum: Sum,
    report: &mut Report,
) -> Result<Ids, Failure> {
    if sum.lines > MOST_ITEMS {
        return Ok(Ids::Later);
    }
    let (mut items, mut seen) = (Items::default(), 0_u32);
    let end = upstream
        .walk(
            token,
            &billing::items(&header.invoice_uuid),
            &Members::whole(),
            &mut |item| {
                seen += 1;
                let item: Item = serde_json::from_str(item.text())
                    .map_err(|_| Unreadable("an item of the invoice".into()))?;
                items
                    .add(&item)
                    .map_err(|what| Unreadable(format!("an item of the invoice ({what})").into()))?;
                Ok(Entry::Beside(seen.to_string()))
            },
        )
        .await?;
    let failure: Failure = match end {
        Ok(_) => return Ok(Ids::Of(items)),
        // Not for this token, or not as documented: asking again would not help.
        Err(
            incomplete @ (Incomplete::Page {
                error: digitalocean::Error::Unreadable(_),
                ..
            }
            | Incomplete::Doubt(_)),
        ) => {
            report.notes.push(format!(
                "matched without the items of {}: {incomplete}",
                header.invoice_uuid
            ));
            return Ok(Ids::Unknown);
        }
        Err(Incomplete::Page { error, .. }) => error.into(),
        Err(Incomplete::Stopped(_)) => Failure::NoTime,
    };
    // What passes and has not: a long invoice's later messages ask again, for the pages that are left. Money does not
    // wait for ids.
    let passes = matches!(&failure, Failure::Upstream(error) if error.is_transient());
    if sum.lines > ITEMS_OF_A_MINUTE && (passes || ids::for_now(&failure)) {
        return Ok(Ids::Later);
    }
    Err(failure)
}

async fn refuse(upstream: &Upstream<'_>, header: &Header, reason: String) -> Result<Ingested, Failure> {
    store::quarantine(&upstream.station().pool, header, &reason).await?;
    tracing::error!(
        invoice_uuid = header.invoice_uuid,
        error_class = "quarantined",
        reason,
        "an invoice cannot be read"
    );
    Ok(Ingested {
        invoice_uuid: header.invoice_uuid.clone(),
        status: "quarantined",
        lines: 0,
        of_resources: 0,
        matched: 0,
        total: Decimal::ZERO,
        amount: header.amount,
        reconciliation: None,
        reason: Some(reason),
    })
}
