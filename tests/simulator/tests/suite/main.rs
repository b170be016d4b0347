//! The simulator, seen over HTTP and through its handle.
//!
//! One binary with a file per subject, run by `cargo test -p simulator`. Every test starts its own simulator
//! on a free port. It refuses to use anything of the product: this client is reqwest and nothing else.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy knows test functions, not the functions that tests call"
)]

mod accounts;
mod billing;
mod client;
mod collections;
mod control;
mod faults;
mod faults_on_the_wire;
mod limits;
mod listings;
mod projects;
mod worlds;
