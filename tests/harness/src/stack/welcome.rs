//! What is said when the stack is ready: what was mirrored, where things are, and some commands that work.
//!
//! The counts come through the API with the operator's token, as anybody would get them: if they are there, the
//! whole way from DigitalOcean to the API works. It stops counting at ten thousand.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::Stack;
use super::template::Template;
use crate::failure::Failure;
use crate::http;

/// Pages of 200: enough for every account that fits a laptop's patience.
const PAGES: usize = 50;

pub(super) fn say_hello(
    stack: &Stack,
    template: &Template,
    counts: &Counts,
    say: &dyn Fn(&str),
) -> Result<(), Failure> {
    let total: usize = counts.kinds.values().sum();
    let list: Vec<String> = counts
        .kinds
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    let more = if counts.more { " and more" } else { "" };
    let (api, operator) = (&stack.api_url, &stack.operator);
    let mut lines = vec![
        String::new(),
        format!("mirrored {total}{more} resources: {}", list.join(", ")),
        String::new(),
        format!("  API         {api}/api/v1/inventory"),
        format!("  database    {}", stack.database_url),
        format!("  AWS         {} (moto)", stack.aws.url()),
    ];
    match stack.upstream.control_url() {
        Some(control) => lines.push(format!(
            "  simulator   {} (control: {control})",
            stack.upstream.base_url()
        )),
        None => lines.push(format!("  upstream    {} (live)", stack.upstream.base_url())),
    }
    lines.push("  variables   .local/stack.env".to_owned());
    lines.push("  functions   log in .local/functions.log".to_owned());
    for worker in &template.schedules {
        lines.push(format!("              {} {}", worker.binary, worker.expression));
    }
    lines.push(String::new());
    lines.push(format!("operator's token: {operator}"));
    for (tenant, token) in &stack.tenants {
        lines.push(format!("token of tenant {tenant}: {token}"));
    }
    lines.push(String::new());
    lines.push(format!("curl -s {api}/api/health"));
    lines.push(format!(
        "curl -s -H 'Authorization: Bearer {operator}' '{api}/api/v1/inventory?limit=3'"
    ));
    lines.push(format!(
        "curl -s -H 'Authorization: Bearer {operator}' '{api}/api/v1/billing/costs?group_by=tenant'"
    ));
    lines.push(format!(
        "curl -s -X POST {api}/2015-03-31/functions/sync-droplets/invocations -d '{{}}'"
    ));
    lines.push(String::new());
    lines.push("ready; ticking until Ctrl-C".to_owned());
    for line in lines {
        say(&line);
    }
    Ok(())
}

/// How many of each kind, and whether there are more.
#[derive(Default)]
pub(super) struct Counts {
    kinds: BTreeMap<String, usize>,
    more: bool,
}

pub(super) async fn count(stack: &Stack) -> Result<Counts, Failure> {
    let client = http::client(Duration::from_secs(60))?;
    let mut counts = Counts {
        more: true,
        ..Counts::default()
    };
    let mut cursor = String::new();
    for _ in 0..PAGES {
        let url = format!("{}/api/v1/inventory?limit=200{cursor}", stack.api_url);
        let page = http::get_json(&client, &url, Some(&stack.operator)).await?;
        for resource in page.get("data").and_then(Value::as_array).into_iter().flatten() {
            let kind = resource.get("kind").and_then(Value::as_str).unwrap_or("?");
            *counts.kinds.entry(kind.to_owned()).or_insert(0) += 1;
        }
        let Some(next) = page.pointer("/page/next_cursor").and_then(Value::as_str) else {
            counts.more = false;
            break;
        };
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        cursor = format!("&cursor={next}");
    }
    Ok(counts)
}
