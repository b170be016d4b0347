//! Proofs of `auth`, numbered as in the list of hostile tokens they were written from (6: any case of the
//! scheme; 59-74: claims; ...). Here: tokens that must be accepted, the secrets and settings that must not,
//! and the tools of the other files. Tokens are written out as text and signed by an HMAC of another
//! implementation (`hmac`, `sha2`), so that a mistake of ours cannot agree with itself. No clock is read.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::SecretString;
use sha2::{Sha256, Sha384, Sha512};

use super::{Algorithm, Identity, Reason, Refusal, SecretError, Settings, UnknownAlgorithm, Verifier};

mod hostile_claims;
mod hostile_headers;
mod mutations;
mod wycheproof;

/// As `mix guardian.gen.secret` makes them: 64 characters that also happen to be base64.
const SECRET: &str = "q7Zt0vV1cXkFhW3nB8yLr5sUe2mJg9aDpO4iKxTfRzYwNbHQ6uMGlESjCAPId-_o";
/// One day into the life of the token.
const NOW: i64 = 1_760_086_400;
const ISSUED: i64 = 1_760_000_000;
const GUARDIAN_HEADER: &str = r#"{"alg":"HS512","typ":"JWT"}"#;

/// The claims that Guardian 2.5 makes for a four-week access token, in its order, and arcadia's own.
const CLAIMS: [(&str, &str); 10] = [
    ("aud", r#""arcadia""#),
    ("exp", "1762419200"),
    ("iat", "1760000000"),
    ("iss", r#""arcadia""#),
    ("jti", r#""5b0f2f7e-6f0c-4f0e-9a52-0d8f6a1f7c11""#),
    ("nbf", "1759999999"),
    ("roles", r#"["member"]"#),
    ("sub", r#""user:42""#),
    ("tenant_id", r#""acme""#),
    ("typ", r#""access""#),
];

fn now() -> DateTime<Utc> {
    at(NOW)
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn verifier() -> Verifier {
    Verifier::new(&SECRET.into(), Settings::default()).unwrap()
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The claims as JSON text, some of them replaced; `""` leaves a claim out.
fn claims(replaced: &[(&str, &str)]) -> String {
    let mut members: Vec<(&str, &str)> = CLAIMS.to_vec();
    for (claim, value) in replaced {
        members.retain(|(known, _)| known != claim);
        members.push((claim, value));
    }
    let members: Vec<String> = members
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(claim, value)| format!("\"{claim}\":{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn hs512(key: &[u8], message: &str) -> Vec<u8> {
    let mac = Hmac::<Sha512>::new_from_slice(key).unwrap().chain_update(message);
    mac.finalize().into_bytes().to_vec()
}

fn hs384(key: &[u8], message: &str) -> Vec<u8> {
    let mac = Hmac::<Sha384>::new_from_slice(key).unwrap().chain_update(message);
    mac.finalize().into_bytes().to_vec()
}

fn hs256(key: &[u8], message: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(message);
    mac.finalize().into_bytes().to_vec()
}

fn message(header: &str, payload: impl AsRef<[u8]>) -> String {
    format!("{}.{}", encode(header), encode(payload))
}

/// A token of any header and payload, rightly signed.
fn token(header: &str, payload: impl AsRef<[u8]>) -> String {
    let message = message(header, payload);
    let signature = encode(hs512(SECRET.as_bytes(), &message));
    format!("{message}.{signature}")
}

fn good_token() -> String {
    token(GUARDIAN_HEADER, claims(&[]))
}

fn verify(authorization: &str) -> Result<Identity, Refusal> {
    verifier().verify(Some(authorization), now())
}

fn verify_claims(replaced: &[(&str, &str)]) -> Result<Identity, Refusal> {
    verify(&format!("Bearer {}", token(GUARDIAN_HEADER, claims(replaced))))
}

#[test]
fn a_guardian_token_is_accepted() {
    let identity = verify(&format!("Bearer {}", good_token())).unwrap();
    assert_eq!(identity.subject(), "user:42");
    assert_eq!(identity.jti(), Some("5b0f2f7e-6f0c-4f0e-9a52-0d8f6a1f7c11"));
    assert_eq!(identity.scope().tenant(), Some("acme"));
    assert!(!identity.scope().is_operator());
}

#[test]
fn a_token_signed_elsewhere_is_accepted() {
    // Made once with Python's hmac: not even our own test code had a hand in it.
    let golden = concat!(
        "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.",
        "eyJhdWQiOiJhcmNhZGlhIiwiZXhwIjoxNzYyNDE5MjAwLCJpYXQiOjE3NjAwMDAwMDAsImlzcyI6ImFyY2Fk",
        "aWEiLCJqdGkiOiJnb2xkZW4iLCJuYmYiOjE3NTk5OTk5OTksInJvbGUiOiJwbGF0Zm9ybS1hZG1pbiIsInN1",
        "YiI6Im9wIiwidHlwIjoiYWNjZXNzIn0.",
        "_1f_sdXm_oGmcLAbb1AlkcfDKX3cpjwrmQjGcy6xv9h6zVd-U11ZYbRG-IoMvHle4RRSqetReUccxgMgwlQ-",
        "9A",
    );
    let identity = verify(&format!("Bearer {golden}")).unwrap();
    assert!(identity.scope().is_operator());
    assert_eq!(identity.subject(), "op");
}

#[test]
fn n06_the_scheme_may_have_any_case() {
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        assert!(verify(&format!("{scheme} {}", good_token())).is_ok(), "{scheme}");
    }
}

#[test]
fn legal_headers_are_accepted() {
    let longest = format!(r#"{{"alg":"HS512","kid":"{}"}}"#, "k".repeat(64));
    for header in [
        r#"{"alg":"HS512"}"#,
        r#"{"typ":"JWT","alg":"HS512"}"#,
        r#"{"alg":"HS512","typ":"JWT","kid":"2025-10.a_b"}"#,
        r#"{ "\u0061lg" : "HS512" }"#,
        &longest,
    ] {
        assert!(
            verify(&format!("Bearer {}", token(header, claims(&[])))).is_ok(),
            "{header}"
        );
    }
}

#[test]
fn roles_decide_the_scope() {
    let operator = None;
    let acme = Some("acme");
    for (replaced, tenant) in [
        (vec![("roles", r#"["platform_admin"]"#)], operator),
        (vec![("roles", r#"["member","platform-admin"]"#)], operator),
        (vec![("roles", ""), ("role", r#""platform_admin""#)], operator),
        (
            vec![("roles", ""), ("role", r#""platform-admin""#), ("tenant_id", "")],
            operator,
        ),
        (
            vec![("roles", r#"["platform_admin"]"#), ("tenant_id", "null")],
            operator,
        ),
        (
            vec![("roles", r#"["member"]"#), ("role", r#""platform_admin""#)],
            operator,
        ),
        (vec![("roles", r#"["admin"]"#)], acme),
        (
            vec![("roles", r#"["platform_admin_readonly","PLATFORM_ADMIN","admin"]"#)],
            acme,
        ),
        (vec![("roles", "[]"), ("role", r#""admin""#)], acme),
        (vec![("roles", "null"), ("role", "null")], acme),
        (vec![("roles", "")], acme),
        (
            vec![("tenant_id", r#""9b2f1c9e-3f5e-4b0e-8a43-5f0f3d1f8e77""#)],
            Some("9b2f1c9e-3f5e-4b0e-8a43-5f0f3d1f8e77"),
        ),
    ] {
        let identity = verify_claims(&replaced).unwrap();
        assert_eq!(identity.scope().tenant(), tenant, "{replaced:?}");
        assert_eq!(identity.scope().is_operator(), tenant.is_none(), "{replaced:?}");
    }
}

#[test]
fn a_token_without_role_or_tenant_is_forbidden() {
    for replaced in [
        vec![("roles", ""), ("tenant_id", "")],
        vec![("roles", r#"["admin"]"#), ("tenant_id", "")],
        vec![("tenant_id", "null")],
        vec![
            ("roles", "[]"),
            ("role", r#""platform admin""#),
            ("tenant_id", ""),
        ],
    ] {
        assert_eq!(verify_claims(&replaced), Err(Refusal::Forbidden), "{replaced:?}");
    }
}

#[test]
fn legal_claims_are_accepted() {
    let longest = format!("\"{}\"", "é".repeat(128));
    for replaced in [
        ("aud", r#"["other","arcadia"]"#),
        ("jti", ""),
        ("iat", ""),
        ("sub", longest.as_str()),
        ("pem", r#"{"default":3,"admin":-1,"names":["read"]}"#),
        ("auth_time", "1760000000"),
        ("anything", r#"{"of":["the","app's",1.5,null,true]}"#),
    ] {
        assert!(verify_claims(&[replaced]).is_ok(), "{replaced:?}");
    }
}

#[test]
fn n60_to_n64_times_are_compared_to_the_second() {
    let bearer = format!("Bearer {}", good_token());
    let exp = 1_762_419_200;
    let verify_at = |seconds| verifier().verify(Some(&bearer), at(seconds)).map(|_| ());
    assert_eq!(verify_at(exp), Ok(()));
    assert_eq!(verify_at(exp + 1), Err(Reason::Expired.into()));
    assert_eq!(verify_at(ISSUED), Ok(()));
    // The second of grace that Guardian builds into nbf, and 77: our clock five minutes off.
    assert_eq!(verify_at(ISSUED - 1), Ok(()));
    assert_eq!(verify_at(ISSUED - 2), Err(Reason::NotYetValid.into()));
    assert_eq!(verify_at(ISSUED - 300), Err(Reason::NotYetValid.into()));
    assert_eq!(verify_at(ISSUED + 300), Ok(()));
    assert_eq!(verify_at(-1), Err(Reason::NotYetValid.into()));
    let late = verifier().verify(Some(&bearer), DateTime::<Utc>::MAX_UTC);
    assert_eq!(late.map(|_| ()), Err(Reason::Expired.into()));
}

#[test]
fn the_allow_list_decides_the_algorithm() {
    let header = r#"{"alg":"HS256","typ":"JWT"}"#;
    let message = message(header, claims(&[]));
    let bearer = format!("Bearer {message}.{}", encode(hs256(SECRET.as_bytes(), &message)));
    for (algorithms, expected) in [
        (vec![Algorithm::Hs512], Err(Reason::Algorithm.into())),
        (
            vec![Algorithm::Hs384, Algorithm::Hs512],
            Err(Reason::Algorithm.into()),
        ),
        (vec![Algorithm::Hs256], Ok(())),
        (vec![Algorithm::Hs512, Algorithm::Hs384, Algorithm::Hs256], Ok(())),
    ] {
        let verifier = Verifier::new(
            &SECRET.into(),
            Settings {
                algorithms,
                ..Settings::default()
            },
        )
        .unwrap();
        assert_eq!(verifier.verify(Some(&bearer), now()).map(|_| ()), expected);
    }
    assert_eq!("HS384".parse(), Ok(Algorithm::Hs384));
    for name in ["hs512", "HS512 ", "", "none", "RS256", "HS1"] {
        assert_eq!(name.parse::<Algorithm>(), Err(UnknownAlgorithm), "{name}");
    }
}

#[test]
fn unfit_secrets_and_settings_are_refused_without_being_repeated() {
    for (secret, error) in [
        ("", SecretError::Empty),
        ("hunter2-hunter2-hunter2-hunter2", SecretError::Short),
        (
            " hunter2-hunter2-hunter2-hunter2-hunter2",
            SecretError::Whitespace,
        ),
        (
            "hunter2-hunter2-hunter2-hunter2-hunter2\n",
            SecretError::Whitespace,
        ),
        (
            "hunter2-hunter2-hunter2-hunter2-hunter2\r\n",
            SecretError::Whitespace,
        ),
        (
            "\thunter2-hunter2-hunter2-hunter2-hunter2",
            SecretError::Whitespace,
        ),
        ("    ", SecretError::Whitespace),
    ] {
        let refused = Verifier::new(&SecretString::from(secret), Settings::default()).unwrap_err();
        assert_eq!(refused, error);
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    }
    assert!(Verifier::new(&"x".repeat(32).into(), Settings::default()).is_ok());
    for settings in [
        Settings {
            algorithms: vec![],
            ..Settings::default()
        },
        Settings {
            issuer: String::new(),
            ..Settings::default()
        },
        Settings {
            audience: String::new(),
            ..Settings::default()
        },
        Settings {
            max_lifetime: TimeDelta::zero(),
            ..Settings::default()
        },
    ] {
        assert_eq!(
            Verifier::new(&SECRET.into(), settings).unwrap_err(),
            SecretError::Settings
        );
    }
}

#[test]
fn nothing_printed_contains_token_or_secret() {
    let good = good_token();
    let identity = verify(&format!("Bearer {good}")).unwrap();
    let forged = format!("{}A", good.strip_suffix(|_| true).unwrap());
    let refusal = verify(&format!("Bearer {forged}")).unwrap_err();
    let printed = format!("{:?} {identity:?} {refusal:?} {refusal}", verifier());
    assert!(printed.contains("[redacted]"));
    for secret in good.split('.').chain(forged.split('.')).chain([SECRET]) {
        assert!(!printed.contains(secret), "{printed}");
    }
    // Nor as a list of its bytes.
    assert!(!printed.contains("113, 55, 90"), "{printed}");
}

#[test]
fn all_refusals_of_a_token_read_alike() {
    let all = [
        Reason::Scheme,
        Reason::Repeated,
        Reason::TooLong,
        Reason::Characters,
        Reason::Segments,
        Reason::Encoding,
        Reason::Header,
        Reason::Algorithm,
        Reason::Signature,
        Reason::Claims,
        Reason::TokenType,
        Reason::Issuer,
        Reason::Audience,
        Reason::Expired,
        Reason::NotYetValid,
        Reason::IssuedInFuture,
        Reason::Lifetime,
        Reason::Subject,
        Reason::Tenant,
        Reason::TokenId,
    ];
    for reason in all {
        let refusal = Refusal::Invalid(reason);
        assert_eq!(refusal.to_string(), Refusal::Missing.to_string());
        assert!(std::error::Error::source(&refusal).is_none());
    }
    let names: std::collections::BTreeSet<&str> = all.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(names.len(), all.len());
    assert_ne!(Refusal::Forbidden.to_string(), Refusal::Missing.to_string());
    assert_eq!(verifier().verify(None, now()), Err(Refusal::Missing));
}
