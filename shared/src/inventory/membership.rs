//! Who is in which project, and what that says about whose things are.
//!
//! DigitalOcean keeps every such thing in exactly one project, so a thing leaves a project only by entering
//! another. A member that is not listed is therefore *unknown* (the token may not read its kind), and its row
//! stays; a member that is `not_found` or whose service is down changes nothing either. Every difference that
//! this makes to a resource goes through the same door as any other change: one row, one event.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::{Actor, BATCH, Error, apply, enter, leave};
use crate::database::Pool;
use crate::digitalocean::listing::Unreadable;
use crate::kinds::project::PROJECT;
use crate::kinds::{CATALOGUE, Kind, PROVIDER, Sighting, urn};
use crate::runs::Lease;

/// One row of a project's resources.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Member {
    /// DigitalOcean's identity of the thing.
    pub urn: String,
    /// Where it is said to be; of a bucket, its public address.
    #[serde(default, deserialize_with = "own_link")]
    pub links: Option<String>,
    /// When it came into the project, if that is known.
    pub assigned_at: Option<DateTime<Utc>>,
    /// `ok`, `assigned`, `already_assigned`, `not_found`, `service_down`.
    #[serde(default)]
    pub status: String,
}

/// `links.self`; what has another shape says nothing.
fn own_link<'d, D: Deserializer<'d>>(links: D) -> Result<Option<String>, D::Error> {
    let links = Value::deserialize(links)?;
    Ok(links.get("self").and_then(Value::as_str).map(str::to_owned))
}

impl Member {
    /// What a row says of a thing that no listing tells of: its identity, and the region of a bucket.
    pub fn sighting(&self, kind: &Kind, provider_id: &str) -> Option<Sighting> {
        let address = self.links.as_deref();
        let item = match address.and_then(|link| bucket_region(link, provider_id)) {
            Some(region) => serde_json::json!({ "id": provider_id, "name": provider_id, "region": region }),
            None => serde_json::json!({ "id": provider_id, "name": provider_id }),
        };
        self.is_certain()
            .then(|| Sighting::read(kind, &item.to_string()).ok())
            .flatten()
    }

    /// Reads one row.
    ///
    /// # Errors
    /// When it is no membership.
    pub fn read(item: &str) -> Result<Self, Unreadable> {
        serde_json::from_str(item).map_err(|_| Unreadable("a project's member is not readable".into()))
    }

    fn is_certain(&self) -> bool {
        matches!(self.status.as_str(), "ok" | "assigned" | "already_assigned") && !self.urn.contains('\0')
    }
}

/// The region in a bucket's address, `https://<bucket>.<region>.digitaloceanspaces.com`. Names of buckets may have dots.
fn bucket_region<'l>(link: &'l str, bucket: &str) -> Option<&'l str> {
    let host = link.split_once("://")?.1.split('/').next()?;
    let region = host
        .strip_suffix(".digitaloceanspaces.com")?
        .strip_prefix(bucket)?
        .strip_prefix('.')?;
    (!region.is_empty() && !region.contains('.')).then_some(region)
}

/// The members of every project, in the order in which the projects were walked.
#[derive(Debug)]
pub struct Memberships {
    /// DigitalOcean's project id, and its members as far as they were listed.
    pub projects: Vec<(String, Vec<Member>)>,
    /// Whether every project was listed to its end.
    pub complete: bool,
}

/// What a membership pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Settled {
    /// Members that are new or have moved.
    pub members: u64,
    /// Resources whose project, tenant or rule changed.
    pub attributed: u32,
}

