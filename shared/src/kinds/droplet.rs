//! Droplets: virtual machines, those with GPUs included.
//!
//! DigitalOcean: `/v2/droplets` leaves GPU droplets out without saying so; they come with `type=gpus` only.
//! Kubernetes workers (they belong to their cluster, which a tag names) and members of autoscale pools are
//! ordinary droplets here. Left out, because they
//! change by themselves: the next backup window, `locked`, ids of backups and snapshots (kinds of their
//! own), everything of the image but its identity, everything of region and size but their slugs.

use super::{Attr, Kind, Listing, PLAIN, Parent, Shape, Status};
use crate::digitalocean::listing::Collection;

/// The kind.
pub static DROPLET: Kind = Kind {
    name: "droplet",
    urn_types: &["droplet"],
    listings: &[
        Listing::of(Collection::numbered("/v2/droplets", "droplets")),
        Listing::of(Collection::chosen(
            "/v2/droplets",
            &[("type", "gpus")],
            "droplets",
        )),
    ],
    by_id: Some("/v2/droplets/{id}"),
    region_at: Some("region.slug"),
    status: Status::At("status"),
    tags_at: Some("tags"),
    parents: &[Parent::Tag {
        kind: "k8s_cluster",
        prefix: "k8s:",
    }],
    attrs: &[
        Attr::plain("size_slug"),
        Attr::plain("memory"),
        Attr::plain("vcpus"),
        Attr::plain("disk"),
        Attr::at("disk_info", "disk_info", Shape::SetOf(&["type", "size"])),
        Attr::at("gpu_info", "gpu_info", Shape::Plain),
        Attr::at("image_id", "image.id", Shape::Plain),
        Attr::at("image_slug", "image.slug", Shape::Plain),
        Attr::at("features", "features", Shape::Set),
        Attr::at("volume_ids", "volume_ids", Shape::Set),
        Attr::at(
            "networks_v4",
            "networks.v4",
            Shape::SetOf(&["ip_address", "type"]),
        ),
        Attr::at(
            "networks_v6",
            "networks.v6",
            Shape::SetOf(&["ip_address", "type"]),
        ),
        Attr::plain("vpc_uuid"),
        Attr::at("created_at", "created_at", Shape::Instant),
    ],
    in_projects: true,
    ..PLAIN
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Sighting;

    /// A droplet in the official shape, with values of our own.
    const ITEM: &str = r#"{
        "id": 3164444, "name": "web-1.bakery.example", "memory": 1024, "vcpus": 1, "disk": 25,
        "disk_info": [{"type": "local", "size": {"amount": 25, "unit": "gib"}}],
        "locked": false, "status": "active", "kernel": null, "created_at": "2024-03-05T09:11:02Z",
        "features": ["droplet_agent", "backups", "ipv6"], "backup_ids": [53893572], "snapshot_ids": [67512819],
        "next_backup_window": {"start": "2026-11-21T00:00:00Z", "end": "2026-11-21T23:00:00Z"},
        "image": {"id": 63663980, "name": "24.04 (LTS) x64", "slug": "ubuntu-24-04-x64", "regions": ["ams3"], "tags": []},
        "volume_ids": ["b", "a"],
        "size": {"slug": "s-1vcpu-1gb", "price_monthly": 6.0, "price_hourly": 0.00893, "regions": ["ams3"]},
        "size_slug": "s-1vcpu-1gb",
        "networks": {"v4": [{"ip_address": "104.131.186.241", "netmask": "255.255.240.0", "gateway": "104.131.176.1", "type": "public"},
                            {"ip_address": "10.128.192.124", "netmask": "255.255.0.0", "gateway": "nil", "type": "private"}],
                     "v6": []},
        "region": {"slug": "nyc3", "name": "New York 3", "features": ["backups"], "available": true},
        "tags": ["web", "env:prod", "web"], "vpc_uuid": "760e09ef-dc84-11e8-981e-3cfdfeaae000"
    }"#;

    #[test]
    fn reads_what_is_kept_and_drops_the_rest() {
        let sighting = Sighting::read(&DROPLET, ITEM).unwrap();
        assert_eq!(sighting.provider_id, "3164444");
        assert_eq!(sighting.name.as_deref(), Some("web-1.bakery.example"));
        assert_eq!(sighting.region, Some(Some("nyc3".to_owned())));
        assert_eq!(sighting.status.as_deref(), Some("active"));
        assert_eq!(
            sighting.tags.as_deref(),
            Some(["env:prod".to_owned(), "web".to_owned()].as_slice())
        );
        let attrs: serde_json::Map<_, _> = sighting
            .attrs
            .values()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        let attrs = serde_json::Value::Object(attrs);
        assert_eq!(attrs["volume_ids"], serde_json::json!(["a", "b"]));
        assert_eq!(attrs["image_slug"], "ubuntu-24-04-x64");
        for volatile in [
            "next_backup_window",
            "locked",
            "backup_ids",
            "snapshot_ids",
            "size",
            "region",
            "kernel",
        ] {
            assert!(attrs.get(volatile).is_none(), "{volatile} is kept");
        }
        assert!(
            !attrs.to_string().contains("nil"),
            "a network's junk gateway is kept"
        );
    }

    #[test]
    fn what_changes_by_itself_changes_nothing() {
        let before = Sighting::read(&DROPLET, ITEM).unwrap();
        for (from, to) in [
            (r#""locked": false"#, r#""locked": true"#),
            (r#""backup_ids": [53893572]"#, r#""backup_ids": [1, 2, 3]"#),
            (
                r#""start": "2026-11-21T00:00:00Z""#,
                r#""start": "2026-11-28T00:00:00Z""#,
            ),
            (
                r#""price_hourly": 0.00893"#,
                r#""price_hourly": 0.00892999984115362"#,
            ),
            (r#""regions": ["ams3"]"#, r#""regions": ["nyc1"]"#),
            (r#""volume_ids": ["b", "a"]"#, r#""volume_ids": ["a", "b"]"#),
            (
                r#"["droplet_agent", "backups", "ipv6"]"#,
                r#"["ipv6", "backups", "droplet_agent"]"#,
            ),
            (
                r#""tags": ["web", "env:prod", "web"]"#,
                r#""tags": ["env:prod", "web"]"#,
            ),
            (r#""memory": 1024"#, r#""memory": 1024.0"#),
            (r#""2024-03-05T09:11:02Z""#, r#""2024-03-05T10:11:02.000+01:00""#),
        ] {
            assert!(ITEM.contains(from), "{from}");
            let after = Sighting::read(&DROPLET, &ITEM.replace(from, to)).unwrap();
            assert_eq!(before.hash, after.hash, "{from} -> {to}");
        }
        let renamed = Sighting::read(&DROPLET, &ITEM.replace("web-1.bakery", "web-2.bakery")).unwrap();
        assert_ne!(before.hash, renamed.hash);
    }
}
