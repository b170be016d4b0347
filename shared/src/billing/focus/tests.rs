//! The mapping to FOCUS, held against the specification's own rules for the columns that we fill.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::billing::product::classify;

/// Columns that must be there and may not be null.
const MANDATORY: &[&str] = &[
    "BilledCost",
    "ContractedCost",
    "EffectiveCost",
    "ListCost",
    "BillingAccountId",
    "BillingCurrency",
    "BillingPeriodStart",
    "BillingPeriodEnd",
    "ChargeCategory",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "InvoiceIssuerName",
    "ServiceCategory",
    "ServiceName",
];
/// Columns that must be there and may be null.
const NULLABLE: &[&str] = &[
    "BillingAccountName",
    "ChargeClass",
    "ChargeDescription",
    "PricingQuantity",
    "PricingUnit",
];
/// Every category of services that the specification allows.
const CATEGORIES: &[&str] = &[
    "AI and Machine Learning",
    "Analytics",
    "Business Applications",
    "Compute",
    "Databases",
    "Developer Tools",
    "Multicloud",
    "Identity",
    "Integration",
    "Internet of Things",
    "Management and Governance",
    "Media",
    "Migration",
    "Mobile",
    "Networking",
    "Security",
    "Storage",
    "Web",
    "Other",
];

fn charge(product: &str, group: &str, description: &str, amount: &str) -> Charge {
    let amount: Decimal = amount.parse().unwrap();
    let read = classify(product, group, description, amount);
    Charge {
        cloud_invoice_id: Uuid::nil(),
        line_no: 7,
        invoice_uuid: "22737513-0ea7-4206-8ceb-98a575af7681".into(),
        invoice_id: Some("418071234".into()),
        preview: false,
        period: NaiveDate::from_ymd_opt(2026, 4, 1).unwrap(),
        product: product.into(),
        group_description: group.into(),
        description: description.into(),
        hours: Some(720.into()),
        starts_at: "2026-04-01T00:00:00Z".parse().ok(),
        ends_at: "2026-05-01T00:00:00Z".parse().ok(),
        amount,
        project_name: "Web".into(),
        category: "iaas".into(),
        class: read.class.name().into(),
        kind: read.kind.map(str::to_owned),
        resource_name: read.subject.name(),
        provider_resource_id: None,
        match_rule: None,
        matched_kind: None,
        matched_provider_id: None,
        matched_name: None,
        region: None,
        tags: None,
        tenant_id: None,
        matched_project_provider_id: None,
        matched_project_name: None,
        purpose: None,
        account_id: Some("2f9c7a1e".into()),
        account_name: Some("Arcadia Hosting".into()),
    }
}

fn matched(mut charge: Charge) -> Charge {
    charge.matched_kind = Some("droplet".into());
    charge.matched_provider_id = Some("3164444".into());
    charge.matched_name = Some("web-1".into());
    charge.match_rule = Some("resource_id".into());
    charge.region = Some("fra1".into());
    charge.tags = Some(vec!["env:prod".into(), "web".into()]);
    charge.tenant_id = Some("larkspur-bakery".into());
    charge.matched_project_provider_id = Some("4e1b".into());
    charge.matched_project_name = Some("Larkspur Bakery".into());
    charge.purpose = Some("tenant".into());
    charge
}

fn cells(version: Version, charge: &Charge) -> BTreeMap<&'static str, String> {
    let (header, row) = (header(version), row(version, charge));
    assert_eq!(header.len(), row.len());
    header.into_iter().zip(row).collect()
}

