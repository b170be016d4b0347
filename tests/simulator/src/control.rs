//! The control endpoint: `/_sim/…`.
//!
//! The library's methods over HTTP, for the local stack and for people with curl: no bearer, JSON in and
//! out, nothing logged, no faults, no limits. The README has the table. It refuses what the library refuses,
//! in the same words.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::{
    answer::Answer,
    billing::Bill,
    call::Call,
    churn::Churn,
    faults::{FAULT_NAMES, Fault},
    journal::Wanted,
    limits::Limits,
    problem::Problem,
    scenario::Scenario,
    state::State,
    token::{Scopes, Token},
    world::PROJECTS,
};

pub fn answer(state: &mut State, call: &Call) -> Answer {
    match serve(state, call) {
        Ok((status, Value::Null)) => Answer::rendered(status, ""),
        Ok((status, value)) => Answer::json(status, &value),
        Err(problem) => Answer::problem(&problem, "_sim"),
    }
}

type Outcome = Result<(u16, Value), Problem>;

fn serve(state: &mut State, call: &Call) -> Outcome {
    let segments = call.segments();
    let parts: Vec<&str> = segments.iter().skip(1).map(String::as_str).collect();
    let done = || Ok((204, Value::Null));
    match (call.method.as_str(), parts.as_slice()) {
        ("GET", ["state"]) => Ok((200, state.summary())),
        ("POST", ["faults"]) => {
            let fault: Fault = read(call.json()?)?;
            Ok((201, json!({"id": state.faults.add(fault)})))
        }
        ("GET", ["faults"]) => Ok((200, json!({"faults": state.faults.all(), "kinds": FAULT_NAMES}))),
        ("DELETE", ["faults"]) => {
            state.faults.clear();
            done()
        }
        ("DELETE", ["faults", id]) => match id.parse().is_ok_and(|id| state.faults.remove(id)) {
            true => done(),
            false => Err(Problem::not_found()),
        },
        ("GET", ["settings"]) => Ok((200, json!(state.settings))),
        ("PUT", ["settings"]) => settings(state, call.json()?),
        ("GET", ["requests"]) => Ok((200, requests(state, call))),
        ("DELETE", ["requests"]) => {
            state.journal.clear();
            done()
        }
        ("POST", ["churn"]) => {
            let churn: Churn = read(call.json()?)?;
            Ok((200, json!(state.world.churn(&churn)?)))
        }
        ("POST", ["reset"]) => reset(state, &call.json()?),
        ("POST", ["clock"]) => {
            let body = call.json()?;
            let seconds = body.get("advance_seconds").and_then(Value::as_u64);
            let seconds = seconds.ok_or_else(|| Problem::unprocessable("advance_seconds is required"))?;
            state.clock.advance(seconds.saturating_mul(1000));
            done()
        }
        ("POST", ["tokens"]) => token(state, &call.json()?),
        ("POST", ["serve"]) => override_body(state, &call.json()?),
        ("DELETE", ["serve"]) => {
            state.overrides.clear();
            done()
        }
        ("POST", ["billing", "invoices"]) => {
            let bill: Bill = read(call.json()?)?;
            state.billing.add(bill)?;
            done()
        }
        ("GET", ["billing", "invoices"]) => Ok((200, json!({"invoices": state.billing.uuids()}))),
        ("DELETE", ["billing", "invoices"]) => {
            state.billing.clear();
            done()
        }
        ("PUT", ["billing", "balance"]) => {
            state.billing.set_balance(call.json()?);
            done()
        }
        ("POST", ["projects"]) => Ok((201, state.world.create_project(call.json()?)?)),
        ("POST", ["projects", project, "assign"]) => assign(state, project, &call.json()?),
        ("GET", ["members"]) => Ok((200, members(state))),
        ("PATCH", ["members", urn]) => member(state, urn, &call.json()?),
        ("DELETE", ["members", urn]) => {
            state.world.forget_member(urn)?;
            done()
        }
        (_, ["collections", rest @ ..]) => match rest.iter().rposition(|part| *part == "items") {
            Some(at) => {
                let (name, id) = rest.split_at(at);
                items(
                    state,
                    call,
                    &name.join("/"),
                    &id.get(1..).unwrap_or_default().join("/"),
                )
            }
            None => Err(Problem::not_found()),
        },
        // `/_sim/droplets/7` is short for `/_sim/collections/droplets/items/7`.
        (_, short @ [_, ..]) => {
            let splits = (1..=short.len()).rev().map(|at| short.split_at(at));
            let known = splits.map(|(name, id)| (name.join("/"), id.join("/")));
            let mut known = known.filter(|(name, _)| state.world.collection(name).is_ok());
            let (name, id) = known.next().ok_or_else(Problem::not_found)?;
            items(state, call, &name, &id)
        }
        _ => Err(Problem::not_found()),
    }
}

fn read<T: DeserializeOwned>(body: Value) -> Result<T, Problem> {
    serde_json::from_value(body).map_err(|error| Problem::unprocessable(error.to_string()))
}

fn items(state: &mut State, call: &Call, name: &str, id: &str) -> Outcome {
    let world = &mut state.world;
    match (call.method.as_str(), id) {
        ("GET", "") => Ok((200, json!({"items": world.items(name)}))),
        ("POST", "") if name == PROJECTS => Ok((201, world.create_project(call.json()?)?)),
        ("POST", "") => Ok((201, world.create(name, call.json()?)?)),
        ("GET", id) => Ok((200, world.item(name, id).ok_or_else(Problem::not_found)?)),
        ("PATCH", id) => Ok((200, world.change(name, id, call.json()?)?)),
        ("DELETE", id) => {
            world.destroy(name, id, call.query_value("linger") == Some("true"))?;
            Ok((204, Value::Null))
        }
        _ => Err(Problem::new(405, "method_not_allowed", "Not with this method.")),
    }
}

