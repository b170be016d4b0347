//! The operator's program, compiled, against real Postgres, moto and the simulator.
//!
//! What it prints is its interface: each test reads it as a person would, and looks at the exit code as a script would.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use harness::place;
use harness::services::Services;
use serde_json::json;
use simulator::{Fault, FaultKind, Scenario, Token};

use crate::deployment::{Deployment, GUARDIAN, TOKEN, token};

/// Runs `ops` with this environment and nothing inherited.
pub async fn ops(environment: Vec<(String, String)>, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(place::binary("ops").unwrap());
    command.env_clear().envs(environment).args(arguments);
    let output: Output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    let text = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8(bytes).unwrap())
        .concat();
    assert!(!text.contains("canary"), "a secret was printed: {text}");
    (output.status.code().unwrap(), text)
}

/// A worker's environment, as the operator has it.
pub fn environment(deployment: &Deployment, changes: &[(&str, &str)]) -> Vec<(String, String)> {
    deployment.changed("sync-droplets", changes)
}

#[tokio::test]
async fn a_first_result_needs_nothing_but_a_database_and_a_token() {
    let services = Services::from_env().unwrap();
    let deployment = Deployment::around(services.cluster.empty().await.unwrap(), Scenario::Default).await;
    let url = deployment.database.url();
    let mine = |changes: &[(&str, &str)]| {
        let mut all = vec![
            ("DATABASE_URL", url.as_str()),
            ("DO_TOKEN_SECRET_ARN", ""),
            ("DO_API_TOKEN", TOKEN),
        ];
        all.extend_from_slice(changes);
        environment(&deployment, &all)
    };

    let (code, said) = ops(mine(&[]), &["sync", "droplet"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("run migrate first"), "{said}");

    let (code, said) = ops(mine(&[]), &["migrate"]).await;
    let newest = shared::database::newest_migration();
    assert_eq!((code, said), (0, format!("the schema is at version {newest}\n")));

    let there = deployment.sim.items("droplets").len();
    let (code, said) = ops(mine(&[]), &["sync", "project", "droplet", "sync-droplets"]).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(
        said.matches("sync-droplets: complete").count(),
        1,
        "once, however it is called: {said}"
    );
    assert!(
        said.contains(&format!("{there} seen, {there} discovered")),
        "{said}"
    );
    assert_eq!(
        deployment
            .count("SELECT count(*) FROM sync_runs WHERE finished_at IS NOT NULL")
            .await,
        2
    );
    deployment.check_history().await;

    let (code, said) = ops(mine(&[]), &["verify"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(
        said.starts_with(&format!("{there} resources, ")) || said.contains(" resources, "),
        "{said}"
    );
    assert!(
        !said.contains("BROKEN") && said.matches("holds").count() == 7,
        "{said}"
    );
}

#[tokio::test]
async fn what_there_is_not_is_refused_by_name() {
    let deployment = Deployment::with(Scenario::Default).await;
    for (arguments, named) in [
        (["sync", "blimp"].as_slice(), "blimp"),
        (&["sync", "sync-balance", "--dry-run"], "ops backfill --dry-run"),
        (&["backfill", "--from", "January"], "2014-01"),
        (&["sync"], "KIND"),
        (&["conquer"], "conquer"),
    ] {
        let (code, said) = ops(environment(&deployment, &[]), arguments).await;
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(named), "{said}");
    }
    assert_eq!(deployment.count("SELECT count(*) FROM sync_runs").await, 0);
    let (code, said) = ops(environment(&deployment, &[("DATABASE_URL", "")]), &["verify"]).await;
    assert_eq!(code, 1);
    assert!(
        said.contains("DATABASE_URL or DATABASE_SECRET_ARN must be set"),
        "{said}"
    );
}

#[tokio::test]
async fn the_doctor_sees_what_is_well() {
    let deployment = Deployment::with(Scenario::Default).await;
    let guardian = [("GUARDIAN_SECRET_KEY", GUARDIAN)];
    let (code, said) = ops(environment(&deployment, &guardian), &["doctor"]).await;
    assert_eq!(code, 0, "{said}");
    for (what, words) in [
        ("database", "login arcadia_sync_login"),
        ("schema", "version"),
        ("roles", "arcadia_sync"),
        ("guards", "append-only"),
        ("clock", "ahead of the database"),
        ("clock", "ahead of DigitalOcean"),
        ("sync_fast", "reads all 2 listings"),
        ("billing", "reads all 3 listings"),
        ("sync_fast", "opens team"),
        ("sync_full", "the same as sync_fast's"),
        ("metering", "the same as sync_fast's"),
        ("jwt secret", "bytes"),
    ] {
        let line = said
            .lines()
            .find(|line| line.starts_with("ok ") && line.contains(what) && line.contains(words));
        assert!(line.is_some(), "{what}: {words}: {said}");
    }
    assert_eq!(
        deployment.count("SELECT count(*) FROM cloud_accounts").await,
        0,
        "it has only looked"
    );
}

#[tokio::test]
async fn the_doctor_names_what_is_wrong_and_goes_on() {
    let deployment = Deployment::with(Scenario::Default).await;
    let (code, said) = ops(environment(&deployment, &[]), &["sync", "project"]).await;
    assert_eq!(code, 0, "{said}");
    sqlx::raw_sql(
        "ALTER TABLE cloud_accounts DISABLE TRIGGER ALL;
         UPDATE cloud_accounts SET account_id = 'another-team';
         ALTER TABLE cloud_resource_events DISABLE TRIGGER append_only_rows;
         ALTER TABLE cloud_resources NO FORCE ROW LEVEL SECURITY",
    )
    .execute(&deployment.pool)
    .await
    .unwrap();
    let secret = deployment
        .aws
        .put_secret(&format!("{}-billing", deployment.database.name()), &token(1))
        .await
        .unwrap();
    deployment
        .sim
        .set_token(&Token::new("sync-1", "canary_rotated_away"));
    let changes = [
        ("DO_TOKEN_SECRET_ARN_BILLING", secret.as_str()),
        ("INGEST_QUEUE_URL", "http://127.0.0.1:1/queue"),
        ("DO_TOKEN_SECRET_ARN_SYNC_SLOW", "no-such-secret"),
        ("GUARDIAN_SECRET_KEY", "canary_short"),
    ];
    let (code, said) = ops(environment(&deployment, &changes), &["doctor"]).await;
    assert_eq!(code, 1, "{said}");
    for (what, words) in [
        ("guards", "no forced row-level security on: cloud_resources"),
        ("guards", "append-only"),
        ("sync_fast", "another one is mirrored"),
        ("sync_slow", "no-such-secret"),
        ("billing", "401"),
        ("jwt secret", "shorter than 32 bytes"),
    ] {
        let found = said
            .lines()
            .any(|line| line.starts_with("BAD") && line.contains(what) && line.contains(words));
        assert!(found, "{what}: {words}: {said}");
    }
    assert!(
        said.lines()
            .any(|line| line.starts_with("ok ") && line.contains("schema")),
        "{said}"
    );
    assert!(said.trim_end().ends_with("6 things are wrong"), "{said}");
}

/// Each lie is one that the database itself would have refused, or that no writer of ours tells.
#[tokio::test]
async fn verify_names_the_first_offender_of_each_rule() {
    let deployment = Deployment::with(Scenario::Default).await;
    let (code, said) = ops(environment(&deployment, &[]), &["sync", "project", "droplet"]).await;
    assert_eq!(code, 0, "{said}");
    let held = ops(environment(&deployment, &[]), &["verify"]).await;
    assert_eq!(held.0, 0, "{}", held.1);
    let subject = "(SELECT id FROM cloud_resources WHERE kind = 'droplet' ORDER BY id LIMIT 1)";
    let provider_id: String = sqlx::query_scalar(
        "SELECT provider_id FROM cloud_resources WHERE kind = 'droplet' ORDER BY id LIMIT 1",
    )
    .fetch_one(&deployment.pool)
    .await
    .unwrap();
    let event = |kind: &str, changes: serde_json::Value| {
        format!(
            "UPDATE cloud_resources SET version = 2 WHERE id = {subject};
             INSERT INTO cloud_resource_events (resource_id, version, event_type, changes, tenant_id, actor, occurred_at)
             SELECT id, 2, '{kind}', '{changes}', tenant_id, 'a liar', now() FROM cloud_resources WHERE id = {subject}"
        )
    };
    let lies = [
        ("versions are gapless", format!("UPDATE cloud_resources SET version = 5 WHERE id = {subject}"), "version 5"),
        ("follow one another", event("discovered", json!({"status": {"from": "active", "to": "off"}})), "version 2"),
        ("every change begins", event("updated", json!({"status": {"from": "asleep", "to": "off"}})), "status was"),
        ("names the owner", event("updated", json!({"tenant_id": {"from": null, "to": "somebody"}})), "somebody"),
        ("nothing dies twice", event("restored", json!({"deleted_at": {"from": null, "to": null}})), "restored"),
        ("of a resource, replayed", format!("UPDATE cloud_resources SET name = 'x' WHERE id = {subject}"), "name is \"x\""),
        (
            "of a project, replayed",
            "UPDATE cloud_projects SET environment = 'x' WHERE id = (SELECT min(id::text)::uuid FROM cloud_projects)".to_owned(),
            "environment is \"x\"",
        ),
    ];
    for (rule, lie, words) in lies {
        // Said, looked at from outside, and taken back by hand: events cannot be.
        let saved =
            "CREATE TABLE saved_r AS TABLE cloud_resources; CREATE TABLE saved_p AS TABLE cloud_projects";
        let back = "UPDATE cloud_resources r SET (name, version) = (SELECT name, version FROM saved_r s WHERE s.id = r.id);
                    UPDATE cloud_projects p SET environment = s.environment FROM saved_p s WHERE s.id = p.id;
                    ALTER TABLE cloud_resource_events DISABLE TRIGGER append_only_rows;
                    DELETE FROM cloud_resource_events WHERE actor = 'a liar';
                    ALTER TABLE cloud_resource_events ENABLE ALWAYS TRIGGER append_only_rows;
                    DROP TABLE saved_r, saved_p";
        for statement in [saved, lie.as_str()] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
                .execute(&deployment.pool)
                .await
                .unwrap();
        }
        let (code, said) = ops(environment(&deployment, &[]), &["verify"]).await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(back))
            .execute(&deployment.pool)
            .await
            .unwrap();
        assert_eq!(code, 1, "{rule}: {said}");
        let lines: Vec<&str> = said.lines().collect();
        let broken = lines
            .windows(2)
            .find(|pair| pair[0].starts_with("BROKEN") && pair[0].contains(rule));
        let offender = broken.unwrap_or_else(|| panic!("{rule}: {said}"))[1];
        assert!(offender.contains(words), "{rule}: {offender}");
        if !rule.contains("project") {
            assert!(
                offender.contains(&format!("droplet {provider_id}")),
                "{rule}: {offender}"
            );
        }
    }
    assert_eq!(ops(environment(&deployment, &[]), &["verify"]).await.0, 0);
}

