//! The ids of an invoice whose items cannot be read first, because they are too many or there is no time for them: behind
//! its lines, page by page.
//!
//! Such an invoice is stored, summed and matched by names at once; its header remembers which page of its items comes
//! next, and every message of it reads on from there for as long as its invocation and the token last. A block of
//! pages and the number of the next one are one transaction: a run that dies repeats a block and writes it once. After
//! the last block the lines are what they would be had all items been there first (but for which of two equal lines has
//! which of their two ids, as pages of items come in any order). It refuses to write unless the header still waits for
//! this very page: lines that were replaced meanwhile begin again.

use std::collections::BTreeSet;

use futures_util::{FutureExt, TryStreamExt};
use sqlx::PgConnection;
use uuid::Uuid;

use super::csv::Line;
use super::directory::plan_each_time;
use super::items::Items;
use super::store::{self, Header};
use super::{Error, lines};
use crate::digitalocean;
use crate::runs::Lease;
use crate::sync::{Failure, Report, Token, Upstream};

/// Pages that are read and written together: 20,000 items, each block one look at all lines of the invoice.
const BLOCK: usize = 100;

/// Items of some pages, and what to look for their lines by.
#[derive(Default)]
struct Block {
    items: Items,
    descriptions: BTreeSet<String>,
}

/// How reading a block ended.
enum End {
    /// There are more pages.
    More,
    /// That was the last page.
    Last,
    /// The items may not be read, or are not as documented: names have to do.
    Never(String),
    /// For now.
    Failed(Failure),
}

/// A line that an item has been found for.
struct Found {
    line: Line,
    ids: Vec<String>,
    matched: bool,
}

/// Reads on where the header says, to the last page or to the end of the time.
pub(super) async fn read_on(
    upstream: &mut Upstream<'_>,
    token: &Token,
    invoice_uuid: &str,
    report: &mut Report,
) -> Result<(), Failure> {
    let pool = &upstream.station().pool;
    while let Some(header) = store::header(pool, invoice_uuid).await? {
        let Some(first) = header.items_page else { break };
        if !upstream.has_time() {
            report.notes.push(waiting(&header, first));
            break;
        }
        let (block, next, end) = read(upstream, token, &header, first).await;
        if let End::Failed(Failure::Fenced) = end {
            return Err(Failure::Fenced);
        }
        upstream.hold_on().await?;
        let next = match &end {
            End::More | End::Failed(_) => Some(next),
            End::Last | End::Never(_) => None,
        };
        if !write(pool, upstream.lease(), &header, first, next, block).await? {
            break;
        }
        match end {
            End::More => {}
            End::Last => break,
            End::Never(why) => {
                let note = format!("matched without the items of {invoice_uuid} from page {first} on: {why}");
                report.notes.push(note);
                break;
            }
            // What has been read is kept; the next message goes on.
            End::Failed(failure) if for_now(&failure) || !upstream.has_time() => {
                report.notes.push(waiting(&header, next.unwrap_or(first)));
                break;
            }
            End::Failed(failure) => return Err(failure),
        }
    }
    Ok(())
}

/// Whether it is time or requests that there are no more of: no fault, and no reason for this message to come back.
pub(super) fn for_now(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::NoTime
            | Failure::NotBefore(_)
            | Failure::Upstream(digitalocean::Error::Exhausted(_) | digitalocean::Error::Burst(_))
    )
}

fn waiting(header: &Header, page: i32) -> String {
    format!("the items of {} wait from page {page} on", header.invoice_uuid)
}

/// A block's items, and the page that comes next.
async fn read(upstream: &mut Upstream<'_>, token: &Token, header: &Header, first: i32) -> (Block, i32, End) {
    let (mut block, mut page) = (Block::default(), first);
    for _ in 0..BLOCK {
        let number = u32::try_from(page).unwrap_or(1);
        let asked = upstream.once(token, |session, now| {
            let uuid = header.invoice_uuid.clone();
            async move { session.items(&uuid, number, now).await }.boxed()
        });
        let some = match asked.await {
            Ok(some) => some,
            Err(Failure::Upstream(error @ digitalocean::Error::Unreadable(_))) => {
                return (block, page, End::Never(error.to_string()));
            }
            Err(failure) => return (block, page, End::Failed(failure)),
        };
        for item in &some.items {
            if let Err(what) = block.items.add(item) {
                let why = format!("an item of the invoice cannot be read ({what})");
                return (block, page, End::Never(why));
            }
            block.descriptions.insert(item.description.trim().to_owned());
        }
        page = page.saturating_add(1);
        if !some.more {
            return (block, page, End::Last);
        }
    }
    (block, page, End::More)
}

