//! Secrets Manager and SQS on this machine: moto's server, and what tests and the local stack put into it.
//!
//! Started once by `make test` and `make run`; everybody else attaches by URL. The clients carry their endpoint,
//! region and dummy keys themselves: they cannot reach a real account whatever the environment says. It keeps
//! everything in memory, and it never fires a schedule or an event source: `run` plays those.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::QueueAttributeName;

use crate::failure::{Doing, Failure};
use crate::process::{Group, Signal};
use crate::{http, place, python};

/// The one region there is.
pub const REGION: &str = "us-east-1";
/// Dummy keys: moto takes any.
pub const KEY: &str = "local";

/// How often a message may be received before it goes to the dead letters: as in `template.yaml`.
const RECEIVES: u32 = 5;

/// A running moto of our own.
pub struct Moto {
    aws: Aws,
    _process: Group,
}

impl Moto {
    /// Installs it if need be, starts it on a free port and waits until it answers.
    pub async fn start(say: &dyn Fn(&str)) -> Result<Self, Failure> {
        Self::start_from("moto", say).await
    }

    /// The one with CloudFormation, which wants a hundred packages more.
    pub async fn start_whole(say: &dyn Fn(&str)) -> Result<Self, Failure> {
        Self::start_from("aws-sam-cli", say).await
    }

    async fn start_from(group: &str, say: &dyn Fn(&str)) -> Result<Self, Failure> {
        let bin = python::installed(&[group], say)?;
        let port = place::free_port()?;
        let log = place::local(&format!("moto-{port}.log"))?;
        let file = File::create(&log).doing(format!("make {}", log.display()))?;
        let copy = file.try_clone().doing(format!("make {}", log.display()))?;
        let mut command = Command::new(bin.join("moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        command
            .env_clear()
            .env("PATH", place::search_path())
            .env("PYTHONUNBUFFERED", "1");
        command.env("MOTO_IAM_LOAD_MANAGED_POLICIES", "false");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::from(file))
            .stderr(Stdio::from(copy));
        crate::process::delete_at_the_end(&log);
        let mut process = Group::spawn("moto", &mut command, Signal::TERM, Duration::from_secs(3))?;
        let start = Instant::now();
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        while TcpStream::connect(address).is_err() {
            if process.ended().is_some() || start.elapsed() > Duration::from_secs(60) {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(Failure::new(format!(
                    "moto did not start: {}",
                    python::last_line(&said)
                )));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self {
            aws: Aws::attach(&format!("http://127.0.0.1:{port}")),
            _process: process,
        })
    }

    /// What is in it.
    pub fn aws(&self) -> &Aws {
        &self.aws
    }
}

/// A queue and where its dead letters go.
#[derive(Clone, Debug)]
pub struct Queues {
    /// URL of the queue.
    pub ingest: String,
    /// URL of the dead-letter queue.
    pub dead_letters: String,
}

/// An emulated AWS somebody runs.
#[derive(Clone, Debug)]
pub struct Aws {
    url: String,
}

impl Aws {
    /// By URL.
    pub fn attach(url: &str) -> Self {
        Self { url: url.to_owned() }
    }

    /// The endpoint, for `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What a function's environment needs to find it.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", self.url.as_str()),
            ("AWS_REGION", REGION),
            ("AWS_DEFAULT_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", KEY),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// A Secrets Manager client.
    pub fn secrets(&self) -> aws_sdk_secretsmanager::Client {
        let config = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(shared::aws::http_client())
            .endpoint_url(&self.url)
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(KEY, KEY, None, None, "harness"));
        aws_sdk_secretsmanager::Client::from_conf(config.build())
    }

    /// An SQS client.
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(shared::aws::http_client())
            .endpoint_url(&self.url)
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(KEY, KEY, None, None, "harness"));
        aws_sdk_sqs::Client::from_conf(config.build())
    }

    /// Makes a secret, or gives one that exists a new value; answers with its ARN. Tests share one moto: a test
    /// puts something of its own into the name.
    pub async fn put_secret(&self, name: &str, value: &str) -> Result<String, Failure> {
        let client = self.secrets();
        if let Ok(made) = client
            .create_secret()
            .name(name)
            .secret_string(value)
            .send()
            .await
        {
            return made
                .arn
                .ok_or_else(|| Failure::new(format!("the secret {name} got no ARN")));
        }
        let put = client
            .put_secret_value()
            .secret_id(name)
            .secret_string(value)
            .send()
            .await;
        let put = put.map_err(aws_sdk_secretsmanager::error::DisplayErrorContext);
        put.doing(format!("put the secret {name}"))?
            .arn
            .ok_or_else(|| Failure::new("a secret without ARN"))
    }

    /// Makes the ingest queue and its dead letters, named with this prefix.
    pub async fn queues(&self, prefix: &str, visibility: Duration) -> Result<Queues, Failure> {
        let client = self.sqs();
        let dead_letters = self
            .queue(&client, &format!("{prefix}-ingest-dlq"), Vec::new())
            .await?;
        let asked = client
            .get_queue_attributes()
            .queue_url(&dead_letters)
            .attribute_names(QueueAttributeName::QueueArn)
            .send()
            .await
            .map_err(aws_sdk_sqs::error::DisplayErrorContext)
            .doing("ask for a queue's ARN")?;
        let arn = asked
            .attributes
            .and_then(|all| all.get(&QueueAttributeName::QueueArn).cloned());
        let arn = arn.ok_or_else(|| Failure::new("a queue without ARN"))?;
        let redrive = serde_json::json!({"deadLetterTargetArn": arn, "maxReceiveCount": RECEIVES});
        let attributes = vec![
            (QueueAttributeName::RedrivePolicy, redrive.to_string()),
            (
                QueueAttributeName::VisibilityTimeout,
                visibility.as_secs().to_string(),
            ),
        ];
        let ingest = self
            .queue(&client, &format!("{prefix}-ingest"), attributes)
            .await?;
        Ok(Queues { ingest, dead_letters })
    }

    async fn queue(
        &self,
        client: &aws_sdk_sqs::Client,
        name: &str,
        attributes: Vec<(QueueAttributeName, String)>,
    ) -> Result<String, Failure> {
        let mut request = client.create_queue().queue_name(name);
        for (attribute, value) in attributes {
            request = request.attributes(attribute, value);
        }
        let made = request
            .send()
            .await
            .map_err(aws_sdk_sqs::error::DisplayErrorContext);
        let made = made.doing(format!("make the queue {name}"))?;
        made.queue_url
            .ok_or_else(|| Failure::new(format!("the queue {name} got no URL")))
    }

    /// Forgets everything, of everybody who shares it: not for a test that runs beside others.
    pub async fn reset(&self) -> Result<(), Failure> {
        let client = http::client(Duration::from_secs(10))?;
        let url = format!("{}/moto-api/reset", self.url);
        http::post(&client, &url, &serde_json::Value::Null)
            .await
            .map(|_| ())
    }
}
