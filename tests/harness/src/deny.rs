//! `cargo deny`: licences, bans and sources of everything that is linked, as `deny.toml` says.
//!
//! Part of `make check`. A cargo-deny on PATH is used; otherwise a pinned one is compiled into `.local/tools`, once.
//! Advisories are checked when their database can be had, and it is said when they are not: a machine without
//! GitHub must still be able to run the rest.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::failure::{Doing, Failure};
use crate::place;

/// The version that is compiled where there is none.
const VERSION: &str = "0.20.2";

/// Where cargo-deny takes advisories from.
const ADVISORIES: &str = "https://github.com/rustsec/advisory-db";

/// Checks everything that can be checked here.
pub fn check(say: &dyn Fn(&str)) -> Result<String, Failure> {
    let program = program(say)?;
    deny(&program, &["bans", "licenses", "sources"])?;
    if !reachable(ADVISORIES) {
        return Ok(format!(
            "bans, licences and sources are as deny.toml says; advisories SKIPPED ({ADVISORIES} cannot be reached)"
        ));
    }
    deny(&program, &["advisories"])?;
    Ok("bans, licences, sources and advisories are as deny.toml says".to_owned())
}

fn deny(program: &PathBuf, what: &[&str]) -> Result<(), Failure> {
    let mut command = Command::new(program);
    command
        .args([
            "--log-level",
            "warn",
            "--all-features",
            "check",
            "--hide-inclusion-graph",
        ])
        .args(what);
    let status = command
        .current_dir(place::repository())
        .stdin(Stdio::null())
        .status();
    if status.doing("run cargo-deny")?.success() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "cargo deny refuses {}: see above",
        what.join(", ")
    )))
}

fn program(say: &dyn Fn(&str)) -> Result<PathBuf, Failure> {
    if let Some(found) = std::env::split_paths(&place::search_path())
        .map(|folder| folder.join("cargo-deny"))
        .find(|path| path.is_file())
    {
        return Ok(found);
    }
    let root = place::local(&format!("tools/cargo-deny-{VERSION}"))?;
    let program = root.join("bin/cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    say(&format!(
        "compiling cargo-deny {VERSION} into .local/tools, once; this takes minutes"
    ));
    let mut cargo = Command::new("cargo");
    // Unoptimised: it runs for a second. Without its default features it needs no second TLS stack.
    cargo
        .args([
            "install",
            "cargo-deny",
            "--quiet",
            "--locked",
            "--debug",
            "--version",
            VERSION,
            "--root",
        ])
        .arg(&root);
    cargo
        .args(["--no-default-features", "--target-dir"])
        .arg(place::local("target-tools")?);
    let status = cargo
        .current_dir(place::repository())
        .stdin(Stdio::null())
        .status();
    if !status.doing("run cargo")?.success() {
        return Err(Failure::new(format!(
            "cargo-deny {VERSION} cannot be installed: see above"
        )));
    }
    // A gigabyte that nothing needs again.
    let _ = std::fs::remove_dir_all(place::local("target-tools")?);
    Ok(program)
}

/// Within ten seconds.
fn reachable(repository: &str) -> bool {
    let mut git = Command::new("git");
    git.args([
        "-c",
        "http.lowSpeedLimit=1",
        "-c",
        "http.lowSpeedTime=10",
        "ls-remote",
        "--exit-code",
        repository,
        "HEAD",
    ]);
    git.env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    git.status().is_ok_and(|status| status.success())
}
