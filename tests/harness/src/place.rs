//! Where things are on this machine: the repository, its `.local` folder, the environment, free ports, the time.
//!
//! The one place of the harness that reads the process's environment and clock. Everything it makes lies in
//! `.local` of the repository (ignored by git) or in the temporary folder.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::failure::{Doing, Failure};

/// The repository: two folders above this package.
pub fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}

/// A path below `.local`, whose folder is made.
pub fn local(path: &str) -> Result<PathBuf, Failure> {
    let path = repository().join(".local").join(path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).doing(format!("make {}", folder.display()))?;
    }
    Ok(path)
}

/// An environment variable; an empty one counts as not set.
#[expect(
    clippy::disallowed_methods,
    reason = "the harness is a program of its own; this is its one reader"
)]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Takes out of a child's environment what could lead it to a real account or database.
#[expect(
    clippy::disallowed_methods,
    reason = "the harness is a program of its own; this looks at names of variables only"
)]
pub fn forget_accounts(command: &mut Command) {
    const NEVER: [&str; 6] = [
        "INGEST_QUEUE_URL",
        "BOOTSTRAP_PROJECT",
        "CORS_ALLOW_ORIGINS",
        "STRIKE_SPACING_SECONDS",
        "LEASE_SECONDS",
        "LOG_LEVEL",
    ];
    const NEVER_WITH: [&str; 6] = ["DATABASE_", "GUARDIAN_", "DO_", "AWS_", "PG", "JWT_"];
    for (name, _) in std::env::vars_os() {
        let Some(name) = name.to_str() else { continue };
        // Read by build scripts, not by AWS: without it everything would be compiled anew.
        let kept = name.starts_with("AWS_LC_");
        if !kept && (NEVER.contains(&name) || NEVER_WITH.iter().any(|prefix| name.starts_with(prefix))) {
            command.env_remove(name);
        }
    }
}

/// The folders of PATH.
#[expect(
    clippy::disallowed_methods,
    reason = "the harness is a program of its own; this is its one reader"
)]
pub fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// Time since 1970, for tokens and deadlines: the harness plays the outside world, which has a clock.
#[expect(
    clippy::disallowed_methods,
    reason = "plays AWS and the token issuer, which read their own clock"
)]
pub fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// A compiled binary of this workspace, in the profile that we were compiled in ourselves.
pub fn binary(name: &str) -> Result<PathBuf, Failure> {
    let ourselves = std::env::current_exe().doing("find out which program this is")?;
    // A test lies in `deps`, one deeper than the binaries.
    let folder = ourselves
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"));
    let program = folder.unwrap_or(&ourselves).join(name);
    if program.is_file() {
        return Ok(program);
    }
    Err(Failure::new(format!(
        "{} is not built: run `cargo build --workspace --bins`, as the targets of the Makefile do",
        program.display()
    )))
}

/// A port that was free a moment ago.
pub fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).doing("open a port")?;
    Ok(listener.local_addr().doing("read a port")?.port())
}

/// Refuses a port that somebody listens on, naming it and what it is for.
pub fn claim_port(port: u16, purpose: &str) -> Result<(), Failure> {
    // Also on all addresses: a server there would answer in our place on some systems.
    for address in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
        if TcpListener::bind(SocketAddrV4::new(address, port)).is_err() {
            return Err(Failure::new(format!(
                "port {port} is busy, and {purpose} needs it"
            )));
        }
    }
    Ok(())
}
