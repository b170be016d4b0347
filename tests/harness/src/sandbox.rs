//! One Lambda sandbox: a compiled binary of ours as a process, and the Runtime API it polls, played by us.
//!
//! For tests that have to stop, freeze or kill a function at a chosen moment, many at once, which AWS's own
//! emulator (see `rie`) cannot. The environment is what the test gives and what Lambda sets, nothing inherited.
//! One event at a time, as in Lambda; an invocation that takes longer than its time kills the process, as in
//! Lambda. Dropping it kills the process.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::failure::{Doing, Failure};
use crate::place;
use crate::process::{Group, Signal};
use crate::usage::Usage;

/// What became of an invocation.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The handler's result.
    Ok(Value),
    /// The handler's error, as Lambda passes it on.
    Error {
        /// `errorType`.
        kind: String,
        /// `errorMessage`.
        message: String,
    },
    /// The process ended without an answer: how, and what it had written to standard error.
    Exited(ExitStatus, String),
    /// No answer in time; the process was killed for it.
    TimedOut,
}

impl Outcome {
    /// The result, for tests in which nothing else will do.
    pub fn ok(self) -> Result<Value, Failure> {
        match self {
            Self::Ok(value) => Ok(value),
            other => Err(Failure::new(format!("the invocation came to {other:?}"))),
        }
    }
}

/// A running sandbox.
pub struct Sandbox {
    process: Mutex<Group>,
    events: mpsc::UnboundedSender<Event>,
    runtime: Arc<Runtime>,
    timeout: Duration,
    folder: TempDir,
    server: JoinHandle<()>,
}

struct Event {
    id: String,
    payload: String,
    deadline: Duration,
}

/// The Runtime API's side of it.
struct Runtime {
    queue: tokio::sync::Mutex<mpsc::UnboundedReceiver<Event>>,
    waiting: Mutex<BTreeMap<String, oneshot::Sender<Outcome>>>,
    init_error: Mutex<Option<(String, String)>>,
    ready: tokio::sync::watch::Sender<bool>,
}

impl Sandbox {
    /// Starts a binary of this workspace with this environment and what Lambda adds to it. Invocations may
    /// take a minute.
    pub async fn start(binary: &str, environment: &[(String, String)]) -> Result<Self, Failure> {
        Self::start_with_timeout(binary, environment, Duration::from_secs(60)).await
    }

    /// As [`Sandbox::start`], with the time that the function has for one event.
    pub async fn start_with_timeout(
        binary: &str,
        environment: &[(String, String)],
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let program = place::binary(binary)?;
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .doing("open a port for the Runtime API")?;
        let address = listener.local_addr().doing("read a port")?;
        let (events, queue) = mpsc::unbounded_channel();
        let runtime = Arc::new(Runtime {
            queue: tokio::sync::Mutex::new(queue),
            waiting: Mutex::default(),
            init_error: Mutex::default(),
            ready: tokio::sync::watch::Sender::new(false),
        });
        let router = router(Arc::clone(&runtime));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        let folder = tempfile::tempdir().doing("make a temporary folder")?;
        let file = |name: &str| File::create(folder.path().join(name)).doing("make a file for output");
        let mut command = Command::new(program);
        command.env_clear().envs(lambda_environment(binary));
        command.env("AWS_LAMBDA_RUNTIME_API", address.to_string());
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::null())
            .stdout(file("stdout")?)
            .stderr(file("stderr")?);
        let process = Group::spawn(binary, &mut command, Signal::KILL, Duration::from_secs(5))?;
        Ok(Self {
            process: Mutex::new(process),
            events,
            runtime,
            timeout,
            folder,
            server,
        })
    }

    /// Sends an event and waits for what becomes of it. Events wait for each other.
    pub async fn invoke(&self, event: &Value) -> Outcome {
        self.invoke_until(event, place::since_1970() + self.timeout).await
    }

    /// As [`Sandbox::invoke`], with a deadline (since 1970) that the test makes up.
    pub async fn invoke_until(&self, event: &Value, deadline: Duration) -> Outcome {
        let id = Uuid::new_v4().to_string();
        let (answer, outcome) = oneshot::channel();
        if let Ok(mut waiting) = self.runtime.waiting.lock() {
            waiting.insert(id.clone(), answer);
        }
        // A closed queue means that the server task is gone; the process's end or the timeout says so.
        let _ = self.events.send(Event {
            id: id.clone(),
            payload: event.to_string(),
            deadline,
        });
        let outcome = tokio::select! {
            Ok(outcome) = outcome => outcome,
            outcome = self.exit() => outcome,
            () = tokio::time::sleep(self.timeout) => {
                self.kill();
                Outcome::TimedOut
            }
        };
        if let Ok(mut waiting) = self.runtime.waiting.lock() {
            waiting.remove(&id);
        }
        outcome
    }

    /// Waits until the function asks for its first event: its initialisation is over. False if it ended or took
    /// longer than an invocation may.
    pub async fn ready(&self) -> bool {
        let mut ready = self.runtime.ready.subscribe();
        tokio::select! {
            asked = ready.wait_for(|ready| *ready) => asked.is_ok(),
            _ = self.exit() => false,
            () = tokio::time::sleep(self.timeout) => false,
        }
    }

    /// Waits for the process's end.
    pub async fn exit(&self) -> Outcome {
        loop {
            if let Some(status) = self.ended() {
                return Outcome::Exited(status, self.stderr());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How the process ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.process.lock().ok().and_then(|mut process| process.ended())
    }

    /// SIGKILL, and waits for it to have worked.
    pub fn kill(&self) {
        if let Ok(mut process) = self.process.lock() {
            process.stop();
        }
    }

    /// SIGSTOP: what a frozen sandbox is.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT: it thaws.
    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let Ok(process) = self.process.lock() {
            process.signal(signal);
        }
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.process
            .lock()
            .map(|process| process.pid())
            .unwrap_or_default()
    }

    /// What the process has used since it was started; `None` once it has ended.
    pub fn usage(&self) -> Option<Usage> {
        Usage::of(self.pid())
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.folder.path().join("stdout")).unwrap_or_default()
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }

    /// Type and message of the error that it reported instead of becoming ready.
    pub fn init_error(&self) -> Option<(String, String)> {
        self.runtime
            .init_error
            .lock()
            .ok()
            .and_then(|error| error.clone())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.kill();
        self.server.abort();
    }
}

