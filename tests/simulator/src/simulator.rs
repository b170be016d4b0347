//! The library's handle: start, look, change, stop.
//!
//! Synchronous on purpose: tests of any kind start it, in any runtime or none, and it serves from a thread
//! of its own until it is stopped or dropped. Every method takes the lock for as long as it runs, so what it
//! does is atomic with respect to requests. It refuses to outlive its handle.

use std::{
    io,
    net::SocketAddr,
    ops::{Deref, DerefMut},
    sync::{Arc, MutexGuard},
    thread::JoinHandle,
    time::Duration,
};

use serde_json::Value;
use tokio::sync::oneshot;

use crate::{
    billing::{Bill, Billing, Row},
    churn::{Churn, Churned},
    faults::{Fault, Placed},
    journal::{Count, Entry, Wanted},
    limits::Limits,
    options::Options,
    problem::Problem,
    scenario::Scenario,
    server::{self, Shared},
    state::{Settings, State},
    token::{Scopes, Token},
    world::World,
};

#[derive(Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The world, locked: no request is answered while this lives.
pub struct Locked<'a>(MutexGuard<'a, State>);

impl Deref for Locked<'_> {
    type Target = World;
    fn deref(&self) -> &World {
        &self.0.world
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.0.world
    }
}

impl Simulator {
    /// Lay out the scenario, bind the port, serve.
    pub fn start(options: Options) -> io::Result<Self> {
        let shared = Shared::new(State::new(&options).map_err(io::Error::other)?);
        let listener = std::net::TcpListener::bind(("127.0.0.1", options.port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let served = Arc::clone(&shared);
        let body = move || {
            runtime.block_on(async {
                if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                    server::run(listener, served, stopped).await;
                }
            });
        };
        let thread = std::thread::Builder::new()
            .name("simulator".to_owned())
            .spawn(body)?;
        Ok(Self {
            shared,
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// `http://127.0.0.1:<port>`, no slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The world, for several steps that no request may come between.
    pub fn world(&self) -> Locked<'_> {
        Locked(self.shared.lock())
    }

    /// Make an item; see `World::create`.
    pub fn create(&self, collection: &str, spec: Value) -> Result<Value, Problem> {
        self.world().create(collection, spec)
    }

    /// Shallow-merge fields into an item.
    pub fn change(&self, collection: &str, id: impl ToString, patch: Value) -> Result<Value, Problem> {
        self.world().change(collection, &id.to_string(), patch)
    }

    pub fn destroy(&self, collection: &str, id: impl ToString) -> Result<(), Problem> {
        self.world().destroy(collection, &id.to_string(), false)
    }

    /// Destroy, and keep the membership as `not_found`.
    pub fn destroy_lingering(&self, collection: &str, id: impl ToString) -> Result<(), Problem> {
        self.world().destroy(collection, &id.to_string(), true)
    }

    pub fn create_project(&self, spec: Value) -> Result<Value, Problem> {
        self.world().create_project(spec)
    }

    /// Move a resource to a project (id, name or `default`); true if it was there already.
    pub fn assign(&self, urn: &str, project: &str) -> Result<bool, Problem> {
        self.world().assign(urn, project)
    }

    pub fn churn(&self, churn: &Churn) -> Result<Churned, Problem> {
        self.world().churn(churn)
    }

    /// All items of a collection, as a full-scope token sees them, every partition.
    pub fn items(&self, collection: &str) -> Vec<Value> {
        self.world().items(collection)
    }

    pub fn item(&self, collection: &str, id: impl ToString) -> Option<Value> {
        self.world().item(collection, &id.to_string())
    }

    /// (URN, project id) of everything alive.
    pub fn members(&self) -> Vec<(String, String)> {
        self.world().members()
    }

    pub fn project_id(&self, project: &str) -> Option<String> {
        self.world().project_id(project)
    }

    /// Put a fault in place; its id.
    pub fn fault(&self, fault: Fault) -> u64 {
        self.shared.lock().faults.add(fault)
    }

    pub fn faults(&self) -> Vec<Placed> {
        self.shared.lock().faults.all().to_vec()
    }

    pub fn clear_fault(&self, id: u64) -> bool {
        self.shared.lock().faults.remove(id)
    }

    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear();
    }

    pub fn settings(&self) -> Settings {
        self.shared.lock().settings
    }

    pub fn set_settings(&self, settings: Settings) {
        self.shared.lock().settings = settings;
    }

    pub fn set_latency(&self, milliseconds: u64) {
        self.shared.lock().settings.latency_ms = milliseconds;
    }

    pub fn set_limits(&self, limits: Limits) {
        self.shared.lock().settings.limits = limits;
    }

    /// Add a token, or replace the one of the same name.
    pub fn set_token(&self, token: &Token) {
        self.shared.lock().set_token(token);
    }

    /// Change what a token may do; false if there is none of this name.
    pub fn set_scopes(&self, token: &str, scopes: Scopes) -> bool {
        self.shared.lock().set_scopes(token, scopes)
    }

    /// The log, oldest first, without `/_sim`.
    pub fn requests(&self) -> Vec<Entry> {
        self.requests_where(&Wanted::default())
    }

    pub fn requests_where(&self, wanted: &Wanted) -> Vec<Entry> {
        self.shared.lock().journal.entries(wanted)
    }

    /// Requests by token and path.
    pub fn counts(&self) -> Vec<Count> {
        self.shared.lock().journal.counts()
    }

    pub fn clear_requests(&self) {
        self.shared.lock().journal.clear();
    }

    /// Requests that a limit refused, over all tokens.
    pub fn blocked(&self) -> u64 {
        self.shared.lock().tokens.iter().map(|token| token.blocked).sum()
    }

    /// The most requests that were being answered at once for one token.
    pub fn peak_in_flight(&self) -> u64 {
        self.shared
            .lock()
            .tokens
            .iter()
            .map(|token| token.peak_in_flight)
            .max()
            .unwrap_or(0)
    }

    /// Let time pass for rate windows and the log.
    pub fn advance(&self, time: Duration) {
        self.shared
            .lock()
            .clock
            .advance(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    }

    /// Serve this body, as it is, for a path; a query in it must be part of the request's.
    pub fn serve_body(&self, path_and_query: &str, body: impl Into<String>) {
        self.shared
            .lock()
            .serve(path_and_query, 200, "application/json", body.into());
    }

    pub fn serve_answer(
        &self,
        path_and_query: &str,
        status: u16,
        content_type: &str,
        body: impl Into<String>,
    ) {
        self.shared
            .lock()
            .serve(path_and_query, status, content_type, body.into());
    }

    pub fn clear_bodies(&self) {
        self.shared.lock().overrides.clear();
    }

    /// Add an invoice, or replace the one of the same uuid. From JSON, as over `/_sim/billing/invoices`.
    pub fn bill(&self, bill: Value) -> Result<(), Problem> {
        let bill: Bill =
            serde_json::from_value(bill).map_err(|error| Problem::unprocessable(error.to_string()))?;
        self.shared.lock().billing.add(bill)
    }

    /// The uuids of all invoices.
    pub fn invoices(&self) -> Vec<String> {
        self.shared.lock().billing.uuids()
    }

    /// What an invoice charges for, each row with the id of what caused it.
    pub fn charges(&self, invoice: &str) -> Vec<Row> {
        let state = self.shared.lock();
        state
            .billing
            .rows(invoice)
            .map(<[Row]>::to_vec)
            .unwrap_or_default()
    }

    /// Look at or change what is owed.
    pub fn billing<T>(&self, change: impl FnOnce(&mut Billing) -> T) -> T {
        change(&mut self.shared.lock().billing)
    }

    /// Start over: world, faults, log, bodies and rate windows. Tokens and settings stay.
    pub fn reset(&self, seed: u64, scenario: Scenario) -> Result<(), Problem> {
        self.shared.lock().reset(seed, scenario)
    }

    /// What `GET /_sim/state` says.
    pub fn summary(&self) -> Value {
        self.shared.lock().summary()
    }

    /// Serve until the process ends (the binary).
    pub fn wait(mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// Stop serving and free the port. Dropping does the same.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