/// Row-level security shows such a login an empty mirror, of which everything is true.
#[tokio::test]
async fn verify_refuses_to_praise_what_it_cannot_see() {
    let deployment = Deployment::with(Scenario::Default).await;
    let login = format!("stranger_{}", deployment.database.name());
    let make = format!(
        "CREATE ROLE {login} LOGIN PASSWORD 'local' IN ROLE arcadia_tenant; GRANT SELECT ON _sqlx_migrations TO {login}"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(make))
        .execute(&deployment.pool)
        .await
        .unwrap();
    let url = deployment.database.url_as(&login);
    let (code, said) = ops(environment(&deployment, &[("DATABASE_URL", &url)]), &["verify"]).await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "DROP OWNED BY {login}; DROP ROLE {login}"
    )))
    .execute(&deployment.pool)
    .await
    .unwrap();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("sees no rows"), "{said}");
}

/// A token that may only say whose it is: every scope that the account's own rules ask for is named, and no other.
#[tokio::test]
async fn the_doctor_names_each_scope_that_a_token_lacks_as_the_runbook_does() {
    let deployment = Deployment::with(Scenario::Default).await;
    deployment
        .sim
        .set_token(&Token::new("sync-0", TOKEN).scopes(["account:read"]));
    let (code, said) = ops(environment(&deployment, &[]), &["doctor"]).await;
    assert_eq!(code, 1, "{said}");
    let named: BTreeSet<&str> = said
        .lines()
        .filter_map(|line| line.split("lacks the scope ").nth(1))
        .collect();
    let mut needed: BTreeSet<String> = BTreeSet::from(["billing:read".to_owned()]);
    for collection in deployment.sim.collections() {
        // The strictest of those that it takes comes first.
        needed.insert(collection["scopes"][0].as_str().unwrap().to_owned());
    }
    assert_eq!(named, needed.iter().map(String::as_str).collect());
    let runbook = std::fs::read_to_string(place::repository().join("docs/runbook.md")).unwrap();
    for scope in named {
        assert!(
            runbook.contains(&format!("`{scope}`")),
            "the runbook does not know {scope}"
        );
    }

    // One that opens all but one listing is odd, and no fault: what is left out on purpose hurts nobody.
    let some: Vec<&str> = needed
        .iter()
        .map(String::as_str)
        .filter(|scope| *scope != "vpc:read")
        .collect();
    let some = some.into_iter().chain(["account:read", "function:read"]);
    deployment
        .sim
        .set_token(&Token::new("sync-0", TOKEN).scopes(some));
    let (code, said) = ops(environment(&deployment, &[]), &["doctor"]).await;
    assert_eq!(code, 0, "{said}");
    let odd: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("lacks the scope"))
        .collect();
    assert!(
        odd.len() == 1
            && odd[0].starts_with("odd")
            && odd[0].contains("sync_slow")
            && odd[0].contains("vpc: 403"),
        "{said}"
    );
}

