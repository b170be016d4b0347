//! What each thing of the account costs in a month.
//!
//! Droplets, volumes, clusters and the rest become lines as DO words them: a monthly price over 672 hours, never
//! more than the month's, from the hour a thing was made. Called when an invoice is made of what the account
//! holds. It refuses to be the price list of anybody: prices stand in the fixture.

use std::{collections::BTreeMap, sync::Arc};

use chrono::DateTime;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Rules, money::Money};
use crate::{collection::Item, world::World};

/// One line of an invoice.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Line {
    pub product: String,
    pub group: String,
    pub description: String,
    pub hours: Option<i64>,
    /// Seconds since the epoch.
    #[serde(deserialize_with = "instant")]
    pub start: Option<i64>,
    #[serde(deserialize_with = "instant")]
    pub end: Option<i64>,
    pub amount: Money,
    pub project: String,
    pub category: String,
    pub resource_id: Option<String>,
    pub resource_uuid: Option<String>,
}

/// `2025-10-01T00:00:00Z`, or nothing.
pub fn instant<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| seconds(&text).ok_or_else(|| serde::de::Error::custom(format!("{text} is no instant"))))
        .transpose()
}

pub fn seconds(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp())
}

/// What an invoice is about: a part of a month.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The month's first instant, and the next one's.
    pub month: (i64, i64),
    pub from: i64,
    pub to: i64,
}

/// What the account held when it was laid out.
#[derive(Debug, Default)]
pub struct Estate {
    items: BTreeMap<String, Vec<Arc<Item>>>,
    /// URN -> name of its project.
    projects: BTreeMap<String, String>,
}

impl Estate {
    pub fn of(world: &World) -> Self {
        let items = world.collections().iter().map(|collection| {
            let all: Vec<Arc<Item>> = collection.all().cloned().collect();
            (collection.kind.name.clone(), all)
        });
        let mut names = BTreeMap::new();
        for project in world.items("projects") {
            let member = |key: &str| project.get(key).and_then(Value::as_str);
            if let (Some(id), Some(name)) = (member("id"), member("name")) {
                names.insert(id.to_owned(), name.to_owned());
            }
        }
        let projects = world
            .members()
            .into_iter()
            .filter_map(|(urn, id)| Some((urn, names.get(&id)?.clone())));
        Self {
            items: items.collect(),
            projects: projects.collect(),
        }
    }

    fn all(&self, collection: &str) -> impl Iterator<Item = Map<String, Value>> {
        self.items
            .get(collection)
            .into_iter()
            .flatten()
            .map(|item| item.object())
    }

    /// Id, name and project of every droplet.
    pub fn droplets(&self) -> Vec<(String, String, String)> {
        let droplets = self.all("droplets").map(|droplet| {
            let id = text(&droplet, "id");
            let project = self.project(&format!("do:droplet:{id}"));
            (id, text(&droplet, "name"), project)
        });
        droplets.collect()
    }

    fn project(&self, urn: &str) -> String {
        self.projects.get(urn).cloned().unwrap_or_default()
    }
}

fn text(item: &Map<String, Value>, pointer: &str) -> String {
    let mut value = item.get(pointer.split('/').next().unwrap_or(pointer));
    for key in pointer.split('/').skip(1) {
        value = value.and_then(|value| value.get(key));
    }
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn number(item: &Map<String, Value>, field: &str) -> i64 {
    item.get(field).and_then(Value::as_i64).unwrap_or(0)
}

/// Dollars that an item states as a number (a plan's price), or gigabytes with decimals.
fn decimal(item: &Map<String, Value>, pointer: &str) -> Money {
    Money::parse(&text(item, pointer)).unwrap_or_default()
}

struct Writer<'a> {
    span: Span,
    lines: &'a mut Vec<Line>,
}

impl Writer<'_> {
    /// A line for something that cost this a month from `created_at` on, if it was there in the span.
    fn charge(&mut self, mut line: Line, price: Money, life: (i64, i64), whole_days: bool) {
        let (from, to) = (life.0.max(self.span.from), life.1.min(self.span.to));
        if from >= to || price == Money(0) {
            return;
        }
        let first = life.0.max(self.span.month.0);
        // Hours since the month began for it; a month is never dearer than its price.
        let hours = |until: i64| {
            (until - first).max(0).div_euclid(3600) + i64::from((until - first).rem_euclid(3600) > 0)
        };
        let due = |hours: i64| price.share(hours.min(672), 672);
        let (before, after) = (hours(from), hours(to));
        line.amount = (due(after) - due(before)).cents();
        line.hours = Some(after - before);
        line.start = Some(from);
        line.end = Some(if whole_days && to == self.span.month.1 {
            to - 1
        } else {
            to
        });
        if line.category.is_empty() {
            line.category = "iaas".to_owned();
        }
        self.lines.push(line);
    }
}

