//! `make fuzz`: schemathesis reads the API's description and tries to contradict it, over HTTP, on the real binary.
//!
//! A whole stack of its own (free ports, the simulated account mirrored and billed) under cargo lambda watch; then
//! every phase of schemathesis for every seed, once with an operator's token, once with a tenant's and once with none.
//! What it finds (a 5xx, a status, header or body that is not described, bad input that is taken, good input that is
//! not, a route that asks for no token) fails the run, as does a panic in the functions' log. It repairs nothing:
//! a finding becomes a test of the suite. The cases that it leaves out are named, with their reasons, in `fuzz.py`.

use std::fs::{self, File};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Doing, Failure};
use crate::process::{Group, Signal};
use crate::stack::{Running, Upstream};
use crate::{place, python};

/// Cases that would say nothing.
const HOOKS: &str = include_str!("fuzz.py");

/// A made-up entity tag is rightly answered with a 412; the others are schemathesis's own list.
const CONFIG: &str = r#"
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "412", "429", "5xx"]
"#;

/// What is run when no seed is named.
const SEEDS: [&str; 2] = ["20261126", "4005"];

/// Cases per operation and phase.
const EXAMPLES: &str = "60";

/// Everything of a stack's that must not be shared with `make run`.
const NAME: &str = "fuzz";

/// Runs every seed; true if nothing was found.
pub async fn run(seeds: &[&str], say: &dyn Fn(&str)) -> Result<ExitCode, Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).doing("listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).doing("listen for SIGTERM")?;
    let seeds = if seeds.is_empty() { &SEEDS } else { seeds };
    // On a signal the future is dropped where it waits, and everything that it has started with it.
    tokio::select! {
        clean = all(seeds, say) => Ok(if clean? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
        _ = terminate.recv() => Ok(ExitCode::from(143)),
    }
}

async fn all(seeds: &[&str], say: &dyn Fn(&str)) -> Result<bool, Failure> {
    let schemathesis = python::installed(&["schemathesis"], say)?.join("schemathesis");
    let upstream = Upstream::choose(false, say).await?;
    let running = Running::start(NAME, place::free_port()?, None, upstream, say).await?;
    let stack = &running.stack;
    let mut callers = vec![("operator", Some(stack.operator.as_str())), ("nobody", None)];
    callers.extend(
        stack
            .tenants
            .first()
            .map(|(_, token)| ("tenant", Some(token.as_str()))),
    );
    let mut clean = true;
    for seed in seeds {
        for (caller, token) in &callers {
            let log = place::local(&format!("{NAME}-{seed}-{caller}.log"))?;
            let output = File::create(&log).doing(format!("write {}", log.display()))?;
            let copy = output.try_clone().doing(format!("write {}", log.display()))?;
            let mut command = Command::new(&schemathesis);
            let folder = tempfile::tempdir().doing("make a temporary folder")?;
            let (hooks, config) = (
                folder.path().join("hooks.py"),
                folder.path().join("schemathesis.toml"),
            );
            fs::write(&hooks, HOOKS).doing("write the hooks")?;
            fs::write(&config, CONFIG).doing("write the configuration")?;
            command.arg("--config-file").arg(&config);
            command.args(["--no-color", "run", "--url", &stack.api_url]);
            command.args([
                "--phases",
                "examples,coverage,fuzzing,stateful",
                "--checks",
                "all",
            ]);
            command.args([
                "--seed",
                seed,
                "--max-examples",
                EXAMPLES,
                "--continue-on-failure",
            ]);
            command.args(["--generation-database", "none", "--request-timeout", "30"]);
            if let Some(token) = token {
                command.args(["--header", &format!("Authorization: Bearer {token}")]);
            }
            command.arg(format!("{}/openapi.json", stack.api_url));
            place::forget_accounts(&mut command);
            command.env("SCHEMATHESIS_HOOKS", &hooks);
            command.current_dir(folder.path()).stdin(Stdio::null());
            command.stdout(Stdio::from(output)).stderr(Stdio::from(copy));
            let mut process =
                Group::spawn("schemathesis", &mut command, Signal::TERM, Duration::from_secs(5))?;
            let status = loop {
                if let Some(status) = process.ended() {
                    break status;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            };
            let said = fs::read_to_string(&log).unwrap_or_default();
            say(&format!("seed {seed}, {caller}: {}", python::last_line(&said)));
            if !status.success() {
                say(&format!("  what was found is in {}", log.display()));
                clean = false;
            }
        }
    }
    let log = fs::read_to_string(running.log()).unwrap_or_default();
    if log.contains("panicked") {
        say(&format!("a function panicked: see {}", running.log().display()));
        clean = false;
    }
    Ok(clean)
}
