//! One answer, and how it is delivered.
//!
//! Made by `api`, `control` and `effects`, sent by `server`. Delivery is part of it, because half of the
//! faults are about bytes that do not arrive. It refuses to know why.

use std::{fmt, sync::Arc, time::Duration};

use axum::body::Bytes;
use serde_json::{Value, json};

use crate::problem::Problem;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    #[default]
    Whole,
    /// Without `content-length`.
    Chunked,
    /// All of `content-length` is promised, these bytes are sent, then the connection is cut.
    Cut {
        after: usize,
    },
    Trickle {
        pieces: usize,
        pause: Duration,
    },
    /// In pieces that are made one by one while they are sent; the answer has no other body.
    Pieces(Pieces),
    /// The connection is reset before a byte is sent.
    Reset,
    Never,
}

/// Makes the n-th piece of a body; none after the last.
#[derive(Clone)]
pub struct Pieces(Arc<dyn Fn(u64) -> Option<Bytes> + Send + Sync>);

impl Pieces {
    pub fn new(piece: impl Fn(u64) -> Option<Bytes> + Send + Sync + 'static) -> Self {
        Self(Arc::new(piece))
    }

    pub fn piece(&self, number: u64) -> Option<Bytes> {
        (self.0)(number)
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Pieces(…)")
    }
}

impl PartialEq for Pieces {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Pieces {}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    pub delivery: Delivery,
    pub delay: Duration,
    /// From the gateway in front: without the rate limit headers.
    pub gateway: bool,
}

impl Answer {
    pub fn json(status: u16, value: &Value) -> Self {
        Self::rendered(status, value.to_string())
    }

    /// JSON text.
    pub fn rendered(status: u16, text: impl Into<Bytes>) -> Self {
        Self::typed(status, "application/json; charset=utf-8", text)
    }

    pub fn html(status: u16) -> Self {
        let page = format!(
            "<!DOCTYPE html>\n<html><head><title>{status}</title></head>\
             <body><h1>Please try again</h1><p>The edge has no answer from the origin ({status}).</p></body></html>\n"
        );
        Self::typed(status, "text/html; charset=UTF-8", page)
    }

    pub fn typed(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("content-type", content_type.to_owned())],
            body: body.into(),
            delivery: Delivery::Whole,
            delay: Duration::ZERO,
            gateway: false,
        }
    }

    /// DO's error body.
    pub fn problem(problem: &Problem, request_id: &str) -> Self {
        let body = json!({"id": problem.id, "message": problem.message, "request_id": request_id});
        Self::json(problem.status, &body)
    }

    /// The gateway's 401, capital letter and all.
    pub fn unauthorized() -> Self {
        let mut answer = Self::json(
            401,
            &json!({"id": "Unauthorized", "message": "Unable to authenticate you"}),
        );
        answer.gateway = true;
        answer
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.set_header(name, value);
        self
    }

    pub fn set_header(&mut self, name: &'static str, value: impl ToString) {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.to_string()));
    }

    /// Only if nobody has set it.
    pub fn default_header(&mut self, name: &'static str, value: impl ToString) {
        if self.headers.iter().all(|(other, _)| *other != name) {
            self.headers.push((name, value.to_string()));
        }
    }
}
