//! What functions stand on, and who is told: queues, logs, the gateway, alarms, parameters, outputs. Rules for a kind of
//! thing each, whatever it is called.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use harness::place;
use yaml_rust2::Yaml;

use super::functions::{binary, readers, timeout};
use super::{at, list, names, text, words};

/// The names that `functions/src/metrics.rs` counts under.
static METRICS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let source = std::fs::read_to_string(place::repository().join("functions/src/metrics.rs")).unwrap();
    let written = source.split("histogram!(\"").skip(1);
    let names = written.filter_map(|rest| rest.split('"').next());
    names.map(str::to_owned).collect()
});

/// The sections of the runbook, in small letters.
static SECTIONS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let text = std::fs::read_to_string(place::repository().join("docs/runbook.md")).unwrap();
    let headings = text.lines().filter_map(|line| line.strip_prefix("## "));
    headings.map(str::to_lowercase).collect()
});

/// The outputs that commands of the documents paste: `$(out NAME)`, and `$(output NAME)` in the script.
static PASTED: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let said = super::documents();
    super::after(&said, "$(out ")
        .into_iter()
        .chain(super::after(&said, "$(output "))
        .collect()
});

/// What is named as a part of a resource, and of which there is no such resource.
fn dangling(template: &Yaml, broken: &mut dyn FnMut(String)) {
    let mut named = BTreeSet::new();
    for part in ["Resources", "Outputs"] {
        words(at(template, &[part]), &mut named);
    }
    let parts = [".Arn", ".QueueName"];
    let resources = named
        .iter()
        .filter_map(|word| parts.iter().find_map(|part| word.strip_suffix(part)));
    for resource in resources.filter(|name| name.chars().all(char::is_alphanumeric)) {
        if at(template, &["Resources", resource]).is_badvalue() {
            broken(format!("{resource}: is named, and there is none"));
        }
    }
}

/// Every resource of this type, by name.
fn of_type<'t>(template: &'t Yaml, kind: &str) -> Vec<(&'t str, &'t Yaml)> {
    let resources = at(template, &["Resources"]);
    let all = names(resources)
        .into_iter()
        .map(|name| (name, at(resources, &[name])));
    all.filter(|(_, one)| text(one, &["Type"]) == kind).collect()
}

