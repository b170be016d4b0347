//! `.local/stack.env`: what a shell, a script or a test needs to talk to the running stack.
//!
//! It appears when every worker has run once and goes with the stack, however that ends: its presence means
//! "ready". Only its owner may read it. A real account's token is not written into it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Stack;
use crate::failure::{Doing, Failure};
use crate::{aws, place, process};

/// The file, deleted with this value.
pub(super) struct StackEnv {
    path: PathBuf,
}

impl StackEnv {
    /// Writes it whole or not at all.
    pub(super) fn write(stack: &Stack) -> Result<Self, Failure> {
        let path = place::local("stack.env")?;
        let file = Self { path };
        process::delete_at_the_end(&file.path);
        write_private(&file.path, &sourceable(&contents(stack)))?;
        Ok(file)
    }
}

impl Drop for StackEnv {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn contents(stack: &Stack) -> Vec<(&'static str, String)> {
    let token = |index: usize| {
        stack
            .tenants
            .get(index)
            .map(|(_, token)| token.clone())
            .unwrap_or_default()
    };
    let mut contents = vec![
        ("API_URL", stack.api_url.clone()),
        ("INVOKE_URL", stack.api_url.clone()),
        ("OPERATOR_TOKEN", stack.operator.clone()),
        ("TENANT_TOKEN", token(0)),
        ("OTHER_TENANT_TOKEN", token(1)),
        ("DATABASE_URL", stack.database_url.clone()),
        ("DO_API_BASE_URL", stack.upstream.base_url().to_owned()),
        ("GUARDIAN_SECRET_KEY", stack.guardian.clone()),
        ("INGEST_QUEUE_URL", stack.queues.ingest.clone()),
        ("AWS_ENDPOINT_URL", stack.aws.url().to_owned()),
        ("AWS_REGION", aws::REGION.to_owned()),
        ("AWS_ACCESS_KEY_ID", aws::KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", aws::KEY.to_owned()),
    ];
    if let Some(control) = stack.upstream.control_url() {
        contents.push(("SIMULATOR_URL", control));
        contents.push(("DO_API_TOKEN", stack.upstream.token().to_owned()));
    }
    contents
}

/// For `. .local/stack.env` in any shell of the Bourne family.
pub(super) fn sourceable(contents: &[(&str, String)]) -> String {
    contents
        .iter()
        .map(|(name, value)| format!("{name}='{}'\n", value.replace('\'', "'\\''")))
        .collect()
}

/// Under another name first, so that nobody reads half of it; for its owner's eyes only.
pub(super) fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let beside = path.with_extension("new");
    let _ = fs::remove_file(&beside);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside);
    let mut file = file.doing(format!("write {}", beside.display()))?;
    file.write_all(text.as_bytes())
        .doing(format!("write {}", beside.display()))?;
    fs::rename(&beside, path).doing(format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_shell_reads_back_what_was_written() {
        for value in [
            "plain",
            "two words",
            "it's",
            "''",
            "$HOME `id` \\ \"x\"",
            "a\nb",
            "",
            "#no comment",
        ] {
            let text = sourceable(&[("VALUE", value.to_owned())]);
            let script = format!("{text}printf '%s' \"$VALUE\"");
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), value);
        }
    }
}
