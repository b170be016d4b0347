//! The API at 100,000 resources: a page of 100 and one resource, beside the bare prepared query.
//!
//! The compiled binary in a sandbox, with a token to verify and JSON to write. `in the handler` is what its log line
//! says of the request, from the token to the finished body. `round trip` is what we see from outside, with the
//! event's and the answer's way through the emulated Runtime API; that of `/api/health`, which touches nothing, is
//! shown for comparison. `bare` is the same rows on one connection, prepared, in the role that the API reads in, its
//! columns received and not looked at. Everything is asked in turns, so that all of it saw the same machine.

use std::time::Instant;

use futures_util::future::join_all;
use harness::large::{self, LARGE, LIVE};
use harness::sandbox::Sandbox;
use harness::tokens;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};

use crate::Wanted;
use crate::ground::{self, Ground, LONGEST};
use crate::report::{Report, Samples, Table, nothing, number, ratio, seconds, text};

/// What tokens are signed with.
const KEY: &str = "bench-bench-bench-bench-bench-bench-bench-bench-bench-bench-bench";
/// Requests of each kind in one turn, and how many are in flight at once.
const TURN: usize = 50;
const IN_FLIGHT: usize = 8;

const COLUMNS: &str = "SELECT id, kind, provider, provider_id, name, region, status, tags, attrs, cloud_project_id, \
     tenant_id, attribution, version, first_seen_at, last_seen_at, stale_strike_count, deleted_at, updated_at \
     FROM cloud_inventory";
const ONE: &str = "01000000-0000-7000-8000-00000000c350";

/// One question, asked both ways.
struct Question {
    what: &'static str,
    /// The tenant that asks; empty: an operator.
    who: &'static str,
    path: String,
    bare: String,
    rows: usize,
    /// At most so many times the bare query, where that is a goal.
    most: Option<f64>,
}

/// What asking has shown, in seconds.
#[derive(Default)]
struct Answers {
    bare: Vec<f64>,
    handler: Vec<f64>,
    trip: Vec<f64>,
}

pub async fn run(wanted: &Wanted, report: &mut Report) {
    let ground = Ground::new().await;
    large::fill(&ground.database, large::USUAL).await.unwrap();
    let first = sandbox(&ground).await;
    let questions = questions(&ground, &first).await;
    drop(first);
    for in_flight in [1, IN_FLIGHT] {
        let mut table = Table::new(
            format!("The API at {} resources, {in_flight} in flight", large::SIZE),
            &[
                "what",
                "who",
                "bare p50",
                "p99",
                "in the handler p50",
                "p99",
                "× bare",
                "round trip p50",
                "p99",
            ],
        );
        let mut lanes = Vec::new();
        for _ in 0..in_flight {
            lanes.push(Lane::new(&ground).await);
        }
        for _ in 0..wanted.reps {
            join_all(lanes.iter_mut().map(|lane| lane.turn(&questions))).await;
        }
        for (at, question) in questions.iter().enumerate() {
            let all = |of: fn(&Answers) -> &Vec<f64>| -> Samples {
                lanes
                    .iter()
                    .flat_map(|lane| of(&lane.answers[at]).iter().copied())
                    .collect()
            };
            let (bare, handler, trip) = (all(|a| &a.bare), all(|a| &a.handler), all(|a| &a.trip));
            let times = handler.median() / bare.median();
            let touches_nothing = question.bare.is_empty();
            let cell = |value| if touches_nothing { nothing() } else { value };
            table.row([
                text(question.what),
                text(if question.who.is_empty() {
                    "operator"
                } else {
                    "tenant"
                }),
                cell(seconds(bare.median())),
                cell(seconds(bare.quantile(0.99))),
                seconds(handler.median()),
                seconds(handler.quantile(0.99)),
                cell(ratio(times)),
                seconds(trip.median()),
                seconds(trip.quantile(0.99)),
            ]);
            if let (Some(most), 1) = (question.most, in_flight) {
                let who = if question.who.is_empty() {
                    "operator"
                } else {
                    "tenant"
                };
                report.at_most(
                    format!("API: {} of the {who}, × bare", question.what),
                    times,
                    most,
                    "×",
                );
            }
        }
        if in_flight == 1 {
            let of = |what: &str| -> f64 {
                let at = questions
                    .iter()
                    .position(|q| q.what == what && q.who.is_empty())
                    .unwrap();
                lanes[0].answers[at]
                    .handler
                    .iter()
                    .copied()
                    .collect::<Samples>()
                    .median()
            };
            report.at_most("API: last page, × first", of(LAST) / of(FIRST), 1.5, "×");
        }
        let memory = lanes
            .iter()
            .map(|lane| lane.sandbox.usage().unwrap().resident as f64);
        let memory = memory.collect::<Samples>().median();
        table.note(format!(
            "{} requests of each kind; memory of a sandbox afterwards: {}.",
            wanted.reps * TURN * in_flight,
            number(memory / 1e6, 1, "MB").words()
        ));
        report.table(table);
    }
}

const FIRST: &str = "page of 100, the first";
const LAST: &str = "page of 100, the last";

