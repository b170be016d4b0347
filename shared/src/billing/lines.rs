//! An invoice's set of lines: replaced as a whole, in one transaction, or not at all.
//!
//! The CSV is read twice, in [`check`] without keeping a line and in [`replace`] a batch at a time, so that an invoice
//! of a million lines costs its packed bytes and never its lines. The header's row is locked first: of two deliveries
//! one waits and then finds the work done. Lines go in by `unnest`, because Postgres has no COPY into a table with
//! row-level security. [`rematch`] changes the match of lines that have none, and nothing else.

use chrono::{DateTime, Months, NaiveTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Error;
use super::csv::{Line, Lines, Refusal};
use super::directory::{Directory, Match, Wanted};
use super::items::Items;
use super::matching::{self, Question, Span};
use super::product::{self, Charge, Class};
use super::reconcile::Reconciliation;
use super::store::Header;
use crate::database::Pool;
use crate::digitalocean::billing::Csv;
use crate::runs::Lease;

/// Lines that are looked up and written together.
pub(super) const BATCH: usize = 2_000;

/// What the database's own check refuses.
const MOST: Decimal = Decimal::from_parts(0xA4C6_8000, 0x0003_8D7E, 0, false, 0);

/// What a CSV comes to, every row of it read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) lines: u32,
    pub(super) total: Decimal,
}

/// What is stored now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replaced {
    pub(super) lines: u32,
    pub(super) of_resources: u32,
    pub(super) matched: u32,
    pub(super) total: Decimal,
    pub(super) reconciliation: Reconciliation,
    /// The same bytes had been ingested: nothing was written.
    pub(super) unchanged: bool,
}

/// Reads every row and adds the amounts up; keeps nothing.
pub(super) fn check(csv: &Csv) -> Result<Sum, Refusal> {
    let mut sum = Sum::default();
    for line in Lines::of(csv.read()) {
        let line = line?;
        sum.lines = line.number;
        // Each has at most twelve digits before the point, so that millions of them still fit a decimal.
        sum.total += line.amount;
    }
    if sum.total.abs() >= MOST {
        return Err(Refusal {
            line: 1,
            reason: "the amounts add up to more than anybody owes".to_owned(),
        });
    }
    Ok(sum)
}

/// An invoice of a million lines may take longer than a request.
pub(super) async fn take_time(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let limits = "SET LOCAL lock_timeout = '20s'; SET LOCAL statement_timeout = '120s'";
    sqlx::raw_sql(limits).execute(connection).await?;
    Ok(())
}

/// The ids that the lines of an invoice get.
pub(super) enum Ids {
    /// From these items, which are all there are.
    Of(Items),
    /// None.
    Unknown,
    /// Later, from items that are read page by page.
    Later,
}

