//! NFS shares. The list comes whole.

use super::{Attr, Kind, Listing, PLAIN, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static NFS_SHARE: Kind = Kind {
    name: "nfs_share",
    listings: &[Listing::of(Collection::whole("/v2/nfs", "shares"))],
    by_id: Some("/v2/nfs/{id}"),
    region_at: Some("region"),
    status: Status::At("status"),
    attrs: &[
        Attr::plain("size_gib"),
        Attr::plain("performance_tier"),
        Attr::set("vpc_ids"),
        Attr::plain("host"),
        Attr::plain("mount_path"),
        Attr::instant("created_at"),
    ],
    ..PLAIN
};
