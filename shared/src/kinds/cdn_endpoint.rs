//! CDN endpoints, each before a Spaces bucket.
//!
//! DigitalOcean allows five requests in ten seconds here; a team has few of them.

use super::{Attr, Kind, Listing, PLAIN};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static CDN_ENDPOINT: Kind = Kind {
    name: "cdn_endpoint",
    listings: &[Listing::of(Collection::numbered(
        "/v2/cdn/endpoints",
        "endpoints",
    ))],
    by_id: Some("/v2/cdn/endpoints/{id}"),
    name_at: &["endpoint"],
    attrs: &[
        Attr::plain("origin"),
        Attr::plain("custom_domain"),
        Attr::plain("certificate_id"),
        Attr::plain("ttl"),
        Attr::instant("created_at"),
    ],
    ..PLAIN
};
