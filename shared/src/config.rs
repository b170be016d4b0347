//! The environment, read once and typed.
//!
//! For every binary, at its start. It reports everything that is missing or malformed at once, in one
//! sentence that names each variable, and never repeats a value: a value may be a secret. It refuses the
//! value and the ARN of one thing together, and a plain-text base URL anywhere but on this machine, because
//! the token would travel in the clear. Nothing else in the workspace reads the environment.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use url::{Host, Url};

use crate::auth;

/// The shortest lease. It is renewed between two pieces of work, once a third of it has passed: the two thirds that are
/// left have to outlast a request and the wait for the mirror's lock, 20 s each. A shorter one loses nothing, because a run
/// that was taken over writes nothing; but runs would be taken over that are well.
const SHORTEST_LEASE: u64 = 30;
/// The same beside a DigitalOcean on this machine, whose answers nobody waits for: tests wait for leases to end.
const SHORTEST_LEASE_HERE: u64 = 5;

/// What a DigitalOcean token is for. Each purpose has its own token, so that one cannot use up another's rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The every-minute lane.
    SyncFast,
    /// The every-15-minutes lane.
    SyncFull,
    /// The hourly lane.
    SyncSlow,
    /// Balance, billing history and invoices.
    Billing,
    /// Reserved: provisioning sagas.
    Provisioning,
    /// Reserved: metering.
    Metering,
}

impl Source {
    /// Which variable or secret this is, for messages: never what is in it.
    pub fn name<'a>(&'a self, variable: &'a str) -> &'a str {
        match self {
            Source::Value(_) => variable,
            Source::Secret(arn) => arn,
        }
    }
}

impl Purpose {
    /// All purposes.
    pub const ALL: [Purpose; 6] = [
        Purpose::SyncFast,
        Purpose::SyncFull,
        Purpose::SyncSlow,
        Purpose::Billing,
        Purpose::Provisioning,
        Purpose::Metering,
    ];

    /// The name used in logs and documents, such as `sync_fast`.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::SyncFast => "sync_fast",
            Purpose::SyncFull => "sync_full",
            Purpose::SyncSlow => "sync_slow",
            Purpose::Billing => "billing",
            Purpose::Provisioning => "provisioning",
            Purpose::Metering => "metering",
        }
    }

    fn variable(self) -> String {
        format!("DO_TOKEN_SECRET_ARN_{}", self.name().to_ascii_uppercase())
    }
}

/// Where a secret comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// From the environment itself: local use.
    Value(SecretString),
    /// From Secrets Manager, by ARN or name.
    Secret(String),
}

/// Where the database is.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// A URL, or a secret that holds a URL or RDS's JSON.
    pub source: Source,
    /// Completes a secret that holds user and password only.
    pub host: Option<String>,
    /// See `host`.
    pub port: Option<u16>,
    /// See `host`.
    pub name: Option<String>,
}

/// How to reach DigitalOcean.
#[derive(Clone, Debug)]
pub struct DigitalOceanConfig {
    /// The only host a token is ever sent to.
    pub base_url: Url,
    /// The token of the worker's purpose.
    pub token: Source,
}

/// What a worker needs.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Database.
    pub database: DatabaseConfig,
    /// Upstream.
    pub digitalocean: DigitalOceanConfig,
    /// Project that the mirror makes sure exists; `None` switches that off.
    pub bootstrap_project: Option<String>,
    /// Least time between two strikes of one resource.
    pub strike_spacing: Duration,
    /// How long a silent worker keeps its lease.
    pub lease: Duration,
    /// Where invoices wait to be ingested; every billing worker has it.
    pub ingest_queue: Option<String>,
}

/// What the API needs.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Database.
    pub database: DatabaseConfig,
    /// The secret that `arcadia-app` signs with; its raw bytes are the key.
    pub guardian: Source,
    /// What a token must say.
    pub tokens: auth::Settings,
    /// Exact origins that browsers may call from; none by default.
    pub cors_allow_origins: Vec<String>,
    /// Where invoices wait to be ingested; without it they wait for the next billing run.
    pub ingest_queue: Option<String>,
}

/// Where AWS is and what it is asked with.
pub(crate) struct Aws {
    /// Such as `eu-central-1`.
    pub region: Option<String>,
    /// Id and secret.
    pub keys: Option<(String, String)>,
    /// Of keys that a role was lent.
    pub session: Option<String>,
    /// Another address than AWS's own: an emulator's.
    pub endpoint: Option<String>,
}

/// Everything that is wrong with the environment, in one sentence.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("bad configuration: {}", .problems.join("; "))]
pub struct ConfigError {
    /// One entry per variable, each naming it.
    pub problems: Vec<String>,
}

/// The variables of a process, or of a test.
pub struct Environment {
    variables: BTreeMap<String, String>,
    problems: Vec<String>,
}

