//! Tokens as `arcadia-app` issues them with Guardian: HS512, default claims, our roles and tenants.
//!
//! For tests and for the local stack's ready-made tokens. The service's own code is not used, so that a mistake
//! in it cannot hide here: this is HMAC over two pieces of base64, the key being the secret's raw bytes. It
//! judges no claim: a test may mint nonsense.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha512;
use uuid::Uuid;

/// How long the ready-made tokens are valid.
const TWELVE_HOURS: i64 = 12 * 3600;

/// These claims, signed, whatever they say.
pub fn mint(secret: &str, claims: &Value) -> String {
    signed(secret, &json!({"alg": "HS512", "typ": "JWT"}), claims)
}

/// As [`mint`], with another header.
pub fn signed(secret: &str, header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = match Hmac::<Sha512>::new_from_slice(secret.as_bytes()) {
        Ok(mut mac) => {
            mac.update(message.as_bytes());
            mac.finalize().into_bytes().to_vec()
        }
        // HMAC takes keys of every length.
        Err(_) => Vec::new(),
    };
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Guardian's default claims at this second since 1970: whose and what for is the caller's to add.
pub fn claims(subject: &str, now: i64) -> Value {
    json!({
        "aud": "arcadia", "exp": now + TWELVE_HOURS, "iat": now, "iss": "arcadia",
        "jti": Uuid::new_v4().to_string(), "nbf": now - 1, "sub": subject, "typ": "access",
    })
}

/// An operator's token.
pub fn operator(secret: &str, now: i64) -> String {
    with(
        secret,
        claims("operator@arcadia.example", now),
        "roles",
        json!(["platform_admin"]),
    )
}

/// A tenant's token.
pub fn tenant(secret: &str, tenant: &str, now: i64) -> String {
    with(
        secret,
        claims(&format!("owner@{tenant}.example"), now),
        "tenant_id",
        json!(tenant),
    )
}

fn with(secret: &str, mut claims: Value, name: &str, value: Value) -> String {
    if let Some(object) = claims.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
    mint(secret, &claims)
}

/// Now, as tokens count: for callers without a clock of their own.
pub fn now() -> i64 {
    i64::try_from(crate::place::since_1970().as_secs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Minted with Python's hmac and base64 from the same pieces.
    #[test]
    fn a_token_is_what_another_implementation_makes_of_it() {
        let secret = "0123456789012345678901234567890123456789012345678901234567890123";
        let token = mint(secret, &json!({"sub": "a"}));
        assert_eq!(token, EXPECTED);
    }

    const EXPECTED: &str = concat!(
        "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhIn0.",
        "wHyJdwhd_r9j4n-wrDOcHZ_pe0TzwsjXIoygWpp77FrgavMYBt8CeLYSO1pjOb0MqixgpaIQaSZtX1B5ETuIxg"
    );
}
