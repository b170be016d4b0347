//! Billing as DigitalOcean serves it: the balance, the history, one invoice in its two forms.
//!
//! GET only, with `billing:read`. Amounts stay text here: what a decimal is, the ledger decides. The CSV arrives in
//! pieces and is kept in them, once; it counts only if it calls itself CSV, is whole, and is not empty. Of a summary's
//! personal data nothing is asked for. It refuses to follow anything, and to say what stands in an answer.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::listing::{Collection, Paging};
use super::{Error, Session, is_kind, reason, refused};

/// Most of a CSV that is kept: more than a million lines.
const CSV_CAP: usize = 192 * 1024 * 1024;
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

/// The CSV of an invoice: whole, in the pieces that it came in.
#[derive(Debug)]
pub struct Csv {
    pieces: Vec<Box<[u8]>>,
    /// Of all its bytes.
    pub sha256: [u8; 32],
}

impl Csv {
    /// Its bytes, in order.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(AsRef::as_ref)
    }

    /// A CSV for tests of what is made of one.
    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self {
            pieces: vec![text.as_bytes().into()],
            sha256: Sha256::digest(text.as_bytes()).into(),
        }
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
    /// See [`Error`]; another type of content, an empty body and one of more than 192 MiB are malformed.
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
        let (mut pieces, mut length, mut hash) = (Vec::new(), 0, Sha256::new());
        while let Some(piece) = response
            .chunk()
            .await
            .map_err(|error| Error::Transport(reason(&error)))?
        {
            length += piece.len();
            if length > CSV_CAP {
                return Err(Error::Malformed("the CSV is larger than 192 MiB"));
            }
            hash.update(&piece);
            // Boxed, because a piece may be a small part of a large buffer that it would keep alive.
            pieces.push(Box::from(&*piece));
        }
        if length == 0 {
            return Err(Error::Malformed("the CSV is empty"));
        }
        Ok(Csv {
            pieces,
            sha256: hash.finalize().into(),
        })
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
}
