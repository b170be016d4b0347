//! Hostile claims under a good signature (59-74): an issuer's mistake, a token meant for somebody else, or
//! text that another parser would read differently. Every row changes one claim of a good token.
//! 75 and 76 (a deleted tenant, a replay after rotation) need state and are proved where the state is.

use super::*;
use crate::auth::json;

fn refuse_all(rows: &[(u8, &str, &[&str], Reason)]) {
    for (number, claim, values, reason) in rows {
        for value in *values {
            let refused = verify_claims(&[(claim, value)]);
            assert_eq!(refused, Err((*reason).into()), "{number}: {claim} = {value}");
        }
    }
}

fn refuse_payload(number: u8, payload: impl AsRef<[u8]>) {
    let bearer = format!("Bearer {}", token(GUARDIAN_HEADER, &payload));
    let shown = String::from_utf8_lossy(payload.as_ref()).into_owned();
    assert_eq!(verify(&bearer), Err(Reason::Claims.into()), "{number}: {shown}");
}

#[test]
fn n59_to_n64_times() {
    let wrong: &[&str] = &[
        "",
        "null",
        r#""1762419200""#,
        "true",
        "1762419200.0",
        "1762419200.5",
        "1.7624192e9",
        "-1",
        "-0",
        "1e400",
        "[1762419200]",
        "{}",
        "18446744073709551615",
        "18446744073709551616",
        "9007199254740993",
        "0x10",
        "01",
    ];
    // A missing or null iat is the one that is allowed.
    let wrong_if_present = &wrong[2..];
    refuse_all(&[
        (59, "exp", wrong, Reason::Claims),
        (60, "exp", &["1760086399", "0", "1760000000"], Reason::Expired),
        (
            61,
            "nbf",
            &["1760086402", "1760086401", "1762419200"],
            Reason::NotYetValid,
        ),
        (62, "nbf", wrong, Reason::Claims),
        (63, "iat", wrong_if_present, Reason::Claims),
        (63, "iat", &["1760090000", "1760086402"], Reason::IssuedInFuture),
        (64, "iat", &["0", "1759740799"], Reason::Lifetime),
        (
            64,
            "exp",
            &["1762678401", "4102444800", "9007199254740992"],
            Reason::Lifetime,
        ),
    ]);
    assert!(
        verify_claims(&[("exp", "1762678400")]).is_ok(),
        "31 days and not a second more"
    );
    assert!(
        verify_claims(&[("exp", "1760086400")]).is_ok(),
        "Guardian: valid while exp >= now"
    );
    assert!(
        verify_claims(&[("nbf", "1760086400"), ("iat", "1760086401")]).is_ok(),
        "a second of skew"
    );
    assert!(verify_claims(&[("iat", "null")]).is_ok());
    let without_iat = verify_claims(&[("iat", ""), ("nbf", "0")]);
    assert_eq!(
        without_iat,
        Err(Reason::Lifetime.into()),
        "no iat does not mean no limit"
    );
}

