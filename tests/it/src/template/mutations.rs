//! Takes the template apart, one piece at a time, and sees each piece missed: what no promise notices is named here, and
//! is what may be changed as somebody likes.
//!
//! Of the workers that are alike only the first of each lane is taken apart; of alarms and logs, the first of each sort.

use yaml_rust2::Yaml;
use yaml_rust2::yaml::Hash;

use super::{faults, template};

/// What may be left out without a fault: words for people, and sizes.
const FREE: &[&str] = &[
    "Description",
    "MemorySize",
    "ConstraintDescription",
    "Label",
    "MinValue",
];
/// What may also be another number or another word.
const TUNED: &[&str] = &[
    "Threshold",
    "Period",
    "EvaluationPeriods",
    "MaxValue",
    "AllowedValues",
    "Default",
    "AllowedPattern",
    "QueryString",
    "Format",
    "DashboardBody",
    "AlarmDescription",
    "Value",
];
/// Alike in everything but their names: one of them stands for all.
const ALIKE: &[&str] = &[
    "SyncVolumes",
    "SyncFloatingIps",
    "SyncFirewalls",
    "SyncLoadBalancers",
    "SyncDatabases",
    "SyncKubernetes",
    "SyncApps",
    "SyncBackups",
    "SyncLongTail",
];

/// One way to a piece: names of members and places in lists.
type Path = Vec<Step>;

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Name(String),
    Place(usize),
}

/// Every piece below, and the way to it.
fn pieces(yaml: &Yaml, path: &Path, found: &mut Vec<Path>) {
    let mut below = |step: Step, piece: &Yaml| {
        let mut path = path.clone();
        path.push(step);
        found.push(path.clone());
        pieces(piece, &path, found);
    };
    match yaml {
        Yaml::Hash(members) => {
            for (name, value) in members {
                below(Step::Name(name.as_str().unwrap_or_default().to_owned()), value);
            }
        }
        Yaml::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                below(Step::Place(place), item);
            }
        }
        _ => {}
    }
}

/// The same with one piece changed; `None` takes it out.
fn with(yaml: &Yaml, path: &[Step], change: &dyn Fn(&Yaml) -> Option<Yaml>) -> Option<Yaml> {
    let Some((step, rest)) = path.split_first() else {
        return change(yaml);
    };
    Some(match (yaml, step) {
        (Yaml::Hash(members), Step::Name(wanted)) => {
            let kept = members.iter().filter_map(|(name, value)| {
                if name.as_str() == Some(wanted) {
                    with(value, rest, change).map(|value| (name.clone(), value))
                } else {
                    Some((name.clone(), value.clone()))
                }
            });
            Yaml::Hash(kept.collect::<Hash>())
        }
        (Yaml::Array(items), Step::Place(wanted)) => {
            let kept = items.iter().enumerate().filter_map(|(place, item)| {
                if place == *wanted {
                    with(item, rest, change)
                } else {
                    Some(item.clone())
                }
            });
            Yaml::Array(kept.collect())
        }
        (other, _) => other.clone(),
    })
}

/// Another value of the same sort.
fn altered(yaml: &Yaml) -> Option<Yaml> {
    Some(match yaml {
        Yaml::String(text) => Yaml::String(format!("{text}Other")),
        Yaml::Integer(number) => Yaml::Integer(number * 100 + 1),
        Yaml::Boolean(yes) => Yaml::Boolean(!yes),
        _ => return None,
    })
}

fn is_under(path: &[Step], words: &[&str]) -> bool {
    path.iter()
        .any(|step| matches!(step, Step::Name(name) if words.contains(&name.as_str())))
}

/// Whether this piece is looked at: one of those that are alike is enough.
fn stands_for_itself(path: &Path) -> bool {
    let Some(Step::Name(name)) = path.get(1) else {
        return true;
    };
    let bare = name.trim_end_matches("Logs");
    let bare = bare.strip_prefix("Old").unwrap_or(bare);
    !ALIKE.contains(&bare) || path.len() == 2
}

/// Every piece; the suite tries one in eight, `make prove` all.
#[test]
#[ignore = "long proof: make prove"]
fn prove_that_nothing_can_be_taken_out_or_changed_unnoticed() {
    take_apart(1);
}

#[test]
fn what_is_taken_out_or_changed_is_noticed() {
    take_apart(8);
}

fn take_apart(every: usize) {
    let template = template();
    assert_eq!(faults(&template), Vec::<String>::new());
    let mut all = Vec::new();
    for part in [
        "Parameters",
        "Metadata",
        "Conditions",
        "Globals",
        "Resources",
        "Outputs",
    ] {
        let mut found = Vec::new();
        let start = vec![Step::Name(part.to_owned())];
        pieces(super::at(&template, &[part]), &start, &mut found);
        all.extend(found);
    }
    let (mut tried, mut unnoticed) = (0, Vec::new());
    let looked_at = all.iter().filter(|path| stands_for_itself(path));
    for path in looked_at.step_by(every) {
        let mut attempt = |how: &str, change: &dyn Fn(&Yaml) -> Option<Yaml>| {
            let Some(other) = with(&template, path, change) else {
                return;
            };
            tried += 1;
            if other != template && faults(&other).is_empty() {
                unnoticed.push(format!("{how} {path:?}"));
            }
        };
        // One of several that are allowed may go; a saved query may be called anything.
        let one_of_many = is_under(path, &["AllowedValues"]) && matches!(path.last(), Some(Step::Place(_)));
        let called = path.len() == 4 && is_under(&path[3..], &["Name"]);
        if !is_under(path, FREE) && !one_of_many {
            attempt("without", &|_| None);
        }
        if !is_under(path, FREE) && !is_under(path, TUNED) && !called {
            attempt("with another", &|piece| {
                Some(altered(piece).unwrap_or_else(|| piece.clone()))
            });
        }
    }
    println!("{tried} changes");
    assert!(tried > 1_000 / every, "{tried}");
    assert_eq!(unnoticed, Vec::<String>::new());
}
