//! The table of the plan, row by row, and the rules that hold it back.

use proptest::prelude::*;

use super::super::attribution::Rule;
use super::*;
use crate::kinds::dns_zone::DNS_ZONE;
use crate::kinds::droplet::DROPLET;

const SPACING: Duration = Duration::from_secs(600);

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

fn stored(of: &Sighting, strikes: i16, deleted_at: Option<DateTime<Utc>>, with_content: bool) -> Row {
    let Change::Discovered(written) = discovered(Uuid::nil(), of, None) else {
        unreachable!()
    };
    Row {
        id: Uuid::nil(),
        content_hash: of.hash,
        version: 1,
        strikes,
        deleted_at,
        content: with_content.then_some(written.content),
    }
}

fn live(id: &str, strikes: i16, struck: Option<DateTime<Utc>>) -> Live {
    Live {
        id: Uuid::from_u128(u128::from_str_radix(id, 36).unwrap()),
        provider_id: id.to_owned(),
        version: 1,
        strikes,
        last_struck_at: struck,
        tenant_id: Some("t".to_owned()),
    }
}

fn missing(rows: Vec<Live>, others: usize) -> Population {
    Population {
        size: rows.len() + others,
        notable: rows,
        by_urn_only: false,
    }
}

#[test]
fn a_new_thing_is_discovered_with_every_field() {
    let attribution = Attribution {
        cloud_project_id: Some(Uuid::max()),
        tenant_id: Some("t".into()),
        rule: Rule::Membership,
    };
    let Change::Discovered(written) = discovered(Uuid::nil(), &web(), Some(&attribution)) else {
        panic!()
    };
    assert_eq!(written.version, 1);
    let attrs = serde_json::value::to_raw_value(&written.content.attrs).unwrap();
    let said = serde_json::to_value(Beginning::of(&written.content, &attrs, at(0))).unwrap();
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
    let Change::Discovered(written) = discovered(Uuid::nil(), &sighting(serde_json::json!({"id": 9})), None)
    else {
        panic!()
    };
    assert_eq!(
        (written.content.name.as_str(), written.content.status.as_str()),
        ("9", "unknown")
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

/// One absent row among ten, in every state, spacing and proof.
#[test]
fn absence_row_by_row() {
    use Proof::{Alive, Gone, Unknown};
    let id = live("x", 0, None).id;
    let struck = |strikes| Some(Change::Struck { id, strikes });
    let contradicted = Some(Change::Contradicted { id });
    let held = |asked| Some(Change::Held { id, asked });
    for (strikes, minutes, proof, expected) in [
        (0, 0, None, struck(1)),
        (1, 9, None, None),
        (1, 10, None, struck(2)),
        (1, 10, Some(Gone), struck(2)),
        (2, 9, Some(Gone), None),
        (2, 10, Some(Alive), contradicted),
        (2, 10, Some(Unknown), held(true)),
        (2, 10, None, held(false)),
    ] {
        let last = (strikes > 0).then(|| at(0));
        let proofs: Proofs = proof.map(|proof| ("x".to_owned(), proof)).into_iter().collect();
        let listing = CompleteListing::of(&["a"], at(minutes));
        let rows = missing(vec![live("x", strikes, last)], 9);
        let absence = absent(
            &rows,
            &listing,
            &Marker::default(),
            Some(&proofs),
            at(minutes),
            SPACING,
        );
        assert_eq!(absence.verdict, Verdict::Complete);
        assert_eq!(
            absence.changes.into_iter().next(),
            expected,
            "{strikes} strikes, {minutes} min, {proof:?}"
        );
    }
    let proofs = Proofs::from([("x".to_owned(), Gone)]);
    let listing = CompleteListing::of(&["a"], at(10));
    for proofs in [Some(&proofs), None] {
        let rows = missing(vec![live("x", 2, Some(at(0)))], 9);
        let absence = absent(&rows, &listing, &Marker::default(), proofs, at(10), SPACING);
        let [Change::Deleted(tombstone)] = absence.changes.as_slice() else {
            panic!("{:?}", absence.changes)
        };
        assert_eq!(
            (tombstone.version, tombstone.tenant_id.as_deref()),
            (2, Some("t"))
        );
    }
}

#[test]
fn the_present_with_a_strike_are_cleared_even_when_suspect() {
    let mut rows: Vec<Live> = (0..6).map(|n| live(&format!("m{n}"), 0, None)).collect();
    rows.push(live("p", 1, Some(at(0))));
    let listing = CompleteListing::of(&["p"], at(20));
    let absence = absent(
        &missing(rows, 0),
        &listing,
        &Marker::default(),
        None,
        at(20),
        SPACING,
    );
    assert_eq!(absence.verdict, Verdict::Suspect);
    assert_eq!(
        absence.changes,
        [Change::Cleared {
            id: live("p", 0, None).id
        }]
    );
}

#[test]
fn too_much_at_once_is_suspect() {
    for (known, gone, listed, suspect) in [
        (2, 2, 0, false),
        (3, 3, 0, true),
        (4, 3, 1, false),
        (5, 5, 0, true),
        (100, 4, 96, false),
        (16, 5, 11, true),
        (17, 5, 12, false),
        (1_000, 299, 701, false),
        (1_000, 300, 700, true),
        (6, 5, 1, true),
    ] {
        let rows = (0..gone).map(|n| live(&format!("m{n}"), 0, None)).collect();
        let ids: Vec<String> = (0..listed).map(|n| format!("p{n}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let listing = CompleteListing::of(&ids, at(0));
        let absence = absent(
            &missing(rows, known - gone),
            &listing,
            &Marker::default(),
            None,
            at(0),
            SPACING,
        );
        assert_eq!(
            absence.verdict == Verdict::Suspect,
            suspect,
            "{gone} of {known}, {listed} listed"
        );
        assert_eq!(absence.changes.is_empty(), suspect);
    }
}

fn suspects(of: &[(&str, Suspect)]) -> Marker {
    Marker {
        suspects: of
            .iter()
            .map(|(id, suspect)| ((*id).to_owned(), *suspect))
            .collect(),
        ..Marker::default()
    }
}

fn suspected(listings: i32, since: i64) -> Suspect {
    Suspect {
        since: at(since),
        listings,
        released: false,
        released_until: None,
    }
}

fn released(until: Option<DateTime<Utc>>) -> Suspect {
    Suspect {
        released: true,
        released_until: until,
        ..suspected(1, 59)
    }
}

#[test]
fn who_is_suspected_is_believed_gone_by_the_operator_or_by_time() {
    let rows = || missing((0..6).map(|n| live(&format!("m{n}"), 0, None)).collect(), 0);
    let listing = CompleteListing::of(&[], at(60));
    for (suspect, believed) in [
        (suspected(3, 0), true),
        (suspected(2, 0), false),
        (suspected(99, 1), false),
        (released(None), true),
        (released(Some(at(60))), true),
        (released(Some(at(59))), false),
    ] {
        let ids: Vec<String> = (0..6).map(|n| format!("m{n}")).collect();
        let of: Vec<(&str, Suspect)> = ids.iter().map(|id| (id.as_str(), suspect)).collect();
        let marker = suspects(&of);
        for by_urn_only in [false, true] {
            let rows = Population {
                by_urn_only,
                ..rows()
            };
            let absence = absent(&rows, &listing, &marker, None, at(60), SPACING);
            // What only projects' members tell of is never released by time.
            let believed = believed && (suspect.released || !by_urn_only);
            assert_eq!(absence.verdict == Verdict::Complete, believed, "{suspect:?}");
            assert_eq!(absence.changes.len(), if believed { 6 } else { 0 });
            assert_eq!(
                absence.suspects, ids,
                "until they are back or have their tombstones"
            );
        }
    }
}

/// Each thing is suspected by itself: who has been missing for long enough is struck whoever else has gone since.
#[test]
fn newcomers_among_the_missing_wait_for_themselves() {
    let rows: Vec<Live> = (0..12).map(|n| live(&format!("m{n:02}"), 0, None)).collect();
    let old: Vec<String> = (0..6).map(|n| format!("m{n:02}")).collect();
    let of: Vec<(&str, Suspect)> = old.iter().map(|id| (id.as_str(), suspected(3, 0))).collect();
    let marker = suspects(&of);
    let listing = CompleteListing::of(&["p"], at(60));
    // Six more of ten that are left: suspect, and they are not struck.
    let absence = absent(
        &missing(rows.clone(), 4),
        &listing,
        &marker,
        None,
        at(60),
        SPACING,
    );
    assert_eq!(absence.verdict, Verdict::Suspect);
    assert_eq!(absence.reason.as_deref(), Some("6 of 10 are missing at once"));
    let struck: Vec<Uuid> = rows[..6].iter().map(|row| row.id).collect();
    let ids: Vec<Uuid> = absence
        .changes
        .iter()
        .map(|change| match change {
            Change::Struck { id, strikes: 1 } => *id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ids, struck);
    assert_eq!(absence.suspects.len(), 12);
    // Two more of a hundred: no more than happens every day.
    let absence = absent(
        &missing(rows[..8].to_vec(), 100),
        &listing,
        &marker,
        None,
        at(60),
        SPACING,
    );
    assert_eq!((absence.verdict, absence.changes.len()), (Verdict::Complete, 8));
    assert_eq!(
        absence.suspects, old,
        "whoever is struck like any other is no suspect"
    );
}

#[test]
fn a_tombstone_is_no_suspect() {
    let rows = (0..6).map(|n| live(&format!("m{n}"), 2, Some(at(0)))).collect();
    let proofs = Proofs::from([("m0".to_owned(), Proof::Gone), ("m1".to_owned(), Proof::Alive)]);
    let ids: Vec<String> = (0..6).map(|n| format!("m{n}")).collect();
    let of: Vec<(&str, Suspect)> = ids.iter().map(|id| (id.as_str(), released(None))).collect();
    let listing = CompleteListing::of(&[], at(60));
    let absence = absent(
        &missing(rows, 0),
        &listing,
        &suspects(&of),
        Some(&proofs),
        at(60),
        SPACING,
    );
    assert_eq!(absence.suspects, ["m1", "m2", "m3", "m4", "m5"]);
}

/// A token that may not read them hides every one of them, however few there are.
#[test]
fn the_last_of_what_only_members_tell_of_is_not_struck_by_its_absence() {
    for (known, gone, by_urn_only, verdict) in [
        (1, 1, true, Verdict::Suspect),
        (2, 2, true, Verdict::Suspect),
        (3, 1, true, Verdict::Complete),
        (1, 1, false, Verdict::Complete),
        (0, 0, true, Verdict::Complete),
    ] {
        let rows = (0..gone).map(|n| live(&format!("m{n}"), 0, None)).collect();
        let rows = Population {
            by_urn_only,
            ..missing(rows, known - gone)
        };
        let ids: &[&str] = if known > gone { &["p"] } else { &[] };
        let listing = CompleteListing::of(ids, at(0));
        let absence = absent(&rows, &listing, &Marker::default(), None, at(0), SPACING);
        assert_eq!(absence.verdict, verdict, "{gone} of {known}");
    }
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

proptest! {
    /// However runs are spaced and whatever they see: a tombstone needs three spaced absences in a row and a proof.
    #[test]
    fn nothing_dies_without_three_spaced_absences_and_a_proof(
        runs in proptest::collection::vec((1_i64..30, any::<bool>(), 0_u8..3), 1..40)
    ) {
        let (mut row, mut clock, mut absences, mut gone) = (live("x", 0, None), 0, Vec::new(), false);
        for (minutes, here, proof) in runs {
            clock += minutes;
            let ids: &[&str] = if here { &["x", "y"] } else { &["y"] };
            let proof = match proof { 0 => Proof::Gone, 1 => Proof::Alive, _ => Proof::Unknown };
            let proofs = Proofs::from([("x".to_owned(), proof)]);
            let population = missing(vec![row.clone()], 9);
            let plan = absent(&population, &CompleteListing::of(ids, at(clock)), &Marker::default(), Some(&proofs), at(clock), SPACING);
            if here { absences.clear() } else { absences.push(clock) }
            for change in plan.changes {
                match change {
                    Change::Struck { strikes, .. } => {
                        prop_assert_eq!(strikes, row.strikes + 1);
                        row.strikes = strikes;
                        row.last_struck_at = Some(at(clock));
                    }
                    Change::Cleared { .. } => { row.strikes = 0; row.last_struck_at = None }
                    Change::Contradicted { .. } => row.last_struck_at = Some(at(clock)),
                    Change::Deleted(_) => {
                        gone = true;
                        prop_assert_eq!(proof, Proof::Gone);
                        prop_assert!(!here && absences.len() >= 3);
                        prop_assert!(clock - absences[0] >= 20, "{:?}", absences);
                    }
                    Change::Held { .. } => {}
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            if gone { break }
        }
    }
}
