//! An emulation of the design that this service replaces, so that there is something to be faster than.
//!
//! Not the original program: its design, in Rust, without an ORM, at its best. One page after the other; a transaction
//! for each resource, in which it is looked up, inserted or updated, and its event inserted; `last_seen_at` moved on
//! every row at every sync. Its one trap is left out: plans are made anew for each statement, because one made while
//! the table is empty scans it for every row. Into the same tables with the same indexes. Once with Postgres on the same
//! machine, where a round trip costs next to nothing, and once at the end of a wire.

use std::time::{Duration, Instant};

use harness::usage::Usage;
use serde_json::{Map, Value, json};
use simulator::Limits;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::Wanted;
use crate::ground::{Cost, Ground, TOKEN, account};
use crate::limits::{self, Rows};
use crate::report::{Report, Samples, Table, count, number, ratio, seconds, text};
use crate::wire::Wire;

/// Sizes that it is put through: larger ones take minutes.
const LARGEST: u64 = 10_000;
/// How long a statement and its answer are on their way where Postgres is another machine: an assumption, about what the
/// network of one data centre takes.
const WIRE: Duration = Duration::from_micros(500);

/// The emulation beside `sync-droplets`, at no latency upstream.
pub async fn run(wanted: &Wanted, report: &mut Report) {
    for wire in [None, Some(WIRE)] {
        let place = match wire {
            None => "Postgres on the same machine".to_owned(),
            Some(wire) => format!("Postgres {} µs away", wire.as_micros()),
        };
        let mut table = Table::new(
            format!("A row at a time (emulation of the original's design) beside sync-droplets, {place}"),
            &[
                "droplets",
                "what",
                "emulation",
                "sync-droplets",
                "emulation / ours",
                "limit",
                "emulation / limit",
                "Postgres CPU, emulation",
                "WAL B a row, emulation",
            ],
        );
        let sizes = wanted.droplets.iter().copied();
        for droplets in sizes.filter(|droplets| *droplets <= LARGEST) {
            beside(wanted, droplets, wire, &mut table, report).await;
        }
        table.note(
            "The limit is the download, and for a first sync COPY after it, with Postgres on the same machine: nothing that \
             reads every page and writes every row can be that many times quicker than the emulation.",
        );
        report.table(table);
    }
}

/// Both of them with so many droplets.
async fn beside(
    wanted: &Wanted,
    droplets: u64,
    wire: Option<Duration>,
    table: &mut Table,
    report: &mut Report,
) {
    let account = account(droplets, Limits::off());
    let mut phases: [(&str, [Vec<Cost>; 3]); 2] = [
        ("first sync", Default::default()),
        ("nothing changed", Default::default()),
    ];
    for _ in 0..wanted.reps {
        let (theirs, ours, copied) = (Ground::new().await, Ground::new().await, Ground::new().await);
        ours.lift_budgets().await;
        let (their_url, our_url) = (theirs.database.url(), ours.database.url_as("arcadia_sync_login"));
        let wire = wire.map(|length| Wire::to(&their_url, length));
        let by_wire = |url: &str| wire.as_ref().map_or(url.to_owned(), |wire| wire.instead(url));
        let address = by_wire(&our_url);
        let worker = ours
            .worker("sync-droplets", &account, &[("DATABASE_URL", &address)])
            .await;
        for (at, (_, [emulated, own, limit])) in phases.iter_mut().enumerate() {
            emulated.push(sync(&theirs, &by_wire(&their_url), &account.url(), droplets).await);
            let (answer, cost) = ours.invoke(&worker, &json!({})).await;
            let new = if at == 0 { droplets } else { 0 };
            assert_eq!(answer["kinds"][0]["discovered"].as_u64(), Some(new), "{answer}");
            own.push(cost);
            for ground in [&theirs, &ours] {
                assert_eq!(
                    ground.count("SELECT count(*) FROM cloud_resource_events").await as u64,
                    droplets
                );
                ground.execute("VACUUM (ANALYZE) cloud_resources").await;
            }
            let mut least = limits::download(&account.url(), droplets).await;
            if at == 0 {
                least.wall += Rows::of(&ours).await.copy(&copied).await.wall;
            }
            limit.push(least);
        }
        drop(worker);
        for ground in [theirs, ours, copied] {
            ground.remove().await;
        }
    }
    for (what, [emulated, own, limit]) in &phases {
        let median =
            |costs: &[Cost], of: fn(&Cost) -> f64| costs.iter().map(of).collect::<Samples>().median();
        let wall: fn(&Cost) -> f64 = |cost| cost.wall.as_secs_f64();
        let (their_wall, our_wall, least_wall) =
            (median(emulated, wall), median(own, wall), median(limit, wall));
        table.row([
            count(droplets),
            text(*what),
            seconds(their_wall),
            seconds(our_wall),
            ratio(their_wall / our_wall),
            seconds(least_wall),
            ratio(their_wall / least_wall),
            seconds(median(emulated, |cost| cost.postgres.as_secs_f64())),
            number(median(emulated, |cost| cost.wal as f64) / droplets as f64, 0, ""),
        ]);
        if droplets == LARGEST {
            let least = if *what == "first sync" { 20.0 } else { 60.0 };
            let place = if wire.is_some() { ", by the wire" } else { "" };
            report.at_least(
                format!("{droplets} droplets: {what}, emulation / ours{place}"),
                their_wall / our_wall,
                least,
                "×",
            );
        }
    }
}

