//! What a token may read of what its workers ask for: one small question per listing, for a person who wants to know.
//!
//! Asked by `ops doctor` only. It lists nothing to its end, believes nothing and writes nothing; the requests are few and
//! are not reserved, because whoever asks may have no database yet. It asks for nothing more once the token itself is
//! refused or out of requests: every other answer would be the same.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};

use super::{Job, WORKERS};
use crate::config::Purpose;
use crate::digitalocean::billing;
use crate::digitalocean::listing::{Collection, Paging};
use crate::digitalocean::{Error, Session};
use crate::kinds::project::PROJECT;
use crate::kinds::{CATALOGUE, Kind, scope_of};

/// Questions under way at a time.
const AT_ONCE: usize = 8;

/// How far a token reaches.
#[derive(Debug, Default)]
pub struct Reach {
    /// Listings asked for.
    pub asked: usize,
    /// Those that were not answered.
    pub refused: Vec<Refusal>,
    /// What ended the asking before its end, and how many listings it leaves unanswered.
    pub barred: Option<(usize, Error)>,
    /// What time it is at DigitalOcean.
    pub their_time: Option<DateTime<Utc>>,
}

/// A listing that this token does not get.
#[derive(Debug)]
pub struct Refusal {
    /// What it is a listing of.
    pub what: &'static str,
    /// The scope that opens it.
    pub scope: &'static str,
    /// What was answered instead.
    pub error: Error,
    /// Whether only the members of projects are the poorer for it.
    pub as_member: bool,
}

struct Question {
    what: &'static str,
    scope: &'static str,
    collection: Collection,
    as_member: bool,
}

/// Asks for the first item of everything that the workers of this purpose list. Boxed, as [`super::run_at`] is.
pub fn reach(session: &Session, purpose: Purpose, now: DateTime<Utc>) -> BoxFuture<'_, Reach> {
    async move {
        let questions = questions(purpose);
        let mut reach = Reach {
            asked: questions.len(),
            ..Reach::default()
        };
        let answers = stream::iter(questions).map(|question| async move {
            let mut query = question.collection.query.to_vec();
            if question.collection.paging != Paging::Whole {
                query.push(("per_page", "1"));
            }
            let answer = session.get(&question.collection.path, &query, now).await;
            (question, answer)
        });
        let mut answers = answers.buffered(AT_ONCE);
        let mut answered = 0;
        while let Some((question, answer)) = answers.next().await {
            match answer {
                Err(error @ (Error::Unauthorized | Error::Burst(_) | Error::Exhausted(_))) => {
                    reach.barred = Some((reach.asked - answered, error));
                    break;
                }
                Ok(answer) => reach.their_time = answer.date.or(reach.their_time),
                Err(error) => reach.refused.push(Refusal {
                    what: question.what,
                    scope: question.scope,
                    error,
                    as_member: question.as_member,
                }),
            }
            answered += 1;
        }
        reach
    }
    .boxed()
}

fn questions(purpose: Purpose) -> Vec<Question> {
    let mut questions = Vec::new();
    let mut known = BTreeSet::new();
    let mut ask = |kind: &'static Kind, as_member: bool| {
        for listing in kind.listings {
            let collection = listing.collection.clone();
            if known.insert((collection.path.clone(), collection.query)) {
                questions.push(Question {
                    what: kind.name,
                    scope: scope_of(kind),
                    collection,
                    as_member,
                });
            }
        }
    };
    for worker in WORKERS.iter().filter(|worker| worker.purpose == purpose) {
        match worker.job {
            Job::Kinds(kinds) => kinds.iter().for_each(|kind| ask(kind, false)),
            Job::Projects => ask(&PROJECT, false),
            Job::Balance | Job::BillingHistory => {}
        }
    }
    if WORKERS
        .iter()
        .any(|worker| worker.purpose == purpose && matches!(worker.job, Job::Projects))
    {
        // Members that the token cannot read are not listed, and so belong to nobody.
        CATALOGUE
            .iter()
            .filter(|kind| kind.in_projects)
            .for_each(|kind| ask(kind, true));
    }
    if purpose == Purpose::Billing {
        let ledger = [
            ("balance", Collection::whole("/v2/customers/my/balance", "")),
            ("billing history", billing::history()),
            ("invoices", billing::invoices()),
        ];
        questions.extend(ledger.map(|(what, collection)| Question {
            what,
            scope: "billing:read",
            collection,
            as_member: false,
        }));
    }
    questions
}
