//! The services a test finds running: Postgres with a migrated template, moto, and AWS's runtime emulator.
//!
//! `harness with-services` (which is `make test`) starts them once and passes their addresses on in the environment; tests reach them here. A
//! test that is started without them is told so in one sentence: it refuses to guess a server.

use std::path::PathBuf;

use crate::failure::Failure;
use crate::place;
use crate::postgres::{Cluster, Database};

pub const POSTGRES_URL: &str = "ARCADIA_TEST_POSTGRES_URL";
pub const TEMPLATE: &str = "ARCADIA_TEST_TEMPLATE";
pub const AWS_URL: &str = "ARCADIA_TEST_AWS_URL";
pub const RIE: &str = "ARCADIA_TEST_RIE";

/// Addresses of what runs.
#[derive(Clone, Debug)]
pub struct Services {
    /// Databases for tests.
    pub cluster: Cluster,
    /// moto: Secrets Manager and SQS.
    pub aws_url: String,
    /// AWS's Runtime Interface Emulator.
    pub rie: PathBuf,
}

impl Services {
    /// What `make test` has started.
    pub fn from_env() -> Result<Self, Failure> {
        let get = |name: &str| {
            place::variable(name).ok_or_else(|| {
                Failure::new(format!(
                    "{name} is not set: this test needs the services that `make test` starts"
                ))
            })
        };
        Ok(Self {
            cluster: Cluster::attach(&get(POSTGRES_URL)?, &get(TEMPLATE)?),
            aws_url: get(AWS_URL)?,
            rie: PathBuf::from(get(RIE)?),
        })
    }

    /// A migrated database of the test's own, dropped with the returned value.
    pub async fn database(&self) -> Result<Database, Failure> {
        self.cluster.database().await
    }
}
