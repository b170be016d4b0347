//! UPSTREAM: DigitalOcean over HTTP, and nothing else. Has never heard of Postgres or of our kinds.
//!
//! One client with time limits, a cap on bodies, no redirects and no proxies. A token is sent to the
//! configured host only: every address is built here from that host. It retries nothing by itself: how often to
//! ask, and when, is decided where the budget of the token is known. GET only; the one write (creating the bootstrap project) says so in its name.

pub mod billing;
mod collection;
mod error;
pub mod item;
pub mod listing;
mod page;
pub mod remembered;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use url::Url;

pub use error::{Error, TokenError};

use crate::config::{DigitalOceanConfig, Source, is_token};
use crate::secrets::Secrets;

/// Most of a JSON body that is read; a page of 200 droplets has 0.6 MiB.
const BODY_CAP: usize = 8 * 1024 * 1024;
/// Bodies that are kept to be used again: as many as a walk has under way.
const SPARE: usize = 8;

/// The way upstream for one purpose's token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Source,
    secrets: Secrets,
}

/// A client with its token read: one run uses one token from its first request to its last, so that what was
/// checked about the account stays true.
pub struct Session {
    http: reqwest::Client,
    base: Url,
    token: SecretString,
    /// Bodies that have been read: a page is large, and memory that is used again is at hand.
    spare: Mutex<Vec<Vec<u8>>>,
}

/// A usable answer: status 200, JSON, whole.
pub struct Answer {
    /// The body.
    pub body: Vec<u8>,
    /// What the token has left after this request, if the answer said so.
    pub remaining: Option<u32>,
    /// When the oldest counted request stops counting.
    pub reset: Option<DateTime<Utc>>,
    /// DigitalOcean's name for this request, for their support.
    pub request_id: Option<String>,
    /// What time it is there, to the second.
    pub date: Option<DateTime<Utc>>,
}

/// Whose account a token opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The team's uuid. (The account's own uuid is the user's, and changes with whoever made the token.)
    pub team_id: String,
    /// The team's name.
    pub team_name: String,
}

/// DigitalOcean's own answer about one thing, asked by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// 404, in DigitalOcean's own words.
    Gone,
    /// 200.
    Alive,
    /// Anything else.
    Unknown,
}

/// The HTTP client could not be made: no usable TLS roots, for instance.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be made: {0}")]
pub struct ClientError(String);

impl Client {
    /// A client for this host and token. Sends nothing yet.
    ///
    /// # Errors
    /// When TLS cannot be set up on this machine.
    pub fn new(config: &DigitalOceanConfig, secrets: Secrets) -> Result<Self, ClientError> {
        #[expect(clippy::disallowed_methods, reason = "this is the one HTTP client")]
        let http = reqwest::Client::builder()
            .user_agent(concat!("arcadia-cloud/", env!("CARGO_PKG_VERSION")))
            .https_only(config.base_url.scheme() == "https")
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(3))
            .timeout(Duration::from_secs(20))
            .gzip(true)
            .build()
            .map_err(|error| ClientError(error.without_url().to_string()))?;
        Ok(Self {
            http,
            base: config.base_url.clone(),
            token: config.token.clone(),
            secrets,
        })
    }

    /// Reads the token. `fresh`: it has just been refused, so what is remembered of it is worth nothing.
    ///
    /// # Errors
    /// When the secret cannot be read, or holds what no token holds.
    pub async fn open(&self, fresh: bool) -> Result<Session, Error> {
        let read = if fresh {
            self.secrets.refreshed(&self.token).await
        } else {
            self.secrets.get(&self.token).await
        };
        let token = read.map_err(|error| TokenError(error.to_string()))?;
        if !is_token(token.expose_secret()) {
            return Err(TokenError(format!(
                "{} holds characters that no token has",
                self.token.name("DO_API_TOKEN")
            ))
            .into());
        }
        Ok(Session {
            http: self.http.clone(),
            base: self.base.clone(),
            token,
            spare: Mutex::default(),
        })
    }

    /// Whether reading the token again may give another one.
    pub fn can_be_rotated(&self) -> bool {
        matches!(self.token, Source::Secret(_))
    }

    /// Where the token comes from, for messages: a variable or a secret, never what is in it.
    pub fn token_source(&self) -> &str {
        self.token.name("DO_API_TOKEN")
    }
}

