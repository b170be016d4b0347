//! The ledger as operators see it: what is owed, invoices, their lines, costs by group.
//!
//! The fields are those that `shared` serialises, in that order. Amounts are decimal numbers as text, in US dollars.
//! Made once, for the document.

use serde_json::{Value, json};

use super::{
    PROJECT, RESOURCE, count, day, decimal, decimal_or_null, id, id_or_null, list_of, moment, moment_or_null,
    number_or_null, object, one_of, one_of_or_null, optional, reference, text, text_or_null, truth,
};
use crate::api::routes::billing::costs::CLASSES;
use crate::api::routes::billing::{AGREEMENTS, STATUSES};

/// Why a line is matched.
const RULES: [&str; 5] = ["resource_id", "address", "group", "name", "backup_parent"];
const INVOICE: &str = "5d1c9f0e-1f0b-4d3c-9e55-6b1f2f6a0c11";

type Fields = Vec<super::Field>;

pub(super) fn balance() -> Value {
    object(
        "What was owed at some moment.",
        vec![
            (
                "generated_at",
                moment(),
                "When DigitalOcean computed it.",
                json!("2025-11-14T09:00:00Z"),
            ),
            (
                "fetched_at",
                moment(),
                "When it was first read.",
                json!("2025-11-14T09:07:02Z"),
            ),
            (
                "month_to_date_balance",
                decimal(),
                "The balance and the usage since; positive is owed.",
                json!("1204.10"),
            ),
            (
                "account_balance",
                decimal(),
                "After the newest billing activity.",
                json!("0.00"),
            ),
            (
                "month_to_date_usage",
                decimal(),
                "Of the running month.",
                json!("1204.10"),
            ),
        ],
    )
}

fn header() -> Fields {
    vec![
        (
            "invoice_uuid",
            text(),
            "DigitalOcean's; `preview` for the running month.",
            json!(INVOICE),
        ),
        (
            "invoice_id",
            text_or_null(),
            "The number on the PDF.",
            json!("513220941"),
        ),
        (
            "period",
            day(),
            "The first day of the billed month; several invoices may share it.",
            json!("2025-10-01"),
        ),
        (
            "preview",
            truth(),
            "The running month, which is no invoice.",
            json!(false),
        ),
        ("amount", decimal(), "What it asks for.", json!("2214.80")),
        (
            "issued_at",
            moment(),
            "When it was issued.",
            json!("2025-11-01T08:03:20Z"),
        ),
        (
            "ingest_status",
            one_of(&STATUSES),
            "What became of it.",
            json!("ingested"),
        ),
        (
            "ingested_at",
            moment_or_null(),
            "When its stored lines were ingested.",
            json!("2025-11-02T02:23:31Z"),
        ),
        (
            "last_error",
            text_or_null(),
            "Why it is quarantined, or what the last attempt failed with.",
            json!(null),
        ),
        (
            "line_count",
            number_or_null(),
            "How many lines are stored; null: none were yet.",
            json!(94),
        ),
        (
            "lines_total",
            decimal_or_null(),
            "What they add up to.",
            json!("2214.80"),
        ),
        (
            "difference",
            decimal_or_null(),
            "`lines_total` less `amount`.",
            json!("0.00"),
        ),
        (
            "reconciliation",
            one_of_or_null(&AGREEMENTS),
            "How the two agree.",
            json!("reconciled"),
        ),
        (
            "resource_lines",
            number_or_null(),
            "Lines that some resource caused.",
            json!(88),
        ),
        (
            "matched_lines",
            number_or_null(),
            "Those of them whose resource is known.",
            json!(86),
        ),
        (
            "match_rate",
            decimal_or_null(),
            "Their share, from 0 to 1; null if there are none.",
            json!("0.9773"),
        ),
        (
            "items_page",
            number_or_null(),
            "Of a long invoice: which page of its items is read next for ids; until then lines are matched by names.",
            json!(null),
        ),
    ]
}

pub(super) fn invoice() -> Value {
    object("One invoice, and how well it is understood.", header())
}

pub(super) fn itemised() -> Value {
    let line = cost_line().pointer("/examples/0").cloned().unwrap_or_default();
    let mut fields = header();
    fields.push((
        "lines",
        list_of(reference("CostLine")),
        "Its first lines.",
        json!([line]),
    ));
    fields.push(("more_lines", truth(), "Whether there are others.", json!(true)));
    object("One invoice with its lines.", fields)
}

