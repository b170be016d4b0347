//! arcadia-cloud, the service: every decision, every SQL statement, every call to DigitalOcean.
//!
//! The rooms, and who may import whom (arrows run one way):
//!
//! ```text
//! sync ──> inventory ──> kinds            digitalocean, kinds, auth: know nothing of ours
//!   │──> runs (leases, ticks, budgets)    inventory: sole writer of projects, resources, events, markers
//!   └──> digitalocean                     runs: sole writer of sync runs and token budgets
//! ```
//!
//! Beneath them lie `config` (the only reader of the environment), `secrets` and `database`. The edge
//! (package `functions`) knows Lambda and HTTP and none of this crate's SQL. Entry points for binaries are
//! ordinary functions, not `async fn`: an async function of a library is compiled again in every binary
//! that awaits it.

#![warn(missing_docs)]

pub mod auth;
pub mod aws;
pub mod billing;
pub mod config;
pub mod database;
pub mod digitalocean;
pub mod inventory;
pub mod kinds;
pub mod runs;
pub mod secrets;
pub mod sync;
pub mod telemetry;