/// Replaces the lines of an invoice by those of this CSV, which has been checked.
pub(super) async fn replace(
    pool: &Pool,
    lease: &Lease,
    header: &Header,
    csv: &Csv,
    sum: Sum,
    ids: Ids,
    now: DateTime<Utc>,
) -> Result<Replaced, Error> {
    let (mut items, items_page) = match ids {
        Ids::Of(items) => (items, None),
        Ids::Unknown => (Items::default(), None),
        Ids::Later => (Items::default(), Some(1)),
    };
    let mut transaction = pool.begin().await?;
    take_time(&mut transaction).await?;
    let stored = sqlx::query!(
        "SELECT amount, ingest_status, csv_sha256, line_count, resource_lines, matched_lines, lines_total
         FROM cloud_invoices WHERE id = $1 FOR UPDATE",
        header.id
    )
    .fetch_one(&mut *transaction)
    .await?;
    if !lease.holds(&mut transaction).await? {
        return Err(Error::Fenced);
    }
    let reconciliation = Reconciliation::of(stored.amount, sum.total, sum.lines);
    if stored.ingest_status == "ingested" && stored.csv_sha256.as_deref() == Some(csv.sha256.as_slice()) {
        let number = |stored: Option<i32>| stored.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
        return Ok(Replaced {
            lines: number(stored.line_count),
            of_resources: number(stored.resource_lines),
            matched: number(stored.matched_lines),
            total: stored.lines_total.unwrap_or_default(),
            reconciliation,
            unchanged: true,
        });
    }
    sqlx::query!(
        "DELETE FROM cloud_cost_lines WHERE cloud_invoice_id = $1",
        header.id
    )
    .execute(&mut *transaction)
    .await?;
    let mut replaced = Replaced {
        lines: sum.lines,
        of_resources: 0,
        matched: 0,
        total: sum.total,
        reconciliation,
        unchanged: false,
    };
    let mut batch = Vec::with_capacity(BATCH);
    for line in Lines::of(csv.read()) {
        let line = line?;
        let charge = product::classify(&line.product, &line.group, &line.description, line.amount);
        let ids = items.take(&line);
        replaced.of_resources += u32::from(charge.class == Class::Resource);
        batch.push((line, charge, ids));
        if batch.len() == BATCH {
            replaced.matched += write(&mut transaction, header, &mut batch).await?;
        }
    }
    replaced.matched += write(&mut transaction, header, &mut batch).await?;
    let doubted = doubt(&mut transaction, header).await?;
    replaced.matched = replaced.matched.saturating_sub(doubted);
    let count = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    sqlx::query!(
        "UPDATE cloud_invoices SET ingest_status = 'ingested', csv_sha256 = $2, line_count = $3, lines_total = $4,
                reconciliation = $5, resource_lines = $6, matched_lines = $7, ingested_at = $8, last_error = NULL,
                items_page = $9
         WHERE id = $1",
        header.id,
        csv.sha256.as_slice(),
        count(replaced.lines),
        replaced.total,
        replaced.reconciliation.name(),
        count(replaced.of_resources),
        count(replaced.matched),
        now,
        items_page
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(replaced)
}

/// Matches a batch and writes it. Answers how many lines of resources were matched.
async fn write(
    connection: &mut PgConnection,
    header: &Header,
    batch: &mut Vec<(Line, Charge, Vec<String>)>,
) -> Result<u32, Error> {
    if batch.is_empty() {
        return Ok(0);
    }
    let mut wanted = Wanted::default();
    for (_, charge, ids) in batch.iter() {
        wanted.add(charge, ids);
    }
    let directory = Directory::look_up(connection, wanted).await?;
    let mut rows = Rows::default();
    let mut matched = 0;
    for (line, charge, ids) in batch.drain(..) {
        let found = find(&directory, &charge, &ids, span(header, line.start, line.end));
        matched += u32::from(found.is_some() && charge.class == Class::Resource);
        rows.push(line, &charge, ids.into_iter().next(), found);
    }
    rows.insert(connection, header.id).await?;
    Ok(matched)
}

/// What lines are about by these ids, and how many lines of resources are matched so.
pub(super) async fn look_up<'a>(
    connection: &mut PgConnection,
    header: &Header,
    asked: impl Iterator<Item = (&'a Line, &'a [String])>,
) -> Result<(Vec<Match>, usize), Error> {
    let mut wanted = Wanted::default();
    let mut read = Vec::new();
    for (line, ids) in asked {
        let charge = product::classify(&line.product, &line.group, &line.description, line.amount);
        wanted.add(&charge, ids);
        read.push((charge, ids, span(header, line.start, line.end)));
    }
    let directory = Directory::look_up(connection, wanted).await?;
    let (mut matches, mut of_resources) = (Vec::with_capacity(read.len()), 0);
    for (charge, ids, span) in read {
        let found = find(&directory, &charge, ids, span);
        of_resources += usize::from(found.is_some() && charge.class == Class::Resource);
        matches.push(found);
    }
    Ok((matches, of_resources))
}

fn find(directory: &Directory, charge: &Charge, ids: &[String], span: Span) -> Match {
    matching::find(&Question { charge, ids, span }, &directory.about(charge, ids))
}

/// The time that a line is about; what it does not say is the month of its invoice.
fn span(header: &Header, start: Option<DateTime<Utc>>, end: Option<DateTime<Utc>>) -> Span {
    let first = header.period.and_time(NaiveTime::MIN).and_utc();
    let from = start.unwrap_or(first);
    let next = first.checked_add_months(Months::new(1)).unwrap_or(first);
    let until = end.unwrap_or(next).max(from + TimeDelta::seconds(1));
    Span { from, until }
}

/// Lines, column by column.
#[derive(Default)]
struct Rows {
    numbers: Vec<i32>,
    products: Vec<String>,
    groups: Vec<String>,
    descriptions: Vec<String>,
    hours: Vec<Option<Decimal>>,
    starts: Vec<Option<DateTime<Utc>>>,
    ends: Vec<Option<DateTime<Utc>>>,
    amounts: Vec<Decimal>,
    projects: Vec<String>,
    categories: Vec<String>,
    classes: Vec<String>,
    kinds: Vec<Option<String>>,
    names: Vec<Option<String>>,
    provider_ids: Vec<Option<String>>,
    resources: Vec<Option<Uuid>>,
    rules: Vec<Option<String>>,
}

