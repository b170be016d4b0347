//! What is written, against the same rules said over values.

use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};

use super::*;

fn written(raw: &str, shape: Shape) -> Option<String> {
    let mut canonical = Canonical::default();
    canonical.value(raw, shape)?;
    Some(String::from_utf8(canonical.text().to_vec()).unwrap())
}

/// The same rules over values, as plainly as they can be said.
fn model(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::Number(match number.as_f64() {
            Some(float)
                if number.is_f64() && float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0 =>
            {
                Number::from(float as i64)
            }
            _ => number,
        }),
        Value::String(text) => Value::String(text.replace('\0', "\u{FFFD}")),
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(model).collect();
            items.sort_by_key(Value::to_string);
            items.dedup();
            Value::Array(items)
        }
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(name, value)| (name.replace('\0', "\u{FFFD}"), model(value)))
                .collect::<Map<_, _>>(),
        ),
        plain => plain,
    }
}

fn values() -> impl Strategy<Value = Value> {
    let numbers = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1_000_i32..1_000).prop_map(|n| Value::from(f64::from(n))),
        // Prices and shares; the library reads the last digits of longer ones with less care.
        (any::<i32>(), 0..9).prop_map(|(n, places)| Value::from(f64::from(n) / 10_f64.powi(places))),
    ];
    let texts = prop_oneof![Just("\0".to_owned()), "[a-c\"\\\\!\n]{0,3}", any::<String>()];
    let leaves = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        numbers,
        texts.clone().prop_map(Value::from),
    ];
    leaves.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(texts.clone(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// What is written from the text is what the rules make of the value, however the text is spaced and ordered.
    #[test]
    fn text_and_values_agree(value in values(), pretty in any::<bool>()) {
        let raw = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let written = written(&raw, Shape::Plain).unwrap();
        prop_assert_eq!(&written, &model(value).to_string());
        // Written once more it stays as it is.
        prop_assert_eq!(self::written(&written, Shape::Plain).unwrap(), written);
    }

    #[test]
    fn members_have_no_order_and_the_last_of_two_counts(
        members in proptest::collection::vec(("[a-c\"!]{0,2}", values()), 0..6)
    ) {
        let raw: Vec<String> = members
            .iter()
            .map(|(name, value)| format!("{}: {value}", Value::from(name.as_str())))
            .collect();
        let value = Value::Object(members.into_iter().collect());
        let raw = format!("{{{}}}", raw.join(", "));
        prop_assert_eq!(written(&raw, Shape::Plain).unwrap(), model(value).to_string());
    }
}

#[test]
fn each_shape_takes_what_it_should() {
    const ONLY: Shape = Shape::Only(&["b", "a"]);
    const SET_OF: Shape = Shape::SetOf(&["b", "a"]);
    for (raw, shape, expected) in [
        ("null", Shape::Plain, Some("null")),
        ("null", Shape::Set, Some("[]")),
        ("null", SET_OF, Some("[]")),
        ("null", ONLY, Some("null")),
        ("null", Shape::Instant, Some("null")),
        (r#"["b", "a", "b"]"#, Shape::Set, Some(r#"["a","b"]"#)),
        (r#"{"a": 1}"#, Shape::Set, None),
        ("\"a\"", Shape::Set, None),
        (r#"[ "b","a" , "a"]"#, Shape::Set, Some(r#"["a","b"]"#)),
        (r#"[["b"],["a"]]"#, Shape::Set, Some(r#"[["a"],["b"]]"#)),
        (
            r#"["b\u0000", "a\""]"#,
            Shape::Set,
            Some("[\"a\\\"\",\"b\u{FFFD}\"]"),
        ),
        (r#"["b", 1, "a"]"#, Shape::Set, Some(r#"["a","b",1]"#)),
        (r#"[{"a":"b"}]"#, Shape::Set, Some(r#"[{"a":"b"}]"#)),
        (
            r#"{"c": 1, "b": [2, 1], "a": {"z": 1, "c": 1.0}}"#,
            ONLY,
            Some(r#"{"a":{"c":1,"z":1},"b":[1,2]}"#),
        ),
        ("{}", ONLY, Some("{}")),
        ("[]", ONLY, None),
        ("3", ONLY, None),
        (
            r#"[{"b": 2, "x": 0}, {"a": 1}, {"x": 1, "b": 2}]"#,
            SET_OF,
            Some(r#"[{"a":1},{"b":2}]"#),
        ),
        ("[1]", SET_OF, None),
        ("[[]]", SET_OF, None),
        ("[null]", SET_OF, None),
        ("{}", SET_OF, None),
        ("\"yesterday\"", Shape::Instant, None),
        ("1700000000", Shape::Instant, None),
    ] {
        assert_eq!(written(raw, shape).as_deref(), expected, "{raw} as {shape:?}");
    }
}

#[test]
fn numbers_are_written_as_what_they_are() {
    for (raw, expected) in [
        ("1.0", "1"),
        ("1e0", "1"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("-7", "-7"),
        ("123456789012345678", "123456789012345678"),
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551616", "1.8446744073709552e+19"),
        ("0.10", "0.1"),
    ] {
        assert_eq!(written(raw, Shape::Plain).unwrap_or_default(), expected, "{raw}");
    }
}

proptest! {
    /// What is taken for a time without asking the library is one, and written as the library would.
    #[test]
    fn a_plain_instant_is_what_the_library_says(
        year in 0_u32..10_000, month in 0_u32..14, day in 0_u32..33, hour in 0_u32..26, minute in 0_u32..62,
        second in 0_u32..62,
    ) {
        let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
        let library = DateTime::parse_from_rfc3339(&text).ok().map(|instant| {
            json!(instant.to_utc().to_rfc3339_opts(SecondsFormat::AutoSi, true)).to_string()
        });
        prop_assert_eq!(written(&format!("\"{text}\""), Shape::Instant), library);
    }
}

#[test]
fn one_moment_is_written_one_way() {
    for text in [
        "2024-03-05T10:11:02.000+01:00",
        "2024-03-05t09:11:02z",
        "2024-03-05T09:11:02Z",
    ] {
        let written = written(&format!("\"{text}\""), Shape::Instant);
        assert_eq!(written.as_deref(), Some("\"2024-03-05T09:11:02Z\""), "{text}");
    }
}
