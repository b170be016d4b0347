//! The secret that tokens are signed with, and what becomes of tokens while it is being replaced.
//!
//! Asked once per request that brings a token. The secret is remembered for five minutes; only a token whose signature
//! is wrong (and nothing else about it) makes us look whether it has been replaced, at most every five seconds,
//! because anybody can send such a token. The secret before is good for [`GRACE`] after its replacement, counted from
//! Secrets Manager's own time of it, so that every sandbox agrees, new ones too. It refuses to honour a secret for
//! longer, or for any other fault of a token. To make all old tokens worthless at once, replace the secret twice.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use shared::auth::{Identity, Reason, Refusal, Settings, Verifier};
use shared::config::Source;
use shared::secrets::Secrets;
use tokio::sync::Mutex;

use super::state::NotReady;

/// How long the secret before is good: a little more than anybody remembers a secret.
pub const GRACE: TimeDelta = TimeDelta::minutes(15);

/// The least time between two looks for a new secret.
const SPACING: TimeDelta = TimeDelta::seconds(5);

/// The verifiers, made when they are first needed.
pub(super) struct Keys {
    source: Source,
    settings: Settings,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    current: Option<Key>,
    /// And until when it is good.
    before: Option<(Arc<Verifier>, DateTime<Utc>)>,
    looked: Option<DateTime<Utc>>,
}

/// A verifier and the secret it was made from.
struct Key {
    secret: SecretString,
    verifier: Arc<Verifier>,
}

impl Keys {
    pub(super) fn new(source: Source, settings: Settings) -> Self {
        Self {
            source,
            settings,
            known: Mutex::default(),
        }
    }

    /// Whether the secret was given by value, so that only a new configuration changes it.
    pub(super) fn are_configured(&self) -> bool {
        matches!(self.source, Source::Value(_))
    }

    /// The verifier of the secret as it is remembered, or now if it is not.
    pub(super) async fn current(&self, secrets: &Secrets) -> Result<Arc<Verifier>, NotReady> {
        let secret = secrets.get(&self.source).await?;
        let mut known = self.known.lock().await;
        if let Some(key) = &known.current
            && key.secret.expose_secret() == secret.expose_secret()
        {
            return Ok(Arc::clone(&key.verifier));
        }
        let verifier = Arc::new(Verifier::new(&secret, self.settings.clone())?);
        known.current = Some(Key {
            secret,
            verifier: Arc::clone(&verifier),
        });
        Ok(verifier)
    }

    /// Who is calling.
    pub(super) async fn identify(
        &self,
        secrets: &Secrets,
        authorization: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Result<Identity, Refusal>, NotReady> {
        let tried = self.current(secrets).await?;
        let told = tried.verify(authorization, now);
        if !is_of_another_key(&told) || self.are_configured() {
            return Ok(told);
        }
        self.look(secrets, now).await;
        let current = self.current(secrets).await?;
        let before = self.known.lock().await.before.clone();
        let before = before
            .filter(|(_, until)| now < *until)
            .map(|(verifier, _)| verifier);
        for verifier in [Some(current), before].into_iter().flatten() {
            let told = verifier.verify(authorization, now);
            if !is_of_another_key(&told) {
                return Ok(told);
            }
        }
        Ok(told)
    }

    /// Reads the secret again, and the one before it, unless that was done just now. What cannot be read stays as it is.
    async fn look(&self, secrets: &Secrets, now: DateTime<Utc>) {
        {
            let mut known = self.known.lock().await;
            if known.looked.is_some_and(|looked| now - looked < SPACING) {
                return;
            }
            known.looked = Some(now);
        }
        if let Err(error) = secrets.refreshed(&self.source).await {
            return tracing::warn!("whether the token secret has been replaced is not known: {error}");
        }
        match secrets.replaced(&self.source).await {
            Ok(replaced) => {
                // One that is no key was never one.
                let before = replaced.and_then(|(secret, at)| {
                    let verifier = Verifier::new(&secret, self.settings.clone()).ok()?;
                    Some((Arc::new(verifier), at + GRACE))
                });
                self.known.lock().await.before = before;
            }
            Err(error) => tracing::warn!("the token secret before cannot be read: {error}"),
        }
    }
}

fn is_of_another_key(told: &Result<Identity, Refusal>) -> bool {
    matches!(told, Err(Refusal::Invalid(Reason::Signature)))
}
