//! `template.yaml` as the driver reads it: which functions there are, when each is due, which reads a queue.
//!
//! The template is the only place a cadence is written, so the local stack ticks as the deployed one does, and the
//! only place that says which function is given what. Parameters count with their defaults. It reads what our template uses of CloudFormation (`!Ref` and `!Sub` of
//! parameters) and refuses a schedule that it cannot read, instead of leaving a worker out in silence.

use std::collections::BTreeMap;
use std::fs;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use super::schedule::Schedule;
use crate::failure::{Doing, Failure};
use crate::place;

/// AWS's own word for a schedule's time in its input.
const SCHEDULED_TIME: &str = "<aws.scheduler.scheduled-time>";

/// What the driver needs of the template, in its order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template {
    /// Every function.
    pub(super) functions: Vec<Function>,
    /// What is invoked on time.
    pub(super) schedules: Vec<Scheduled>,
    /// What reads the ingest queue.
    pub(super) queue_readers: Vec<QueueReader>,
    parameters: BTreeMap<String, String>,
}

/// A function and the variables it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) binary: String,
    /// Name -> what is referred to: a parameter, a resource, or AWS's own word.
    variables: BTreeMap<String, String>,
}

/// When a worker is due, for tests that play schedules themselves.
#[derive(Debug, Clone)]
pub struct Cadence(Schedule);

impl Cadence {
    /// Whether a tick falls on this moment.
    pub fn is_due(&self, at: DateTime<Utc>) -> bool {
        self.0.next_after(at - TimeDelta::seconds(1)) == Some(at)
    }
}

/// Every scheduled binary and when it is due, as the repository's template says.
pub fn cadences() -> Result<Vec<(String, Cadence)>, Failure> {
    let scheduled = Template::read()?.schedules.into_iter();
    Ok(scheduled.map(|one| (one.binary, Cadence(one.schedule))).collect())
}

/// A function that is invoked on time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scheduled {
    pub(super) binary: String,
    pub(super) schedule: Schedule,
    /// As written, such as `rate(1 minute)`.
    pub(super) expression: String,
    input: String,
}

/// A function that SQS invokes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueueReader {
    pub(super) binary: String,
    pub(super) batch_size: i32,
}

impl Template {
    /// The repository's own.
    pub(super) fn read() -> Result<Self, Failure> {
        let path = place::repository().join("template.yaml");
        Self::parse(&fs::read_to_string(&path).doing("read template.yaml")?)
    }

    fn parse(text: &str) -> Result<Self, Failure> {
        let documents = YamlLoader::load_from_str(text).doing("read template.yaml")?;
        let document = documents
            .first()
            .ok_or_else(|| Failure::new("template.yaml is empty"))?;
        let parameters = defaults(document);
        let mut template = Self {
            functions: Vec::new(),
            schedules: Vec::new(),
            queue_readers: Vec::new(),
            parameters: parameters.clone(),
        };
        let globals = member(member(document, "Globals"), "Function");
        let Some(resources) = member(document, "Resources").as_hash() else {
            return Err(Failure::new("template.yaml has no Resources"));
        };
        for (name, resource) in resources {
            if member(resource, "Type").as_str() != Some("AWS::Serverless::Function") {
                continue;
            }
            let name = name.as_str().unwrap_or_default();
            let binary = member(member(member(resource, "Metadata"), "BuildProperties"), "Binary").as_str();
            let binary = binary.ok_or_else(|| {
                Failure::new(format!(
                    "{name} in template.yaml names no Metadata.BuildProperties.Binary"
                ))
            })?;
            let mut variables = given(globals);
            variables.extend(given(member(resource, "Properties")));
            template.functions.push(Function {
                binary: binary.to_owned(),
                variables,
            });
            let events = member(member(resource, "Properties"), "Events").as_hash();
            for event in events.into_iter().flat_map(|events| events.values()) {
                template.event(name, binary, event, &parameters)?;
            }
        }
        Ok(template)
    }

    /// The environment that the template gives this function, where these parameters and resources are ours.
    pub(super) fn environment(
        &self,
        function: &Function,
        ours: &BTreeMap<&str, String>,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let resolved = function.variables.iter().map(|(name, word)| {
            let value = ours.get(word.as_str()).or_else(|| self.parameters.get(word));
            let value = value.ok_or_else(|| {
                let binary = &function.binary;
                Failure::new(format!(
                    "template.yaml gives {binary} {name} from {word:?}, which the local stack does not have"
                ))
            })?;
            Ok((name.clone(), value.clone()))
        });
        resolved.collect()
    }

