//! What every request to the API passes before and after its route.
//!
//! In this order: is the token known, is it within its limits, does a fault fire, then `api`; afterwards the
//! headers every answer has, and the log. It refuses unknown tokens as DO's gateway does, without a word
//! about limits.

use std::time::Duration;

use crate::{
    answer::{Answer, Delivery},
    api::{self, Request},
    billing,
    call::Call,
    chance, effects,
    faults::{FaultKind, Subject},
    journal::Entry,
    limits::{Reading, Verdict},
    problem::Problem,
    state::State,
    token::Scopes,
};

pub fn answer(state: &mut State, call: &Call, token: Option<usize>) -> Answer {
    state.requests += 1;
    let now_ms = state.clock.now_ms();
    let request_id = chance::uuid(state.seed, "request", state.requests);
    let mut fault = None;
    let (answer, name, reading) = match token.and_then(|at| state.tokens.get_mut(at)) {
        None => (Answer::unauthorized(), None, None),
        Some(credential) => {
            credential.requests += 1;
            let name = credential.name.clone();
            match credential.windows.ask(now_ms, &state.settings.limits) {
                Verdict::Allowed(reading) => {
                    let scopes = (credential.scopes.clone(), credential.other_team);
                    let answer = carry_out(
                        state,
                        call,
                        (&name, &scopes.0, scopes.1),
                        &request_id,
                        now_ms,
                        &mut fault,
                    );
                    (answer, Some(name), Some(reading))
                }
                Verdict::Burst { reading, retry_after } => {
                    credential.blocked += 1;
                    let answer = too_many(&request_id).header("retry-after", retry_after);
                    (answer, Some(name), Some(reading))
                }
                Verdict::Hourly(reading) => {
                    credential.blocked += 1;
                    (too_many(&request_id), Some(name), Some(reading))
                }
            }
        }
    };
    let answer = dressed(answer, &request_id, reading, state.settings.latency_ms);
    let unanswered = matches!(answer.delivery, Delivery::Reset | Delivery::Never);
    state.journal.note(Entry {
        number: state.requests,
        at_ms: now_ms,
        method: call.method.clone(),
        path: call.path.clone(),
        query: call.raw_query.clone(),
        token: name,
        status: if unanswered { 0 } else { answer.status },
        fault: fault.as_ref().map(FaultKind::name),
    });
    answer
}

fn too_many(request_id: &str) -> Answer {
    Answer::problem(
        &Problem::new(429, "too_many_requests", "This token has used up its requests."),
        request_id,
    )
}

/// The headers every answer has.
fn dressed(mut answer: Answer, request_id: &str, reading: Option<Reading>, latency_ms: u64) -> Answer {
    answer.default_header("x-request-id", request_id);
    if let (Some(reading), false) = (reading, answer.gateway) {
        answer.default_header("ratelimit-limit", reading.limit);
        answer.default_header("ratelimit-remaining", reading.remaining);
        answer.default_header("ratelimit-reset", reading.reset);
    }
    answer.delay += Duration::from_millis(latency_ms);
    answer
}

fn carry_out(
    state: &mut State,
    call: &Call,
    (token, scopes, other_team): (&str, &Scopes, bool),
    request_id: &str,
    now_ms: u64,
    fired: &mut Option<FaultKind>,
) -> Answer {
    let world = if other_team {
        &state.other_team
    } else {
        &state.world
    };
    let list = api::is_list(world, call);
    let subject = Subject {
        method: &call.method,
        path: &call.path,
        query: &call.raw_query,
        page: call.page(),
        token,
        list,
    };
    *fired = state.faults.pick(&subject);
    // A kind that does nothing anywhere below stands for "no fault".
    let nothing = FaultKind::Slow { ms: 0 };
    let kind = fired.as_ref().unwrap_or(&nothing);
    if let Some(answer) = effects::instead(kind, call, request_id, now_ms) {
        return answer;
    }
    let mut answer = match state.override_for(call) {
        Some(fixed) => Answer::typed(fixed.status, &fixed.content_type, fixed.body.clone()),
        None if billing::is_ours(call) => state
            .billing
            .answer(call, scopes)
            .unwrap_or_else(|problem| Answer::problem(&problem, request_id)),
        None => {
            let foreign = other_team || *kind == FaultKind::OtherTeam;
            let world = if foreign {
                &mut state.other_team
            } else {
                &mut state.world
            };
            let request = Request {
                call,
                scopes,
                kind,
                number: state.requests,
            };
            request
                .serve(world)
                .unwrap_or_else(|problem| Answer::problem(&problem, request_id))
        }
    };
    effects::finished(kind, &mut answer);
    answer
}
