//! Add-ons of the marketplace, billed with DigitalOcean's own invoice. The list comes whole.
//!
//! Its metadata and its sign-on link may hold secrets and are left out.

use super::{Attr, Kind, Listing, PLAIN, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static ADDON: Kind = Kind {
    name: "addon",
    listings: &[Listing::of(Collection::whole("/v2/add-ons/saas", "resources"))],
    by_id: Some("/v2/add-ons/saas/{id}"),
    id: "uuid",
    status: Status::At("state"),
    attrs: &[
        Attr::plain("app_slug"),
        Attr::plain("app_name"),
        Attr::plain("plan_slug"),
        Attr::plain("plan_name"),
        Attr::plain("plan_price_per_month"),
    ],
    ..PLAIN
};
