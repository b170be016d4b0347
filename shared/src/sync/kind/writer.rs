//! Writing while reading: what a walk has found is on its way into the mirror before the walk is over.
//!
//! A thread and a connection of its own, for listings with much that is new: what Postgres answers is heard at once,
//! though a page is just being read, and Postgres is what a first sync waits for. Begun with the first portion and dropped
//! with the run: what is not committed by then never was. It decides nothing but when to commit; see [`Recording`].

use std::convert::Infallible;
use std::panic::resume_unwind;
use std::{io, thread};

use chrono::{DateTime, Utc};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::database::{self, Pool};
use crate::inventory::{Actor, BATCH, Error, Outcome, Recording};
use crate::kinds::{Kind, Sighting};
use crate::runs::Lease;

/// What is sent to a writer at a time.
pub(super) const PORTION: usize = BATCH / 10;
/// Portions that may wait for a writer, which has a batch of at most ten in its hands; then the walk waits.
const WAITING: usize = 20;
/// Things after which a transaction ends, whoever waits to be written: others wait for the mirror's lock.
const MOST: usize = 2 * BATCH;

/// For whom, of what, and when a writer writes.
pub(super) struct Errand {
    pub(super) worker: &'static str,
    pub(super) lease: Lease,
    pub(super) kind: &'static Kind,
    pub(super) now: DateTime<Utc>,
}

/// One that is at work.
pub(super) struct Writer {
    pool: Pool,
    portions: mpsc::Sender<Vec<Sighting>>,
    written: JoinHandle<Result<Outcome, Error>>,
    alive: oneshot::Sender<Infallible>,
}

/// One that has written all it was sent: its connection, which has every statement prepared.
pub(super) struct Idle {
    pub(super) pool: Pool,
    _alive: oneshot::Sender<Infallible>,
}

impl Writer {
    /// Begins to write into the database of this pool.
    ///
    /// # Errors
    /// When there is no thread to be had, or no runtime for it.
    pub(super) async fn begin(usual: &Pool, errand: Errand) -> io::Result<Self> {
        let (alive, ended) = oneshot::channel::<Infallible>();
        let (ready, handle) = oneshot::channel();
        // A runtime is made and ends where it runs: nowhere else may it be waited for.
        let life = move || match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                drop(ready.send(Ok(runtime.handle().clone())));
                // Until nobody holds the other end any more; what was under way ends with it.
                drop(runtime.block_on(ended));
            }
            Err(error) => drop(ready.send(Err(error))),
        };
        thread::Builder::new().name("writer".into()).spawn(life)?;
        let handle = handle.await.map_err(io::Error::other)??;
        let (portions, sent) = mpsc::channel(WAITING);
        let pool = {
            let _there = handle.enter();
            database::pool((*usual.connect_options()).clone())
        };
        let written = handle.spawn(write(pool.clone(), errand, sent));
        Ok(Self {
            pool,
            portions,
            written,
            alive,
        })
    }

    /// Sends it something to write, and waits where too much waits already.
    ///
    /// # Errors
    /// What it has stopped with: nothing that is sent from then on is written.
    pub(super) async fn send(self, portion: Vec<Sighting>) -> Result<Self, Error> {
        if self.portions.send(portion).await.is_ok() {
            return Ok(self);
        }
        self.end().await?;
        // Not reached: who stops before the last portion says why.
        Err(sqlx::Error::WorkerCrashed.into())
    }

    /// Waits until everything is written; what became of it.
    ///
    /// # Errors
    /// See [`Error`]; batches that were committed before stay.
    pub(super) async fn end(self) -> Result<(Outcome, Idle), Error> {
        drop(self.portions);
        let written = match self.written.await {
            Ok(written) => written,
            // As if it had happened here.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => return Err(sqlx::Error::WorkerCrashed.into()),
            },
        };
        let idle = Idle {
            pool: self.pool,
            _alive: self.alive,
        };
        Ok((written?, idle))
    }
}

/// One batch after the other, of whatever has come meanwhile: they are as large as writing is slower than reading. What
/// waits when a batch is written goes into the same transaction, and the lock is given back as soon as nothing does.
async fn write(
    pool: Pool,
    errand: Errand,
    mut sent: mpsc::Receiver<Vec<Sighting>>,
) -> Result<Outcome, Error> {
    let actor = Actor {
        name: errand.worker,
        lease: Some(&errand.lease),
    };
    let mut outcome = Outcome::default();
    while let Some(first) = sent.recv().await {
        let mut recording = Recording::begin(&pool, actor, errand.kind, errand.now, errand.now).await?;
        let (mut next, mut recorded) = (Some(first), 0);
        while let Some(mut batch) = next {
            while batch.len() < BATCH.min(MOST - recorded)
                && let Ok(portion) = sent.try_recv()
            {
                batch.extend(portion);
            }
            recorded += batch.len();
            recording.add(batch, &mut outcome).await?;
            next = (recorded < MOST).then(|| sent.try_recv().ok()).flatten();
        }
        recording.end().await?;
    }
    Ok(outcome)
}
