//! Every way to say no: RFC 9457 problem documents.
//!
//! Made wherever a request goes wrong; [`Problem`] is the only error that becomes a response. The document is
//! written by `answer`, which knows the request id. Texts are ours, written for callers: it refuses to carry
//! SQL, host names or what a library said; those go into `cause`, which is for the log alone.

use std::sync::Arc;

use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shared::auth::{Reason, Refusal};
use shared::database::DatabaseError;
use shared::inventory::edit::EditError;
use shared::inventory::read::ReadError;

use super::state::NotReady;

/// One parameter, or one member of a body, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Invalid {
    /// The parameter's name as the caller wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// The member's name as the caller wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// One sentence, without its subject.
    pub detail: String,
}

impl Invalid {
    /// A parameter.
    pub fn parameter(name: &str, detail: &str) -> Self {
        Self {
            parameter: Some(name.to_owned()),
            member: None,
            detail: detail.to_owned(),
        }
    }

    /// A member of the body.
    pub fn member(name: &str, detail: &str) -> Self {
        Self {
            parameter: None,
            member: Some(name.to_owned()),
            detail: detail.to_owned(),
        }
    }

    fn name(&self) -> &str {
        self.parameter
            .as_deref()
            .or(self.member.as_deref())
            .unwrap_or_default()
    }
}

/// How to come in, for whoever has not tried: RFC 6750 (3.1) has no error for that.
const COME_IN: &str = "Bearer realm=\"arcadia-cloud\"";
/// The same for whoever has tried with a token, whatever was wrong with it.
const NO_GOOD: &str = "Bearer error=\"invalid_token\"";

/// What went wrong, for the caller, and why, for the log.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    name: &'static str,
    title: &'static str,
    detail: String,
    errors: Vec<Invalid>,
    /// Whether a token was sent, good or not.
    tried: bool,
    cause: Option<String>,
}

/// The document itself.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: String,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Invalid],
}

impl Problem {
    fn new(status: StatusCode, name: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            name,
            title,
            detail: detail.into(),
            errors: Vec::new(),
            tried: true,
            cause: None,
        }
    }

    /// Parameters that are unknown, repeated or not readable. At least one.
    pub fn parameters(errors: Vec<Invalid>) -> Self {
        let names: Vec<&str> = errors.iter().map(Invalid::name).collect();
        let detail = format!("These query parameters cannot be used: {}.", names.join(", "));
        let title = "Invalid query parameters";
        Self {
            errors,
            ..Self::new(StatusCode::BAD_REQUEST, "invalid-parameters", title, detail)
        }
    }

    /// Members of a body that are unknown, missing or not what they should be. At least one.
    pub fn members(errors: Vec<Invalid>) -> Self {
        let names: Vec<&str> = errors.iter().map(Invalid::name).collect();
        let detail = format!("These members of the body cannot be used: {}.", names.join(", "));
        let (status, title) = (StatusCode::UNPROCESSABLE_ENTITY, "Invalid members");
        Self {
            errors,
            ..Self::new(status, "invalid-members", title, detail)
        }
    }

    /// Nothing of this name that the caller may see.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "Not found", detail)
    }

    /// What is asked for does not go with how things are.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "Conflict", detail)
    }

    /// None of the forms that the caller accepts.
    pub fn not_acceptable(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_ACCEPTABLE,
            "not-acceptable",
            "Not acceptable",
            detail,
        )
    }

    /// Somebody was quicker.
    pub fn overtaken(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition-failed",
            "Precondition failed",
            detail,
        )
    }

    /// Not an HTTP request, or not one that can be read.
    pub fn unreadable(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "unreadable-request",
            "Unreadable request",
            detail,
        )
    }

    /// A good token without the right to this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Forbidden", detail)
    }

    /// Too much for one request; which part of it, the status says.
    pub fn too_large(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(status, "too-large", "Request too large", detail)
    }

    /// Something we need is away; coming back helps.
    pub fn unavailable(cause: impl ToString) -> Self {
        let detail = "The service cannot reach something it needs. Try again in a few seconds.";
        let problem = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Temporarily unavailable",
            detail,
        );
        Self {
            cause: Some(cause.to_string()),
            ..problem
        }
    }

    /// Our fault.
    pub fn internal(cause: impl ToString) -> Self {
        let detail = "The service failed. The request id helps us to find out why.";
        let problem = Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Internal server error",
            detail,
        );
        Self {
            cause: Some(cause.to_string()),
            ..problem
        }
    }

    /// The problem of a bare status: what the router and the layers answer by themselves.
    pub fn of_status(status: StatusCode) -> Self {
        let (name, title, detail) = match status {
            StatusCode::NOT_FOUND => ("not-found", "Not found", "There is nothing at this path."),
            StatusCode::METHOD_NOT_ALLOWED => (
                "method-not-allowed",
                "Method not allowed",
                "The Allow header lists what this path answers to.",
            ),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => (
                "unsupported-media-type",
                "Unsupported media type",
                "The body must be application/json.",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => return Self::too_large(status, "The body is too large."),
            status if status.is_client_error() => (
                "unreadable-request",
                "Unreadable request",
                "The request cannot be understood.",
            ),
            status => {
                return Self {
                    status,
                    ..Self::internal(status)
                };
            }
        };
        Self::new(status, name, title, detail)
    }

    /// The status it is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Why, for the log.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The document of this problem in this request.
    pub(super) fn document(&self, request_id: &str) -> String {
        let document = Document {
            kind: format!("urn:arcadia-cloud:problem:{}", self.name),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            instance: format!("urn:request:{request_id}"),
            request_id,
            errors: &self.errors,
        };
        // Strings and numbers: there is nothing in it that could not be written.
        serde_json::to_string(&document).unwrap_or_default()
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Forbidden => Self {
                cause: Some("no_role".to_owned()),
                ..Self::forbidden(sentence(refusal))
            },
            Refusal::Missing | Refusal::Invalid(_) => {
                let cause = match refusal {
                    Refusal::Invalid(reason) => reason.as_str(),
                    _ => "missing",
                };
                // No token: no header, or one of another scheme.
                let tried = !matches!(refusal, Refusal::Missing | Refusal::Invalid(Reason::Scheme));
                let detail = sentence(refusal);
                let problem = Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized", detail);
                Self {
                    tried,
                    cause: Some(cause.to_owned()),
                    ..problem
                }
            }
        }
    }
}

