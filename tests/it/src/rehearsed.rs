//! What the operator asks before doing it, and does without AWS: dry runs that leave nothing behind, and a whole ledger
//! with nothing but Postgres and a token.

use serde_json::{Value, json};
use simulator::Scenario;

use crate::books::{Books, token};
use crate::deployment::Deployment;
use crate::operator::{environment, ops};

/// Every row of every table but one: what requests cost is remembered, because others share the token.
async fn everything(pool: &sqlx::PgPool) -> Vec<Value> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname::text FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
         WHERE n.nspname = 'public' AND relkind = 'r' AND relname <> 'token_budgets' ORDER BY 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    let mut rows = Vec::new();
    for table in tables {
        let query = format!("SELECT to_jsonb(t) FROM {table} t ORDER BY to_jsonb(t)::text");
        let found: Vec<Value> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
            .fetch_all(pool)
            .await
            .unwrap();
        rows.push(json!({ table: found }));
    }
    rows
}

/// The line of a kind, without how long it took.
fn line<'s>(said: &'s str, kind: &str) -> &'s str {
    let found = said.lines().find(|line| line.trim_start().starts_with(kind));
    found.unwrap_or_else(|| panic!("{kind}: {said}")).trim()
}

#[tokio::test]
async fn a_dry_run_says_what_the_run_would_do_and_leaves_nothing_behind() {
    let deployment = Deployment::with(Scenario::Default).await;
    let run = async |arguments: &[&str]| ops(environment(&deployment, &[]), arguments).await;
    let before = everything(&deployment.pool).await;
    let posts = || {
        let requests = deployment.sim.requests();
        requests.iter().filter(|request| request.method == "POST").count()
    };

    let (code, dry) = run(&["sync", "all", "--dry-run"]).await;
    assert_eq!(code, 0, "{dry}");
    assert_eq!(everything(&deployment.pool).await, before);
    assert_eq!(posts(), 0);
    assert!(dry.contains("dry run: nothing is kept"), "{dry}");
    assert!(
        dry.contains("note: the project skyai-internal would be made"),
        "{dry}"
    );
    let (code, done) = run(&["sync", "all"]).await;
    assert_eq!((code, posts()), (0, 1), "{done}");
    for kind in [
        "droplet",
        "volume",
        "snapshot",
        "dns_zone",
        "managed_db",
        "spaces_bucket",
    ] {
        assert_eq!(line(&dry, kind), line(&done, kind), "{dry}\n{done}");
        assert!(line(&dry, kind).contains("discovered"), "{dry}");
    }

    // One is gone, one is new, one has changed; the mirror does not know yet.
    let droplets = deployment.sim.items("droplets");
    let id = |n: usize| droplets[n]["id"].to_string();
    deployment.sim.destroy("droplets", id(0)).unwrap();
    deployment
        .sim
        .change("droplets", id(1), json!({"name": "renamed"}))
        .unwrap();
    let before = everything(&deployment.pool).await;
    let (code, dry) = run(&["sync", "droplet", "--dry-run"]).await;
    assert_eq!(code, 0, "{dry}");
    assert!(
        line(&dry, "droplet").ends_with("seen, 1 updated, 1 struck"),
        "{dry}"
    );
    assert_eq!(everything(&deployment.pool).await, before);
    let (_, done) = run(&["sync", "droplet"]).await;
    assert_eq!(line(&dry, "droplet"), line(&done, "droplet"));
    deployment.check_history().await;
}

#[tokio::test]
async fn a_ledger_is_filled_with_nothing_but_postgres_and_a_token() {
    let books = Books::with(Scenario::Default).await;
    let pool = &books.stage.pool;
    let url = books.stage.database.url_as("arcadia_billing_login");
    let mine = || {
        let set = [
            ("DATABASE_URL", url.clone()),
            ("DO_API_BASE_URL", books.stage.sim.url()),
            ("DO_API_TOKEN", token(1)),
        ];
        set.map(|(name, value)| (name.to_owned(), value)).to_vec()
    };
    let issued = books.issued().len();
    let before = everything(pool).await;
    let (code, said) = ops(mine(), &["backfill", "--dry-run"]).await;
    assert_eq!(code, 0, "{said}");
    assert!(
        said.starts_with(&format!(
            "{issued} invoices: 0 ingested, 0 quarantined; {issued} to ingest"
        )),
        "{said}"
    );
    assert_eq!(everything(pool).await, before);

    // The newest month first, then all; a broken invoice does not stop the others.
    books
        .bill(json!({"uuid": "broken", "period": "2013-01", "amount": "1.00", "csv": "product,USD\nx,$1\n"}));
    let (code, said) = ops(mine(), &["backfill", "--from", &newest(&books)]).await;
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("[1/"),
        "a line each where there is no terminal: {said}"
    );
    let (code, said) = ops(mine(), &["backfill"]).await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("broken: quarantined"), "{said}");
    assert!(said.trim_end().ends_with("1 need a person"), "{said}");
    let left = "SELECT count(*) FROM cloud_invoices WHERE ingest_status = 'pending' AND NOT preview";
    assert_eq!(books.count(left).await, 0);
    let ingested = "SELECT count(*) FROM cloud_invoices WHERE ingest_status = 'ingested' AND NOT preview
                    AND reconciliation <> 'mismatch'";
    assert_eq!(books.count(ingested).await, i64::try_from(issued).unwrap());

    // What cannot be read is tried again, and nothing else is.
    let (code, said) = ops(mine(), &["backfill"]).await;
    assert_eq!(
        (
            code,
            said.contains("[1/1] broken"),
            said.contains("0 of 1 invoices ingested")
        ),
        (1, true, true),
        "{said}"
    );
}

/// The month of the newest invoice, as the account lists them.
fn newest(books: &Books) -> String {
    let billing = books.stage.sim.billing();
    let invoices = billing["invoices"].as_array().unwrap().iter();
    let months = invoices.map(|invoice| invoice["invoice_period"].as_str().unwrap());
    months.max().unwrap().to_owned()
}