fn samples() -> Vec<Charge> {
    let mut all: Vec<Charge> = [
        ("Droplets", "", "web-1 (s-1vcpu-1gb)", "6.00"),
        ("Droplet Backups", "", "web-1 (s-1vcpu-1gb)", "1.20"),
        ("Snapshots", "", "before", "0.30"),
        ("Volumes", "", "data (fra1) 100GB", "10.00"),
        ("Floating IPs", "", "Unused Floating IP - 1.1.1.1", "3.11"),
        (
            "Kubernetes Clusters",
            "prod",
            "3 nodes - 4 GB / 2 vCPU / 80 GB SSD",
            "72.00",
        ),
        ("Database Clusters", "cache", "Valkey 1 GB", "15.00"),
        (
            "Spaces Subscription",
            "",
            "Spaces ($5/mo 250GB storage & 1TB bandwidth)",
            "5.00",
        ),
        (
            "Bandwidth",
            "",
            "Droplet Bandwidth Overage (2825.36GB @ $0.01/GB)",
            "28.25",
        ),
        ("Premium Support", "", "April", "24.00"),
        ("Taxes", "", "GST (10%)", "7.90"),
        ("Credits", "", "promo", "-5.00"),
        ("Adjustments", "", "goodwill", "-1.00"),
        ("Teleporters", "", "kirk", "1.00"),
    ]
    .map(|(product, group, description, amount)| charge(product, group, description, amount))
    .into();
    let mut blank = all[10].clone();
    (blank.hours, blank.starts_at, blank.ends_at, blank.invoice_id) = (None, None, None, None);
    let mut late = all[0].clone();
    late.starts_at = "2026-03-30T00:00:00Z".parse().ok();
    late.ends_at = "2026-03-31T23:59:59Z".parse().ok();
    let mut instant = all[0].clone();
    instant.ends_at = instant.starts_at;
    all.extend([blank, late, instant, matched(all[0].clone())]);
    all
}

#[test]
fn the_specification_s_rules_hold_for_every_sort_of_charge() {
    for version in [Version::V1_2, Version::V1_4] {
        let mut ids = BTreeSet::new();
        for (place, mut charge) in samples().into_iter().enumerate() {
            charge.line_no = i32::try_from(place).unwrap() + 1;
            let cells = cells(version, &charge);
            let at = |name: &str| cells[name].as_str();
            let what = format!("{version:?} {}: {}", charge.product, charge.description);
            for name in MANDATORY {
                assert!(!at(name).is_empty(), "{what}: {name} is null");
            }
            for name in NULLABLE {
                assert!(cells.contains_key(name), "{what}: {name} is missing");
            }
            let providers = match version {
                Version::V1_2 => ["PublisherName", "ProviderName"],
                Version::V1_4 => ["HostProviderName", "ServiceProviderName"],
            };
            assert!(providers.iter().all(|name| at(name) == "DigitalOcean"), "{what}");
            let category = at("ChargeCategory");
            assert!(
                ["Usage", "Purchase", "Tax", "Credit", "Adjustment"].contains(&category),
                "{what}"
            );
            assert!(["", "Correction"].contains(&at("ChargeClass")), "{what}");
            assert!(
                ["One-Time", "Recurring", "Usage-Based"].contains(&at("ChargeFrequency")),
                "{what}"
            );
            assert!(CATEGORIES.contains(&at("ServiceCategory")), "{what}");
            let priced = matches!(category, "Usage" | "Purchase");
            for name in [
                "PricingQuantity",
                "PricingUnit",
                "SkuId",
                "SkuPriceId",
                "SkuMeter",
            ] {
                assert_eq!(!at(name).is_empty(), priced, "{what}: {name}");
            }
            for name in ["ConsumedQuantity", "ConsumedUnit"] {
                assert_eq!(!at(name).is_empty(), category == "Usage", "{what}: {name}");
            }
            assert_eq!(
                at("ChargeFrequency") == "Usage-Based",
                category == "Usage",
                "{what}"
            );
            for (one, other) in [
                ("RegionId", "RegionName"),
                ("ResourceId", "ResourceType"),
                ("SubAccountId", "SubAccountName"),
            ] {
                assert_eq!(
                    at(one).is_empty(),
                    at(other).is_empty(),
                    "{what}: {one} and {other}"
                );
            }
            for pair in ["ChargePeriod", "BillingPeriod"] {
                let time = |end: &str| at(&format!("{pair}{end}")).parse::<DateTime<Utc>>().unwrap();
                assert!(time("Start") < time("End"), "{what}: {pair}");
            }
            for name in ["BilledCost", "ContractedCost", "EffectiveCost", "ListCost"] {
                assert_eq!(
                    at(name).parse::<Decimal>().unwrap(),
                    charge.amount,
                    "{what}: {name}"
                );
            }
            for (name, raw) in [
                ("x_DoProduct", &charge.product),
                ("x_DoDescription", &charge.description),
                ("x_DoGroup", &charge.group_description),
                ("x_DoCategory", &charge.category),
                ("x_DoProjectName", &charge.project_name),
            ] {
                assert_eq!(at(name), raw, "{what}");
            }
            assert!(
                ids.insert(at("x_LineNo").to_owned()),
                "{what}: the line number is there twice"
            );
        }
    }
}