fn life(item: &Map<String, Value>) -> (i64, i64) {
    (seconds(&text(item, "created_at")).unwrap_or(0), i64::MAX)
}

/// The lines of everything there is, kind by kind.
pub fn of_estate(estate: &Estate, rules: &Rules, span: Span, old_names: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut writer = Writer {
        span,
        lines: &mut lines,
    };
    let old = |old: &str, new: &str| (if old_names { old } else { new }).to_owned();
    let prices = &rules.prices;
    for item in estate.all("droplets") {
        let tags = text(&item, "tags");
        // A cluster's workers are billed with the cluster.
        if tags.contains("\"k8s:worker\"") {
            continue;
        }
        let (id, price) = (text(&item, "id"), decimal(&item, "size/price_monthly"));
        let line = Line {
            product: "Droplets".to_owned(),
            description: format!("{} ({})", text(&item, "name"), text(&item, "size_slug")),
            project: estate.project(&format!("do:droplet:{id}")),
            resource_id: Some(id),
            ..Line::default()
        };
        writer.charge(line.clone(), price, life(&item), false);
        if text(&item, "features").contains("\"backups\"") {
            let at = writer.lines.len();
            let product = old("Backups", "Droplet Backups");
            writer.charge(
                Line { product, ..line },
                price.share(prices.backup_percent, 100),
                life(&item),
                false,
            );
            for line in writer.lines.iter_mut().skip(at) {
                line.hours = None;
            }
        }
    }
    for item in estate.all("volumes") {
        let (id, gigabytes) = (text(&item, "id"), number(&item, "size_gigabytes"));
        let line = Line {
            product: "Volumes".to_owned(),
            description: format!(
                "{} ({}) {gigabytes}GB",
                text(&item, "name"),
                text(&item, "region/slug")
            ),
            project: estate.project(&format!("do:volume:{id}")),
            resource_id: Some(id.clone()),
            resource_uuid: Some(id),
            ..Line::default()
        };
        writer.charge(line, prices.volume_gb.share(gigabytes, 1), life(&item), true);
    }
    for item in estate.all("snapshots") {
        let of_volume = text(&item, "resource_type") == "volume";
        let product = if of_volume {
            "Volume Snapshots".to_owned()
        } else {
            old("Snapshots", "Droplet Snapshots")
        };
        let line = Line {
            product,
            description: text(&item, "name"),
            resource_id: Some(text(&item, "id")),
            ..Line::default()
        };
        let gigabytes = decimal(&item, "size_gigabytes");
        writer.charge(
            line,
            prices.snapshot_gb.share(gigabytes.0, 10_000),
            life(&item),
            true,
        );
    }
    for item in estate
        .all("reserved_ips")
        .filter(|item| text(item, "droplet").is_empty())
    {
        let ip = text(&item, "ip");
        let line = Line {
            product: old("Floating IPs", "Reserved IPs"),
            description: format!("Unused Floating IP - {ip}"),
            project: estate.project(&format!("do:floatingip:{ip}")),
            ..Line::default()
        };
        writer.charge(line, prices.address, (0, i64::MAX), false);
    }
    for item in estate.all("load_balancers") {
        let (id, units) = (text(&item, "id"), number(&item, "size_unit").max(1));
        let line = Line {
            product: "Load Balancers".to_owned(),
            description: text(&item, "name"),
            project: estate.project(&format!("do:loadbalancer:{id}")),
            resource_id: Some(id.clone()),
            resource_uuid: Some(id),
            ..Line::default()
        };
        writer.charge(line, prices.balancer.share(units, 1), life(&item), false);
    }
    clusters(estate, rules, &mut writer);
    databases(estate, rules, &mut writer, old_names);
    platform(estate, rules, &mut writer);
    lines
}

/// Nodes by pool, and the control plane under a name that says nothing.
fn clusters(estate: &Estate, rules: &Rules, writer: &mut Writer<'_>) {
    for cluster in estate.all("kubernetes/clusters") {
        let id = text(&cluster, "id");
        let line = Line {
            product: "Kubernetes Clusters".to_owned(),
            group: text(&cluster, "name"),
            project: estate.project(&format!("do:kubernetes:{id}")),
            resource_uuid: Some(id.clone()),
            ..Line::default()
        };
        let pools = estate
            .all("kubernetes/clusters/node_pools")
            .filter(|pool| text(pool, "cluster") == id);
        for pool in pools {
            let (nodes, size) = (number(&pool, "count"), text(&pool, "size"));
            let Some((words, price)) = rules.prices.nodes.get(&size) else {
                continue;
            };
            let description = format!("{nodes} nodes - {words}");
            writer.charge(
                Line {
                    description,
                    ..line.clone()
                },
                price.share(nodes, 1),
                life(&cluster),
                false,
            );
        }
        if text(&cluster, "ha") == "true" {
            let description = id.replace('-', "");
            writer.charge(
                Line { description, ..line },
                rules.prices.control_plane,
                life(&cluster),
                false,
            );
        }
    }
}

