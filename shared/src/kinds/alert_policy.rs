//! Alert policies of monitoring.
//!
//! Webhooks and addresses are left out: they are secrets, or somebody's. The links of this listing are malformed, so only
//! its total counts.

use super::{Attr, Kind, Listing, PLAIN, Shape, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static ALERT_POLICY: Kind = Kind {
    name: "alert_policy",
    listings: &[Listing::of(Collection::counted(
        "/v2/monitoring/alerts",
        "policies",
        "meta.total",
    ))],
    by_id: Some("/v2/monitoring/alerts/{id}"),
    id: "uuid",
    name_at: &["description"],
    status: Status::If {
        at: "enabled",
        yes: "enabled",
        no: "disabled",
    },
    attrs: &[
        Attr::plain("type"),
        Attr::plain("compare"),
        Attr::plain("value"),
        Attr::plain("window"),
        Attr::set("entities"),
        Attr::at("target_tags", "tags", Shape::Set),
    ],
    ..PLAIN
};
