//! Runs a command beside the services that tests need, and stops them whatever happens.
//!
//! This is `make test`, and `make bench` on a server that is as durable as in production: Postgres with a migrated template, moto and AWS's runtime emulator, on free ports, so
//! that it passes while the local stack is up and beside another run of itself. The command does not see what
//! could lead a test to a real database or account: those variables are taken out of its environment.

use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::aws::Moto;
use crate::failure::{Doing, Failure};
use crate::postgres::{Durability, Server, Template};
use crate::process::{Group, Signal};
use crate::{place, rie, services};

/// Runs the command; its exit code is ours.
pub async fn run(words: &[&str], durability: Durability, say: &dyn Fn(&str)) -> Result<ExitCode, Failure> {
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| Failure::new("with-services needs a command after --"))?;
    let mut interrupt = signal(SignalKind::interrupt()).doing("listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).doing("listen for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).doing("listen for SIGHUP")?;

    let work = async {
        let emulator = rie::fetch(say)?;
        let server = Server::start_with(None, durability, say).await?;
        let template = Template::prepare(&server).await?;
        let cluster = template.cluster();
        let moto = Moto::start(say).await?;
        say(&format!("{}; moto at {}", server.description(), moto.aws().url()));

        let mut command = Command::new(program);
        command.args(arguments);
        place::forget_accounts(&mut command);
        command
            .env(services::POSTGRES_URL, cluster.url())
            .env(services::TEMPLATE, cluster.template());
        // Whoever asks AWS without naming an address asks moto.
        command.envs(moto.aws().environment());
        command
            .env(services::AWS_URL, moto.aws().url())
            .env(services::RIE, &emulator);
        let mut group = Group::spawn("the command", &mut command, Signal::TERM, Duration::from_secs(10))?;
        let status = loop {
            if let Some(status) = group.ended() {
                break status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        Ok(status)
    };
    // On a signal the future is dropped where it waits, and everything that it has started with it.
    tokio::select! {
        status = work => status.map(code),
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
        _ = terminate.recv() => Ok(ExitCode::from(143)),
        _ = hangup.recv() => Ok(ExitCode::from(129)),
    }
}

fn code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        (None, Some(signal)) => ExitCode::from(u8::try_from(128 + signal).unwrap_or(1)),
        (None, None) => ExitCode::FAILURE,
    }
}
