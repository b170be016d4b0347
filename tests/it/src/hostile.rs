//! Hostile values in every place that takes one: parameters, paths, headers, members of bodies.
//!
//! Against a real database. Whatever is written there is a value and nothing else: it finds nothing, or is refused by
//! name; the database is sent the same statements, letter by letter, as for harmless values; no answer is a 5xx, and the
//! account is afterwards as it was before.

use functions::api::document::{Access, Takes};
use functions::api::operations;
use serde_json::json;
use simulator::scenario::TENANTS;

use crate::access::classified;
use crate::caller::{Api, SECRET, operator, tenant};
use crate::overheard::Overheard;
use crate::questions::encoded;
use harness::tokens;

/// What people write who look for an injection: each with every way of ending a literal before it.
fn strings() -> Vec<String> {
    let endings = [
        "", "'", "\"", "')", "'))", "\\'", "';", "%27", "$$", "}", "]", "*/", "--", "\u{2019}", "`",
    ];
    let payloads = [
        " OR 1=1",
        " OR 'a'='a",
        " UNION SELECT NULL,NULL",
        "; DROP TABLE cloud_resources",
        "; SELECT pg_sleep(5)",
        " AND 1=CAST((SELECT version()) AS int)",
        "||(SELECT current_user)||",
        " OR tenant_id IS NOT NULL",
        " FROM cloud_projects--",
        "/**/OR/**/true",
        "\\x27 OR true",
        "%",
        "_",
        "\\",
        "{\"$gt\": \"\"}",
        "$1",
        "${7*7}",
        "{{7*7}}",
        "../../etc/passwd",
        "<script>alert(1)</script>",
        "=cmd|' /C calc'!A0",
        "(SELECT 1 FROM cloud_resources LIMIT 1)",
        " COLLATE \"C\" DESC",
        "E'\\000'",
        "U&'\\0027'",
        "SET ROLE arcadia_operator",
        "set_config('app.tenant','x',false)",
        "arcadia_operator",
        "NULL",
        "'::regclass",
        "pg_catalog.pg_user",
        "0x27",
        "1e309",
        "-1",
        "𝕊𝔼𝕃𝔼ℂ𝕋",
    ];
    let all = endings
        .iter()
        .flat_map(|ending| payloads.iter().map(move |payload| format!("{ending}{payload}")));
    all.collect()
}

#[tokio::test]
async fn five_hundred_injections_in_every_parameter_are_values() {
    let stage = classified().await;
    let (overheard, url) = Overheard::at(&stage.database, "arcadia_api_login").await;
    let api = Api::with(&url);
    let before = api.get("/api/v1/inventory/summary", &operator()).await.text;
    // What harmless values are asked with.
    for operation in operations() {
        let path = operation
            .path
            .replace("{id}", "0197e7a0-0000-7000-8000-000000000001");
        for parameter in operation.parameters.iter().filter(|one| !one.example.is_empty()) {
            let path = format!("{path}?{}={}", parameter.name, encoded(parameter.example));
            for token in [operator(), tenant(TENANTS[0].1)] {
                assert!(api.get(&path, &token).await.status < 500, "{path}");
            }
        }
    }
    let texts = overheard.texts();
    assert!(texts.len() > 40, "{}", texts.len());
    let strings = strings();
    assert!(strings.len() >= 500, "{}", strings.len());
    let (mut found, mut refused) = (0, 0);
    for operation in operations() {
        let tenants = operation.access == Access::Caller;
        for parameter in operation.parameters {
            for (at, string) in strings.iter().enumerate() {
                // Every string for what takes text; of the others, which read a form, every seventh.
                if !matches!(parameter.takes, Takes::Text) && at % 7 != 0 {
                    continue;
                }
                let path = operation
                    .path
                    .replace("{id}", "0197e7a0-0000-7000-8000-000000000001");
                let path = format!("{path}?{}={}", parameter.name, encoded(string));
                let token = if tenants && at % 2 == 0 {
                    tenant(TENANTS[0].1)
                } else {
                    operator()
                };
                let answer = api.get(&path, &token).await;
                match answer.status {
                    200 => {
                        assert_eq!(answer.body["data"], json!([]), "{path}");
                        found += 1;
                    }
                    400 => {
                        assert!(
                            answer.body["errors"].to_string().contains(parameter.name),
                            "{path}"
                        );
                        refused += 1;
                    }
                    403 => assert_eq!(parameter.name, "tenant_id", "{path}"),
                    other => panic!("{path}: {other} {}", answer.text),
                }
                assert!(!answer.text.contains("SELECT 1 FROM"), "{path}: {}", answer.text);
            }
        }
    }
    assert!(
        found > 2_000 && refused > 1_000,
        "{found} found nothing, {refused} refused"
    );
    assert_eq!(
        api.get("/api/v1/inventory/summary", &operator()).await.text,
        before
    );
    let added: Vec<String> = overheard.texts().difference(&texts).cloned().collect();
    assert_eq!(
        added,
        Vec::<String>::new(),
        "statements that no harmless value makes"
    );
}

