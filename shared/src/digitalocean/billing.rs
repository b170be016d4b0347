//! Billing as DigitalOcean serves it: the balance, the history, one invoice in its two forms.
//!
//! GET only, with `billing:read`. Amounts stay text here: what a decimal is, the ledger decides. The CSV is packed as
//! it arrives, so that a million lines are some megabytes, and read out of that as often as needed; it counts only if
//! it calls itself CSV, is whole, and is not empty. Of a summary's personal data nothing is asked for. It refuses to
//! follow anything, and to say what stands in an answer.

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use chrono::{DateTime, Utc};
use flate2::Compression;
use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::listing::{Collection, PER_PAGE, Paging};
use super::page::{Beside, next_link};
use super::{Error, Session, is_kind, reason, refused};

/// The longest CSV: more than a million lines.
const CSV_CAP: usize = 192 * 1024 * 1024;
/// Most of it that is kept, packed. Invoices come to a tenth of their length; what does not is no invoice.
const PACKED_CAP: usize = 48 * 1024 * 1024;
/// Read out of the packed file at a time.
const PIECE: usize = 64 * 1024;
/// How long it may take.
const CSV_TIME: Duration = Duration::from_secs(120);

/// `GET /v2/customers/my/balance`. Positive is owed.
#[derive(Clone, Debug, Deserialize)]
pub struct Balance {
    /// `account_balance` and the usage since.
    pub month_to_date_balance: String,
    /// After the newest billing activity.
    pub account_balance: String,
    /// Of the running month.
    pub month_to_date_usage: String,
    /// When DigitalOcean computed it.
    pub generated_at: DateTime<Utc>,
}

/// One entry of the billing history. Only some have an invoice.
#[derive(Clone, Debug, Deserialize)]
pub struct Booking {
    /// Free text, such as `Invoice for May 2018`.
    #[serde(default)]
    pub description: String,
    /// What raises the debt is positive.
    pub amount: String,
    /// The number on the PDF.
    #[serde(default)]
    pub invoice_id: Option<String>,
    /// The invoice, if the entry is about one.
    #[serde(default)]
    pub invoice_uuid: Option<String>,
    /// When it was booked.
    pub date: DateTime<Utc>,
    /// One of ten words, such as `Invoice` or `Payment`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// One invoice of the list, which alone says which month was billed.
#[derive(Clone, Debug, Deserialize)]
pub struct Listed {
    /// The invoice.
    pub invoice_uuid: String,
    /// The number on the PDF.
    #[serde(default)]
    pub invoice_id: Option<String>,
    /// What it asks for.
    pub amount: String,
    /// `YYYY-MM`.
    pub invoice_period: String,
    /// Of the running month's preview: when it was rebuilt.
    #[serde(default)]
    pub updated_at: Option<DateTime<Utc>>,
}

/// One item of an invoice's JSON form: what the CSV says, and the id of the resource.
#[derive(Clone, Debug, Deserialize)]
pub struct Item {
    /// As in the CSV.
    pub product: String,
    /// As in the CSV.
    #[serde(default)]
    pub group_description: String,
    /// As in the CSV.
    #[serde(default)]
    pub description: String,
    /// As in the CSV, without a currency mark.
    pub amount: String,
    /// As in the CSV, in RFC 3339.
    #[serde(default)]
    pub start_time: Option<String>,
    /// As in the CSV, in RFC 3339.
    #[serde(default)]
    pub end_time: Option<String>,
    /// DigitalOcean's id of the resource, such as a droplet's number.
    #[serde(default)]
    pub resource_id: Option<String>,
    /// Its id where that is a uuid.
    #[serde(default)]
    pub resource_uuid: Option<String>,
}

/// One page of an invoice's items.
#[derive(Debug)]
pub struct Items {
    /// In DigitalOcean's order.
    pub items: Vec<Item>,
    /// Whether there are pages after it.
    pub more: bool,
}

/// The CSV of an invoice: whole, and packed.
#[derive(Debug)]
pub struct Csv {
    packed: Vec<u8>,
    /// Of all its bytes.
    pub sha256: [u8; 32],
}

impl Csv {
    /// Its bytes, from the first.
    pub fn read(&self) -> impl BufRead {
        BufReader::with_capacity(PIECE, DeflateDecoder::new(self.packed.as_slice()))
    }

