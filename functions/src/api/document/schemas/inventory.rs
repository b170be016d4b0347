//! Resources, their events and numbers, and projects, as callers see them.
//!
//! The fields are those that `shared::inventory::read` serialises, in that order. Made once, for the document.

use serde_json::{Value, json};
use shared::inventory::read::ATTRIBUTIONS;
use shared::inventory::read::history::EVENT_TYPES;
use shared::inventory::read::projects::PURPOSES;

use super::{
    PROJECT, RESOURCE, count, day_or_null, decimal_or_null, extended, id, id_or_null, list_of, moment,
    moment_or_null, number_or_null, object, one_of, optional, reference, text, text_or_null, version,
};

pub(super) fn resource() -> Value {
    let attrs = json!({ "type": ["object", "null"] });
    optional(
        object(
            "A thing in the account, as the mirror has it.",
            vec![
                ("id", id(), "Ours; ordered by discovery.", json!(RESOURCE)),
                ("kind", text(), "What it is.", json!("droplet")),
                ("provider", text(), "Whose it is.", json!("digitalocean")),
                ("provider_id", text(), "The provider's id.", json!("486200148")),
                (
                    "urn",
                    text(),
                    "The provider's URN, for kinds that have one.",
                    json!("do:droplet:486200148"),
                ),
                ("name", text(), "Its name.", json!("larkspur-web-1")),
                (
                    "region",
                    text_or_null(),
                    "Null: global, or not said.",
                    json!("fra1"),
                ),
                ("status", text(), "The provider's word.", json!("active")),
                ("tags", list_of(text()), "Sorted.", json!(["env:prod", "web"])),
                (
                    "attrs",
                    attrs,
                    "Kept fields of its kind; null where they are longer than 1 MiB.",
                    json!({ "size_slug": "s-2vcpu-4gb", "vcpus": 2 }),
                ),
                (
                    "project_id",
                    id_or_null(),
                    "The project that it belongs to for us.",
                    json!(PROJECT),
                ),
                (
                    "tenant_id",
                    text_or_null(),
                    "The tenant that it belongs to.",
                    json!("larkspur-bakery"),
                ),
                (
                    "attribution",
                    one_of(&ATTRIBUTIONS),
                    "The rule that says so.",
                    json!("membership"),
                ),
                ("version", version(), "Grows by one with each event.", json!(3)),
                (
                    "first_seen_at",
                    moment(),
                    "When it was discovered.",
                    json!("2026-11-02T08:15:00Z"),
                ),
                (
                    "last_seen_at",
                    moment_or_null(),
                    "The last complete listing that had it; null in the past.",
                    json!("2026-11-21T10:00:00Z"),
                ),
                (
                    "stale_strike_count",
                    number_or_null(),
                    "Complete listings since then that had it not; null in the past.",
                    json!(0),
                ),
                (
                    "deleted_at",
                    moment_or_null(),
                    "When it was found to be gone.",
                    json!(null),
                ),
                (
                    "updated_at",
                    moment(),
                    "The last meaningful change.",
                    json!("2026-11-14T17:03:00Z"),
                ),
            ],
        ),
        &["urn"],
    )
}

pub(super) fn event() -> Value {
    let changes = json!({
        "type": ["object", "null"],
        "additionalProperties": { "type": "object", "required": ["from", "to"], "additionalProperties": false,
                                  "properties": { "from": {}, "to": {} } }
    });
    object(
        "Something that has happened to a resource or a project.",
        vec![
            (
                "id",
                json!({ "type": "integer" }),
                "Grows in the order in which things were written.",
                json!(4711),
            ),
            (
                "resource_id",
                id_or_null(),
                "The resource; null: a project's event.",
                json!(RESOURCE),
            ),
            (
                "project_id",
                id_or_null(),
                "The project; null: a resource's event.",
                json!(null),
            ),
            (
                "kind",
                text(),
                "What it happened to; `project` for projects.",
                json!("droplet"),
            ),
            (
                "provider_id",
                text(),
                "The provider's id of that.",
                json!("486200148"),
            ),
            (
                "version",
                version(),
                "Gapless for each subject. A tenant sees those of its own time.",
                json!(3),
            ),
            (
                "event_type",
                one_of(&EVENT_TYPES),
                "What sort of change.",
                json!("updated"),
            ),
            (
                "changes",
                changes,
                "By field; `attrs.size_slug` is a field of attrs. Null where longer than 1 MiB.",
                json!({ "status": { "from": "off", "to": "active" } }),
            ),
            (
                "tenant_id",
                text_or_null(),
                "The owner once it had happened.",
                json!("larkspur-bakery"),
            ),
            (
                "left_tenant_id",
                text_or_null(),
                "The owner that it was taken from, if it was.",
                json!(null),
            ),
            (
                "actor",
                text(),
                "A worker, or an operator's subject; tenants are told `operator`.",
                json!("sync-droplets"),
            ),
            (
                "reason",
                text_or_null(),
                "The operator's, for operators.",
                json!(null),
            ),
            (
                "sync_run_id",
                id_or_null(),
                "The worker's run, for operators.",
                json!("0197ea02-7d11-7b8e-b1a2-64a8f0d3c9e4"),
            ),
            (
                "occurred_at",
                moment(),
                "When: the moment that the run or the edit began.",
                json!("2026-11-14T17:03:00Z"),
            ),
        ],
    )
}

