//! Vector databases. The item names its project; how many there are stands beside the list.
//!
//! Left out: `updated_at`.

use super::{Attr, Kind, Listing, PLAIN, Shape, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static VECTOR_DB: Kind = Kind {
    name: "vector_db",
    listings: &[Listing::of(Collection::counted(
        "/v2/vector-databases",
        "vector_dbs",
        "total",
    ))],
    by_id: Some("/v2/vector-databases/{id}"),
    region_at: Some("region"),
    status: Status::At("status"),
    tags_at: Some("tags"),
    attrs: &[
        Attr::plain("project_id"),
        Attr::plain("size"),
        Attr::at("weaviate_version", "config.weaviate_version", Shape::Plain),
        Attr::only("endpoints", &["http", "grpc"]),
        Attr::plain("forked_from_id"),
        Attr::instant("created_at"),
    ],
    ..PLAIN
};