/// The template's own parts beside its resources.
pub(super) fn whole(template: &Yaml, faults: &mut Vec<String>) {
    let mut broken = |what: String| faults.push(what);
    let function = at(template, &["Globals", "Function"]);
    for (property, value) in [
        ("Runtime", "provided.al2023"),
        ("Handler", "bootstrap"),
        ("CodeUri", "."),
    ] {
        if text(function, &[property]) != value {
            broken(format!("Globals: {property} is not {value}"));
        }
    }
    if list(at(function, &["Architectures"])) != ["Architecture"].into() {
        broken("Globals: the architecture is not the parameter's".to_owned());
    }
    let vpc = at(function, &["VpcConfig"])
        .as_vec()
        .map_or(&[][..], Vec::as_slice);
    let says = |yaml: &Yaml, name: &str| text(yaml, &[name]) == name;
    if !matches!(vpc, [condition, inside, outside]
        if condition.as_str() == Some("InVpc") && outside.as_str() == Some("AWS::NoValue")
        && says(inside, "SubnetIds") && says(inside, "SecurityGroupIds"))
    {
        broken("Globals: the VPC is not as the parameters say".to_owned());
    }
    let told = at(function, &["Environment", "Variables"]);
    for (variable, parameter) in [
        ("LOG_LEVEL", "LogLevel"),
        ("METRICS_NAMESPACE", "AWS::StackName"),
        ("DATABASE_HOST", "DatabaseHost"),
        ("DATABASE_PORT", "DatabasePort"),
        ("DATABASE_NAME", "DatabaseName"),
    ] {
        if text(told, &[variable]) != parameter {
            broken(format!("Globals: {variable} is not {parameter}"));
        }
    }
    if names(told).len() != 5 || at(function, &["Timeout"]).as_i64() != Some(300) {
        broken("Globals: says something that no promise covers".to_owned());
    }
    parameters(template, &mut broken);
    let conditions = at(template, &["Conditions"]);
    for (name, parameter) in [
        ("OwnFastToken", "DoTokenSecretArnSyncFast"),
        ("OwnFullToken", "DoTokenSecretArnSyncFull"),
        ("OwnSlowToken", "DoTokenSecretArnSyncSlow"),
        ("OwnBillingToken", "DoTokenSecretArnBilling"),
        ("HasAlarms", "AlarmEmail"),
        ("InVpc", "SubnetIds"),
    ] {
        // !Not [!Equals [!Ref parameter, ""]], its tags dropped; of a list, its parts joined.
        let text = |text: &str| Yaml::String(text.to_owned());
        let asked = match parameter {
            "SubnetIds" => Yaml::Array(vec![text(""), text(parameter)]),
            _ => text(parameter),
        };
        let wanted = Yaml::Array(vec![Yaml::Array(vec![asked, text("")])]);
        if *at(conditions, &[name]) != wanted {
            broken(format!("{name}: does not ask whether {parameter} is empty"));
        }
    }
    for metric in [
        "RunsFailed",
        "SuspectListings",
        "DoRequestsLeft",
        "AuthRejections",
        "InvoicesPending",
        "InvoicesQuarantined",
        "InvoicesMismatched",
        "5xx",
    ] {
        let alarms = of_type(template, "AWS::CloudWatch::Alarm");
        if !alarms
            .iter()
            .any(|(_, alarm)| text(alarm, &["Properties", "MetricName"]) == metric)
        {
            broken(format!("{metric}: nobody is told"));
        }
    }
    if of_type(template, "AWS::CloudWatch::Dashboard").len() != 1
        || of_type(template, "AWS::Logs::QueryDefinition").len() < 4
        || of_type(template, "AWS::Serverless::HttpApi").len() != 1
    {
        broken("there is nothing to look at".to_owned());
    }
    dangling(template, &mut broken);
    let outputs = at(template, &["Outputs"]);
    for name in PASTED.iter() {
        if at(outputs, &[name]).is_badvalue() {
            broken(format!("{name}: is pasted somewhere, and no output"));
        }
    }
    for name in names(outputs) {
        if ["Description", "Value"]
            .iter()
            .any(|part| text(outputs, &[name, part]).is_empty())
        {
            broken(format!("{name}: an output without words or value"));
        }
    }
}

fn parameters(template: &Yaml, broken: &mut dyn FnMut(String)) {
    let parameters = at(template, &["Parameters"]);
    let groups = at(
        template,
        &["Metadata", "AWS::CloudFormation::Interface", "ParameterGroups"],
    );
    let mut shown: Vec<&str> = groups
        .as_vec()
        .into_iter()
        .flatten()
        .flat_map(|group| list(at(group, &["Parameters"])))
        .collect();
    shown.sort_unstable();
    let mut all = names(parameters);
    all.sort_unstable();
    if shown != all {
        broken(format!("parameters: shown are {shown:?} and there are {all:?}"));
    }
    let mut used = BTreeSet::new();
    for part in ["Globals", "Resources", "Conditions"] {
        words(at(template, &[part]), &mut used);
    }
    for name in names(parameters) {
        let one = at(parameters, &[name]);
        let kind = match name {
            "SubnetIds" | "SecurityGroupIds" => "CommaDelimitedList",
            "LogRetentionDays" | "RequestsPerSecond" => "Number",
            _ => "String",
        };
        // What nobody but the operator can know has no default.
        let asked_for = name.ends_with("SecretArn");
        if text(one, &["Type"]) != kind || at(one, &["Default"]).is_badvalue() != asked_for {
            broken(format!("{name}: another type, or another need"));
        }
        if text(one, &["Description"]).is_empty() || !used.contains(name) {
            broken(format!("{name}: a parameter without words or use"));
        }
        let limited = match text(one, &["Type"]) {
            "Number" => !at(one, &["AllowedValues"]).is_badvalue() || !at(one, &["MaxValue"]).is_badvalue(),
            _ => !at(one, &["AllowedValues"]).is_badvalue() || !text(one, &["AllowedPattern"]).is_empty(),
        };
        let said =
            at(one, &["AllowedPattern"]).is_badvalue() || !text(one, &["ConstraintDescription"]).is_empty();
        if !limited || !said {
            broken(format!("{name}: takes anything, or does not say what it takes"));
        }
        let pattern = text(one, &["AllowedPattern"]);
        let empty = at(one, &["Default"]).as_str() == Some("");
        if name.contains("SecretArn") {
            let arn = "arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:.+";
            let wanted = if empty {
                format!("^({arn})?$")
            } else {
                format!("^{arn}$")
            };
            if pattern != wanted {
                broken(format!("{name}: is no ARN of a secret"));
            }
        }
    }
    if list(at(parameters, &["Schedules", "AllowedValues"])) != ["ENABLED", "DISABLED"].into() {
        broken("Schedules: cannot be paused and resumed".to_owned());
    }
    let architecture = at(parameters, &["Architecture"]);
    if text(architecture, &["Default"]) != "arm64"
        || list(at(architecture, &["AllowedValues"])) != ["arm64", "x86_64"].into()
    {
        broken("Architecture: arm64, or x86_64 where that target is not installed".to_owned());
    }
}