/// Gives lines the ids of these items and matches them again, all of it or nothing. False: the header waits for
/// another page by now.
async fn write(
    pool: &crate::database::Pool,
    lease: &Lease,
    header: &Header,
    page: i32,
    next: Option<i32>,
    block: Block,
) -> Result<bool, Error> {
    let mut transaction = pool.begin().await?;
    lines::take_time(&mut transaction).await?;
    let waits = sqlx::query_scalar!(
        "SELECT items_page FROM cloud_invoices WHERE id = $1 FOR UPDATE",
        header.id
    )
    .fetch_one(&mut *transaction)
    .await?;
    if !lease.holds(&mut transaction).await? {
        return Err(Error::Fenced);
    }
    if waits != Some(page) {
        return Ok(false);
    }
    let found = find(&mut transaction, header, block).await?;
    let before = found.iter().filter(|found| found.matched).count();
    let mut after = 0;
    for some in found.chunks(lines::BATCH) {
        after += rewrite(&mut transaction, header, some).await?;
    }
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    sqlx::query!(
        "UPDATE cloud_invoices SET items_page = $2, matched_lines = matched_lines + $3 WHERE id = $1",
        header.id,
        next,
        count(after) - count(before)
    )
    .execute(&mut *transaction)
    .await?;
    if next.is_none() && (page > 1 || !found.is_empty()) {
        // What had lost its match to a namesake may have it back, and the other way round.
        lines::rematch(&mut transaction, header).await?;
    }
    transaction.commit().await?;
    Ok(true)
}

/// The lines of a block's items, in their order: the first of equal ones that have no id yet.
async fn find(connection: &mut PgConnection, header: &Header, block: Block) -> Result<Vec<Found>, Error> {
    let Block {
        mut items,
        descriptions,
    } = block;
    let descriptions: Vec<String> = descriptions.into_iter().collect();
    // Of descriptions that the plan knows each line's is looked up; of any there may be, each is compared with all.
    plan_each_time(connection, true).await?;
    let mut rows = sqlx::query!(
        r#"SELECT line_no, product, group_description, description, amount, starts_at, ends_at,
                  match_rule IS NOT NULL AND class = 'resource' AS "matched!"
           FROM cloud_cost_lines
           WHERE cloud_invoice_id = $1 AND provider_resource_id IS NULL AND description = ANY ($2)
           ORDER BY line_no"#,
        header.id,
        &descriptions
    )
    .fetch(&mut *connection);
    let mut found = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let line = Line {
            number: u32::try_from(row.line_no).unwrap_or(0),
            product: row.product,
            group: row.group_description,
            description: row.description,
            hours: None,
            start: row.starts_at,
            end: row.ends_at,
            amount: row.amount,
            project: String::new(),
            category: String::new(),
        };
        let ids = items.take(&line);
        if !ids.is_empty() {
            found.push(Found {
                line,
                ids,
                matched: row.matched,
            });
        }
    }
    drop(rows);
    plan_each_time(connection, false).await?;
    Ok(found)
}

/// Writes ids and what is matched by them. Answers how many lines of resources are matched.
async fn rewrite(connection: &mut PgConnection, header: &Header, found: &[Found]) -> Result<usize, Error> {
    let asked = found.iter().map(|found| (&found.line, found.ids.as_slice()));
    let (matches, of_resources) = lines::look_up(connection, header, asked).await?;
    let numbers: Vec<i32> = found
        .iter()
        .map(|found| i32::try_from(found.line.number).unwrap_or(0))
        .collect();
    let ids: Vec<String> = found
        .iter()
        .filter_map(|found| found.ids.first().cloned())
        .collect();
    let resources: Vec<Option<Uuid>> = matches.iter().map(|found| found.map(|(id, _)| id)).collect();
    let rules: Vec<Option<String>> = matches
        .iter()
        .map(|found| found.map(|(_, rule)| rule.name().to_owned()))
        .collect();
    sqlx::query!(
        "UPDATE cloud_cost_lines l SET provider_resource_id = m.id, cloud_resource_id = m.resource, match_rule = m.rule
         FROM unnest($2::int[], $3::text[], $4::uuid[], $5::text[]) AS m (line_no, id, resource, rule)
         WHERE l.cloud_invoice_id = $1 AND l.line_no = m.line_no",
        header.id,
        &numbers,
        &ids,
        &resources as &[Option<Uuid>],
        &rules as &[Option<String>]
    )
    .execute(connection)
    .await?;
    Ok(of_resources)
}
