//! Agents of the GenAI platform. The item names its project.
//!
//! Instructions, tool servers and their credentials are left out, and so is what changes by itself: `updated_at`, how the
//! model is described.

use super::{Attr, Kind, Listing, PLAIN, Shape, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static GENAI_AGENT: Kind = Kind {
    name: "genai_agent",
    listings: &[Listing::of(Collection::counted(
        "/v2/gen-ai/agents",
        "agents",
        "meta.total",
    ))],
    by_id: Some("/v2/gen-ai/agents/{id}"),
    id: "uuid",
    region_at: Some("region"),
    status: Status::At("deployment.status"),
    tags_at: Some("tags"),
    attrs: &[
        Attr::plain("project_id"),
        Attr::plain("description"),
        Attr::at("model_uuid", "model.uuid", Shape::Plain),
        Attr::at("visibility", "deployment.visibility", Shape::Plain),
        Attr::plain("version_hash"),
        Attr::plain("url"),
        Attr::instant("created_at"),
    ],
    ..PLAIN
};
