//! `ops doctor`: what is configured, reachable and allowed, a line for each thing, and what to do about what is not.
//!
//! Goes on after the first fault: the second one may be the cause of it. Asks DigitalOcean whose account each token opens,
//! and for one item of each listing that the token is for: what is refused is named with the scope that opens it, as in
//! the runbook's table. A token that is refused, or out of requests, is not asked with again, and what was not checked is
//! neither well nor wrong. It says each thing once and changes nothing, and refuses to print a secret or any part of one:
//! a token is known by its fingerprint, as in `token_budgets`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use shared::auth::Verifier;
use shared::config::{ConfigError, Environment, Purpose};
use shared::database::{self, Examination, Pool};
use shared::digitalocean::{Client, Error, Session};
use shared::inventory;
use shared::secrets::Secrets;
use shared::sync;

use crate::End;

/// A secret this long is as strong as HS512 is; Guardian's generator makes one.
const STRONG_SECRET: usize = 64;
/// Tokens are taken to the second, so clocks may not be further apart than a person waits.
const LARGEST_SKEW: i64 = 5;

/// What has been said so far, and whether it was good.
#[derive(Default)]
struct Findings {
    bad: usize,
    skipped: usize,
    /// What is wrong with the environment: most of it is read for one thing after the other.
    problems: BTreeSet<String>,
    /// Whether DigitalOcean's clock has been looked at: one answer is enough.
    knows_their_time: bool,
}

impl Findings {
    fn good(&mut self, what: &str, said: impl AsRef<str>) {
        println!("ok    {what:<13} {}", said.as_ref());
    }

    /// Worth a look, and no reason to stop.
    fn odd(&mut self, what: &str, said: impl AsRef<str>) {
        println!("odd   {what:<13} {}", said.as_ref());
    }

    /// Not looked at: it may be well, or not.
    fn skipped(&mut self, what: &str, said: impl AsRef<str>) {
        self.skipped += 1;
        println!("skip  {what:<13} {}", said.as_ref());
    }

    /// What of this has not been said yet.
    fn news(&mut self, error: ConfigError) -> Option<String> {
        let mut problems = error.problems;
        problems.retain(|problem| self.problems.insert(problem.clone()));
        (!problems.is_empty()).then(|| ConfigError { problems }.to_string())
    }

    /// DigitalOcean says what time it is to the second.
    fn their_clock(&mut self, ours: DateTime<Utc>, theirs: DateTime<Utc>) {
        if std::mem::replace(&mut self.knows_their_time, true) {
            return;
        }
        let skew = (ours - theirs).num_seconds();
        let said = format!("this machine is {skew} s ahead of DigitalOcean");
        if skew.abs() > LARGEST_SKEW {
            self.odd("clock", said);
        } else {
            self.good("clock", said);
        }
    }

    fn bad(&mut self, what: &str, said: impl AsRef<str>) {
        self.bad += 1;
        println!("BAD   {what:<13} {}", said.as_ref());
    }

    /// This token gets no answers now. A rate limit says nothing about it.
    fn barred(&mut self, what: &str, asked: &str, error: &Error) {
        match error {
            Error::Burst(_) | Error::Exhausted(_) => {
                self.skipped(what, format!("{asked}: not checked, {error}: try again then"));
            }
            _ => self.bad(what, format!("{asked}: {error}")),
        }
    }

    fn end(&self) -> End {
        let wrong = match self.bad {
            0 => None,
            1 => Some("1 thing is wrong".to_owned()),
            many => Some(format!("{many} things are wrong")),
        };
        let skipped = match self.skipped {
            0 => None,
            1 => Some("1 was not checked".to_owned()),
            many => Some(format!("{many} were not checked")),
        };
        let said: Vec<String> = wrong.into_iter().chain(skipped).collect();
        if said.is_empty() {
            return End::Well;
        }
        println!("{}", said.join(", "));
        End::Badly
    }
}

pub(crate) async fn look() -> End {
    let (mut findings, secrets) = (Findings::default(), Secrets::default());
    let pool = look_at_database(&mut findings, &secrets).await;
    look_at_tokens(&mut findings, &secrets, pool.as_ref()).await;
    look_at_guardian(&mut findings, &secrets).await;
    findings.end()
}

