//! How the mirror is kept, as operators see it: runs of workers, and what each kind's listing was worth.
//!
//! The fields are those that `shared` serialises, in that order. Made once, for the document.

use serde_json::{Value, json};
use shared::runs::read::OUTCOMES;

use super::{
    count, id, moment, moment_or_null, number_or_null, object, one_of_or_null, text, text_or_null, version,
};

pub(super) fn run() -> Value {
    object(
        "One run of one worker.",
        vec![
            (
                "id",
                id(),
                "Its id, which its events carry.",
                json!("0197ea02-7d11-7b8e-b1a2-64a8f0d3c9e4"),
            ),
            ("worker", text(), "The worker.", json!("sync-droplets")),
            (
                "scheduled_for",
                moment_or_null(),
                "The tick that it was for; null: started by hand.",
                json!("2026-11-21T10:00:00Z"),
            ),
            ("attempt", version(), "Counted from 1 for each tick.", json!(1)),
            (
                "started_at",
                moment(),
                "When it began.",
                json!("2026-11-21T10:00:01Z"),
            ),
            (
                "finished_at",
                moment_or_null(),
                "When it ended.",
                json!("2026-11-21T10:00:02Z"),
            ),
            (
                "outcome",
                one_of_or_null(&OUTCOMES),
                "How it ended; null: it is at work.",
                json!("complete"),
            ),
            (
                "counts",
                json!({ "type": "object" }),
                "What it saw and changed.",
                json!({ "kinds": [{ "kind": "droplet", "seen": 34 }], "requests": 3 }),
            ),
            (
                "error_class",
                text_or_null(),
                "What sort of thing went wrong.",
                json!(null),
            ),
            ("error_message", text_or_null(), "What went wrong.", json!(null)),
            (
                "do_request_id",
                text_or_null(),
                "DigitalOcean's own id of the last request.",
                json!("9f1c8f0e-6d1d-4a3e-9b13-2a7b8a5d2b11"),
            ),
        ],
    )
}

pub(super) fn listing() -> Value {
    let suspicion = object(
        "The same things have been missing.",
        vec![
            (
                "since",
                moment_or_null(),
                "Since then.",
                json!("2026-11-21T09:00:00Z"),
            ),
            (
                "listings",
                count(),
                "In so many complete listings in a row.",
                json!(2),
            ),
        ],
    );
    let release = object(
        "An operator has said that what was missing then is gone.",
        vec![
            (
                "by",
                text_or_null(),
                "The operator's subject.",
                json!("ada@example.com"),
            ),
            (
                "reason",
                text_or_null(),
                "Why.",
                json!("The old cluster was taken down on purpose"),
            ),
            ("at", moment_or_null(), "When.", json!("2026-11-21T09:30:00Z")),
            (
                "until",
                moment_or_null(),
                "Until when; null: while they are missing.",
                json!(null),
            ),
        ],
    );
    let nullable = |schema: Value| json!({ "oneOf": [schema, { "type": "null" }] });
    let verdicts = ["complete", "incomplete", "suspect", "unreadable"];
    object(
        "What is known of one kind, and how well.",
        vec![
            (
                "kind",
                text(),
                "The kind; `project` for the projects themselves.",
                json!("droplet"),
            ),
            ("provider", text(), "Whose account.", json!("digitalocean")),
            (
                "verdict",
                one_of_or_null(&verdicts),
                "What became of the newest listing; null: never listed.",
                json!("complete"),
            ),
            ("error", text_or_null(), "Why it is not complete.", json!(null)),
            (
                "last_attempt_at",
                moment_or_null(),
                "When the newest one was begun.",
                json!("2026-11-21T10:00:00Z"),
            ),
            (
                "last_complete_at",
                moment_or_null(),
                "When the newest complete one was begun.",
                json!("2026-11-21T10:00:00Z"),
            ),
            ("age_seconds", number_or_null(), "The same as an age.", json!(42)),
            (
                "last_complete_size",
                number_or_null(),
                "How much it had.",
                json!(34),
            ),
            ("live", count(), "Live ones in the mirror.", json!(34)),
            (
                "suspicion",
                nullable(suspicion),
                "Too much is missing: who has been for less than four listings and an hour is not struck for it.",
                json!(null),
            ),
            (
                "release",
                nullable(release),
                "Of what was missing when it was given, until the last of it has its tombstone or is back.",
                json!(null),
            ),
        ],
    )
}
