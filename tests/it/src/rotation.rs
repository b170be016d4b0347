//! Tokens that live in Secrets Manager: rotated while we work, or not there at all.
//!
//! moto is the Secrets Manager, and the way to it is the one that a Lambda takes: the environment. A refused
//! token is read again once, and the run goes on with the new one; a secret that cannot be had is one sentence
//! that names it.

use std::time::Duration;

use harness::aws::Aws;
use harness::services::Services;
use shared::config::{Environment, Purpose};
use shared::runs::Tick;
use shared::secrets::Secrets;
use shared::sync::{self, DROPLETS, RunOutcome, Station};
use simulator::{Scenario, Token};

use crate::stage::{Stage, TOKEN};

/// The stage's worker, with its token in this secret.
async fn station(stage: &Stage, arn: &str) -> Station {
    let (database, base) = (stage.database.url_as("arcadia_sync_login"), stage.sim.url());
    let variables = vec![
        ("DATABASE_URL", database.as_str()),
        ("DO_API_BASE_URL", base.as_str()),
        ("DO_TOKEN_SECRET_ARN", arn),
    ];
    let config = Environment::of(variables).worker(Purpose::SyncFast).unwrap();
    Station::set_up(config, Secrets::new(Duration::from_secs(300)))
        .await
        .unwrap()
}

fn aws() -> Aws {
    Aws::attach(&Services::from_env().unwrap().aws_url)
}

#[tokio::test]
async fn a_refused_token_is_read_again_once_and_the_run_goes_on() {
    let mut stage = Stage::with(Scenario::Default).await;
    let name = format!("rotation-{}", stage.database.name());
    let arn = aws().put_secret(&name, TOKEN).await.unwrap();
    let station = station(&stage, &arn).await;
    let run = async |stage: &Stage| sync::run_at(&station, &DROPLETS, Tick::default(), stage.now, None).await;
    let report = run(&stage).await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    // DigitalOcean knows another token now, and so does the secret.
    stage.sim.set_token(&Token::new("sync", "dop_v1_rotated"));
    aws().put_secret(&name, "dop_v1_rotated").await.unwrap();
    stage.sim.clear_requests();
    let report = run(stage.later(1)).await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    let statuses: Vec<u16> = stage.sim.requests().iter().map(|entry| entry.status).collect();
    assert_eq!(
        statuses,
        [401, 200, 200, 200],
        "refused once, read again, never refused again"
    );
    // Rotated over there only: one more try with what the secret says, and then it is said.
    stage.sim.set_token(&Token::new("sync", "dop_v1_unknown"));
    stage.sim.clear_requests();
    let report = run(stage.later(1)).await;
    assert_eq!(
        (report.outcome, report.error_class),
        (RunOutcome::Failed, Some("unauthorized")),
        "{report:?}"
    );
    let error = report.error.unwrap();
    assert!(error.contains("401") && error.contains(&arn), "{error}");
    let statuses: Vec<u16> = stage.sim.requests().iter().map(|entry| entry.status).collect();
    assert_eq!(statuses, [401, 401]);
}

#[tokio::test]
async fn a_secret_that_cannot_be_had_is_one_sentence() {
    let stage = Stage::with(Scenario::Default).await;
    let missing = "arn:aws:secretsmanager:us-east-1:123456789012:secret:nowhere-AbCdEf";
    let blank = format!("blank-{}", stage.database.name());
    let blank = aws().put_secret(&blank, " dop_v1_padded\n").await.unwrap();
    for (arn, reason) in [
        (missing, "ResourceNotFoundException"),
        (blank.as_str(), "white space"),
    ] {
        let station = station(&stage, arn).await;
        let report = sync::run_at(&station, &DROPLETS, Tick::default(), stage.now, None).await;
        assert_eq!(
            (report.outcome, report.error_class),
            (RunOutcome::Failed, Some("token_unavailable"))
        );
        let error = report.error.unwrap();
        assert!(error.contains(arn) && error.contains(reason), "{error}");
        assert!(!error.contains('\n') && !error.contains("padded"), "{error}");
    }
    assert!(stage.sim.requests().is_empty());
}
