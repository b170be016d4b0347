//! The API's description: `/openapi.json` for programs, `/docs` for people.
//!
//! Public, made once per sandbox from the router's own operations. The page is plain HTML without a script, allowed to
//! load nothing at all. Neither says anything about the account.

use std::sync::LazyLock;

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use serde_json::Value;

use crate::api::document::{self, Access, Answer, Operation, reading};
use crate::api::router::operations;

/// The document, as it is served and as it is committed.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| document::document(&operations()));
static TEXT: LazyLock<String> = LazyLock::new(|| DOCUMENT.to_string());
static PAGE: LazyLock<String> = LazyLock::new(|| reading::page(&DOCUMENT));

/// It changes with the program only.
const FOR_AN_HOUR: &str = "public, max-age=3600";

pub(in crate::api) static OPENAPI: Operation = Operation {
    method: "get",
    path: "/openapi.json",
    id: "getOpenApi",
    tag: "service",
    summary: "This document",
    detail: "",
    access: Access::Public,
    parameters: &[],
    body: None,
    answer: Answer::Other("application/json"),
    problems: &[],
};

/// `GET /openapi.json`
pub async fn openapi() -> impl IntoResponse {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, FOR_AN_HOUR)];
    (headers, TEXT.as_str())
}

pub(in crate::api) static DOCS: Operation = Operation {
    method: "get",
    path: "/docs",
    id: "getDocs",
    tag: "service",
    summary: "The same for people",
    detail: "",
    access: Access::Public,
    parameters: &[],
    body: None,
    answer: Answer::Other("text/html"),
    problems: &[],
};

/// `GET /docs`
pub async fn docs() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, FOR_AN_HOUR),
        (CONTENT_SECURITY_POLICY, reading::POLICY),
    ];
    (headers, PAGE.as_str())
}
