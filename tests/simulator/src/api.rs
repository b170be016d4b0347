//! The API that DigitalOcean documents: `/v2/…`.
//!
//! Called by `gate` once a request is let in. Routes come from the collections' definitions; only account
//! and projects have lines of their own. It refuses everything it has no route for with DO's 404, and what
//! the token's scopes do not allow with its 403.

use std::{borrow::Cow, sync::Arc};

use axum::body::Bytes;
use serde_json::{Map, Value, json};

use crate::{
    answer::Answer,
    call::{Call, Window},
    collection::{Collection, Item},
    definition::Paging,
    effects::{self, Listed, Place},
    faults::FaultKind,
    members::Member,
    page::{Links, Page, Shape},
    problem::Problem,
    token::Scopes,
    world::{PROJECTS, World},
};

enum Route {
    Account,
    List(String),
    One(String, String),
    Members(String),
    CreateProject,
    Assign(String),
    /// The path is known, the method is not.
    Method,
    Nothing,
}

/// Whether the request is for a list, which some faults need.
pub fn is_list(world: &World, call: &Call) -> bool {
    matches!(route(world, call), Route::List(_) | Route::Members(_))
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
            Route::One(PROJECTS.to_owned(), world.default_project().to_owned())
        }
        ["v2", rest @ ..] => {
            let (head, last) = (rest.join("/"), rest.split_last());
            let known = |name: &str| world.collection(name).is_ok();
            match last {
                _ if known(&head) && get => Route::List(head),
                Some((id, name)) if known(&name.join("/")) && get => {
                    Route::One(name.join("/"), (*id).to_owned())
                }
                Some((_, name)) if known(&head) || known(&name.join("/")) => Route::Method,
                _ => Route::Nothing,
            }
        }
        _ => Route::Nothing,
    }
}

/// A request past the gate, with the fault that fires on it.
pub struct Request<'a> {
    pub call: &'a Call,
    pub scopes: &'a Scopes,
    pub kind: &'a FaultKind,
    pub number: u64,
}

impl Request<'_> {
    pub fn serve(&self, world: &mut World) -> Result<Answer, Problem> {
        match route(world, self.call) {
            Route::Account => {
                self.need(&["account:read"])?;
                Ok(Answer::json(200, world.account()))
            }
            Route::List(name) => {
                let answer = self.list(world.collection(&name)?)?;
                effects::afterwards(self.kind, world, &Listed::Collection(name));
                Ok(answer)
            }
            Route::One(name, id) => {
                let collection = world.collection(&name)?;
                self.need(&[&collection.kind.definition.scope])?;
                let item = collection.get(&id).ok_or_else(Problem::not_found)?;
                let singular = Value::from(collection.kind.definition.singular.as_str());
                let body = String::from_utf8_lossy(&self.visible(collection, item)).into_owned();
                Ok(Answer::rendered(200, format!("{{{singular}:{body}}}")))
            }
            Route::Members(project) => {
                self.need(&["project:read"])?;
                let rows = self.member_rows(world, &project, &Map::new());
                let answer = self.envelope("resources", "urn", Paging::Paged, Cow::Owned(rows), None)?;
                effects::afterwards(self.kind, world, &Listed::Members(project));
                Ok(answer)
            }
            Route::CreateProject => {
                self.need(&["project:create"])?;
                let project = world.create_project(self.call.json()?)?;
                Ok(Answer::json(201, &json!({ "project": project })))
            }
            Route::Assign(project) => self.assign(world, &project),
            Route::Method => Err(Problem::new(405, "method_not_allowed", "Not with this method.")),
            Route::Nothing => Err(Problem::not_found()),
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

    fn list(&self, collection: &Collection) -> Result<Answer, Problem> {
        let definition = &collection.kind.definition;
        self.need(&[&definition.scope])?;
        let rows = collection.select(&self.call.query)?;
        let (root, id_field) = (definition.root.as_str(), definition.id.field.as_str());
        self.envelope(root, id_field, definition.paging, rows, Some(collection))
    }

    fn envelope(
        &self,
        root: &str,
        id_field: &str,
        paging: Paging,
        rows: Cow<'_, [Arc<Item>]>,
        collection: Option<&Collection>,
    ) -> Result<Answer, Problem> {
        let paged = paging == Paging::Paged;
        let window = if paged {
            self.call.window()?
        } else {
            Window::default()
        };
        let rows = effects::rows(self.kind, rows, self.number);
        let total = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        let last = if paged {
            total.div_ceil(window.per_page).max(1)
        } else {
            1
        };
        let shown = effects::shown_page(self.kind, window.page);
        let (skip, take) = if paged {
            ((shown - 1).saturating_mul(window.per_page), window.per_page)
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
        let bytes = |item: &Arc<Item>| match collection {
            Some(collection) => self.visible(collection, item),
            None => item.bytes.clone(),
        };
        let mut page = Page {
            root: root.to_owned(),
            rows: on_page.map(bytes).collect(),
            shape: Shape::List,
            meta: paged.then(|| json!({ "total": total })),
            links: paged.then(|| Links::new(window.page, last, |number| self.call.page_url(number))),
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

    /// The item without the fields this token's scopes hide.
    fn visible(&self, collection: &Collection, item: &Item) -> Bytes {
        let hidden = &collection.kind.definition.hidden;
        let hidden: Vec<&String> = hidden
            .iter()
            .filter(|(scope, _)| !self.scopes.allow(scope))
            .flat_map(|(_, fields)| fields)
            .collect();
        if hidden.is_empty() {
            return item.bytes.clone();
        }
        let mut object = item.object();
        object.retain(|field, _| !hidden.contains(&field));
        Bytes::from(Value::Object(object).to_string())
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
            (Some((owner, id)), _) => format!("{}/{id}", owner.kind.definition.path),
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
            meta: None,
            links: None,
        };
        Ok(Answer::rendered(200, page.render()))
    }
}

fn member_row(urn: &str, member: &Member, link: &str, status: &str) -> String {
    json!({"urn": urn, "assigned_at": member.assigned_at, "links": {"self": link}, "status": status})
        .to_string()
}
