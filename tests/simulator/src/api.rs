//! The API that DigitalOcean documents: `/v2/…`.
//!
//! Called by `gate` once a request is let in. Routes come from the collections' definitions; only account, money,
//! memberships and the making of projects have lines of their own. It refuses everything it has no route for with DO's 404, and what
//! the token's scopes do not allow with its 403.

use std::{borrow::Cow, sync::Arc};

use axum::body::Bytes;
use serde_json::{Map, Value, json};

use crate::{
    answer::Answer,
    billing::answers::{self as billing, Billed},
    call::{Call, Window},
    collection::{Collection, Item},
    definition::{OwnLimit, Paging},
    effects::{self, Listed, Place},
    faults::FaultKind,
    members::Member,
    page::{Links, Page, Shape},
    problem::Problem,
    shown::{Eyes, Shown},
    token::Scopes,
    volatile::Moment,
    world::{PROJECTS, World},
};

enum Route {
    Account,
    List(Target),
    One(Target, String),
    Members(String),
    CreateProject,
    Assign(String),
    /// A path below `/v2/customers/my`.
    Billing(Vec<String>),
    /// The path is known, the method is not.
    Method,
    Nothing,
}

/// A collection under one of its addresses.
struct Target {
    name: String,
    /// Which of the kind's addresses.
    address: usize,
    parent: Option<String>,
}

/// The limit that this address has besides the token's own.
pub fn own_limit(world: &World, call: &Call) -> Option<(String, OwnLimit)> {
    match route(world, call) {
        Route::List(target) | Route::One(target, _) => {
            let limit = world.collection(&target.name).ok()?.kind.definition.own_limit?;
            Some((target.name, limit))
        }
        _ => None,
    }
}

/// Whether the request is for a list, which some faults need.
pub fn is_list(world: &World, call: &Call) -> bool {
    match route(world, call) {
        Route::List(_) | Route::Members(_) => true,
        Route::Billing(path) => billing::is_list(&path),
        _ => false,
    }
}

fn route(world: &World, call: &Call) -> Route {
    let segments = call.segments();
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    let (get, post) = (call.method == "GET", call.method == "POST");
    match parts.as_slice() {
        ["v2", "account"] if get => Route::Account,
        ["v2", "projects", project, "resources"] => match world.known_project(project) {
            _ if !get && !post => Route::Method,
            Some(id) if get => Route::Members(id),
            Some(id) => Route::Assign(id),
            None => Route::Nothing,
        },
        ["v2", "projects"] if post => Route::CreateProject,
        ["v2", "projects", "default"] if get => {
            let target = Target {
                name: PROJECTS.to_owned(),
                address: 0,
                parent: None,
            };
            Route::One(target, world.default_project().to_owned())
        }
        ["v2", "customers", "my", rest @ ..] if get => {
            Route::Billing(rest.iter().map(|part| (*part).to_owned()).collect())
        }
        path => match (listed(world, path), get) {
            (None, _) => Route::Nothing,
            (Some(_), false) => Route::Method,
            (Some((target, None)), true) => Route::List(target),
            (Some((target, Some(id))), true) => Route::One(target, id),
        },
    }
}

/// The collection that a path means, and the item. `/v2/droplets/autoscale` is a list, not a droplet.
fn listed(world: &World, path: &[&str]) -> Option<(Target, Option<String>)> {
    let mut one = None;
    for collection in world.collections() {
        for (address, place) in collection.kind.addresses.iter().enumerate() {
            let Some(asked) = place.asked(path) else { continue };
            let target = Target {
                name: collection.kind.name.clone(),
                address,
                parent: asked.parent.map(str::to_owned),
            };
            match asked.id {
                None => return Some((target, None)),
                Some(id) => one = Some((target, Some(id.to_owned()))),
            }
        }
    }
    one
}

/// A request past the gate, with the fault that fires on it.
pub struct Request<'a> {
    pub call: &'a Call,
    pub scopes: &'a Scopes,
    pub kind: &'a FaultKind,
    pub number: u64,
    /// Set while what changes by itself does.
    pub moment: Option<Moment>,
}

