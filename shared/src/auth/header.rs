//! The wrapping of a token: the `Authorization` value, the three segments, the JOSE header.
//!
//! Runs before the signature is checked, so everything here is an attacker's text and is looked at only as far
//! as needed: cheap checks first, the length before all. It refuses every header member but `alg`, `typ` and
//! `kid` (so no `crit`, `jku`, `jwk`, `x5u`, `zip`, `enc`, `b64` to misunderstand) and never uses `kid`: there
//! is one key, and the token has no say in it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer};

use super::{Algorithm, Reason, json};

/// API Gateway passes about 10 KiB of headers; a Guardian token is about 500 bytes.
const LONGEST_TOKEN: usize = 8 * 1024;
const LONGEST_KEY_ID: usize = 64;
/// The scheme and its one space.
const BEARER: &str = "Bearer ";

/// A token taken apart at its dots. No `Debug`: it would print the token.
pub(super) struct Segments<'a> {
    /// What was signed: header, dot, payload.
    pub(super) message: &'a str,
    pub(super) header: &'a str,
    pub(super) payload: &'a str,
    pub(super) signature: &'a str,
}

/// The token in an `Authorization` value: the scheme in any case, exactly one space, one token.
pub(super) fn bearer(authorization: &str) -> Result<&str, Reason> {
    if authorization.len() > BEARER.len() + LONGEST_TOKEN {
        return Err(Reason::TooLong);
    }
    if authorization.contains(',') {
        return Err(Reason::Repeated);
    }
    let (scheme, token) = authorization
        .split_at_checked(BEARER.len())
        .ok_or(Reason::Scheme)?;
    if !scheme.eq_ignore_ascii_case(BEARER) || token.is_empty() {
        return Err(Reason::Scheme);
    }
    if !token
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    {
        return Err(Reason::Characters);
    }
    Ok(token)
}

/// The three segments: exactly two dots.
pub(super) fn segments(token: &str) -> Result<Segments<'_>, Reason> {
    let (message, signature) = token.rsplit_once('.').ok_or(Reason::Segments)?;
    let (header, payload) = message.split_once('.').ok_or(Reason::Segments)?;
    if payload.contains('.') {
        return Err(Reason::Segments);
    }
    Ok(Segments {
        message,
        header,
        payload,
        signature,
    })
}

/// The bytes of a segment. This engine takes neither padding nor stray trailing bits, so one signature has one
/// spelling.
pub(super) fn decode(segment: &str) -> Result<Vec<u8>, Reason> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| Reason::Encoding)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JoseHeader {
    alg: String,
    #[serde(default, deserialize_with = "text")]
    typ: Option<String>,
    #[serde(default, deserialize_with = "text")]
    kid: Option<String>,
}

/// Present means a string: serde's own `Option` would take null for absent.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

/// The algorithm that the header names, if the header says nothing else of consequence.
pub(super) fn algorithm(segment: &str) -> Result<Algorithm, Reason> {
    let header: JoseHeader = json::object(&decode(segment)?).ok_or(Reason::Header)?;
    if header.typ.is_some_and(|typ| typ != "JWT") || header.kid.is_some_and(|kid| !is_key_id(&kid)) {
        return Err(Reason::Header);
    }
    header.alg.parse().map_err(|_| Reason::Algorithm)
}

/// Guardian sends a `kid` only with a JWK. We never look anything up by it, but a name with slashes, quotes or
/// spaces is an attack on somebody who does.
fn is_key_id(kid: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~:=+@".contains(&byte);
    (1..=LONGEST_KEY_ID).contains(&kid.len()) && kid.bytes().all(plain)
}
