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
mod again;
mod binaries;
mod books;
mod bootstrap;
mod buckets;
mod budget;
mod caller;
mod canary;
mod catalogue;
mod chaos;
mod configuration;
mod counted;
mod deployable;
mod deployment;
mod described;
mod documented;
mod edits;
mod examples;
mod faults;
mod frozen;
mod hazards;
mod hostile;
mod invariants;
mod ledger;
mod ledger_api;
mod ledger_binaries;
mod ledger_ids;
mod ledger_matching;
mod ledger_mutations;
mod ledger_owners;
mod mirror;
mod moved;
mod narrow;
mod operator;
mod orders;
mod outage;
mod overheard;
mod overlap;
mod owner;
mod pages;
mod past;
mod plans;
mod priced;
mod projects;
mod questions;
mod reads;
mod rehearsed;
mod roles;
mod rotation;
mod stage;
mod storm;
mod suspicion;
mod template;
mod ticks;
mod trespass;
mod walls;
mod warm;
mod week;
mod window;
mod wire;
mod written;
