//! Who is calling: bearer token -> claims -> [`Scope`].
//!
//! Runs once per API request, before any handler. Pure: no clock (`now` is an argument), no network, no log.
//! The tokens are issued by arcadia-app (Guardian); we only verify. The rule is that our accept set is a
//! strict subset of Guardian's: whatever two parsers could read differently, or a Guardian with default
//! settings would never issue, is refused.
//!
//! The library checks the HMAC and nothing else. Its own claim checks read the system clock, let a wrongly
//! typed `iss` or `aud` pass unless told otherwise and tolerate 60 seconds, so header and claims are read here.
//!
//! It refuses to say why a token was refused (one public answer; [`Reason`] is for logs and metrics), to choose
//! a key by anything the token says, and to keep, print or return the token or the secret.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

mod claims;
mod header;
mod identity;
mod json;
mod refusal;
#[cfg(test)]
mod tests;

pub use identity::{Identity, Scope};
pub use refusal::{Reason, Refusal};

/// Shorter keys can be guessed; Guardian's generator makes 64 characters and at least 32.
const SHORTEST_SECRET: usize = 32;

/// RFC 4231, test case 2: the published answers that the crypto provider has to agree with before we trust it.
const KNOWN_KEY: &[u8] = b"Jefe";
const KNOWN_MESSAGE: &[u8] = b"what do ya want for nothing?";
const KNOWN_HS256: &str = "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM";
const KNOWN_HS384: &str = "r0XS43ZIQDFhf3jStYprG5x-9GT1oBtH5C7Dc2MiRF6OIkDKXmnix4syOez6shZJ";
const KNOWN_HS512: &str =
    "Fkt6e_z4GeLjlfvnO1bgo4e9ZCIugx_WECcM1-olBVSXWL91wFqZSm0DT2X48Ob9yuqxo01Ka0tjbgcKOLznNw";

/// A signature algorithm we can be told to allow. HMAC only: with a public-key algorithm in the same list, a
/// public key could be passed off as an HMAC secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512: what Guardian signs with by default.
    Hs512,
}

/// The name is not one of the algorithms we know. It does not repeat the name: it came from the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a token algorithm must be HS256, HS384 or HS512")]
pub struct UnknownAlgorithm;

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// Exactly as in a token's header: upper case, no spaces.
    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        match name {
            "HS256" => Ok(Self::Hs256),
            "HS384" => Ok(Self::Hs384),
            "HS512" => Ok(Self::Hs512),
            _ => Err(UnknownAlgorithm),
        }
    }
}

impl Algorithm {
    fn library(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Hs384 => jsonwebtoken::Algorithm::HS384,
            Self::Hs512 => jsonwebtoken::Algorithm::HS512,
        }
    }

    /// The published answer for this algorithm, and one that is somebody else's.
    fn known_answers(self) -> (&'static str, &'static str) {
        match self {
            Self::Hs256 => (KNOWN_HS256, KNOWN_HS384),
            Self::Hs384 => (KNOWN_HS384, KNOWN_HS512),
            Self::Hs512 => (KNOWN_HS512, KNOWN_HS256),
        }
    }
}

/// What a token has to say to be ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The only `iss` accepted.
    pub issuer: String,
    /// What `aud` has to be or contain.
    pub audience: String,
    /// The algorithms a token may be signed with.
    pub algorithms: Vec<Algorithm>,
    /// The longest life (`exp` - `iat`) a token may have. Guardian's default is four weeks.
    pub max_lifetime: TimeDelta,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            issuer: "arcadia".to_owned(),
            audience: "arcadia".to_owned(),
            algorithms: vec![Algorithm::Hs512],
            max_lifetime: TimeDelta::days(31),
        }
    }
}

