//! `ops`, the operator's program: what a person does that no schedule does.
//!
//! ```text
//! ops migrate          apply the migrations that are missing
//! ops sync KIND …      one run of the worker that keeps this kind (or of a worker by name, or of `all`)
//! ops backfill         every invoice that is not ingested yet, without a queue
//! ops doctor           what is configured, reachable and allowed, and what is not
//! ops verify           whether the mirror is true to its own history
//! ```
//!
//! Configured by the same variables as the Lambdas; with `DATABASE_URL` and `DO_API_TOKEN` it needs no AWS. It exits with 0
//! if all is well, with 1 if something is wrong or was not checked, with 2 if it was asked for something that there is not.
//! It prints no secret, and has no SQL and no HTTP of its own.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people: this is its way to talk"
)]

mod backfill;
mod doctor;
mod sync;
mod verify;

use std::process::ExitCode;

use chrono::NaiveDate;
use clap::{Parser, Subcommand};
use shared::billing::Backfill;
use shared::config::{DatabaseConfig, Environment};
use shared::database;
use shared::secrets::Secrets;
use shared::telemetry;

/// The operator's program of arcadia-cloud.
#[derive(Parser)]
#[command(
    version,
    after_help = "Variables are those of the Lambdas: DATABASE_URL or DATABASE_SECRET_ARN, \
    DO_API_TOKEN or DO_TOKEN_SECRET_ARN, GUARDIAN_SECRET_KEY or GUARDIAN_SECRET_ARN."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Applies the migrations that are missing. Before new code, never after it.
    Migrate,
    /// Runs the worker that keeps a kind, once, as its schedule would.
    Sync {
        /// Kinds (`droplet`), workers (`sync-droplets`), or `all`.
        #[arg(required = true, value_name = "KIND|WORKER|all")]
        what: Vec<String>,
        /// Says what the run would do, and takes everything back: only its requests are counted.
        #[arg(long)]
        dry_run: bool,
    },
    /// Fetches every invoice that is not ingested yet, one after the other, into the ledger. Needs no queue.
    Backfill {
        /// The first month, such as 2014-01; without it all there are.
        #[arg(long, value_name = "YYYY-MM", value_parser = backfill::month)]
        from: Option<NaiveDate>,
        /// Those that have been ingested, too.
        #[arg(long)]
        force: bool,
        /// Says what there is to do and what it costs, and does nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Looks at everything that the service needs, and changes nothing.
    Doctor,
    /// Holds the mirror against its own history; names the first offender of each rule.
    Verify,
}

/// How it ended, for whoever started it.
pub(crate) enum End {
    Well,
    Badly,
    /// Asked for what there is not.
    Refused,
}

/// A sentence for standard error.
pub(crate) type Trouble = String;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Only what a person did not ask to see: the report is printed, not logged.
    telemetry::init("error", "ops");
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ops: the async runtime cannot be made: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(carry_out(arguments.command)) {
        Ok(End::Well) => ExitCode::SUCCESS,
        Ok(End::Badly) => ExitCode::FAILURE,
        Ok(End::Refused) => ExitCode::from(2),
        Err(trouble) => {
            eprintln!("ops: {trouble}");
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(command: Command) -> Result<End, Trouble> {
    match command {
        Command::Migrate => migrate().await,
        Command::Sync { what, dry_run } => sync::run(&what, dry_run).await,
        Command::Backfill { from, force, dry_run } => backfill::run(Backfill { from, dry_run, force }).await,
        Command::Doctor => Ok(doctor::look().await),
        Command::Verify => verify::run().await,
    }
}

async fn migrate() -> Result<End, Trouble> {
    let options = database::options(&database_config()?, &Secrets::default()).await;
    let version = match options {
        Ok(options) => database::migrate(&options).await,
        Err(error) => Err(error),
    };
    println!("the schema is at version {}", version.map_err(said)?);
    Ok(End::Well)
}

fn database_config() -> Result<DatabaseConfig, Trouble> {
    Environment::process().migrate().map_err(said)
}

fn said(error: impl std::fmt::Display) -> Trouble {
    error.to_string()
}