async fn questions(ground: &Ground, api: &Sandbox) -> Vec<Question> {
    let mut questions = vec![Question {
        what: "health",
        who: "",
        path: "/api/health".to_owned(),
        bare: String::new(),
        rows: 0,
        most: None,
    }];
    for (who, live, most) in [("", LIVE, 1.5), (LARGE.tenant, LARGE.live, 2.0)] {
        let path = "/api/v1/inventory".to_owned();
        let body = ask(api, &path, "limit=100", who).await.1;
        let cursor = body["page"]["next_cursor"].as_str().unwrap();
        let last = large::cursor(&ground.database, cursor, "id", who, live - 101)
            .await
            .unwrap();
        let behind: String = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT id::text FROM cloud_resources WHERE deleted_at IS NULL AND ('{who}' = '' OR tenant_id = '{who}')
             ORDER BY id OFFSET {} LIMIT 1",
            live - 101
        )))
        .fetch_one(&ground.pool)
        .await
        .unwrap();
        let own = if who.is_empty() {
            String::new()
        } else {
            format!(" AND tenant_id = '{who}'")
        };
        let columns = if who.is_empty() {
            COLUMNS.to_owned()
        } else {
            COLUMNS.replace(" attrs,", " attrs - 'project_id' AS attrs,")
        };
        let place = if who.is_empty() {
            format!("id > '{behind}'")
        } else {
            format!("(tenant_id, id) > ('{who}', '{behind}')")
        };
        questions.push(Question {
            what: FIRST,
            who,
            path: format!("{path}?limit=100"),
            bare: format!("{columns} WHERE deleted_at IS NULL{own} ORDER BY id LIMIT 101"),
            rows: 101,
            most: Some(most),
        });
        questions.push(Question {
            what: LAST,
            who,
            path: format!("{path}?limit=100&cursor={last}"),
            bare: format!("{columns} WHERE deleted_at IS NULL{own} AND {place} ORDER BY id LIMIT 101"),
            rows: 100,
            most: None,
        });
        questions.push(Question {
            what: "one resource",
            who,
            path: format!("{path}/{ONE}"),
            bare: format!("{columns} WHERE id = '{ONE}'{own}"),
            rows: 1,
            most: None,
        });
    }
    questions
}

/// A sandbox and a connection, asked in turns.
struct Lane {
    sandbox: Sandbox,
    operator: PgConnection,
    tenant: PgConnection,
    answers: Vec<Answers>,
}

impl Lane {
    async fn new(ground: &Ground) -> Self {
        let mut lane = Self {
            sandbox: sandbox(ground).await,
            operator: connection(ground, "SET ROLE arcadia_operator").await,
            tenant: connection(
                ground,
                &format!(
                    "SET ROLE arcadia_tenant; SELECT set_config('app.tenant', '{}', false)",
                    LARGE.tenant
                ),
            )
            .await,
            answers: Vec::new(),
        };
        for _ in 0..20 {
            ask(&lane.sandbox, "/api/v1/inventory", "limit=100", "").await;
        }
        lane.answers.clear();
        lane
    }

    async fn turn(&mut self, questions: &[Question]) {
        self.answers.resize_with(questions.len(), Answers::default);
        for (question, answers) in questions.iter().zip(&mut self.answers) {
            let connection = if question.who.is_empty() {
                &mut self.operator
            } else {
                &mut self.tenant
            };
            let (path, query) = question.path.split_once('?').unwrap_or((&question.path, ""));
            let before = self.sandbox.stdout().len();
            // One the one way, one the other: a statement that comes right after another finds Postgres awake, and its
            // rows where a processor has just had them, which no request does.
            for _ in 0..TURN {
                if !question.bare.is_empty() {
                    let begun = Instant::now();
                    let rows = sqlx::query(AssertSqlSafe(question.bare.as_str()))
                        .fetch_all(&mut *connection)
                        .await
                        .unwrap();
                    answers.bare.push(begun.elapsed().as_secs_f64());
                    assert_eq!(rows.len(), question.rows, "{}", question.bare);
                }
                let (took, body) = ask(&self.sandbox, path, query, question.who).await;
                answers.trip.push(took);
                let items = body["data"]
                    .as_array()
                    .map_or(usize::from(body["data"].is_object()), Vec::len);
                assert_eq!(items, question.rows.min(100), "{path} {query}");
            }
            let said = self.sandbox.stdout();
            let lines = said
                .get(before..)
                .unwrap_or_default()
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let took: Vec<f64> = lines
                .filter_map(|line| line["ms"].as_f64())
                .map(|ms| ms / 1e3)
                .collect();
            assert_eq!(took.len(), TURN, "{said}");
            answers.handler.extend(took);
        }
    }
}

async fn connection(ground: &Ground, statements: &str) -> PgConnection {
    let options: PgConnectOptions = ground.database.url_as("arcadia_api_login").parse().unwrap();
    // As the product's own connections are.
    let options = options.options([("random_page_cost", "1.1"), ("jit", "off")]);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(&mut connection)
        .await
        .unwrap();
    connection
}

async fn sandbox(ground: &Ground) -> Sandbox {
    let url = ground.database.url_as("arcadia_api_login");
    let environment = [("DATABASE_URL", url.as_str()), ("GUARDIAN_SECRET_KEY", KEY)];
    ground::sandbox(LONGEST, "api", &environment).await
}

/// One request as API Gateway sends it: seconds, and the body.
async fn ask(api: &Sandbox, path: &str, query: &str, who: &str) -> (f64, Value) {
    let token = match who {
        "" => tokens::operator(KEY, tokens::now()),
        tenant => tokens::tenant(KEY, tenant, tokens::now()),
    };
    let event = json!({
        "version": "2.0", "rawPath": path, "rawQueryString": query,
        "headers": {"authorization": format!("Bearer {token}"), "accept": "application/json"},
        "requestContext": {"http": {"method": "GET"}, "stage": "$default"},
    });
    let begun = Instant::now();
    let answer = api.invoke(&event).await.ok().unwrap();
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(answer["statusCode"], 200, "{path}: {answer}");
    (
        took,
        serde_json::from_str(answer["body"].as_str().unwrap()).unwrap(),
    )
}
