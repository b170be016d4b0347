//! DNS zones. The name is the id.
//!
//! Free, and listed because they are what tenants call theirs. A zone outside every project stays unattributed until an
//! operator says whose it is: there is no last resort for it. Left out: the zone file, whose serial is a clock.

use super::{Attr, Kind, Listing, PLAIN};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static DNS_ZONE: Kind = Kind {
    name: "dns_zone",
    urn_types: &["domain"],
    listings: &[Listing::of(Collection::numbered("/v2/domains", "domains"))],
    by_id: Some("/v2/domains/{id}"),
    id: "name",
    attrs: &[Attr::plain("ttl")],
    reuses_ids: true,
    ..PLAIN
};
