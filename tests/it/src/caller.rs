//! Callers of the API: the router itself, asked as API Gateway would ask it, with tokens as `arcadia-app` makes them.
//!
//! The router reads through a login that may do nothing but become a tenant or the operator. Answers come back with
//! status, headers, JSON and text; every error must be a problem document, and that is checked here for all of them.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use functions::api::{self, State};
use harness::postgres::Database;
use harness::tokens;
use serde_json::Value;
use shared::config::Environment;
use shared::secrets::Secrets;
use tower::ServiceExt;

/// What tokens are signed with.
pub const SECRET: &str = "integration-tests-integration-tests-integration-tests-0123456789";

/// The API over one database.
pub struct Api {
    router: Router,
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// The body as JSON, or null.
    pub body: Value,
    /// The body as it came.
    pub text: String,
}

impl Api {
    /// The API as the given login sees the database.
    pub fn over(database: &Database) -> Self {
        Self::with(&database.url_as("arcadia_api_login"))
    }

    /// The API over any database URL.
    pub fn with(url: &str) -> Self {
        Self::of(&[("DATABASE_URL", url), ("GUARDIAN_SECRET_KEY", SECRET)])
    }

    /// The API with a queue to send invoices to. SQS's address comes from the environment of the tests, as on AWS.
    pub fn with_queue(database: &Database, queue: &str) -> Self {
        let url = database.url_as("arcadia_api_login");
        Self::of(&[
            ("DATABASE_URL", url.as_str()),
            ("GUARDIAN_SECRET_KEY", SECRET),
            ("INGEST_QUEUE_URL", queue),
        ])
    }

    /// The API in any environment: a sandbox that has just been started.
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let config = Environment::of(variables.iter().copied()).api().unwrap();
        Self {
            router: api::router(Arc::new(State::new(config, Secrets::default()))),
        }
    }

    /// GET of what is no JSON.
    pub async fn text(&self, path: &str, token: &str) -> (HeaderMap, String) {
        let request = Request::builder()
            .uri(path)
            .header("authorization", format!("Bearer {token}"));
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        (parts.headers, String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// GET with a token.
    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.ask("GET", path, Some(&format!("Bearer {token}"))).await
    }

    /// Any method, any `Authorization`, or none.
    pub async fn ask(&self, method: &str, path: &str, authorization: Option<&str>) -> Answer {
        let headers: Vec<_> = authorization
            .iter()
            .map(|value| ("authorization", *value))
            .collect();
        self.send(method, path, &headers, "").await
    }

    /// An edit: a JSON body with a token, and perhaps what the edit is of.
    pub async fn edit(
        &self,
        method: &str,
        path: &str,
        token: &str,
        if_match: Option<&str>,
        body: &Value,
    ) -> Answer {
        let authorization = format!("Bearer {token}");
        let mut headers = vec![
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
        ];
        headers.extend(if_match.map(|tag| ("if-match", tag)));
        self.send(method, path, &headers, &body.to_string()).await
    }

    /// Anything at all.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::from(body.to_owned())).unwrap())
            .await
            .unwrap();
        let (parts, body) = response.into_parts();
        let text = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&text).into_owned();
        let answer = Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
        };
        if answer.status >= 400 && method != "HEAD" {
            answer.is_a_problem();
        }
        answer
    }

    /// Every item of a list, page by page to its end.
    pub async fn all(&self, path: &str, token: &str) -> Vec<Value> {
        let (mut items, mut next) = (Vec::new(), path.to_owned());
        loop {
            let answer = self.get(&next, token).await;
            assert_eq!(answer.status, 200, "{next}: {:?}", answer.body);
            assert!(answer.body.is_object(), "{next}: {}", answer.text);
            items.extend(answer.body["data"].as_array().unwrap().iter().cloned());
            let Some(cursor) = answer.body["page"]["next_cursor"].as_str() else {
                return items;
            };
            let joint = if path.contains('?') { '&' } else { '?' };
            next = format!("{path}{joint}cursor={cursor}");
        }
    }
}

impl Answer {
    fn is_a_problem(&self) {
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{self:?}"
        );
        assert_eq!(self.body["status"], self.status, "{self:?}");
        let id = self.headers["x-request-id"].to_str().unwrap();
        assert_eq!(self.body["instance"], format!("urn:request:{id}"), "{self:?}");
        assert!(
            self.body["title"].is_string() && self.body["type"].is_string(),
            "{self:?}"
        );
        assert_eq!(self.headers["cache-control"], "no-store", "{self:?}");
    }
}

/// An operator's token.
pub fn operator() -> String {
    tokens::operator(SECRET, tokens::now())
}

/// A tenant's token.
pub fn tenant(id: &str) -> String {
    tokens::tenant(SECRET, id, tokens::now())
}