/// Whatever it says, it says once: who reads thirty lines about one token looks for thirty faults.
fn says_nothing_twice(said: &str) {
    let lines: Vec<&str> = said.lines().collect();
    let different: BTreeSet<&&str> = lines.iter().collect();
    assert_eq!(different.len(), lines.len(), "{said}");
}

#[tokio::test]
async fn the_doctor_stops_asking_with_a_token_that_is_refused() {
    let deployment = Deployment::with(Scenario::Default).await;
    // From the first question on, and from the second: it was revoked in between.
    for (let_through, most) in [(0, 1), (1, 1 + 8)] {
        deployment.sim.clear_requests();
        deployment.sim.clear_faults();
        deployment
            .sim
            .fault(Fault::new(FaultKind::Unauthorized401).skip(let_through));
        let (code, said) = ops(environment(&deployment, &[]), &["doctor"]).await;
        assert_eq!(code, 1, "{said}");
        assert_eq!(said.matches("401").count(), 1, "{said}");
        assert_eq!(said.matches("BAD").count(), 1, "{said}");
        assert!(
            said.trim_end().ends_with("1 thing is wrong, 5 were not checked"),
            "{said}"
        );
        for purpose in ["sync_full", "sync_slow", "billing", "provisioning", "metering"] {
            let line = said.lines().find(|line| line.contains(purpose));
            assert!(
                line.is_some_and(|line| line.starts_with("skip") && line.contains("the same as sync_fast's")),
                "{purpose}: {said}"
            );
        }
        let asked = deployment.sim.requests().len();
        assert!((1..=most).contains(&asked), "{asked} requests: {said}");
        says_nothing_twice(&said);
    }
}

