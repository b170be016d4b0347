//! What one function of the template has to be: derived from which binary it is, so that a new worker is held to it
//! without a line here. Its environment and its rights are said in full: one variable or one policy more is a fault.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use shared::config::Purpose;
use shared::sync::{Job, WORKERS, Worker};
use yaml_rust2::Yaml;

use super::{at, list, names, text};
use crate::deployment::event;

/// How old the ticks of the sample events may be, worker by worker.
static SAMPLES: LazyLock<BTreeMap<&str, Option<i64>>> = LazyLock::new(|| {
    let age = |name: &str| event(&format!("{name}.json"))["max_age_seconds"].as_i64();
    WORKERS
        .iter()
        .map(|worker| (worker.name, age(worker.name)))
        .collect()
});

/// Which binary a function runs.
pub(super) fn binary(function: &Yaml) -> &str {
    text(function, &["Metadata", "BuildProperties", "Binary"])
}

/// The functions that read this queue.
pub(super) fn readers<'t>(template: &'t Yaml, queue: &str) -> Vec<&'t Yaml> {
    let resources = at(template, &["Resources"]).as_hash().into_iter();
    let all = resources.flat_map(|resources| resources.values());
    let reads = |function: &&Yaml| {
        let events = at(function, &["Properties", "Events"]).as_hash().into_iter();
        let mut events = events.flat_map(|events| events.values());
        events.any(|event| text(event, &["Properties", "Queue"]) == format!("{queue}.Arn"))
    };
    all.filter(reads).collect()
}

/// How long a function may take.
pub(super) fn timeout(function: &Yaml, template: &Yaml) -> i64 {
    let usual = at(template, &["Globals", "Function", "Timeout"]);
    let own = at(function, &["Properties", "Timeout"]).as_i64();
    own.or_else(|| usual.as_i64()).unwrap_or(3)
}

/// `sync-floating-ips` is `SyncFloatingIps` in the template.
fn titled(binary: &str) -> String {
    let words = binary.split('-').map(|word| {
        let (first, rest) = word.split_at(1.min(word.len()));
        first.to_uppercase() + rest
    });
    words.collect()
}

/// The parameter with this purpose's own token, and the condition under which there is one.
fn token(purpose: Purpose) -> (&'static str, &'static str, &'static str) {
    match purpose {
        Purpose::SyncFast => (
            "DO_TOKEN_SECRET_ARN_SYNC_FAST",
            "DoTokenSecretArnSyncFast",
            "OwnFastToken",
        ),
        Purpose::SyncFull => (
            "DO_TOKEN_SECRET_ARN_SYNC_FULL",
            "DoTokenSecretArnSyncFull",
            "OwnFullToken",
        ),
        Purpose::SyncSlow => (
            "DO_TOKEN_SECRET_ARN_SYNC_SLOW",
            "DoTokenSecretArnSyncSlow",
            "OwnSlowToken",
        ),
        Purpose::Billing => (
            "DO_TOKEN_SECRET_ARN_BILLING",
            "DoTokenSecretArnBilling",
            "OwnBillingToken",
        ),
        Purpose::Provisioning | Purpose::Metering => ("", "", ""),
    }
}

/// What a function is told, beside what all are, and what it may do: a policy of SAM's and on what.
type Rights = (BTreeMap<String, String>, BTreeSet<(String, String)>);

