//! The one integration suite: real Postgres, the simulator over HTTP, the compiled binaries.
//!
//! `make test` starts the services it needs. Tests whose name begins with `prove_` are long proofs: `make prove`
//! runs them with their full counts, the suite runs a seeded tenth of each.

mod access;
mod caller;
mod invariants;
mod mirror;
mod narrow;
mod projects;
mod stage;
mod suspicion;