    fn event(
        &mut self,
        name: &str,
        binary: &str,
        event: &Yaml,
        parameters: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let properties = member(event, "Properties");
        match member(event, "Type").as_str() {
            Some("ScheduleV2") => {
                let expression = member(properties, "ScheduleExpression").as_str();
                let expression = expression.ok_or_else(|| {
                    Failure::new(format!("{name} in template.yaml has a ScheduleV2 without a time"))
                })?;
                let expression = resolve(expression, parameters).ok_or_else(|| {
                    Failure::new(format!("{name} in template.yaml: {expression} has no default"))
                })?;
                let input = member(properties, "Input").as_str().unwrap_or("{}");
                let input = resolve(input, parameters).unwrap_or_else(|| input.to_owned());
                let scheduled = Scheduled {
                    binary: binary.to_owned(),
                    schedule: Schedule::parse(&expression)?,
                    expression,
                    input,
                };
                // Said now, at the start, rather than at the first tick.
                scheduled.payload(DateTime::UNIX_EPOCH)?;
                self.schedules.push(scheduled);
            }
            Some("SQS") => {
                let size = member(properties, "BatchSize")
                    .as_i64()
                    .and_then(|size| i32::try_from(size).ok());
                let batch_size = size.unwrap_or(10).clamp(1, 10);
                self.queue_readers.push(QueueReader {
                    binary: binary.to_owned(),
                    batch_size,
                });
            }
            _ => {}
        }
        Ok(())
    }
}

impl Scheduled {
    /// The event of this tick.
    pub(super) fn payload(&self, due: DateTime<Utc>) -> Result<Value, Failure> {
        let text = self
            .input
            .replace(SCHEDULED_TIME, &due.to_rfc3339_opts(SecondsFormat::Secs, true));
        serde_json::from_str(&text).doing(format!("read the input of {}'s schedule", self.binary))
    }
}

/// Parameter -> default.
fn defaults(document: &Yaml) -> BTreeMap<String, String> {
    let parameters = member(document, "Parameters").as_hash();
    let pairs = parameters.into_iter().flatten().filter_map(|(name, parameter)| {
        let default = match member(parameter, "Default") {
            Yaml::String(text) | Yaml::Real(text) => text.clone(),
            Yaml::Integer(number) => number.to_string(),
            _ => return None,
        };
        Some((name.as_str()?.to_owned(), default))
    });
    pairs.collect()
}

/// What `Environment.Variables` says below this; what is no plain reference is empty, which nothing is called.
fn given(properties: &Yaml) -> BTreeMap<String, String> {
    let variables = member(member(properties, "Environment"), "Variables").as_hash();
    let pairs = variables.into_iter().flatten().filter_map(|(name, word)| {
        Some((
            name.as_str()?.to_owned(),
            word.as_str().unwrap_or_default().to_owned(),
        ))
    });
    pairs.collect()
}

/// The reader drops tags: what is left of `!Ref Name` is the name, of `!Sub "a${Name}"` the text. A plain text
/// is neither.
fn resolve(text: &str, parameters: &BTreeMap<String, String>) -> Option<String> {
    if let Some(value) = parameters.get(text) {
        return Some(value.clone());
    }
    let mut resolved = text.to_owned();
    for (name, value) in parameters {
        resolved = resolved.replace(&format!("${{{name}}}"), value);
    }
    (!resolved.contains("${") && (resolved.contains('(') || resolved.contains('{'))).then_some(resolved)
}

fn member<'a>(yaml: &'a Yaml, name: &str) -> &'a Yaml {
    let found = yaml
        .as_hash()
        .and_then(|members| members.get(&Yaml::String(name.to_owned())));
    found.unwrap_or(&Yaml::BadValue)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"
Parameters:
  Cadence: { Type: String, Default: rate(1 minute) }
  Minute: { Type: Number, Default: 7 }
  Secret: { Type: String }
Globals:
  Function: { Runtime: provided.al2023, Environment: { Variables: { MINUTE: !Ref Minute } } }
