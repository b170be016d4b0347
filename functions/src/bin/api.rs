//! The `api` Lambda: the HTTP API.
//!
//! Trigger: API Gateway HTTP API, payload 2.0, every path. Reads the mirror; writes the operator's edits.

use std::process::ExitCode;

fn main() -> ExitCode {
    functions::api::run()
}
