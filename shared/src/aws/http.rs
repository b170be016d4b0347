//! The way of AWS's SDK over the wire: HTTP/1.1 by the library that DigitalOcean is asked with.
//!
//! Made with a service's client, when that is first needed. The SDK's own way is a second HTTP client over the same TLS,
//! and compiles HTTP/2 into every program, the client for DigitalOcean included: see decision 0020. It refuses
//! redirects, proxies and bodies that are not in memory, and retries nothing: the SDK does, told by the kind of error.

use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;

/// How long a connection may take where the SDK does not say.
const CONNECT: Duration = Duration::from_secs(3);

/// For one service: its connections are its own.
pub fn client() -> SharedHttpClient {
    #[expect(
        clippy::disallowed_methods,
        reason = "the other HTTP client: it never sees a token"
    )]
    let made = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .gzip(false)
        .connect_timeout(CONNECT)
        .build();
    SharedHttpClient::new(Wire(made.map_err(|error| error.to_string())))
}

/// A client, or why there is none: which the first request says.
#[derive(Clone, Debug)]
struct Wire(Result<reqwest::Client, String>);

impl HttpClient for Wire {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let client = client.map_err(|error| ConnectorError::other(error.into(), None))?;
            answered(&client, request).await
        })
    }
}

async fn answered(client: &reqwest::Client, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
    let whole = request.body().bytes().map(<[u8]>::to_vec);
    let body = whole.ok_or_else(|| ConnectorError::user("the body is not in memory".into()))?;
    let request = request
        .try_into_http1x()
        .map_err(|error| ConnectorError::user(error.into()))?;
    let request = reqwest::Request::try_from(request.map(|_| body));
    let request = request.map_err(|error| ConnectorError::user(error.into()))?;
    let response = client.execute(request).await.map_err(failed)?;
    let status = response.status().as_u16().try_into();
    let status = status.map_err(|error| ConnectorError::other(Box::new(error), None))?;
    let headers = response.headers().clone();
    let body = response.bytes().await.map_err(failed)?;
    let mut answer = HttpResponse::new(status, SdkBody::from(body));
    for (name, value) in &headers {
        // A value that is not text has no meaning to the SDK.
        if let Ok(value) = value.to_str() {
            let (name, value) = (name.as_str().to_owned(), value.to_owned());
            let added = answer.headers_mut().try_append(name, value);
            added.map_err(|error| ConnectorError::other(error.into(), None))?;
        }
    }
    Ok(answer)
}

/// Both kinds are asked again.
fn failed(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}