Resources:
  Queue: { Type: AWS::SQS::Queue }
  Fast:
    Type: AWS::Serverless::Function
    Metadata: { BuildProperties: { Binary: sync-fast } }
    Properties:
      Environment: { Variables: { A: !Ref Secret, B: !If [C, !GetAtt Queue.Arn, !Ref AWS::NoValue] } }
      Events:
        Tick:
          Type: ScheduleV2
          Properties:
            ScheduleExpression: !Ref Cadence
            Input: '{"scheduled_time": "<aws.scheduler.scheduled-time>", "max_age_seconds": 60}'
  Slow:
    Type: AWS::Serverless::Function
    Metadata: { BuildProperties: { Binary: sync-slow } }
    Properties:
      Events:
        Tick: { Type: ScheduleV2, Properties: { ScheduleExpression: !Sub "cron(${Minute} * * * ? *)" } }
  Ingest:
    Type: AWS::Serverless::Function
    Metadata: { BuildProperties: { Binary: ingest } }
    Properties:
      Events:
        Messages: { Type: SQS, Properties: { Queue: !GetAtt Queue.Arn, BatchSize: 5 } }
"#;

    #[test]
    fn schedules_parameters_and_queues_are_found() {
        let template = Template::parse(EXAMPLE).unwrap();
        let binaries: Vec<&str> = template.functions.iter().map(|one| one.binary.as_str()).collect();
        assert_eq!(binaries, ["sync-fast", "sync-slow", "ingest"]);
        let [fast, slow] = template.schedules.as_slice() else {
            panic!("{template:?}")
        };
        assert_eq!(
            (fast.binary.as_str(), fast.expression.as_str()),
            ("sync-fast", "rate(1 minute)")
        );
        assert_eq!(
            (slow.binary.as_str(), slow.expression.as_str()),
            ("sync-slow", "cron(7 * * * ? *)")
        );
        let due = "2026-11-21T10:00:00Z".parse().unwrap();
        let expected = serde_json::json!({"scheduled_time": "2026-11-21T10:00:00Z", "max_age_seconds": 60});
        assert_eq!(fast.payload(due).unwrap(), expected);
        assert_eq!(slow.payload(due).unwrap(), serde_json::json!({}));
        assert_eq!(
            template.queue_readers,
            [QueueReader {
                binary: "ingest".to_owned(),
                batch_size: 5
            }]
        );
    }

    #[test]
    fn a_function_is_given_what_the_template_says_and_nothing_is_made_up() {
        let template = Template::parse(EXAMPLE).unwrap();
        let [fast, slow, _] = template.functions.as_slice() else {
            panic!("{template:?}")
        };
        let ours = BTreeMap::from([("Secret", "arn".to_owned())]);
        let minute = ("MINUTE".to_owned(), "7".to_owned());
        assert_eq!(
            template.environment(slow, &ours).unwrap(),
            BTreeMap::from([minute.clone()])
        );
        let refused = template.environment(fast, &ours).unwrap_err().to_string();
        assert!(refused.contains("sync-fast B"), "{refused}");
        let plain = EXAMPLE.replace(", B: !If [C, !GetAtt Queue.Arn, !Ref AWS::NoValue]", "");
        let template = Template::parse(&plain).unwrap();
        let fast = template.functions.first().unwrap();
        let expected = BTreeMap::from([("A".to_owned(), "arn".to_owned()), minute]);
        assert_eq!(template.environment(fast, &ours).unwrap(), expected);
        assert!(template.environment(fast, &BTreeMap::new()).is_err());
    }

    #[test]
    fn a_worker_is_never_left_out_in_silence() {
        for (from, to, culprit) in [
            ("rate(1 minute)", "rate(1 blink)", "rate(1 blink)"),
            ("Binary: sync-fast", "Other: x", "Fast"),
            ("!Ref Cadence", "!Ref Secret", "Secret"),
            ("\"max_age_seconds\": 60", "60", "sync-fast"),
        ] {
            let refused = Template::parse(&EXAMPLE.replace(from, to))
                .unwrap_err()
                .to_string();
            assert!(refused.contains(culprit), "{refused}");
        }
    }

    #[test]
    fn the_template_of_this_repository_is_read() {
        let template = Template::read().unwrap();
        assert!(
            template.functions.iter().any(|one| one.binary == "api"),
            "{template:?}"
        );
        assert!(
            template
                .schedules
                .iter()
                .any(|scheduled| scheduled.binary == "sync-droplets"),
            "{template:?}"
        );
    }
}
