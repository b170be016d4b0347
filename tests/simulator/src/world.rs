//! The account: who it is, its collections, and which project everything is in.
//!
//! Every mutation, by library, control endpoint, churn or API, ends here, so that a test may compare the
//! final world with a mirror of it. New resources land in the default project, as at DO.
//! It knows nothing of HTTP, tokens or faults, and real time never reaches it.

use serde_json::{Map, Value};

use crate::{
    chance, clock,
    collection::{Collection, Making},
    definition,
    members::Members,
    problem::Problem,
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
    account: Value,
    pub(crate) collections: Vec<Collection>,
    members: Members,
    default_project: String,
}

impl World {
    /// An account with nothing in it but who it is; `scenario` fills it.
    pub(crate) fn bare(seed: u64, account: Value, fixtures: &[String]) -> Result<Self, Problem> {
        let kinds = definition::kinds(fixtures)?;
        Ok(Self {
            seed,
            tick: 0,
            loading: true,
            account,
            collections: kinds.into_iter().map(Collection::new).collect(),
            members: Members::default(),
            default_project: String::new(),
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
            .position(|collection| collection.kind.name() == name);
        known.ok_or_else(|| Problem::new(404, "not_found", format!("there is no collection {name}")))
    }

    fn collection_mut(&mut self, name: &str) -> Result<&mut Collection, Problem> {
        let position = self.position(name)?;
        self.collections.get_mut(position).ok_or_else(Problem::not_found)
    }

    /// All items of a collection as a full-scope token sees them, GPU droplets included.
    pub fn items(&self, collection: &str) -> Vec<Value> {
        let items = self
            .collection(collection)
            .map(|collection| collection.all().collect::<Vec<_>>());
        items
            .unwrap_or_default()
            .into_iter()
            .map(|item| Value::Object(item.object()))
            .collect()
    }

    pub fn item(&self, collection: &str, id: &str) -> Option<Value> {
        self.collection(collection)
            .ok()?
            .get(id)
            .map(|item| Value::Object(item.object()))
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
    pub fn create(&mut self, collection: &str, spec: Value) -> Result<Value, Problem> {
        let Value::Object(mut spec) = spec else {
            return Err(Problem::unprocessable("an object is expected"));
        };
        let project = match spec.remove("project") {
            Some(project) => self.require_project(project.as_str().unwrap_or_default())?,
            None => self.default_project.clone(),
        };
        let front = spec.remove("front").is_some_and(|front| front == true);
        let made = self.insert(collection, &spec, &project, front)?;
        Ok(made)
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
        // Laying out a large scenario must not parse every item it makes.
        if self.loading {
            Ok(Value::Null)
        } else {
            Ok(Value::Object(item.object()))
        }
    }

    /// Shallow-merge fields into an item. A catalogue entry by name (`"size": "s-2vcpu-4gb"`) resizes.
    pub fn change(&mut self, collection: &str, id: &str, patch: Value) -> Result<Value, Problem> {
        let Value::Object(mut patch) = patch else {
            return Err(Problem::unprocessable("an object is expected"));
        };
        let project = patch.remove("project");
        self.pass_time();
        let store = self.collection_mut(collection)?;
        let fields = store.kind.expand(&patch)?;
        let item = store.change(id, &fields)?;
        let urn = store.kind.urn_of(id);
        if let (Some(project), Some(urn)) = (project, urn) {
            self.assign(&urn, project.as_str().unwrap_or_default())?;
        }
        Ok(Value::Object(item.object()))
    }

    /// Destroy an item. With `linger` its membership stays, as `not_found`.
    pub fn destroy(&mut self, collection: &str, id: &str, linger: bool) -> Result<(), Problem> {
        if collection.ends_with(PROJECTS) && id == self.default_project {
            return Err(Problem::new(403, "forbidden", "The default project stays."));
        }
        self.pass_time();
        let store = self.collection_mut(collection)?;
        store.remove(id).ok_or_else(Problem::not_found)?;
        match store.kind.urn_of(id) {
            Some(urn) if linger => self.set_member_status(&urn, "not_found")?,
            Some(urn) => self.members.remove(&urn),
            None if collection.ends_with(PROJECTS) => self.empty_project(id),
            None => {}
        }
        Ok(())
    }

    /// What a destroyed project leaves behind goes to the default one.
    fn empty_project(&mut self, project: &str) {
        let left: Vec<String> = self.members.of(project).map(|(urn, _)| urn.clone()).collect();
        let home = self.default_project.clone();
        for urn in left {
            self.file(&urn, &home, false);
        }
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
        let already = self.file(urn, &project, false);
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