#[tokio::test]
async fn injections_in_claims_paths_headers_and_bodies_are_values_too() {
    let stage = classified().await;
    let (overheard, url) = Overheard::at(&stage.database, "arcadia_api_login").await;
    let api = Api::with(&url);
    let row = stage.rows("droplet").await.remove(0);
    let resource = format!("/api/v1/inventory/{}", row.id);
    // Harmless ones first.
    api.get("/api/v1/inventory", &tenant("somebody")).await;
    api.get(&resource, &operator()).await;
    api.get(&format!("{resource}/events"), &operator()).await;
    let release = "/api/v1/listings/droplet/release";
    api.edit("POST", release, &operator(), None, &json!({})).await;
    for word in ["somebody", "somebody else"] {
        let body = json!({"tenant_id": word, "reason": "a test"});
        let answer = api.edit("PATCH", &resource, &operator(), None, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    let texts = overheard.texts();
    for string in strings() {
        // A tenant of this name has nothing.
        let answer = api
            .get(
                "/api/v1/inventory",
                &tokens::tenant(SECRET, &string, tokens::now()),
            )
            .await;
        assert_eq!(
            (answer.status, &answer.body["data"]),
            (200, &json!([])),
            "{string}"
        );
        for path in [
            format!("/api/v1/inventory/{}", encoded(&string)),
            format!("/api/v1/inventory/{}/events", encoded(&string)),
        ] {
            assert_eq!(api.get(&path, &operator()).await.status, 404, "{path}");
        }
        let path = format!("/api/v1/listings/{}/release", encoded(&string));
        let answer = api.edit("POST", &path, &operator(), None, &json!({})).await;
        assert_eq!(answer.status, 404, "{path}");
        if string.is_ascii() {
            let authorization = format!("Bearer {}", operator());
            let headers = [
                ("authorization", authorization.as_str()),
                ("if-none-match", &string),
                ("accept", "application/json"),
            ];
            assert_eq!(
                api.send("GET", &resource, &headers, "").await.status,
                200,
                "{string}"
            );
        }
    }
    // As the word of an operator they are what they are, to the letter.
    for string in strings().iter().step_by(25) {
        let body = json!({"tenant_id": string, "reason": string});
        let answer = api.edit("PATCH", &resource, &operator(), None, &body).await;
        assert_eq!(
            (answer.status, &answer.body["data"]["tenant_id"]),
            (200, &json!(string)),
            "{string}"
        );
        assert_eq!(answer.body["event"]["reason"], json!(string));
    }
    let added: Vec<String> = overheard.texts().difference(&texts).cloned().collect();
    assert_eq!(
        added,
        Vec::<String>::new(),
        "statements that no harmless value makes"
    );
}
