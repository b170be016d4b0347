//! The upper half of the table of the plan: what is in the listing, row by row.

use super::super::attribution::Rule;
use super::*;
use crate::kinds::dns_zone::DNS_ZONE;
use crate::kinds::droplet::DROPLET;

mod absence;

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + minutes * 60, 0).unwrap()
}

fn sighting(item: Value) -> Sighting {
    Sighting::read(&DROPLET, &item.to_string()).unwrap()
}

fn web() -> Sighting {
    sighting(
        serde_json::json!({"id": 1, "name": "web", "status": "active", "tags": ["a"], "memory": 1024,
                                "region": {"slug": "ams3"}}),
    )
}

/// The content of a row that begins with this.
fn begun(of: &Sighting) -> Content {
    let nothing = Content {
        name: of.provider_id.clone(),
        region: None,
        status: "unknown".to_owned(),
        tags: Vec::new(),
        attrs: Map::new(),
        attribution: Attribution::default(),
    };
    overlaid(nothing, of)
}

fn stored(of: &Sighting, strikes: i16, deleted_at: Option<DateTime<Utc>>, with_content: bool) -> Row {
    Row {
        id: Uuid::nil(),
        content_hash: of.hash,
        version: 1,
        strikes,
        deleted_at,
        content: with_content.then(|| begun(of)),
    }
}

#[test]
fn a_new_thing_is_discovered_with_every_field() {
    let attribution = Attribution {
        cloud_project_id: Some(Uuid::max()),
        tenant_id: Some("t".into()),
        rule: Rule::Membership,
    };
    let web = web();
    let Change::Discovered(new) = discovered(Uuid::nil(), &web, Some(&attribution)) else {
        panic!()
    };
    let attrs = web.attrs.document().unwrap();
    let said = serde_json::to_value(Beginning::of(&new, &attrs, at(0))).unwrap();
    let fields: Vec<_> = said.as_object().unwrap().keys().collect();
    let all = [
        "attribution",
        "attrs",
        "cloud_project_id",
        "first_seen_at",
        "name",
        "region",
        "status",
        "tags",
        "tenant_id",
    ];
    assert_eq!(fields, all);
    assert_eq!(said["name"], serde_json::json!({"from": null, "to": "web"}));
    assert_eq!(said["tenant_id"]["to"], "t");
    assert_eq!(said["attrs"]["to"], serde_json::json!({"memory": 1024}));
    assert_eq!(said["first_seen_at"]["to"], instant(at(0)));
}

#[test]
fn a_thing_without_a_name_goes_by_its_id() {
    let nameless = sighting(serde_json::json!({"id": 9, "image": null}));
    let Change::Discovered(new) = discovered(Uuid::nil(), &nameless, None) else {
        panic!()
    };
    assert_eq!((new.name(), new.status(), new.region()), ("9", "unknown", None));
    // What is said to be nothing of a thing that is new says nothing; what is begun with is what is laid over nothing.
    let attrs = nameless.attrs.document().unwrap();
    assert_eq!(
        serde_json::from_str::<Map<_, _>>(attrs.get()).unwrap(),
        begun(&nameless).attrs
    );
}

#[test]
fn the_same_again_changes_nothing_and_clears_a_strike() {
    assert_eq!(
        seen(&DROPLET, &stored(&web(), 0, None, false), &web(), None),
        None
    );
    assert_eq!(seen(&DROPLET, &stored(&web(), 0, None, true), &web(), None), None);
    for with_content in [false, true] {
        let change = seen(&DROPLET, &stored(&web(), 2, None, with_content), &web(), None);
        assert_eq!(change, Some(Change::Cleared { id: Uuid::nil() }));
    }
}

