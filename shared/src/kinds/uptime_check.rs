//! Uptime checks. What a check finds is not the mirror's business.

use super::{Attr, Kind, Listing, PLAIN, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static UPTIME_CHECK: Kind = Kind {
    name: "uptime_check",
    listings: &[Listing::of(Collection::numbered("/v2/uptime/checks", "checks"))],
    by_id: Some("/v2/uptime/checks/{id}"),
    status: Status::If {
        at: "enabled",
        yes: "enabled",
        no: "disabled",
    },
    attrs: &[Attr::plain("type"), Attr::plain("target"), Attr::set("regions")],
    ..PLAIN
};
