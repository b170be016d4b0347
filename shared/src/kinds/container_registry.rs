//! Container registries, up to ten of a team. The name is the id.
//!
//! The one listing that carries a price: the tier's, in cents. Left out, because they change by themselves: how much is
//! stored, and when that was measured.

use super::{Attr, Kind, Listing, PLAIN, Shape};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static CONTAINER_REGISTRY: Kind = Kind {
    name: "container_registry",
    listings: &[Listing::of(Collection::whole("/v2/registries", "registries"))],
    by_id: Some("/v2/registries/{id}"),
    id: "name",
    region_at: Some("region"),
    attrs: &[
        Attr::at("tier", "subscription.tier.slug", Shape::Plain),
        Attr::at(
            "monthly_price_in_cents",
            "subscription.tier.monthly_price_in_cents",
            Shape::Plain,
        ),
        Attr::at(
            "included_storage_bytes",
            "subscription.tier.included_storage_bytes",
            Shape::Plain,
        ),
        Attr::instant("created_at"),
    ],
    reuses_ids: true,
    ..PLAIN
};
