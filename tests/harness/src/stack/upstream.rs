//! Which DigitalOcean the local stack mirrors: the simulated one, or a real account if that was asked for.
//!
//! Decided once, before anything else is started. A real account is mirrored only with `make run DO=live`; then
//! its team and host are said first. An exported token alone changes nothing, and the token is written nowhere.

use std::time::Duration;

use serde_json::Value;
use simulator::{Options, Simulator};

use crate::failure::{Doing, Failure};
use crate::{http, place};

/// Where DigitalOcean is, and what opens it.
pub struct Upstream {
    base_url: String,
    token: String,
    simulator: Option<Simulator>,
}

impl Upstream {
    /// The simulator, or the real account.
    pub(crate) async fn choose(live: bool, say: &dyn Fn(&str)) -> Result<Self, Failure> {
        if live {
            return Self::live(say).await;
        }
        let simulator = Simulator::start(Options::default()).doing("start the simulator")?;
        say(&format!("a simulated DigitalOcean at {}", simulator.url()));
        Ok(Self {
            base_url: simulator.url(),
            token: simulator::DEFAULT_TOKEN.to_owned(),
            simulator: Some(simulator),
        })
    }

    async fn live(say: &dyn Fn(&str)) -> Result<Self, Failure> {
        let token = place::variable("DO_API_TOKEN")
            .ok_or_else(|| Failure::new("DO=live mirrors the account of DO_API_TOKEN, which is not set"))?;
        let base_url = place::variable("DO_API_BASE_URL");
        let base_url = base_url.unwrap_or_else(|| "https://api.digitalocean.com".to_owned());
        let local = ["http://127.0.0.1:", "http://localhost:"]
            .iter()
            .any(|host| base_url.starts_with(host));
        if !local && !base_url.starts_with("https://") {
            return Err(Failure::new(
                "DO_API_BASE_URL must be https: a token travels there",
            ));
        }
        let patience = Duration::from_secs(20);
        let client = if local {
            http::client(patience)?
        } else {
            http::client_for_the_internet(patience)?
        };
        let url = format!("{}/v2/account", base_url.trim_end_matches('/'));
        let answer = http::get_json(&client, &url, Some(&token)).await?;
        let field = |path: &str| {
            answer
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or("?")
                .to_owned()
        };
        say(&format!(
            "LIVE: mirroring the account of {} (team {:?}, {}) at {base_url}; read only, nothing is made there",
            field("/account/email"),
            field("/account/team/name"),
            field("/account/team/uuid"),
        ));
        Ok(Self {
            base_url,
            token,
            simulator: None,
        })
    }

    /// For `DO_API_BASE_URL`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Whether it is a real account.
    pub fn is_live(&self) -> bool {
        self.simulator.is_none()
    }

    /// The simulator's control endpoint.
    pub fn control_url(&self) -> Option<String> {
        self.simulator
            .as_ref()
            .map(|simulator| format!("{}/_sim", simulator.url()))
    }
}
