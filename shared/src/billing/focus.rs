//! Cost lines as FOCUS, the open format that tools for cloud costs read: versions 1.2 and 1.4.
//!
//! Pure but for one read. Each line becomes one row; [`COLUMNS`] is the whole mapping, a column a line, and whatever
//! DigitalOcean wrote survives in columns that begin with `x_`. The sum of `BilledCost` by invoice is the sum of its
//! lines. Known deviations: `InvoiceDetailId` is ours and not the issuer's; SKUs are made of product and size, because
//! invoices have none; unit prices are left out, since DigitalOcean caps a month's hours. Payments are no charges and
//! are never exported.

mod service;

use std::str::FromStr;

use chrono::{DateTime, Months, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Timelike, Utc};
use rust_decimal::Decimal;
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::read::{LineFilter, Page, Place, conditions, page};
use crate::auth::Scope;
use crate::database::Pool;
use crate::inventory::read::ReadError;
use crate::kinds::Kind;

/// Which edition of the specification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// 29 May 2025.
    V1_2,
    /// 4 June 2026.
    #[default]
    V1_4,
}

impl FromStr for Version {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "1.2" => Ok(Version::V1_2),
            "1.4" => Ok(Version::V1_4),
            _ => Err("must be 1.2 or 1.4"),
        }
    }
}

/// A line of the ledger with what FOCUS wants to know of it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Charge {
    /// Its invoice, ours.
    pub cloud_invoice_id: Uuid,
    /// Its place there.
    pub line_no: i32,
    invoice_uuid: String,
    invoice_id: Option<String>,
    preview: bool,
    /// The billed month.
    pub period: NaiveDate,
    product: String,
    group_description: String,
    description: String,
    hours: Option<Decimal>,
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
    amount: Decimal,
    project_name: String,
    category: String,
    class: String,
    kind: Option<String>,
    resource_name: Option<String>,
    provider_resource_id: Option<String>,
    match_rule: Option<String>,
    matched_kind: Option<String>,
    matched_provider_id: Option<String>,
    matched_name: Option<String>,
    region: Option<String>,
    tags: Option<Vec<String>>,
    tenant_id: Option<String>,
    matched_project_provider_id: Option<String>,
    matched_project_name: Option<String>,
    purpose: Option<String>,
    account_id: Option<String>,
    account_name: Option<String>,
}

/// A column: its name since 1.4, the one before if that differs, and its value; `None` is FOCUS's null.
type Column = (&'static str, &'static str, fn(&Charge) -> Option<String>);

