//! What there is: `GET /api/v1/inventory`.
//!
//! An operator sees everything, a tenant what it owns. Filters are joined by "and", each given once. A tenant that
//! asks for another tenant's things by name is told 403: that is a mistake to be told of, and the same answer
//! whether or not such a tenant exists. `as_of` is refused until the mirror can answer for the past.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use shared::inventory::read::{self, ATTRIBUTIONS, Filter, Sort};
use uuid::Uuid;

use crate::api;
use crate::api::access::Caller;
use crate::api::error::Problem;
use crate::api::page;
use crate::api::query::Parameters;

const PARAMETERS: [&str; 14] = [
    "kind",
    "status",
    "region",
    "project_id",
    "tenant_id",
    "attribution",
    "tag",
    "q",
    "updated_since",
    "include_deleted",
    "as_of",
    "sort",
    "limit",
    "cursor",
];

/// `GET /api/v1/inventory`
///
/// # Errors
/// 400 for parameters, 403 for another tenant's things, 503 while the database is away.
pub async fn list(
    caller: Caller,
    State(state): State<Arc<api::State>>,
    request: Request,
) -> Result<Response, Problem> {
    let mut parameters = Parameters::of(&request, &PARAMETERS);
    let filter = filter(&mut parameters);
    parameters.parsed("as_of", |_| Err::<(), _>("is not available yet"));
    let sort: Sort = parameters.parsed("sort", str::parse).unwrap_or_default();
    let limit = page::limit(&mut parameters);
    let after = page::cursor(&mut parameters, sort);
    parameters.check()?;
    if let (Some(own), Some(asked)) = (caller.scope().tenant(), &filter.tenant_id)
        && own != asked
    {
        return Err(Problem::forbidden("A tenant can list its own resources only."));
    }
    let pool = state.database().await?;
    let found = read::list(&pool, caller.scope(), &filter, sort, after.as_ref(), limit).await?;
    page::answer(&parameters, limit, &found.items, found.more, |item| {
        item.position(sort.key)
    })
}

fn filter(parameters: &mut Parameters) -> Filter {
    Filter {
        kind: parameters.parsed("kind", kind),
        status: parameters.text("status"),
        region: parameters.text("region"),
        project_id: parameters.parsed("project_id", id),
        tenant_id: parameters.text("tenant_id"),
        attribution: parameters.parsed("attribution", attribution),
        tag: parameters.text("tag"),
        q: parameters.text("q"),
        updated_since: parameters.parsed("updated_since", moment),
        include_deleted: parameters.parsed("include_deleted", truth).unwrap_or_default(),
    }
}

/// Any well-formed kind: the set is open, because a new type of DigitalOcean's is kept under its own name.
fn kind(text: &str) -> Result<String, &'static str> {
    let well_formed = text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if well_formed {
        Ok(text.to_owned())
    } else {
        Err("must be a kind such as droplet or dns_zone")
    }
}

fn id(text: &str) -> Result<Uuid, &'static str> {
    // Only the usual form: `urn:uuid:` and braces are not what we give out.
    let usual = text.len() == 36;
    text.parse().ok().filter(|_| usual).ok_or("must be a UUID")
}

fn attribution(text: &str) -> Result<String, &'static str> {
    let known = ATTRIBUTIONS.contains(&text);
    known
        .then(|| text.to_owned())
        .ok_or("must be operator, item, membership, parent, fallback or none")
}

fn moment(text: &str) -> Result<DateTime<Utc>, &'static str> {
    // A plus sign that nobody encoded arrives as a space.
    DateTime::parse_from_rfc3339(&text.replace(' ', "+"))
        .map(|moment| moment.to_utc())
        .map_err(|_| "must be a time as in RFC 3339, such as 2026-01-31T00:00:00Z")
}

fn truth(text: &str) -> Result<bool, &'static str> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_literally_or_not_at_all() {
        for good in ["droplet", "k8s_cluster", "quantumdroplet"] {
            assert!(kind(good).is_ok(), "{good}");
        }
        for bad in ["Droplet", "8ball", "_x", "dns-zone", "droplet'", "dröplet"] {
            assert!(kind(bad).is_err(), "{bad}");
        }
        assert!(id("0197e7a0-0000-7000-8000-000000000001").is_ok());
        for bad in [
            "",
            "1",
            "0197e7a0000070008000000000000001",
            "{0197e7a0-0000-7000-8000-000000000001}",
        ] {
            assert!(id(bad).is_err(), "{bad}");
        }
        for good in [
            "2026-01-31T00:00:00Z",
            "2026-01-31T01:00:00 01:00",
            "2026-01-31T00:00:00.123456+00:00",
        ] {
            assert!(moment(good).is_ok(), "{good}");
        }
        for bad in [
            "2026-01-31",
            "2026-02-30T00:00:00Z",
            "yesterday",
            "1767225600",
            "2026-01-31 00:00:00Z",
        ] {
            assert!(moment(bad).is_err(), "{bad}");
        }
        for bad in ["True", "1", "yes", ""] {
            assert!(truth(bad).is_err(), "{bad}");
        }
    }
}