fn rights(binary: &str) -> Rights {
    const READ: &str = "AWSSecretsManagerGetSecretValuePolicy";
    const QUEUE: &str = "IngestQueue.QueueName";
    let worker = WORKERS.iter().find(|worker| worker.name == binary);
    let purpose = match binary {
        "ingest-invoice" => Some(Purpose::Billing),
        _ => worker.map(|worker| worker.purpose),
    };
    let login = match (binary, purpose) {
        ("api", _) => "ApiDatabaseSecretArn",
        ("migrate", _) => "MigrateDatabaseSecretArn",
        (_, Some(Purpose::Billing)) => "BillingDatabaseSecretArn",
        _ => "DatabaseSecretArn",
    };
    let mut told = vec![("DATABASE_SECRET_ARN", login)];
    let mut may = vec![(READ, login.to_owned())];
    if binary == "api" {
        told.extend([
            ("GUARDIAN_SECRET_ARN", "GuardianSecretArn"),
            ("JWT_ISSUER", "JwtIssuer"),
            ("JWT_AUDIENCE", "JwtAudience"),
            ("JWT_ALGORITHMS", "JwtAlgorithms"),
            ("CORS_ALLOW_ORIGINS", "CorsAllowOrigins"),
            ("INGEST_QUEUE_URL", "IngestQueue"),
        ]);
        may.push((READ, "GuardianSecretArn".to_owned()));
        may.push(("SQSSendMessagePolicy", QUEUE.to_owned()));
    }
    if let Some(purpose) = purpose {
        let (variable, own, condition) = token(purpose);
        told.extend([("DO_TOKEN_SECRET_ARN", "DoTokenSecretArn"), (variable, own)]);
        // Its own token's secret if there is one, and then not the shared one's.
        may.push((READ, format!("{condition} ? {own} : DoTokenSecretArn")));
    }
    if purpose == Some(Purpose::Billing) {
        told.push(("INGEST_QUEUE_URL", "IngestQueue"));
        let reads = binary == "ingest-invoice";
        may.push((
            if reads {
                "SQSPollerPolicy"
            } else {
                "SQSSendMessagePolicy"
            },
            QUEUE.to_owned(),
        ));
    }
    if worker.is_some_and(|worker| matches!(worker.job, Job::Projects)) {
        told.push(("BOOTSTRAP_PROJECT", "BootstrapProject"));
    }
    let told = told
        .into_iter()
        .map(|(name, what)| (name.to_owned(), what.to_owned()));
    let may = may.into_iter().map(|(policy, on)| (policy.to_owned(), on));
    (told.collect(), may.collect())
}

/// What stands in the template, in the same words.
fn found_rights(properties: &Yaml) -> Rights {
    let variables = at(properties, &["Environment", "Variables"]);
    let told = names(variables)
        .into_iter()
        .map(|name| (name.to_owned(), text(variables, &[name]).to_owned()));
    let policies = at(properties, &["Policies"]).as_vec().into_iter().flatten();
    let may = policies.flat_map(|policy| {
        let members = policy.as_hash().into_iter().flatten();
        let mut all: Vec<(String, String)> = members
            .map(|(name, settings)| {
                let on = settings
                    .as_hash()
                    .into_iter()
                    .flat_map(|hash| hash.values())
                    .next();
                (name.as_str().unwrap_or_default().to_owned(), target(on))
            })
            .collect();
        if all.is_empty() {
            // A policy of AWS's by name, or nothing that can be read: never one of ours.
            all.push((policy.as_str().unwrap_or_default().to_owned(), String::new()));
        }
        all
    });
    (told.collect(), may.collect())
}

fn target(on: Option<&Yaml>) -> String {
    match on {
        Some(Yaml::String(name)) => name.clone(),
        Some(Yaml::Array(choice)) => {
            let choice: Vec<&str> = choice.iter().filter_map(Yaml::as_str).collect();
            match choice.as_slice() {
                [condition, yes, no] => format!("{condition} ? {yes} : {no}"),
                other => other.join(" "),
            }
        }
        _ => String::new(),
    }
}

