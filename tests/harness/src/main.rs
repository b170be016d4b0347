//! The harness as a program: `make test`, `make run` and `make prepare` are thin covers of it.
//!
//! ```text
//! harness with-services [--durable] -- COMMAND …
//!                                      run a command beside Postgres, moto and the rest; its exit code is ours
//! harness run [--do live]              the local stack, until Ctrl-C
//! harness prepare [--check]            write, or check, the prepared queries in .sqlx
//! harness deny                         licences, bans and sources, as deny.toml says
//! harness fuzz [SEED …]                schemathesis against the local stack, as an operator, a tenant and nobody
//! harness as-function FILE BINARY      become a function; what cargo runs functions through
//! harness tools GROUP …                install groups of requirements.txt into .local; print what PATH needs for them
//! ```
//!
//! It prints one sentence and exits with 1 when it cannot do what was asked.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people: this is its way to talk"
)]

use std::process::ExitCode;

use harness::failure::{Doing, Failure};
#[cfg(feature = "stack")]
use harness::postgres::Durability;
use harness::{deny, prepare, python};

const USAGE: &str = "usage: harness with-services [--durable] -- COMMAND … | run [--do live] | fuzz [SEED …] | prepare [--check] | deny | tools GROUP …";

fn main() -> ExitCode {
    match command() {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("harness: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Result<ExitCode, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    #[cfg(feature = "stack")]
    if let ["as-function", environments, binary, ..] = words.as_slice() {
        match harness::stack::become_function(environments.as_ref(), binary.as_ref())? {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing("start")?;
    match words.as_slice() {
        ["deny"] => println!("{}", deny::check(&say)?),
        ["tools", groups @ ..] => println!("{}", python::path(groups, &|line| eprintln!("{line}"))?),
        ["prepare"] => println!("{}", runtime.block_on(prepare::write(&say))?),
        ["prepare", "--check"] => println!("{}", runtime.block_on(prepare::check(&say))?),
        #[cfg(feature = "stack")]
        ["with-services", "--", command @ ..] => {
            return runtime.block_on(harness::with_services::run(command, Durability::Forgetful, &say));
        }
        #[cfg(feature = "stack")]
        ["with-services", "--durable", "--", command @ ..] => {
            return runtime.block_on(harness::with_services::run(command, Durability::Full, &say));
        }
        #[cfg(feature = "stack")]
        ["run"] => return runtime.block_on(harness::stack::run(false, &say)),
        #[cfg(feature = "stack")]
        ["run", "--do", "live"] => return runtime.block_on(harness::stack::run(true, &say)),
        #[cfg(feature = "stack")]
        ["fuzz", seeds @ ..] => return runtime.block_on(harness::fuzz::run(seeds, &say)),
        _ => return Err(Failure::new(USAGE)),
    }
    Ok(ExitCode::SUCCESS)
}

fn say(line: &str) {
    println!("{line}");
}
