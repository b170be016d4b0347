//! A stage for tests of the ledger: the mirror's stage, and beside it what billing workers have.
//!
//! Several desks share one database and one account, each with a token of its own, so that many invoices can be
//! ingested at once without using up anybody's minute. What the ledger must be is read as a superuser; what caused a
//! line is asked of the simulator, which knows.

use std::collections::BTreeSet;
use std::time::Duration;

use harness::aws::{Aws, Queues};
use harness::services::Services;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use shared::billing::{Ingested, ingest_at};
use shared::config::{Environment, Purpose};
use shared::runs::Tick;
use shared::secrets::Secrets;
use shared::sync::{self, BALANCE, BILLING_HISTORY, Job, Order, Report, Station};
use simulator::{Limits, Options, Scenario, Settings, Simulator, Token};

use crate::stage::{Stage, TOKEN};

/// Tokens beside the mirror's.
pub const DESKS: usize = 6;

/// One test's books.
pub struct Books {
    /// The mirror beside it.
    pub stage: Stage,
    /// What billing workers have between runs.
    pub desks: Vec<Station>,
    /// SQS.
    pub aws: Aws,
    /// The ingest queue and its dead letters.
    pub queues: Queues,
}

/// One charge of an invoice, as the simulator knows it.
#[derive(Clone, Debug)]
pub struct Charge {
    pub description: String,
    pub amount: Decimal,
    /// What caused it.
    pub id: Option<String>,
}

/// One stored line.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Stored {
    pub line_no: i32,
    pub description: String,
    pub amount: Decimal,
    pub class: String,
    pub kind: Option<String>,
    pub match_rule: Option<String>,
    /// The id of the resource that it is matched with.
    pub provider_id: Option<String>,
    /// And its name.
    pub name: Option<String>,
}

impl Books {
    /// Books of this account, with its invoices as the scenario has them.
    pub async fn with(scenario: Scenario) -> Self {
        let mut tokens = vec![Token::new("sync", TOKEN)];
        tokens.extend((0..DESKS).map(|desk| Token::new(format!("desk-{desk}"), token(desk))));
        let options = Options {
            scenario,
            tokens,
            settings: Settings {
                limits: Limits::off(),
                ..Settings::default()
            },
            ..Options::default()
        };
        let stage = Stage::around(Simulator::start(options).unwrap()).await;
        let aws = Aws::attach(&Services::from_env().unwrap().aws_url);
        // A name of a queue has eighty characters at most.
        let prefix = uuid::Uuid::now_v7().simple().to_string();
        let queues = aws.queues(&prefix, Duration::ZERO).await.unwrap();
        let mut desks = Vec::new();
        for desk in 0..DESKS {
            desks.push(station(&stage, &queues.ingest, desk).await);
        }
        Self {
            stage,
            desks,
            aws,
            queues,
        }
    }

    /// The same without a single invoice, but for the running month's.
    pub async fn empty() -> Self {
        let books = Self::with(Scenario::Default).await;
        for invoice in books.issued() {
            books.stage.sim.world().forget_invoice(&invoice).unwrap();
        }
        books
    }

