//! The HTTP API: one Lambda behind an API Gateway HTTP API (payload 2.0).
//!
//! [`run`] starts once per sandbox: configuration, then secrets and database in parallel for at most 2 s, then
//! events for ever. Bad configuration ends the process in one sentence; a secret or database that is away does
//! not, because it may be back before the first request: until then requests are answered with 503.
//!
//! The page of routes is [`router`]. It refuses to decide anything about resources, knows no SQL, and lets no
//! event, however odd, end the process: see [`event`].

pub mod access;
mod answer;
mod body;
pub mod document;
pub mod error;
mod etag;
pub mod event;
pub mod form;
pub mod keys;
pub mod page;
pub mod query;
mod router;
pub mod routes;
mod state;
mod values;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::value::RawValue;
use shared::config::{ApiConfig, Environment};
use shared::secrets::Secrets;
use tokio::time::timeout;

use crate::worker;

pub use router::{operations, router};
pub use state::{NotReady, State};

/// How long a cold start may prepare before it asks for its first event.
const PREPARATION: Duration = Duration::from_secs(2);

/// The whole life of the `api` Lambda. Returns only when it cannot go on.
pub fn run() -> ExitCode {
    worker::start("api", Environment::api, serve)
}

async fn serve(config: ApiConfig) -> Result<(), lambda_runtime::Error> {
    let state = Arc::new(State::new(config, Secrets::default()));
    prepare(&state).await?;
    let router = router(state);
    let handler = service_fn(move |invocation: LambdaEvent<Box<RawValue>>| {
        let router = router.clone();
        async move {
            let LambdaEvent { payload, context } = invocation;
            Ok::<_, lambda_runtime::Error>(event::handle(router, payload.get(), &context.request_id).await)
        }
    });
    lambda_runtime::run(handler).await
}

/// Everything a first request would wait for, in parallel. What is away now is tried again by each request, but
/// a key that cannot be used and is part of the configuration is bad configuration: waiting does not mend it.
async fn prepare(state: &State) -> Result<(), String> {
    let (verifier, database) = tokio::join!(
        timeout(PREPARATION, state.verifier()),
        timeout(PREPARATION, state.database())
    );
    match verifier {
        Ok(Err(NotReady::Tokens(error))) if state.key_is_configured() => {
            return Err(format!("bad configuration: GUARDIAN_SECRET_KEY: {error}"));
        }
        Ok(Err(error)) => tracing::warn!("started without the token secret: {error}"),
        Err(_) => tracing::warn!("started without the token secret: no answer within 2 s"),
        Ok(Ok(_)) => (),
    }
    match database {
        Ok(Err(error)) => tracing::warn!("started without the database: {error}"),
        Err(_) => tracing::warn!("started without the database: no answer within 2 s"),
        Ok(Ok(_)) => (),
    }
    Ok(())
}
