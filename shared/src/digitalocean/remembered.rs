//! What a listing held the last time, so that what comes again byte for byte need not be read again.
//!
//! A sandbox keeps this between its runs, and it is worth nothing beyond one. What an item says follows from its text
//! alone, so that an equal text says the same again; texts are told apart by their length and by 128 bits whose seed no
//! two processes share, because names and tags are chosen by strangers. Nothing is concluded from it: an item counts as
//! read only while the mirror still holds what it said ([`Remembered::only`]); everything else is read as if it had never
//! been seen.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Mutex, OnceLock, PoisonError};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::collection::Collection;
use super::listing::PER_PAGE;

/// How far from its place an item is looked for: as far as a page has moved if all of another page is gone.
const REACH: usize = PER_PAGE as usize;

/// What one text is told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    hash: [u64; 2],
    length: u32,
}

impl Seal {
    pub(super) fn of(text: &[u8]) -> Self {
        static SEED: OnceLock<u64> = OnceLock::new();
        let seed = *SEED.get_or_init(|| RandomState::new().hash_one(()));
        let hash = xxh3_128_with_seed(text, seed);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of it")]
        let hash = [hash as u64, (hash >> 64) as u64];
        // Longer than any answer may be: never the length of a text.
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        Self { hash, length }
    }
}

/// The items of a listing in their order, each by its text's seal, its id, and the hash of what it says.
#[derive(Debug, Default)]
pub struct Remembered {
    items: Vec<One>,
    /// Their ids, one behind the other.
    ids: String,
}

#[derive(Clone, Copy, Debug)]
struct One {
    seal: Seal,
    /// Whether it says what the mirror holds.
    holds: bool,
    /// Where its id ends.
    end: u32,
    content: i64,
}

impl Remembered {
    pub(super) fn push(&mut self, seal: Seal, id: &str, content: i64) {
        self.ids.push_str(id);
        self.items.push(One {
            seal,
            holds: true,
            end: u32::try_from(self.ids.len()).unwrap_or(u32::MAX),
            content,
        });
    }

    /// Puts another one's items behind these.
    pub(super) fn append(&mut self, other: &Self) {
        for at in 0..other.items.len() {
            self.copy(other, at);
        }
    }

    /// The same item again, as another one remembers it.
    pub(super) fn copy(&mut self, other: &Self, at: usize) {
        if let Some(one) = other.items.get(at) {
            self.push(one.seal, other.id(at), one.content);
        }
    }

    pub(super) fn id(&self, at: usize) -> &str {
        let end = |at: usize| self.items.get(at).map_or(0, |one| one.end as usize);
        let begin = at.checked_sub(1).map_or(0, end);
        self.ids.get(begin..end(at)).unwrap_or_default()
    }

    /// Only those that the mirror holds, going by their ids and the hashes of what they said, count as read from now on.
    pub fn only(&mut self, is_held: impl Fn(&str, i64) -> bool) {
        for at in 0..self.items.len() {
            let id = self.id(at);
            let held = self.items.get(at).is_some_and(|one| is_held(id, one.content));
            if let Some(one) = self.items.get_mut(at) {
                one.holds = held;
            }
        }
    }

    /// What to expect from the item on that was at this place.
    pub(super) fn from(&self, place: usize) -> Expected<'_> {
        Expected {
            before: self,
            next: place,
        }
    }
}

/// What comes next, if a listing is what it was.
#[derive(Debug)]
pub(super) struct Expected<'r> {
    before: &'r Remembered,
    next: usize,
}

impl Expected<'_> {
    /// The place of the item that this text begins with, and its length, if it is the one that is expected.
    pub(super) fn same(&mut self, text: &str) -> Option<(usize, usize)> {
        let at = self.next;
        let one = self.before.items.get(at).filter(|one| one.holds)?;
        let length = one.seal.length as usize;
        let text = text.as_bytes().get(..length)?;
        if Seal::of(text) != one.seal {
            return None;
        }
        self.next += 1;
        Some((at, length))
    }

    /// Another one has come: it was somewhere near, or has changed, or is new.
    pub(super) fn other(&mut self, text: &str) -> Seal {
        let seal = Seal::of(text.as_bytes());
        let begin = self.next.saturating_sub(REACH);
        let near = self.before.items.iter().skip(begin).take(2 * REACH);
        let found = near.map(|one| one.seal).position(|known| known == seal);
        self.next = found.map_or(self.next, |found| begin + found) + 1;
        seal
    }
}

/// Which listing of which kind.
type Place = (&'static str, String, &'static [(&'static str, &'static str)]);

/// What all listings of a sandbox held the last time.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<Place, Remembered>>);

impl Memory {
    fn place(kind: &'static str, collection: &Collection) -> Place {
        (kind, collection.path.clone().into_owned(), collection.query)
    }

    /// What there is of a kind's listing; who takes it and brings nothing back has forgotten it.
    pub fn take(&self, kind: &'static str, collection: &Collection) -> Remembered {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&Self::place(kind, collection)).unwrap_or_default()
    }

    /// Keeps what a kind's listing has held, all of it.
    pub fn keep(&self, kind: &'static str, collection: &Collection, remembered: Remembered) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(Self::place(kind, collection), remembered);
    }
}

#[cfg(test)]
mod tests;
