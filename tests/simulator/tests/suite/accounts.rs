//! Who may ask: tokens, scopes, teams.

use serde_json::{Value, json};
use simulator::{Options, Scopes, Token};

use crate::client::Client;

#[tokio::test]
async fn an_unknown_token_is_the_gateways_401() {
    let mut client = Client::default();
    client.token = "somebody-elses".to_owned();
    let got = client.get("/v2/droplets").await;
    assert_eq!(got.status, 401);
    assert_eq!(
        got.json(),
        json!({"id": "Unauthorized", "message": "Unable to authenticate you"})
    );
    assert_eq!(got.header("ratelimit-limit"), None);
    assert!(got.header("x-request-id").is_some());
}

#[tokio::test]
async fn the_log_knows_names_and_no_secrets() {
    let secret = "dop_v1_text_that_must_not_leak";
    let token = Token::new("sync_fast", secret);
    assert!(!format!("{token:?}").contains(secret));
    let mut client = Client::with(Options {
        tokens: vec![token],
        ..Options::default()
    });
    client.token = secret.to_owned();
    client.get("/v2/droplets?page=1").await;
    client.token = "wrong".to_owned();
    client.get("/v2/account").await;
    let log = client.simulator.requests();
    assert_eq!(
        (log[0].token.as_deref(), log[0].path.as_str(), log[0].status),
        (Some("sync_fast"), "/v2/droplets", 200)
    );
    assert_eq!((log[1].token.as_deref(), log[1].status), (None, 401));
    let everything = format!("{:?} {:?} {}", client.simulator, log, client.simulator.summary());
    assert!(!everything.contains(secret) && !everything.contains("wrong"));
}

#[tokio::test]
async fn a_missing_scope_is_403_and_narrow_ones_hide_fields() {
    let client = Client::default();
    client
        .simulator
        .set_scopes("default", Scopes::only(["project:read"]));
    let got = client.get("/v2/droplets").await;
    assert_eq!((got.status, got.json()["id"].as_str()), (403, Some("forbidden")));
    assert_eq!(client.get("/v2/account").await.status, 403);
    assert_eq!(
        client
            .post("/v2/projects", json!({"name": "a", "purpose": "b"}))
            .await
            .status,
        403
    );
    let hidden = [
        "tags",
        "image",
        "snapshot_ids",
        "backup_ids",
        "volume_ids",
        "vpc_uuid",
    ];
    client
        .simulator
        .set_scopes("default", Scopes::only(["droplet:read"]));
    let narrow = client.get("/v2/droplets?per_page=1").await.json()["droplets"][0].clone();
    assert!(hidden.iter().all(|field| narrow.get(field).is_none()));
    assert!(narrow.get("size_slug").is_some());
    client
        .simulator
        .set_scopes("default", Scopes::only(["droplet:read", "tag:read", "vpc:read"]));
    let wider = client.get("/v2/droplets?per_page=1").await.json()["droplets"][0].clone();
    let shown = hidden.map(|field| wider.get(field).is_some());
    assert_eq!(shown, [true, false, false, false, false, true]);
}

#[tokio::test]
async fn another_teams_token_sees_another_team() {
    let ours = Token::new("ours", "a");
    let theirs = Token::new("theirs", "b").of_other_team();
    let mut client = Client::with(Options {
        tokens: vec![ours, theirs],
        ..Options::default()
    });
    client.token = "a".to_owned();
    let account = client.get("/v2/account").await.json();
    let droplets = client.get("/v2/droplets").await.json();
    client.token = "b".to_owned();
    let other = client.get("/v2/account").await.json();
    assert_ne!(
        account["account"]["team"]["uuid"],
        other["account"]["team"]["uuid"]
    );
    assert!(other["account"]["team"]["uuid"].is_string() && other["account"]["team"]["name"] != Value::Null);
    assert_ne!(
        client.get("/v2/droplets").await.json()["droplets"][0]["id"],
        droplets["droplets"][0]["id"]
    );
}
