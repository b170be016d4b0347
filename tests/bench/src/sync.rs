//! Our `sync-droplets`: a first sync, one in which nothing changed, one in which 1% did, beside the limits.
//!
//! The first sync, and the first in which nothing changed, are the first events of a fresh process: what came before is
//! the cold start, which is another section's. What follows are later events of that process, as on a schedule, which
//! keeps a sandbox warm. Within a repetition everything runs once, the limits too, so that both saw the same machine.
//! Limits of the token are lifted here; [`within_the_token`] is what it looks like with them.

use std::time::Duration;

use harness::sandbox::Sandbox;
use serde_json::{Value, json};
use simulator::{Limits, Simulator, Wanted as Which};

use crate::Wanted;
use crate::ground::{Cost, Ground, account};
use crate::limits::{self, Rows};
use crate::report::{Report, Samples, Table, count, megabytes, nothing, number, ratio, seconds, text};

/// A worker that may strike at every run.
const AT_ONCE: (&str, &str) = ("STRIKE_SPACING_SECONDS", "0");

/// One phase, over all repetitions.
#[derive(Default)]
struct Phase {
    name: &'static str,
    costs: Vec<Cost>,
}

impl Phase {
    fn median(&self, of: impl Fn(&Cost) -> f64) -> f64 {
        self.costs.iter().map(of).collect::<Samples>().median()
    }

    fn wall(&self) -> f64 {
        self.median(|cost| cost.wall.as_secs_f64())
    }
}

/// The phases of one size at one latency.
struct Phases(Vec<Phase>);

impl Phases {
    fn note(&mut self, name: &'static str, cost: Cost) {
        match self.0.iter_mut().find(|phase| phase.name == name) {
            Some(phase) => phase.costs.push(cost),
            None => self.0.push(Phase {
                name,
                costs: vec![cost],
            }),
        }
    }

    fn of(&self, name: &str) -> &Phase {
        self.0.iter().find(|phase| phase.name == name).unwrap()
    }
}

const DOWNLOAD: &str = "limit: download and read";
const COPY: &str = "limit: COPY";
const FIRST: &str = "first sync";
const FRESH: &str = "nothing changed, a sandbox's first event";
const UNCHANGED: &str = "nothing changed";
const CHANGED: &str = "1% changed";

/// Every size at every latency.
pub async fn run(wanted: &Wanted, report: &mut Report) {
    let mut table = Table::new(
        "sync-droplets beside its limits",
        &[
            "droplets",
            "latency",
            "what",
            "wall",
            "× limit",
            "client CPU",
            "Postgres CPU",
            "µs a row",
            "WAL",
            "WAL B a row",
            "peak memory",
        ],
    );
    for droplets in &wanted.droplets {
        let account = account(*droplets, Limits::off());
        // Once uncounted: what it leaves is what COPY gets, and the machine is warm.
        let rows = rehearse(&account, *droplets).await;
        for latency in &wanted.latencies {
            account.set_latency(*latency);
            let mut phases = Phases(Vec::new());
            for rep in 0..wanted.reps {
                repeat(&account, *droplets, &rows, rep, &mut phases).await;
            }
            show(&mut table, *droplets, *latency, &phases);
            if *droplets == 10_000 || *droplets == 100_000 {
                compare(report, *droplets, *latency, &phases);
            }
        }
    }
    table.note(
        "The limit of a first sync is the download at that latency and COPY after it; of the others, the download. \
         Gates held in every repetition: rows, `discovered`, no event and no row rewritten where nothing changed, \
         exactly the renamed 1% `updated`, `ceil(N/200)` requests for the listing; deletions and restorations once a size.",
    );
    report.table(table);
}

async fn rehearse(account: &Simulator, droplets: u64) -> Rows {
    let ground = Ground::new().await;
    ground.lift_budgets().await;
    let worker = ground.worker("sync-droplets", account, &[AT_ONCE]).await;
    gate(
        &ground.invoke(&worker, &json!({})).await.0,
        "discovered",
        droplets,
    );
    let rows = Rows::of(&ground).await;
    // Deleted after the third complete listing without them, restored when they are listed again.
    let gone: Vec<Value> = account.items("droplets").into_iter().take(2).collect();
    for item in &gone {
        account.destroy("droplets", &item["id"]).unwrap();
    }
    for (run, (counter, expected)) in [("struck", 2), ("struck", 2), ("deleted", 2)]
        .into_iter()
        .enumerate()
    {
        let (answer, _) = ground.invoke(&worker, &json!({})).await;
        assert_eq!(answer["kinds"][0][counter], expected, "run {run}: {answer}");
    }
    for item in &gone {
        // By id and name alone: whatever else an answer shows decides which listing it is in.
        let again = json!({"id": item["id"], "name": item["name"]});
        account.create("droplets", again).unwrap();
    }
    gate(&ground.invoke(&worker, &json!({})).await.0, "restored", 2);
    drop(worker);
    ground.remove().await;
    rows
}

