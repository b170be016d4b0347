//! Project Wycheproof's vectors (their licence lies beside them) against our verifier and the HMAC under it.
//!
//! A vector's payload is never one of our claims: a token whose signature is good gets as far as the claims and is
//! refused for them, and that is what "accepted" means here. Each disagreement is named and explained below; one that is
//! not, or one that has gone away, fails.

use jsonwebtoken::{DecodingKey, crypto};
use serde_json::Value;

use super::*;

const SIGNATURES: &str = include_str!("vectors/json_web_signature_hmac.json");
const MACS: &str = include_str!("vectors/hmac_sha512.json");

/// Where we differ from the set, and why the set is not to be followed.
const DIFFERENT: [(u64, &str); 4] = [
    (
        367,
        "called invalid, but is vector 357, which is called valid, letter by letter",
    ),
    (
        370,
        "called invalid, but is vector 357, which is called valid, letter by letter",
    ),
    (
        372,
        "called valid with a question mark inside the header's base64url",
    ),
    (
        373,
        "called valid with a question mark inside the payload's base64url",
    ),
];

fn groups(text: &str) -> Vec<Value> {
    let mut file: Value = serde_json::from_str(text).unwrap();
    file["testGroups"].as_array_mut().unwrap().drain(..).collect()
}

#[test]
fn signatures_are_judged_as_wycheproof_judges_them() {
    let (mut judged, mut different) = (0, Vec::new());
    for group in groups(SIGNATURES) {
        let key = URL_SAFE_NO_PAD
            .decode(group["private"]["k"].as_str().unwrap())
            .unwrap();
        // Its keys are no text, as a secret of ours is; beyond that this is what `Verifier::new` makes.
        let verifier = Verifier {
            key: DecodingKey::from_secret(&key),
            settings: Settings {
                algorithms: vec![Algorithm::Hs256],
                ..Settings::default()
            },
        };
        for vector in group["tests"].as_array().unwrap() {
            let bearer = format!("Bearer {}", vector["jws"].as_str().unwrap());
            let refused = verifier.verify(Some(&bearer), now()).unwrap_err();
            let good = refused == Reason::Claims.into();
            if good != (vector["result"] == "valid") {
                different.push(vector["tcId"].as_u64().unwrap());
            }
            judged += 1;
            // Under the key of nobody, and with only HS512 allowed, nothing is good.
            for (key, algorithm) in [(&b"another key"[..], Algorithm::Hs256), (&key, Algorithm::Hs512)] {
                let other = Verifier {
                    key: DecodingKey::from_secret(key),
                    settings: Settings {
                        algorithms: vec![algorithm],
                        ..Settings::default()
                    },
                };
                let refused = other.verify(Some(&bearer), now());
                assert_ne!(refused, Err(Reason::Claims.into()), "{vector}");
            }
        }
    }
    assert_eq!(judged, 40);
    assert_eq!(different, DIFFERENT.map(|(vector, _)| vector));
}

#[test]
fn codes_are_judged_as_wycheproof_judges_them() {
    let (mut whole, mut cut) = (0, 0);
    for group in groups(MACS) {
        for vector in group["tests"].as_array().unwrap() {
            let bytes = |name: &str| unhex(vector[name].as_str().unwrap());
            let key = DecodingKey::from_secret(&bytes("key"));
            let tag = encode(bytes("tag"));
            let agrees = crypto::verify(&tag, &bytes("msg"), &key, jsonwebtoken::Algorithm::HS512).unwrap();
            if group["tagSize"] == 512 {
                assert_eq!(agrees, vector["result"] == "valid", "{vector}");
                whole += 1;
            } else {
                // A code cut to 256 bits is another algorithm: JWS knows the whole one only.
                assert!(!agrees, "{vector}");
                cut += 1;
            }
        }
    }
    assert_eq!((whole, cut), (87, 87));
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .map(|digit| char::from(digit).to_digit(16).unwrap() as u8)
        .collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
