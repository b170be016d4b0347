//! A piece of a plan, on its way into the database: as many changes as one statement carries, a column each.
//!
//! Made while the one before is written. Nothing is decided here: which change is what has been, and the order of changes
//! within a transaction means nothing, because each is about another thing.

use std::slice;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::columns::{Events, Rows, document, written};
use crate::inventory::Error;
use crate::inventory::plan::{Beginning, Change};

/// Changes that one statement carries at most.
const PIECE: usize = 500;
/// Bytes after which it carries no more. Below 128 kB with what comes last: longer messages are dearer to read, and
/// shorter ones are more round trips (measured: decision 26).
const WEIGHT: usize = 112 << 10;
/// Bytes that a change adds beside its document: ids, a name, tags, a few words.
const BESIDE: usize = 200;

/// Changes on their way into the database, as columns.
#[derive(Default)]
pub(super) struct Piece<'a> {
    pub(super) discovered: Rows<'a>,
    pub(super) updated: Rows<'a>,
    pub(super) deleted: Vec<Uuid>,
    pub(super) quiet: Quiet,
    pub(super) events: Events<'a>,
    /// How many.
    pub(super) changes: usize,
    /// Bytes of the longest message that they take.
    weight: usize,
}

/// Changes that write no event.
#[derive(Default)]
pub(super) struct Quiet {
    pub(super) reread: (Vec<Uuid>, Vec<i64>),
    pub(super) cleared: Vec<Uuid>,
    pub(super) struck: (Vec<Uuid>, Vec<i16>),
    pub(super) contradicted: Vec<Uuid>,
    pub(super) doubted: Vec<Uuid>,
}

impl<'a> Piece<'a> {
    /// The next changes, as many as one statement carries; none are left when it has none.
    pub(super) fn of(changes: &mut slice::Iter<'a, Change<'a>>, now: DateTime<Utc>) -> Result<Self, Error> {
        let mut piece = Self::default();
        while piece.changes < PIECE
            && piece.weight < WEIGHT
            && let Some(change) = changes.next()
        {
            piece.changes += 1;
            let quiet = &mut piece.quiet;
            match change {
                Change::Discovered(new) => {
                    let attrs = written(new.sighting.attrs.document())?;
                    let said = document(&Beginning::of(new, &attrs.0, now))?;
                    piece.weight += BESIDE + said.0.get().len();
                    piece.discovered.add(new, said);
                }
                Change::Updated(written) | Change::Tagged(written) | Change::Restored(written) => {
                    let event_type = match change {
                        Change::Tagged(_) => "tagged",
                        Change::Restored(_) => "restored",
                        _ => "updated",
                    };
                    let owner = written.content.attribution.tenant_id.as_deref();
                    let (said, attrs) = (document(&written.changes)?, document(&written.content.attrs)?);
                    piece.weight += BESIDE + said.0.get().len().max(attrs.0.get().len());
                    piece.events.push(
                        (written.id, written.version),
                        event_type,
                        said,
                        (owner, written.left_tenant_id.as_deref()),
                    );
                    piece.updated.push(written, attrs);
                }
                Change::Deleted(tombstone) => {
                    piece.deleted.push(tombstone.id);
                    piece.events.push(
                        (tombstone.id, tombstone.version),
                        "deleted",
                        document(&tombstone.changes)?,
                        (tombstone.tenant_id.as_deref(), None),
                    );
                }
                Change::Reread {
                    id,
                    content_hash,
                    struck,
                } => {
                    quiet.reread.0.push(*id);
                    quiet.reread.1.push(*content_hash);
                    if *struck {
                        quiet.cleared.push(*id);
                    }
                }
                Change::Cleared { id } => quiet.cleared.push(*id),
                Change::Struck { id, strikes } => {
                    quiet.struck.0.push(*id);
                    quiet.struck.1.push(*strikes);
                }
                Change::Contradicted { id } => quiet.contradicted.push(*id),
                Change::Held { id, asked: true } => quiet.doubted.push(*id),
                Change::Held { .. } => {}
            }
        }
        Ok(piece)
    }
}
