//! `ops doctor`: what is configured, reachable and allowed, a line for each thing, and what to do about what is not.
//!
//! Goes on after the first fault: the second one may be the cause of it. Asks DigitalOcean whose account each token opens,
//! and for one item of each listing that the token is for: what is refused is named with the scope that opens it, as in
//! the runbook's table. It changes nothing, and refuses to print a secret or any part of one: a token is known by its
//! fingerprint, as in `token_budgets`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use shared::auth::Verifier;
use shared::config::{Environment, Purpose};
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
}

pub(crate) async fn look() -> End {
    let (mut findings, secrets) = (Findings::default(), Secrets::default());
    let pool = look_at_database(&mut findings, &secrets).await;
    look_at_tokens(&mut findings, &secrets, pool.as_ref()).await;
    look_at_guardian(&mut findings, &secrets).await;
    match findings.bad {
        0 => End::Well,
        faults => {
            println!("{faults} things are wrong");
            End::Badly
        }
    }
}

async fn look_at_database(findings: &mut Findings, secrets: &Secrets) -> Option<Pool> {
    let config = match Environment::process().migrate() {
        Ok(config) => config,
        Err(error) => {
            findings.bad("database", error.to_string());
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
    let mut asked: BTreeMap<String, &'static str> = BTreeMap::new();
    let mut mirrored = None;
    if let Some(pool) = pool {
        mirrored = inventory::mirrored_team(pool).await.ok().flatten();
    }
    for purpose in Purpose::ALL {
        let what = purpose.name();
        // Nobody needs a queue for a first look.
        let config = match Environment::process().by_hand(purpose) {
            Ok(config) => config.digitalocean,
            Err(error) => {
                findings.bad(what, error.to_string());
                continue;
            }
        };
        let host = config.base_url.host_str().unwrap_or_default().to_owned();
        let session = match Client::new(&config, secrets.clone()) {
            Ok(client) => client.open(false).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let session = match session {
            Ok(session) => session,
            Err(error) => {
                findings.bad(what, error);
                continue;
            }
        };
        let fingerprint = session.fingerprint();
        if let Some(first) = asked.get(&fingerprint) {
            findings.good(what, format!("token {fingerprint}, the same as {first}'s"));
            look_at_scopes(findings, &session, purpose).await;
            continue;
        }
        let account = session.account(now()).await.map_err(|error| error.to_string());
        match &account {
            Ok(team)
                if mirrored
                    .as_ref()
                    .is_some_and(|mirrored| *mirrored != team.team_id) =>
            {
                findings.bad(
                    what,
                    format!(
                        "token {fingerprint} opens team {} at {host}, and another one is mirrored",
                        team.team_id
                    ),
                )
            }
            Ok(team) => findings.good(
                what,
                format!(
                    "token {fingerprint} opens team {} ({}) at {host}",
                    team.team_name, team.team_id
                ),
            ),
            Err(error) => findings.bad(what, format!("token {fingerprint} at {host}: {error}")),
        }
        if account.is_ok() {
            look_at_scopes(findings, &session, purpose).await;
        }
        asked.insert(fingerprint, what);
    }
}

/// What this token may read of what its workers list. A kind that is left out on purpose stays unreadable and hurts
/// nobody; a token that opens nothing of what it is for is a fault.
async fn look_at_scopes(findings: &mut Findings, session: &Session, purpose: Purpose) {
    let what = purpose.name();
    let before = now();
    let reach = sync::reach(session, purpose, before).await;
    if let Some(theirs) = reach.their_time {
        findings.their_clock(before, theirs);
    }
    let own = reach.refused.iter().filter(|refusal| !refusal.as_member).count();
    for refusal in &reach.refused {
        let listing = if refusal.as_member {
            format!("members of the kind {}", refusal.what)
        } else {
            refusal.what.to_owned()
        };
        let said = match refusal.error {
            Error::Unreadable(403) => format!("{listing}: 403, the token lacks the scope {}", refusal.scope),
            ref error => format!("{listing}: {error}"),
        };
        if own == reach.asked {
            findings.bad(what, said);
        } else {
            findings.odd(what, said);
        }
    }
    if reach.asked > 0 && reach.refused.is_empty() {
        findings.good(what, format!("reads all {} listings of its workers", reach.asked));
    }
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
            findings.odd("jwt secret", format!("only the API needs it: {error}"));
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