/// The mapping. A name of `""` for 1.2: not there yet.
const COLUMNS: &[Column] = &[
    ("BilledCost", "BilledCost", |c| Some(c.amount.to_string())),
    ("BillingAccountId", "BillingAccountId", |c| c.account_id.clone()),
    ("BillingAccountName", "BillingAccountName", |c| {
        c.account_name.clone().filter(|name| !name.is_empty())
    }),
    ("BillingCurrency", "BillingCurrency", |_| Some("USD".to_owned())),
    ("BillingPeriodEnd", "BillingPeriodEnd", |c| {
        Some(written(c.month().1))
    }),
    ("BillingPeriodStart", "BillingPeriodStart", |c| {
        Some(written(c.month().0))
    }),
    ("ChargeCategory", "ChargeCategory", |c| {
        Some(c.charge_category().to_owned())
    }),
    ("ChargeClass", "ChargeClass", |c| {
        (c.span().1 <= c.month().0).then(|| "Correction".to_owned())
    }),
    ("ChargeDescription", "ChargeDescription", |c| {
        Some(c.charge_description())
    }),
    ("ChargeFrequency", "ChargeFrequency", |c| {
        Some(c.frequency().to_owned())
    }),
    ("ChargePeriodEnd", "ChargePeriodEnd", |c| {
        Some(written(c.span().1))
    }),
    ("ChargePeriodStart", "ChargePeriodStart", |c| {
        Some(written(c.span().0))
    }),
    ("ConsumedQuantity", "ConsumedQuantity", |c| {
        c.is("Usage").then(|| c.quantity().0)
    }),
    ("ConsumedUnit", "ConsumedUnit", |c| {
        c.is("Usage").then(|| c.quantity().1.to_owned())
    }),
    ("ContractedCost", "ContractedCost", |c| Some(c.amount.to_string())),
    ("EffectiveCost", "EffectiveCost", |c| Some(c.amount.to_string())),
    ("HostProviderName", "PublisherName", |_| {
        Some("DigitalOcean".to_owned())
    }),
    ("InvoiceDetailId", "", |c| {
        Some(format!("{}:{}", c.invoice_uuid, c.line_no))
    }),
    ("InvoiceId", "InvoiceId", |c| c.invoice()),
    ("InvoiceIssuerName", "InvoiceIssuerName", |_| {
        Some("DigitalOcean".to_owned())
    }),
    ("ListCost", "ListCost", |c| Some(c.amount.to_string())),
    ("PricingQuantity", "PricingQuantity", |c| {
        c.has_a_price().then(|| c.quantity().0)
    }),
    ("PricingUnit", "PricingUnit", |c| {
        c.has_a_price().then(|| c.quantity().1.to_owned())
    }),
    ("RegionId", "RegionId", |c| c.region.clone()),
    ("RegionName", "RegionName", |c| {
        c.region.as_deref().map(service::region)
    }),
    ("ResourceId", "ResourceId", |c| c.resource().map(|(id, ..)| id)),
    ("ResourceName", "ResourceName", |c| {
        c.resource().and_then(|(_, name, _)| name)
    }),
    ("ResourceType", "ResourceType", |c| {
        c.resource().map(|(.., kind)| kind)
    }),
    ("ServiceCategory", "ServiceCategory", |c| {
        Some(c.service().category.to_owned())
    }),
    ("ServiceName", "ServiceName", |c| Some(c.service().name)),
    ("ServiceProviderName", "ProviderName", |_| {
        Some("DigitalOcean".to_owned())
    }),
    ("ServiceSubcategory", "ServiceSubcategory", |c| {
        Some(c.service().subcategory.to_owned())
    }),
    ("SkuId", "SkuId", Charge::sku),
    ("SkuMeter", "SkuMeter", |c| c.sku().map(|_| c.product.clone())),
    ("SkuPriceDetails", "SkuPriceDetails", |c| {
        c.sku()?;
        Some(serde_json::json!({ "x_Size": c.size()? }).to_string())
    }),
    ("SkuPriceId", "SkuPriceId", Charge::sku),
    ("SubAccountId", "SubAccountId", |c| {
        c.matched_project_provider_id.clone()
    }),
    ("SubAccountName", "SubAccountName", |c| {
        c.matched_project_name.clone()
    }),
    ("Tags", "Tags", Charge::tags),
    ("x_DoCategory", "x_DoCategory", |c| text(&c.category)),
    ("x_DoDescription", "x_DoDescription", |c| text(&c.description)),
    ("x_DoEnd", "x_DoEnd", |c| c.ends_at.map(written)),
    ("x_DoGroup", "x_DoGroup", |c| text(&c.group_description)),
    ("x_DoHours", "x_DoHours", |c| {
        c.hours.map(|hours| hours.to_string())
    }),
    ("x_DoProduct", "x_DoProduct", |c| text(&c.product)),
    ("x_DoProjectName", "x_DoProjectName", |c| text(&c.project_name)),
    ("x_DoStart", "x_DoStart", |c| c.starts_at.map(written)),
    ("x_InvoiceUuid", "x_InvoiceUuid", |c| Some(c.invoice_uuid.clone())),
    ("x_LineNo", "x_LineNo", |c| Some(c.line_no.to_string())),
    ("x_MatchRule", "x_MatchRule", |c| c.match_rule.clone()),
    ("x_Purpose", "x_Purpose", |c| c.purpose.clone()),
    ("x_TenantId", "x_TenantId", |c| c.tenant_id.clone()),
];

/// The names of the columns, in order.
pub fn header(version: Version) -> Vec<&'static str> {
    let name = |column: &Column| match version {
        Version::V1_2 => column.1,
        Version::V1_4 => column.0,
    };
    COLUMNS.iter().map(name).filter(|name| !name.is_empty()).collect()
}

/// The row of a charge, in the order of the header; null is an empty field.
pub fn row(version: Version, charge: &Charge) -> Vec<String> {
    let there = COLUMNS
        .iter()
        .filter(|column| version == Version::V1_4 || !column.1.is_empty());
    there
        .map(|(.., value)| value(charge).unwrap_or_default())
        .collect()
}

/// As many rows as fit into so many bytes, with a header; answers how many that are. One always fits.
pub fn csv(version: Version, charges: &[Charge], most: usize) -> (Vec<u8>, usize) {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    // Into memory, with as many fields in each row: there is nothing that could fail.
    drop(writer.write_record(header(version)));
    let mut taken = 0;
    for charge in charges {
        let row = row(version, charge);
        // A quote may become four bytes on its way: doubled here, and escaped within Lambda's answer.
        let length: usize = row
            .iter()
            .map(|cell| cell.len() + 3 * cell.matches('"').count() + 5)
            .sum();
        drop(writer.flush());
        if taken > 0 && writer.get_ref().len() + length > most {
            break;
        }
        drop(writer.write_record(row));
        taken += 1;
    }
    (writer.into_inner().unwrap_or_default(), taken)
}

/// One page of charges.
///
/// # Errors
/// [`ReadError`], whose text is for logs only.
pub async fn charges(
    pool: &Pool,
    scope: &Scope,
    filter: &LineFilter,
    after: Option<&Place>,
    limit: usize,
) -> Result<Page<Charge>, ReadError> {
    let mut sql = QueryBuilder::new(
        "SELECT l.cloud_invoice_id, l.line_no, l.invoice_uuid, l.invoice_id, l.preview, l.period, l.product, \
         l.group_description, l.description, l.hours, l.starts_at, l.ends_at, l.amount, l.project_name, l.category, \
         l.class, l.kind, l.resource_name, l.provider_resource_id, l.match_rule, l.matched_kind, l.matched_provider_id, \
         l.matched_name, l.region, l.tags, l.tenant_id, l.matched_project_provider_id, l.matched_project_name, l.purpose, \
         a.account_id, a.name AS account_name \
         FROM cloud_ledger l LEFT JOIN cloud_accounts a ON a.provider = l.provider WHERE ",
    );
    conditions(&mut sql, filter, after);
    page(pool, scope, sql, limit).await
}