/// Encrypted, kept long enough, watched; if functions read it, they can finish before a message comes back.
pub(super) fn queue(name: &str, queue: &Yaml, template: &Yaml, broken: &mut dyn FnMut(&str)) {
    let properties = at(queue, &["Properties"]);
    if at(properties, &["SqsManagedSseEnabled"]).as_bool() != Some(true) {
        broken("not encrypted");
    }
    let guarded = of_type(template, "AWS::SQS::QueuePolicy")
        .into_iter()
        .any(|(_, policy)| {
            let mut resources = BTreeSet::new();
            words(at(policy, &["Properties", "PolicyDocument"]), &mut resources);
            list(at(policy, &["Properties", "Queues"])).contains(name)
                && resources.contains(&format!("{name}.Arn"))
        });
    if !guarded {
        broken("can be reached without TLS");
    }
    let days = at(properties, &["MessageRetentionPeriod"]).as_i64().unwrap_or(0) / 86_400;
    let readers = readers(template, name);
    if readers.is_empty() {
        if days != 14 {
            broken("forgets what a person has to look at in less than 14 days");
        }
        let watched = of_type(template, "AWS::CloudWatch::Alarm")
            .into_iter()
            .any(|(_, alarm)| {
                let mut about = BTreeSet::new();
                words(at(alarm, &["Properties", "Dimensions"]), &mut about);
                text(alarm, &["Properties", "MetricName"]) == "ApproximateNumberOfMessagesVisible"
                    && about.contains(&format!("{name}.QueueName"))
                    && about.contains("QueueName")
            });
        if !watched {
            broken("nobody is told when something is in it");
        }
        return;
    }
    let slowest = readers.iter().map(|reader| timeout(reader, template)).max();
    let visibility = at(properties, &["VisibilityTimeout"]).as_i64().unwrap_or(30);
    if !(6 * slowest.unwrap_or(0)..=43_200).contains(&visibility) {
        broken("a message comes back while it is still being worked on");
    }
    if !(4..=13).contains(&days) {
        broken("keeps messages longer than its dead letters, or less than a long weekend");
    }
    let redrive = at(properties, &["RedrivePolicy"]);
    let letters = text(redrive, &["deadLetterTargetArn"]).trim_end_matches(".Arn");
    if at(redrive, &["maxReceiveCount"]).as_i64() != Some(5)
        || text(template, &["Resources", letters, "Type"]) != "AWS::SQS::Queue"
        || letters == name
    {
        broken("what cannot be read is not put aside after five times");
    }
}