    /// The uuids of all invoices that the account has.
    pub fn issued(&self) -> Vec<String> {
        let billing = self.stage.sim.billing();
        let invoices = billing["invoices"].as_array().unwrap().iter();
        invoices
            .map(|invoice| invoice["invoice_uuid"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Issues an invoice, or replaces the one of this uuid: `rows` with whole `cents`, each with the `id` that caused
    /// it, and what else the simulator takes.
    pub fn bill(&self, bill: Value) {
        let Value::Object(mut bill) = bill else {
            panic!("{bill}")
        };
        if let Some(rows) = bill.remove("rows") {
            let items = rows.as_array().unwrap().iter().map(item);
            bill.insert("items".to_owned(), items.collect());
        }
        let mut world = self.stage.sim.world();
        drop(world.forget_invoice(bill["uuid"].as_str().unwrap()));
        world.add_invoice(Value::Object(bill)).unwrap();
    }

    /// What an invoice charges for, in order: its items, which know the truth.
    pub async fn charges(&self, invoice: &str) -> Vec<Charge> {
        let mut charges = Vec::new();
        let client = harness::http::client(Duration::from_secs(30)).unwrap();
        for page in 1.. {
            let url = format!(
                "{}/v2/customers/my/invoices/{invoice}?per_page=200&page={page}",
                self.stage.sim.url()
            );
            let page = harness::http::get_json(&client, &url, Some(TOKEN)).await.unwrap();
            let items = page["invoice_items"].as_array().unwrap();
            if items.is_empty() {
                break;
            }
            charges.extend(items.iter().map(|item| {
                let text = |name: &str| item[name].as_str().map(str::to_owned);
                let description = text("description").unwrap_or_default();
                // Of these, what the line says is the id.
                let said = match item["product"].as_str().unwrap() {
                    "Floating IPs" | "Reserved IPs" => description.rsplit(' ').next().map(str::to_owned),
                    "Spaces" => Some(description.clone()),
                    _ => None,
                };
                Charge {
                    amount: item["amount"].as_str().unwrap().parse().unwrap(),
                    id: text("resource_id").or_else(|| text("resource_uuid")).or(said),
                    description,
                }
            }));
        }
        charges
    }

    /// One run of `sync-billing-history`.
    pub async fn history(&self) -> Report {
        self.ordered(Order::default()).await
    }

    /// One run of `sync-billing-history` as ordered.
    pub async fn ordered(&self, order: Order) -> Report {
        sync::run_at(&self.desks[0], &BILLING_HISTORY, order, self.stage.now, None).await
    }

    /// One run of `sync-balance`.
    pub async fn balance(&self) -> Report {
        sync::run_at(&self.desks[0], &BALANCE, Tick::default(), self.stage.now, None).await
    }

    /// Ingests one invoice at some desk.
    pub async fn ingest(&self, desk: usize, invoice: &str) -> Report {
        ingest_at(&self.desks[desk % DESKS], invoice, self.stage.now, None).await
    }

    /// What became of one invoice that was ingested at the first desk.
    pub async fn ingested(&self, invoice: &str) -> Ingested {
        self.ingest(0, invoice).await.ledger.unwrap().ingested.unwrap()
    }

    /// Ingests every invoice that is known.
    pub async fn ingest_all(&self) {
        for (turn, invoice) in self.known().await.iter().enumerate() {
            let report = self.ingest(turn, invoice).await;
            assert!(report.error.is_none(), "{invoice}: {report:?}");
        }
    }

    /// The uuids of all headers but the preview's.
    pub async fn known(&self) -> Vec<String> {
        let all = "SELECT invoice_uuid FROM cloud_invoices WHERE NOT preview ORDER BY invoice_uuid";
        sqlx::query_scalar(all).fetch_all(&self.stage.pool).await.unwrap()
    }

    /// The header of an invoice.
    pub async fn header(&self, invoice: &str) -> Value {
        let row = "SELECT to_jsonb(i) || jsonb_build_object('amount', amount::text, 'lines_total', lines_total::text)
                   FROM cloud_invoices i WHERE invoice_uuid = $1";
        sqlx::query_scalar(row)
            .bind(invoice)
            .fetch_one(&self.stage.pool)
            .await
            .unwrap()
    }

    /// The lines of an invoice.
    pub async fn lines(&self, invoice: &str) -> Vec<Stored> {
        sqlx::query_as(
            "SELECT l.line_no, l.description, l.amount, l.class, l.kind, l.match_rule, r.provider_id, r.name
             FROM cloud_cost_lines l JOIN cloud_invoices i ON i.id = l.cloud_invoice_id
             LEFT JOIN cloud_resources r ON r.id = l.cloud_resource_id
             WHERE i.invoice_uuid = $1 ORDER BY l.line_no",
        )
        .bind(invoice)
        .fetch_all(&self.stage.pool)
        .await
        .unwrap()
    }

    /// One number of the database.
    pub async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query)
            .fetch_one(&self.stage.pool)
            .await
            .unwrap()
    }

    /// Mirrors projects and every kind there is.
    pub async fn mirror(&self) {
        let workers = sync::WORKERS.iter().copied();
        for worker in workers.filter(|worker| matches!(worker.job, Job::Kinds(_) | Job::Projects)) {
            let report = self.stage.run(worker).await;
            assert!(report.error.is_none(), "{}: {report:?}", worker.name);
        }
    }

    /// Holds the lines of an invoice against the truth: how many could have been matched, how many were; a wrong one
    /// fails the test. What causes a line that names no id may only be something that the line itself names.
    pub async fn judge(&self, invoice: &str) -> (usize, usize) {
        let known: Vec<String> = sqlx::query_scalar("SELECT DISTINCT provider_id FROM cloud_resources")
            .fetch_all(&self.stage.pool)
            .await
            .unwrap();
        let known: BTreeSet<String> = known.into_iter().collect();
        let (charges, lines) = (self.charges(invoice).await, self.lines(invoice).await);
        assert_eq!(charges.len(), lines.len(), "{invoice}");
        let (mut possible, mut right) = (0, 0);
        for (charge, line) in charges.iter().zip(&lines) {
            let truth = charge.id.as_ref().filter(|id| known.contains(*id));
            possible += usize::from(truth.is_some());
            let Some(found) = &line.provider_id else { continue };
            assert!(line.match_rule.is_some());
            if charge.id.is_none() {
                let name = line.name.as_deref().unwrap();
                assert!(line.description.contains(name), "wrong: {line:?}");
                continue;
            }
            assert_eq!(Some(found), truth, "wrong: {line:?}");
            right += 1;
        }
        (possible, right)
    }

    /// Takes every message out of a queue.
    pub async fn drain(&self, queue: &str) -> Vec<String> {
        let sqs = self.aws.sqs();
        let mut bodies = Vec::new();
        loop {
            let received = sqs.receive_message().queue_url(queue).max_number_of_messages(10);
            let messages = received.send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                return bodies;
            }
            for message in messages {
                let handle = message.receipt_handle.unwrap();
                sqs.delete_message()
                    .queue_url(queue)
                    .receipt_handle(handle)
                    .send()
                    .await
                    .unwrap();
                bodies.push(message.body.unwrap());
            }
        }
    }
}

