//! SSH keys that new droplets can be given. The key itself is left out: its fingerprint tells it apart.
//!
//! DigitalOcean allows ten requests a minute here.

use super::{Attr, Kind, Listing, PLAIN};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static SSH_KEY: Kind = Kind {
    name: "ssh_key",
    listings: &[Listing::of(Collection::numbered("/v2/account/keys", "ssh_keys"))],
    by_id: Some("/v2/account/keys/{id}"),
    attrs: &[Attr::plain("fingerprint")],
    ..PLAIN
};
