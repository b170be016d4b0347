//! What can go wrong upstream, one variant per reaction.
//!
//! The decision is taken from the HTTP status, never from the text of a body: DigitalOcean words the same
//! refusal in several ways. Nothing of a body or a header ever becomes part of a message.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Why an answer of DigitalOcean cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// 429 of the minute limit: `retry-after` says how long.
    #[error("rate limited for {} s", .0.as_secs())]
    Burst(Duration),
    /// 429 of the hour limit: requests come back one by one from then on.
    #[error("out of requests until {0}")]
    Exhausted(DateTime<Utc>),
    /// 401, also after the token was read again.
    #[error("DigitalOcean refuses the token (401)")]
    Unauthorized,
    /// 403 or 404: the token may not read this, or the team does not have it.
    #[error("not readable with this token ({0})")]
    Unreadable(u16),
    /// 5xx, or another status nobody expects on a GET.
    #[error("DigitalOcean answered {0}")]
    Status(u16),
    /// No answer, or not all of it.
    #[error("no usable answer: {0}")]
    Transport(&'static str),
    /// An answer that is not what DigitalOcean documents.
    #[error("malformed answer: {0}")]
    Malformed(&'static str),
    /// The token itself could not be had.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// The secret that holds the token could not be read. Kept as text: what matters is which one, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TokenError(pub(crate) String);

impl Error {
    /// Whether the same GET may well succeed in a moment.
    pub fn is_transient(&self) -> bool {
        match self {
            Error::Status(status) => matches!(status, 408 | 500..=599),
            // A truncated or foreign body is what a proxy in trouble sends.
            Error::Transport(_) | Error::Malformed(_) => true,
            Error::Burst(_)
            | Error::Exhausted(_)
            | Error::Unauthorized
            | Error::Unreadable(_)
            | Error::Token(_) => false,
        }
    }

    /// A word for logs, metrics and the `error_class` of a run.
    pub fn class(&self) -> &'static str {
        match self {
            Error::Burst(_) | Error::Exhausted(_) => "rate_limited",
            Error::Unauthorized => "unauthorized",
            Error::Unreadable(_) => "unreadable",
            Error::Status(_) => "upstream_status",
            Error::Transport(_) => "upstream_transport",
            Error::Malformed(_) => "upstream_malformed",
            Error::Token(_) => "token_unavailable",
        }
    }
}
