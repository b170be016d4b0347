//! Apps of the App Platform.
//!
//! The specification holds environment variables with secrets in them: of it only names, sizes and numbers of instances are
//! kept. The status is that of the deployment in service; what is being deployed changes by itself and is left out.

use super::{Attr, Kind, Listing, PLAIN, Shape, Status};
use crate::digitalocean::listing::Collection;

/// What a component costs by.
const INSTANCES: &[&str] = &["name", "instance_size_slug", "instance_count"];

/// The kind.
pub static APP: Kind = Kind {
    name: "app",
    urn_types: &["app"],
    listings: &[Listing::of(Collection::chosen(
        "/v2/apps",
        &[("with_projects", "true")],
        "apps",
    ))],
    by_id: Some("/v2/apps/{id}"),
    name_at: &["spec.name"],
    region_at: Some("region.slug"),
    status: Status::At("active_deployment.phase"),
    attrs: &[
        Attr::plain("project_id"),
        Attr::plain("tier_slug"),
        Attr::plain("default_ingress"),
        Attr::plain("live_url"),
        Attr::plain("live_domain"),
        Attr::at("active_deployment_id", "active_deployment.id", Shape::Plain),
        Attr::at(
            "domains",
            "spec.domains",
            Shape::SetOf(&["domain", "type", "zone"]),
        ),
        Attr::at("services", "spec.services", Shape::SetOf(INSTANCES)),
        Attr::at("workers", "spec.workers", Shape::SetOf(INSTANCES)),
        Attr::at("jobs", "spec.jobs", Shape::SetOf(INSTANCES)),
        Attr::at("static_sites", "spec.static_sites", Shape::SetOf(&["name"])),
        Attr::at(
            "databases",
            "spec.databases",
            Shape::SetOf(&["name", "engine", "cluster_name", "production"]),
        ),
        Attr::instant("created_at"),
    ],
    in_projects: true,
    ..PLAIN
};