/// What Lambda sets for every function.
pub fn lambda_environment(function: &str) -> BTreeMap<String, String> {
    [
        ("AWS_LAMBDA_FUNCTION_NAME", function),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/local"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "local"),
        ("AWS_REGION", crate::aws::REGION),
        ("AWS_ACCESS_KEY_ID", crate::aws::KEY),
        ("AWS_SECRET_ACCESS_KEY", crate::aws::KEY),
        ("LAMBDA_TASK_ROOT", "/"),
        ("TZ", ":UTC"),
        ("PATH", "/usr/bin:/bin"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn router(runtime: Arc<Runtime>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .with_state(runtime)
}

async fn next(State(runtime): State<Arc<Runtime>>) -> (StatusCode, HeaderMap, String) {
    runtime.ready.send_replace(true);
    let event = runtime.queue.lock().await.recv().await;
    let Some(event) = event else {
        return (StatusCode::GONE, HeaderMap::new(), String::new());
    };
    let deadline = event.deadline.as_millis().to_string();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("lambda-runtime-aws-request-id", event.id.as_str()),
        ("lambda-runtime-deadline-ms", deadline.as_str()),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:123456789012:function:local",
        ),
        (
            "lambda-runtime-trace-id",
            "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0",
        ),
        ("content-type", "application/json"),
    ] {
        if let Ok(value) = value.parse() {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    (StatusCode::OK, headers, event.payload)
}

async fn response(State(runtime): State<Arc<Runtime>>, Path(id): Path<String>, body: Bytes) -> Accepted {
    let value = serde_json::from_slice(&body);
    // A body that is no JSON is passed on as text, for the test to look at.
    runtime.answer(
        &id,
        Outcome::Ok(value.unwrap_or_else(|_| json!(String::from_utf8_lossy(&body)))),
    )
}

async fn error(State(runtime): State<Arc<Runtime>>, Path(id): Path<String>, body: Bytes) -> Accepted {
    let (kind, message) = read_error(&body);
    runtime.answer(&id, Outcome::Error { kind, message })
}

async fn init_error(State(runtime): State<Arc<Runtime>>, body: Bytes) -> Accepted {
    if let Ok(mut slot) = runtime.init_error.lock() {
        *slot = Some(read_error(&body));
    }
    accepted()
}

type Accepted = (StatusCode, axum::Json<Value>);

fn accepted() -> Accepted {
    (StatusCode::ACCEPTED, axum::Json(json!({"status": "OK"})))
}

impl Runtime {
    fn answer(&self, id: &str, outcome: Outcome) -> Accepted {
        let waiting = self
            .waiting
            .lock()
            .ok()
            .and_then(|mut waiting| waiting.remove(id));
        match waiting {
            Some(waiting) => {
                // Whoever asked may have given up.
                let _ = waiting.send(outcome);
                accepted()
            }
            None => (
                StatusCode::FORBIDDEN,
                axum::Json(json!({"errorType": "InvalidRequestID"})),
            ),
        }
    }
}

fn read_error(body: &[u8]) -> (String, String) {
    let error: Value = serde_json::from_slice(body).unwrap_or_default();
    let field = |name: &str| {
        error
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    (field("errorType"), field("errorMessage"))
}
