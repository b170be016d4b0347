//! A refusal, in DO's shape.
//!
//! Made wherever the simulator says no, over HTTP or through the library; `answer` turns it into
//! `{"id", "message", "request_id"}`. It carries our own wording: the client must switch on the status.

use std::fmt;

/// Why something was refused: HTTP status, DO's error id, a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: u16,
    pub id: &'static str,
    pub message: String,
}

impl Problem {
    pub fn not_found() -> Self {
        Self::new(404, "not_found", "There is no resource with this address.")
    }

    pub fn forbidden() -> Self {
        Self::new(403, "forbidden", "This token is not allowed to do that.")
    }

    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(422, "unprocessable_entity", message)
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "bad_request", message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(409, "conflict", message)
    }

    pub fn new(status: u16, id: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            id,
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}: {}", self.status, self.id, self.message)
    }
}

impl std::error::Error for Problem {}
