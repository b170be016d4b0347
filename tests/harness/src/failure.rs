//! What the harness says when it cannot go on: one sentence that names the culprit.
//!
//! Every function of the harness fails with this type; nothing branches on it, people read it. It refuses to
//! carry a password: callers pass addresses, not URLs.

use std::fmt;

/// One sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// From a sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Turns an error of somebody else's into a [`Failure`] that says what was being done.
pub trait Doing<T> {
    /// `what` reads "cannot …"; the cause follows after a colon.
    fn doing(self, what: impl fmt::Display) -> Result<T, Failure>;
}

impl<T, E: fmt::Display> Doing<T> for Result<T, E> {
    fn doing(self, what: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(format!("cannot {what}: {error}")))
    }
}
