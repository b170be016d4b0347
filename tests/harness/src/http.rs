//! Requests of the harness's own: to the local stack, to emulators, to nobody else but DigitalOcean's account
//! endpoint when `make run DO=live` asks whose token it holds.
//!
//! It is not the service's client on purpose: what drives the service from outside must not share its code.
//! Redirects are off, because a token must not travel.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use crate::failure::{Doing, Failure};

/// A client that waits at most this long for an answer.
#[expect(
    clippy::disallowed_methods,
    reason = "the world outside the service has a client of its own"
)]
pub fn client(patience: Duration) -> Result<Client, Failure> {
    let builder = Client::builder()
        .timeout(patience)
        .connect_timeout(Duration::from_secs(5));
    let builder = builder.redirect(reqwest::redirect::Policy::none()).no_proxy();
    builder.build().doing("make an HTTP client")
}

/// As [`client`], but through the proxy the environment names: for hosts that are not this machine.
#[expect(
    clippy::disallowed_methods,
    reason = "the world outside the service has a client of its own"
)]
pub fn client_for_the_internet(patience: Duration) -> Result<Client, Failure> {
    let builder = Client::builder()
        .timeout(patience)
        .redirect(reqwest::redirect::Policy::none());
    builder.build().doing("make an HTTP client")
}

/// Status and text of the answer to a JSON body.
pub async fn post(client: &Client, url: &str, body: &Value) -> Result<(StatusCode, String), Failure> {
    let request = client
        .request(Method::POST, url)
        .header("content-type", "application/json");
    let answer = request
        .body(body.to_string())
        .send()
        .await
        .doing(format!("reach {url}"))?;
    let status = answer.status();
    Ok((
        status,
        answer.text().await.doing(format!("read the answer of {url}"))?,
    ))
}

/// JSON of a GET, with or without a bearer token; any status but 200 is a failure.
pub async fn get_json(client: &Client, url: &str, token: Option<&str>) -> Result<Value, Failure> {
    let mut request = client.request(Method::GET, url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request
        .send()
        .await
        .map_err(reqwest::Error::without_url)
        .doing(format!("reach {url}"))?;
    let status = answer.status();
    let text = answer.text().await.doing(format!("read the answer of {url}"))?;
    if status != StatusCode::OK {
        let said: String = text.chars().take(300).collect();
        return Err(Failure::new(format!("{url} answered {status}: {said}")));
    }
    serde_json::from_str(&text).doing(format!("read the answer of {url}"))
}
