//! The operator's part: which project of the simulated account is whose.
//!
//! Runs once, after the first syncs and before anything is said to be ready, so that the ready-made tenants'
//! tokens see their own resources. It works through the API, as an operator would, and does nothing to a real
//! account.

use super::Stack;
use crate::failure::Failure;

/// Gives the scenario's projects to their tenants.
pub(super) async fn classify(_stack: &Stack) -> Result<(), Failure> {
    // Waits for PATCH /api/v1/projects/{id}; simulator::scenario::TENANTS is the table.
    Ok(())
}
