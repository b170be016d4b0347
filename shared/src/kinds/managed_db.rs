//! Managed databases: clusters of Postgres, MySQL, Valkey, Kafka, OpenSearch or MongoDB.
//!
//! The list comes whole and holds passwords: connections and users are on no allow-list. Left out, because they change by
//! themselves: what maintenance is pending, ends of life, metrics endpoints, the exact version.

use super::{Attr, Kind, Listing, PLAIN, Shape, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static MANAGED_DB: Kind = Kind {
    name: "managed_db",
    urn_types: &["dbaas"],
    listings: &[Listing::of(Collection::whole("/v2/databases", "databases"))],
    by_id: Some("/v2/databases/{id}"),
    region_at: Some("region"),
    status: Status::At("status"),
    tags_at: Some("tags"),
    attrs: &[
        Attr::plain("project_id"),
        Attr::plain("engine"),
        Attr::plain("version"),
        Attr::plain("size"),
        Attr::plain("num_nodes"),
        Attr::plain("storage_size_mib"),
        Attr::set("db_names"),
        Attr::plain("private_network_uuid"),
        Attr::at("host", "connection.host", Shape::Plain),
        Attr::at("port", "connection.port", Shape::Plain),
        Attr::only("maintenance_window", &["day", "hour"]),
        Attr::instant("created_at"),
    ],
    in_projects: true,
    ..PLAIN
};