/// Everything about one function.
pub(super) fn one(name: &str, function: &Yaml, template: &Yaml, broken: &mut dyn FnMut(&str)) {
    let (binary, properties) = (binary(function), at(function, &["Properties"]));
    if titled(binary) != name || text(function, &["Metadata", "BuildMethod"]) != "rust-cargolambda" {
        broken("is not built from the binary of its name");
    }
    if names(function) != ["Type", "Metadata", "Properties"] {
        broken("has a part that no promise covers");
    }
    let known = [
        "LoggingConfig",
        "Timeout",
        "MemorySize",
        "EventInvokeConfig",
        "Environment",
        "Policies",
        "Events",
    ];
    for property in names(properties).iter().filter(|name| !known.contains(name)) {
        broken(&format!("{property} is a property that no promise covers"));
    }
    let group = text(properties, &["LoggingConfig", "LogGroup"]);
    if group != format!("{name}Logs") || at(template, &["Resources", group]).is_badvalue() {
        broken("no log group of its own");
    }
    if text(properties, &["LoggingConfig", "LogFormat"]) != "JSON" {
        broken("its log is not JSON");
    }
    let ((told, may), (is_told, is_allowed)) = (rights(binary), found_rights(properties));
    if is_told != told {
        broken(&format!("is told {is_told:?} and not {told:?}"));
    }
    for what in is_told.values() {
        let places = ["Parameters", "Resources"].map(|part| at(template, &[part, what]));
        if places.iter().all(|place| place.is_badvalue()) {
            broken(&format!("is told of {what}, and there is none"));
        }
    }
    if is_allowed != may {
        broken(&format!("may {is_allowed:?} and not {may:?}"));
    }
    let timeout = timeout(function, template);
    let fits = match binary {
        // The gateway waits for 30 s.
        "api" => (10..=29).contains(&timeout),
        // An index takes its time; every page of the history and the running month.
        "migrate" | "sync-billing-history" => timeout == 900,
        _ => timeout == 300,
    };
    if !fits {
        broken("has too much time, or too little");
    }
    let events = at(properties, &["Events"]);
    let events: Vec<&Yaml> = names(events)
        .into_iter()
        .map(|name| at(events, &[name]))
        .collect();
    let worker = WORKERS.iter().find(|worker| worker.name == binary);
    match (binary, worker, events.as_slice()) {
        ("api", _, [event]) => {
            if text(event, &["Type"]) != "HttpApi" || text(event, &["Properties", "ApiId"]) != "Gateway" {
                broken("does not serve the gateway");
            }
            if names(at(event, &["Properties"])) != ["ApiId"] {
                broken("serves less than everything");
            }
        }
        ("ingest-invoice", _, [event]) => messages(event, broken),
        ("migrate", _, []) => {}
        (_, Some(worker), [event]) => {
            if text(event, &["Type"]) != "ScheduleV2" {
                broken("has no schedule");
            }
            schedule(worker, at(event, &["Properties"]), properties, template, broken);
        }
        _ => broken("is started otherwise than it should be"),
    }
    if worker.is_none() && !at(properties, &["EventInvokeConfig"]).is_badvalue() {
        broken("nobody invokes it asynchronously");
    }
}

fn messages(event: &Yaml, broken: &mut dyn FnMut(&str)) {
    let properties = at(event, &["Properties"]);
    if text(event, &["Type"]) != "SQS" || text(properties, &["Queue"]) != "IngestQueue.Arn" {
        broken("does not read the ingest queue");
    }
    let size = at(properties, &["BatchSize"]).as_i64();
    if !size.is_some_and(|size| (1..=10).contains(&size)) {
        broken("takes more messages than SQS gives");
    }
    if list(at(properties, &["FunctionResponseTypes"])) != ["ReportBatchItemFailures"].into() {
        broken("one bad message would take the whole batch along");
    }
    let most = at(properties, &["ScalingConfig", "MaximumConcurrency"]).as_i64();
    if !most.is_some_and(|most| (2..=5).contains(&most)) {
        broken("nothing bounds how many read the same token's invoices at once");
    }
}

/// The seconds between two ticks, if the expression suits the worker's lane.
fn cadence(worker: &Worker, expression: &str) -> Option<i64> {
    let fields = expression.strip_prefix("cron(")?.strip_suffix(" * * ? *)");
    let minute = |text: &str, below: u32| text.parse::<u32>().ok().filter(|minute| *minute < below);
    match (
        worker.purpose,
        &worker.job,
        fields?.split(' ').collect::<Vec<_>>()[..].as_ref(),
    ) {
        (Purpose::SyncFull, _, [quarters, "*"]) => minute(quarters.strip_suffix("/15")?, 15).map(|_| 900),
        (Purpose::Billing, Job::BillingHistory, [at, hour]) => {
            minute(at, 60).and(minute(hour, 24)).map(|_| 86_400)
        }
        (Purpose::SyncSlow, _, [at, "*"]) | (Purpose::Billing, Job::Balance, [at, "*"]) => {
            minute(at, 60).map(|_| 3_600)
        }
        _ => None,
    }
}

