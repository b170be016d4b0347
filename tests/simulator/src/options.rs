//! How a simulator is started.
//!
//! Filled by tests (`Options { seed: 3, ..Options::default() }`) or from the command line by `main`. What is
//! left out is a default account on a free port with one full-access token. It reads no environment.

use crate::{scenario::Scenario, state::Settings, token::Token};

/// The text of the token there is if none is named.
pub const DEFAULT_TOKEN: &str = "simulator-token";

#[derive(Clone, Debug)]
pub struct Options {
    /// 0: any free port, on localhost in any case.
    pub port: u16,
    pub seed: u64,
    pub scenario: Scenario,
    pub tokens: Vec<Token>,
    pub settings: Settings,
    /// Collections beyond the simulator's own: the text of fixture files.
    pub fixtures: Vec<String>,
    /// How many requests the log keeps.
    pub log_entries: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            seed: 7,
            scenario: Scenario::Default,
            tokens: vec![Token::new("default", DEFAULT_TOKEN)],
            settings: Settings::default(),
            fixtures: Vec::new(),
            log_entries: 20_000,
        }
    }
}