impl Session {
    /// Takes back the body of an answer that has been read.
    fn reuse(&self, mut body: Vec<u8>) {
        body.clear();
        if let Ok(mut spare) = self.spare.lock()
            && spare.len() < SPARE
        {
            spare.push(body);
        }
    }

    fn body(&self) -> Vec<u8> {
        let spare = self.spare.lock().ok().and_then(|mut spare| spare.pop());
        spare.unwrap_or_default()
    }

    /// A name for the token that is safe to store: everybody who shares the token shares the name.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.token.expose_secret().as_bytes());
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// GET of a path below the configured host. `now` turns relative times of the answer into absolute ones.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get(&self, path: &str, query: &[(&str, &str)], now: DateTime<Utc>) -> Result<Answer, Error> {
        self.send(Method::GET, path, query, None, now).await
    }

    /// Whose account this token opens.
    ///
    /// # Errors
    /// See [`Error`]; an account without a team is malformed, because there would be nothing to compare.
    pub async fn account(&self, now: DateTime<Utc>) -> Result<Account, Error> {
        #[derive(Deserialize)]
        struct Envelope {
            account: Body,
        }
        #[derive(Deserialize)]
        struct Body {
            team: Team,
        }
        #[derive(Deserialize)]
        struct Team {
            uuid: String,
            #[serde(default)]
            name: String,
        }
        let answer = self.get("/v2/account", &[], now).await?;
        let envelope: Envelope = serde_json::from_slice(&answer.body)
            .map_err(|_| Error::Malformed("the account names no team"))?;
        let team = envelope.account.team;
        if team.uuid.is_empty() {
            return Err(Error::Malformed("the account names no team"));
        }
        Ok(Account {
            team_id: team.uuid,
            team_name: team.name,
        })
    }

    /// Makes a project, the one write of this client. Never sent twice: after a conflict, or an answer that did
    /// not come, the caller lists again. Answers whether it was made.
    ///
    /// # Errors
    /// See [`Error`]; a conflict (409, 422) is `Ok(false)`.
    pub async fn create_project(&self, name: &str, now: DateTime<Utc>) -> Result<bool, Error> {
        let body = serde_json::json!({
            "name": name,
            "description": "Made by arcadia-cloud: what is in no other project.",
            "purpose": "Operational / Developer tooling",
            "environment": "Production",
        });
        match self
            .send(Method::POST, "/v2/projects", &[], Some(&body), now)
            .await
        {
            Ok(_) => Ok(true),
            Err(Error::Status(409 | 422)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Asks for one thing by its own path. A 404 counts only in DigitalOcean's own shape: a proxy in between
    /// proves nothing. Where a field tells the kind (`told_apart_by`), what is there as another kind is gone as this one: a
    /// backup can be made a snapshot, under the same id.
    ///
    /// # Errors
    /// A 429: it says nothing about the thing, and more of the same would only be refused too.
    pub async fn prove(
        &self,
        path: &str,
        told_apart_by: Option<(&str, &str)>,
        now: DateTime<Utc>,
    ) -> Result<Proof, Error> {
        #[derive(Deserialize)]
        struct Refusal {
            id: String,
            #[serde(rename = "message")]
            _message: String,
        }
        Ok(match self.exchange(Method::GET, path, &[], None).await {
            Ok((StatusCode::TOO_MANY_REQUESTS, headers, _)) => {
                return Err(too_many(&headers, reset(&headers, now), now));
            }
            Ok((StatusCode::OK, headers, body)) if is_json(&headers) => match told_apart_by {
                None => Proof::Alive,
                Some((field, value)) => match said(&body, field) {
                    Some(found) if found == value => Proof::Alive,
                    Some(_) => Proof::Gone,
                    None => Proof::Unknown,
                },
            },
            Ok((StatusCode::NOT_FOUND, _, body)) => match serde_json::from_slice::<Refusal>(&body) {
                Ok(refusal) if refusal.id.eq_ignore_ascii_case("not_found") => Proof::Gone,
                _ => Proof::Unknown,
            },
            _ => Proof::Unknown,
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&serde_json::Value>,
        now: DateTime<Utc>,
    ) -> Result<Answer, Error> {
        let (status, headers, body) = self.exchange(method, path, query, body).await?;
        let remaining = number(&headers, "ratelimit-remaining");
        let reset = reset(&headers, now);
        match status {
            StatusCode::OK | StatusCode::CREATED if is_json(&headers) => Ok(Answer {
                body,
                remaining: remaining.and_then(|n| u32::try_from(n).ok()),
                reset,
                request_id: request_id(&headers),
                date: date(&headers),
            }),
            StatusCode::OK | StatusCode::CREATED => Err(Error::Malformed("the answer is not JSON")),
            other => Err(refused(other, &headers, now)),
        }
    }

    /// A request to the configured host, with the token.
    fn request(&self, method: Method, path: &str) -> Result<reqwest::RequestBuilder, Error> {
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", self.token.expose_secret()))
            .map_err(|_| Error::Token(TokenError("the token cannot be sent in a header".into())))?;
        bearer.set_sensitive(true);
        let mut address = self.base.clone();
        address.set_path(path);
        Ok(self.http.request(method, address).header(AUTHORIZATION, bearer))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&serde_json::Value>,
    ) -> Result<(StatusCode, HeaderMap, Vec<u8>), Error> {
        let mut request = self.request(method, path)?;
        if !query.is_empty() {
            request = request.query(query);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut response = request
            .send()
            .await
            .map_err(|error| Error::Transport(reason(&error)))?;
        let (status, headers) = (response.status(), response.headers().clone());
        // What is promised is made room for, within reason: a page is larger than any buffer that grows by doubling.
        let promised = response
            .content_length()
            .and_then(|length| usize::try_from(length).ok());
        let mut body = self.body();
        body.reserve(promised.unwrap_or(0).min(BODY_CAP));
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= BODY_CAP => body.extend_from_slice(&chunk),
                Ok(Some(_)) => return Err(Error::Malformed("the answer is larger than 8 MiB")),
                Ok(None) => return Ok((status, headers, body)),
                Err(error) => return Err(Error::Transport(reason(&error))),
            }
        }
    }
}

/// What a field of the one thing in an answer says: `{"image": {"type": …}}`.
fn said(body: &[u8], field: &str) -> Option<String> {
    let answer: BTreeMap<String, serde_json::Value> = serde_json::from_slice(body).ok()?;
    let mut things = answer.values().filter_map(|thing| thing.get(field));
    things.next()?.as_str().map(str::to_owned)
}

/// What a status other than success means.
fn refused(status: StatusCode, headers: &HeaderMap, now: DateTime<Utc>) -> Error {
    match status {
        StatusCode::TOO_MANY_REQUESTS => too_many(headers, reset(headers, now), now),
        StatusCode::UNAUTHORIZED => Error::Unauthorized,
        StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Error::Unreadable(status.as_u16()),
        other => Error::Status(other.as_u16()),
    }
}

/// The minute limit says `retry-after`; the hour limit says only when the oldest request stops counting.
fn too_many(headers: &HeaderMap, reset: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Error {
    let after = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse().ok());
    match after {
        Some(seconds) => Error::Burst(Duration::from_secs(u64::min(seconds, 3_600))),
        // A reset in the past is not to be believed.
        None => Error::Exhausted(reset.unwrap_or(now).max(now + TimeDelta::seconds(60))),
    }
}

fn date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let text = headers.get(DATE)?.to_str().ok()?;
    Some(DateTime::parse_from_rfc2822(text).ok()?.to_utc())
}

/// When the oldest counted request stops counting: within the hour, whatever the header says.
fn reset(headers: &HeaderMap, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let at = DateTime::from_timestamp(number(headers, "ratelimit-reset")?, 0)?;
    Some(at.min(now + TimeDelta::hours(1)))
}

fn is_json(headers: &HeaderMap) -> bool {
    is_kind(headers.get(CONTENT_TYPE), "application/json")
}

/// Whether a `content-type` says this, whatever its parameters.
fn is_kind(header: Option<&HeaderValue>, kind: &str) -> bool {
    let said = header.and_then(|value| value.to_str().ok()).unwrap_or("");
    said.split(';')
        .next()
        .unwrap_or("")
        .trim()
        .eq_ignore_ascii_case(kind)
}

fn number(headers: &HeaderMap, name: &str) -> Option<i64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    let plain = id.len() <= 64
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    plain.then(|| id.to_owned())
}

/// A fixed phrase: the library's own message holds the address and whatever the peer sent.
fn reason(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "time ran out"
    } else if error.is_connect() {
        "the host cannot be reached"
    } else if error.is_body() || error.is_decode() {
        "the body broke off"
    } else {
        "the connection broke"
    }
}
