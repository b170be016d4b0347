//! A whole stack on one machine: Postgres, AWS's queue and secrets emulated, sandboxes for the real binaries.
//!
//! Used by the tests (which reach running services through `services::Services::from_env`), by `make test`
//! (which starts those services) and by `make run` (the local stack). Everything listens on loopback only and
//! stops when its owner does, even when the owner is killed. It never uses an inherited `DATABASE_URL`, never
//! touches an AWS or DigitalOcean account unless `make run DO=live` says so, and installs nothing outside
//! `.local`.

pub mod deny;
pub mod failure;
pub mod place;
pub mod postgres;
pub mod prepare;
pub mod process;
pub mod python;

#[cfg(feature = "stack")]
pub mod aws;
#[cfg(feature = "stack")]
pub mod deployed;
#[cfg(feature = "stack")]
pub mod fuzz;
#[cfg(feature = "stack")]
pub mod http;
#[cfg(feature = "stack")]
pub mod large;
#[cfg(feature = "stack")]
pub mod rie;
#[cfg(feature = "stack")]
pub mod sandbox;
#[cfg(feature = "stack")]
pub mod services;
#[cfg(feature = "stack")]
pub mod stack;
#[cfg(feature = "stack")]
pub mod tokens;
pub mod usage;
#[cfg(feature = "stack")]
pub mod with_services;
