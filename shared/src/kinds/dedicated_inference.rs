//! Dedicated inference endpoints: GPUs by the hour.
//!
//! Left out: `updated_at`, and the specification that is being rolled out.

use super::{Attr, Kind, Listing, PLAIN, Shape, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static DEDICATED_INFERENCE: Kind = Kind {
    name: "dedicated_inference",
    listings: &[Listing::of(Collection::numbered(
        "/v2/dedicated-inferences",
        "dedicated_inferences",
    ))],
    by_id: Some("/v2/dedicated-inferences/{id}"),
    name_at: &["spec.name", "name"],
    region_at: Some("region"),
    status: Status::At("status"),
    attrs: &[
        Attr::plain("vpc_uuid"),
        Attr::only("endpoints", &["public_endpoint_fqdn", "private_endpoint_fqdn"]),
        Attr::at(
            "model_deployments",
            "spec.model_deployments",
            Shape::SetOf(&["model_id", "model_slug", "accelerators"]),
        ),
        Attr::instant("created_at"),
    ],
    ..PLAIN
};
