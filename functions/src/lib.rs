//! The edge: what knows Lambda and HTTP, and nothing about SQL or DigitalOcean.
//!
//! `bin/` lists the deployment, one short file each; `worker` is the shell around every job, `ingest` the one around messages; `api` is the
//! HTTP API. Everything they decide with is in `shared`.

#![warn(missing_docs)]

pub mod api;
pub mod ingest;
mod metrics;
pub mod worker;
