//! What AWS would get: the template deployed into moto's CloudFormation, and every function that `sam build` has made run
//! under AWS's own emulator with exactly the variables that its deployed twin was given.
//!
//! `make deployable` builds and then runs this; nobody else does, because the build takes long. It says how large each
//! function is, and refuses one that is too large, or that needs a newer C library than `provided.al2023` has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use harness::aws::{Aws, Moto};
use harness::rie::Rie;
use harness::services::Services;
use harness::{deployed, place, tokens};
use serde_json::{Value, json};
use shared::sync::WORKERS;
use simulator::Scenario;

use crate::binaries::{binaries, body, request};
use crate::deployment::{Deployment, GUARDIAN, TOKEN, event, tick, token};

/// The newest C library that Amazon Linux 2023 has.
const GLIBC: u32 = 34;
/// Bytes of a function as it is built today, and a little: what makes one larger is to be noticed (docs/decisions/0018).
const MOST: u64 = 11_000_000;

/// `sync-floating-ips` is `SyncFloatingIps` in the template.
fn logical(binary: &str) -> String {
    let words = binary.split('-').map(|word| {
        let (first, rest) = word.split_at(1);
        first.to_uppercase() + rest
    });
    words.collect()
}

/// What `sam build` has made of it.
fn built(binary: &str) -> PathBuf {
    let file = place::repository()
        .join(".aws-sam/build")
        .join(logical(binary))
        .join("bootstrap");
    assert!(file.is_file(), "{} is not built: make deployable", file.display());
    file
}

/// The newest symbol version of glibc that a program names.
fn glibc(program: &[u8]) -> u32 {
    const NAME: &[u8] = b"GLIBC_2.";
    let places = program
        .windows(NAME.len())
        .enumerate()
        .filter(|(_, window)| *window == NAME);
    let versions = places.filter_map(|(place, _)| {
        let digits = program[place + NAME.len()..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit());
        String::from_utf8(digits.copied().collect()).ok()?.parse().ok()
    });
    versions.max().unwrap_or(0)
}

/// The stack in moto, and the secrets that it was given.
struct Stack {
    found: Value,
    secrets: BTreeMap<String, String>,
}

impl Stack {
    /// The lanes `fast`, `slow` and `billing` have a token of their own, `full` has none.
    async fn deploy(aws: &Aws, deployment: &Deployment) -> Self {
        let mut secrets = BTreeMap::new();
        for (parameter, value) in [
            (
                "DatabaseSecretArn",
                deployment.database.url_as("arcadia_sync_login"),
            ),
            (
                "ApiDatabaseSecretArn",
                deployment.database.url_as("arcadia_api_login"),
            ),
            (
                "BillingDatabaseSecretArn",
                deployment.database.url_as("arcadia_billing_login"),
            ),
            ("MigrateDatabaseSecretArn", deployment.database.url()),
            ("DoTokenSecretArn", TOKEN.to_owned()),
            ("DoTokenSecretArnSyncFast", token(1)),
            ("DoTokenSecretArnSyncSlow", token(2)),
            ("DoTokenSecretArnBilling", token(3)),
            ("GuardianSecretArn", GUARDIAN.to_owned()),
        ] {
            let arn = aws.put_secret(parameter, &value).await.unwrap();
            secrets.insert(parameter.to_owned(), arn);
        }
        let mut parameters = json!(secrets);
        parameters["AlarmEmail"] = json!("operator@example.com");
        let architecture = if cfg!(target_arch = "aarch64") {
            "arm64"
        } else {
            "x86_64"
        };
        parameters["Architecture"] = json!(architecture);
        let found = deployed::deploy(aws.url(), &parameters, architecture).unwrap();
        assert_eq!(found["status"], "CREATE_COMPLETE", "{found}");
        Self { found, secrets }
    }

    fn function(&self, binary: &str) -> &Value {
        let function = &self.found["functions"][logical(binary)];
        assert!(
            function.is_object(),
            "{binary} is not deployed: {}",
            self.found["resources"]
        );
        function
    }

    fn queue(&self, name: &str, attribute: &str) -> &str {
        self.found["queues"][name][attribute].as_str().unwrap()
    }

    /// What a deployed function is told.
    fn told(&self, binary: &str) -> BTreeMap<String, String> {
        serde_json::from_value(self.function(binary)["told"].clone()).unwrap()
    }

