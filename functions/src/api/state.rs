//! What requests share: the token verifier and the database pool, each behind an accessor that makes it when it
//! is first asked for and again when it was not to be had.
//!
//! Both follow their secret: `Secrets` remembers it for five minutes, and a secret that reads differently then makes
//! a new verifier or pool, so a rotation needs no restart. What a rotation costs until then is [`keys`](super::keys)'
//! to say for tokens; a database that has refused somebody has its secret read again. The schema is checked once per
//! sandbox, together with the first connection. It refuses to keep a failure: the next request tries again.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use shared::auth::{self, Identity, Refusal, Verifier};
use shared::billing::Queue;
use shared::config::ApiConfig;
use shared::database::{self, DatabaseError, Pool};
use shared::secrets::{SecretError, Secrets};
use tokio::sync::{Mutex, OnceCell};

use super::keys::Keys;

/// The least time between two doubts about the database's secret.
const SPACING: TimeDelta = TimeDelta::seconds(5);

/// What a request needs is not there. The text is for logs; callers are told to come again.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// The secret that tokens are signed with cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// It can be had, but no verifier can be made of it.
    #[error(transparent)]
    Tokens(#[from] auth::SecretError),
    /// The database cannot be used, or its schema is too old.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// One per sandbox, or per test.
pub struct State {
    config: ApiConfig,
    secrets: Secrets,
    keys: Keys,
    way: Mutex<Option<Way>>,
    doubted: Mutex<Option<DateTime<Utc>>>,
    checked: OnceCell<()>,
    queue: Option<Queue>,
}

/// A pool and the secret it was made from.
struct Way {
    secret: SecretString,
    pool: Pool,
}

impl State {
    /// Connects to nothing yet.
    pub fn new(config: ApiConfig, secrets: Secrets) -> Self {
        let queue = config.ingest_queue.as_deref().map(Queue::at);
        let keys = Keys::new(config.guardian.clone(), config.tokens.clone());
        Self {
            queue,
            config,
            secrets,
            keys,
            doubted: Mutex::new(None),
            way: Mutex::new(None),
            checked: OnceCell::new(),
        }
    }

    /// The verifier of the secret as it is now.
    ///
    /// # Errors
    /// When the secret cannot be had or cannot be used.
    pub async fn verifier(&self) -> Result<Arc<Verifier>, NotReady> {
        self.keys.current(&self.secrets).await
    }

    /// Who is calling, given the raw value of the `Authorization` header.
    ///
    /// # Errors
    /// When the secret cannot be had or cannot be used.
    pub async fn identify(
        &self,
        authorization: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Result<Identity, Refusal>, NotReady> {
        self.keys.identify(&self.secrets, authorization, now).await
    }

    /// The pool, its schema known to be new enough.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn database(&self) -> Result<Pool, NotReady> {
        let pool = self.pool().await?;
        self.checked
            .get_or_try_init(|| database::check_schema(&pool))
            .await?;
        Ok(pool)
    }

    /// Asks the database and its schema now, whatever was found before.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn check_database(&self) -> Result<(), NotReady> {
        Ok(database::check_schema(&self.pool().await?).await?)
    }

    /// Whether the token secret was given by value, so that only a new configuration changes it.
    pub(super) fn key_is_configured(&self) -> bool {
        self.keys.are_configured()
    }

    /// Somebody could not be served. A password that was rotated looks like that, so the next request reads the
    /// secret again; not more often than every five seconds, because the database may simply be away.
    pub(super) async fn doubt_the_database(&self, now: DateTime<Utc>) {
        let mut doubted = self.doubted.lock().await;
        if doubted.is_none_or(|doubted| now - doubted >= SPACING) {
            *doubted = Some(now);
            self.secrets.forget(&self.config.database.source).await;
        }
    }

    /// Where invoices wait to be ingested, if this deployment says so.
    pub(super) fn queue(&self) -> Option<&Queue> {
        self.queue.as_ref()
    }

    /// The origins that browsers may call from.
    pub(super) fn origins(&self) -> &[String] {
        &self.config.cors_allow_origins
    }

    async fn pool(&self) -> Result<Pool, DatabaseError> {
        let secret = self.secrets.get(&self.config.database.source).await?;
        let mut way = self.way.lock().await;
        if let Some(way) = way.as_ref()
            && way.secret.expose_secret() == secret.expose_secret()
        {
            return Ok(way.pool.clone());
        }
        let pool = database::pool(database::options(&self.config.database, &self.secrets).await?);
        *way = Some(Way {
            secret,
            pool: pool.clone(),
        });
        Ok(pool)
    }
}