fn sentence(refusal: Refusal) -> String {
    let text = refusal.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        format!("{}{}.", first.to_uppercase(), letters.as_str())
    })
}

impl From<NotReady> for Problem {
    fn from(error: NotReady) -> Self {
        Self::unavailable(error)
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        Self::unavailable(error)
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Away(cause) => Self::unavailable(cause),
            ReadError::Fault(cause) => Self::internal(cause),
        }
    }
}

impl From<EditError> for Problem {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Missing => Self::not_found("There is nothing of this name or id."),
            EditError::Deleted => {
                Self::conflict("It is deleted, and what is deleted stays as it was until it is seen again.")
            }
            EditError::NotSuspect => Self::conflict("This kind is not suspect: there is nothing to release."),
            EditError::Overtaken(version) => Self::overtaken(format!(
                "It is at version {version} now, which If-Match does not name. Read it again, and decide again."
            )),
            EditError::Busy => Self::unavailable(error),
            EditError::Database(error) => error.into(),
        }
    }
}

impl IntoResponse for Problem {
    /// Status and headers; `answer` finds the problem among the extensions and writes the document.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                let challenge = HeaderValue::from_static(if self.tried { NO_GOOD } else { COME_IN });
                response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                response
                    .headers_mut()
                    .insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => (),
        }
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refused_token_reads_the_same() {
        let body = |refusal: Refusal| Problem::from(refusal).document("r1");
        let missing = body(Refusal::Missing);
        assert_eq!(missing, body(Refusal::Invalid(Reason::Signature)));
        assert_eq!(missing, body(Refusal::Invalid(Reason::Expired)));
        assert_eq!(
            missing,
            "{\"type\":\"urn:arcadia-cloud:problem:unauthorized\",\"title\":\"Unauthorized\",\"status\":401,\
             \"detail\":\"A valid bearer token is required.\",\"instance\":\"urn:request:r1\",\
             \"request_id\":\"r1\"}"
        );
        assert_eq!(
            Problem::from(Refusal::Invalid(Reason::Expired)).cause(),
            Some("expired")
        );
    }

    #[test]
    fn a_cause_never_reaches_the_caller() {
        for problem in [
            Problem::unavailable("db.internal:5432 refused"),
            Problem::internal("SELECT 1 failed"),
        ] {
            let document = problem.document("r");
            assert!(
                !document.contains("5432") && !document.contains("SELECT"),
                "{document}"
            );
        }
    }

    #[test]
    fn status_in_the_document_is_the_status_of_the_response() {
        for code in [400, 404, 405, 413, 414, 415, 431, 422, 500, 502] {
            let status = StatusCode::from_u16(code).unwrap();
            let problem = Problem::of_status(status);
            assert_eq!(problem.status(), status);
            assert!(problem.document("r").contains(&format!("\"status\":{code}")));
            assert_eq!(problem.into_response().status(), status);
        }
    }

    #[test]
    fn retry_and_challenge_are_headers() {
        let response = Problem::unavailable("x").into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "5");
        // RFC 6750, 3.1: whoever has sent no token is told how to come in, and of no error.
        for (refusal, challenge) in [
            (Refusal::Missing, "Bearer realm=\"arcadia-cloud\""),
            (Refusal::Invalid(Reason::Scheme), "Bearer realm=\"arcadia-cloud\""),
            (
                Refusal::Invalid(Reason::Expired),
                "Bearer error=\"invalid_token\"",
            ),
        ] {
            let response = Problem::from(refusal).into_response();
            assert_eq!(response.headers()[WWW_AUTHENTICATE], challenge);
        }
    }
}
