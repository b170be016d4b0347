//! The one integration suite: real Postgres, the simulator over HTTP, the compiled binaries.
//!
//! `make test` starts the services it needs. Tests whose name begins with `prove_` are long proofs: `make prove`
//! runs them with their full counts, the suite runs a seeded tenth of each.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test's own functions are tests too"
)]

mod access;
mod binaries;
mod books;
mod bootstrap;
mod budget;
mod caller;
mod canary;
mod chaos;
mod configuration;
mod deployment;
mod examples;
mod faults;
mod frozen;
mod invariants;
mod ledger;
mod ledger_api;
mod ledger_binaries;
mod ledger_matching;
mod ledger_mutations;
mod mirror;
mod narrow;
mod outage;
mod overlap;
mod projects;
mod questions;
mod rotation;
mod stage;
mod suspicion;
mod ticks;
mod walls;
mod wire;
