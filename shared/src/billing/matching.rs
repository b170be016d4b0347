//! Which resource caused a line: a ladder of rules, the surest first, the rule remembered with the match.
//!
//! Pure: the candidates have been looked up before. A resource qualifies if it existed while the line was charged,
//! tombstones included, and is known by the name that it had *then*: names are reused, and renamed things leave
//! theirs to others. Two that qualify are no match. It refuses to prefer the living over the dead, or the newer
//! over the older: an unmatched line is a question, a wrong match is a lie.

use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::product::{Charge, Subject};

/// How far apart DigitalOcean's billing and its listings may date the same creation.
const SLACK: TimeDelta = TimeDelta::minutes(2);

/// Kinds whose names are their ids, in all of DigitalOcean. Addresses are, too.
const NAMED_BY_ID: [&str; 1] = ["spaces_bucket"];

/// Which step of the ladder made a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The invoice's JSON items name the resource's id.
    ResourceId,
    /// The line names its address.
    Address,
    /// Kind and the name of the whole.
    Group,
    /// Kind and name.
    Name,
    /// A backup line, by the droplet that is backed up.
    BackupParent,
}

impl Rule {
    /// Its word in the database and the API.
    pub fn name(self) -> &'static str {
        match self {
            Rule::ResourceId => "resource_id",
            Rule::Address => "address",
            Rule::Group => "group",
            Rule::Name => "name",
            Rule::BackupParent => "backup_parent",
        }
    }
}

/// A resource that may have caused a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Ours.
    pub id: Uuid,
    /// Its kind.
    pub kind: String,
    /// DigitalOcean's id.
    pub provider_id: String,
    /// Its region, if it has one.
    pub region: Option<String>,
    /// Its present name, or the last one it had.
    pub name: String,
    /// Earlier names, each with the moment until which it was in use; the oldest first.
    pub earlier_names: Vec<(String, DateTime<Utc>)>,
    /// When it was made, or when we first saw it if DigitalOcean does not say.
    pub begins: DateTime<Utc>,
    /// Whether `begins` is DigitalOcean's own word.
    pub begins_for_sure: bool,
    /// When it was last known to be there; `None` while it is.
    pub last_seen: Option<DateTime<Utc>>,
    /// When it was found to be gone.
    pub ends: Option<DateTime<Utc>>,
}

/// The time that a line is charged for. What the line does not say is taken from its invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The beginning.
    pub from: DateTime<Utc>,
    /// The end, exclusive.
    pub until: DateTime<Utc>,
}

/// What is asked of the candidates.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The line, read.
    pub charge: &'a Charge,
    /// The ids that the JSON items give it; none, one or two forms of one.
    pub ids: &'a [String],
    /// When it was charged for.
    pub span: Span,
}

/// Climbs the ladder.
pub fn find(question: &Question<'_>, candidates: &[&Candidate]) -> Option<(Uuid, Rule)> {
    if !question.charge.class.may_have_a_resource() {
        return None;
    }
    if let Some(id) = by_id(question, candidates) {
        return Some((id, Rule::ResourceId));
    }
    // An id that we do not know is somebody else's, whatever its name is. Only an address can still be nobody else's.
    let addressed = matches!(question.charge.subject, Subject::Address(_));
    if question.ids.is_empty() || addressed {
        return by_subject(question, candidates);
    }
    None
}

/// An id is never given twice within a kind; between kinds it may be, as long as it is a number.
fn by_id(question: &Question<'_>, candidates: &[&Candidate]) -> Option<Uuid> {
    let named = |candidate: &&Candidate| question.ids.contains(&candidate.provider_id);
    let fits = |candidate: &&Candidate| match question.charge.kind {
        // The line is about the droplet's subscription, whatever backups there are of it.
        Some("droplet_backup") => candidate.kind == "droplet",
        Some(kind) => candidate.kind == kind,
        None => Uuid::try_parse(&candidate.provider_id).is_ok(),
    };
    only(
        candidates
            .iter()
            .copied()
            .filter(named)
            .filter(fits)
            .filter(|candidate| lives(candidate, question.span)),
    )
}

