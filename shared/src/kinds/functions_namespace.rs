//! Namespaces of Functions. The list comes whole, and holds each one's key, which is left out.
//!
//! Paths take `fn-` and the UUID; the UUID is the id.

use super::{Attr, Kind, Listing, PLAIN};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static FUNCTIONS_NAMESPACE: Kind = Kind {
    name: "functions_namespace",
    listings: &[Listing::of(Collection::whole(
        "/v2/functions/namespaces",
        "namespaces",
    ))],
    by_id: Some("/v2/functions/namespaces/fn-{id}"),
    id: "uuid",
    name_at: &["label", "namespace"],
    region_at: Some("region"),
    attrs: &[
        Attr::plain("namespace"),
        Attr::plain("api_host"),
        Attr::instant("created_at"),
    ],
    ..PLAIN
};
