//! The ladder, rung by rung, and what must never be matched.

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::*;
use crate::billing::product::classify;

fn day(day: i64) -> DateTime<Utc> {
    // 1 October 2026 and days after it.
    DateTime::from_timestamp(1_790_812_800 + day * 86_400, 0).unwrap()
}

const OCTOBER: (i64, i64) = (0, 31);

fn thing(kind: &str, provider_id: &str, name: &str, begins: i64, ends: Option<i64>) -> Candidate {
    Candidate {
        id: Uuid::from_u128(
            u128::from(provider_id.bytes().fold(7_u64, |hash, byte| {
                hash.wrapping_mul(31).wrapping_add(u64::from(byte))
            })) | u128::from(kind.len() as u64) << 64,
        ),
        kind: kind.into(),
        provider_id: provider_id.into(),
        region: Some("fra1".into()),
        name: name.into(),
        earlier_names: Vec::new(),
        begins: day(begins),
        begins_for_sure: true,
        last_seen: ends.map(day),
        ends: ends.map(day),
    }
}

fn ask(
    (product, group, description): (&str, &str, &str),
    ids: &[&str],
    (from, until): (i64, i64),
    candidates: &[Candidate],
) -> Option<(String, &'static str)> {
    let charge = classify(product, group, description, Decimal::ONE);
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
    let span = Span {
        from: day(from),
        until: day(until),
    };
    let question = Question {
        charge: &charge,
        ids: &ids,
        span,
    };
    let all: Vec<&Candidate> = candidates.iter().collect();
    let (id, rule) = find(&question, &all)?;
    let found = candidates.iter().find(|candidate| candidate.id == id).unwrap();
    Some((found.provider_id.clone(), rule.name()))
}

fn some(id: &str, rule: &'static str) -> Option<(String, &'static str)> {
    Some((id.to_owned(), rule))
}

const WEB: (&str, &str, &str) = ("Droplets", "", "web (s-1vcpu-1gb)");

#[test]
fn the_surest_rule_decides() {
    let all = [
        thing("droplet", "1", "web", -90, None),
        thing("droplet", "2", "other", -90, None),
        thing("snapshot", "2", "web", -90, None),
        thing(
            "volume",
            "7b9e2a52-0000-4000-8000-000000000001",
            "data",
            -90,
            None,
        ),
        thing("floating_ip", "203.0.113.9", "203.0.113.9", -90, None),
        thing(
            "k8s_cluster",
            "7b9e2a52-0000-4000-8000-000000000002",
            "prod",
            -90,
            None,
        ),
        thing(
            "managed_db",
            "7b9e2a52-0000-4000-8000-000000000003",
            "prod",
            -90,
            None,
        ),
        thing("droplet_backup", "9", "web", -90, None),
    ];
    for (line, ids, expected) in [
        (WEB, &[][..], some("1", "name")),
        (WEB, &["2"], some("2", "resource_id")),
        // The item says that it was another one, which we have never seen.
        (WEB, &["404"], None),
        (("Droplets", "", "WEB (s-1vcpu-1gb)"), &[], some("1", "name")),
        (("Droplets", "", "we (s-1vcpu-1gb)"), &[], None),
        (("Droplet Snapshots", "", "web"), &[], some("2", "name")),
        (
            ("Droplet Backups", "", "web (s-1vcpu-1gb)"),
            &[],
            some("1", "backup_parent"),
        ),
        (
            ("Droplet Backups", "", "web (s-1vcpu-1gb)"),
            &["2"],
            some("2", "resource_id"),
        ),
        (
            ("Volumes", "", "data (fra1) 100GB"),
            &[],
            some("7b9e2a52-0000-4000-8000-000000000001", "name"),
        ),
        (("Volumes", "", "data (nyc1) 100GB"), &[], None),
        (
            ("Floating IPs", "", "Unused Floating IP - 203.0.113.9"),
            &[],
            some("203.0.113.9", "address"),
        ),
        (
            ("Floating IPs", "", "Unused Floating IP - 203.0.113.8"),
            &[],
            None,
        ),
        (
            ("Kubernetes Clusters", "prod", "3 nodes"),
            &[],
            some("7b9e2a52-0000-4000-8000-000000000002", "group"),
        ),
        (
            ("Database Clusters", "prod", "Standby"),
            &[],
            some("7b9e2a52-0000-4000-8000-000000000003", "group"),
        ),
        (("Taxes", "", "web (10%)"), &["1"], None),
        (("Credits", "", "web (s)"), &["1"], None),
        // A number may be anything's id; a uuid is one thing's only.
        (("Teleporters", "", "web (s)"), &["1"], None),
        (
            ("Teleporters", "", "web (s)"),
            &["7b9e2a52-0000-4000-8000-000000000003"],
            some("7b9e2a52-0000-4000-8000-000000000003", "resource_id"),
        ),
    ] {
        assert_eq!(ask(line, ids, OCTOBER, &all), expected, "{line:?} {ids:?}");
    }
}

