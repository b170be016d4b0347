//! What a read says to Postgres, and in what state it leaves the connection: counted on the wire, not timed.
//!
//! A read waits for its begin and its question, a tenant's for its name too; its end is on the way before the answer is.
//! Whatever happens to a read, nothing of it is left on a connection for the next one.

use std::time::Duration;

use harness::tokens;
use serde_json::{Value, json};
use simulator::Scenario;
use simulator::scenario::TENANTS;

use crate::access::classified;
use crate::binaries::{body, request};
use crate::caller::{Api, operator, tenant};
use crate::deployment::{Deployment, GUARDIAN, report};
use crate::overheard::{ASKS, EXECUTES, Overheard};

const OPERATOR: &str = "BEGIN READ ONLY; SET LOCAL ROLE arcadia_operator";
const TENANT: &str = "BEGIN READ ONLY; SET LOCAL ROLE arcadia_tenant";

/// What was said in a read that found its connection where the last one had left it.
async fn turns(api: &Api, overheard: &Overheard, path: &str, token: &str) -> Vec<String> {
    // Twice: so that statements are prepared.
    for _ in 0..2 {
        overheard.turns();
        assert_eq!(api.get(path, token).await.status, 200, "{path}");
        // The connection is given back once Postgres has answered to the end.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    overheard.turns()
}

#[tokio::test]
async fn a_read_takes_as_few_turns_as_it_can() {
    let stage = classified().await;
    let (overheard, url) = Overheard::at(&stage.database, "arcadia_api_login").await;
    let api = Api::with(&url);
    let one = format!("/api/v1/inventory/{}", stage.rows("droplet").await.remove(0).id);
    for path in [
        "/api/v1/inventory",
        "/api/v1/inventory?kind=droplet",
        &one,
        "/api/v1/events",
    ] {
        // The pool asks once whether somebody is there, behind the end; nobody waits for that.
        let turns = turns(&api, &overheard, path, &operator()).await;
        assert_eq!(turns, [OPERATOR, EXECUTES, "ROLLBACK", ASKS], "{path}");
    }
    for path in ["/api/v1/inventory", "/api/v1/events"] {
        let turns = turns(&api, &overheard, path, &tenant(TENANTS[0].1)).await;
        assert_eq!(turns, [TENANT, EXECUTES, EXECUTES, "ROLLBACK", ASKS], "{path}");
    }
}

#[tokio::test]
async fn what_a_read_was_is_gone_before_the_next_one() {
    let stage = classified().await;
    let api = Api::over(&stage.database);
    let of = |tenant: &str| {
        let count = format!(
            "SELECT count(*) FROM cloud_resources WHERE deleted_at IS NULL AND tenant_id = '{tenant}'"
        );
        let pool = stage.pool.clone();
        async move {
            sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(count))
                .fetch_one(&pool)
                .await
                .unwrap()
        }
    };
    let (first, second) = (TENANTS[0].1, TENANTS[1].1);
    let path = "/api/v1/inventory?limit=500";
    for who in [first, second, first, "nobody", second] {
        assert!(
            api.get(path, &operator()).await.body["data"]
                .as_array()
                .unwrap()
                .len()
                > 10
        );
        let answer = api.get(path, &tenant(who)).await;
        let own = answer.body["data"].as_array().unwrap();
        assert!(own.iter().all(|item| item["tenant_id"] == who), "{who}");
        assert_eq!(own.len() as i64, of(who).await, "{who}");
        // A question that fails takes its connection along; nobody sees anything of that.
        break_and_mend(&stage.pool, &api, &tenant(who)).await;
    }
}

/// A read that fails in the middle of its transaction, as one would that takes too long.
async fn break_and_mend(pool: &sqlx::PgPool, api: &Api, token: &str) {
    let execute = async |statement: &'static str| sqlx::raw_sql(statement).execute(pool).await.unwrap();
    execute("ALTER VIEW cloud_inventory RENAME TO away").await;
    assert_eq!(api.get("/api/v1/inventory", token).await.status, 500);
    execute("ALTER VIEW away RENAME TO cloud_inventory").await;
}

#[tokio::test]
async fn a_sandbox_that_is_frozen_with_its_answer_holds_no_transaction() {
    let deployment = Deployment::with(Scenario::Default).await;
    assert_eq!(
        report(
            deployment
                .sandbox("sync-droplets", &[])
                .await
                .invoke(&json!({}))
                .await
        )["outcome"],
        "complete"
    );
    let api = deployment.sandbox("api", &[]).await;
    let operator = tokens::operator(GUARDIAN, tokens::now());
    let small = tokens::tenant(GUARDIAN, "somebody", tokens::now());
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND usename = 'arcadia_api_login' AND state <> 'idle'";
    for turn in 0..40 {
        let token = if turn % 2 == 0 { &operator } else { &small };
        let answer: Value = report(
            api.invoke(&request("/api/v1/inventory", "limit=500", Some(token)))
                .await,
        );
        api.stop();
        body(&answer, 200);
        // What is on its way arrives; what would still have to be sent never does.
        let mut left = 1;
        for _ in 0..20 {
            left = deployment.count(open).await;
            if left == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        api.cont();
        assert_eq!(left, 0, "the transaction of turn {turn} was left open");
    }
}