pub(super) fn queue_policy(policy: &Yaml, broken: &mut dyn FnMut(&str)) {
    let document = at(policy, &["Properties", "PolicyDocument"]);
    let statements = at(document, &["Statement"])
        .as_vec()
        .map_or(&[][..], Vec::as_slice);
    let [statement] = statements else {
        broken("allows something, or forbids nothing");
        return;
    };
    let says = |path: &[&str], wanted: &str| text(statement, path) == wanted;
    if text(document, &["Version"]) != "2012-10-17"
        || !says(&["Effect"], "Deny")
        || !says(&["Principal"], "*")
        || !says(&["Action"], "sqs:*")
        || !says(&["Condition", "Bool", "aws:SecureTransport"], "false")
    {
        broken("does not forbid everything to everybody without TLS");
    }
}

/// Throttled, logged without secrets; CORS and tokens are the function's own, so that local, tests and AWS agree.
pub(super) fn gateway(gateway: &Yaml, broken: &mut dyn FnMut(&str)) {
    let properties = at(gateway, &["Properties"]);
    let known = ["FailOnWarnings", "DefaultRouteSettings", "AccessLogSettings"];
    if names(properties).iter().any(|name| !known.contains(name)) {
        broken("CORS and permission are the function's own");
    }
    if at(properties, &["FailOnWarnings"]).as_bool() != Some(true) {
        broken("warnings pass");
    }
    let limits = at(properties, &["DefaultRouteSettings"]);
    if text(limits, &["ThrottlingRateLimit"]) != "RequestsPerSecond"
        || at(limits, &["ThrottlingBurstLimit"]).as_i64() != Some(100)
    {
        broken("no throttling");
    }
    let log = at(properties, &["AccessLogSettings"]);
    if text(log, &["DestinationArn"]) != "AccessLogs.Arn" {
        broken("no access log");
    }
    let format: serde_json::Value = serde_json::from_str(text(log, &["Format"])).unwrap_or_default();
    for field in [
        "service",
        "function",
        "request_id",
        "method",
        "path",
        "status",
        "error",
    ] {
        if !format[field].is_string() {
            broken("its access log does not say who, what and how it ended");
        }
    }
    let written = format.to_string().to_lowercase();
    if ["query", "authorization", "header"]
        .iter()
        .any(|word| written.contains(word))
    {
        broken("its access log holds what customers or tokens are called");
    }
}

/// Somebody's, and not kept for ever.
pub(super) fn log_group(name: &str, group: &Yaml, template: &Yaml, broken: &mut dyn FnMut(&str)) {
    if text(group, &["Properties", "RetentionInDays"]) != "LogRetentionDays" {
        broken("kept for ever");
    }
    let owners = of_type(template, "AWS::Serverless::Function")
        .into_iter()
        .filter(|(_, function)| text(function, &["Properties", "LoggingConfig", "LogGroup"]) == name);
    if owners.count() != usize::from(name != "AccessLogs") {
        broken("is not one function's own");
    }
}

/// A saved query asks all workers, or the API.
pub(super) fn query(query: &Yaml, template: &Yaml, broken: &mut dyn FnMut(&str)) {
    let properties = at(query, &["Properties"]);
    if !text(properties, &["Name"]).starts_with("${AWS::StackName}/") {
        broken("has the same name in every deployment of an account");
    }
    if !text(properties, &["QueryString"]).contains("filter") {
        broken("asks nothing");
    }
    let asked = list(at(properties, &["LogGroupNames"]));
    let functions = of_type(template, "AWS::Serverless::Function").into_iter();
    let workers = functions.filter(|(_, one)| !matches!(binary(one), "api" | "migrate"));
    let groups: Vec<String> = workers.map(|(name, _)| format!("{name}Logs")).collect();
    let all: BTreeSet<&str> = groups.iter().map(String::as_str).collect();
    if asked != all && asked != ["ApiLogs"].into() {
        broken("asks some and not others");
    }
}

pub(super) fn topic(topic: &Yaml, broken: &mut dyn FnMut(&str)) {
    let subscriptions = at(topic, &["Properties", "Subscription"]);
    let [one] = subscriptions.as_vec().map_or(&[][..], Vec::as_slice) else {
        broken("tells nobody");
        return;
    };
    if text(topic, &["Condition"]) != "HasAlarms"
        || text(one, &["Protocol"]) != "email"
        || text(one, &["Endpoint"]) != "AlarmEmail"
    {
        broken("tells somebody else");
    }
}