/// Nodes, standbys and replicas, each its line under the database's name.
fn databases(estate: &Estate, rules: &Rules, writer: &mut Writer<'_>, old_names: bool) {
    let product = if old_names {
        "Databases"
    } else {
        "Database Clusters"
    };
    for database in estate.all("databases") {
        let (id, size) = (text(&database, "id"), text(&database, "size"));
        let price = rules.prices.sizes.get(&size).copied().unwrap_or_default();
        let line = Line {
            product: product.to_owned(),
            group: text(&database, "name"),
            description: size,
            project: estate.project(&format!("do:dbaas:{id}")),
            resource_id: Some(id.clone()),
            resource_uuid: Some(id.clone()),
            category: "paas".to_owned(),
            ..Line::default()
        };
        writer.charge(line.clone(), price, life(&database), false);
        let standbys = number(&database, "num_nodes") - 1;
        if standbys > 0 {
            let description = format!("{standbys} standby nodes - {}", line.description);
            writer.charge(
                Line {
                    description,
                    ..line.clone()
                },
                price.share(standbys, 1),
                life(&database),
                false,
            );
        }
        for replica in estate
            .all("databases/replicas")
            .filter(|replica| text(replica, "database") == id)
        {
            let description = format!("{} ({})", text(&replica, "name"), text(&replica, "size"));
            let price = rules
                .prices
                .sizes
                .get(&text(&replica, "size"))
                .copied()
                .unwrap_or_default();
            writer.charge(
                Line {
                    description,
                    ..line.clone()
                },
                price,
                life(&replica),
                false,
            );
        }
    }
}

/// Apps, registries, NAT gateways, add-ons, buckets.
fn platform(estate: &Estate, rules: &Rules, writer: &mut Writer<'_>) {
    let paas = || "paas".to_owned();
    for app in estate.all("apps") {
        let id = text(&app, "id");
        let services = app
            .get("spec")
            .and_then(|spec| spec.get("services"))
            .and_then(Value::as_array);
        for service in services.into_iter().flatten().filter_map(Value::as_object) {
            let size = text(service, "instance_size_slug");
            let price = rules.prices.sizes.get(&size).copied().unwrap_or_default();
            let line = Line {
                product: "App Platform".to_owned(),
                group: text(&app, "spec/name"),
                description: format!("{} ({size})", text(service, "name")),
                project: estate.project(&format!("do:app:{id}")),
                resource_uuid: Some(id.clone()),
                category: paas(),
                ..Line::default()
            };
            writer.charge(
                line,
                price.share(number(service, "instance_count").max(1), 1),
                life(&app),
                false,
            );
        }
    }
    for registry in estate.all("registries") {
        let line = Line {
            product: "Container Registry".to_owned(),
            description: format!(
                "Container Registry ({})",
                text(&registry, "subscription/tier/slug")
            ),
            category: paas(),
            ..Line::default()
        };
        let cents = Money::parse(&text(&registry, "subscription/tier/monthly_price_in_cents"));
        writer.charge(
            line,
            cents.unwrap_or_default().share(1, 100),
            life(&registry),
            false,
        );
    }
    for gateway in estate.all("vpc_nat_gateways") {
        let line = Line {
            product: "NAT Gateways".to_owned(),
            description: text(&gateway, "name"),
            resource_id: Some(text(&gateway, "id")),
            ..Line::default()
        };
        writer.charge(line, rules.prices.nat_gateway, life(&gateway), false);
    }
    for (urn, project) in estate
        .projects
        .iter()
        .filter(|(urn, _)| urn.starts_with("do:space:"))
    {
        let line = Line {
            product: "Spaces".to_owned(),
            description: urn.trim_start_matches("do:space:").to_owned(),
            project: project.clone(),
            ..Line::default()
        };
        writer.charge(line, rules.prices.bucket, (0, i64::MAX), true);
    }
}

/// Something that was there once: billed as long as it lived.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gone {
    product: String,
    description: String,
    #[serde(default)]
    project: String,
    resource_id: String,
    price: Money,
    from: String,
    to: String,
}

/// The lines of what was there once.
pub fn of_the_past(rules: &Rules, span: Span) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut writer = Writer {
        span,
        lines: &mut lines,
    };
    for gone in &rules.gone {
        let line = Line {
            product: gone.product.clone(),
            description: gone.description.clone(),
            project: gone.project.clone(),
            resource_id: Some(gone.resource_id.clone()),
            ..Line::default()
        };
        if let (Some(from), Some(to)) = (seconds(&gone.from), seconds(&gone.to)) {
            writer.charge(line, gone.price, (from, to), false);
        }
    }
    lines
}