impl Rows {
    fn push(&mut self, line: Line, charge: &Charge, provider_id: Option<String>, found: Match) {
        self.numbers.push(i32::try_from(line.number).unwrap_or(i32::MAX));
        self.products.push(line.product);
        self.groups.push(line.group);
        self.descriptions.push(line.description);
        self.hours.push(line.hours);
        self.starts.push(line.start);
        self.ends.push(line.end);
        self.amounts.push(line.amount);
        self.projects.push(line.project);
        self.categories.push(line.category);
        self.classes.push(charge.class.name().to_owned());
        self.kinds.push(charge.kind.map(str::to_owned));
        self.names.push(charge.subject.name());
        self.provider_ids.push(provider_id);
        self.resources.push(found.map(|(id, _)| id));
        self.rules.push(found.map(|(_, rule)| rule.name().to_owned()));
    }

    async fn insert(&self, connection: &mut PgConnection, invoice: Uuid) -> Result<(), Error> {
        sqlx::query!(
            "INSERT INTO cloud_cost_lines
                 (cloud_invoice_id, line_no, product, group_description, description, hours, starts_at, ends_at, amount,
                  project_name, category, class, kind, resource_name, provider_resource_id, cloud_resource_id, match_rule)
             SELECT $1, * FROM unnest($2::int[], $3::text[], $4::text[], $5::text[], $6::numeric[], $7::timestamptz[],
                 $8::timestamptz[], $9::numeric[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[],
                 $15::text[], $16::uuid[], $17::text[])",
            invoice,
            &self.numbers,
            &self.products,
            &self.groups,
            &self.descriptions,
            &self.hours as &[Option<Decimal>],
            &self.starts as &[Option<DateTime<Utc>>],
            &self.ends as &[Option<DateTime<Utc>>],
            &self.amounts,
            &self.projects,
            &self.categories,
            &self.classes,
            &self.kinds as &[Option<String>],
            &self.names as &[Option<String>],
            &self.provider_ids as &[Option<String>],
            &self.resources as &[Option<Uuid>],
            &self.rules as &[Option<String>]
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// One thing is not charged twice for one time: where two lines of a product claim the same resource at once, those
/// that had only a name to go by are of somebody that the mirror does not know. Answers how many lines of resources
/// lost their match. (Wholes have many lines, and are not meant.) Each resource's lines in the order in which they
/// begin: one overlaps another if it begins before an earlier one has ended, or ends after the next has begun. Asked
/// pair by pair, a planner that has never seen these rows reads the whole invoice for each of them.
async fn doubt(connection: &mut PgConnection, header: &Header) -> Result<u32, sqlx::Error> {
    let doubted = sqlx::query!(
        r#"SELECT line_no, class FROM (
               SELECT line_no, class, match_rule,
                      max(COALESCE(ends_at, 'infinity')) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
                          > COALESCE(starts_at, '-infinity') AS begins_within,
                      lead(COALESCE(starts_at, '-infinity')) OVER w < COALESCE(ends_at, 'infinity') AS ends_within
               FROM cloud_cost_lines
               WHERE cloud_invoice_id = $1 AND cloud_resource_id IS NOT NULL
               WINDOW w AS (PARTITION BY cloud_resource_id, product ORDER BY COALESCE(starts_at, '-infinity'), line_no)
           ) claims
           WHERE match_rule IN ('name', 'backup_parent') AND (begins_within OR ends_within)"#,
        header.id
    )
    .fetch_all(&mut *connection)
    .await?;
    // By their numbers, which are few: of an invoice that the planner takes for a small one a join reads everything for
    // each of them.
    for some in doubted.chunks(BATCH) {
        let numbers: Vec<i32> = some.iter().map(|line| line.line_no).collect();
        sqlx::query!(
            "UPDATE cloud_cost_lines SET cloud_resource_id = NULL, match_rule = NULL
             WHERE cloud_invoice_id = $1 AND line_no = ANY($2)",
            header.id,
            &numbers
        )
        .execute(&mut *connection)
        .await?;
    }
    let of_resources = doubted.iter().filter(|line| line.class == Class::Resource.name());
    Ok(u32::try_from(of_resources.count()).unwrap_or(u32::MAX))
}

/// Looks again for the resources of an invoice's unmatched lines: the inventory may know more than it did. Answers
/// how many were found.
pub(super) async fn rematch(connection: &mut PgConnection, header: &Header) -> Result<u32, sqlx::Error> {
    let (mut after, mut found) = (0, 0);
    // The same lock as a replacement's, so that the lines stay the ones that are looked at.
    sqlx::query_scalar!(
        "SELECT id FROM cloud_invoices WHERE id = $1 FOR UPDATE",
        header.id
    )
    .fetch_one(&mut *connection)
    .await?;
    let mut of_resources = 0;
    loop {
        let rows = sqlx::query!(
            "SELECT line_no, product, group_description, description, amount, starts_at, ends_at, provider_resource_id
             FROM cloud_cost_lines
             WHERE cloud_invoice_id = $1 AND line_no > $2 AND cloud_resource_id IS NULL
               AND class IN ('resource', 'account', 'unknown')
             ORDER BY line_no LIMIT $3",
            header.id,
            after,
            BATCH as i64
        )
        .fetch_all(&mut *connection)
        .await?;
        let Some(last) = rows.last() else { break };
        after = last.line_no;
        let mut wanted = Wanted::default();
        let mut read = Vec::with_capacity(rows.len());
        for row in rows {
            let charge =
                product::classify(&row.product, &row.group_description, &row.description, row.amount);
            let ids: Vec<String> = row.provider_resource_id.into_iter().collect();
            wanted.add(&charge, &ids);
            read.push((row.line_no, charge, ids, span(header, row.starts_at, row.ends_at)));
        }
        let directory = Directory::look_up(connection, wanted).await?;
        let (mut numbers, mut resources, mut rules) = (Vec::new(), Vec::new(), Vec::new());
        for (number, charge, ids, span) in read {
            let Some((resource, rule)) = find(&directory, &charge, &ids, span) else {
                continue;
            };
            of_resources += i32::from(charge.class == Class::Resource);
            numbers.push(number);
            resources.push(resource);
            rules.push(rule.name().to_owned());
        }
        found += u32::try_from(numbers.len()).unwrap_or(0);
        sqlx::query!(
            "UPDATE cloud_cost_lines l SET cloud_resource_id = m.resource, match_rule = m.rule
             FROM unnest($2::int[], $3::uuid[], $4::text[]) AS m (line_no, resource, rule)
             WHERE l.cloud_invoice_id = $1 AND l.line_no = m.line_no",
            header.id,
            &numbers,
            &resources,
            &rules
        )
        .execute(&mut *connection)
        .await?;
    }
    let doubted = doubt(connection, header).await?;
    let of_resources = of_resources - i32::try_from(doubted).unwrap_or(0);
    if of_resources != 0 {
        sqlx::query!(
            "UPDATE cloud_invoices SET matched_lines = matched_lines + $2 WHERE id = $1",
            header.id,
            of_resources
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(found.saturating_sub(doubted))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = "product,group_description,description,hours,start,end,USD\n";

    fn row(text: &mut String, cents: i64) {
        use std::fmt::Write as _;
        let (sign, cents) = (if cents < 0 { "-" } else { "" }, cents.unsigned_abs());
        writeln!(
            text,
            "Droplets,,web (s),1,,,{sign}${}.{:02}",
            cents / 100,
            cents % 100
        )
        .unwrap();
    }

    /// The same sum in whole cents, which know nothing of decimals.
    #[test]
    fn a_hundred_thousand_lines_add_up_to_the_last_digit() {
        let (mut text, mut cents, mut seed) = (HEADER.to_owned(), 0_i128, 88_172_645_463_325_252_u64);
        for _ in 0..100_000 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let amount = i64::try_from(seed % 2_000_000_000).unwrap() - 500_000_000;
            row(&mut text, amount);
            cents += i128::from(amount);
        }
        let sum = check(&Csv::of(&text)).unwrap();
        assert_eq!(
            (sum.lines, sum.total),
            (100_000, Decimal::from_i128_with_scale(cents, 2))
        );
    }

    proptest! {
        #[test]
        fn any_amounts_add_up(amounts in proptest::collection::vec(-1_000_000_000_i64..1_000_000_000, 0..50)) {
            let mut text = HEADER.to_owned();
            amounts.iter().for_each(|cents| row(&mut text, *cents));
            let cents: i128 = amounts.iter().map(|cents| i128::from(*cents)).sum();
            prop_assert_eq!(check(&Csv::of(&text)).unwrap().total, Decimal::from_i128_with_scale(cents, 2));
        }
    }

    #[test]
    fn nobody_owes_a_quadrillion() {
        let mut text = HEADER.to_owned();
        for _ in 0..1_001 {
            text.push_str("Droplets,,web (s),1,,,$999999999999.99\n");
        }
        assert!(check(&Csv::of(&text)).is_err());
        assert_eq!(MOST, Decimal::from(1_000_000_000_000_000_i64));
    }
}
