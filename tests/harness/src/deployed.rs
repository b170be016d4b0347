//! `template.yaml`, translated by SAM's own translator and deployed into moto's CloudFormation: what comes out of it.
//!
//! For `make deployable` only: it needs SAM's Python environment. The work is a script's (`deploy.py`), because both are
//! Python; what has to be there is the test's to say.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::failure::{Doing, Failure};
use crate::{place, python};

const SCRIPT: &str = include_str!("deploy.py");

/// Deploys the repository's template with these parameters; answers with what is there afterwards.
pub fn deploy(aws_url: &str, parameters: &Value, architecture: &str) -> Result<Value, Failure> {
    let template = place::repository().join("template.yaml");
    let template = template.display().to_string();
    let translated = script(&["translate", &template, architecture], "")?;
    let said = script(&["create", aws_url, &parameters.to_string()], &translated)?;
    serde_json::from_str(&said).doing("read what moto has deployed")
}

/// What a file takes as the zip that Lambda is given.
pub fn zipped(file: &Path) -> Result<u64, Failure> {
    let said = script(&["zip", &file.display().to_string()], "")?;
    said.trim().parse().doing("read the size of a zip")
}

fn script(arguments: &[&str], input: &str) -> Result<String, Failure> {
    let bin = python::installed(&["aws-sam-cli"], &|_| ())?;
    let mut command = Command::new(bin.join("python"));
    place::forget_accounts(&mut command);
    command.args(["-c", SCRIPT]).args(arguments);
    // The translator asks the SDK which region it is in.
    command.env("AWS_DEFAULT_REGION", crate::aws::REGION);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().doing("run deploy.py")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(input.as_bytes())
            .doing("hand a template to deploy.py")?;
    }
    let output = child.wait_with_output().doing("run deploy.py")?;
    if output.status.success() {
        return String::from_utf8(output.stdout).doing("read what deploy.py said");
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("deploy.py: {}", python::last_line(&said))))
}