/// Remembers who is in which project, and moves every resource that this says something new about.
/// `fallback` names the project of things that are in none.
///
/// # Errors
/// See [`Error`]; nothing is half done.
pub async fn settle(
    pool: &Pool,
    actor: Actor<'_>,
    memberships: &Memberships,
    fallback: Option<&str>,
    begun_at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Settled, Error> {
    let mut door = enter(pool, actor, &PROJECT, begun_at).await?;
    // A thing that moved during the pass is listed twice: the later walk is the newer truth.
    let mut latest = BTreeMap::new();
    for (project, members) in &memberships.projects {
        for member in members.iter().filter(|member| member.is_certain()) {
            if let Some(urn) = urn::parse(&member.urn) {
                latest.insert(
                    (urn.kind.into_owned(), urn.provider_id),
                    (project.as_str(), member),
                );
            }
        }
    }
    let (mut projects, mut urns, mut kinds, mut ids) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut assigned, mut statuses) = (Vec::new(), Vec::new());
    for ((kind, id), (project, member)) in latest {
        projects.push(project.to_owned());
        urns.push(member.urn.clone());
        kinds.push(kind);
        ids.push(id.to_owned());
        assigned.push(member.assigned_at);
        statuses.push(member.status.clone());
    }
    // A type that has been given a kind's name since.
    sqlx::query!(
        "UPDATE cloud_project_members m SET kind = t.kind, provider_id = t.provider_id
         FROM unnest($2::text[], $3::text[], $4::text[]) AS t(urn, kind, provider_id)
         WHERE m.provider = $1 AND m.urn = t.urn AND (m.kind, m.provider_id) <> (t.kind, t.provider_id)",
        PROVIDER,
        &urns,
        &kinds,
        &ids
    )
    .execute(&mut *door)
    .await?;
    let members = sqlx::query!(
        "INSERT INTO cloud_project_members AS m (provider, urn, cloud_project_id, kind, provider_id, assigned_at, status)
         SELECT $1, t.urn, p.id, t.kind, t.provider_id, t.assigned_at, t.status
         FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[])
              AS t(project, urn, kind, provider_id, assigned_at, status)
         JOIN cloud_projects p ON p.provider = $1 AND p.provider_id = t.project
         LEFT JOIN cloud_project_members old
              ON old.provider = $1 AND old.kind = t.kind AND old.provider_id = t.provider_id
         WHERE old.urn IS NULL OR old.cloud_project_id <> p.id
         ORDER BY t.kind, t.provider_id
         ON CONFLICT (provider, kind, provider_id) DO UPDATE
         SET urn = excluded.urn, cloud_project_id = excluded.cloud_project_id, assigned_at = excluded.assigned_at,
             status = excluded.status",
        PROVIDER,
        &projects,
        &urns,
        &kinds,
        &ids,
        &assigned as _,
        &statuses
    )
    .execute(&mut *door)
    .await?
    .rows_affected();
    // In no project: only a pass that saw everything, and this kind in particular, can say that.
    let fallback = match fallback {
        Some(name) if memberships.complete => {
            let mut seen: Vec<String> = kinds;
            seen.sort_unstable();
            seen.dedup();
            seen.retain(|name| CATALOGUE.iter().any(|kind| kind.in_projects && kind.name == name));
            Some(Fallback {
                project: name,
                kinds: seen,
                begun_at,
            })
        }
        _ => None,
    };
    leave(door, actor).await?;
    // In batches, each under the lock for a moment: the first pass over a large account moves everything. Until nothing
    // moves any more: what belongs to something follows it a step behind.
    let within = Within {
        fallback,
        ..Within::default()
    };
    let mut attributed = 0;
    for _ in 0..MOST_BATCHES {
        let mut door = enter(pool, actor, &PROJECT, begun_at).await?;
        let moved = reattribute(&mut door, actor, &within, now).await?;
        leave(door, actor).await?;
        attributed += moved;
        // What was taken back would be moved for ever.
        if moved == 0 || actor.lease.is_some_and(Lease::is_rehearsal) {
            break;
        }
    }
    Ok(Settled {
        members,
        attributed: u32::try_from(attributed).unwrap_or(u32::MAX),
    })
}

/// Two million moves in one pass are a loop.
const MOST_BATCHES: usize = 1_000;

/// The project of things that are in none.
pub(super) struct Fallback<'a> {
    /// Its name.
    project: &'a str,
    /// The kinds of which the pass saw members: of others it cannot say that something is in no project.
    kinds: Vec<String>,
    /// Start of the pass: what was made since may have got its project behind the pass's back.
    begun_at: DateTime<Utc>,
}