/// A scheduled worker: its ticks do not pile up, its failures go somewhere, and its silence is noticed.
fn schedule(
    worker: &Worker,
    schedule: &Yaml,
    properties: &Yaml,
    template: &Yaml,
    broken: &mut dyn FnMut(&str),
) {
    let expression = text(schedule, &["ScheduleExpression"]);
    let cadence = match worker.purpose {
        Purpose::SyncFast if expression == "DropletCadence" => Some(60),
        _ => cadence(worker, expression),
    };
    let Some(cadence) = cadence else {
        broken("has another cadence than its lane");
        return;
    };
    if worker.purpose != Purpose::SyncFast && ticks(template).get(expression) != Some(&1) {
        broken("ticks together with another worker");
    }
    let input: serde_json::Value = serde_json::from_str(text(schedule, &["Input"])).unwrap_or_default();
    if input["scheduled_time"] != "<aws.scheduler.scheduled-time>" {
        broken("its ticks do not say what time they are for");
    }
    let Some(most) = input["max_age_seconds"].as_i64() else {
        broken("its ticks never grow old");
        return;
    };
    if !(60..=cadence).contains(&most) {
        broken("would do an old tick although a newer one is due");
    }
    if SAMPLES.get(worker.name) != Some(&Some(most)) {
        broken("its sample event is another one");
    }
    let invoke = at(properties, &["EventInvokeConfig"]);
    // Of the fast lane the next tick is at hand; 2 is what Lambda does at most.
    let retries = if worker.purpose == Purpose::SyncFast {
        0..=0
    } else {
        1..=2
    };
    for (settings, oldest) in [(invoke, most), (at(schedule, &["RetryPolicy"]), most.min(900))] {
        let age = at(settings, &["MaximumEventAgeInSeconds"]).as_i64();
        if !age.is_some_and(|age| (60..=oldest).contains(&age)) {
            broken("an outage would be followed by all the ticks that it has missed");
        }
        let tried = at(settings, &["MaximumRetryAttempts"]).as_i64();
        if !tried.is_some_and(|tried| retries.contains(&tried)) {
            broken("is tried again too often, or never");
        }
    }
    let failed = at(invoke, &["DestinationConfig", "OnFailure"]);
    if text(failed, &["Destination"]) != "FailedRuns.Arn" || text(failed, &["Type"]) != "SQS" {
        broken("failed runs are lost");
    }
    if text(schedule, &["DeadLetterConfig", "Arn"]) != "MissedTicks.Arn" {
        broken("missed ticks are lost");
    }
    if text(schedule, &["ScheduleExpressionTimezone"]) != "UTC" {
        broken("not on UTC");
    }
    if at(schedule, &["OmitName"]).as_bool() != Some(true) {
        broken("its schedule has the same name in every deployment of an account");
    }
    if text(schedule, &["State"]) != "Schedules" {
        broken("cannot be paused");
    }
    if !watched(worker, cadence, template) {
        broken("nobody is told when its picture is old, or when it says nothing");
    }
}

/// How many workers each expression starts.
fn ticks(template: &Yaml) -> BTreeMap<&str, usize> {
    let mut ticks = BTreeMap::new();
    let resources = at(template, &["Resources"]);
    for name in names(resources) {
        let events = at(resources, &[name, "Properties", "Events"]);
        for event in names(events) {
            let expression = text(events, &[event, "Properties", "ScheduleExpression"]);
            *ticks.entry(expression).or_insert(0) += 1;
        }
    }
    ticks
}

/// An alarm on the age of its data: on after two ticks or three that came to nothing, and on silence.
fn watched(worker: &Worker, cadence: i64, template: &Yaml) -> bool {
    // Droplets may be listed as seldom as everything else.
    let slowest = if worker.purpose == Purpose::SyncFast {
        900
    } else {
        cadence
    };
    let alarms = at(template, &["Resources"]).as_hash().into_iter();
    let mut alarms = alarms
        .flat_map(|all| all.values())
        .map(|one| at(one, &["Properties"]));
    alarms.any(|alarm| {
        let number = |name| at(alarm, &[name]).as_i64().unwrap_or(0);
        let dimension = at(alarm, &["Dimensions"]).as_vec().and_then(|all| all.first());
        let dimension = dimension.unwrap_or(&Yaml::BadValue);
        let looked_at = number("Period") * number("EvaluationPeriods");
        text(alarm, &["MetricName"]) == "DataAge"
            && text(dimension, &["Name"]) == "worker"
            && text(dimension, &["Value"]) == worker.name
            && text(alarm, &["Statistic"]) == "Maximum"
            && text(alarm, &["ComparisonOperator"]) == "GreaterThanThreshold"
            && text(alarm, &["TreatMissingData"]) == "breaching"
            && number("Threshold") > slowest
            && number("Threshold") <= 3 * slowest
            && (slowest..=3 * slowest).contains(&looked_at)
            && number("Period") <= 86_400
    })
}