fn by_subject(question: &Question<'_>, candidates: &[&Candidate]) -> Option<(Uuid, Rule)> {
    let kind = question.charge.kind?;
    let (kind, rule) = match (kind, &question.charge.subject) {
        (_, Subject::None) => return None,
        ("droplet_backup", _) => ("droplet", Rule::BackupParent),
        (kind, Subject::Address(_)) => (kind, Rule::Address),
        (kind, Subject::Group(_)) => (kind, Rule::Group),
        (kind, Subject::Name(_) | Subject::Placed { .. }) => (kind, Rule::Name),
    };
    let of_kind = candidates
        .iter()
        .copied()
        .filter(|candidate| candidate.kind == kind);
    let alive: Vec<&Candidate> = of_kind
        .clone()
        .filter(|candidate| overlaps(candidate, question.span))
        .collect();
    let called = |name: &str| {
        one_of(&alive, question.span, |candidate| {
            was_called(candidate, name, question.span)
        })
    };
    let id = match &question.charge.subject {
        Subject::None => None,
        Subject::Address(address) => only(of_kind.filter(|candidate| {
            candidate.provider_id.parse::<IpAddr>().ok() == Some(*address) && lives(candidate, question.span)
        })),
        Subject::Group(name) => called(name),
        // The likelier reading decides, also when it is undecided.
        Subject::Name(names) => only(of_kind.filter(|candidate| {
            NAMED_BY_ID.contains(&kind)
                && names.contains(&candidate.provider_id)
                && lives(candidate, question.span)
        }))
        .or_else(|| {
            let known = names.iter().find(|name| {
                alive
                    .iter()
                    .any(|candidate| was_called(candidate, name, question.span))
            });
            known.and_then(|name| called(name))
        }),
        Subject::Placed { name, region } => one_of(&alive, question.span, |candidate| {
            was_called(candidate, name, question.span)
                && candidate.region.as_ref().is_none_or(|there| there == region)
        }),
    };
    id.map(|id| (id, rule))
}

/// The one that qualifies; of several, the one that was certainly there when the charge began, if only one was.
fn one_of(alive: &[&Candidate], span: Span, fits: impl Fn(&Candidate) -> bool) -> Option<Uuid> {
    let fitting: Vec<&Candidate> = alive
        .iter()
        .copied()
        .filter(|candidate| fits(candidate))
        .collect();
    if let [single] = fitting.as_slice() {
        return Some(single.id);
    }
    let certain = |candidate: &&Candidate| {
        candidate.begins - SLACK <= span.from && candidate.last_seen.is_none_or(|seen| span.from <= seen)
    };
    only(fitting.into_iter().filter(certain))
}

fn only<'c>(mut found: impl Iterator<Item = &'c Candidate>) -> Option<Uuid> {
    let first = found.next()?;
    found.all(|other| other.id == first.id).then_some(first.id)
}

/// The same for what its id names, which nobody else can have had: seen late is not born late, and only what
/// DigitalOcean itself says of its beginning speaks against it.
fn lives(candidate: &Candidate, span: Span) -> bool {
    candidate.ends.is_none_or(|ends| span.from < ends)
        && (!candidate.begins_for_sure || candidate.begins < span.until)
}

/// Half-open on both sides: what ends when another begins does not overlap it.
fn overlaps(candidate: &Candidate, span: Span) -> bool {
    candidate.begins < span.until && candidate.ends.is_none_or(|ends| span.from < ends)
}

/// Whether it had this name at some time of the span.
fn was_called(candidate: &Candidate, name: &str, span: Span) -> bool {
    let same = |other: &str| other.to_lowercase() == name.to_lowercase();
    let mut since = None;
    for (earlier, until) in &candidate.earlier_names {
        let then = since.is_none_or(|since| since < span.until) && span.from < *until;
        if then && same(earlier) {
            return true;
        }
        since = Some(*until);
    }
    since.is_none_or(|since| since < span.until) && same(&candidate.name)
}

#[cfg(test)]
mod tests;