/// Which attributions are looked at, and why.
#[derive(Default)]
pub(super) struct Within<'a> {
    /// Only what is to be in this project; `None`: everything.
    pub(super) project: Option<Uuid>,
    /// Only these resources.
    pub(super) only: Option<&'a [Uuid]>,
    /// The operator's reason, for the events.
    pub(super) reason: Option<&'a str>,
    /// Where things in no project belong, if that can be said now.
    pub(super) fallback: Option<Fallback<'a>>,
}

/// Has everything that belongs to these resources follow them, and what belongs to that. Answers how many moved.
pub(super) async fn follow(
    door: &mut Transaction<'_, Postgres>,
    actor: Actor<'_>,
    reason: Option<&str>,
    mut parents: Vec<Uuid>,
    now: DateTime<Utc>,
) -> Result<usize, Error> {
    let mut moved = 0;
    // A chain has three links at most (cluster, worker, its snapshot); one that bites its tail must end, too.
    for _ in 0..4 {
        if parents.is_empty() {
            break;
        }
        let children: Vec<Uuid> = sqlx::query_scalar!(
            "SELECT c.id FROM cloud_resources p
             JOIN cloud_resources c ON c.attrs->'parent'->>'kind' = p.kind AND c.attrs->'parent'->>'id' = p.provider_id
             WHERE p.id = ANY($1) AND c.provider = p.provider AND c.deleted_at IS NULL",
            &parents
        )
        .fetch_all(&mut **door)
        .await?;
        let within = Within {
            only: Some(&children),
            reason,
            ..Within::default()
        };
        while !children.is_empty() {
            let batch = reattribute(door, actor, &within, now).await?;
            moved += batch;
            if batch < BATCH {
                break;
            }
        }
        parents = children;
    }
    Ok(moved)
}