    /// A CSV for tests of what is made of one.
    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        let mut packing = Packing::up_to(PACKED_CAP);
        packing.add(text.as_bytes()).unwrap();
        packing.finish().unwrap()
    }
}

/// A CSV that is arriving.
struct Packing {
    packed: DeflateEncoder<Vec<u8>>,
    hash: Sha256,
    length: usize,
    /// Most that is kept.
    most: usize,
}

impl Packing {
    fn up_to(most: usize) -> Self {
        Self {
            packed: DeflateEncoder::new(Vec::new(), Compression::fast()),
            hash: Sha256::new(),
            length: 0,
            most,
        }
    }

    fn add(&mut self, piece: &[u8]) -> Result<(), Error> {
        self.length += piece.len();
        if self.length > CSV_CAP || self.packed.get_ref().len() > self.most {
            return Err(Error::Malformed("the CSV is larger than any invoice"));
        }
        self.hash.update(piece);
        // Into memory, which does not fail.
        self.packed
            .write_all(piece)
            .map_err(|_| Error::Malformed("the CSV cannot be packed"))
    }

    fn finish(self) -> Result<Csv, Error> {
        if self.length == 0 {
            return Err(Error::Malformed("the CSV is empty"));
        }
        let packed = self
            .packed
            .finish()
            .map_err(|_| Error::Malformed("the CSV cannot be packed"))?;
        Ok(Csv {
            packed,
            sha256: self.hash.finalize().into(),
        })
    }
}

/// The whole billing history. Its entries have no ids, and its total is optional.
pub fn history() -> Collection {
    chained("/v2/customers/my/billing_history", "billing_history")
}

/// All invoices.
pub fn invoices() -> Collection {
    chained("/v2/customers/my/invoices", "invoices")
}

/// The items of one invoice, or of `preview`.
pub fn items(invoice: &str) -> Collection {
    chained(format!("/v2/customers/my/invoices/{invoice}"), "invoice_items")
}

fn chained(path: impl Into<Cow<'static, str>>, root: &'static str) -> Collection {
    Collection {
        path: path.into(),
        query: &[],
        root,
        paging: Paging::Chained,
    }
}

