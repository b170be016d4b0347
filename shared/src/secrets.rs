//! Secrets Manager with a short memory.
//!
//! Every secret is fetched at first use and remembered for [`TTL`], by everybody in this process together
//! (one fetch however many ask). A caller that was refused with a secret asks for a fresh one, which is how
//! a rotation costs one retry at most. It refuses to print a secret or to name one in an error: errors name
//! the ARN.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueOutput;
use chrono::{DateTime, Utc};
use moka::future::Cache;
use secrecy::SecretString;
use tokio::sync::OnceCell;

use crate::aws;
use crate::config::Source;

/// How long a fetched secret is used without asking again.
pub const TTL: Duration = Duration::from_secs(300);

/// How long Secrets Manager may take, its own retries included.
const LONGEST: Duration = Duration::from_secs(5);

/// The way to every secret. Cheap to clone; clones share what was fetched.
#[derive(Clone)]
pub struct Secrets {
    client: Arc<OnceCell<Client>>,
    fetched: Cache<String, SecretString>,
}

/// A secret could not be had. The text names the secret and the kind of failure, never the content.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager did not give it.
    #[error("secret {arn} cannot be read from Secrets Manager: {reason}")]
    Unavailable {
        /// Which secret.
        arn: String,
        /// The service's own error code, or what failed on the way.
        reason: String,
    },
    /// It is there, but is not what it should be.
    #[error("secret {arn} {reason}")]
    Malformed {
        /// Which secret.
        arn: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Default for Secrets {
    fn default() -> Self {
        Self::new(TTL)
    }
}

impl Secrets {
    /// A cache with this memory. Nothing is fetched yet.
    pub fn new(ttl: Duration) -> Self {
        let fetched = Cache::builder().max_capacity(64).time_to_live(ttl).build();
        Self {
            client: Arc::new(OnceCell::new()),
            fetched,
        }
    }

    /// The secret behind a source, remembered if it was fetched before.
    ///
    /// # Errors
    /// When Secrets Manager refuses, cannot be reached, or holds something else than text.
    pub async fn get(&self, source: &Source) -> Result<SecretString, SecretError> {
        match source {
            Source::Value(value) => Ok(value.clone()),
            Source::Secret(arn) => self
                .fetched
                .try_get_with(arn.clone(), self.fetch(arn))
                .await
                .map_err(|error| (*error).clone()),
        }
    }

    /// The secret behind a source, fetched again: what was remembered has just been refused.
    ///
    /// # Errors
    /// As [`Secrets::get`].
    pub async fn refreshed(&self, source: &Source) -> Result<SecretString, SecretError> {
        self.forget(source).await;
        self.get(source).await
    }

    /// Lets go of what was remembered: what was made of it does not work any more.
    pub async fn forget(&self, source: &Source) {
        if let Source::Secret(arn) = source {
            self.fetched.invalidate(arn).await;
        }
    }

    /// The secret before the one behind a source, and when it was replaced. `None` if there was none, or if the source
    /// is the environment, which remembers nothing.
    ///
    /// # Errors
    /// As [`Secrets::get`].
    pub async fn replaced(
        &self,
        source: &Source,
    ) -> Result<Option<(SecretString, DateTime<Utc>)>, SecretError> {
        let Source::Secret(arn) = source else {
            return Ok(None);
        };
        let before = match self.ask(arn, "AWSPREVIOUS").await {
            Err(SecretError::Unavailable { reason, .. }) if reason == "ResourceNotFoundException" => {
                return Ok(None);
            }
            before => before?,
        };
        let current = self.ask(arn, "AWSCURRENT").await?;
        let since = current
            .created_date
            .and_then(|at| DateTime::from_timestamp(at.secs(), 0));
        Ok(since.zip(text(arn, before).ok()).map(|(at, secret)| (secret, at)))
    }

    async fn fetch(&self, arn: &str) -> Result<SecretString, SecretError> {
        text(arn, self.ask(arn, "AWSCURRENT").await?)
    }

    async fn ask(&self, arn: &str, stage: &str) -> Result<GetSecretValueOutput, SecretError> {
        let client = self
            .client
            .get_or_init(|| async { Client::new(&aws::config(LONGEST)) })
            .await;
        let asked = client.get_secret_value().secret_id(arn).version_stage(stage);
        asked.send().await.map_err(|error| {
            // The service's code (ResourceNotFoundException …) says enough; its message may quote the request.
            let reason = match error.as_service_error().and_then(|service| service.meta().code()) {
                Some(code) => code.to_owned(),
                None => "the service cannot be reached".to_owned(),
            };
            SecretError::Unavailable {
                arn: arn.to_owned(),
                reason,
            }
        })
    }
}

fn text(arn: &str, answer: GetSecretValueOutput) -> Result<SecretString, SecretError> {
    let malformed = |reason| SecretError::Malformed {
        arn: arn.to_owned(),
        reason,
    };
    let text = answer
        .secret_string
        .ok_or_else(|| malformed("holds bytes where text is expected"))?;
    // The classic break of a pasted secret: nothing that uses it would say why it is refused.
    if text.trim() != text || text.is_empty() {
        return Err(malformed("is empty or begins or ends with white space"));
    }
    Ok(text.into())
}
