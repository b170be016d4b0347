//! Hostile input up to the signature: the `Authorization` value (1-19), the JOSE header (20-46) and the
//! signature itself (47-58). Every row carries good claims, and except where the row is about it a good
//! signature, so that only the thing in the row can be the cause of the refusal.
//! 7 (a token in the query string) is the router's to prove: no query comes this far.

use super::*;
use crate::auth::json;

type Rows = Vec<(u8, String, Reason)>;

fn refuse_all(rows: Rows) {
    for (number, authorization, reason) in rows {
        let shown: String = authorization.chars().take(120).collect();
        assert_eq!(verify(&authorization), Err(reason.into()), "{number}: {shown}");
    }
}

/// A good token made exactly this long by a filling claim and, for the last bytes, a key id.
fn token_of_length(length: usize) -> String {
    for kid in 1..=8 {
        let header = format!(r#"{{"alg":"HS512","kid":"{}"}}"#, "k".repeat(kid));
        let room = length - encode(&header).len() - 2 - 86;
        let filling = room * 3 / 4 - claims(&[("fill", "\"\"")]).len();
        let made = token(
            &header,
            claims(&[("fill", &format!("\"{}\"", "f".repeat(filling)))]),
        );
        if made.len() == length {
            return made;
        }
    }
    panic!("no token of {length} bytes");
}

#[test]
fn n01_to_n19_the_authorization_value() {
    let good = good_token();
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let flattened = |comma| {
        format!(
            r#"Bearer {{"protected":"{header}"{comma}"payload":"{payload}"{comma}"signature":"{signature}"}}"#
        )
    };
    refuse_all(vec![
        (1, String::new(), Reason::Scheme),
        (2, "Bearer".into(), Reason::Scheme),
        (3, "Bearer ".into(), Reason::Scheme),
        (3, "Bearer    ".into(), Reason::Characters),
        (4, "Basic dXNlcjpwYXNzd29yZA==".into(), Reason::Scheme),
        (4, format!("Basic {good}"), Reason::Scheme),
        (4, format!("Bearer: {good}"), Reason::Scheme),
        (4, format!("Bearer{good}"), Reason::Scheme),
        (4, good.clone(), Reason::Scheme),
        (5, format!("Bearer {good},Bearer {good}"), Reason::Repeated),
        (5, format!("Bearer {good}, Bearer {good}"), Reason::Repeated),
        (5, format!("Bearer {good},"), Reason::Repeated),
        (5, format!("Basic eA==,Bearer {good}"), Reason::Repeated),
        (5, format!("Bearer {good} Bearer {good}"), Reason::Characters),
        (8, "Bearer ..".into(), Reason::Header),
        (8, "Bearer .".into(), Reason::Segments),
        (9, format!("Bearer {message}"), Reason::Segments),
        (9, format!("Bearer {header}"), Reason::Segments),
        (10, format!("Bearer {good}.{signature}"), Reason::Segments),
        (10, format!("Bearer {good}."), Reason::Segments),
        (10, format!("Bearer .{good}"), Reason::Segments),
        (
            11,
            format!("Bearer {header}.{payload}.{payload}.{payload}.{signature}"),
            Reason::Segments,
        ),
        (12, flattened(","), Reason::Repeated),
        (12, flattened(" "), Reason::Characters),
        (13, format!(" Bearer {good}"), Reason::Scheme),
        (13, format!("\tBearer {good}"), Reason::Scheme),
        (13, format!("Bearer\t{good}"), Reason::Scheme),
        (13, format!("Bearer  {good}"), Reason::Characters),
        (13, format!("Bearer \t{good}"), Reason::Characters),
        (14, format!("Bearer {good}\n"), Reason::Characters),
        (14, format!("Bearer {good}\r"), Reason::Characters),
        (14, format!("Bearer {good} "), Reason::Characters),
        (
            14,
            format!("Bearer {good}\r\nX-Role: platform_admin"),
            Reason::Characters,
        ),
        (15, format!("Bearer {good}\0"), Reason::Characters),
        (
            15,
            format!("Bearer {header}.{payload}\0.{signature}"),
            Reason::Characters,
        ),
        (15, format!("Bearer\0{good}"), Reason::Scheme),
        (16, format!("Bearer {good}é"), Reason::Characters),
        (16, format!("Beareré{good}"), Reason::Scheme),
        (16, format!("Вearer {good}"), Reason::Scheme),
        (16, format!("Bearer\u{a0}{good}"), Reason::Scheme),
        (17, format!("Bearer {}", token_of_length(8193)), Reason::TooLong),
        (
            18,
            format!("Bearer {}", token(GUARDIAN_HEADER, "x".repeat(1 << 20))),
            Reason::TooLong,
        ),
        (18, "é".repeat(1 << 19), Reason::TooLong),
        (
            19,
            format!("Bearer {}", good.replace('.', "%2E")),
            Reason::Characters,
        ),
    ]);
    assert!(verify(&format!("Bearer {}", token_of_length(8192))).is_ok());
}

#[test]
fn n20_to_n46_the_jose_header() {
    let row =
        |number, header: &str, reason| (number, format!("Bearer {}", token(header, claims(&[]))), reason);
    let plus = |member: &str| format!(r#"{{"alg":"HS512","typ":"JWT",{member}}}"#);
    let mut rows: Rows = Vec::new();
    for (number, name) in [
        (20, "none"),
        (21, "None"),
        (21, "nOnE"),
        (22, "HS256"),
        (23, "HS384"),
        (24, "RS256"),
        (24, "PS512"),
        (25, "ES256"),
        (25, "EdDSA"),
        (27, "hs512"),
        (27, "HS512 "),
        (27, ""),
    ] {
        let header = format!(r#"{{"alg":"{name}","typ":"JWT"}}"#);
        let message = message(&header, claims(&[]));
        let with = |signature: Vec<u8>| format!("Bearer {message}.{}", encode(signature));
        let key = SECRET.as_bytes();
        for signature in [
            vec![],
            hs512(key, &message),
            hs384(key, &message),
            hs256(key, &message),
        ] {
            rows.push((number, with(signature), Reason::Algorithm));
        }
    }
    let long = |count: usize| plus(&format!(r#""kid":"{}""#, "k".repeat(count)));
    let deep = |depth: usize| plus(&format!(r#""x":{}{}"#, "[".repeat(depth), "]".repeat(depth)));
    for (number, header) in [
        (26, r#"{"typ":"JWT"}"#.into()),
        (26, r#"{"alg":null,"typ":"JWT"}"#.into()),
        (26, r#"{"alg":["HS512"],"typ":"JWT"}"#.into()),
        (26, r#"{"alg":512,"typ":"JWT"}"#.into()),
        (26, r#"{"ALG":"HS512","typ":"JWT"}"#.into()),
        (28, r#"{"alg":"none","alg":"HS512"}"#.into()),
        (28, r#"{"alg":"HS512","alg":"none"}"#.into()),
        (28, r#"{"alg":"HS512","\u0061lg":"HS512"}"#.into()),
        (28, plus(r#""kid":"a","kid":"b""#)),
        (29, plus(r#""crit":[]"#)),
        (30, plus(r#""crit":["exp"]"#)),
        (31, plus(r#""crit":["b64"],"b64":false"#)),
        (31, plus(r#""b64":true"#)),
        (32, plus(r#""crit":"exp""#)),
        (32, plus(r#""crit":null"#)),
        (33, plus(r#""jku":"http://169.254.169.254/latest/meta-data""#)),
        (34, plus(r#""x5u":"http://169.254.169.254/cert""#)),
        (34, plus(r#""x5c":["MIIB"]"#)),
        (34, plus(r#""x5t":"AAAA""#)),
        (35, plus(r#""jwk":{"kty":"oct","k":"AAAA"}"#)),
        (36, plus(r#""kid":"../../dev/null""#)),
        (37, plus(r#""kid":"' OR 1=1 --""#)),
        (37, plus(r#""kid":"""#)),
        (37, plus(r#""kid":null"#)),
        (37, plus(r#""kid":7"#)),
        (37, plus(r#""kid":"a\u0000b""#)),
        (38, long(65)),
        (38, long(4_000)),
        (39, plus(r#""zip":"DEF""#)),
        (40, r#"{"alg":"dir","enc":"A256GCM"}"#.into()),
        (40, plus(r#""enc":"A256GCM""#)),
        (41, plus(r#""cty":"JWT""#)),
        (42, r#"{"alg":"HS512","typ":"at+jwt"}"#.into()),
        (42, r#"{"alg":"HS512","typ":"refresh+jwt"}"#.into()),
        (42, r#"{"alg":"HS512","typ":"jwt"}"#.into()),
        (42, r#"{"alg":"HS512","typ":""}"#.into()),
        (42, r#"{"alg":"HS512","typ":null}"#.into()),
        (43, r#""HS512""#.into()),
        (43, "512".into()),
        (43, "null".into()),
        (43, String::new()),
        (43, r#"{"alg":"HS512"} {}"#.into()),
        (43, r#"{"alg":"HS512""#.into()),
        (43, "\u{feff}{\"alg\":\"HS512\"}".into()),
        (43, r#"{'alg':'HS512'}"#.into()),
        (44, r#"["HS512","JWT"]"#.into()),
        (44, r#"["HS512","JWT","k"]"#.into()),
        (45, deep(100)),
        (45, deep(2_500)),
        (46, plus(r#""nonce":"n""#)),
    ] {
        rows.push(row(number, &header, Reason::Header));
    }
    // 35 as it is meant: signed with the key that the token itself brings.
    let header = plus(r#""jwk":{"kty":"oct","k":"YXR0YWNrZXI"}"#);
    let message = message(&header, claims(&[]));
    rows.push((
        35,
        format!("Bearer {message}.{}", encode(hs512(b"attacker", &message))),
        Reason::Header,
    ));
    rows.push(row(38, &long(100_000), Reason::TooLong));
    rows.push(row(45, &deep(10_000), Reason::TooLong));
    rows.push(row(
        46,
        &plus(&format!(r#""x":"{}""#, "x".repeat(65_536))),
        Reason::TooLong,
    ));
    refuse_all(rows);
}

#[test]
fn n45_nesting_is_an_error_and_not_a_stack_overflow() {
    // Deeper than any token of 8 KiB can be: the parser must hold without the length check in front of it.
    for depth in [127, 200, 10_000, 1_000_000] {
        let lists = format!(r#"{{"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(
            json::object::<serde_json::Value>(lists.as_bytes()).is_none(),
            "{depth}"
        );
        let objects = format!("{}1{}", r#"{"x":"#.repeat(depth + 1), "}".repeat(depth + 1));
        assert!(
            json::object::<serde_json::Value>(objects.as_bytes()).is_none(),
            "{depth}"
        );
    }
    assert!(json::object::<serde_json::Value>(br#"{"x":[[[[{"y":[1]}]]]]}"#).is_some());
}

#[test]
fn n47_to_n58_the_signature() {
    let good = good_token();
    let (message, signature) = good.rsplit_once('.').unwrap();
    let raw = hs512(SECRET.as_bytes(), message);
    assert_eq!(encode(&raw), signature);
    let with = |signature: &str| format!("Bearer {message}.{signature}");
    let keyed = |key: &[u8]| with(&encode(hs512(key, message)));
    let other = token(GUARDIAN_HEADER, claims(&[("tenant_id", r#""rival""#)]));
    let other_signature = other.rsplit_once('.').unwrap().1;
    let standard = format!("{}==", signature).replace('-', "+").replace('_', "/");
    let sixty_four = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // The last character of 64 bytes carries two bits of them; the neighbour differs in the other four only.
    let mut shortened = signature.to_owned();
    let last = sixty_four.find(shortened.pop().unwrap()).unwrap();
    let stray_bits = format!("{shortened}{}", char::from(sixty_four.as_bytes()[last + 1]));
    let mut flipped = raw.clone();
    flipped[63] ^= 1;
    let wrong = Reason::Signature;
    refuse_all(vec![
        (47, with(""), wrong),
        (48, with(&encode(&raw[..63])), wrong),
        (48, with(&encode(&raw[1..])), wrong),
        (48, with(&shortened), Reason::Encoding),
        (49, with(&encode(&raw[..32])), wrong),
        (49, with(&encode(&raw[..1])), wrong),
        (50, with(&encode([raw.as_slice(), &[0]].concat())), wrong),
        (50, with(&encode([raw.as_slice(), &raw].concat())), wrong),
        (51, with(&standard), Reason::Characters),
        (51, with(standard.trim_end_matches('=')), Reason::Characters),
        (52, with(&format!("{signature}==")), Reason::Characters),
        (52, with(&format!("{signature}=")), Reason::Characters),
        (53, with(&stray_bits), Reason::Encoding),
        (54, with(other_signature), wrong),
        (54, with(&encode(&flipped)), wrong),
        (54, with(&encode([0; 64])), wrong),
        (54, with(&encode(hs256(SECRET.as_bytes(), message))), wrong),
        (55, keyed(b""), wrong),
        (56, keyed(format!("{SECRET}\n").as_bytes()), wrong),
        (57, keyed(&URL_SAFE_NO_PAD.decode(SECRET).unwrap()), wrong),
        (57, keyed(encode(SECRET).as_bytes()), wrong),
        (58, keyed(SECRET.replace('q', "p").as_bytes()), wrong),
    ]);
}