pub(super) fn cost_line() -> Value {
    object(
        "One line of an invoice, and what caused it.",
        vec![
            ("invoice_uuid", text(), "Its invoice.", json!(INVOICE)),
            (
                "line_no",
                json!({ "type": "integer", "minimum": 1 }),
                "Its place there.",
                json!(1),
            ),
            ("period", day(), "The billed month.", json!("2025-10-01")),
            ("product", text(), "As DigitalOcean wrote it.", json!("Droplets")),
            (
                "group_description",
                text(),
                "As DigitalOcean wrote it: the name of the whole.",
                json!(""),
            ),
            (
                "description",
                text(),
                "As DigitalOcean wrote it.",
                json!("larkspur-web-1 (s-2vcpu-4gb)"),
            ),
            ("hours", decimal_or_null(), "Billed hours.", json!("744")),
            (
                "starts_at",
                moment_or_null(),
                "When the charge begins.",
                json!("2025-10-01T00:00:00Z"),
            ),
            (
                "ends_at",
                moment_or_null(),
                "When it ends.",
                json!("2025-11-01T00:00:00Z"),
            ),
            (
                "amount",
                decimal(),
                "US dollars; negative is money back.",
                json!("24.00"),
            ),
            (
                "project_name",
                text(),
                "The name of its project at that time; may be empty.",
                json!("Larkspur Bakery"),
            ),
            (
                "category",
                text(),
                "As DigitalOcean wrote it; may be empty.",
                json!("iaas"),
            ),
            (
                "class",
                one_of(&CLASSES),
                "What sort of charge.",
                json!("resource"),
            ),
            (
                "kind",
                text_or_null(),
                "The kind of the resource, where the product says so.",
                json!("droplet"),
            ),
            (
                "resource_name",
                text_or_null(),
                "The name that the line gives it.",
                json!("larkspur-web-1"),
            ),
            (
                "cloud_resource_id",
                id_or_null(),
                "The resource; null: not known.",
                json!(RESOURCE),
            ),
            (
                "match_rule",
                one_of_or_null(&RULES),
                "Why that one.",
                json!("resource_id"),
            ),
            (
                "tenant_id",
                text_or_null(),
                "Whose it was when the charge ended.",
                json!("larkspur-bakery"),
            ),
            (
                "project_id",
                id_or_null(),
                "The project it was in then, by our id.",
                json!(PROJECT),
            ),
        ],
    )
}

pub(super) fn cost() -> Value {
    let group = object(
        "One group of lines. Keys that were not asked for, or that the group has no value of, are left out.",
        vec![
            (
                "share",
                one_of(&["attributed", "unattributed", "tax", "credit"]),
                "Whether it is known what caused them.",
                json!("attributed"),
            ),
            (
                "tenant_id",
                text(),
                "Whose they were when each charge ended.",
                json!("larkspur-bakery"),
            ),
            (
                "project_id",
                id(),
                "The project that they were in then.",
                json!(PROJECT),
            ),
            ("project_name", text(), "Its name.", json!("Larkspur Bakery")),
            ("kind", text(), "What they are.", json!("droplet")),
            (
                "month",
                day(),
                "The first day of the billed month.",
                json!("2025-10-01"),
            ),
            ("amount", decimal(), "Their sum, in US dollars.", json!("312.00")),
            ("lines", count(), "How many there are.", json!(9)),
        ],
    );
    optional(
        group,
        &["tenant_id", "project_id", "project_name", "kind", "month"],
    )
}

pub(super) fn sending() -> Value {
    object(
        "That an invoice will be ingested again.",
        vec![
            ("invoice_uuid", text(), "The invoice.", json!(INVOICE)),
            (
                "ingest_status",
                one_of(&["pending"]),
                "Always `pending`.",
                json!("pending"),
            ),
            (
                "sent",
                truth(),
                "Whether it is in the queue; if not, the next billing run sends it.",
                json!(true),
            ),
        ],
    )
}

pub(super) fn matching() -> Value {
    object(
        "What looking again has found.",
        vec![
            ("invoice_uuid", text(), "The invoice.", json!(INVOICE)),
            (
                "matched",
                count(),
                "Lines that have a resource now and had none before.",
                json!(3),
            ),
        ],
    )
}