impl Session {
    /// What is owed just now.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn balance(&self, now: DateTime<Utc>) -> Result<Balance, Error> {
        let answer = self.get("/v2/customers/my/balance", &[], now).await?;
        serde_json::from_slice(&answer.body).map_err(|_| Error::Malformed("the balance is not one"))
    }

    /// The running month: its name and what it has come to. `None` before there is anything to bill.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn preview(&self, now: DateTime<Utc>) -> Result<Option<Listed>, Error> {
        #[derive(Deserialize)]
        struct Envelope {
            #[serde(rename = "invoices")]
            _invoices: serde::de::IgnoredAny,
            #[serde(default)]
            invoice_preview: Option<Listed>,
        }
        let query = [("page", "1"), ("per_page", "1")];
        let answer = self.get("/v2/customers/my/invoices", &query, now).await?;
        let envelope: Envelope = serde_json::from_slice(&answer.body)
            .map_err(|_| Error::Malformed("the list of invoices is not one"))?;
        Ok(envelope.invoice_preview)
    }

    /// The CSV of one invoice, or of `preview`.
    ///
    /// # Errors
    /// See [`Error`]; another type of content, an empty body and one that is larger than any invoice are malformed.
    pub async fn csv(&self, invoice: &str, now: DateTime<Utc>) -> Result<Csv, Error> {
        let path = format!("/v2/customers/my/invoices/{invoice}/csv");
        let request = self.request(reqwest::Method::GET, &path)?.timeout(CSV_TIME);
        let mut response = request
            .send()
            .await
            .map_err(|error| Error::Transport(reason(&error)))?;
        if response.status() != StatusCode::OK {
            return Err(refused(response.status(), response.headers(), now));
        }
        if !is_kind(response.headers().get(CONTENT_TYPE), "text/csv") {
            return Err(Error::Malformed("the answer is not CSV"));
        }
        let mut packing = Packing::up_to(PACKED_CAP);
        while let Some(piece) = response
            .chunk()
            .await
            .map_err(|error| Error::Transport(reason(&error)))?
        {
            packing.add(&piece)?;
        }
        packing.finish()
    }

    /// One page of an invoice's items, from 1: for an invoice that is too long to be walked in one run.
    ///
    /// # Errors
    /// See [`Error`]; a page that is short or empty and has another one after it is malformed.
    pub async fn items(&self, invoice: &str, page: u32, now: DateTime<Utc>) -> Result<Items, Error> {
        let path = format!("/v2/customers/my/invoices/{invoice}");
        let (page, per_page) = (page.to_string(), PER_PAGE.to_string());
        let query = [("page", page.as_str()), ("per_page", per_page.as_str())];
        let answer = self.get(&path, &query, now).await?;
        let no_items = |_| Error::Malformed("the items of the invoice are not a list of them");
        let fields: Beside<'_> = serde_json::from_slice(&answer.body).map_err(no_items)?;
        let items = match fields.get("invoice_items") {
            Some(items) => serde_json::from_str(items.get()).map_err(no_items)?,
            None => None,
        };
        let items: Vec<Item> = items.ok_or(Error::Malformed("the list is missing"))?;
        let more = next_link(&fields)?.is_some();
        if more && items.len() != PER_PAGE as usize {
            return Err(Error::Malformed("a page of items is short, and not the last one"));
        }
        Ok(Items { items, more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_absent_may_be_null_too() {
        let entry = |text: &str| serde_json::from_str::<Booking>(text);
        let payment = r#"{"description": "Payment", "amount": "-12.34", "date": "2018-06-02T08:44:38Z", "type": "Payment",
                          "invoice_id": null, "invoice_uuid": null, "receipt_id": 7}"#;
        assert!(entry(payment).is_ok_and(|entry| entry.invoice_uuid.is_none() && entry.amount == "-12.34"));
        assert!(entry(r#"{"amount": -12.34, "date": "2018-06-02T08:44:38Z", "type": "Payment"}"#).is_err());
        let item = r#"{"product": "Spaces Subscription", "description": "Spaces", "amount": "34.45", "duration": "744"}"#;
        let item: Item = serde_json::from_str(item).unwrap();
        assert_eq!((item.resource_id, item.group_description.as_str()), (None, ""));
    }

    #[test]
    fn a_packed_file_is_the_file() {
        let row = "Droplets,,web-0000001 (s-1vcpu-1gb),744,2025-10-01 00:00:00 +0000,$6.00\n";
        let text = row.repeat(10_000);
        let csv = Csv::of(&text);
        for _ in 0..2 {
            let mut read = String::new();
            std::io::Read::read_to_string(&mut csv.read(), &mut read).unwrap();
            assert_eq!(read, text);
        }
        assert_eq!(csv.sha256, <[u8; 32]>::from(Sha256::digest(text.as_bytes())));
        assert!(csv.packed.len() * 20 < text.len());
        assert!(Packing::up_to(PACKED_CAP).finish().is_err());
    }

    /// What does not get smaller would be kept as it is: there is an end to that before memory ends.
    #[test]
    fn a_file_of_noise_is_given_up() {
        let (mut packing, mut state) = (Packing::up_to(1 << 16), 1_u64);
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .take(1 << 15)
        .collect();
        let taken = (0..100).take_while(|_| packing.add(&noise).is_ok()).count();
        assert!((2..8).contains(&taken), "{taken}");
    }
}
