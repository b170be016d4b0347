//! How a caller is turned away, in two voices: [`Refusal`] for the caller, [`Reason`] for us.
//!
//! Made by `verify`, once per refused request. A caller learns only whether the token was no good (401) or
//! good but without any right here (403). It refuses to tell more: a text that differed by cause would tell
//! an attacker which of his guesses were right.

use thiserror::Error;

/// Why a request was turned away. The `Display` text is safe to send; `Debug` is for logs (it names the
/// [`Reason`], never the token).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There was no `Authorization` header: 401.
    #[error("a valid bearer token is required")]
    Missing,
    /// There was one, and it was no good: 401, with the same text as [`Refusal::Missing`].
    #[error("a valid bearer token is required")]
    Invalid(Reason),
    /// The token is good, but neither an operator's nor a tenant's: 403.
    #[error("this token gives access to nothing here")]
    Forbidden,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::Invalid(reason)
    }
}

/// What exactly was wrong with a token: for logs and metrics only, never for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The header is not `Bearer`, one space, one token.
    Scheme,
    /// Two header values, merged by API Gateway with a comma.
    Repeated,
    /// Longer than 8 KiB.
    TooLong,
    /// A character that no token has: a space, a control character, padding, anything but ASCII.
    Characters,
    /// Not three segments.
    Segments,
    /// A segment is not canonical base64url.
    Encoding,
    /// The JOSE header is unreadable, or has a member we do not know or a value we do not accept.
    Header,
    /// Signed with an algorithm that is not on the list.
    Algorithm,
    /// The signature is not ours. The only reason that a rotated secret can explain.
    Signature,
    /// The claims are unreadable, ambiguous, incomplete or of a wrong type.
    Claims,
    /// `typ` is not `access` (a refresh token, for example).
    TokenType,
    /// `iss` is not ours.
    Issuer,
    /// `aud` does not name us.
    Audience,
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come yet.
    NotYetValid,
    /// `iat` is in the future.
    IssuedInFuture,
    /// Valid for longer than any token should be.
    Lifetime,
    /// `sub` is blank, too long or has control characters.
    Subject,
    /// `tenant_id` is blank, too long or has control characters.
    Tenant,
    /// `jti` is blank, too long or has control characters.
    TokenId,
}

impl Reason {
    /// The name used in logs and as a metric dimension.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheme => "scheme",
            Self::Repeated => "repeated",
            Self::TooLong => "too_long",
            Self::Characters => "characters",
            Self::Segments => "segments",
            Self::Encoding => "encoding",
            Self::Header => "header",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::Claims => "claims",
            Self::TokenType => "token_type",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::IssuedInFuture => "issued_in_future",
            Self::Lifetime => "lifetime",
            Self::Subject => "subject",
            Self::Tenant => "tenant",
            Self::TokenId => "token_id",
        }
    }
}