impl Request<'_> {
    pub fn serve(&self, world: &mut World) -> Result<Answer, Problem> {
        match route(world, self.call) {
            Route::Account => {
                self.need(&["account:read"])?;
                Ok(Answer::json(200, world.account()))
            }
            Route::List(target) => {
                let answer = self.list(world, &target)?;
                effects::afterwards(self.kind, world, &Listed::Collection(target.name));
                Ok(answer)
            }
            Route::One(target, id) => {
                let collection = self.readable(world, &target)?;
                let item = collection
                    .found(&id, target.parent.as_deref())
                    .ok_or_else(Problem::not_found)?;
                let address = collection.kind.addresses.get(target.address);
                let singular = address.map(|address| address.singular.as_str());
                let shown = Shown::of(collection, self.eyes(world, None)).bytes(item);
                let body = String::from_utf8_lossy(&shown).into_owned();
                let singular = Value::from(singular.unwrap_or_default());
                Ok(Answer::rendered(200, format!("{{{singular}:{body}}}")))
            }
            Route::Members(project) => {
                self.need(&["project:read"])?;
                let rows = self.member_rows(world, &project, &Map::new());
                let (whole, rows) = (|item: &Arc<Item>| item.bytes.clone(), Cow::Owned(rows));
                let answer = self.envelope(
                    ("resources", "urn"),
                    Paging::Paged,
                    (rows, None),
                    Vec::new(),
                    &whole,
                )?;
                effects::afterwards(self.kind, world, &Listed::Members(project));
                Ok(answer)
            }
            Route::CreateProject => {
                self.need(&["project:create"])?;
                let project = world.create_project(self.call.json()?)?;
                Ok(Answer::json(201, &json!({ "project": project })))
            }
            Route::Assign(project) => self.assign(world, &project),
            Route::Billing(path) => self.billing(world, &path),
            Route::Method => Err(Problem::new(405, "method_not_allowed", "Not with this method.")),
            Route::Nothing => Err(Problem::not_found()),
        }
    }

    fn billing(&self, world: &mut World, path: &[String]) -> Result<Answer, Problem> {
        self.need(&["billing:read"])?;
        let mut window = self.call.window()?;
        window.page = effects::shown_page(self.kind, window.page);
        match world.ledger.answer(path, window)? {
            Billed::Whole(answer) => Ok(answer),
            Billed::List(list) => {
                let (whole, rows) = (|item: &Arc<Item>| item.bytes.clone(), Cow::Owned(list.rows));
                let keys = (list.root, list.id_field);
                self.envelope(keys, Paging::Paged, (rows, list.all), list.beside, &whole)
            }
        }
    }

    /// Any one of these scopes is enough.
    fn need(&self, scopes: &[&str]) -> Result<(), Problem> {
        if scopes.iter().any(|scope| self.scopes.allow(scope)) {
            Ok(())
        } else {
            Err(Problem::forbidden())
        }
    }

    /// The collection, if the token may read it and its parent is there.
    fn readable<'w>(&self, world: &'w World, target: &Target) -> Result<&'w Collection, Problem> {
        let collection = world.collection(&target.name)?;
        let definition = &collection.kind.definition;
        for scope in definition.more_scopes.iter().chain([&definition.scope]) {
            self.need(&[scope])?;
        }
        if let (Some(parent), Some(id)) = (&definition.parent, &target.parent)
            && world.collection(&parent.collection)?.get(id).is_none()
        {
            return Err(Problem::not_found());
        }
        Ok(collection)
    }

    fn eyes<'w>(&'w self, world: &'w World, listing: Option<&'w Call>) -> Eyes<'w> {
        Eyes {
            world,
            scopes: self.scopes,
            listing,
            moment: self.moment,
        }
    }

    fn list(&self, world: &World, target: &Target) -> Result<Answer, Problem> {
        let collection = self.readable(world, target)?;
        let definition = &collection.kind.definition;
        let rows = collection.select(&self.call.query, target.parent.as_deref())?;
        let address = collection.kind.addresses.get(target.address);
        let root = address.map_or(definition.root.as_str(), |address| address.root.as_str());
        let shown = Shown::of(collection, self.eyes(world, Some(self.call)));
        let keys = (root, definition.id.field.as_str());
        self.envelope(keys, definition.paging, (rows, None), Vec::new(), &|item| {
            shown.bytes(item)
        })
    }

    fn envelope(
        &self,
        (root, id_field): (&str, &str),
        paging: Paging,
        // Every row; or those of the asked page, and how many there are in all.
        (rows, all): (Cow<'_, [Arc<Item>]>, Option<u64>),
        more: Vec<(&'static str, Value)>,
        shown: &dyn Fn(&Arc<Item>) -> Bytes,
    ) -> Result<Answer, Problem> {
        let paged = paging != Paging::Unpaged;
        let window = if paged {
            self.call.window()?
        } else {
            Window::default()
        };
        let given = rows.len();
        let rows = effects::rows(self.kind, rows, self.number);
        let missing = u64::try_from(given.saturating_sub(rows.len())).unwrap_or(0);
        let total = match all {
            Some(_) if rows.is_empty() && given > 0 => 0,
            Some(all) => all.saturating_sub(missing),
            None => u64::try_from(rows.len()).unwrap_or(u64::MAX),
        };
        let last = if paged {
            total.div_ceil(window.per_page).max(1)
        } else {
            1
        };
        let shown_page = effects::shown_page(self.kind, window.page);
        let (skip, take) = if all.is_some() {
            (0, window.per_page)
        } else if paged {
            ((shown_page - 1).saturating_mul(window.per_page), window.per_page)
        } else {
            (0, total)
        };
        let (skip, take) = (
            usize::try_from(skip).unwrap_or(usize::MAX),
            usize::try_from(take).unwrap_or(usize::MAX),
        );
        let on_page = rows
            .get(skip.min(rows.len())..)
            .unwrap_or_default()
            .iter()
            .take(take);
        let mut page = Page {
            root: root.to_owned(),
            rows: on_page.map(shown).collect(),
            shape: Shape::List,
            style: paging,
            total: Some(Value::from(total)),
            links: Some(Links::new(window.page, last, |number| self.call.page_url(number))),
            more,
            number: window.page,
            pages: last,
        };
        effects::page(
            self.kind,
            &mut page,
            &Place {
                page: window.page,
                total,
                id_field,
            },
            self.call,
        );
        Ok(Answer::rendered(200, page.render()))
    }

    /// A project's membership rows, those only whose kind the token may read.
    fn member_rows(&self, world: &World, project: &str, statuses: &Map<String, Value>) -> Vec<Arc<Item>> {
        let readable = |urn: &str| {
            let owner = world.owner_of(urn);
            owner.is_none_or(|(owner, _)| self.scopes.allow(&owner.kind.definition.scope))
        };
        let rows = world.membership().of(project).filter(|(urn, _)| readable(urn));
        rows.map(|(urn, member)| {
            let link = member.link.clone().unwrap_or_else(|| self.link(world, urn));
            let status = statuses
                .get(urn)
                .and_then(Value::as_str)
                .unwrap_or(&member.status);
            Item::loose(urn.clone(), Bytes::from(member_row(urn, member, &link, status)))
        })
        .collect()
    }

    fn link(&self, world: &World, urn: &str) -> String {
        let path = match (
            world.owner_of(urn),
            urn.strip_prefix("do:").and_then(|rest| rest.split_once(':')),
        ) {
            (Some((owner, id)), _) => owner.kind.path_of(id),
            (None, Some((kind, id))) => format!("/v2/{kind}s/{id}"),
            (None, None) => String::new(),
        };
        format!("http://{}{path}", self.call.host)
    }

    /// All or nothing: an unknown URN leaves everything where it is. The answer lists every member.
    fn assign(&self, world: &mut World, project: &str) -> Result<Answer, Problem> {
        self.need(&["project:assign_resource", "project:update"])?;
        let body = self.call.json()?;
        let urns = body.get("resources").and_then(Value::as_array);
        let urns = urns.ok_or_else(|| Problem::unprocessable("resources must be a list of URNs"))?;
        let urns = urns
            .iter()
            .map(|urn| urn.as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>();
        let urns = urns.ok_or_else(|| Problem::unprocessable("a URN is text"))?;
        for urn in &urns {
            let known = match world.owner_of(urn) {
                Some((owner, id)) => {
                    self.need(&[&owner.kind.definition.scope])?;
                    owner.get(id).is_some()
                }
                None => world.membership().get(urn).is_some(),
            };
            if !known {
                return Err(Problem::not_found());
            }
        }
        let mut statuses = Map::new();
        for urn in urns {
            let status = if world.assign(&urn, project)? {
                "already_assigned"
            } else {
                "assigned"
            };
            statuses.insert(urn, Value::from(status));
        }
        let rows = self.member_rows(world, project, &statuses);
        let rows = rows.iter().map(|row| row.bytes.clone()).collect();
        let page = Page {
            root: "resources".to_owned(),
            rows,
            shape: Shape::List,
            style: Paging::Unpaged,
            total: None,
            links: None,
            more: Vec::new(),
            number: 1,
            pages: 1,
        };
        Ok(Answer::rendered(200, page.render()))
    }
}

fn member_row(urn: &str, member: &Member, link: &str, status: &str) -> String {
    json!({"urn": urn, "assigned_at": member.assigned_at, "links": {"self": link}, "status": status})
        .to_string()
}