pub(super) fn summary() -> Value {
    let of_kind = object(
        "How much of one kind.",
        vec![
            ("kind", text(), "The kind.", json!("droplet")),
            ("resources", count(), "Live ones.", json!(34)),
            (
                "last_complete_at",
                moment_or_null(),
                "Its last complete listing: as fresh is this number.",
                json!("2026-11-21T10:00:00Z"),
            ),
        ],
    );
    let of_tenant = object(
        "How much of one tenant.",
        vec![
            (
                "tenant_id",
                text_or_null(),
                "Null: nobody's.",
                json!("larkspur-bakery"),
            ),
            ("resources", count(), "Live ones.", json!(12)),
        ],
    );
    let of_attribution = object(
        "How much by one rule.",
        vec![
            (
                "attribution",
                one_of(&ATTRIBUTIONS),
                "The rule.",
                json!("membership"),
            ),
            ("resources", count(), "Live ones.", json!(34)),
        ],
    );
    optional(
        object(
            "The inventory in a few numbers.",
            vec![
                ("resources", count(), "Live resources.", json!(34)),
                ("deleted", count(), "Tombstones.", json!(2)),
                (
                    "kinds",
                    list_of(of_kind.clone()),
                    "By kind, and how fresh.",
                    examples(&of_kind),
                ),
                (
                    "tenants",
                    list_of(of_tenant.clone()),
                    "By tenant, the most first; at most 1,000.",
                    examples(&of_tenant),
                ),
                (
                    "other_tenants",
                    count(),
                    "Resources of the tenants left out of that list.",
                    json!(0),
                ),
                (
                    "attributions",
                    list_of(of_attribution.clone()),
                    "By rule.",
                    examples(&of_attribution),
                ),
                (
                    "blind_spots",
                    list_of(reference("Listing")),
                    "What may not be as it is shown, and why. Operators only.",
                    json!([]),
                ),
            ],
        ),
        &["blind_spots"],
    )
}

fn examples(schema: &Value) -> Value {
    schema.get("examples").cloned().unwrap_or_default()
}

pub(super) fn project() -> Value {
    let kinds = json!({ "type": "object", "additionalProperties": { "type": "integer", "minimum": 1 } });
    object(
        "A project of the account.",
        vec![
            ("id", id(), "Ours; ordered by discovery.", json!(PROJECT)),
            ("provider", text(), "Whose it is.", json!("digitalocean")),
            (
                "provider_id",
                text(),
                "The provider's id.",
                json!("4e1bfbc3-dc3e-41f2-a18f-1b4d7ba71679"),
            ),
            ("name", text(), "Its name there.", json!("Larkspur Bakery")),
            (
                "description",
                text(),
                "Its description there.",
                json!("Web shop and back office"),
            ),
            (
                "provider_purpose",
                text(),
                "What it is for, in the provider's words.",
                json!("Web Application"),
            ),
            (
                "environment",
                text(),
                "`development`, `staging`, `production`, or empty.",
                json!("production"),
            ),
            (
                "is_default",
                json!({ "type": "boolean" }),
                "Whether new things land in it.",
                json!(false),
            ),
            (
                "tenant_id",
                text_or_null(),
                "Whose it is for us; with purpose `tenant`, and only then.",
                json!("larkspur-bakery"),
            ),
            (
                "purpose",
                one_of(&PURPOSES),
                "What it is for, in ours.",
                json!("tenant"),
            ),
            ("resources", count(), "Live resources in it.", json!(12)),
            (
                "kinds",
                kinds,
                "The same by kind.",
                json!({ "droplet": 9, "volume": 3 }),
            ),
            ("version", version(), "Grows by one with each event.", json!(2)),
            (
                "first_seen_at",
                moment(),
                "When it was discovered.",
                json!("2026-11-02T08:15:00Z"),
            ),
            (
                "last_seen_at",
                moment(),
                "The last complete listing that had it.",
                json!("2026-11-21T10:00:00Z"),
            ),
            (
                "deleted_at",
                moment_or_null(),
                "When it was found to be gone.",
                json!(null),
            ),
            (
                "updated_at",
                moment(),
                "The last meaningful change.",
                json!("2026-11-03T09:00:00Z"),
            ),
        ],
    )
}

/// A project as the list shows it.
pub(super) fn priced(project: Value) -> Value {
    extended(
        "A project of the account, and what it costs.",
        project,
        vec![
            (
                "cost_month",
                day_or_null(),
                "The last month of which an invoice has been read, by its first day; null before the first.",
                json!("2026-10-01"),
            ),
            (
                "cost",
                decimal_or_null(),
                "US dollars: what the lines of that month cost that are tied to what is in the project now.",
                json!("184.12"),
            ),
        ],
    )
}
