//! One page of a listing in DO's envelope.
//!
//! Rows are finished JSON; the page is their concatenation between a root key and what the collection's style
//! of paging puts beside it. Built by `api`, bent by `effects`, rendered once. It refuses to look into rows.

use axum::body::Bytes;
use serde_json::{Value, json};

use crate::definition::Paging;

/// What stands under the root key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    List,
    Null,
    Object,
}

#[derive(Debug)]
pub struct Page {
    pub root: String,
    pub rows: Vec<Bytes>,
    pub shape: Shape,
    pub style: Paging,
    /// How many items there are on all pages; none: a fault.
    pub total: Option<Value>,
    pub links: Option<Links>,
    /// What this list alone has beside it (the preview of the running month).
    pub more: Vec<(&'static str, Value)>,
    /// Which page this is, and of how many.
    pub number: u64,
    pub pages: u64,
}

#[derive(Debug, Default)]
pub struct Links {
    pub first: Option<String>,
    pub prev: Option<String>,
    pub next: Option<String>,
    pub last: Option<String>,
}

impl Links {
    /// As DO writes them: `first` and `prev` from the second page on, `next` and `last` before the last.
    pub fn new(page: u64, last: u64, url: impl Fn(u64) -> String) -> Self {
        let (later, earlier) = (page < last, page > 1 && last > 1);
        Self {
            first: earlier.then(|| url(1)),
            prev: earlier.then(|| url(page.min(last + 1) - 1)),
            next: later.then(|| url(page + 1)),
            last: later.then(|| url(last)),
        }
    }

    fn json(&self, previous: &str) -> Value {
        let all = [
            ("first", &self.first),
            (previous, &self.prev),
            ("next", &self.next),
            ("last", &self.last),
        ];
        let pages: serde_json::Map<_, _> = all
            .into_iter()
            .filter_map(|(name, url)| Some((name.to_owned(), Value::from(url.as_deref()?))))
            .collect();
        if pages.is_empty() {
            json!({})
        } else {
            json!({ "pages": pages })
        }
    }
}

impl Page {
    pub fn render(&self) -> Bytes {
        let size: usize = self.rows.iter().map(|row| row.len() + 1).sum();
        let mut out = Vec::with_capacity(size + 1024);
        out.push(b'{');
        out.extend_from_slice(Value::from(self.root.as_str()).to_string().as_bytes());
        match self.shape {
            Shape::Null => out.extend_from_slice(b":null"),
            Shape::Object => out.extend_from_slice(b":{}"),
            Shape::List => {
                out.extend_from_slice(b":[");
                for (position, row) in self.rows.iter().enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(row);
                }
                out.push(b']');
            }
        }
        for (key, value) in self.beside() {
            out.extend_from_slice(format!(",{}:{value}", Value::from(key)).as_bytes());
        }
        out.push(b'}');
        Bytes::from(out)
    }

    /// What stands beside the list.
    fn beside(&self) -> Vec<(&'static str, Value)> {
        let links = |previous| self.links.as_ref().map(|links| ("links", links.json(previous)));
        let (number, pages) = (self.number, self.pages);
        let total = self.total.as_ref();
        let members = match self.style {
            Paging::Unpaged => [None, None],
            Paging::Paged => [
                links("prev"),
                total.map(|total| ("meta", json!({ "total": total }))),
            ],
            Paging::GenAi => [
                links("previous"),
                total.map(|total| ("meta", json!({"page": number, "pages": pages, "total": total}))),
            ],
            Paging::TotalBeside => [None, total.map(|total| ("total", total.clone()))],
        };
        let more = self.more.iter().cloned();
        more.chain(members.into_iter().flatten()).collect()
    }
}
