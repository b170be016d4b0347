//! Read replicas of managed databases, each listed under its cluster and billed apart from it.
//!
//! A replica without an id of its own goes by its cluster's and its name. Connections hold passwords and are left out.
//! Caches have no replicas, and DigitalOcean refuses the question.

use super::{Attr, Holds, Kind, Listing, PLAIN, Parent, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static DB_REPLICA: Kind = Kind {
    name: "db_replica",
    listings: &[Listing {
        collection: Collection::whole("/v2/databases", "databases"),
        holds: Holds::Under {
            path: "/v2/databases/{parent}/replicas",
            root: "replicas",
            except: Some(("engine", &["redis", "valkey"])),
        },
    }],
    by_id: Some("/v2/databases/{parent}/replicas/{name}"),
    region_at: Some("region"),
    status: Status::At("status"),
    tags_at: Some("tags"),
    parents: &[Parent::Outer { kind: "managed_db" }],
    attrs: &[
        Attr::plain("size"),
        Attr::plain("storage_size_mib"),
        Attr::plain("private_network_uuid"),
        Attr::instant("created_at"),
    ],
    ..PLAIN
};
