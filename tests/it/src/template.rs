//! What `template.yaml` promises about every function, whichever comes next: held by a test, because nothing else would
//! say that a new worker has no alarm, keeps its log for ever, or may read a secret that is not its own.
//!
//! Reads the template as YAML with its tags dropped (`!Ref Name` is `Name`), and the sample events beside it. The last
//! test breaks each promise and sees it noticed.

use std::collections::BTreeSet;

use harness::place;
use shared::sync::WORKERS;
use simulator::Scenario;
use yaml_rust2::{Yaml, YamlLoader};

use crate::deployment::{Deployment, event, report};

fn text() -> String {
    std::fs::read_to_string(place::repository().join("template.yaml")).unwrap()
}

fn at<'y>(yaml: &'y Yaml, path: &[&str]) -> &'y Yaml {
    path.iter().fold(yaml, |yaml, name| {
        let found = yaml
            .as_hash()
            .and_then(|hash| hash.get(&Yaml::String((*name).to_owned())));
        found.unwrap_or(&Yaml::BadValue)
    })
}

fn is_true(yaml: &Yaml) -> bool {
    yaml.as_bool() == Some(true)
}

/// Every scalar below, for looking what is mentioned at all.
fn words(yaml: &Yaml, found: &mut BTreeSet<String>) {
    match yaml {
        Yaml::String(text) => drop(found.insert(text.clone())),
        Yaml::Array(items) => items.iter().for_each(|item| words(item, found)),
        Yaml::Hash(members) => members.iter().for_each(|(name, value)| {
            words(name, found);
            words(value, found);
        }),
        _ => {}
    }
}

/// Every promise that this text breaks.
fn faults(text: &str) -> Vec<String> {
    let documents = YamlLoader::load_from_str(text).unwrap();
    let template = &documents[0];
    let resources = at(template, &["Resources"]).as_hash().unwrap();
    let mut faults = Vec::new();
    let resource = |name: &str| at(at(template, &["Resources"]), &[name]);
    for (name, one) in resources {
        let (name, properties) = (name.as_str().unwrap(), at(one, &["Properties"]));
        let mut broken = |what: &str| faults.push(format!("{name}: {what}"));
        match at(one, &["Type"]).as_str().unwrap() {
            "AWS::Serverless::Function" => {
                let binary = at(one, &["Metadata", "BuildProperties", "Binary"])
                    .as_str()
                    .unwrap_or("");
                let group = at(properties, &["LoggingConfig", "LogGroup"])
                    .as_str()
                    .unwrap_or("");
                if group != format!("{name}Logs")
                    || at(resource(group), &["Properties", "RetentionInDays"]).is_badvalue()
                {
                    broken("no log group of its own with a retention");
                }
                let mut mentioned = BTreeSet::new();
                words(at(properties, &["Policies"]), &mut mentioned);
                if mentioned.iter().any(|word| word.contains('*')) || !at(properties, &["Role"]).is_badvalue()
                {
                    broken("rights on more than it names");
                }
                words(at(properties, &["Environment"]), &mut mentioned);
                let knows = |what: &str| mentioned.iter().any(|word| word.contains(what));
                if knows("Guardian") != (binary == "api") {
                    broken("the token secret is the API's alone");
                }
                if knows("MigrateDatabaseSecretArn") != (binary == "migrate") {
                    broken("the owner's login is migrate's alone");
                }
                if knows("DoToken") && matches!(binary, "api" | "migrate") {
                    broken("a DigitalOcean token where none is used");
                }
                if WORKERS.iter().any(|worker| worker.name == binary) {
                    worker(properties, template, binary, &mut broken);
                }
            }
            "AWS::SQS::Queue" => {
                if !is_true(at(properties, &["SqsManagedSseEnabled"])) {
                    broken("not encrypted");
                }
                let mut guarded = BTreeSet::new();
                for (_, policy) in resources
                    .iter()
                    .filter(|(_, one)| at(one, &["Type"]).as_str() == Some("AWS::SQS::QueuePolicy"))
                {
                    words(policy, &mut guarded);
                }
                if !guarded.contains(name) || !guarded.contains("aws:SecureTransport") {
                    broken("can be reached without TLS");
                }
            }
            "AWS::Serverless::HttpApi" => {
                if at(properties, &["AccessLogSettings", "DestinationArn"]).is_badvalue() {
                    broken("no access log");
                }
                if at(properties, &["DefaultRouteSettings", "ThrottlingRateLimit"]).is_badvalue() {
                    broken("no throttling");
                }
                if !at(properties, &["CorsConfiguration"]).is_badvalue() {
                    broken("CORS is the function's own");
                }
            }
            "AWS::CloudWatch::Alarm"
                if at(one, &["Condition"]).as_str() != Some("HasAlarms")
                    || at(properties, &["AlarmActions"]).is_badvalue() =>
            {
                broken("tells nobody, or cannot be switched off");
            }
            _ => {}
        }
    }
    faults
}