/// What a report must say of one counter; the others must be 0.
fn gate(answer: &Value, counter: &str, expected: u64) {
    assert_eq!(answer["outcome"], "complete", "{answer}");
    for name in [
        "discovered",
        "updated",
        "tagged",
        "restored",
        "struck",
        "cleared",
        "deleted",
        "missing",
    ] {
        let expected = if name == counter { expected } else { 0 };
        assert_eq!(answer["kinds"][0][name], expected, "{name}: {answer}");
    }
}

/// Once everything.
async fn repeat(account: &Simulator, droplets: u64, rows: &Rows, rep: usize, phases: &mut Phases) {
    let (ground, copied) = (Ground::new().await, Ground::new().await);
    ground.lift_budgets().await;
    let resources = "SELECT count(*) FROM cloud_resources";
    let events = "SELECT count(*) FROM cloud_resource_events";

    phases.note(DOWNLOAD, limits::download(&account.url(), droplets).await);
    phases.note(COPY, rows.copy(&copied).await);
    assert_eq!(copied.count(resources).await as u64, droplets);

    let worker = ground.worker("sync-droplets", account, &[AT_ONCE]).await;
    let cost = one(&ground, &worker, account, droplets, "discovered", droplets).await;
    phases.note(FIRST, cost);
    drop(worker);
    assert_eq!(ground.count(resources).await as u64, droplets);
    assert_eq!(ground.count(events).await as u64, droplets);
    // As after the minutes that a sync is away from the next one: autovacuum has been here.
    ground.execute("VACUUM (ANALYZE) cloud_resources").await;
    ground.execute("VACUUM (ANALYZE) cloud_resource_events").await;

    let before = ground.places().await;
    let worker = ground.worker("sync-droplets", account, &[AT_ONCE]).await;
    for phase in [FRESH, UNCHANGED] {
        let cost = one(&ground, &worker, account, droplets, "none", 0).await;
        phases.note(phase, cost);
    }
    assert_eq!(ground.count(events).await as u64, droplets);
    assert_eq!(ground.places().await, before, "a row was rewritten");

    let changed = rename(account, droplets / 100, rep);
    let cost = one(&ground, &worker, account, droplets, "updated", changed).await;
    phases.note(CHANGED, cost);
    assert_eq!(ground.count(events).await as u64, droplets + changed);
    drop(worker);
    ground.remove().await;
    copied.remove().await;
}

/// Gives so many droplets, spread over the account, a name that they did not have.
fn rename(account: &Simulator, number: u64, rep: usize) -> u64 {
    let number = usize::try_from(number).unwrap();
    let mut world = account.world();
    let all = world.collection("droplets").unwrap().all();
    let ids: Vec<String> = all.map(|item| item.id.clone()).collect();
    let step = ids.len() / number;
    let chosen: Vec<&String> = ids.iter().skip(rep % step).step_by(step).take(number).collect();
    for id in &chosen {
        let name = world.item("droplets", id).unwrap()["name"]
            .as_str()
            .unwrap()
            .to_owned();
        world
            .change("droplets", id, json!({"name": format!("{name}x")}))
            .unwrap();
    }
    chosen.len() as u64
}

/// One run, and that it did and asked exactly what it should.
async fn one(
    ground: &Ground,
    worker: &Sandbox,
    account: &Simulator,
    droplets: u64,
    counter: &str,
    expected: u64,
) -> Cost {
    account.clear_requests();
    let (answer, cost) = ground.invoke(worker, &json!({})).await;
    gate(&answer, counter, expected);
    assert_eq!(answer["kinds"][0]["seen"].as_u64(), Some(droplets));
    let listing = Which {
        path: Some("/v2/droplets".into()),
        ..Which::default()
    };
    let asked = account.requests_where(&listing);
    let (gpu, cpu): (Vec<_>, Vec<_>) = asked.iter().partition(|entry| entry.query.contains("type=gpus"));
    assert_eq!(
        (cpu.len() as u64, gpu.len()),
        (droplets.div_ceil(200), 1),
        "requests"
    );
    assert!(
        account.peak_in_flight() <= 8,
        "{} in flight",
        account.peak_in_flight()
    );
    cost
}