impl Environment {
    /// This process's environment. An empty variable counts as not set: that is how a template says "off".
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the environment"
    )]
    pub fn process() -> Self {
        // What is not text cannot be one of ours, or reads as not set.
        let text = |text: std::ffi::OsString| text.into_string().ok();
        Self::of(std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))))
    }

    /// The given variables.
    pub fn of<K: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (K, V)>) -> Self {
        let variables = variables.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        Self {
            variables,
            problems: Vec::new(),
        }
    }

    /// How much to log: `LOG_LEVEL`, a word such as `debug`; `info` if it is not set.
    pub fn log_level(&self) -> &str {
        self.variables.get("LOG_LEVEL").map_or("info", String::as_str)
    }

    /// What CloudWatch files metrics under: `METRICS_NAMESPACE`, one per deployment.
    pub fn metrics_namespace(&self) -> &str {
        let name = self.variables.get("METRICS_NAMESPACE").map(String::as_str);
        name.filter(|name| !name.is_empty()).unwrap_or("arcadia-cloud")
    }

    /// What AWS sets for its own SDK.
    pub(crate) fn aws(&self) -> Aws {
        Aws {
            region: self.get("AWS_REGION").or_else(|| self.get("AWS_DEFAULT_REGION")),
            keys: self
                .get("AWS_ACCESS_KEY_ID")
                .zip(self.get("AWS_SECRET_ACCESS_KEY")),
            session: self.get("AWS_SESSION_TOKEN"),
            endpoint: self.get("AWS_ENDPOINT_URL"),
        }
    }

    /// The configuration of a worker whose token has this purpose.
    ///
    /// # Errors
    /// Names every missing or malformed variable.
    pub fn worker(mut self, purpose: Purpose) -> Result<WorkerConfig, ConfigError> {
        if purpose == Purpose::Billing && self.get("INGEST_QUEUE_URL").is_none() {
            self.problem("INGEST_QUEUE_URL must be set");
        }
        self.work(purpose)
    }

    /// The same for a person who does a worker's work: without a queue, whoever finds an invoice ingests it too.
    ///
    /// # Errors
    /// Names every missing or malformed variable.
    pub fn by_hand(self, purpose: Purpose) -> Result<WorkerConfig, ConfigError> {
        let mut config = self.work(purpose)?;
        config.ingest_queue = None;
        Ok(config)
    }

    /// The way upstream alone, for whoever looks at a token and may have no database.
    ///
    /// # Errors
    /// Names every missing or malformed variable of it.
    pub fn digitalocean(mut self, purpose: Purpose) -> Result<DigitalOceanConfig, ConfigError> {
        match (self.base_url(), self.token(purpose)) {
            (Some(base_url), Some(token)) => Ok(DigitalOceanConfig { base_url, token }),
            _ => Err(ConfigError {
                problems: self.problems,
            }),
        }
    }

    fn work(mut self, purpose: Purpose) -> Result<WorkerConfig, ConfigError> {
        let database = self.database();
        let base_url = self.base_url();
        let token = self.token(purpose);
        let bootstrap_project = match self.variables.get("BOOTSTRAP_PROJECT").map(|v| v.trim()) {
            Some("") => None,
            Some(name) => Some(name.to_owned()),
            None => Some("skyai-internal".to_owned()),
        };
        let strike_spacing = self.seconds("STRIKE_SPACING_SECONDS", 600, 0..=86_400);
        let shortest = match &base_url {
            Some(url) if is_here(url) => SHORTEST_LEASE_HERE,
            _ => SHORTEST_LEASE,
        };
        let lease = self.seconds("LEASE_SECONDS", 30, shortest..=900);
        let ingest_queue = self.ingest_queue();
        match (database, base_url, token) {
            (Some(database), Some(base_url), Some(token)) if self.problems.is_empty() => Ok(WorkerConfig {
                database,
                digitalocean: DigitalOceanConfig { base_url, token },
                bootstrap_project,
                strike_spacing,
                lease,
                ingest_queue,
            }),
            _ => Err(ConfigError {
                problems: self.problems,
            }),
        }
    }

    /// The configuration of the API.
    ///
    /// # Errors
    /// Names every missing or malformed variable.
    pub fn api(mut self) -> Result<ApiConfig, ConfigError> {
        let database = self.database();
        let guardian = self.one_of("GUARDIAN_SECRET_KEY", "GUARDIAN_SECRET_ARN");
        let mut tokens = auth::Settings::default();
        if let Some(issuer) = self.get("JWT_ISSUER") {
            tokens.issuer = issuer;
        }
        if let Some(audience) = self.get("JWT_AUDIENCE") {
            tokens.audience = audience;
        }
        if let Some(list) = self.get("JWT_ALGORITHMS") {
            let parsed: Result<Vec<_>, _> = list
                .split(',')
                .map(|name| auth::Algorithm::from_str(name.trim()))
                .collect();
            match parsed {
                Ok(algorithms) => tokens.algorithms = algorithms,
                Err(_) => self.problem("JWT_ALGORITHMS may list HS256, HS384 and HS512 only"),
            }
        }
        let cors_allow_origins = self.origins();
        let ingest_queue = self.ingest_queue();
        match (database, guardian) {
            (Some(database), Some(guardian)) if self.problems.is_empty() => Ok(ApiConfig {
                database,
                guardian,
                tokens,
                cors_allow_origins,
                ingest_queue,
            }),
            _ => Err(ConfigError {
                problems: self.problems,
            }),
        }
    }

    /// The configuration of `migrate`, which needs the database only.
    ///
    /// # Errors
    /// Names every missing or malformed variable.
    pub fn migrate(mut self) -> Result<DatabaseConfig, ConfigError> {
        match self.database() {
            Some(database) if self.problems.is_empty() => Ok(database),
            _ => Err(ConfigError {
                problems: self.problems,
            }),
        }
    }

    fn get(&self, name: &str) -> Option<String> {
        self.variables
            .get(name)
            .filter(|value| !value.is_empty())
            .cloned()
    }

    fn problem(&mut self, text: impl Into<String>) {
        self.problems.push(text.into());
    }

    /// A secret given by value or by ARN: exactly one of the two.
    fn one_of(&mut self, value: &str, arn: &str) -> Option<Source> {
        match (self.get(value), self.get(arn)) {
            (Some(_), Some(_)) => {
                self.problem(format!("{value} and {arn} are both set, and only one may be"));
                None
            }
            (Some(text), None) => Some(Source::Value(text.into())),
            (None, Some(text)) => Some(Source::Secret(text)),
            (None, None) => {
                self.problem(format!("{value} or {arn} must be set"));
                None
            }
        }
    }

    fn database(&mut self) -> Option<DatabaseConfig> {
        let source = self.one_of("DATABASE_URL", "DATABASE_SECRET_ARN");
        if let Some(Source::Value(url)) = &source
            && let Err(reason) = crate::database::parse_url(url)
        {
            self.problem(format!("DATABASE_URL {reason}"));
            return None;
        }
        let port = match self.get("DATABASE_PORT").map(|text| text.parse::<u16>()) {
            None => None,
            Some(Ok(port)) => Some(port),
            Some(Err(_)) => {
                self.problem("DATABASE_PORT is not a port number");
                return None;
            }
        };
        let (host, name) = (self.get("DATABASE_HOST"), self.get("DATABASE_NAME"));
        source.map(|source| DatabaseConfig {
            source,
            host,
            port,
            name,
        })
    }

    fn base_url(&mut self) -> Option<Url> {
        let text = self
            .get("DO_API_BASE_URL")
            .unwrap_or_else(|| "https://api.digitalocean.com".to_owned());
        let Ok(url) = Url::parse(&text) else {
            self.problem("DO_API_BASE_URL is not a URL");
            return None;
        };
        if !(url.scheme() == "https" || (url.scheme() == "http" && is_here(&url))) {
            self.problem(
                "DO_API_BASE_URL must be https (http is for this machine only): a token travels there",
            );
            return None;
        }
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            self.problem("DO_API_BASE_URL must be a scheme and a host only");
            return None;
        }
        Some(url)
    }

    fn token(&mut self, purpose: Purpose) -> Option<Source> {
        let value = self.get("DO_API_TOKEN");
        let own = self.get(&purpose.variable());
        let shared = self.get("DO_TOKEN_SECRET_ARN");
        match (value, own.or(shared)) {
            (Some(_), Some(_)) => {
                self.problem("DO_API_TOKEN and a DO_TOKEN_SECRET_ARN are both set, and only one may be");
                None
            }
            (None, Some(arn)) => Some(Source::Secret(arn)),
            (Some(text), None) if is_token(&text) => Some(Source::Value(text.into())),
            (Some(_), None) => {
                self.problem("DO_API_TOKEN holds characters that no token has");
                None
            }
            (None, None) => {
                self.problem(format!(
                    "DO_API_TOKEN, DO_TOKEN_SECRET_ARN or {} must be set",
                    purpose.variable()
                ));
                None
            }
        }
    }

    fn ingest_queue(&mut self) -> Option<String> {
        let url = self.get("INGEST_QUEUE_URL")?;
        if Url::parse(&url).is_err() {
            self.problem("INGEST_QUEUE_URL is not a URL");
        }
        Some(url)
    }

    fn seconds(&mut self, name: &str, default: u64, range: std::ops::RangeInclusive<u64>) -> Duration {
        let seconds = match self.get(name).map(|text| text.parse::<u64>()) {
            None => default,
            Some(Ok(seconds)) if range.contains(&seconds) => seconds,
            Some(_) => {
                self.problem(format!(
                    "{name} must be a whole number of seconds from {} to {}",
                    range.start(),
                    range.end()
                ));
                default
            }
        };
        Duration::from_secs(seconds)
    }

    fn origins(&mut self) -> Vec<String> {
        let list = self.get("CORS_ALLOW_ORIGINS").unwrap_or_default();
        let origins: Vec<String> = list
            .split(',')
            .map(str::trim)
            .filter(|o| !o.is_empty())
            .map(str::to_owned)
            .collect();
        for (place, origin) in origins.iter().enumerate() {
            let exact = Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin);
            if !exact {
                self.problem(format!(
                    "entry {} of CORS_ALLOW_ORIGINS is not an exact origin",
                    place + 1
                ));
            }
        }
        origins
    }
}

/// Whether a host is this machine.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether text can be sent as a bearer token: visible ASCII, nothing else. Catches the newline of a careless paste.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