/// A scheduled worker: its ticks do not pile up, its failures go somewhere, and its silence is noticed.
fn worker(properties: &Yaml, template: &Yaml, binary: &str, broken: &mut dyn FnMut(&str)) {
    let invoke = at(properties, &["EventInvokeConfig"]);
    if at(invoke, &["DestinationConfig", "OnFailure", "Destination"]).as_str() != Some("FailedRuns.Arn") {
        broken("failed runs are lost");
    }
    let schedules = at(properties, &["Events"]).as_hash().unwrap();
    for schedule in schedules.values().map(|event| at(event, &["Properties"])) {
        let input: serde_json::Value =
            serde_json::from_str(at(schedule, &["Input"]).as_str().unwrap()).unwrap();
        let most = input["max_age_seconds"].as_i64();
        if most.is_none() || at(invoke, &["MaximumEventAgeInSeconds"]).as_i64() != most {
            broken("a tick may be older than its run takes it for");
        }
        if event(&format!("{binary}.json"))["max_age_seconds"].as_i64() != most {
            broken("its sample event is another one");
        }
        let age = at(schedule, &["RetryPolicy", "MaximumEventAgeInSeconds"]).as_i64();
        if !age.is_some_and(|age| (60..=900).contains(&age)) {
            broken("an outage would replay hours of ticks");
        }
        if at(schedule, &["DeadLetterConfig", "Arn"]).as_str() != Some("MissedTicks.Arn") {
            broken("missed ticks are lost");
        }
        if at(schedule, &["ScheduleExpressionTimezone"]).as_str() != Some("UTC") {
            broken("not on UTC");
        }
        if !is_true(at(schedule, &["OmitName"])) {
            broken("its schedule has the same name in every deployment of an account");
        }
        if at(schedule, &["State"]).as_str() != Some("Schedules") {
            broken("cannot be paused");
        }
    }
    let alarms = at(template, &["Resources"]).as_hash().unwrap().values();
    let watched = alarms.map(|one| at(one, &["Properties"])).any(|alarm| {
        at(alarm, &["MetricName"]).as_str() == Some("DataAge")
            && at(&at(alarm, &["Dimensions"])[0], &["Value"]).as_str() == Some(binary)
            && at(alarm, &["TreatMissingData"]).as_str() == Some("breaching")
    });
    if !watched {
        broken("nobody is told when its picture is old, or when it says nothing");
    }
}

#[test]
fn the_template_keeps_its_promises() {
    assert_eq!(faults(&text()), Vec::<String>::new());
}

#[test]
fn what_is_pasted_from_the_outputs_is_there() {
    let documents = YamlLoader::load_from_str(&text()).unwrap();
    let script = std::fs::read_to_string(place::repository().join("scripts/smoke.sh")).unwrap();
    for output in [
        "ApiUrl",
        "MigrateFunction",
        "ProjectsFunction",
        "MissedTicksUrl",
        "FailedRunsUrl",
    ] {
        assert!(
            !at(&documents[0], &["Outputs", output, "Value"]).is_badvalue(),
            "{output}"
        );
        assert!(
            output == "MigrateFunction" || script.contains(output),
            "{output} is not looked at"
        );
    }
}