    /// Its role may read the secrets that it uses, and use the queues that it is told of, and nothing else.
    fn check_role(&self, binary: &str) {
        let (function, told) = (self.function(binary), self.told(binary));
        let secret = |name: &str| told.get(name).filter(|arn| !arn.is_empty());
        let own = told
            .iter()
            .find(|(name, arn)| name.starts_with("DO_TOKEN_SECRET_ARN_") && !arn.is_empty());
        let token = own.map(|(_, arn)| arn).or(secret("DO_TOKEN_SECRET_ARN"));
        let secrets = [
            secret("DATABASE_SECRET_ARN"),
            secret("GUARDIAN_SECRET_ARN"),
            token,
        ];
        let mut expected: BTreeSet<(String, String)> = BTreeSet::new();
        for arn in secrets.into_iter().flatten() {
            expected.insert(("secretsmanager:GetSecretValue".to_owned(), arn.clone()));
        }
        let ingest = self.queue("IngestQueue", "QueueArn");
        if binary == "ingest-invoice" {
            for action in [
                "ChangeMessageVisibility",
                "ChangeMessageVisibilityBatch",
                "DeleteMessage",
                "DeleteMessageBatch",
                "GetQueueAttributes",
                "ReceiveMessage",
            ] {
                expected.insert((format!("sqs:{action}"), ingest.to_owned()));
            }
        } else if told.contains_key("INGEST_QUEUE_URL") {
            expected.insert(("sqs:SendMessage*".to_owned(), ingest.to_owned()));
        }
        if WORKERS.iter().any(|worker| worker.name == binary) {
            let failed = self.queue("FailedRuns", "QueueArn");
            expected.insert(("sqs:SendMessage".to_owned(), failed.to_owned()));
        }
        let mut allowed = BTreeSet::new();
        for statement in function["allowed"].as_array().unwrap() {
            assert_eq!(statement["Effect"], "Allow", "{statement}");
            let on = statement["Resource"].as_str().unwrap();
            let actions = match &statement["Action"] {
                Value::Array(actions) => actions.clone(),
                one => vec![one.clone()],
            };
            for action in actions {
                allowed.insert((action.as_str().unwrap().to_owned(), on.to_owned()));
            }
        }
        assert_eq!(allowed, expected, "{binary}");
        let trusted = &function["trusts"][0]["Principal"]["Service"][0];
        assert_eq!(trusted, "lambda.amazonaws.com", "{binary}");
        let owner = &self.secrets["MigrateDatabaseSecretArn"];
        assert_eq!(
            told.values().any(|value| value == owner),
            binary == "migrate",
            "{binary}"
        );
    }

    fn check_queues(&self) {
        let redrive: Value = serde_json::from_str(self.queue("IngestQueue", "RedrivePolicy")).unwrap();
        assert_eq!(
            redrive["deadLetterTargetArn"],
            self.queue("IngestDeadLetters", "QueueArn")
        );
        assert_eq!(redrive["maxReceiveCount"], 5);
        for name in ["IngestQueue", "IngestDeadLetters", "MissedTicks", "FailedRuns"] {
            assert_eq!(self.queue(name, "SqsManagedSseEnabled"), "true", "{name}");
        }
        let reader = &self.function("ingest-invoice")["name"];
        assert_eq!(
            self.found["readers"],
            json!([[self.queue("IngestQueue", "QueueArn"), reader, 5]])
        );
        for (output, queue) in [
            ("IngestQueueUrl", "IngestQueue"),
            ("IngestDeadLettersUrl", "IngestDeadLetters"),
            ("MissedTicksUrl", "MissedTicks"),
            ("FailedRunsUrl", "FailedRuns"),
        ] {
            assert_eq!(self.found["outputs"][output], self.queue(queue, "url"));
        }
    }
}

/// One built function under the emulator, told what its deployed twin is, and where this machine's AWS and DigitalOcean
/// are.
struct Function {
    name: String,
    rie: Rie,
}

impl Function {
    async fn start(binary: &str, stack: &Stack, aws: &Aws, deployment: &Deployment) -> Self {
        let mut told = stack.told(binary);
        told.extend(aws.environment());
        told.insert("DO_API_BASE_URL".to_owned(), deployment.sim.url());
        let told: Vec<(String, String)> = told.into_iter().collect();
        let emulator = Services::from_env().unwrap().rie;
        let time = stack.function(binary)["timeout"].as_u64().unwrap();
        let time = Duration::from_secs(time);
        let rie = Rie::start_program(&emulator, &built(binary), binary, &told, time)
            .await
            .unwrap();
        Self {
            name: binary.to_owned(),
            rie,
        }
    }

    async fn answer(&self, event: &Value) -> Value {
        let answer = self.rie.invoke(event).await.unwrap();
        assert_eq!(
            answer.status,
            200,
            "{}: {answer:?} {}",
            self.name,
            self.rie.output()
        );
        answer.json()
    }
}

