//! The edge: what knows Lambda and HTTP, and nothing about SQL or DigitalOcean.
//!
//! `bin/` lists the deployment, one short file each; `worker` is the shell around every job; `api` is the
//! HTTP API. Everything they decide with is in `shared`.

#![warn(missing_docs)]

pub mod api;
mod metrics;
pub mod worker;
