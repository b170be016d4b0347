//! Who may come in: the argument is the permission.
//!
//! A handler that takes a [`Caller`] answers anybody with a good token, within that caller's scope; one that
//! takes an [`Operator`] answers operators only. Both are made here, from a verified token, and nowhere else,
//! so a handler without one of them can read nothing: every read asks for a `Scope`. Tokens are
//! compared with the clock here. It refuses to log or to keep the token.

use std::sync::{Arc, OnceLock};

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use chrono::Utc;
use shared::auth::{Identity, Scope};

use super::error::Problem;
use super::state::State;

/// Who a request turned out to be from, for the log line. Put into each request by `answer`.
#[derive(Clone, Default)]
pub(super) struct Trail(pub(super) Arc<OnceLock<String>>);

/// Anybody with a good token.
#[derive(Debug)]
pub struct Caller(Identity);

/// A platform administrator.
#[derive(Debug)]
pub struct Operator(Identity);

impl Caller {
    /// What may be seen.
    pub fn scope(&self) -> &Scope {
        self.0.scope()
    }
}

impl Caller {
    /// A tenant may name itself, and nobody else. The answer is the same whether or not there is such a tenant.
    ///
    /// # Errors
    /// 403.
    pub fn may_name(&self, tenant: Option<&str>) -> Result<(), Problem> {
        match (self.scope().tenant(), tenant) {
            (Some(own), Some(asked)) if own != asked => {
                Err(Problem::forbidden("A tenant can ask for its own things only."))
            }
            _ => Ok(()),
        }
    }
}

impl Operator {
    /// What may be seen: everything.
    pub fn scope(&self) -> &Scope {
        self.0.scope()
    }

    /// Who it is, for the audit trail.
    pub fn subject(&self) -> &str {
        self.0.subject()
    }
}

impl FromRequestParts<Arc<State>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, Problem> {
        Ok(Self(identify(parts, state).await?))
    }
}

impl FromRequestParts<Arc<State>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<State>) -> Result<Self, Problem> {
        let identity = identify(parts, state).await?;
        if identity.scope().is_operator() {
            Ok(Self(identity))
        } else {
            Err(Problem::forbidden("This is for platform administrators."))
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a token expires by the wall clock, read once per request"
)]
async fn identify(parts: &Parts, state: &State) -> Result<Identity, Problem> {
    let authorization = authorization(parts);
    let identity = state.identify(authorization.as_deref(), Utc::now()).await??;
    if let Some(Trail(subject)) = parts.extensions.get() {
        drop(subject.set(identity.subject().to_owned()));
    }
    Ok(identity)
}

/// The header as one text. Several become one with commas, as API Gateway does it, and are refused for that;
/// bytes beyond ASCII become a character that no token has.
fn authorization(parts: &Parts) -> Option<String> {
    let values: Vec<_> = parts
        .headers
        .get_all(AUTHORIZATION)
        .iter()
        .map(|value| value.to_str().unwrap_or("\u{fffd}"))
        .collect();
    (!values.is_empty()).then(|| values.join(","))
}
