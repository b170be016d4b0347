//! `make run`: the whole service on this machine, until Ctrl-C.
//!
//! Postgres, moto, a simulated DigitalOcean (or, with `--do live`, the real one), the real Lambda binaries under
//! cargo lambda watch, each with the login and the variables that `template.yaml` gives it, and a driver that plays
//! EventBridge and SQS from the same file. Every worker runs once, then `.local/stack.env` appears and it is said what can be looked at. However it ends, nothing is left:
//! no process, no port, no stack.env. It never uses an inherited `DATABASE_URL`, and an exported token alone
//! changes nothing.

mod classify;
mod driver;
mod env_file;
mod invoke;
mod schedule;
mod template;
mod upstream;
mod welcome;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::aws::{Aws, Moto, Queues};
use crate::failure::{Doing, Failure};
use crate::postgres::{Database, OWNER, Server, Template as DatabaseTemplate};
use crate::{place, tokens};

pub use invoke::become_function;
use invoke::{Environments, Functions};
use template::Template;
pub use template::{Cadence, cadences};
pub use upstream::Upstream;

/// Where the API listens, and where Postgres does: as in the rest of the arcadia stack.
const API_PORT: u16 = 4005;
const POSTGRES_PORT: u16 = 5433;

/// What is up, for those who work with it.
pub struct Stack {
    /// `http://127.0.0.1:4005`.
    pub api_url: String,
    /// The database, as a superuser.
    pub database_url: String,
    /// Where DigitalOcean is.
    pub upstream: Upstream,
    /// Secrets and queues.
    pub aws: Aws,
    /// The ingest queue.
    pub queues: Queues,
    /// What tokens are signed with.
    pub guardian: String,
    /// An operator's token.
    pub operator: String,
    /// Two tenants' tokens, with the tenants.
    pub tenants: Vec<(String, String)>,
}

/// Runs the stack until it is told to stop.
pub async fn run(live: bool, say: &dyn Fn(&str)) -> Result<ExitCode, Failure> {
    let mut interrupt = signal(SignalKind::interrupt()).doing("listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).doing("listen for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).doing("listen for SIGHUP")?;
    // On a signal the future is dropped where it waits, and everything that it has started with it.
    let (code, word) = tokio::select! {
        ended = up(live, say) => match ended {
            Ok(never) => match never {},
            Err(failure) => return Err(failure),
        },
        _ = interrupt.recv() => (ExitCode::SUCCESS, "Ctrl-C"),
        _ = terminate.recv() => (ExitCode::from(143), "SIGTERM"),
        _ = hangup.recv() => (ExitCode::from(129), "SIGHUP"),
    };
    say(&format!("{word}: everything is stopped"));
    Ok(code)
}

async fn up(live: bool, say: &dyn Fn(&str)) -> Result<std::convert::Infallible, Failure> {
    place::claim_port(API_PORT, "the API")?;
    if own_postgres() {
        place::claim_port(
            POSTGRES_PORT,
            "Postgres (ARCADIA_POSTGRES_URL names a server to use instead)",
        )?;
    }
    let upstream = Upstream::choose(live, say).await?;
    let running = Running::start("functions", API_PORT, Some(POSTGRES_PORT), upstream, say).await?;
    let Running {
        stack,
        template,
        functions,
        ..
    } = &running;
    let counts = welcome::count(stack).await?;
    let file = env_file::StackEnv::write(stack)?;
    welcome::say_hello(stack, template, &counts, say)?;

    let driven = driver::drive(template, functions, stack, say);
    let ended = tokio::select! {
        never = driven => match never {},
        failure = functions.watch() => failure,
    };
    drop(file);
    Err(ended)
}

fn own_postgres() -> bool {
    place::variable("ARCADIA_POSTGRES_URL").is_none()
}

/// A stack whose workers have all run once and whose queue is empty. What stops first stands first.
pub(crate) struct Running {
    functions: Functions,
    pub(crate) stack: Stack,
    template: Template,
    _moto: Moto,
    _database: Database,
    _prepared: DatabaseTemplate,
    _server: Server,
}

impl Running {
    /// Where the functions' own lines are.
    pub(crate) fn log(&self) -> &Path {
        self.functions.log()
    }