#[tokio::test]
#[ignore = "what `sam build` makes: make deployable"]
async fn every_function_answers_as_it_is_built_and_deployed() {
    let services = Services::from_env().unwrap();
    let deployment = Deployment::around(services.cluster.empty().await.unwrap(), Scenario::Default).await;
    let moto = Moto::start_whole(&|line| println!("{line}")).await.unwrap();
    let aws = moto.aws();
    let stack = Stack::deploy(aws, &deployment).await;
    println!(
        "moto's CloudFormation has made, of what the template has: {}",
        stack.found["resources"]
    );
    stack.check_queues();

    let mut order: Vec<String> = vec!["migrate".into(), "sync-projects".into()];
    order.extend(
        WORKERS
            .iter()
            .map(|worker| worker.name.to_owned())
            .filter(|name| name != "sync-projects"),
    );
    order.extend(["ingest-invoice".into(), "api".into()]);
    assert_eq!(order.iter().cloned().collect::<BTreeSet<_>>(), binaries());
    let mut too_large = Vec::new();
    println!(
        "{:<22} {:>10} {:>9}  glibc  answer to its sample event",
        "function", "bytes", "zipped"
    );
    for name in &order {
        stack.check_role(name);
        let file = built(name);
        let program = std::fs::read(&file).unwrap();
        let (size, needs) = (program.len() as u64, glibc(&program));
        assert!((1..=GLIBC).contains(&needs), "{name} needs glibc 2.{needs}");
        if size > MOST {
            too_large.push(name.clone());
        }
        let function = Function::start(name, &stack, aws, &deployment).await;
        let said = match name.as_str() {
            "migrate" => {
                let answer = function.answer(&event("manual.json")).await;
                assert_eq!(
                    answer["version"],
                    shared::database::newest_migration(),
                    "{answer}"
                );
                answer.to_string()
            }
            "api" => api(&function, &deployment).await,
            "ingest-invoice" => ingest(&function, aws, &stack, &deployment).await,
            worker => {
                let stale = function.answer(&event(&format!("{worker}.json"))).await;
                assert_eq!(stale["outcome"], "stale", "{stale}");
                let report = function.answer(&tick()).await;
                assert_eq!(report["outcome"], "complete", "{worker}: {report}");
                format!("stale; of today: complete, {} requests", report["requests"])
            }
        };
        println!(
            "{name:<22} {size:>10} {:>9}  2.{needs}   {said}",
            deployed::zipped(&file).unwrap()
        );
        function.rie.stop();
    }
    deployment.check_history().await;
    let whole = "SELECT count(*) FROM cloud_resources WHERE deleted_at IS NULL AND kind = 'droplet'";
    assert_eq!(
        deployment.count(whole).await,
        i64::try_from(deployment.sim.items("droplets").len()).unwrap()
    );
    assert!(too_large.is_empty(), "larger than they may be: {too_large:?}");
}

async fn api(function: &Function, deployment: &Deployment) -> String {
    let health = function.answer(&event("api-health.json")).await;
    assert_eq!(body(&health, 200)["status"], "ok");
    body(
        &function.answer(&request("/api/health/ready", "", None)).await,
        200,
    );
    // Its token is a word.
    body(&function.answer(&event("api-inventory.json")).await, 401);
    let mut inventory = event("api-inventory.json");
    let operator = tokens::operator(GUARDIAN, tokens::now());
    inventory["headers"]["authorization"] = json!(format!("Bearer {operator}"));
    let answer = body(&function.answer(&inventory).await, 200);
    assert_eq!(answer["data"].as_array().unwrap().len(), 10, "{answer}");
    // Back into the queue, which only its role may do besides billing.
    let uuid: String =
        sqlx::query_scalar("SELECT invoice_uuid FROM cloud_invoices WHERE NOT preview LIMIT 1")
            .fetch_one(&deployment.pool)
            .await
            .unwrap();
    let mut again = request(
        &format!("/api/v1/billing/invoices/{uuid}/ingest"),
        "",
        Some(&operator),
    );
    again["requestContext"]["http"]["method"] = json!("POST");
    let sent = function.answer(&again).await;
    assert!(
        sent["statusCode"].as_u64().is_some_and(|status| status < 300),
        "{sent}"
    );
    "ok; 401; with a token 200, ten of the inventory".to_owned()
}

/// The sample's invoice is nobody's; then what `sync-billing-history` has sent.
async fn ingest(function: &Function, aws: &Aws, stack: &Stack, deployment: &Deployment) -> String {
    let sample = event("sqs-ingest.json");
    let failed = function.answer(&sample).await;
    assert_eq!(
        failed["batchItemFailures"][0]["itemIdentifier"], sample["Records"][0]["messageId"],
        "{failed}"
    );
    let mut taken = 0;
    loop {
        let received = aws
            .sqs()
            .receive_message()
            .queue_url(stack.queue("IngestQueue", "url"))
            .wait_time_seconds(2)
            .max_number_of_messages(5);
        let messages = received.send().await.unwrap().messages.unwrap_or_default();
        if messages.is_empty() {
            break;
        }
        let records = messages.iter().map(|message| {
            let mut record = sample["Records"][0].clone();
            record["messageId"] = json!(message.message_id());
            record["body"] = json!(message.body());
            record
        });
        let answer = function
            .answer(&json!({ "Records": records.collect::<Vec<_>>() }))
            .await;
        assert_eq!(answer["batchItemFailures"], json!([]), "{answer}");
        taken += messages.len();
    }
    let left: Vec<(String, Option<String>)> = sqlx::query_as(
        "SELECT ingest_status, last_error FROM cloud_invoices WHERE NOT preview AND ingest_status <> 'ingested'",
    )
    .fetch_all(&deployment.pool)
    .await
    .unwrap();
    assert!(
        left.is_empty(),
        "{taken} taken, and left are {left:?}: {}",
        function.rie.output()
    );
    format!("failed, as nobody's; {taken} invoices ingested")
}
