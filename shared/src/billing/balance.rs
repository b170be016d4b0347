//! `sync-balance`: what is owed just now, once an hour.
//!
//! DigitalOcean computes the figure at times of its own and says when: the same time again is the same reading. The
//! run also sends again what waits for the queue.

use futures_util::FutureExt;

use super::store::{self, Reading};
use super::{LedgerReport, figure, outbox};
use crate::sync::{Failure, Report, Token, Upstream};

pub(crate) async fn run(
    upstream: &mut Upstream<'_>,
    token: &Token,
    report: &mut Report,
) -> Result<(), Failure> {
    let balance = upstream
        .once(token, |session, now| session.balance(now).boxed())
        .await?;
    let reading = Reading {
        generated_at: balance.generated_at,
        month_to_date_balance: figure("month_to_date_balance", &balance.month_to_date_balance)?,
        account_balance: figure("account_balance", &balance.account_balance)?,
        month_to_date_usage: figure("month_to_date_usage", &balance.month_to_date_usage)?,
    };
    let kept = store::keep_balance(&upstream.station().pool, &reading, upstream.now()).await?;
    let ledger = report.ledger.insert(LedgerReport::default());
    ledger.balance = Some(if kept { "recorded" } else { "known" });
    ledger.sent = Some(outbox::send(upstream).await?);
    Ok(())
}