/// Writes attributions that are not what the ladder says now, a batch of them; answers how many. The operator's word
/// is left alone, and a rung that says nothing is skipped, so that nothing is ever blanked, but for what followed a parent
/// that belongs to nobody any more: the operator has taken his word back.
pub(super) async fn reattribute(
    door: &mut Transaction<'_, Postgres>,
    actor: Actor<'_>,
    within: &Within<'_>,
    now: DateTime<Utc>,
) -> Result<usize, Error> {
    let fallback = within.fallback.as_ref();
    let kinds = fallback.map_or(&[][..], |fallback| &fallback.kinds);
    // Whoever was given to a project stays there when its membership is not seen (`stays`): only its tenant follows. A
    // parent is asked even when it is only a tombstone; its project's tenant counts, unless the operator spoke for it.
    let found = sqlx::query!(
        r#"SELECT r.id, r.version, r.cloud_project_id, r.tenant_id, r.attribution,
                  want.project AS new_project, want.tenant AS new_tenant, want.rule AS "new_rule!"
           FROM cloud_resources r
           LEFT JOIN cloud_projects item
                ON item.provider = r.provider AND item.provider_id = r.attrs->>'project_id' AND item.deleted_at IS NULL
           LEFT JOIN cloud_project_members m
                ON m.provider = r.provider AND m.kind = r.kind AND m.provider_id = r.provider_id
           LEFT JOIN cloud_projects member ON member.id = m.cloud_project_id AND member.deleted_at IS NULL
           LEFT JOIN cloud_resources parent
                ON parent.provider = r.provider AND parent.kind = r.attrs->'parent'->>'kind'
                   AND parent.provider_id = r.attrs->'parent'->>'id'
           LEFT JOIN cloud_projects its ON its.id = parent.cloud_project_id AND parent.attribution <> 'operator'
           LEFT JOIN cloud_projects stays
                ON stays.id = r.cloud_project_id AND r.attribution <> 'none' AND stays.deleted_at IS NULL
                   AND (r.attribution <> 'parent' OR parent.attribution IS DISTINCT FROM 'none')
           LEFT JOIN cloud_projects last
                ON last.id = (SELECT min(f.id::text)::uuid FROM cloud_projects f
                              WHERE f.provider = $1 AND f.name = $2 AND f.deleted_at IS NULL)
                   AND r.kind = ANY($3::text[]) AND r.first_seen_at <= $4
           CROSS JOIN LATERAL (SELECT
                CASE WHEN item.id IS NOT NULL THEN item.id WHEN member.id IS NOT NULL THEN member.id
                     WHEN parent.attribution <> 'none' THEN parent.cloud_project_id
                     ELSE COALESCE(stays.id, last.id) END AS project,
                CASE WHEN item.id IS NOT NULL THEN item.tenant_id WHEN member.id IS NOT NULL THEN member.tenant_id
                     WHEN its.id IS NOT NULL THEN its.tenant_id
                     WHEN parent.attribution <> 'none' THEN parent.tenant_id
                     WHEN stays.id IS NOT NULL THEN stays.tenant_id ELSE last.tenant_id END AS tenant,
                CASE WHEN item.id IS NOT NULL THEN 'item' WHEN member.id IS NOT NULL THEN 'membership'
                     WHEN parent.attribution <> 'none' THEN 'parent' WHEN stays.id IS NOT NULL THEN r.attribution
                     WHEN last.id IS NOT NULL THEN 'fallback'
                     WHEN r.attribution = 'parent' AND parent.attribution = 'none' THEN 'none' END AS rule) want
           WHERE r.provider = $1 AND r.deleted_at IS NULL AND r.attribution <> 'operator' AND want.rule IS NOT NULL
             AND ($5::uuid IS NULL OR want.project = $5) AND ($6::uuid[] IS NULL OR r.id = ANY($6))
             AND (want.project, want.tenant, want.rule)
                 IS DISTINCT FROM (r.cloud_project_id, r.tenant_id, r.attribution)
           ORDER BY r.id LIMIT $7"#,
        PROVIDER,
        fallback.map(|fallback| fallback.project),
        kinds,
        fallback.map_or(now, |fallback| fallback.begun_at),
        within.project,
        within.only as _,
        i64::try_from(BATCH).unwrap_or(i64::MAX)
    )
    .fetch_all(&mut **door)
    .await?;
    let mut moves = Vec::new();
    for row in found {
        let mut changes = Map::new();
        let mut note = |field: &str, from: Value, to: Value| {
            if from != to {
                changes.insert(field.to_owned(), serde_json::json!({ "from": from, "to": to }));
            }
        };
        let id = |id: Option<Uuid>| id.map_or(Value::Null, |id| Value::from(id.to_string()));
        note("cloud_project_id", id(row.cloud_project_id), id(row.new_project));
        note(
            "tenant_id",
            row.tenant_id.clone().into(),
            row.new_tenant.clone().into(),
        );
        note("attribution", row.attribution.into(), row.new_rule.clone().into());
        let left_tenant_id = row
            .tenant_id
            .filter(|tenant| row.new_tenant.as_ref() != Some(tenant));
        moves.push(apply::Move {
            id: row.id,
            version: row.version + 1,
            cloud_project_id: row.new_project,
            tenant_id: row.new_tenant,
            attribution: row.new_rule,
            left_tenant_id,
            changes,
        });
    }
    apply::move_all(door, actor, within.reason, &moves, now).await?;
    Ok(moves.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_of_a_bucket_is_in_its_address() {
        for (link, bucket, region) in [
            (
                "https://assets.fra1.digitaloceanspaces.com",
                "assets",
                Some("fra1"),
            ),
            (
                "https://a.b.c.nyc3.digitaloceanspaces.com/",
                "a.b.c",
                Some("nyc3"),
            ),
            ("https://a.b.nyc3.digitaloceanspaces.com", "a", None),
            ("https://api.digitalocean.com/v2/droplets/1", "assets", None),
            ("https://assets.digitaloceanspaces.com", "assets", None),
            ("", "assets", None),
        ] {
            assert_eq!(bucket_region(link, bucket), region, "{link}");
        }
    }

    #[test]
    fn a_row_is_read_whatever_its_links_are() {
        for (row, link) in [
            (
                r#"{"urn": "do:space:a", "links": {"self": "x"}, "status": "ok"}"#,
                Some("x"),
            ),
            (r#"{"urn": "do:space:a", "links": {"self": 7}}"#, None),
            (r#"{"urn": "do:space:a", "links": null}"#, None),
            (r#"{"urn": "do:space:a", "links": []}"#, None),
            (r#"{"urn": "do:space:a"}"#, None),
        ] {
            assert_eq!(Member::read(row).unwrap().links.as_deref(), link, "{row}");
        }
    }
}
