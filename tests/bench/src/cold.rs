//! Cold starts: from exec to the first poll of the Runtime API, for every release binary, beside a hello-world Lambda.
//!
//! The Runtime API is a socket that is read to the end of the first request. `preparing` in a binary's log is where its
//! own work ends and waiting for secrets, database and clients begins: shown apart, because a hello-world has nothing to
//! wait for. Binaries are those of `make bench`'s first step, as AWS would get them: small code, stripped.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use harness::aws::Aws;
use harness::place;
use harness::services::Services;
use harness::usage::Usage;
use serde_json::Value;
use sqlx::{Connection, PgConnection};

use crate::ground::Ground;
use crate::report::{Report, Samples, Table, megabytes, nothing, ratio, seconds, text};

const HELLO: &str = "hello";
/// Starts of each binary, a round of all of them at a time.
const STARTS: usize = 30;
/// What a signed token is checked with.
const KEY: &str = "bench-bench-bench-bench-bench-bench-bench-bench-bench-bench-bench";

/// One start, in seconds and bytes.
struct Start {
    /// Until its own work was done, if it says so.
    begun: Option<f64>,
    /// Until it polled.
    polled: f64,
    resident: u64,
}

/// One binary and how it is configured.
struct Subject {
    name: String,
    program: PathBuf,
    environment: Vec<(String, String)>,
    starts: Vec<Start>,
}

impl Subject {
    fn times(&self, of: impl Fn(&Start) -> Option<f64>) -> Samples {
        self.starts.iter().filter_map(of).collect()
    }
}

/// Every release binary, and two of them once more with their secrets in Secrets Manager.
pub async fn run(report: &mut Report) {
    let ground = Ground::new().await;
    let mut subjects = subjects(&ground).await;
    let mut connects = Vec::new();
    for _ in 0..STARTS {
        for subject in &mut subjects {
            subject.starts.push(start(&subject.program, &subject.environment));
        }
        connects.push(connect(&ground).await);
    }
    let hello = subjects.iter().find(|subject| subject.name == HELLO).unwrap();
    let hello = hello.times(|start| Some(start.polled));
    let mut table = Table::new(
        format!("Cold start, {STARTS} of each"),
        &[
            "binary",
            "stripped",
            "zip",
            "exec to preparation",
            "min",
            "× hello",
            "preparation",
            "exec to first poll",
            "memory then",
        ],
    );
    for subject in &subjects {
        let begun = subject.times(|start| start.begun);
        let polled = subject.times(|start| Some(start.polled));
        let prepared = subject.times(|start| Some(start.polled - start.begun?));
        let resident = subject.times(|start| Some(start.resident as f64));
        let size = subject.program.metadata().unwrap().len() as f64;
        let is_hello = subject.name == HELLO;
        let own = if is_hello { &polled } else { &begun };
        let times_hello = own.median() / hello.median();
        table.row([
            text(subject.name.as_str()),
            megabytes(size),
            megabytes(zipped(&subject.program)),
            seconds(own.median()),
            seconds(own.quantile(0.0)),
            ratio(times_hello),
            if is_hello {
                nothing()
            } else {
                seconds(prepared.median())
            },
            seconds(polled.median()),
            megabytes(resident.median()),
        ]);
        let (most, largest) = if subject.name.starts_with("api") {
            (2.5, 12.0)
        } else {
            (2.0, 10.0)
        };
        if !is_hello && !subject.name.contains(' ') {
            let what = format!("cold start of {}, exec to preparation, × hello", subject.name);
            report.at_most(what, times_hello, most, "×");
            report.at_most(format!("{} stripped", subject.name), size / 1e6, largest, "MB");
        }
    }
    let connects: Samples = connects.into_iter().collect();
    table.note(format!(
        "A bare connect to the same database with its first query takes {:.1} ms. hello has nothing to prepare: its time is that to its first poll.",
        connects.median() * 1e3
    ));
    report.table(table);
}