fn show(table: &mut Table, droplets: u64, latency: u64, phases: &Phases) {
    let (download, copy) = (phases.of(DOWNLOAD).wall(), phases.of(COPY).wall());
    for phase in &phases.0 {
        let limit = match phase.name {
            FIRST => Some(download + copy),
            FRESH | UNCHANGED | CHANGED => Some(download),
            _ => None,
        };
        let (postgres, wal) = (
            phase.median(|c| c.postgres.as_secs_f64()),
            phase.median(|c| c.wal as f64),
        );
        let (peak, rows) = (phase.median(|c| c.peak as f64), droplets as f64);
        let touches_postgres = phase.name != DOWNLOAD;
        table.row([
            count(droplets),
            text(format!("{latency} ms")),
            text(phase.name),
            seconds(phase.wall()),
            limit.map_or_else(nothing, |limit| ratio(phase.wall() / limit)),
            seconds(phase.median(|c| c.cpu.as_secs_f64())),
            if touches_postgres {
                seconds(postgres)
            } else {
                nothing()
            },
            if touches_postgres {
                number(postgres / rows * 1e6, 1, "")
            } else {
                nothing()
            },
            if touches_postgres {
                megabytes(wal)
            } else {
                nothing()
            },
            if touches_postgres {
                number(wal / rows, 2, "")
            } else {
                nothing()
            },
            if peak > 0.0 { megabytes(peak) } else { nothing() },
        ]);
    }
}

/// Figures beside what the service has promised.
fn compare(report: &mut Report, droplets: u64, latency: u64, phases: &Phases) {
    let (download, copy) = (phases.of(DOWNLOAD).wall(), phases.of(COPY).wall());
    let (first, unchanged, changed) = (phases.of(FIRST), phases.of(UNCHANGED), phases.of(CHANGED));
    let at = format!("{droplets} droplets, {latency} ms");
    let megabytes = |phase: &Phase| phase.median(|cost| cost.peak as f64) / 1e6;
    if droplets == 10_000 {
        let most = if latency == 0 { 1.3 } else { 1.2 };
        report.at_most(
            format!("{at}: first sync / (download + COPY)"),
            first.wall() / (download + copy),
            most,
            "×",
        );
        report.at_most(
            format!("{at}: nothing changed / download"),
            unchanged.wall() / download,
            1.3,
            "×",
        );
        report.at_most(
            format!("{at}: 1% changed / nothing changed"),
            changed.wall() / unchanged.wall(),
            2.0,
            "×",
        );
        report.at_most(
            format!("{at}: first sync, peak memory"),
            megabytes(first),
            48.0,
            "MB",
        );
    } else {
        report.at_most(
            format!("{at}: first sync, peak memory"),
            megabytes(first),
            256.0,
            "MB",
        );
        report.at_most(
            format!("{at}: nothing changed, peak memory"),
            megabytes(unchanged),
            128.0,
            "MB",
        );
    }
    let rows = droplets as f64;
    report.at_most(
        format!("{at}: nothing changed, WAL a row"),
        unchanged.median(|c| c.wal as f64) / rows,
        0.2,
        "B",
    );
    let postgres = unchanged.median(|c| c.postgres.as_secs_f64());
    report.at_most(
        format!("{at}: nothing changed, Postgres CPU a row"),
        postgres / rows * 1e6,
        5.0,
        "µs",
    );
}

/// The largest account within what a token allows: 250 requests a minute and 5,000 an hour, which the simulator keeps,
/// in invocations that have as long as `template.yaml` gives them.
pub async fn within_the_token(wanted: &Wanted, report: &mut Report) {
    const TIMEOUT: Duration = Duration::from_secs(300);
    let droplets = wanted.droplets.iter().copied().max().unwrap_or(100_000);
    let mut table = Table::new(
        "sync-droplets within the token's limits",
        &[
            "droplets",
            "tick",
            "wall",
            "requests",
            "discovered",
            "refused (429)",
            "outcome",
        ],
    );
    let account = account(droplets, Limits::default());
    let ground = Ground::new().await;
    let worker = ground
        .worker_within(TIMEOUT, "sync-droplets", &account, &[])
        .await;
    for tick in ["first", "second"] {
        account.clear_requests();
        let (answer, cost) = ground.invoke(&worker, &json!({})).await;
        assert_eq!(answer["outcome"], "complete", "{answer}");
        assert_eq!(account.blocked(), 0, "a limit was passed");
        let requests = account.requests().len() as u64;
        table.row([
            count(droplets),
            text(tick),
            seconds(cost.wall.as_secs_f64()),
            count(requests),
            count(answer["kinds"][0]["discovered"].as_u64().unwrap_or(0)),
            count(account.blocked()),
            text("complete"),
        ]);
        // Each window of a minute takes 250; the first may be free.
        let least = (requests.div_ceil(250) - 1) * 60;
        report.at_most(
            format!("{droplets} droplets within the token's limits, {tick} tick: wall / least possible"),
            cost.wall.as_secs_f64() / least.max(1) as f64,
            1.25,
            "×",
        );
    }
    let rows = ground.count("SELECT count(*) FROM cloud_resources").await as u64;
    assert_eq!(rows, droplets);
    table.note(
        "Both limits enforced by the simulator, once, and by our own count before anything is sent. A minute takes 250 \
         requests, so N of them cannot take less than ceil(N/250) - 1 minutes.",
    );
    report.table(table);
}