/// One sync of theirs.
async fn sync(ground: &Ground, database: &str, base: &str, droplets: u64) -> Cost {
    let mut connection = PgConnection::connect(database).await.unwrap();
    sqlx::raw_sql("SET plan_cache_mode = force_custom_plan")
        .execute(&mut connection)
        .await
        .unwrap();
    let (wal, postgres, cpu) = (
        ground.position().await,
        ground.backends().await,
        Usage::of_this_thread(),
    );
    let begun = Instant::now();
    let client = limits::client();
    let (mut page, mut seen) = (1, 0);
    loop {
        let address = format!("{base}/v2/droplets?page={page}&per_page=200");
        let body = client
            .get(address)
            .bearer_auth(TOKEN)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        for droplet in body["droplets"].as_array().unwrap() {
            upsert(&mut connection, droplet).await;
            seen += 1;
        }
        if body["links"]["pages"]["next"].is_null() {
            break;
        }
        page += 1;
    }
    let wall = begun.elapsed();
    assert_eq!(seen, droplets);
    let cost = Cost {
        wall,
        cpu: Usage::of_this_thread() - cpu,
        postgres: ground.backends().await - postgres,
        wal: ground.position().await - wal,
        peak: 0,
    };
    connection.close().await.unwrap();
    cost
}

/// One resource: looked up, written, and its event with it.
async fn upsert(connection: &mut PgConnection, droplet: &Value) {
    const KEPT: [&str; 8] = [
        "size_slug",
        "memory",
        "vcpus",
        "disk",
        "features",
        "volume_ids",
        "networks",
        "vpc_uuid",
    ];
    let id = droplet["id"].to_string();
    let tags: Vec<&str> = droplet["tags"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let attrs: Map<String, Value> = KEPT
        .iter()
        .map(|key| ((*key).to_owned(), droplet[*key].clone()))
        .collect();
    let attrs = Value::Object(attrs);
    let mut transaction = connection.begin().await.unwrap();
    let stored: Option<(Uuid, i32, String, String, Vec<String>, Value)> = sqlx::query_as(
        "SELECT id, version, name, status, tags, attrs FROM cloud_resources
         WHERE provider = 'digitalocean' AND kind = 'droplet' AND provider_id = $1",
    )
    .bind(&id)
    .fetch_optional(&mut *transaction)
    .await
    .unwrap();
    let (name, status) = (
        droplet["name"].as_str().unwrap(),
        droplet["status"].as_str().unwrap(),
    );
    let event = match stored {
        None => {
            let ours = Uuid::now_v7();
            sqlx::query(
                "INSERT INTO cloud_resources (id, provider, kind, provider_id, name, region, status, tags, attrs, attribution,
                        content_hash, version, first_seen_at, last_seen_at, inserted_at, updated_at)
                 VALUES ($1, 'digitalocean', 'droplet', $2, $3, $4, $5, $6, $7, 'none', 0, 1, now(), now(), now(), now())",
            )
            .bind(ours)
            .bind(&id)
            .bind(name)
            .bind(droplet["region"]["slug"].as_str())
            .bind(status)
            .bind(&tags)
            .bind(&attrs)
            .execute(&mut *transaction)
            .await
            .unwrap();
            let changes = json!({"name": name, "status": status, "tags": tags, "attrs": attrs});
            Some((ours, 1, "discovered", changes))
        }
        Some((ours, version, ..)) => {
            let (_, _, was, ..) = stored.as_ref().unwrap();
            let same = matches!(&stored, Some((_, _, n, s, t, a)) if n == name && s == status && *t == tags && *a == attrs);
            sqlx::query(
                "UPDATE cloud_resources SET name = $2, status = $3, tags = $4, attrs = $5, version = $6, last_seen_at = now()
                 WHERE id = $1",
            )
            .bind(ours)
            .bind(name)
            .bind(status)
            .bind(&tags)
            .bind(&attrs)
            .bind(if same { version } else { version + 1 })
            .execute(&mut *transaction)
            .await
            .unwrap();
            (!same).then(|| {
                (
                    ours,
                    version + 1,
                    "updated",
                    json!({"name": {"from": was, "to": name}}),
                )
            })
        }
    };
    if let Some((ours, version, event_type, changes)) = event {
        sqlx::query(
            "INSERT INTO cloud_resource_events (resource_id, version, event_type, changes, actor, occurred_at)
             VALUES ($1, $2, $3, $4, 'emulation', now())",
        )
        .bind(ours)
        .bind(version)
        .bind(event_type)
        .bind(changes)
        .execute(&mut *transaction)
        .await
        .unwrap();
    }
    transaction.commit().await.unwrap();
}