async fn subjects(ground: &Ground) -> Vec<Subject> {
    let folder = place::local("released/hello").unwrap();
    assert!(
        folder.is_file(),
        "{} is not there: make bench builds it",
        folder.display()
    );
    let mut programs: Vec<PathBuf> = std::fs::read_dir(folder.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    programs.sort_by_key(|program| (!program.ends_with(HELLO), program.clone()));
    let aws = Aws::attach(&Services::from_env().unwrap().aws_url);
    let mut subjects = Vec::new();
    for program in programs {
        let name = program.file_name().unwrap().to_str().unwrap().to_owned();
        let apart = ["api", "sync-droplets"].contains(&name.as_str());
        let subject = |name: String, environment| Subject {
            name,
            program: program.clone(),
            environment,
            starts: Vec::new(),
        };
        if apart {
            let environment = with_secrets(ground, &aws, &name).await;
            subjects.push(subject(format!("{name} with Secrets Manager"), environment));
        }
        let environment = by_value(ground, &name);
        subjects.push(subject(name, environment));
    }
    subjects
}

fn login(name: &str) -> &'static str {
    match name {
        "api" => "arcadia_api_login",
        "sync-balance" | "sync-billing-history" | "ingest-invoice" => "arcadia_billing_login",
        _ => "arcadia_sync_login",
    }
}

/// What a binary is told, as the template tells it, secrets by value.
fn by_value(ground: &Ground, name: &str) -> Vec<(String, String)> {
    let url = ground.database.url_as(login(name));
    let mut variables = vec![("DATABASE_URL", url.as_str()), ("LOG_LEVEL", "debug")];
    match name {
        "api" => variables.push(("GUARDIAN_SECRET_KEY", KEY)),
        _ => variables.extend([
            ("DO_API_TOKEN", "dop_v1_bench"),
            ("INGEST_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/1/ingest"),
        ]),
    }
    variables
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The same, secrets by name.
async fn with_secrets(ground: &Ground, aws: &Aws, name: &str) -> Vec<(String, String)> {
    let client = aws.secrets();
    let url = ground.database.url_as(login(name));
    let secret = if name == "api" { KEY } else { "dop_v1_bench" };
    let (database, other) = (format!("bench/{name}/database"), format!("bench/{name}/other"));
    for (name, value) in [(&database, url.as_str()), (&other, secret)] {
        let made = client.create_secret().name(name).secret_string(value).send();
        made.await.unwrap();
    }
    let variable = if name == "api" {
        "GUARDIAN_SECRET_ARN"
    } else {
        "DO_TOKEN_SECRET_ARN"
    };
    let mut environment = aws.environment();
    for (name, value) in [
        ("DATABASE_SECRET_ARN", database.as_str()),
        (variable, other.as_str()),
        ("LOG_LEVEL", "debug"),
    ] {
        environment.push((name.to_owned(), value.to_owned()));
    }
    environment
}

/// Runs a program until it polls, and ends it there.
#[expect(
    clippy::disallowed_methods,
    reason = "compared with the time in a log line of another process"
)]
fn start(program: &Path, environment: &[(String, String)]) -> Start {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(harness::sandbox::lambda_environment("bench"))
        .env("AWS_LAMBDA_RUNTIME_API", address)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let (clock, watch) = (SystemTime::now(), Instant::now());
    let mut child = command.spawn().unwrap();
    let (socket, _) = listener.accept().unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut request = String::new();
    let mut socket = BufReader::new(socket);
    while !request.ends_with("\r\n\r\n") {
        assert!(
            socket.read_line(&mut request).unwrap() > 0,
            "{}",
            program.display()
        );
    }
    let polled = watch.elapsed().as_secs_f64();
    assert!(
        request.starts_with("GET /2018-06-01/runtime/invocation/next "),
        "{request}"
    );
    let resident = Usage::of(child.id()).unwrap().resident;
    child.kill().unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    assert!(!said.contains("started without"), "{said}");
    let begun = said.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let at: DateTime<Utc> = (line["message"] == "preparing")
            .then(|| line["timestamp"].as_str())??
            .parse()
            .ok()?;
        Some((at - DateTime::<Utc>::from(clock)).as_seconds_f64())
    });
    Start {
        begun,
        polled,
        resident,
    }
}

/// What preparing cannot do without.
async fn connect(ground: &Ground) -> f64 {
    let url = ground.database.url_as("arcadia_sync_login");
    let begun = Instant::now();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let schema = "SELECT max(version) FROM _sqlx_migrations WHERE success";
    let version: i64 = sqlx::query_scalar(schema)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let took = begun.elapsed().as_secs_f64();
    assert!(version > 0);
    connection.close().await.unwrap();
    took
}

/// Bytes of it in a deployment package: deflate, as zip does it.
fn zipped(program: &Path) -> f64 {
    let script = "import sys, zlib; print(len(zlib.compress(open(sys.argv[1], 'rb').read(), 6)))";
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(program)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}