#[tokio::test]
async fn the_doctor_does_not_call_a_rate_limit_wrong() {
    let deployment = Deployment::with(Scenario::Default).await;
    let burst = FaultKind::Burst429 { retry_after: 17 };
    let hour = FaultKind::Hourly429 { reset_in: 900 };
    for (kind, let_through, words) in [
        (burst.clone(), 0, "rate limited for 17 s"),
        (burst, 4, "rate limited for 17 s"),
        (hour, 0, "out of requests until"),
    ] {
        deployment.sim.clear_faults();
        deployment.sim.fault(Fault::new(kind).skip(let_through));
        let (code, said) = ops(environment(&deployment, &[]), &["doctor"]).await;
        assert_eq!(code, 1, "what was not checked may be anything: {said}");
        assert!(!said.contains("BAD") && !said.contains("wrong"), "{said}");
        let limited = said.lines().filter(|line| line.contains(words));
        let limited: Vec<&str> = limited.collect();
        assert!(
            limited.len() == 1 && limited[0].starts_with("skip") && limited[0].ends_with("try again then"),
            "{said}"
        );
        assert!(said.trim_end().ends_with(" were not checked"), "{said}");
        says_nothing_twice(&said);
    }
}

#[tokio::test]
async fn the_doctor_says_each_thing_that_is_not_set_once() {
    let deployment = Deployment::with(Scenario::Default).await;
    let nothing = [
        ("DATABASE_URL", ""),
        ("STRIKE_SPACING_SECONDS", "soon"),
        ("DO_TOKEN_SECRET_ARN_BILLING", "no-such-secret"),
        ("DO_TOKEN_SECRET_ARN_METERING", "no-such-secret"),
    ];
    let (code, said) = ops(environment(&deployment, &nothing), &["doctor"]).await;
    assert_eq!(code, 1, "{said}");
    for words in [
        "DATABASE_URL or DATABASE_SECRET_ARN must be set",
        "STRIKE_SPACING_SECONDS must be",
        "GUARDIAN_SECRET_KEY or GUARDIAN_SECRET_ARN must be set",
        "ResourceNotFoundException",
    ] {
        assert_eq!(said.matches(words).count(), 1, "{words}: {said}");
    }
    assert!(
        said.contains("sync_fast     token") && said.contains("opens team"),
        "the token is looked at all the same: {said}"
    );
    // Two listings of one kind, refused for want of one scope, are one finding.
    deployment
        .sim
        .set_token(&Token::new("sync-0", TOKEN).scopes(["account:read"]));
    let (_, said) = ops(environment(&deployment, &[]), &["doctor"]).await;
    says_nothing_twice(&said);
}
