//! Bodies of the operator's edits, and what an edit came to.
//!
//! The bounds are those of `api::body`, which refuses what does not keep to them. Made once, for the document.

use serde_json::{Value, json};
use shared::inventory::read::projects::PURPOSES;

use super::{PRINTABLE, count, object, one_of, optional, or_null, reference};
use crate::api::document::schemas::inventory::event;

pub(super) fn attribution() -> Value {
    let tenant =
        json!({ "type": ["string", "null"], "minLength": 1, "maxLength": 128, "pattern": PRINTABLE });
    object(
        "Whose a resource is, in the operator's word.",
        vec![
            (
                "tenant_id",
                tenant,
                "The tenant; null hands it back to the rules.",
                json!("larkspur-bakery"),
            ),
            (
                "reason",
                reason(),
                "For the audit trail.",
                json!("Bought from Fjord & Finch, ticket 4711"),
            ),
        ],
    )
}

fn reason() -> Value {
    // Something that is no blank, and nothing but text and ends of lines.
    let text = "^[^\\u0000-\\u0009\\u000b-\\u001f\\u007f-\\u009f]*[^\\s\\u0000-\\u001f\\u007f-\\u009f][^\\u0000-\\u0009\\u000b-\\u001f\\u007f-\\u009f]*$";
    json!({ "type": "string", "minLength": 1, "maxLength": 500, "pattern": text })
}

pub(super) fn classification() -> Value {
    let tenant =
        json!({ "type": ["string", "null"], "minLength": 1, "maxLength": 128, "pattern": PRINTABLE });
    let others: Vec<&str> = PURPOSES
        .into_iter()
        .filter(|purpose| *purpose != "tenant")
        .collect();
    let mut classification = optional(
        object(
            "What a project is for. A tenant alone means purpose `tenant`; another purpose means no tenant.",
            vec![
                (
                    "tenant_id",
                    tenant,
                    "Whose it is; null: nobody's.",
                    json!("larkspur-bakery"),
                ),
                ("purpose", one_of(&PURPOSES), "What it is for.", json!("tenant")),
                (
                    "reason",
                    reason(),
                    "For the audit trail.",
                    json!("New customer, contract of 3 November"),
                ),
            ],
        ),
        &["tenant_id", "purpose"],
    );
    // Of the two at least one; and a tenant goes with its purpose, and with no other.
    let tenant_of = |kind: &str| json!({ "type": kind });
    if let Some(schema) = classification.as_object_mut() {
        let ways = json!([
            { "required": ["tenant_id"],
              "properties": { "tenant_id": tenant_of("string"), "purpose": { "enum": ["tenant"] } } },
            { "required": ["tenant_id"],
              "properties": { "tenant_id": tenant_of("null"), "purpose": { "enum": others } } },
            { "required": ["purpose"],
              "properties": { "tenant_id": tenant_of("null"), "purpose": { "enum": others } } }
        ]);
        schema.insert("anyOf".to_owned(), ways);
    }
    classification
}

pub(super) fn releasing() -> Value {
    optional(
        object(
            "That what is missing is really gone.",
            vec![
                (
                    "reason",
                    reason(),
                    "Why.",
                    json!("The old cluster was taken down on purpose"),
                ),
                (
                    "for_minutes",
                    json!({ "type": "integer", "minimum": 1, "maximum": 43_200 }),
                    "For how long; without it, until the state changes.",
                    json!(120),
                ),
            ],
        ),
        &["reason", "for_minutes"],
    )
}

pub(super) fn edited(name: &str, schema: Value) -> Value {
    let row = schema.pointer("/examples/0").cloned().unwrap_or_default();
    let told = event().pointer("/examples/0").cloned().unwrap_or_default();
    object(
        "What an edit came to.",
        vec![
            ("data", reference(name), "As it is now.", row),
            (
                "event",
                or_null("Event"),
                "The audit entry; null: it was so already.",
                told,
            ),
            (
                "moved",
                count(),
                "Resources that followed, each with an event of its own.",
                json!(0),
            ),
        ],
    )
}
