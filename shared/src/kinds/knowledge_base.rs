//! Knowledge bases of the GenAI platform. The item names its project.
//!
//! Left out: `updated_at` and the last indexing job.

use super::{Attr, Kind, Listing, PLAIN};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static KNOWLEDGE_BASE: Kind = Kind {
    name: "knowledge_base",
    listings: &[Listing::of(Collection::counted(
        "/v2/gen-ai/knowledge_bases",
        "knowledge_bases",
        "meta.total",
    ))],
    by_id: Some("/v2/gen-ai/knowledge_bases/{id}"),
    id: "uuid",
    region_at: Some("region"),
    tags_at: Some("tags"),
    attrs: &[
        Attr::plain("project_id"),
        Attr::plain("database_id"),
        Attr::plain("embedding_model_uuid"),
        Attr::plain("is_public"),
        Attr::instant("created_at"),
    ],
    ..PLAIN
};
