//! What answers and bodies look like: every schema of the document, each field with its meaning and an example.
//!
//! Written by hand, because the words for callers are not those for readers of the code; kept true by integration
//! tests, which hold real answers against it. Objects are closed: a field that is not here must not be sent.

#![expect(
    clippy::indexing_slicing,
    reason = "values made here: indexing an object by a name adds that member"
)]

mod billing;
mod edits;
mod inventory;
mod mirror;

use serde_json::{Map, Value, json};

use billing::{balance, cost, cost_line, invoice, itemised, matching, sending};
use edits::{attribution, classification, edited, releasing};
use inventory::{event, priced, project, resource, summary};
use mirror::{listing, run};

/// No control character is text.
pub(super) const PRINTABLE: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f\\ufffd]+$";

/// What `etag::versions` reads: a star, or entity tags with commas between them, of which some may be missing.
pub(super) fn entity_tags() -> String {
    let tag = r#"(W/)?"[\t -!#-+\--~]*""#;
    format!(r"^[\t ,]*(\*|{tag}([\t ]*,[\t ,]*{tag})*)[\t ,]*$")
}

/// A field: its name, schema, meaning and example. Every field is always there.
type Field = (&'static str, Value, &'static str, Value);

fn object(detail: &str, fields: Vec<Field>) -> Value {
    let (mut properties, mut example) = (Map::new(), Map::new());
    for (name, mut schema, meaning, value) in fields {
        if schema.get("$ref").is_none() {
            schema["description"] = meaning.into();
        }
        properties.insert(name.to_owned(), schema);
        example.insert(name.to_owned(), value);
    }
    let required: Vec<&String> = properties.keys().collect();
    json!({
        "type": "object", "description": detail, "required": required, "properties": properties,
        "additionalProperties": false, "examples": [example]
    })
}

/// The same with these fields as well.
fn extended(detail: &str, mut object: Value, fields: Vec<Field>) -> Value {
    let mut more = self::object(detail, fields);
    for part in ["/properties", "/examples/0"] {
        let added = more.pointer_mut(part).map(Value::take);
        if let (Some(Value::Object(added)), Some(Value::Object(known))) = (added, object.pointer_mut(part)) {
            known.extend(added);
        }
    }
    if let (Some(Value::Array(added)), Some(Value::Array(known))) = (
        more.get_mut("required").map(Value::take),
        object.get_mut("required"),
    ) {
        known.extend(added);
    }
    object["description"] = detail.into();
    object
}

/// The same with these fields left out where there is nothing to say.
fn optional(mut object: Value, absent: &[&str]) -> Value {
    if let Some(required) = object.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|name| !absent.iter().any(|absent| name == absent));
    }
    object
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn text_or_null() -> Value {
    json!({ "type": ["string", "null"] })
}

fn id() -> Value {
    json!({ "type": "string", "format": "uuid" })
}

fn id_or_null() -> Value {
    json!({ "type": ["string", "null"], "format": "uuid" })
}

fn moment() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn moment_or_null() -> Value {
    json!({ "type": ["string", "null"], "format": "date-time" })
}

fn day() -> Value {
    json!({ "type": "string", "format": "date" })
}

fn day_or_null() -> Value {
    json!({ "type": ["string", "null"], "format": "date" })
}

/// A decimal number as text.
fn decimal() -> Value {
    json!({ "type": "string", "format": "decimal" })
}

fn decimal_or_null() -> Value {
    json!({ "type": ["string", "null"], "format": "decimal" })
}