    /// Starts it, with files of this name in `.local`.
    pub(crate) async fn start(
        name: &str,
        port: u16,
        postgres: Option<u16>,
        upstream: Upstream,
        say: &dyn Fn(&str),
    ) -> Result<Self, Failure> {
        let template = Template::read()?;
        let server = Server::start(postgres, say).await?;
        say(server.description());
        let prepared = DatabaseTemplate::prepare(&server).await?;
        let database = database(&prepared, own_postgres()).await?;
        say("migrations applied");
        let moto = Moto::start(say).await?;
        let aws = moto.aws().clone();
        say(&format!("Secrets Manager and SQS (moto) at {}", aws.url()));

        let guardian = format!(
            "{}{}",
            uuid::Uuid::new_v4().simple(),
            uuid::Uuid::new_v4().simple()
        );
        let queues = aws.queues("arcadia", Duration::from_secs(120)).await?;
        let ours = ours(&aws, &queues, &database, &upstream, &guardian).await?;
        let environments = environments(&template, &ours, &aws, &upstream)?;
        let functions = Functions::start(name, port, &environments, say).await?;

        let now = tokens::now();
        let tenants = simulator::scenario::TENANTS.iter().take(2);
        let stack = Stack {
            api_url: format!("http://127.0.0.1:{port}"),
            database_url: database.url(),
            upstream,
            aws,
            queues,
            operator: tokens::operator(&guardian, now),
            tenants: tenants
                .map(|(_, tenant)| ((*tenant).to_owned(), tokens::tenant(&guardian, tenant, now)))
                .collect(),
            guardian,
        };
        driver::everything_once(&template, &functions, say).await?;
        let queue = (&stack.aws, stack.queues.ingest.as_str());
        driver::what_waits(&template, &functions, queue, say).await?;
        classify::classify(&stack).await?;
        Ok(Self {
            functions,
            stack,
            template,
            _moto: moto,
            _database: database,
            _prepared: prepared,
            _server: server,
        })
    }
}

/// `arcadia` on a server of our own, a name that nobody has on somebody else's.
async fn database(prepared: &DatabaseTemplate, own: bool) -> Result<Database, Failure> {
    if own {
        prepared.cluster().named("arcadia").await
    } else {
        prepared.cluster().database().await
    }
}

/// What the template's parameters and resources are here. Secrets are read from Secrets Manager, so that this path
/// is real, and every group of functions has a login of its own.
async fn ours(
    aws: &Aws,
    queues: &Queues,
    database: &Database,
    upstream: &Upstream,
    guardian: &str,
) -> Result<BTreeMap<&'static str, String>, Failure> {
    let mut ours = BTreeMap::from([
        ("IngestQueue", queues.ingest.clone()),
        ("AWS::StackName", "arcadia-cloud".to_owned()),
    ]);
    for (parameter, name, secret) in [
        (
            "DatabaseSecretArn",
            "database-sync",
            database.url_as("arcadia_sync_login"),
        ),
        (
            "ApiDatabaseSecretArn",
            "database-api",
            database.url_as("arcadia_api_login"),
        ),
        (
            "BillingDatabaseSecretArn",
            "database-billing",
            database.url_as("arcadia_billing_login"),
        ),
        (
            "MigrateDatabaseSecretArn",
            "database-owner",
            database.url_as(OWNER),
        ),
        ("DoTokenSecretArn", "digitalocean", upstream.token().to_owned()),
        ("GuardianSecretArn", "guardian", guardian.to_owned()),
    ] {
        ours.insert(
            parameter,
            aws.put_secret(&format!("arcadia/{name}"), &secret).await?,
        );
    }
    if upstream.is_live() {
        // A local look at a real account changes nothing there, not even by making our project in it.
        ours.insert("BootstrapProject", String::new());
    }
    Ok(ours)
}

/// What each function is given: what the template says, and where AWS and DigitalOcean are.
fn environments(
    template: &Template,
    ours: &BTreeMap<&str, String>,
    aws: &Aws,
    upstream: &Upstream,
) -> Result<Environments, Failure> {
    let environments = template.functions.iter().map(|function| {
        let mut environment = template.environment(function, ours)?;
        environment.extend(aws.environment());
        environment.insert("DO_API_BASE_URL".to_owned(), upstream.base_url().to_owned());
        Ok((function.binary.clone(), environment))
    });
    environments.collect()
}
