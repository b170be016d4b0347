//! Autoscale pools of droplets. Their members are ordinary droplets besides.
//!
//! The droplet template names the project; its user data may hold secrets and is left out, and so is what changes by itself:
//! utilisation, the number of members, `updated_at`.

use super::{Attr, Kind, Listing, PLAIN, Shape, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static AUTOSCALE_POOL: Kind = Kind {
    name: "autoscale_pool",
    listings: &[Listing::of(Collection::numbered(
        "/v2/droplets/autoscale",
        "autoscale_pools",
    ))],
    by_id: Some("/v2/droplets/autoscale/{id}"),
    region_at: Some("droplet_template.region"),
    status: Status::At("status"),
    attrs: &[
        Attr::at("project_id", "droplet_template.project_id", Shape::Plain),
        Attr::at("size_slug", "droplet_template.size", Shape::Plain),
        Attr::at("image", "droplet_template.image", Shape::Plain),
        Attr::at("vpc_uuid", "droplet_template.vpc_uuid", Shape::Plain),
        Attr::at("target_tags", "droplet_template.tags", Shape::Set),
        Attr::plain("config"),
        Attr::instant("created_at"),
    ],
    ..PLAIN
};