fn truth() -> Value {
    json!({ "type": "boolean" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn number_or_null() -> Value {
    json!({ "type": ["integer", "null"] })
}

fn version() -> Value {
    json!({ "type": "integer", "minimum": 1 })
}

fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

fn one_of_or_null(words: &[&str]) -> Value {
    let words: Vec<Value> = words
        .iter()
        .map(|word| Value::from(*word))
        .chain([Value::Null])
        .collect();
    json!({ "type": ["string", "null"], "enum": words })
}

fn list_of(schema: Value) -> Value {
    json!({ "type": "array", "items": schema })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn or_null(schema: &str) -> Value {
    json!({ "oneOf": [reference(schema), { "type": "null" }] })
}

/// The headings.
pub(super) fn tags() -> Value {
    json!([
        { "name": "inventory", "description": "What there is, and what there was." },
        { "name": "events", "description": "What has happened." },
        { "name": "projects", "description": "How DigitalOcean groups things, and whose they are." },
        { "name": "mirror", "description": "How fresh the picture is, and what cannot be seen." },
        { "name": "billing", "description": "What it costs." },
        { "name": "service", "description": "The service itself." }
    ])
}

pub(super) fn headers() -> Value {
    json!({
        "X-Request-Id": { "description": "What to quote when asking about this answer.", "schema": text() },
        "ETag": { "description": "Of exactly this answer. Its first part is the version: If-Match compares that.",
                  "schema": text() },
        "Link": { "description": "The next page, if there is one: rel=\"next\".", "schema": text() },
        "Allow": { "description": "What this path answers to.", "schema": text() },
        "Retry-After": { "description": "Seconds.", "schema": { "type": "integer" } },
        "WWW-Authenticate": { "description": "How to come in, and an error if a token was sent.", "schema": text() }
    })
}

/// Every problem, by status.
pub(super) fn problems() -> Value {
    let of = |detail: &str, header: Option<&str>| {
        let mut headers = json!({ "X-Request-Id": { "$ref": "#/components/headers/X-Request-Id" } });
        if let Some(name) = header {
            headers[name] = json!({ "$ref": format!("#/components/headers/{name}") });
        }
        json!({
            "description": detail, "headers": headers,
            "content": { "application/problem+json": { "schema": reference("Problem"), "example": example("Problem") } }
        })
    };
    json!({
        "400": of("The request, or parameters that `errors` names, cannot be read.", None),
        "401": of("No good token.", Some("WWW-Authenticate")),
        "403": of("A good token, and no right to this.", None),
        "404": of("Nothing is there that the caller may see.", None),
        "405": of("This path does not answer to this method.", Some("Allow")),
        "406": of("It cannot be had in a form that Accept allows; `detail` names those it has.", None),
        "409": of("It does not go with how things are.", None),
        "412": of("It has changed since it was read.", None),
        "413": of("The body is larger than 16 KiB.", None),
        "414": of("The URL is longer than 8 KiB.", None),
        "415": of("The body is not application/json.", None),
        "422": of("Members of the body, which `errors` names, cannot be used.", None),
        "431": of("The headers are larger than 16 KiB.", None),
        "500": of("The service failed.", None),
        "503": of("Something that the service needs is away.", Some("Retry-After"))
    })
}

const RESOURCE: &str = "0197e7a0-5b1c-7c3e-9a51-2f7d0f4f8a10";
const PROJECT: &str = "0197e79f-11d0-7a4b-8d62-90c1d64b7e55";

/// The example of a schema.
pub(super) fn example(schema: &str) -> Value {
    schemas()
        .get(schema)
        .and_then(|schema| schema.pointer("/examples/0"))
        .cloned()
        .unwrap_or_default()
}

/// Every schema, by name.
pub(super) fn schemas() -> Value {
    json!({
        "Health": health(), "Readiness": readiness(), "Page": page(), "Problem": problem(), "Resource": resource(),
        "Event": event(), "Summary": summary(), "Project": project(), "PricedProject": priced(project()), "Run": run(), "Listing": listing(),
        "Attribution": attribution(), "Classification": classification(), "Releasing": releasing(),
        "EditedResource": edited("Resource", resource()), "EditedProject": edited("Project", project()),
        "Balance": balance(), "Invoice": invoice(), "ItemisedInvoice": itemised(), "CostLine": cost_line(),
        "Cost": cost(), "Sending": sending(), "Matching": matching()
    })
}

fn health() -> Value {
    object(
        "The function is alive.",
        vec![
            ("status", one_of(&["ok"]), "Always `ok`.", json!("ok")),
            (
                "service",
                one_of(&["arcadia-cloud"]),
                "This service.",
                json!("arcadia-cloud"),
            ),
            (
                "version",
                text(),
                "The program's.",
                json!(env!("CARGO_PKG_VERSION")),
            ),
        ],
    )
}

fn readiness() -> Value {
    object(
        "The database answers, and its schema is new enough.",
        vec![("status", one_of(&["ready"]), "Always `ready`.", json!("ready"))],
    )
}

fn page() -> Value {
    object(
        "Where in the list this is.",
        vec![
            (
                "next_cursor",
                text_or_null(),
                "For the next page; null: this is the last one.",
                json!(null),
            ),
            (
                "limit",
                json!({ "type": "integer", "minimum": 1, "maximum": 500 }),
                "The size that was asked for.",
                json!(100),
            ),
        ],
    )
}

fn problem() -> Value {
    let invalid = optional(
        object(
            "What is wrong with one of them.",
            vec![
                ("parameter", text(), "The parameter's name.", json!("kinds")),
                ("member", text(), "The member's name.", json!("tenant_id")),
                (
                    "detail",
                    text(),
                    "What is wrong with it.",
                    json!("is not a parameter of this path"),
                ),
            ],
        ),
        &["parameter", "member"],
    );
    let mut problem = object(
        "A problem (RFC 9457).",
        vec![
            (
                "type",
                text(),
                "A URN that stays the same.",
                json!("urn:arcadia-cloud:problem:invalid-parameters"),
            ),
            (
                "title",
                text(),
                "What sort of problem.",
                json!("Invalid query parameters"),
            ),
            (
                "status",
                json!({ "type": "integer", "minimum": 400, "maximum": 599 }),
                "The HTTP status.",
                json!(400),
            ),
            (
                "detail",
                text(),
                "What is wrong.",
                json!("These query parameters cannot be used: kinds."),
            ),
            (
                "instance",
                text(),
                "This occurrence.",
                json!("urn:request:JKJaXmPLvHcESHA="),
            ),
            (
                "request_id",
                text(),
                "The same as in the header X-Request-Id.",
                json!("JKJaXmPLvHcESHA="),
            ),
            (
                "errors",
                list_of(invalid),
                "Each parameter or member that is wrong.",
                json!([{ "parameter": "kinds", "detail": "is not a parameter of this path" }]),
            ),
        ],
    );
    problem = optional(problem, &["errors"]);
    problem
}