/// What is given replaces what is set; `"limits": "off"` and `"on"` are short for the switch alone.
fn settings(state: &mut State, body: Value) -> Outcome {
    let Value::Object(given) = body else {
        return Err(Problem::unprocessable("an object is expected"));
    };
    let mut merged: Map<String, Value> = read(json!(state.settings))?;
    for (key, value) in given {
        let limits = |enabled: bool| {
            json!(Limits {
                enabled,
                ..state.settings.limits
            })
        };
        let value = match (key.as_str(), value) {
            ("limits", Value::Object(some)) => {
                let mut limits: Map<String, Value> = read(json!(state.settings.limits))?;
                limits.extend(some);
                Value::Object(limits)
            }
            ("limits", word) if word == "off" || word == false => limits(false),
            ("limits", word) if word == "on" || word == true => limits(true),
            (_, value) => value,
        };
        merged.insert(key, value);
    }
    state.settings = read(Value::Object(merged))?;
    Ok((200, json!(state.settings)))
}

fn requests(state: &State, call: &Call) -> Value {
    let text = |name: &str| call.query_value(name).map(str::to_owned);
    let wanted = Wanted {
        token: text("token"),
        method: text("method"),
        path: text("path"),
        status: call.query_value("status").and_then(|status| status.parse().ok()),
    };
    let mut entries = state.journal.entries(&wanted);
    if let Some(limit) = call
        .query_value("limit")
        .and_then(|limit| limit.parse::<usize>().ok())
    {
        entries.drain(..entries.len().saturating_sub(limit));
    }
    let blocked: u64 = state.tokens.iter().map(|token| token.blocked).sum();
    json!({"requests": entries, "counts": state.journal.counts(), "blocked": blocked})
}

/// `{"seed", "scenario": "default" | "empty" | "scale", "droplets"}`; what is missing stays as it was.
fn reset(state: &mut State, body: &Value) -> Outcome {
    let seed = body.get("seed").and_then(Value::as_u64).unwrap_or(state.seed);
    let droplets = body.get("droplets").and_then(Value::as_u64);
    let scenario = match (body.get("scenario").and_then(Value::as_str), droplets) {
        (Some("default"), _) => Scenario::Default,
        (Some("empty"), _) => Scenario::Empty,
        (Some("scale") | None, Some(droplets)) => Scenario::Scale { droplets },
        (None, None) => state.scenario,
        _ => {
            return Err(Problem::unprocessable(
                "scenario is default, empty or scale (with droplets)",
            ));
        }
    };
    state.reset(seed, scenario)?;
    Ok((200, state.summary()))
}

/// `{"name", "token", "scopes", "other_team"}`; without `token` only the scopes of a known one change.
fn token(state: &mut State, body: &Value) -> Outcome {
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let name = text("name").ok_or_else(|| Problem::unprocessable("name is required"))?;
    let scopes = body.get("scopes").and_then(Value::as_array);
    let scopes: Option<Vec<&str>> = scopes.map(|scopes| scopes.iter().filter_map(Value::as_str).collect());
    match text("token") {
        Some(secret) => {
            let mut token = Token::new(name, secret);
            if let Some(scopes) = scopes {
                token = token.scopes(scopes);
            }
            if body.get("other_team").is_some_and(|other| other == true) {
                token = token.of_other_team();
            }
            state.set_token(&token);
        }
        None => {
            if !state.set_scopes(name, scopes.map_or(Scopes::Full, Scopes::only)) {
                return Err(Problem::not_found());
            }
        }
    }
    Ok((204, Value::Null))
}

/// `{"path": "/v2/droplets?page=1", "body": …, "status", "content_type"}`; a body that is text is sent as it is.
fn override_body(state: &mut State, body: &Value) -> Outcome {
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    let path = text("path").ok_or_else(|| Problem::unprocessable("path is required"))?;
    let served = body.get("body").cloned().unwrap_or_default();
    let served = served.as_str().map_or_else(|| served.to_string(), str::to_owned);
    let status = body
        .get("status")
        .and_then(Value::as_u64)
        .and_then(|status| u16::try_from(status).ok());
    state.serve(
        path,
        status.unwrap_or(200),
        text("content_type").unwrap_or("application/json"),
        served,
    );
    Ok((204, Value::Null))
}

fn assign(state: &mut State, project: &str, body: &Value) -> Outcome {
    let urns = body.get("resources").and_then(Value::as_array);
    let urns = urns.ok_or_else(|| Problem::unprocessable("resources must be a list of URNs"))?;
    for urn in urns.iter().filter_map(Value::as_str) {
        state.world.assign(urn, project)?;
    }
    Ok((204, Value::Null))
}

fn members(state: &State) -> Value {
    let rows = state.world.members();
    let rows = rows
        .into_iter()
        .map(|(urn, project)| json!({"urn": urn, "project": project}));
    json!({"members": rows.collect::<Vec<_>>()})
}

/// `{"status", "link"}` of a membership row.
fn member(state: &mut State, urn: &str, body: &Value) -> Outcome {
    if let Some(status) = body.get("status").and_then(Value::as_str) {
        state.world.set_member_status(urn, status)?;
    }
    if let Some(link) = body.get("link").and_then(Value::as_str) {
        state.world.set_member_link(urn, link)?;
    }
    Ok((204, Value::Null))
}
