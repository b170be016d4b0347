//! Spaces buckets. No listing of DigitalOcean's v2 API shows them: only the members of projects do.
//!
//! They are discovered, kept and struck by complete passes over all projects; the region is in the address of the member
//! row. A pass without them is never believed by itself, however often it comes: the operator says so, or nobody.

use super::{Kind, PLAIN};

/// The kind.
pub static SPACES_BUCKET: Kind = Kind {
    name: "spaces_bucket",
    urn_types: &["space"],
    region_at: Some("region"),
    in_projects: true,
    reuses_ids: true,
    ..PLAIN
};
