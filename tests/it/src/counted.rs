//! What CloudWatch would count, and what a query would find: the lines that the compiled binaries write.
//!
//! Every failed run has to be as visible as a good one: a metric, and a log line with the same run id.

use harness::tokens;
use serde_json::{Value, json};
use simulator::{Fault, FaultKind, Matcher, Scenario};

use crate::binaries::request;
use crate::deployment::{Deployment, GUARDIAN, lines, metrics, run_lines};

/// One value of the newest lines, by its name: declared, and there.
fn newest(metrics: &[Value], name: &str) -> Option<Value> {
    let line = metrics.iter().rev().find(|line| line.get(name).is_some())?;
    let declared = line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
        .as_array()
        .unwrap();
    assert!(
        declared.iter().any(|metric| metric["Name"] == name),
        "{name} is not declared: {line}"
    );
    Some(line[name].clone())
}

#[tokio::test]
async fn a_run_is_counted_whatever_came_of_it() {
    let deployment = Deployment::with(Scenario::Default).await;
    let droplets = deployment
        .sandbox("sync-droplets", &[("METRICS_NAMESPACE", "a-deployment")])
        .await;
    droplets.invoke(&json!({})).await;
    let good = metrics(&droplets);
    assert_eq!(newest(&good, "RunsFailed"), Some(json!([0.0])));
    assert_eq!(newest(&good, "RunsIncomplete"), Some(json!([0.0])));
    assert_eq!(newest(&good, "SuspectListings"), Some(json!([0.0])));
    let sent = run_lines(&droplets)[0]["requests"].as_f64().unwrap();
    assert_eq!(newest(&good, "DoRequests"), Some(json!([sent])));
    let left = newest(&good, "DoRequestsLeft").unwrap()[0].as_f64().unwrap();
    assert!(left > 0.0 && left <= 4_900.0 - sent, "{left}");
    for line in &good {
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(directive["Namespace"], "a-deployment", "{line}");
        let expected = if line.get("DataAge").is_some() {
            json!([["worker"]])
        } else {
            json!([[]])
        };
        assert_eq!(
            directive["Dimensions"], expected,
            "each value of a dimension is paid for: {line}"
        );
        assert_eq!(line["run_id"], run_lines(&droplets)[0]["run_id"], "{line}");
    }
    let aged = good.iter().find(|line| line.get("DataAge").is_some()).unwrap();
    assert_eq!(aged["worker"], "sync-droplets");
    let (one, oldest) = (&aged["ages"]["droplet"], &aged["DataAge"][0]);
    assert!(
        one.as_f64().is_some() && one.as_f64() == oldest.as_f64(),
        "{aged}"
    );

    // Nothing more is to be had from DigitalOcean: the age of what is there is told all the same, and grows.
    deployment.sim.fault(Fault {
        kind: FaultKind::Html200,
        on: Matcher::default(),
        skip: 0,
        times: None,
    });
    droplets.invoke(&json!({})).await;
    let all = metrics(&droplets);
    let bad = &all[good.len()..];
    assert_eq!(newest(bad, "RunsFailed"), Some(json!([1.0])), "{bad:?}");
    assert!(newest(bad, "DataAge").is_some(), "{bad:?}");
    assert_eq!(bad[0]["run_id"], run_lines(&droplets)[1]["run_id"]);
    let runs = run_lines(&droplets);
    let cold = runs.iter().map(|line| line["cold_start"].clone());
    assert_eq!(cold.collect::<Vec<_>>(), [json!(true), json!(false)]);
}

#[tokio::test]
async fn a_worker_that_has_never_seen_anything_claims_no_age() {
    let deployment = Deployment::with(Scenario::Default).await;
    let droplets = deployment
        .sandbox("sync-droplets", &[("DO_TOKEN_SECRET_ARN", "no-such-secret")])
        .await;
    droplets.invoke(&json!({})).await;
    let told = metrics(&droplets);
    assert_eq!(newest(&told, "RunsFailed"), Some(json!([1.0])));
    assert_eq!(newest(&told, "DataAge"), None, "silence breaches the alarm");
    assert_eq!(told[0]["ages"], json!({"droplet": null}));
}

#[tokio::test]
async fn refused_tokens_are_counted_and_nothing_else_of_the_api_is() {
    let deployment = Deployment::with(Scenario::Default).await;
    let api = deployment.sandbox("api", &[]).await;
    let bearer = tokens::operator(GUARDIAN, tokens::now());
    api.invoke(&request("/api/v1/inventory", "", Some(&bearer))).await;
    assert_eq!(metrics(&api), Vec::<Value>::new());
    api.invoke(&request("/api/v1/inventory", "", None)).await;
    assert_eq!(newest(&metrics(&api), "AuthRejections"), Some(json!([1.0])));
}

#[tokio::test]
async fn every_line_says_who_wrote_it() {
    let deployment = Deployment::with(Scenario::Default).await;
    for function in ["api", "sync-droplets", "migrate"] {
        let sandbox = deployment.sandbox(function, &[]).await;
        sandbox.invoke(&request("/api/health", "", None)).await;
        let lines = lines(&sandbox);
        assert!(!lines.is_empty(), "{function}");
        for line in lines {
            assert_eq!(
                (&line["service"], &line["function"]),
                (&json!("arcadia-cloud"), &json!(function)),
                "{line}"
            );
        }
    }
}
