//! The claims of a token whose signature was good, and what they entitle to.
//!
//! Runs after the signature check. A claim we rely on is in the typed struct below, so that a wrong type or a
//! repetition refuses the token instead of being guessed at; null counts as absent. Times are whole seconds,
//! compared without leeway as Guardian does: valid while `nbf` <= now <= `exp`. It refuses to give more than
//! was asked for: an unknown role gives nothing, and the operator is one of two exact names.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{Identity, Reason, Refusal, Scope, Settings, json};

/// The operator by either spelling, letter by letter. Plain `admin` is not one: it does not say of what.
const OPERATOR_ROLES: [&str; 2] = ["platform_admin", "platform-admin"];
/// Refresh tokens are signed with the same key; only this kind may call us.
const ACCESS: &str = "access";
const LONGEST_NAME: usize = 128;
/// The last integer that every JSON parser reads alike.
const LATEST: u64 = 1 << 53;
/// Guardian sets `nbf = iat - 1`, so that a clock one second behind the issuer's accepts a fresh token; a
/// stricter `iat` would take that away again.
const ISSUE_SKEW: i64 = 1;

#[derive(Deserialize)]
struct Claims {
    exp: u64,
    nbf: u64,
    iat: Option<u64>,
    iss: String,
    aud: Audience,
    sub: String,
    typ: String,
    jti: Option<String>,
    role: Option<String>,
    roles: Option<Vec<String>>,
    tenant_id: Option<String>,
    pem: Option<BTreeMap<String, Permissions>>,
}

/// One audience or several (both are legal, Guardian sends one).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Guardian's permissions, as bits (-1: all of them) or names. Nothing here is decided by them; a token that
/// has them in another shape was not made by Guardian.
#[derive(Deserialize)]
#[serde(untagged)]
enum Permissions {
    Bits(i64),
    Names(Vec<String>),
}

/// The caller that this payload describes, if it is meant for us and valid at `now`.
pub(super) fn identity(payload: &[u8], settings: &Settings, now: DateTime<Utc>) -> Result<Identity, Refusal> {
    let claims: Claims = json::object(payload).ok_or(Reason::Claims)?;
    claims.check_purpose(settings)?;
    claims.check_times(settings, now)?;
    let subject = name(claims.sub, Reason::Subject)?;
    let jti = claims.jti.map(|jti| name(jti, Reason::TokenId)).transpose()?;
    // Looked at even for an operator: a token with a broken claim is broken.
    let tenant = claims
        .tenant_id
        .map(|tenant| name(tenant, Reason::Tenant))
        .transpose()?;
    let mut roles = claims.roles.iter().flatten().chain(&claims.role);
    let scope = if roles.any(|role| OPERATOR_ROLES.contains(&role.as_str())) {
        Scope::everything()
    } else {
        Scope::of_tenant(tenant.ok_or(Refusal::Forbidden)?)
    };
    Ok(Identity::new(subject, scope, jti))
}

impl Claims {
    /// The right kind of token, from the right issuer, for us.
    fn check_purpose(&self, settings: &Settings) -> Result<(), Reason> {
        if self.typ != ACCESS {
            return Err(Reason::TokenType);
        }
        if self.iss != settings.issuer {
            return Err(Reason::Issuer);
        }
        let ours = match &self.aud {
            Audience::One(audience) => *audience == settings.audience,
            Audience::Several(audiences) => audiences.contains(&settings.audience),
        };
        if !ours {
            return Err(Reason::Audience);
        }
        let plausible = |permissions: &Permissions| match permissions {
            Permissions::Bits(bits) => *bits >= -1,
            Permissions::Names(names) => names.iter().all(|name| !name.is_empty()),
        };
        if !self.pem.iter().flat_map(BTreeMap::values).all(plausible) {
            return Err(Reason::Claims);
        }
        Ok(())
    }

    fn check_times(&self, settings: &Settings, now: DateTime<Utc>) -> Result<(), Reason> {
        let now = now.timestamp();
        let (exp, nbf) = (seconds(self.exp)?, seconds(self.nbf)?);
        // Guardian always sets `iat`; for an issuer that does not, a token's life begins with `nbf`.
        let issued = self.iat.map_or(Ok(nbf), seconds)?;
        if exp < now {
            return Err(Reason::Expired);
        }
        if nbf > now {
            return Err(Reason::NotYetValid);
        }
        if issued > now.saturating_add(ISSUE_SKEW) {
            return Err(Reason::IssuedInFuture);
        }
        if exp - issued > settings.max_lifetime.num_seconds() {
            return Err(Reason::Lifetime);
        }
        Ok(())
    }
}

fn seconds(value: u64) -> Result<i64, Reason> {
    if value > LATEST {
        return Err(Reason::Claims);
    }
    i64::try_from(value).map_err(|_| Reason::Claims)
}

/// A name as it may be compared, stored and logged. Its meaning is not looked into: a tenant is a UUID or a
/// slug, compared whole and passed to the database as a parameter.
fn name(value: String, otherwise: Reason) -> Result<String, Reason> {
    let long = value.chars().count() > LONGEST_NAME;
    if value.trim().is_empty() || long || value.chars().any(char::is_control) {
        return Err(otherwise);
    }
    Ok(value)
}
