//! The way to AWS: region, keys and address, from the variables that Lambda sets for every function.
//!
//! For Secrets Manager and SQS, when either is first needed. The SDK's own search (profiles, role chains, the metadata
//! service) is left out: a function has its keys in its environment for as long as it lives, and whoever runs `ops`
//! exports theirs (`aws configure export-credentials`). It refuses to look anywhere else: see decision 0020.

mod http;

use std::time::Duration;

use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use aws_types::SdkConfig;
use aws_types::sdk_config::{SharedCredentialsProvider, TimeoutConfig};

use crate::config::Environment;

pub use http::client as http_client;

/// For a client of one service, each of whose operations may take so long, retries included.
pub(crate) fn config(longest: Duration) -> SdkConfig {
    let found = Environment::process().aws();
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http::client())
        .timeout_config(TimeoutConfig::builder().operation_timeout(longest).build());
    // Without these the first request says that it has none.
    config.set_region(found.region.map(Region::new));
    if let Some((id, secret)) = found.keys {
        let keys = Credentials::new(id, secret, found.session, None, "environment");
        config.set_credentials_provider(Some(SharedCredentialsProvider::new(keys)));
    }
    config.set_endpoint_url(found.endpoint);
    config.build()
}
