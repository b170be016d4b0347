//! The harness against itself: what it promises about databases, secrets and queues.
//!
//! Part of `make test`; needs its services. It proves isolation (two databases, one template) and that what is
//! made goes away again, because every other test relies on both.

#![expect(clippy::unwrap_used, reason = "a test's own functions are tests too")]

use std::time::Duration;

use harness::aws::Aws;
use harness::postgres::ROLES;
use harness::services::Services;
use sqlx::{Connection, PgConnection};

async fn count(url: &str, query: &'static str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let (count,): (i64,) = sqlx::query_as(query).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    count
}

#[tokio::test]
async fn databases_are_migrated_isolated_and_dropped() {
    let services = Services::from_env().unwrap();
    let (one, other) = (
        services.database().await.unwrap(),
        services.database().await.unwrap(),
    );
    let tables = "SELECT count(*) FROM pg_tables WHERE tablename = 'cloud_resources'";
    assert_eq!(
        (count(&one.url(), tables).await, count(&other.url(), tables).await),
        (1, 1)
    );

    let mut connection = PgConnection::connect(&one.url()).await.unwrap();
    sqlx::query("CREATE TABLE mine (x int)")
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(
        count(
            &other.url(),
            "SELECT count(*) FROM pg_tables WHERE tablename = 'mine'"
        )
        .await,
        0
    );

    let name = one.name().to_owned();
    drop(one); // although `connection` still uses it
    let mut server = PgConnection::connect(services.cluster.url()).await.unwrap();
    // Nobody waits for it but us.
    loop {
        let (left,): (i64,) = sqlx::query_as("SELECT count(*) FROM pg_database WHERE datname = $1")
            .bind(&name)
            .fetch_one(&mut server)
            .await
            .unwrap();
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(connection.ping().await.is_err());
}

#[tokio::test]
async fn logins_have_their_roles_and_no_more() {
    let services = Services::from_env().unwrap();
    let database = services.database().await.unwrap();
    for (login, member_of) in [
        (
            "arcadia_api_login",
            vec![
                "arcadia_tenant",
                "arcadia_operator",
                "arcadia_editor",
                "arcadia_api",
            ],
        ),
        ("arcadia_sync_login", vec!["arcadia_sync"]),
        ("arcadia_billing_login", vec!["arcadia_billing"]),
    ] {
        let mut connection = PgConnection::connect(&database.url_as(login)).await.unwrap();
        let (plain,): (bool,) = sqlx::query_as(
            "SELECT NOT (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb) FROM pg_roles
             WHERE rolname = current_user",
        )
        .fetch_one(&mut connection)
        .await
        .unwrap();
        assert!(plain, "{login} may do more than a login should");
        for role in ROLES {
            let (is,): (bool,) = sqlx::query_as("SELECT pg_has_role($1, 'member')")
                .bind(role)
                .fetch_one(&mut connection)
                .await
                .unwrap();
            assert_eq!(is, member_of.contains(&role), "{login} and {role}");
        }
    }
}

#[tokio::test]
async fn secrets_are_replaced_and_dead_letters_are_wired() {
    let aws = Aws::attach(&Services::from_env().unwrap().aws_url);
    let arn = aws.put_secret("harness-own-test", "first").await.unwrap();
    assert_eq!(aws.put_secret("harness-own-test", "second").await.unwrap(), arn);
    let read = aws
        .secrets()
        .get_secret_value()
        .secret_id(&arn)
        .send()
        .await
        .unwrap();
    assert_eq!(read.secret_string(), Some("second"));

    let queues = aws.queues("harness-own-test", Duration::ZERO).await.unwrap();
    let sqs = aws.sqs();
    sqs.send_message()
        .queue_url(&queues.ingest)
        .message_body("poison")
        .send()
        .await
        .unwrap();
    let received = async |queue: &str| {
        let received = sqs.receive_message().queue_url(queue).send().await.unwrap();
        received.messages().len()
    };
    for _ in 0..5 {
        assert_eq!(received(&queues.ingest).await, 1);
    }
    assert_eq!(received(&queues.ingest).await, 0, "a sixth receive");
    assert_eq!(received(&queues.dead_letters).await, 1);
}