#[test]
fn a_file_that_would_be_too_long_is_cut_between_rows() {
    let samples = samples();
    let (whole, all) = csv(Version::V1_4, &samples, usize::MAX);
    assert_eq!(all, samples.len());
    let text = String::from_utf8(whole).unwrap();
    assert_eq!(text.lines().count(), samples.len() + 1);
    assert!(text.contains("\"{\"\"env:prod\"\":true"), "{text}");
    let (cut, some) = csv(Version::V1_4, &samples, text.len() / 2);
    assert!(some > 1 && some < all, "{some}");
    assert!(text.starts_with(std::str::from_utf8(&cut).unwrap()));
    assert_eq!(csv(Version::V1_4, &samples, 1).1, 1);
}

#[test]
fn editions_differ_in_names_and_in_one_column() {
    let (old, new) = (header(Version::V1_2), header(Version::V1_4));
    let only = |of: &[&str], without: &[&str]| -> Vec<String> {
        of.iter()
            .filter(|name| !without.contains(name))
            .map(|name| (*name).to_owned())
            .collect()
    };
    assert_eq!(only(&old, &new), ["PublisherName", "ProviderName"]);
    assert_eq!(
        only(&new, &old),
        ["HostProviderName", "InvoiceDetailId", "ServiceProviderName"]
    );
    for names in [old, new] {
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        let split = names.iter().position(|name| name.starts_with("x_")).unwrap();
        assert!(
            names.iter().skip(split).all(|name| name.starts_with("x_")),
            "our own columns come last"
        );
    }
}

#[test]
fn a_charge_says_what_it_is() {
    let samples = samples();
    let at = |place: usize, name: &str| cells(Version::V1_4, &samples[place])[name].clone();
    assert_eq!(at(0, "SkuId"), "droplets/s-1vcpu-1gb");
    assert_eq!(at(0, "SkuPriceDetails"), "{\"x_Size\":\"s-1vcpu-1gb\"}");
    assert_eq!(
        (at(0, "PricingQuantity"), at(0, "PricingUnit")),
        ("720".into(), "Hours".into())
    );
    assert_eq!(at(0, "ChargeDescription"), "web-1 (s-1vcpu-1gb)");
    assert_eq!(
        at(5, "ChargeDescription"),
        "prod: 3 nodes - 4 GB / 2 vCPU / 80 GB SSD"
    );
    assert_eq!(at(6, "ServiceSubcategory"), "Caching");
    assert_eq!(
        (at(7, "ChargeCategory"), at(9, "ChargeCategory")),
        ("Purchase".into(), "Purchase".into())
    );
    assert_eq!(
        (at(11, "ChargeCategory"), at(12, "ChargeCategory")),
        ("Credit".into(), "Adjustment".into())
    );
    assert_eq!(at(13, "ServiceName"), "Teleporters");
    let blank = 14;
    assert_eq!(
        (at(blank, "ChargePeriodStart"), at(blank, "ChargePeriodEnd")),
        ("2026-04-01T00:00:00Z".into(), "2026-05-01T00:00:00Z".into())
    );
    assert_eq!(at(blank, "InvoiceId"), "22737513-0ea7-4206-8ceb-98a575af7681");
    let late = 15;
    assert_eq!(
        (at(late, "ChargeClass"), at(late, "ChargePeriodEnd")),
        ("Correction".into(), "2026-04-01T00:00:00Z".into())
    );
    let matched = 17;
    for (name, value) in [
        ("ResourceId", "do:droplet:3164444"),
        ("ResourceName", "web-1"),
        ("ResourceType", "droplet"),
        ("RegionId", "fra1"),
        ("RegionName", "Frankfurt 1"),
        ("SubAccountId", "4e1b"),
        ("SubAccountName", "Larkspur Bakery"),
        ("Tags", "{\"env:prod\":true,\"web\":true}"),
        ("x_TenantId", "larkspur-bakery"),
        ("x_MatchRule", "resource_id"),
        ("InvoiceDetailId", "22737513-0ea7-4206-8ceb-98a575af7681:7"),
        ("InvoiceId", "418071234"),
    ] {
        assert_eq!(at(matched, name), value, "{name}");
    }
}
