//! Who was found to be calling, and what they may see.
//!
//! Made by `verify` from a token whose signature and claims were good, and by nothing else: the constructors
//! are visible inside `auth` only, and there is no `Default`, no `Deserialize` and no setter. So a [`Scope`] in
//! a function's arguments *is* the proof that somebody was allowed, and forgetting it does not compile.
//! It refuses to carry the token.

/// What a caller may see: everything (the operator), or what belongs to one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope(Reach);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Reach {
    Everything,
    Tenant(String),
}

impl Scope {
    pub(super) fn everything() -> Self {
        Self(Reach::Everything)
    }

    pub(super) fn of_tenant(tenant: String) -> Self {
        Self(Reach::Tenant(tenant))
    }

    /// Whether this is the operator's scope.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        matches!(self.0, Reach::Everything)
    }

    /// The one tenant whose things may be seen; `None` is the operator, who may see everything.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        match &self.0 {
            Reach::Everything => None,
            Reach::Tenant(tenant) => Some(tenant),
        }
    }
}

/// A caller whose token was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    subject: String,
    scope: Scope,
    jti: Option<String>,
}

impl Identity {
    pub(super) fn new(subject: String, scope: Scope, jti: Option<String>) -> Self {
        Self { subject, scope, jti }
    }

    /// The token's `sub`: at most 128 characters, no control characters.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What the caller may see.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The token's id, if it has one: the only thing about a token that may be logged.
    #[must_use]
    pub fn jti(&self) -> Option<&str> {
        self.jti.as_deref()
    }
}