#[test]
fn each_broken_promise_is_noticed() {
    let text = text();
    for (from, to, said) in [
        (
            "LogGroup: !Ref SyncAppsLogs",
            "LogGroup: !Ref SyncVolumesLogs",
            "SyncApps: no log group",
        ),
        (
            "{ SecretArn: !Ref GuardianSecretArn }",
            "{ SecretArn: \"*\" }",
            "Api: rights",
        ),
        (
            "DATABASE_SECRET_ARN: !Ref ApiDatabaseSecretArn",
            "DATABASE_SECRET_ARN: !Ref MigrateDatabaseSecretArn",
            "Api: the owner's",
        ),
        (
            "CORS_ALLOW_ORIGINS: !Ref",
            "DO_TOKEN_SECRET_ARN: !Ref DoTokenSecretArn\n          CORS_ALLOW_ORIGINS: !Ref",
            "Api: a DigitalOcean token",
        ),
        (
            "BOOTSTRAP_PROJECT: !Ref",
            "GUARDIAN_SECRET_ARN: !Ref GuardianSecretArn\n          BOOTSTRAP_PROJECT: !Ref",
            "the token secret",
        ),
        (
            "Destination: !GetAtt FailedRuns.Arn",
            "Destination: !GetAtt MissedTicks.Arn",
            "failed runs are lost",
        ),
        (
            "{ Arn: !GetAtt MissedTicks.Arn }",
            "{ Arn: !GetAtt FailedRuns.Arn }",
            "missed ticks are lost",
        ),
        (
            "\"max_age_seconds\": 60}",
            "\"max_age_seconds\": 6000}",
            "SyncDroplets: a tick may be older",
        ),
        ("State: !Ref Schedules", "State: ENABLED", "cannot be paused"),
        (
            "OmitName: true",
            "OmitName: false",
            "the same name in every deployment",
        ),
        (
            "ScheduleExpressionTimezone: UTC",
            "ScheduleExpressionTimezone: Europe/Berlin",
            "not on UTC",
        ),
        (
            "RetryPolicy: { MaximumEventAgeInSeconds: 300",
            "RetryPolicy: { MaximumEventAgeInSeconds: 86400",
            "replay hours",
        ),
        (
            "TreatMissingData: breaching",
            "TreatMissingData: ignore",
            "nobody is told",
        ),
        (
            "SqsManagedSseEnabled: true",
            "SqsManagedSseEnabled: false",
            "not encrypted",
        ),
        ("aws:SecureTransport", "aws:MultiFactorAuthPresent", "without TLS"),
        ("ThrottlingRateLimit:", "ThrottlingLimitRate:", "no throttling"),
        (
            "      FailOnWarnings: true",
            "      CorsConfiguration: true",
            "CORS",
        ),
        (
            "    Condition: HasAlarms\n    Properties:\n      AlarmDescription",
            "    Properties:\n      AlarmDescription",
            "cannot be switched off",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let found = faults(&text.replacen(from, to, 1));
        assert!(
            found.iter().any(|fault| fault.contains(said)),
            "{from} -> {to}: {found:?}"
        );
    }
}

/// Each event is of a day that has passed: the worker has to have read it to know.
#[tokio::test]
async fn every_worker_reads_its_own_sample_event() {
    let deployment = Deployment::with(Scenario::Default).await;
    for worker in WORKERS {
        let tick = event(&format!("{}.json", worker.name));
        let sandbox = deployment.sandbox(worker.name, &[]).await;
        let report = report(sandbox.invoke(&tick).await);
        assert_eq!(
            (&report["worker"], &report["outcome"]),
            (&worker.name.into(), &"stale".into()),
            "{report}"
        );
        assert_eq!(report["scheduled_for"], tick["scheduled_time"]);
    }
    assert_eq!(deployment.count("SELECT count(*) FROM sync_runs").await, 0);
}
