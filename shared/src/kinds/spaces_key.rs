//! Access keys of Spaces. The secret is shown once, to whoever makes one; it is never listed.

use super::{Attr, Kind, Listing, PLAIN};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static SPACES_KEY: Kind = Kind {
    name: "spaces_key",
    listings: &[Listing::of(Collection::numbered("/v2/spaces/keys", "keys"))],
    by_id: Some("/v2/spaces/keys/{id}"),
    id: "access_key",
    attrs: &[
        Attr::set_of("grants", &["bucket", "permission"]),
        Attr::instant("created_at"),
    ],
    ..PLAIN
};