async fn look_at_database(findings: &mut Findings, secrets: &Secrets) -> Option<Pool> {
    let config = match Environment::process().migrate() {
        Ok(config) => config,
        Err(error) => {
            if let Some(said) = findings.news(error) {
                findings.bad("database", said);
            }
            return None;
        }
    };
    let pool = match database::options(&config, secrets).await {
        Ok(options) => database::pool(options),
        Err(error) => {
            findings.bad("database", error.to_string());
            return None;
        }
    };
    let found = match database::examine(&pool).await {
        Ok(found) => found,
        Err(error) => {
            findings.bad("database", error.to_string());
            return None;
        }
    };
    findings.good(
        "database",
        format!("Postgres {}, login {}", found.server, found.login),
    );
    match database::check_schema(&pool).await {
        Ok(()) => findings.good(
            "schema",
            format!("version {} or newer", database::newest_migration()),
        ),
        Err(error) => findings.bad("schema", error.to_string()),
    }
    roles(findings, &found);
    clock(findings, found.now);
    Some(pool)
}

fn roles(findings: &mut Findings, found: &Examination) {
    if found.roles_missing.is_empty() {
        let member = if found.member_of.is_empty() {
            "none".to_owned()
        } else {
            found.member_of.join(", ")
        };
        findings.good("roles", format!("all there; the login is a member of: {member}"));
    } else {
        let missing = found.roles_missing.join(", ");
        findings.bad(
            "roles",
            format!("{missing} missing: run ops migrate as the owner of the database"),
        );
    }
    if found.sees_past_row_security {
        findings.odd(
            "login",
            "row-level security does not hold it: right for an owner, wrong for a Lambda",
        );
    }
    match (
        found.unguarded_tables.as_slice(),
        found.rewriters.as_slice(),
        found.append_only,
    ) {
        ([], [], true) => findings.good("guards", "row-level security on every table, events append-only"),
        (tables, rewriters, append_only) => {
            if !tables.is_empty() {
                findings.bad(
                    "guards",
                    format!("no forced row-level security on: {}", tables.join(", ")),
                );
            }
            if !rewriters.is_empty() {
                findings.bad("guards", format!("may rewrite events: {}", rewriters.join(", ")));
            }
            if !append_only {
                findings.bad(
                    "guards",
                    "the triggers that keep events append-only are not there or not on",
                );
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this machine's clock is what is looked at"
)]
fn clock(findings: &mut Findings, theirs: DateTime<Utc>) {
    let skew = (Utc::now() - theirs).num_milliseconds();
    let said = format!("this machine is {skew} ms ahead of the database");
    if skew.abs() > LARGEST_SKEW * 1_000 {
        findings.bad("clock", format!("{said}: tokens are refused early or taken late"));
    } else {
        findings.good("clock", said);
    }
}

/// Each purpose; each token is asked about once, however many purposes share it.
async fn look_at_tokens(findings: &mut Findings, secrets: &Secrets, pool: Option<&Pool>) {
    // Whose each token was first, and whether it is worth asking with.
    let mut asked: BTreeMap<String, (&'static str, bool)> = BTreeMap::new();
    let mut unread: BTreeMap<String, &'static str> = BTreeMap::new();
    let mut mirrored = None;
    if let Some(pool) = pool {
        mirrored = inventory::mirrored_team(pool).await.ok().flatten();
    }
    for purpose in Purpose::ALL {
        let what = purpose.name();
        // Nobody needs a queue for a first look, and a token can be looked at without a database.
        let problems = Environment::process().by_hand(purpose).err();
        let problems = problems.and_then(|error| findings.news(error));
        if let Some(problems) = &problems {
            findings.bad(what, problems);
        }
        let Ok(config) = Environment::process().digitalocean(purpose) else {
            if problems.is_none() {
                findings.skipped(what, "not checked: what is wrong with it is said above");
            }
            continue;
        };
        let host = config.base_url.host_str().unwrap_or_default().to_owned();
        let source = config.token.name("DO_API_TOKEN");
        if let Some(first) = unread.get(source) {
            findings.skipped(what, format!("the token is {first}'s: not read again"));
            continue;
        }
        let session = match Client::new(&config, secrets.clone()) {
            Ok(client) => client.open(false).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let session = match session {
            Ok(session) => session,
            Err(error) => {
                findings.bad(what, error);
                unread.insert(source.to_owned(), what);
                continue;
            }
        };
        let fingerprint = session.fingerprint();
        let token = format!("token {fingerprint} at {host}");
        let answers = match asked.get(&fingerprint) {
            Some((first, true)) => {
                findings.good(what, format!("token {fingerprint}, the same as {first}'s"));
                true
            }
            Some((first, false)) => {
                let said = format!("token {fingerprint}, the same as {first}'s: not asked again");
                findings.skipped(what, said);
                continue;
            }
            None => look_at_account(findings, &session, what, &host, mirrored.as_deref()).await,
        };
        let answers = answers && look_at_scopes(findings, &session, purpose, &token).await;
        asked.entry(fingerprint).or_insert((what, answers)).1 = answers;
    }
}

/// Whose account this token opens. Answers whether there is any use in asking for more.
async fn look_at_account(
    findings: &mut Findings,
    session: &Session,
    what: &str,
    host: &str,
    mirrored: Option<&str>,
) -> bool {
    let fingerprint = session.fingerprint();
    match session.account(now()).await {
        Ok(team) if mirrored.is_some_and(|mirrored| mirrored != team.team_id) => {
            findings.bad(
                what,
                format!(
                    "token {fingerprint} opens team {} at {host}, and another one is mirrored",
                    team.team_id
                ),
            );
            true
        }
        Ok(team) => {
            findings.good(
                what,
                format!(
                    "token {fingerprint} opens team {} ({}) at {host}",
                    team.team_name, team.team_id
                ),
            );
            true
        }
        Err(error) => {
            findings.barred(what, &format!("token {fingerprint} at {host}"), &error);
            // One that may only not say whose it is may open the rest.
            matches!(error, Error::Unreadable(_))
        }
    }
}

/// What this token may read of what its workers list. A kind that is left out on purpose stays unreadable and hurts
/// nobody; a token that opens nothing of what it is for is a fault. Answers whether there is any use in asking for more.
async fn look_at_scopes(findings: &mut Findings, session: &Session, purpose: Purpose, token: &str) -> bool {
    let what = purpose.name();
    let before = now();
    let reach = sync::reach(session, purpose, before).await;
    if let Some(theirs) = reach.their_time {
        findings.their_clock(before, theirs);
    }
    let own = reach.refused.iter().filter(|refusal| !refusal.as_member).count();
    // A kind may have several listings, which one scope opens.
    let mut said = BTreeSet::new();
    for refusal in &reach.refused {
        let listing = if refusal.as_member {
            format!("members of the kind {}", refusal.what)
        } else {
            refusal.what.to_owned()
        };
        let saying = match refusal.error {
            Error::Unreadable(403) => format!("{listing}: 403, the token lacks the scope {}", refusal.scope),
            ref error => format!("{listing}: {error}"),
        };
        if !said.insert(saying.clone()) {
            continue;
        }
        if own == reach.asked {
            findings.bad(what, saying);
        } else {
            findings.odd(what, saying);
        }
    }
    if let Some((unanswered, error)) = &reach.barred {
        let listings = format!("{token}, {unanswered} of {} listings", reach.asked);
        findings.barred(what, &listings, error);
        return false;
    }
    if reach.asked > 0 && reach.refused.is_empty() {
        findings.good(what, format!("reads all {} listings of its workers", reach.asked));
    }
    true
}

#[expect(
    clippy::disallowed_methods,
    reason = "only turns relative times of an answer into absolute ones"
)]
fn now() -> DateTime<Utc> {
    Utc::now()
}

async fn look_at_guardian(findings: &mut Findings, secrets: &Secrets) {
    let config = match Environment::process().api() {
        Ok(config) => config,
        Err(error) => {
            match findings.news(error) {
                Some(said) => findings.odd("jwt secret", format!("only the API needs it: {said}")),
                None => findings.skipped("jwt secret", "not checked: what the API lacks is said above"),
            }
            return;
        }
    };
    let secret = match secrets.get(&config.guardian).await {
        Ok(secret) => secret,
        Err(error) => {
            findings.bad("jwt secret", error.to_string());
            return;
        }
    };
    let length = secret.expose_secret().len();
    match Verifier::new(&secret, config.tokens) {
        Err(error) => findings.bad("jwt secret", error.to_string()),
        Ok(_) if length < STRONG_SECRET => {
            findings.odd(
                "jwt secret",
                format!("{length} bytes; HS512 is as strong as it looks from {STRONG_SECRET} on"),
            );
        }
        Ok(_) => findings.good("jwt secret", format!("{length} bytes")),
    }
}
