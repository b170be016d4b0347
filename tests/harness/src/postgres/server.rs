//! One Postgres server: somebody else's that `ARCADIA_POSTGRES_URL` names, or one of our own for a while.
//!
//! Started by `make test`, `make run` and `make prepare`; tests only attach to it. It listens on loopback only,
//! wants passwords even there (whoever is superuser can run programs). For tests it forgets durability, because its
//! data live as long as it does; for measurements it writes as in production.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;

use crate::failure::{Doing, Failure};
use crate::place;
use crate::process::{self, Group, Signal};

use super::{binaries, unprivileged};

/// The password of every login the harness makes. Loopback only, and only made-up data behind it.
pub const PASSWORD: &str = "local";

/// What a server of ours does before it says that something is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing: its data are made up and go with it.
    Forgetful,
    /// What a server in production does: measurements of anything less would flatter.
    Full,
}

impl Durability {
    fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Forgetful => &[
                "fsync=off",
                "synchronous_commit=off",
                "full_page_writes=off",
                "wal_level=minimal",
                "max_wal_senders=0",
                "shared_buffers=256MB",
                // Many short-lived databases: let the launcher leave them alone.
                "autovacuum_naptime=60s",
            ],
            Self::Full => &[
                "fsync=on",
                "synchronous_commit=on",
                "full_page_writes=on",
                "wal_level=replica",
                "shared_buffers=1GB",
                // No checkpoint in the middle of what is measured.
                "max_wal_size=8GB",
                "checkpoint_timeout=30min",
            ],
        }
    }
}

/// A running server.
pub struct Server {
    url: String,
    description: String,
    // In this order: the process ends before its folder goes.
    process: Option<Group>,
    _folder: Option<TempDir>,
}

impl Server {
    /// Uses the server that `ARCADIA_POSTGRES_URL` names, or starts one on this port (a free one if none is
    /// given). `say` is called before anything slow.
    pub async fn start(port: Option<u16>, say: &dyn Fn(&str)) -> Result<Self, Failure> {
        Self::start_with(port, Durability::Forgetful, say).await
    }

    /// As [`Server::start`]; how durable somebody else's server is, is their business.
    pub async fn start_with(
        port: Option<u16>,
        durability: Durability,
        say: &dyn Fn(&str),
    ) -> Result<Self, Failure> {
        if let Some(url) = place::variable("ARCADIA_POSTGRES_URL") {
            return Self::external(url).await;
        }
        let found = binaries::find(say)?;
        let user = unprivileged::User::to_become()?;
        let folder = unprivileged::folder(user)?;
        process::delete_at_the_end(folder.path());
        let bin = unprivileged::reachable(&found.bin, user, folder.path())?;
        let port = match port {
            Some(port) => port,
            None => place::free_port()?,
        };

        let command = |program: &str| {
            let mut command = Command::new(bin.join(program));
            command.current_dir(folder.path()).stdin(Stdio::null());
            command
                .env_clear()
                .env("LC_ALL", "C")
                .env("TZ", "UTC")
                .env("HOME", folder.path());
            if let Some(user) = user {
                user.run(&mut command);
            }
            command
        };
        initialise(command("initdb"), folder.path())?;

        let log = folder.path().join("log");
        let file = fs::File::create(&log).doing("make Postgres's log")?;
        let mut postgres = command("postgres");
        postgres.arg("-D").arg("data");
        let port_setting = format!("port={port}");
        let settings = [
            port_setting.as_str(),
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=300",
        ];
        for setting in settings.iter().chain(durability.settings()) {
            postgres.args(["-c", setting]);
        }
        let copy = file.try_clone().doing("make Postgres's log")?;
        postgres.stdout(Stdio::from(file)).stderr(Stdio::from(copy));
        // INT is Postgres's fast shutdown: sessions are cut, nothing is waited for.
        let process = Group::spawn("Postgres", &mut postgres, Signal::INT, Duration::from_secs(10))?;
        let mut server = Self {
            url: format!("postgres://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"),
            description: format!(
                "Postgres {} of {} on port {port}",
                found.major,
                found.bin.display()
            ),
            process: Some(process),
            _folder: Some(folder),
        };
        server.wait_until_it_answers(&log).await?;
        Ok(server)
    }

    async fn external(url: String) -> Result<Self, Failure> {
        let options: PgConnectOptions = url.parse().doing("read ARCADIA_POSTGRES_URL")?;
        let address = format!("{}:{}", options.get_host(), options.get_port());
        let mut connection = options
            .connect()
            .await
            .doing(format!("use ARCADIA_POSTGRES_URL ({address})"))?;
        let superuser: (bool,) = sqlx::query_as("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
            .fetch_one(&mut connection)
            .await
            .doing("ask who ARCADIA_POSTGRES_URL logs in as")?;
        let _ = connection.close().await;
        if !superuser.0 {
            return Err(Failure::new(
                "ARCADIA_POSTGRES_URL must log in as a superuser: roles are made with it",
            ));
        }
        let description = format!("Postgres at {address} (ARCADIA_POSTGRES_URL)");
        Ok(Self {
            url,
            description,
            process: None,
            _folder: None,
        })
    }

    async fn wait_until_it_answers(&mut self, log: &Path) -> Result<(), Failure> {
        let options: PgConnectOptions = self.url.parse().doing("read the server's URL")?;
        let start = Instant::now();
        let ours = log
            .parent()
            .and_then(|folder| folder.join("data").canonicalize().ok());
        let error = loop {
            match Self::data_directory(&options).await {
                // Somebody else's, who was quicker to take the port.
                Ok(found) if Path::new(&found).canonicalize().ok() != ours => {
                    break Failure::new("another Postgres answers on its port");
                }
                Ok(_) => return Ok(()),
                Err(error) => {
                    let ended = self
                        .process
                        .as_mut()
                        .is_some_and(|process| process.ended().is_some());
                    if ended || start.elapsed() > Duration::from_secs(60) {
                        break error;
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let said = fs::read_to_string(log).unwrap_or_default();
        let said = crate::python::last_line(&said);
        Err(Failure::new(format!("Postgres did not start ({error}): {said}")))
    }

    async fn data_directory(options: &PgConnectOptions) -> Result<String, Failure> {
        let mut connection = options.connect().await.doing("reach it")?;
        let (folder,): (String,) = sqlx::query_as("SHOW data_directory")
            .fetch_one(&mut connection)
            .await
            .doing("ask it where it is")?;
        let _ = connection.close().await;
        Ok(folder)
    }

    /// The superuser's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Which server this is, for people.
    pub fn description(&self) -> &str {
        &self.description
    }
}

fn initialise(mut initdb: Command, folder: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    let password = folder.join("password");
    fs::write(&password, PASSWORD).doing("write Postgres's password file")?;
    // The folder itself is closed to everybody else; the file is read by the server's user.
    fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).doing("write the password file")?;
    initdb.args([
        "-D",
        "data",
        "-U",
        "postgres",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    ]);
    // `password`, not SCRAM: on loopback it is as good, and an unoptimised client takes 100 ms for SCRAM.
    initdb.args(["--auth=password", "--pwfile=password"]);
    let output = initdb.output().doing("run initdb")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!(
        "initdb failed: {}",
        crate::python::last_line(&said)
    )))
}