fn written(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl Charge {
    /// The billed month, its end exclusive.
    fn month(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        let first = self.period.and_time(NaiveTime::MIN).and_utc();
        (first, first.checked_add_months(Months::new(1)).unwrap_or(first))
    }

    /// The charged time, its end exclusive: DigitalOcean ends some products at the last second of the month and
    /// others at the first of the next.
    fn span(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        let (first, next) = self.month();
        let start = self.starts_at.unwrap_or(first);
        let second = TimeDelta::seconds(1);
        let end = match self.ends_at {
            Some(end) if (end.minute(), end.second()) == (59, 59) => end + second,
            Some(end) => end,
            None => next,
        };
        (start, end.max(start + second))
    }

    fn charge_category(&self) -> &'static str {
        let product = self.product.to_lowercase();
        let bought = ["subscription", "support", "license"]
            .iter()
            .any(|word| product.contains(word));
        match self.class.as_str() {
            "tax" => "Tax",
            "credit" if product.contains("adjust") || product.contains("refund") => "Adjustment",
            "credit" => "Credit",
            "account" if bought || self.description.starts_with("Spaces ($") => "Purchase",
            _ => "Usage",
        }
    }

    fn is(&self, category: &str) -> bool {
        self.charge_category() == category
    }

    fn has_a_price(&self) -> bool {
        self.is("Usage") || self.is("Purchase")
    }

    fn frequency(&self) -> &'static str {
        match self.charge_category() {
            "Usage" => "Usage-Based",
            "Purchase" => "Recurring",
            _ => "One-Time",
        }
    }

    fn charge_description(&self) -> String {
        match (self.group_description.as_str(), self.description.as_str()) {
            ("", "") => self.product.clone(),
            ("", description) => description.to_owned(),
            (group, "") => group.to_owned(),
            (group, description) => format!("{group}: {description}"),
        }
    }

    /// Hours, or one month where DigitalOcean counts none.
    fn quantity(&self) -> (String, &'static str) {
        match self.hours {
            Some(hours) => (hours.to_string(), "Hours"),
            None => ("1".to_owned(), "Months"),
        }
    }

    /// The number on the PDF; older invoices have their uuid only, and the running month has none.
    fn invoice(&self) -> Option<String> {
        let number = self
            .invoice_id
            .clone()
            .unwrap_or_else(|| self.invoice_uuid.clone());
        (!self.preview).then_some(number)
    }

    /// Id, name and kind of the resource. What the items name counts also if the mirror has never seen it.
    fn resource(&self) -> Option<(String, Option<String>, String)> {
        let matched = self.matched_kind.clone().zip(self.matched_provider_id.clone());
        let name = self.matched_name.clone().or_else(|| self.resource_name.clone());
        let (kind, id) = matched.or_else(|| {
            let kind = match self.kind.as_deref()? {
                "droplet_backup" => "droplet",
                kind => kind,
            };
            Some((kind.to_owned(), self.provider_resource_id.clone()?))
        })?;
        let urn = Kind::named(&kind).and_then(|kind| kind.urn_types.first());
        let id = urn.map_or(id.clone(), |urn| format!("do:{urn}:{id}"));
        Some((id, name.filter(|name| !name.is_empty()), kind))
    }

    fn service(&self) -> service::Service {
        service::of(
            &self.product,
            &self.class,
            self.kind.as_deref(),
            &self.description,
        )
    }

    /// What stands in the last brackets: a size.
    fn size(&self) -> Option<&str> {
        let (_, rest) = self.description.rsplit_once(" (")?;
        rest.strip_suffix(')')
    }

    /// Product and size as a slug, for charges that have a price.
    fn sku(&self) -> Option<String> {
        if !self.has_a_price() {
            return None;
        }
        let mut slug = String::new();
        let sized = matches!(self.kind.as_deref(), Some("droplet" | "droplet_backup"));
        let size = self.size().filter(|_| sized).unwrap_or("");
        for part in [self.product.as_str(), size]
            .iter()
            .filter(|part| !part.is_empty())
        {
            if !slug.is_empty() {
                slug.push('/');
            }
            for c in part.to_lowercase().chars() {
                slug.push(if c.is_alphanumeric() || c == '.' { c } else { '-' });
            }
        }
        Some(slug)
    }

    /// DigitalOcean's tags have no value.
    fn tags(&self) -> Option<String> {
        let tags = self.tags.as_ref()?;
        let tags: serde_json::Map<_, _> = tags.iter().map(|tag| (tag.clone(), true.into())).collect();
        Some(serde_json::Value::Object(tags).to_string())
    }
}

#[cfg(test)]
mod tests;