/// About something that is counted, heard by somebody, with a section of the runbook.
pub(super) fn alarm(alarm: &Yaml, template: &Yaml, broken: &mut dyn FnMut(&str)) {
    let properties = at(alarm, &["Properties"]);
    if text(alarm, &["Condition"]) != "HasAlarms"
        || ["AlarmActions", "OKActions"]
            .iter()
            .any(|to| list(at(properties, &[to])) != ["AlarmTopic"].into())
        || at(template, &["Resources", "AlarmTopic"]).is_badvalue()
    {
        broken("tells nobody, or cannot be switched off");
    }
    let (space, metric) = (
        text(properties, &["Namespace"]),
        text(properties, &["MetricName"]),
    );
    let mut about = BTreeSet::new();
    words(at(properties, &["Dimensions"]), &mut about);
    let counted = match space {
        "AWS::StackName" => METRICS.contains(metric) && (about.is_empty() || metric == "DataAge"),
        "AWS/SQS" => {
            let queue = about.iter().find_map(|word| word.strip_suffix(".QueueName"));
            queue.is_some_and(|queue| text(template, &["Resources", queue, "Type"]) == "AWS::SQS::Queue")
                && about.contains("QueueName")
        }
        "AWS/ApiGateway" => metric == "5xx" && about.contains("ApiId") && about.contains("Gateway"),
        _ => false,
    };
    if !counted {
        broken("is about something that nobody counts");
    }
    let operator = text(properties, &["ComparisonOperator"]);
    let known = [
        "GreaterThanThreshold",
        "GreaterThanOrEqualToThreshold",
        "LessThanThreshold",
    ];
    let (low, statistic) = (operator.starts_with("LessThan"), text(properties, &["Statistic"]));
    let fits = match metric {
        "DataAge" => true,
        "DoRequestsLeft" => low && statistic == "Minimum",
        "InvoicesPending" | "ApproximateNumberOfMessagesVisible" => !low && statistic == "Maximum",
        _ => !low && statistic == "Sum",
    };
    if !fits || !known.contains(&operator) {
        broken("looks at the wrong end of what is counted");
    }
    let silence = text(properties, &["TreatMissingData"]);
    if silence
        != if metric == "DataAge" {
            "breaching"
        } else {
            "notBreaching"
        }
    {
        broken("takes silence for the wrong thing");
    }
    let number = |name| at(properties, &[name]).as_i64();
    let periods = [number("Period"), number("EvaluationPeriods"), number("Threshold")];
    if periods.contains(&None) || number("Period").is_some_and(|period| !(60..=86_400).contains(&period)) {
        broken("is never evaluated");
    }
    let section = text(properties, &["AlarmDescription"])
        .split("docs/runbook.md, ")
        .nth(1);
    let section = section.map(str::to_lowercase);
    let known = section.is_some_and(|section| SECTIONS.iter().any(|heading| heading.starts_with(&section)));
    if !known {
        broken("names no section of the runbook");
    }
}

/// Shows everything that is counted.
pub(super) fn dashboard(dashboard: &Yaml, template: &Yaml, broken: &mut dyn FnMut(&str)) {
    let body = text(dashboard, &["Properties", "DashboardBody"]);
    if text(dashboard, &["Properties", "DashboardName"]) != "${AWS::StackName}" {
        broken("has the same name in every deployment of an account");
    }
    if serde_json::from_str::<serde_json::Value>(body).is_err() {
        broken("is not JSON");
    }
    if METRICS.iter().any(|name| !body.contains(&format!("\"{name}"))) {
        broken("does not show everything that is counted");
    }
    for (name, _) in of_type(template, "AWS::SQS::Queue") {
        if !body.contains(&format!("${{{name}.QueueName}}")) {
            broken("does not show every queue");
        }
    }
}