#[test]
fn other_content_is_an_update_and_other_tags_are_tagging() {
    let row = stored(&web(), 1, None, true);
    let renamed = sighting(
        serde_json::json!({"id": 1, "name": "web-2", "status": "active", "tags": ["b"],
                                              "memory": 2048, "region": {"slug": "ams3"}}),
    );
    let Some(Change::Updated(written)) = seen(&DROPLET, &row, &renamed, None) else {
        panic!()
    };
    assert_eq!(written.version, 2);
    let fields: Vec<_> = written.changes.keys().map(String::as_str).collect();
    assert_eq!(fields, ["attrs.memory", "name", "tags"]);
    assert_eq!(
        written.changes["attrs.memory"],
        serde_json::json!({"from": 1024, "to": 2048})
    );
    let tagged = sighting(
        serde_json::json!({"id": 1, "name": "web", "status": "active", "tags": ["a", "b"],
                                             "memory": 1024, "region": {"slug": "ams3"}}),
    );
    assert!(matches!(
        seen(&DROPLET, &row, &tagged, None),
        Some(Change::Tagged(_))
    ));
}

#[test]
fn what_a_narrow_token_hides_is_not_a_change() {
    let row = stored(&web(), 0, None, true);
    let narrow =
        sighting(serde_json::json!({"id": 1, "name": "web", "status": "active", "region": {"slug": "ams3"}}));
    let change = seen(&DROPLET, &row, &narrow, None);
    assert!(
        matches!(change, Some(Change::Reread { struck: false, .. })),
        "{change:?}"
    );
    let said = sighting(
        serde_json::json!({"id": 1, "name": "web", "status": "active", "tags": [], "memory": 1024,
                                           "region": {"slug": "ams3"}}),
    );
    assert!(
        matches!(seen(&DROPLET, &row, &said, None), Some(Change::Tagged(_))),
        "an empty list is said"
    );
}

#[test]
fn a_tombstone_seen_again_is_restored_even_unchanged() {
    let row = stored(&web(), 3, Some(at(5)), true);
    let Some(Change::Restored(written)) = seen(&DROPLET, &row, &web(), None) else {
        panic!()
    };
    assert_eq!(written.changes.keys().collect::<Vec<_>>(), ["deleted_at"]);
    assert_eq!(written.changes["deleted_at"]["to"], Value::Null);
}

#[test]
fn a_new_owner_is_an_event_that_says_whom_it_left() {
    let mut row = stored(&web(), 0, None, true);
    row.content.as_mut().unwrap().attribution = Attribution {
        cloud_project_id: None,
        tenant_id: Some("a".into()),
        rule: Rule::Membership,
    };
    let moved = Attribution {
        cloud_project_id: None,
        tenant_id: Some("b".into()),
        rule: Rule::Membership,
    };
    let Some(Change::Updated(written)) = seen(&DROPLET, &row, &web(), Some(&moved)) else {
        panic!()
    };
    assert_eq!(written.left_tenant_id.as_deref(), Some("a"));
    assert_eq!(written.content.attribution.tenant_id.as_deref(), Some("b"));
}

/// Another one under the same name or address: whose the first was says nothing.
#[test]
fn what_is_made_again_under_an_old_name_begins_with_nobody() {
    let given = Attribution {
        cloud_project_id: None,
        tenant_id: Some("a".into()),
        rule: Rule::Operator,
    };
    let theirs = Attribution {
        tenant_id: Some("b".into()),
        rule: Rule::Membership,
        ..given.clone()
    };
    let zone = Sighting::read(&DNS_ZONE, r#"{"name": "example.com"}"#).unwrap();
    let mut row = stored(&zone, 3, Some(at(5)), true);
    row.content.as_mut().unwrap().attribution = given.clone();
    for (kind, found, after) in [
        (&DNS_ZONE, None, Attribution::default()),
        (&DNS_ZONE, Some(&theirs), theirs.clone()),
        (&DROPLET, None, given.clone()),
        (&DROPLET, Some(&theirs), given.clone()),
    ] {
        let Some(Change::Restored(written)) = seen(kind, &row, &zone, found) else {
            panic!()
        };
        assert_eq!(written.content.attribution, after, "{}", kind.name);
        let left = (after.tenant_id.as_deref() != Some("a")).then_some("a");
        assert_eq!(written.left_tenant_id.as_deref(), left);
    }
    // While it lives, the operator's word holds.
    row.deleted_at = None;
    assert_eq!(
        seen(&DNS_ZONE, &row, &zone, Some(&theirs)),
        Some(Change::Cleared { id: Uuid::nil() })
    );
}