#[test]
fn n65_to_n68_whose_token_it_is() {
    let long = format!("\"{}\"", "s".repeat(129));
    let ten_kilobytes = format!("\"{}\"", "s".repeat(10_240));
    let not_text: &[&str] = &["", "null", "1", "true", r#"{"a":"arcadia"}"#];
    let not_a_name: &[&str] = &[
        r#""""#,
        r#""  ""#,
        r#""a\u0000b""#,
        r#""a\nb""#,
        r#""a\u007f""#,
        r#""\u009b31m""#,
        &long,
    ];
    refuse_all(&[
        (65, "iss", not_text, Reason::Claims),
        (65, "iss", &[r#"["arcadia"]"#], Reason::Claims),
        (
            65,
            "iss",
            &[
                r#""evil""#,
                r#""Arcadia""#,
                r#""arcadia/""#,
                r#""arcadia ""#,
                r#""""#,
            ],
            Reason::Issuer,
        ),
        (
            65,
            "iss",
            &[r#""аrcadia""#, r#""arcadia\u0000""#, r#""arcadi""#],
            Reason::Issuer,
        ),
        (66, "aud", not_text, Reason::Claims),
        (
            66,
            "aud",
            &[r#"["arcadia",1]"#, r#"["arcadia",null]"#, r#"[["arcadia"]]"#],
            Reason::Claims,
        ),
        (
            66,
            "aud",
            &[
                "[]",
                r#""other""#,
                r#"["other"]"#,
                r#""Arcadia""#,
                r#""arcadia,other""#,
            ],
            Reason::Audience,
        ),
        (67, "sub", not_text, Reason::Claims),
        (67, "sub", &[r#"["user:42"]"#, r#""\ud800""#], Reason::Claims),
        (67, "sub", not_a_name, Reason::Subject),
        (67, "jti", &["1", "true", r#"["a"]"#, "{}"], Reason::Claims),
        (67, "jti", not_a_name, Reason::TokenId),
        (68, "typ", not_text, Reason::Claims),
        (68, "typ", &[r#"["access"]"#], Reason::Claims),
        (
            68,
            "typ",
            &[r#""refresh""#, r#""Access""#, r#""access ""#, r#""""#],
            Reason::TokenType,
        ),
    ]);
    assert_eq!(
        verify_claims(&[("sub", &ten_kilobytes)]),
        Err(Reason::TooLong.into())
    );
}

#[test]
fn n69_a_claim_given_twice_is_refused() {
    for (claim, one, two) in [
        ("exp", "1760000000", "1762419200"),
        ("nbf", "1", "1759999999"),
        ("iat", "1", "1760000000"),
        ("sub", r#""user:1""#, r#""user:42""#),
        ("iss", r#""arcadia""#, r#""arcadia""#),
        ("aud", r#""other""#, r#""arcadia""#),
        ("typ", r#""refresh""#, r#""access""#),
        ("role", r#""member""#, r#""platform_admin""#),
        ("roles", "[]", r#"["platform_admin"]"#),
        ("tenant_id", r#""acme""#, r#""rival""#),
        ("tenant_id", "null", r#""rival""#),
        ("pem", "{}", "{}"),
        ("jti", r#""a""#, r#""b""#),
        // Nobody reads this one: refused all the same, for whoever may read it one day.
        ("locale", r#""de""#, r#""en""#),
    ] {
        let rest = claims(&[(claim, "")]);
        let rest = rest.strip_prefix('{').unwrap();
        refuse_payload(69, format!(r#"{{"{claim}":{one},"{claim}":{two},{rest}"#));
        refuse_payload(69, format!(r#"{{"{claim}":{two},"{claim}":{one},{rest}"#));
        let mut rest_of_name = claim.chars();
        let first = u32::from(rest_of_name.next().unwrap());
        let escaped = format!("\\u{first:04x}{}", rest_of_name.as_str());
        refuse_payload(69, format!(r#"{{"{claim}":{one},"{escaped}":{two},{rest}"#));
    }
    refuse_payload(69, claims(&[("nested", r#"{"a":1,"a":2}"#)]));
}

#[test]
fn n70_a_role_is_exactly_its_name() {
    for role in [
        r#""platform_admin ""#,
        r#"" platform_admin""#,
        r#""plаtform_admin""#,
        r#""Platform_Admin""#,
        r#""platform_admin\u0000""#,
        r#""platform_admin\u200b""#,
        r#""platformadmin""#,
        r#""platform admin""#,
        r#""platform_admin,member""#,
        r#""admin""#,
        r#""owner""#,
        r#""*""#,
        r#""""#,
    ] {
        let list = format!("[{role}]");
        for given in [
            [("roles", ""), ("role", role)],
            [("roles", list.as_str()), ("role", "")],
        ] {
            let identity = verify_claims(&given).unwrap();
            assert_eq!(identity.scope().tenant(), Some("acme"), "{given:?}");
            let [first, second] = given;
            let alone = verify_claims(&[first, second, ("tenant_id", "")]);
            assert_eq!(alone, Err(Refusal::Forbidden), "{given:?}");
        }
    }
    refuse_all(&[
        (
            70,
            "role",
            &[r#"["platform_admin"]"#, r#"{"platform_admin":true}"#, "true", "1"],
            Reason::Claims,
        ),
        (
            70,
            "roles",
            &[r#""platform_admin""#, r#"{"platform_admin":true}"#, "true", "1"],
            Reason::Claims,
        ),
        (
            70,
            "roles",
            &[r#"["platform_admin",1]"#, r#"[["platform_admin"]]"#, "[null]"],
            Reason::Claims,
        ),
    ]);
}

#[test]
fn n71_and_n72_tenants_and_permissions() {
    let long = format!("\"{}\"", "t".repeat(129));
    refuse_all(&[
        (
            71,
            "tenant_id",
            &["0", "-1", "1.5", "7", "true", r#"["acme"]"#, r#"{"id":"acme"}"#],
            Reason::Claims,
        ),
        (71, "tenant_id", &[r#""\ud800""#], Reason::Claims),
        (
            71,
            "tenant_id",
            &[r#""""#, r#"" ""#, r#""a\u0000""#, r#""a\r\nb""#, &long],
            Reason::Tenant,
        ),
        (
            72,
            "pem",
            &[r#""admin""#, "-1", "18446744073709551616", r#"["admin"]"#, "true"],
            Reason::Claims,
        ),
        (
            72,
            "pem",
            &[r#"{"a":-2}"#, r#"{"a":18446744073709551616}"#, r#"{"a":"all"}"#],
            Reason::Claims,
        ),
        (
            72,
            "pem",
            &[r#"{"a":1.5}"#, r#"{"a":null}"#, r#"{"a":[1]}"#, r#"{"a":[""]}"#],
            Reason::Claims,
        ),
    ]);
    assert_eq!(verify_claims(&[("tenant_id", "")]), Err(Refusal::Forbidden));
    // A broken tenant is not excused by the operator's role.
    let operator = ("roles", r#"["platform_admin"]"#);
    assert_eq!(
        verify_claims(&[operator, ("tenant_id", r#""""#)]),
        Err(Reason::Tenant.into())
    );
    assert_eq!(
        verify_claims(&[operator, ("tenant_id", "7")]),
        Err(Reason::Claims.into())
    );
    // A name is a name: this is one tenant with an odd one, not all of them, and "*" is no wildcard.
    for odd in ["1 OR 1=1", "*", "%", "acme'; DROP TABLE x; --", "Acme", "acme "] {
        let identity = verify_claims(&[("tenant_id", &format!("\"{odd}\""))]).unwrap();
        assert_eq!(identity.scope().tenant(), Some(odd));
    }
}

#[test]
fn n73_payloads_that_are_not_one_clean_object() {
    let good = claims(&[]);
    let values: Vec<&str> = CLAIMS.iter().map(|(_, value)| *value).collect();
    for payload in [
        format!("[{}]", values.join(",")),
        format!("[{good}]"),
        format!("{good:?}"),
        "1".to_owned(),
        "null".to_owned(),
        "true".to_owned(),
        String::new(),
        "{}".to_owned(),
        format!("\u{feff}{good}"),
        format!("{good}x"),
        format!("{good}{good}"),
        format!("{good}\0"),
        format!("\u{a0}{good}"),
        good.replace('"', "'"),
        good.replace('}', ",}"),
        good.replace('{', "{/**/"),
        good.trim_end_matches('}').to_owned(),
        claims(&[("other", r#""\ud800""#)]),
        claims(&[("other", r#""\udc00\ud800""#)]),
        claims(&[("other", "1e400")]),
        claims(&[("other", "NaN")]),
        claims(&[("other", "\"\n\"")]),
        claims(&[("other", &format!("{}{}", "[".repeat(200), "]".repeat(200)))]),
        claims(&[(
            "other",
            &format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200)),
        )]),
    ] {
        refuse_payload(73, payload);
    }
    for bytes in [
        b"\xff".as_slice(),
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
    ] {
        let other = claims(&[("other", r#""@""#)]);
        let (before, after) = other.split_once('@').unwrap();
        refuse_payload(73, [before.as_bytes(), bytes, after.as_bytes()].concat());
    }
}

#[test]
fn n74_foreign_keys_give_nothing() {
    let operator = r#"{"role":"platform_admin","roles":["platform_admin"],"tenant_id":"rival"}"#;
    for key in [
        "__proto__",
        "constructor",
        "claims",
        "Roles",
        "ROLE",
        "roles ",
        "https://x/roles",
        "scope",
    ] {
        let identity = verify_claims(&[(key, operator)]).unwrap();
        assert_eq!(identity.scope().tenant(), Some("acme"), "{key}");
        let alone = verify_claims(&[(key, operator), ("tenant_id", "")]);
        assert_eq!(alone, Err(Refusal::Forbidden), "{key}");
    }
    let many: Vec<String> = (0..100_000).map(|number| format!(r#""k{number}":0"#)).collect();
    let many = format!("{{{}}}", many.join(","));
    assert_eq!(
        verify(&format!("Bearer {}", token(GUARDIAN_HEADER, &many))),
        Err(Reason::TooLong.into())
    );
    assert!(
        json::object::<serde_json::Value>(many.as_bytes()).is_some(),
        "slow input is not a crash"
    );
}
