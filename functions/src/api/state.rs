//! What requests share: the token verifier and the database pool, each behind an accessor that makes it when it
//! is first asked for and again when it was not to be had.
//!
//! Both follow their secret: `Secrets` remembers it for five minutes, and a secret that reads differently then makes
//! a new verifier or pool, so a rotation needs no restart. The schema is checked once per sandbox, together
//! with the first connection. It refuses to keep a failure: the next request tries again.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use shared::auth::{self, Verifier};
use shared::billing::Queue;
use shared::config::{ApiConfig, Source};
use shared::database::{self, DatabaseError, Pool};
use shared::secrets::{SecretError, Secrets};
use tokio::sync::{Mutex, OnceCell};

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
    keys: Mutex<Option<Keys>>,
    way: Mutex<Option<Way>>,
    checked: OnceCell<()>,
    queue: Option<Queue>,
}

/// A pool and the secret it was made from.
struct Way {
    secret: SecretString,
    pool: Pool,
}

/// A verifier and the secret it was made from.
struct Keys {
    secret: SecretString,
    verifier: Arc<Verifier>,
}

impl State {
    /// Connects to nothing yet.
    pub fn new(config: ApiConfig, secrets: Secrets) -> Self {
        let queue = config.ingest_queue.as_deref().map(Queue::at);
        Self {
            queue,
            config,
            secrets,
            keys: Mutex::new(None),
            way: Mutex::new(None),
            checked: OnceCell::new(),
        }
    }

    /// The verifier of the secret as it is now.
    ///
    /// # Errors
    /// When the secret cannot be had or cannot be used.
    pub async fn verifier(&self) -> Result<Arc<Verifier>, NotReady> {
        let secret = self.secrets.get(&self.config.guardian).await?;
        let mut keys = self.keys.lock().await;
        if let Some(keys) = keys.as_ref()
            && keys.secret.expose_secret() == secret.expose_secret()
        {
            return Ok(Arc::clone(&keys.verifier));
        }
        let verifier = Arc::new(Verifier::new(&secret, self.config.tokens.clone())?);
        *keys = Some(Keys {
            secret,
            verifier: Arc::clone(&verifier),
        });
        Ok(verifier)
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
        matches!(self.config.guardian, Source::Value(_))
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
