//! Writing what was seen so far, while the listing goes on: true whatever becomes of the rest of it.
//!
//! One transaction under the mirror lock, into which batch goes after batch; whoever begins one says when it has held the
//! lock for long enough. Nothing of it is there before its end. It strikes nothing.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, Transaction};

use super::{Actor, Error, Outcome, enter, leave, sort, upsert};
use crate::database::Pool;
use crate::kinds::{Kind, Sighting};

/// One under way; taken back unless it is ended.
pub struct Recording<'a> {
    door: Transaction<'static, Postgres>,
    actor: Actor<'a>,
    kind: &'static Kind,
    now: DateTime<Utc>,
}

impl<'a> Recording<'a> {
    /// Takes the mirror's lock.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn begin(
        pool: &Pool,
        actor: Actor<'a>,
        kind: &'static Kind,
        begun_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let door = enter(pool, actor, kind, begun_at).await?;
        Ok(Self {
            door,
            actor,
            kind,
            now,
        })
    }

    /// Writes these, a batch at most.
    ///
    /// # Errors
    /// See [`Error`]; then nothing of this recording will be written.
    pub async fn add(&mut self, mut sightings: Vec<Sighting>, outcome: &mut Outcome) -> Result<(), Error> {
        sort(&mut sightings);
        upsert(
            &mut self.door,
            self.actor,
            self.kind,
            &sightings,
            self.now,
            outcome,
        )
        .await
    }

    /// Makes what was written last.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn end(self) -> Result<(), Error> {
        leave(self.door, self.actor).await
    }
}