/// What was first seen long after the line may have been there all the time, unless DigitalOcean says otherwise.
#[test]
fn an_address_and_a_bucket_are_who_they_are_however_late_they_were_seen() {
    let address = ("Reserved IPs", "", "Unused Floating IP - 203.0.113.9");
    let bucket = ("Spaces", "", "media");
    for (line, kind, id, rule) in [
        (address, "floating_ip", "203.0.113.9", "address"),
        (bucket, "spaces_bucket", "media", "name"),
    ] {
        for (begins, sure, ends, matched) in [
            (400, false, None, true),
            (400, true, None, false),
            (-90, false, Some(-5), false),
            (-90, false, Some(5), true),
        ] {
            let mut one = thing(kind, id, id, begins, ends);
            one.begins_for_sure = sure;
            let expected = matched.then(|| (id.to_owned(), rule));
            let found = ask(line, &[], OCTOBER, &[one]);
            assert_eq!(
                found.as_ref().map(|(id, rule)| (id.to_owned(), *rule)),
                expected,
                "{kind} {begins} {ends:?}"
            );
        }
    }
    // A droplet's name says nothing of its id.
    let mut late = thing("droplet", "77", "web", 400, None);
    late.begins_for_sure = false;
    assert_eq!(ask(("Droplets", "", "77 (s)"), &[], OCTOBER, &[late]), None);
}

#[test]
fn only_who_lived_then_qualifies() {
    for (begins, ends, matched) in [
        (-90, None, true),
        (-90, Some(1), true),
        (-90, Some(0), false),
        (-90, Some(-5), false),
        (30, None, true),
        (31, None, false),
        (60, None, false),
        (5, Some(6), true),
    ] {
        let one = [thing("droplet", "1", "web", begins, ends)];
        assert_eq!(
            ask(WEB, &[], OCTOBER, &one).is_some(),
            matched,
            "{begins} {ends:?}"
        );
        assert_eq!(
            ask(WEB, &["1"], OCTOBER, &one).is_some(),
            matched,
            "by id {begins} {ends:?}"
        );
    }
    // First seen late, but not known to be made late: its id is proof enough, its name is not.
    let mut late = thing("droplet", "1", "web", 60, None);
    late.begins_for_sure = false;
    assert_eq!(
        ask(WEB, &["1"], OCTOBER, &[late.clone()]),
        some("1", "resource_id")
    );
    assert_eq!(ask(WEB, &[], OCTOBER, &[late]), None);
}

#[test]
fn two_candidates_are_no_match() {
    let twins = [
        thing("droplet", "1", "web", -90, None),
        thing("droplet", "2", "web", -60, None),
    ];
    assert_eq!(ask(WEB, &[], OCTOBER, &twins), None);
    assert_eq!(ask(WEB, &["2"], OCTOBER, &twins), some("2", "resource_id"));
    let whole_name = [
        thing("snapshot", "1", "nightly (2 GB)", -90, None),
        thing("snapshot", "2", "nightly", -90, None),
    ];
    assert_eq!(
        ask(("Snapshots", "", "nightly (2 GB)"), &[], OCTOBER, &whole_name),
        some("1", "name")
    );
}

