//! The functions: cargo lambda watch, and the Lambda Invoke API that it serves.
//!
//! One process that starts each of our binaries at its first event, several at once, and serves the API's
//! routes (`[workspace.metadata.lambda.watch.router]`). It has one environment for all of them; so cargo, which it
//! starts them with, is told to run them through us ([`become_function`]), and each gets its own, as on AWS. What it
//! and the functions write goes to a log in `.local`. Inherited variables that could lead a function to a real account or database are
//! taken away first.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::Value;

use super::env_file;
use crate::failure::{Doing, Failure};
use crate::process::{Group, Signal};
use crate::{http, place, python};

/// How many events of one function may be handled at once. One would make the API answer one request at a time.
const CONCURRENCY: u16 = 4;

/// Longer than any function of ours may take.
const PATIENCE: Duration = Duration::from_secs(960);

/// The functions, ready to be invoked.
pub(super) struct Functions {
    process: Mutex<Group>,
    url: String,
    client: Client,
    log: PathBuf,
    _environment: Deleted,
}

/// Binary -> what it is given.
pub(super) type Environments = BTreeMap<String, BTreeMap<String, String>>;

/// The functions' environments.
struct Deleted(PathBuf);

impl Drop for Deleted {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// For cargo: whatever it runs, it runs through this program.
fn runner(environments: &Path) -> Result<String, Failure> {
    let ourselves = std::env::current_exe().doing("find out which program this is")?;
    let words = serde_json::json!([ourselves, "as-function", environments]);
    Ok(format!("target.'cfg(all())'.runner = {words}"))
}

/// Becomes this binary, in the environment that the file holds for it. Returns only when it cannot.
pub fn become_function(environments: &Path, binary: &Path) -> Result<Infallible, Failure> {
    let text = fs::read_to_string(environments).doing(format!("read {}", environments.display()))?;
    let environments: Environments = serde_json::from_str(&text).doing("read the functions' environments")?;
    let name = binary.file_name().unwrap_or_default().to_string_lossy();
    let environment = environments
        .get(name.as_ref())
        .ok_or_else(|| Failure::new(format!("template.yaml has no function {name}")))?;
    let error = Command::new(binary).envs(environment).exec();
    Err(error).doing(format!("start {name}"))
}

impl Functions {
    /// Under this name in `.local`, on this port.
    pub(super) async fn start(
        name: &str,
        port: u16,
        environments: &Environments,
        say: &dyn Fn(&str),
    ) -> Result<Self, Failure> {
        let bin = python::installed(&["cargo-lambda"], say)?;
        let file = Deleted(place::local(&format!("{name}.json"))?);
        crate::process::delete_at_the_end(&file.0);
        let written = serde_json::to_string(environments).doing("write the functions' environments")?;
        env_file::write_private(&file.0, &written)?;
        let log = place::local(&format!("{name}.log"))?;
        let output = File::create(&log).doing(format!("write {}", log.display()))?;
        let copy = output.try_clone().doing(format!("write {}", log.display()))?;

        let mut command = Command::new(bin.join("cargo-lambda"));
        command.args([
            "lambda",
            "watch",
            "--disable-cors",
            "--invoke-address",
            "127.0.0.1",
            "--invoke-port",
        ]);
        command
            .arg(port.to_string())
            .args(["--concurrency", &CONCURRENCY.to_string()]);
        command
            .arg("--config")
            .arg(runner(&file.0)?)
            .current_dir(place::repository());
        place::forget_accounts(&mut command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::from(output))
            .stderr(Stdio::from(copy));
        // The functions leave its group, so they are found by a mark.
        let process = Group::spawn_marked(
            "cargo lambda watch",
            &mut command,
            Signal::TERM,
            Duration::from_secs(8),
        )?;
        let url = format!("http://127.0.0.1:{port}");
        let functions = Self {
            process: Mutex::new(process),
            url,
            client: http::client(PATIENCE)?,
            log,
            _environment: file,
        };
        functions.wait_until_it_listens(port).await?;
        Ok(functions)
    }

    /// Where their lines are.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    async fn wait_until_it_listens(&self, port: u16) -> Result<(), Failure> {
        let start = Instant::now();
        while TcpStream::connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).is_err() {
            if self.has_ended() || start.elapsed() > Duration::from_secs(60) {
                return Err(self.ended());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Whoever was quicker to take the port would have answered too; ours has then ended by now.
        tokio::time::sleep(Duration::from_millis(300)).await;
        if self.has_ended() {
            return Err(self.ended());
        }
        Ok(())
    }

    fn has_ended(&self) -> bool {
        self.process
            .lock()
            .is_ok_and(|mut process| process.ended().is_some())
    }

    fn ended(&self) -> Failure {
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        Failure::new(format!(
            "cargo lambda watch has ended: {}",
            python::last_line(&said)
        ))
    }

    /// Returns only when the functions are gone.
    pub(super) async fn watch(&self) -> Failure {
        loop {
            if self.has_ended() {
                return self.ended();
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Can be given away, to invoke from elsewhere.
    pub(super) fn invoker(&self) -> Invoker {
        Invoker {
            url: self.url.clone(),
            client: self.client.clone(),
        }
    }
}

/// The Lambda Invoke API.
#[derive(Clone)]
pub(super) struct Invoker {
    url: String,
    client: Client,
}

impl Invoker {
    /// A function's result; its error is a failure that says what the function said.
    pub(super) async fn invoke(&self, function: &str, event: &Value) -> Result<Value, Failure> {
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.url);
        let (status, body) = http::post(&self.client, &url, event).await?;
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        // cargo lambda answers a function's error with 500, Lambda itself with 200; both name its type.
        match answer.get("errorMessage").and_then(Value::as_str) {
            Some(message) => Err(Failure::new(message)),
            None if status.is_success() => Ok(answer),
            None => {
                let said: String = body.chars().take(300).collect();
                Err(Failure::new(format!("{function} answered {status}: {said}")))
            }
        }
    }
}
