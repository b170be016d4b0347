//! The account: who it is, its collections, and which project everything is in.
//!
//! Every mutation, by library, control endpoint, churn or API, ends here, so that a test may compare the
//! final world with a mirror of it. New resources land in the default project, as at DO.
//! It knows nothing of HTTP, tokens or faults, and real time never reaches it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    billing::Ledger,
    bonds, chance, clock,
    collection::{Collection, Making},
    kind,
    members::Members,
    problem::Problem,
    shown,
};

/// The collection that the others are filed into.
pub const PROJECTS: &str = "projects";

#[derive(Debug)]
pub struct World {
    seed: u64,
    /// Mutations so far; world time is one second each.
    tick: u64,
    /// While a scenario is laid out, things are as old as chance says.
    pub(crate) loading: bool,
    /// (collection, name) -> id of what a fixture has laid out, so that its items can name each other.
    pub(crate) names: BTreeMap<(String, String), String>,
    account: Value,
    pub(crate) collections: Vec<Collection>,
    members: Members,
    default_project: String,
    pub(crate) ledger: Ledger,
}

impl World {
    /// An account with nothing in it but who it is; `scenario` fills it.
    pub(crate) fn bare(seed: u64, account: Value, fixtures: &[String]) -> Result<Self, Problem> {
        let kinds = kind::kinds(fixtures)?;
        Ok(Self {
            seed,
            tick: 0,
            loading: true,
            names: BTreeMap::new(),
            account,
            collections: kinds.into_iter().map(Collection::new).collect(),
            members: Members::default(),
            default_project: String::new(),
            ledger: Ledger::empty(seed)?,
        })
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// `GET /v2/account`'s body.
    pub fn account(&self) -> &Value {
        &self.account
    }

    pub fn team_uuid(&self) -> &str {
        self.account
            .pointer("/account/team/uuid")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    pub fn default_project(&self) -> &str {
        &self.default_project
    }

    pub fn collections(&self) -> &[Collection] {
        &self.collections
    }

    /// Every collection's name, path, root, singular, id (the field), paging, scopes, urn (its type) and parent.
    pub fn described(&self) -> Vec<Value> {
        let described = self.collections.iter().map(|collection| {
            let is = &collection.kind.definition;
            let parent = is.parent.as_ref().map(|parent| parent.collection.as_str());
            let scopes: Vec<_> = is.more_scopes.iter().chain([&is.scope]).collect();
            json!({
                "name": collection.kind.name, "path": is.path, "root": is.root, "singular": is.singular,
                "id": is.id.field, "found_by": is.found_by, "paging": is.paging, "scopes": scopes, "urn": is.urn,
                "parent": parent, "hidden": is.hidden, "items": collection.len(),
            })
        });
        described.collect()
    }

    /// By name (`droplets`) or path (`/v2/droplets`).
    pub fn collection(&self, name: &str) -> Result<&Collection, Problem> {
        self.collections
            .get(self.position(name)?)
            .ok_or_else(Problem::not_found)
    }

    fn position(&self, name: &str) -> Result<usize, Problem> {
        let name = name.strip_prefix("/v2/").unwrap_or(name);
        let known = self
            .collections
            .iter()
            .position(|collection| collection.kind.name == name);
        known.ok_or_else(|| Problem::new(404, "not_found", format!("there is no collection {name}")))
    }

    pub(crate) fn collection_mut(&mut self, name: &str) -> Result<&mut Collection, Problem> {
        let position = self.position(name)?;
        self.collections.get_mut(position).ok_or_else(Problem::not_found)
    }

    /// All items of a collection as a full-scope token sees them, GPU droplets and internal fields included.
    pub fn items(&self, collection: &str) -> Vec<Value> {
        let Ok(collection) = self.collection(collection) else {
            return Vec::new();
        };
        let items = collection.all();
        items.map(|item| shown::whole(self, collection, item)).collect()
    }

    pub fn item(&self, collection: &str, id: &str) -> Option<Value> {
        let collection = self.collection(collection).ok()?;
        let item = collection.get(id)?;
        Some(shown::whole(self, collection, item))
    }

    /// (URN, project id) of everything alive, by URN.
    pub fn members(&self) -> Vec<(String, String)> {
        let alive = self
            .members
            .all()
            .filter(|(_, member)| member.status != "not_found");
        alive
            .map(|(urn, member)| (urn.clone(), member.project.clone()))
            .collect()
    }

    pub(crate) fn membership(&self) -> &Members {
        &self.members
    }

    /// A project's id, by id, by name, or `default`.
    pub fn project_id(&self, project: &str) -> Option<String> {
        let projects = self.collection(PROJECTS).ok()?;
        match project {
            "default" => Some(self.default_project.clone()),
            id if projects.get(id).is_some() => Some(id.to_owned()),
            name => {
                let named = projects
                    .all()
                    .find(|item| item.object().get("name").is_some_and(|n| n == name))?;
                Some(named.id.clone())
            }
        }
    }

    /// By id or `default`: what the API accepts.
    pub(crate) fn known_project(&self, project: &str) -> Option<String> {
        let projects = self.collection(PROJECTS).ok()?;
        let id = if project == "default" {
            &self.default_project
        } else {
            project
        };
        projects.get(id).map(|item| item.id.clone())
    }

    fn require_project(&self, project: &str) -> Result<String, Problem> {
        let missing = || Problem::new(404, "not_found", format!("there is no project {project}"));
        self.project_id(project).ok_or_else(missing)
    }

    /// The collection whose items have this URN, and the item's id.
    pub(crate) fn owner_of<'a>(&self, urn: &'a str) -> Option<(&Collection, &'a str)> {
        let (kind, id) = urn.strip_prefix("do:")?.split_once(':')?;
        let owner = self
            .collections
            .iter()
            .find(|c| c.kind.definition.urn.as_deref() == Some(kind))?;
        Some((owner, id))
    }

    fn pass_time(&mut self) -> i64 {
        self.tick += 1;
        if self.loading {
            // Older ones first, thinning out towards the past; the seed moves the beginning.
            let oldest = 34_560_000 + chance::word(self.seed, "age", 0) % 2_592_000;
            clock::WORLD_START.saturating_sub_unsigned(oldest * 64 / (64 + self.tick))
        } else {
            clock::WORLD_START.saturating_add_unsigned(self.tick)
        }
    }

    fn now_text(&mut self) -> String {
        let now = self.pass_time();
        clock::rfc3339(now)
    }

    /// Make an item. `spec` may hold template variables (name, tags, size, region, image, …), `project` (id or
    /// name), `front: true` (at the head of the listing), and any other field, which is put on top.
    /// `"@droplets:larkspur-web-1"` anywhere in it stands for that item's id.
    pub fn create(&mut self, collection: &str, mut spec: Value) -> Result<Value, Problem> {
        self.resolve(&mut spec)?;
        let Value::Object(mut spec) = spec else {
            return Err(Problem::unprocessable("an object is expected"));
        };
        let project = match spec.remove("project") {
            Some(project) => self.require_project(project.as_str().unwrap_or_default())?,
            None => self.default_project.clone(),
        };
        let front = spec.remove("front").is_some_and(|front| front == true);
        self.adopt(collection, &mut spec)?;
        if self
            .collection(collection)?
            .kind
            .definition
            .project_field
            .is_some()
        {
            spec.insert("project_id".to_owned(), Value::from(project.as_str()));
        }
        self.insert(collection, &spec, &project, front)
    }

    fn insert(
        &mut self,
        name: &str,
        spec: &Map<String, Value>,
        project: &str,
        front: bool,
    ) -> Result<Value, Problem> {
        let position = self.position(name)?;
        let making = Making {
            seed: self.seed,
            created_at: self.now_text(),
            front,
        };
        let collection = self
            .collections
            .get_mut(position)
            .ok_or_else(Problem::not_found)?;
        let item = collection.add(spec, &making)?;
        if let Some(urn) = collection.kind.urn_of(&item.id) {
            self.file(&urn, project, front);
        }
        self.bind(name, &item, &making.created_at)?;
        // Laying out a large scenario must not parse every item it makes.
        if self.loading {
            return Ok(Value::from(item.id.as_str()));
        }
        Ok(shown::whole(self, self.collection(name)?, &item))
    }

    /// Shallow-merge fields into an item; `"spec.name"` reaches inside. A catalogue entry by name
    /// (`"size": "s-2vcpu-4gb"`) resizes, `project` moves.
    pub fn change(&mut self, name: &str, id: &str, mut patch: Value) -> Result<Value, Problem> {
        self.resolve(&mut patch)?;
        let Value::Object(mut patch) = patch else {
            return Err(Problem::unprocessable("an object is expected"));
        };
        let project = patch.remove("project");
        self.pass_time();
        let store = self.collection_mut(name)?;
        let mut fields = store.kind.expand(&patch)?;
        let mut object = store.get(id).ok_or_else(Problem::not_found)?.object();
        for (field, value) in &mut fields {
            if let Some((top, _)) = field.split_once('.')
                && object.get(top).is_some_and(Value::is_object)
            {
                // Several may reach into the same member: each sees what the ones before it did.
                let (top, whole) = bonds::deep_set(&object, field, value.take().unwrap_or_default());
                object.extend(whole.clone().map(|whole| (top.clone(), whole)));
                (*field, *value) = (top, whole);
            }
        }
        let item = store.change(id, &fields)?;
        let urn = store.kind.urn_of(id);
        self.rebind(name, &item)?;
        if let Some(project) = project {
            let project = project.as_str().unwrap_or_default();
            match urn {
                Some(urn) => drop(self.assign(&urn, project)?),
                None => {
                    let project = self.require_project(project)?;
                    self.say_project(name, id, &project)?;
                }
            }
        }
        self.item(name, id).ok_or_else(Problem::not_found)
    }

    /// Destroy an item. With `linger` its membership stays, as `not_found`.
    pub fn destroy(&mut self, collection: &str, id: &str, linger: bool) -> Result<(), Problem> {
        if collection.ends_with(PROJECTS) && id == self.default_project {
            return Err(Problem::new(403, "forbidden", "The default project stays."));
        }
        self.pass_time();
        let store = self.collection_mut(collection)?;
        let name = store.kind.name.clone();
        let item = store.remove(id).ok_or_else(Problem::not_found)?;
        match store.kind.urn_of(id) {
            Some(urn) if linger => self.set_member_status(&urn, "not_found")?,
            Some(urn) => self.members.remove(&urn),
            None if name == PROJECTS => self.empty_project(id)?,
            None => {}
        }
        self.unbind(&name, &item)
    }

    /// What a destroyed project leaves behind goes to the default one.
    fn empty_project(&mut self, project: &str) -> Result<(), Problem> {
        let left: Vec<String> = self.members.of(project).map(|(urn, _)| urn.clone()).collect();
        let home = self.default_project.clone();
        for urn in left {
            self.file(&urn, &home, false);
        }
        let mut said = Vec::new();
        for store in &self.collections {
            if let Some(path) = &store.kind.definition.project_field {
                let path = format!("/{}", path.replace('.', "/"));
                let names = store.all().filter(|item| {
                    let object = Value::Object(item.object());
                    object.pointer(&path).is_some_and(|value| value == project)
                });
                said.extend(names.map(|item| (store.kind.name.clone(), item.id.clone())));
            }
        }
        for (name, id) in said {
            self.say_project(&name, &id, &home)?;
        }
        Ok(())
    }

    fn file(&mut self, urn: &str, project: &str, front: bool) -> bool {
        let now = self.pass_time();
        let chance = chance::word(self.seed, urn, 0);
        let assigned_at = match chance % 3 {
            0 => clock::rfc3339_nanos(now, u32::try_from(chance >> 33).unwrap_or(1)),
            _ => clock::rfc3339(now),
        };
        self.members.assign(urn, project, &assigned_at, front)
    }

    /// Move a resource to a project (id, name or `default`); true if it was there already. A URN that no
    /// collection lists (`do:space:assets`) is accepted: DO keeps such members too.
    pub fn assign(&mut self, urn: &str, project: &str) -> Result<bool, Problem> {
        let project = self.require_project(project)?;
        if let Some((owner, id)) = self.owner_of(urn)
            && owner.get(id).is_none()
        {
            return Err(Problem::new(404, "not_found", format!("there is no {urn}")));
        }
        if !urn.starts_with("do:") {
            return Err(Problem::unprocessable(format!("{urn} is not a URN")));
        }
        let owner = self
            .owner_of(urn)
            .map(|(owner, id)| (owner.kind.name.clone(), id.to_owned()));
        let already = self.file(urn, &project, false);
        if let (false, Some((name, id))) = (already, owner) {
            self.say_project(&name, &id, &project)?;
        }
        if !already {
            self.touch_project(&project)?;
        }
        Ok(already)
    }

    /// A project's `updated_at` moves whenever anything is assigned to it.
    fn touch_project(&mut self, project: &str) -> Result<(), Problem> {
        if self.loading {
            return Ok(());
        }
        let now = Value::from(self.now_text());
        self.collection_mut(PROJECTS)?
            .change(project, &[("updated_at".to_owned(), Some(now))])
            .map(drop)
    }

    /// `ok`, `not_found` or `service_down` on a membership row.
    pub fn set_member_status(&mut self, urn: &str, status: &str) -> Result<(), Problem> {
        let member = self.members.get_mut(urn).ok_or_else(Problem::not_found)?;
        status.clone_into(&mut member.status);
        Ok(())
    }

    /// The absolute address a membership row shows instead of the item's own.
    pub fn set_member_link(&mut self, urn: &str, link: &str) -> Result<(), Problem> {
        let member = self.members.get_mut(urn).ok_or_else(Problem::not_found)?;
        member.link = Some(link.to_owned());
        Ok(())
    }

    /// Take a URN out of every project, whatever DO would say (a URN nothing lists has no other end).
    pub fn forget_member(&mut self, urn: &str) -> Result<(), Problem> {
        self.members.get(urn).ok_or_else(Problem::not_found)?;
        self.members.remove(urn);
        Ok(())
    }

    /// Make a project as `POST /v2/projects` does: name and purpose required, an unknown purpose stored as
    /// `Other: …`, one project a name.
    pub fn create_project(&mut self, spec: Value) -> Result<Value, Problem> {
        let Value::Object(mut spec) = spec else {
            return Err(Problem::unprocessable("an object is expected"));
        };
        let text = |key: &str| {
            spec.get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let (name, purpose) = (text("name"), text("purpose"));
        if name.is_empty() || purpose.is_empty() {
            return Err(Problem::unprocessable("name and purpose are required"));
        }
        let too_long = |text: &str, limit: usize| text.chars().count() > limit;
        if too_long(&name, 175) || too_long(&purpose, 255) || too_long(&text("description"), 255) {
            return Err(Problem::unprocessable("name, purpose or description is too long"));
        }
        let taken = self.project_id(&name).is_some_and(|id| id != name);
        if taken || name == "default" {
            return Err(Problem::conflict("a project of this name exists already"));
        }
        let stored = if KNOWN_PURPOSES.contains(&purpose.as_str()) {
            purpose
        } else {
            format!("Other: {purpose}")
        };
        spec.insert("purpose".to_owned(), Value::from(stored));
        spec.retain(|key, _| ["id", "name", "description", "purpose", "environment"].contains(&key.as_str()));
        self.insert(PROJECTS, &spec, "", false)
    }

    pub(crate) fn set_default_project(&mut self, id: &str) {
        id.clone_into(&mut self.default_project);
    }

    pub(crate) fn laid_out(&mut self) {
        self.loading = false;
        self.tick = 0;
        self.names.clear();
    }
}

/// Purposes DO keeps as they are.
const KNOWN_PURPOSES: &[&str] = &[
    "Just trying out DigitalOcean",
    "Class project / Educational purposes",
    "Website or blog",
    "Web Application",
    "Service or API",
    "Mobile Application",
    "Machine learning / AI / Data processing",
    "IoT",
    "Operational / Developer tooling",
];