#[test]
fn one_that_was_made_again_is_told_from_the_one_before() {
    // Destroyed and made again on the 13th; that it was gone was found out a while later.
    let mut old = thing("droplet", "1", "web", -90, Some(14));
    old.last_seen = Some(day(13));
    let mut new = thing("droplet", "2", "web", 13, None);
    new.begins = day(13) + TimeDelta::minutes(5);
    let both = [old, new];
    assert_eq!(ask(WEB, &[], (0, 13), &both), some("1", "name"));
    let charge = classify(WEB.0, WEB.1, WEB.2, Decimal::ONE);
    let question = Question {
        charge: &charge,
        ids: &[],
        span: Span {
            from: day(13) + TimeDelta::minutes(5),
            until: day(31),
        },
    };
    assert_eq!(
        find(&question, &[&both[0], &both[1]]),
        Some((both[1].id, Rule::Name))
    );
    // A line over both says of neither that it is theirs... but only the first was there when it began.
    assert_eq!(ask(WEB, &[], OCTOBER, &both), some("1", "name"));
}

#[test]
fn a_name_is_what_a_thing_was_called_then() {
    // 1 was `web` until 4 November, then `old`; since the 10th, 2, which was `spare`, is `web`.
    let mut one = thing("droplet", "1", "old", -90, None);
    one.earlier_names = vec![("web".into(), day(35))];
    let mut two = thing("droplet", "2", "Web", -90, None);
    two.earlier_names = vec![("draft".into(), day(-60)), ("spare".into(), day(41))];
    let both = [one, two];
    let line = |name: &'static str| ("Droplets", "", name);
    for (line, span, expected) in [
        (line("web (s)"), OCTOBER, some("1", "name")),
        (line("spare (s)"), OCTOBER, some("2", "name")),
        (line("old (s)"), OCTOBER, None),
        (line("draft (s)"), OCTOBER, None),
        (line("draft (s)"), (-90, -59), some("2", "name")),
        (line("web (s)"), (31, 61), None),
        (line("web (s)"), (61, 92), some("2", "name")),
        (line("old (s)"), (61, 92), some("1", "name")),
    ] {
        assert_eq!(ask(line, &[], span, &both), expected, "{line:?} {span:?}");
    }
}

proptest! {
    /// The order in which candidates were found decides nothing, and who qualifies alone is found.
    #[test]
    fn order_decides_nothing(
        lives in proptest::collection::vec((-40_i64..60, proptest::option::of(0_i64..60), 0_usize..3), 0..6),
        (from, length) in (0_i64..30, 1_i64..31),
    ) {
        let names = ["web", "Web", "api"];
        let mut all: Vec<Candidate> = lives.iter().enumerate().map(|(n, (begins, lasts, name))| {
            thing("droplet", &n.to_string(), names[*name], *begins, lasts.map(|lasts| begins + lasts))
        }).collect();
        let span = (from, from + length);
        let first = ask(WEB, &[], span, &all);
        all.reverse();
        prop_assert_eq!(&first, &ask(WEB, &[], span, &all));
        let alive: Vec<&Candidate> = all.iter().filter(|candidate| {
            candidate.name.eq_ignore_ascii_case("web") && candidate.begins < day(span.1)
                && candidate.ends.is_none_or(|ends| day(span.0) < ends)
        }).collect();
        match (&first, alive.as_slice()) {
            (Some((id, _)), alive) => prop_assert!(alive.iter().any(|candidate| candidate.provider_id == *id)),
            (None, [_]) => prop_assert!(false, "the only one was not found"),
            (None, _) => {}
        }
    }
}
