//! A client that believes nothing: status, headers, bytes.
//!
//! Used by every test. It follows no redirects, gives up when its patience is over, and never retries.

use std::time::Duration;

use reqwest::{Method, header::HeaderMap};
use serde_json::Value;
use simulator::{DEFAULT_TOKEN, Options, Scenario, Simulator};

pub struct Client {
    pub simulator: Simulator,
    http: reqwest::Client,
    pub token: String,
    pub patience: Duration,
}

pub struct Got {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Client {
    pub fn default() -> Self {
        Self::with(Options::default())
    }

    pub fn scale(droplets: u64) -> Self {
        Self::with(Options {
            scenario: Scenario::Scale { droplets },
            ..Options::default()
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test's client: it must not share the product's"
    )]
    pub fn with(options: Options) -> Self {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            // Plain HTTP only: reading the system's certificates would take longer than the test.
            .tls_certs_only([])
            .build()
            .unwrap();
        let simulator = Simulator::start(options).unwrap();
        Self {
            simulator,
            http,
            token: DEFAULT_TOKEN.to_owned(),
            patience: Duration::from_secs(5),
        }
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> reqwest::Result<Got> {
        let url = format!("{}{path}", self.simulator.url());
        let mut request = self
            .http
            .request(method, url)
            .bearer_auth(&self.token)
            .timeout(self.patience);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Got {
            status,
            headers,
            body: response.bytes().await?.to_vec(),
        })
    }

    pub async fn get(&self, path: &str) -> Got {
        self.send(Method::GET, path, None).await.expect("an answer")
    }

    pub async fn post(&self, path: &str, body: Value) -> Got {
        self.send(Method::POST, path, Some(body))
            .await
            .expect("an answer")
    }

    /// All rows of a list, page by page until there is no `next`, ten a page.
    pub async fn walk(&self, path: &str, root: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        for page in 1.. {
            let mark = if path.contains('?') { '&' } else { '?' };
            let answer = self
                .get(&format!("{path}{mark}page={page}&per_page=10"))
                .await
                .json();
            rows.extend(answer[root].as_array().unwrap().iter().cloned());
            if answer["links"]["pages"]["next"].is_null() {
                break;
            }
        }
        rows
    }
}

/// The ids of rows, as text.
pub fn ids(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["id"].to_string()).collect()
}