/// A desk's token.
pub fn token(desk: usize) -> String {
    format!("dop_v1_desk_{desk}")
}

async fn station(stage: &Stage, queue: &str, desk: usize) -> Station {
    let (url, base, token) = (
        stage.database.url_as("arcadia_billing_login"),
        stage.sim.url(),
        token(desk),
    );
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("DO_API_BASE_URL", &base),
        ("DO_API_TOKEN", &token),
        ("INGEST_QUEUE_URL", queue),
    ];
    let config = Environment::of(variables).worker(Purpose::Billing).unwrap();
    Station::set_up(config, Secrets::default()).await.unwrap()
}

/// What a desk's token is called in the simulator.
pub const DESK: &str = "desk-0";

/// An invoice of one droplet line and its tax.
pub fn small(uuid: &str, period: &str, cents: i64) -> Value {
    json!({"uuid": uuid, "period": period, "rows": [
        {"product": "Droplets", "description": "somebody (s-1vcpu-1gb)", "hours": 744, "cents": cents},
        {"product": "Taxes", "description": "GST (10%)", "cents": cents / 10},
    ]})
}

/// A row in the simulator's words.
fn item(row: &Value) -> Value {
    let mut item = row.as_object().unwrap().clone();
    let cents = item.remove("cents").and_then(|cents| cents.as_i64()).unwrap();
    item.insert("amount".to_owned(), json!(Decimal::new(cents, 2).to_string()));
    if let Some(id) = item.remove("id").filter(|id| !id.is_null()) {
        item.insert("resource_id".to_owned(), id);
    }
    Value::Object(item)
}
