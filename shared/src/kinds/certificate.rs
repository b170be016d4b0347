//! TLS certificates. One of Let's Encrypt changes its end and its fingerprint with every renewal: one event each.

use super::{Attr, Kind, Listing, PLAIN, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static CERTIFICATE: Kind = Kind {
    name: "certificate",
    listings: &[Listing::of(Collection::numbered(
        "/v2/certificates",
        "certificates",
    ))],
    by_id: Some("/v2/certificates/{id}"),
    status: Status::At("state"),
    attrs: &[
        Attr::plain("type"),
        Attr::set("dns_names"),
        Attr::plain("sha1_fingerprint"),
        Attr::instant("not_after"),
        Attr::instant("created_at"),
    ],
    ..PLAIN
};
