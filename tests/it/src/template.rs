//! What `template.yaml` promises about everything in it, whichever comes next: held by a test, because nothing else would
//! say that a new worker has no alarm, keeps its log for ever, or may read a secret that is not its own.
//!
//! Reads the template as YAML with its tags dropped (`!Ref Name` is `Name`) and the sample events beside it. What a
//! function may know and do is derived from what it is (`functions`); what it stands on is held to rules (`around`);
//! and `mutations` takes the template apart piece by piece and sees each piece missed.

mod around;
mod functions;
mod mutations;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use harness::place;
use shared::sync::WORKERS;
use simulator::Scenario;
use yaml_rust2::{Yaml, YamlLoader};

use crate::deployment::{Deployment, event, report};

/// What there is to deploy.
static BINARIES: LazyLock<BTreeSet<String>> = LazyLock::new(crate::binaries::binaries);

/// What is deployed, as YAML.
fn template() -> Yaml {
    let text = std::fs::read_to_string(place::repository().join("template.yaml")).unwrap();
    YamlLoader::load_from_str(&text).unwrap().remove(0)
}

fn at<'y>(yaml: &'y Yaml, path: &[&str]) -> &'y Yaml {
    path.iter().fold(yaml, |yaml, name| {
        let found = yaml
            .as_hash()
            .and_then(|hash| hash.get(&Yaml::String((*name).to_owned())));
        found.unwrap_or(&Yaml::BadValue)
    })
}

/// The text there, or none.
fn text<'y>(yaml: &'y Yaml, path: &[&str]) -> &'y str {
    at(yaml, path).as_str().unwrap_or_default()
}

/// The names below, in their order.
fn names(yaml: &Yaml) -> Vec<&str> {
    let members = yaml.as_hash().into_iter().flat_map(|members| members.keys());
    members.filter_map(Yaml::as_str).collect()
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

/// The texts of a list.
fn list(yaml: &Yaml) -> BTreeSet<&str> {
    let items = yaml.as_vec().into_iter().flatten();
    items.filter_map(Yaml::as_str).collect()
}

/// Every promise that this template breaks, each with the name of what breaks it.
fn faults(template: &Yaml) -> Vec<String> {
    let mut faults = Vec::new();
    around::whole(template, &mut faults);
    let resources = at(template, &["Resources"]);
    let mut deployed = BTreeMap::new();
    for name in names(resources) {
        let resource = at(resources, &[name]);
        let mut broken = |what: &str| faults.push(format!("{name}: {what}"));
        match text(resource, &["Type"]) {
            "AWS::Serverless::Function" => {
                *deployed
                    .entry(functions::binary(resource).to_owned())
                    .or_insert(0) += 1;
                functions::one(name, resource, template, &mut broken);
            }
            "AWS::SQS::Queue" => around::queue(name, resource, template, &mut broken),
            "AWS::SQS::QueuePolicy" => around::queue_policy(resource, &mut broken),
            "AWS::Serverless::HttpApi" => around::gateway(resource, &mut broken),
            "AWS::Logs::LogGroup" => around::log_group(name, resource, template, &mut broken),
            "AWS::Logs::QueryDefinition" => around::query(resource, template, &mut broken),
            "AWS::SNS::Topic" => around::topic(resource, &mut broken),
            "AWS::CloudWatch::Alarm" => around::alarm(resource, template, &mut broken),
            "AWS::CloudWatch::Dashboard" => around::dashboard(resource, template, &mut broken),
            _ => broken("a thing that no promise covers"),
        }
    }
    for binary in BINARIES.iter() {
        if deployed.get(binary) != Some(&1) {
            faults.push(format!("{binary}: is not deployed once"));
        }
    }
    faults
}

#[test]
fn the_template_keeps_its_promises() {
    assert_eq!(faults(&template()), Vec::<String>::new());
}

/// Everything that tells people what to type.
fn documents() -> String {
    let read = |path: &str| std::fs::read_to_string(place::repository().join(path)).unwrap();
    read("scripts/smoke.sh") + &read("docs/runbook.md") + &read("README.md")
}

/// The words that follow this one.
fn after(said: &str, before: &str) -> BTreeSet<String> {
    let found = said.split(before).skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
        rest.split_at(end.unwrap_or(rest.len())).0.to_owned()
    });
    found.filter(|name| !name.is_empty()).collect()
}

#[test]
fn what_is_pasted_is_there_and_what_is_there_is_pasted() {
    let (template, said) = (template(), documents());
    for resource in after(&said, "$(fn ") {
        assert!(
            !at(&template, &["Resources", &resource]).is_badvalue(),
            "{resource} is pasted somewhere, and no resource"
        );
    }
    for output in names(at(&template, &["Outputs"])) {
        assert!(
            said.contains(output),
            "{output} is an output that no command uses"
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
