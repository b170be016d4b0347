//! What is seen, said and unknown; what order and repetition change, which is nothing.

use proptest::prelude::*;

use super::*;
use crate::kinds::droplet::DROPLET;

fn read(item: &Value) -> Result<Sighting, Unreadable> {
    Sighting::read(&DROPLET, &item.to_string())
}

#[test]
fn what_is_absent_is_unknown_and_what_is_null_is_said() {
    let sighting = read(&serde_json::json!({"id": 1, "region": null, "image": {"slug": null}})).unwrap();
    assert_eq!(
        (sighting.name, sighting.tags, sighting.region),
        (None, None, None)
    );
    assert_eq!(sighting.attrs.get("image_slug"), Some(Value::Null));
    assert_eq!(sighting.attrs.get("vpc_uuid"), None);
    assert_eq!(sighting.attrs.document().unwrap().get(), "{}");
}

#[test]
fn an_item_that_cannot_be_right_is_refused() {
    for item in [
        serde_json::json!([]),
        serde_json::json!({}),
        serde_json::json!({"id": null}),
        serde_json::json!({"id": ""}),
        serde_json::json!({"id": -1}),
        serde_json::json!({"id": 1.5}),
        serde_json::json!({"id": 1, "name": 7}),
        serde_json::json!({"id": 1, "tags": "web"}),
        serde_json::json!({"id": 1, "tags": [1]}),
        serde_json::json!({"id": 1, "created_at": "yesterday"}),
        serde_json::json!({"id": 1, "volume_ids": {"a": 1}}),
    ] {
        assert!(read(&item).is_err(), "{item}");
    }
}

#[test]
fn a_text_too_long_for_an_index_is_cut_and_an_id_is_refused() {
    let long = "ä".repeat(3_000);
    let sighting = read(&serde_json::json!({"id": "1", "name": long, "tags": [long]})).unwrap();
    assert_eq!(sighting.name.map(|name| name.len()), Some(1_024));
    assert_eq!(sighting.tags.map(|tags| tags[0].len()), Some(1_024));
    assert!(read(&serde_json::json!({"id": long})).is_err());
}

#[test]
fn a_poisoned_name_is_mended() {
    let sighting = read(&serde_json::json!({"id": 1, "name": "a\u{0}b"})).unwrap();
    assert_eq!(sighting.name.as_deref(), Some("a\u{FFFD}b"));
}

proptest! {
    /// Order of keys, order of sets, repetitions and `1` against `1.0` are not changes.
    #[test]
    fn order_is_not_a_change(
        mut tags in proptest::collection::vec("[a-z:]{1,8}", 0..6),
        mut volumes in proptest::collection::vec("[a-f0-9]{8}", 0..5),
        memory in 0_u32..1_000_000,
        seed in any::<u64>(),
    ) {
        let before = serde_json::json!({"id": 1, "name": "n", "tags": tags, "volume_ids": volumes, "memory": memory});
        tags.reverse();
        tags.extend(tags.clone());
        let middle = usize::try_from(seed % 8).unwrap_or(0).min(volumes.len());
        volumes.rotate_left(middle);
        let after = format!(
            r#"{{"memory": {memory}.0, "volume_ids": {}, "tags": {}, "name": "n", "id": 1}}"#,
            serde_json::json!(volumes), serde_json::json!(tags),
        );
        prop_assert_eq!(read(&before).unwrap(), Sighting::read(&DROPLET, &after).unwrap());
    }
}
