//! The document as a page for people: plain HTML, one style, no script.
//!
//! Made from the document alone. Every text is escaped, whoever wrote it. The policy that goes with the page allows
//! its one style by its hash, and nothing else: no script, no image, no request, no frame.

use std::fmt::Write as _;

use serde_json::Value;

/// What a browser may do with the page. The hash is that of [`STYLE`]; a test holds them together.
pub const POLICY: &str = "default-src 'none'; style-src 'sha256-tVYpmwCbNuRNs9Oz67GHe7lFwRrbVG/1TwuaqvenBEc='; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// The page's one style.
const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8881}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem 1.5rem 4rem}\
h1{margin-bottom:0}h2{border-bottom:1px solid var(--line);margin-top:2.5rem}\
code,pre{font:14px/1.45 ui-monospace,monospace}pre{background:var(--soft);padding:.75rem;overflow:auto}\
details{border:1px solid var(--line);border-radius:6px;margin:.5rem 0;padding:.4rem .8rem}\
summary{cursor:pointer}summary b{display:inline-block;min-width:3.5rem;text-transform:uppercase}\
table{border-collapse:collapse;width:100%}td,th{border-top:1px solid var(--line);padding:.3rem .6rem;\
text-align:left;vertical-align:top}small{opacity:.75}";

/// The page.
pub fn page(document: &Value) -> String {
    let mut html = String::with_capacity(64 * 1024);
    let info = text(document, "/info/title");
    let _ = write!(
        html,
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{info}</title><style>{STYLE}</style></head><body><h1>{info}</h1>\
         <p><small>version {}, <a href=\"openapi.json\">openapi.json</a></small></p><p>{}</p>",
        text(document, "/info/version"),
        text(document, "/info/description")
    );
    let _ = write!(
        html,
        "<p>{} Send it as <code>Authorization: Bearer …</code>.</p>",
        text(document, "/components/securitySchemes/bearer/description")
    );
    for tag in array(document, "/tags") {
        let name = tag.get("name").and_then(Value::as_str).unwrap_or_default();
        let operations = of_tag(document, name);
        if operations.is_empty() {
            continue;
        }
        let _ = write!(
            html,
            "<h2>{}</h2><p>{}</p>",
            escaped(name),
            text(tag, "/description")
        );
        for (path, method, operation) in operations {
            push_operation(&mut html, document, path, method, operation);
        }
    }
    html.push_str("<h2>schemas</h2>");
    let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
    for (name, schema) in schemas.into_iter().flatten() {
        push_schema(&mut html, name, schema);
    }
    html.push_str("</body></html>");
    html
}

fn of_tag<'d>(document: &'d Value, tag: &str) -> Vec<(&'d str, &'d str, &'d Value)> {
    let paths = document.get("paths").and_then(Value::as_object);
    let mut found = Vec::new();
    for (path, methods) in paths.into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            if operation.pointer("/tags/0").and_then(Value::as_str) == Some(tag) {
                found.push((path.as_str(), method.as_str(), operation));
            }
        }
    }
    found
}

fn push_operation(html: &mut String, document: &Value, path: &str, method: &str, operation: &Value) {
    let _ = write!(
        html,
        "<details id=\"{}\"><summary><b>{}</b><code>{}</code> {}</summary>",
        text(operation, "/operationId"),
        escaped(method),
        escaped(path),
        text(operation, "/summary")
    );
    if operation.get("description").is_some() {
        let _ = write!(html, "<p>{}</p>", text(operation, "/description"));
    }
    let parameters = array(operation, "/parameters");
    if !parameters.is_empty() {
        html.push_str("<table><tr><th>parameter</th><th>in</th><th>takes</th><th></th></tr>");
        for parameter in parameters {
            let _ = write!(
                html,
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>",
                text(parameter, "/name"),
                text(parameter, "/in"),
                escaped(&takes(parameter.get("schema").unwrap_or(&Value::Null))),
                text(parameter, "/description")
            );
        }
        html.push_str("</table>");
    }
    push_example(
        html,
        "body",
        operation.pointer("/requestBody/content/application~1json/example"),
    );
    let answered = ["200", "202"].iter().find_map(|status| {
        operation.pointer(&format!("/responses/{status}/content/application~1json/example"))
    });
    push_example(html, "answer", answered);
    html.push_str("<table><tr><th>status</th><th></th></tr>");
    for (status, response) in operation
        .get("responses")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let shared = document.pointer(&format!("/components/responses/{status}"));
        let detail = response.get("description").map_or_else(
            || {
                shared
                    .map(|shared| text(shared, "/description"))
                    .unwrap_or_default()
            },
            |_| text(response, "/description"),
        );
        let _ = write!(html, "<tr><td>{}</td><td>{detail}</td></tr>", escaped(status));
    }
    html.push_str("</table></details>");
}

