//! What no mirror can do without: downloading and reading every page, and COPY of the rows and events that come of it.
//!
//! The download is eight requests at a time, as DigitalOcean's client may have, on the HTTP library that the product
//! uses; reading is the fields that the mirror keeps, borrowed where they can be, and a hash over them. The rows are
//! those of a sync before, byte for byte, into the same tables with all their indexes. It compares nothing, decides
//! nothing and proves nothing.

use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt, stream};
use harness::usage::Usage;
use serde::Deserialize;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64;

use crate::ground::{Cost, Ground, TOKEN};

const IN_FLIGHT: usize = 8;
const PER_PAGE: u64 = 200;

/// A page, as far as it is read.
#[derive(Deserialize)]
struct Page<'p> {
    #[serde(borrow)]
    droplets: Vec<Droplet<'p>>,
    meta: Meta,
}

#[derive(Deserialize)]
struct Meta {
    total: u64,
}

/// The fields that the mirror keeps.
#[derive(Deserialize)]
struct Droplet<'p> {
    id: u64,
    name: &'p str,
    status: &'p str,
    #[serde(borrow)]
    tags: Vec<&'p str>,
    region: Slug<'p>,
    image: Image<'p>,
    size_slug: &'p str,
    memory: u64,
    vcpus: u64,
    disk: u64,
    #[serde(borrow)]
    disk_info: Option<&'p RawValue>,
    #[serde(borrow)]
    features: Vec<&'p str>,
    #[serde(borrow)]
    volume_ids: Vec<&'p str>,
    #[serde(borrow)]
    networks: &'p RawValue,
    vpc_uuid: Option<&'p str>,
    created_at: &'p str,
}

#[derive(Deserialize)]
struct Slug<'p> {
    slug: &'p str,
}

#[derive(Deserialize)]
struct Image<'p> {
    id: u64,
    slug: Option<&'p str>,
}

impl Droplet<'_> {
    fn hash(&self, buffer: &mut Vec<u8>) -> u64 {
        buffer.clear();
        for text in [
            self.name,
            self.status,
            self.region.slug,
            self.size_slug,
            self.created_at,
            self.networks.get(),
        ] {
            buffer.extend_from_slice(text.as_bytes());
            buffer.push(0);
        }
        for number in [self.id, self.image.id, self.memory, self.vcpus, self.disk] {
            buffer.extend_from_slice(&number.to_le_bytes());
        }
        let slug = self
            .image
            .slug
            .into_iter()
            .chain(self.vpc_uuid)
            .chain(self.disk_info.map(RawValue::get));
        for text in self
            .tags
            .iter()
            .chain(&self.features)
            .chain(&self.volume_ids)
            .copied()
            .chain(slug)
        {
            buffer.extend_from_slice(text.as_bytes());
            buffer.push(0);
        }
        xxh3_64(buffer)
    }
}

/// The library that the product uses, without anything of the product's.
pub fn client() -> reqwest::Client {
    #[expect(
        clippy::disallowed_methods,
        reason = "a limit needs none of the product's precautions"
    )]
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Downloads and reads every page of the droplets; a wrong number of them ends the run.
pub async fn download(base: &str, droplets: u64) -> Cost {
    let client = client();
    let (begun, before) = (Instant::now(), Usage::of_this_thread());
    let page = |number: u64| {
        let request = client
            .get(format!("{base}/v2/droplets?page={number}&per_page={PER_PAGE}"))
            .bearer_auth(TOKEN);
        async move { request.send().await?.error_for_status()?.bytes().await }
    };
    let (mut seen, mut sum, mut buffer) = (0, 0_u64, Vec::new());
    let mut read = |body: &[u8]| {
        let page: Page<'_> = serde_json::from_slice(body).unwrap();
        seen += page.droplets.len() as u64;
        for droplet in &page.droplets {
            sum = sum.wrapping_add(droplet.hash(&mut buffer));
        }
        page.meta.total
    };
    let total = read(&page(1).await.unwrap());
    let mut pages = stream::iter(2..=total.div_ceil(PER_PAGE))
        .map(page)
        .buffer_unordered(IN_FLIGHT);
    while let Some(body) = pages.try_next().await.unwrap() {
        read(&body);
    }
    std::hint::black_box(sum);
    assert_eq!(seen, droplets, "the download");
    Cost {
        wall: begun.elapsed(),
        cpu: Usage::of_this_thread() - before,
        ..Cost::default()
    }
}

/// The rows and events of a mirror, as COPY takes them.
pub struct Rows {
    resources: Vec<u8>,
    events: Vec<u8>,
    columns: [String; 2],
}

impl Rows {
    /// Of this mirror.
    pub async fn of(ground: &Ground) -> Self {
        let mut copied = Vec::new();
        let mut columns = [String::new(), String::new()];
        for (table, names) in ["cloud_resources", "cloud_resource_events"]
            .iter()
            .zip(&mut columns)
        {
            // Ids of events and folded names are the database's own.
            let query = "SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
                         WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attidentity = ''
                           AND attgenerated = ''";
            *names = sqlx::query_scalar(query)
                .bind(*table)
                .fetch_one(&ground.pool)
                .await
                .unwrap();
            let query = format!("SELECT {names} FROM {table} ORDER BY id");
            copied.push(ground.copied_out(&query).await);
        }
        let events = copied.pop().unwrap();
        Self {
            resources: copied.pop().unwrap(),
            events,
            columns,
        }
    }

    /// Copies them into an empty mirror, in one transaction.
    pub async fn copy(&self, ground: &Ground) -> Cost {
        let mut copying = ground.copying().await;
        sqlx::raw_sql("BEGIN")
            .execute(&mut *copying.connection)
            .await
            .unwrap();
        let [resources, events] = &self.columns;
        for (table, columns, text) in [
            ("cloud_resources", resources, &self.resources),
            ("cloud_resource_events", events, &self.events),
        ] {
            copying.copy_in(table, columns, text).await;
        }
        sqlx::raw_sql("COMMIT")
            .execute(&mut *copying.connection)
            .await
            .unwrap();
        copying.cost().await
    }
}