/// Why no [`Verifier`] can be made. One sentence each, for whoever deploys; none repeats the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SecretError {
    /// There is no key at all.
    #[error("the Guardian secret is empty")]
    Empty,
    /// The key could be guessed.
    #[error("the Guardian secret is shorter than 32 bytes")]
    Short,
    /// A pasted newline or space would become part of the key, and no token would ever verify.
    #[error("the Guardian secret begins or ends with whitespace or a newline")]
    Whitespace,
    /// Nothing could be accepted, or an empty claim would be.
    #[error("the token settings name no algorithm, no issuer, no audience or no lifetime")]
    Settings,
    /// The HMAC implementation is missing or gives wrong answers.
    #[error("the crypto provider failed its self-check against RFC 4231")]
    Provider,
}

/// Verifies tokens with one secret. Made once per cold start (and again when the secret was rotated).
pub struct Verifier {
    key: DecodingKey,
    settings: Settings,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("key", &"[redacted]")
            .field("settings", &self.settings)
            .finish()
    }
}

impl Verifier {
    /// A verifier whose key is the raw bytes of `secret`: Guardian decodes neither base64 nor hex.
    ///
    /// # Errors
    ///
    /// If the secret or the settings would accept too much or nothing at all, or if the crypto provider does
    /// not work (better at the start of the function than at the first request).
    pub fn new(secret: &SecretString, settings: Settings) -> Result<Self, SecretError> {
        let secret = secret.expose_secret();
        if secret.is_empty() {
            return Err(SecretError::Empty);
        }
        if secret.trim() != secret {
            return Err(SecretError::Whitespace);
        }
        if secret.len() < SHORTEST_SECRET {
            return Err(SecretError::Short);
        }
        if settings.algorithms.is_empty()
            || settings.issuer.is_empty()
            || settings.audience.is_empty()
            || settings.max_lifetime <= TimeDelta::zero()
        {
            return Err(SecretError::Settings);
        }
        if !settings
            .algorithms
            .iter()
            .all(|algorithm| provider_works(*algorithm))
        {
            return Err(SecretError::Provider);
        }
        Ok(Self {
            key: DecodingKey::from_secret(secret.as_bytes()),
            settings,
        })
    }

    /// Who is calling, given the raw value of the `Authorization` header (`None`: there was no such header).
    ///
    /// # Errors
    ///
    /// [`Refusal`], whose text is the same for every cause that is answered with 401. Claims are not read
    /// before the signature has been found good.
    pub fn verify(&self, authorization: Option<&str>, now: DateTime<Utc>) -> Result<Identity, Refusal> {
        let authorization = authorization.ok_or(Refusal::Missing)?;
        let token = header::bearer(authorization)?;
        let segments = header::segments(token)?;
        let algorithm = header::algorithm(segments.header)?;
        if !self.settings.algorithms.contains(&algorithm) {
            return Err(Reason::Algorithm.into());
        }
        let payload = header::decode(segments.payload)?;
        // Decoded once here although the library decodes it again: unreadable base64 is not a wrong signature,
        // and a wrong signature alone may make the caller look for a rotated secret.
        header::decode(segments.signature)?;
        let message = segments.message.as_bytes();
        match crypto::verify(segments.signature, message, &self.key, algorithm.library()) {
            Ok(true) => claims::identity(&payload, &self.settings, now),
            Ok(false) | Err(_) => Err(Reason::Signature.into()),
        }
    }
}

/// Whether the provider gives the published answer, and only that one. A build without a usable provider
/// panics in the library at the first use: caught here, once, and turned into a sentence.
fn provider_works(algorithm: Algorithm) -> bool {
    let (right, wrong) = algorithm.known_answers();
    std::panic::catch_unwind(|| {
        let key = DecodingKey::from_secret(KNOWN_KEY);
        let agrees = |answer| crypto::verify(answer, KNOWN_MESSAGE, &key, algorithm.library());
        matches!((agrees(right), agrees(wrong)), (Ok(true), Ok(false)))
    })
    .unwrap_or(false)
}