fn push_example(html: &mut String, what: &str, example: Option<&Value>) {
    if let Some(example) = example {
        let pretty = serde_json::to_string_pretty(example).unwrap_or_default();
        let _ = write!(html, "<p>{what}</p><pre>{}</pre>", escaped(&pretty));
    }
}

fn push_schema(html: &mut String, name: &str, schema: &Value) {
    let _ = write!(
        html,
        "<details id=\"{0}\"><summary><code>{0}</code> {1}</summary><table>",
        escaped(name),
        text(schema, "/description")
    );
    let properties = schema.get("properties").and_then(Value::as_object);
    for (field, its) in properties.into_iter().flatten() {
        let _ = write!(
            html,
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            escaped(field),
            escaped(&takes(its)),
            text(its, "/description")
        );
    }
    html.push_str("</table></details>");
}

/// A schema in a few words.
fn takes(schema: &Value) -> String {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        return name.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words: Vec<String> = words
            .iter()
            .map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned))
            .collect();
        return words.join(", ");
    }
    if let Some(ways) = schema.get("oneOf").and_then(Value::as_array) {
        return ways.iter().map(takes).collect::<Vec<_>>().join(" or ");
    }
    let types = match schema.get("type") {
        Some(Value::String(one)) => one.clone(),
        Some(Value::Array(several)) => several
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" or "),
        _ => "anything".to_owned(),
    };
    if let Some(items) = schema.get("items") {
        return format!("list of {}", takes(items));
    }
    let format = schema.get("format").and_then(Value::as_str).map(str::to_owned);
    let default = schema.get("default").map(|value| format!("{value} if not given"));
    let narrower: Vec<String> = format.into_iter().chain(span(schema)).chain(default).collect();
    if narrower.is_empty() {
        types
    } else {
        format!("{types} ({})", narrower.join("; "))
    }
}

/// How small and how large a number may be.
fn span(schema: &Value) -> Option<String> {
    match (schema.get("minimum"), schema.get("maximum")) {
        (Some(least), Some(most)) => Some(format!("{least} to {most}")),
        (Some(least), None) => Some(format!("{least} or more")),
        (None, Some(most)) => Some(format!("{most} at most")),
        (None, None) => None,
    }
}

fn array<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    let found = value.pointer(pointer).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

fn text(value: &Value, pointer: &str) -> String {
    escaped(value.pointer(pointer).and_then(Value::as_str).unwrap_or_default())
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn the_policy_allows_exactly_the_style() {
        let hash = STANDARD.encode(Sha256::digest(STYLE));
        assert!(POLICY.contains(&format!("style-src 'sha256-{hash}'")), "{hash}");
    }

    #[test]
    fn numbers_say_how_small_and_how_large() {
        for (schema, words) in [
            (
                json!({ "type": "integer", "minimum": 1, "maximum": 500, "default": 100 }),
                "integer (1 to 500; 100 if not given)",
            ),
            (json!({ "type": "integer", "minimum": 0 }), "integer (0 or more)"),
            (
                json!({ "type": ["integer", "null"], "maximum": 9 }),
                "integer or null (9 at most)",
            ),
            (json!({ "type": "integer" }), "integer"),
            (json!({ "type": "string", "format": "uuid" }), "string (uuid)"),
        ] {
            assert_eq!(takes(&schema), words);
        }
    }

    #[test]
    fn every_text_is_escaped() {
        let evil = "<script>alert(\"1\")</script>&";
        let page = page(&json!({
            "info": { "title": evil, "version": evil, "description": evil },
            "tags": [{ "name": evil, "description": evil }],
            "paths": { evil: { evil: { "tags": [evil], "operationId": evil, "summary": evil, "description": evil,
                "parameters": [{ "name": evil, "in": evil, "description": evil, "schema": { "enum": [evil] } }],
                "responses": { evil: { "description": evil } } } } },
            "components": { "schemas": { evil: { "properties": { evil: { "type": evil, "format": evil } } } } }
        }));
        assert!(page.contains("&lt;script&gt;"));
        assert!(!page.contains("<script") && !page.contains("\"1\""), "{page}");
    }
}
