//! Walking one collection to its end, and the proof that it was the end.
//!
//! [`CompleteListing`] can be made here only, and only from a walk in which every page answered 200, was well
//! formed and full, every id came once, and their number is `meta.total`. Anything else is [`Incomplete`]:
//! what was seen may be believed, what was not seen says nothing. Pages are addressed by number; the `next`
//! link is checked and never followed. The caller decides how many requests may be sent and when, because
//! the budget of a token is shared with others; as soon as one is answered the next may be sent, so that the wire is
//! never idle while there is something to ask.

mod check;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use super::item::{Item, Members};
use super::page::{Page, Piece};
use super::remembered::Remembered;
use super::{Answer, Error, Session};

pub use super::collection::{Collection, Entry, Paging};

/// DigitalOcean's largest page.
pub const PER_PAGE: u32 = 200;
/// Pages of one listing at most: 200,000 items. A collection that seems larger is a loop.
const MAX_PAGES: u32 = 1_000;
/// Requests of one walk under way at a time.
const IN_FLIGHT: usize = 8;
/// How often one page is asked for before the walk gives it up.
const ATTEMPTS: usize = 5;
/// While fewer requests than this are left to a token, walks stop by themselves: others need some too.
const LEAVE: u32 = 100;

/// The things of a kind in collections that are proven whole. Nothing outside this file can make one.
#[derive(Clone, Debug)]
pub struct CompleteListing {
    ids: HashSet<String>,
    begun_at: DateTime<Utc>,
}

impl CompleteListing {
    /// A listing for tests of what is decided from one.
    #[cfg(test)]
    pub(crate) fn of(ids: &[&str], begun_at: DateTime<Utc>) -> Self {
        Self {
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
            begun_at,
        }
    }

    /// The ids of everything in the collection.
    pub fn ids(&self) -> &HashSet<String> {
        &self.ids
    }

    /// When the walk began: what was created later may be missing.
    pub fn begun_at(&self) -> DateTime<Utc> {
        self.begun_at
    }

    /// Part of what is whole is whole: those that `of` makes something of, by what it makes.
    pub fn select(&self, of: impl Fn(&str) -> Option<String>) -> CompleteListing {
        CompleteListing {
            ids: self.ids.iter().filter_map(|id| of(id)).collect(),
            begun_at: self.begun_at,
        }
    }

    /// One kind may be spread over several collections (CPU and GPU droplets): whole only if each one is.
    pub fn join(mut self, other: CompleteListing) -> CompleteListing {
        self.ids.extend(other.ids);
        self.begun_at = self.begun_at.min(other.begun_at);
        self
    }
}

/// A walk that proves nothing about what it did not see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// Pages contradict each other or themselves.
    #[error("{0}")]
    Doubt(String),
    /// A page could not be had.
    #[error("page {page}: {error}")]
    Page {
        /// Its number.
        page: u32,
        /// What it failed with at last.
        error: Error,
    },
    /// The walk was stopped before its end by whoever drove it.
    #[error("stopped: {0}")]
    Stopped(String),
}

/// One item could not be read: its place is known, its content is not to be repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an item cannot be read: {0}")]
pub struct Unreadable(pub Cow<'static, str>);

/// Reads one item of a collection and answers what it is.
pub type Read<'r> = dyn FnMut(&Item<'_>) -> Result<Entry, Unreadable> + Send + 'r;

/// The answer to one request of a walk, not looked at yet.
pub struct Answered {
    page: u32,
    answer: Result<Answer, Error>,
}

/// A walk under way.
pub struct Walk<'a> {
    session: &'a Session,
    collection: Collection,
    members: &'a Members,
    begun_at: DateTime<Utc>,
    queue: VecDeque<u32>,
    /// Pages there are, once the first one has said so.
    pages: Option<u32>,
    /// Pages asked for, or about to be, whatever the first one says.
    expected: u32,
    /// Answers that came before the first page's, which says how to look at them.
    early: Vec<Answered>,
    under_way: FuturesUnordered<BoxFuture<'a, (u32, Result<Answer, Error>)>>,
    failures: BTreeMap<u32, usize>,
    total: Option<u64>,
    /// Items of a full page: some services give fewer than they are asked for.
    per_page: u64,
    ids: HashSet<String>,
    /// What the listing held the last time, and what each page holds now, where that is to be remembered.
    remembered: Option<(Remembered, BTreeMap<u32, Remembered>)>,
    /// Items that were not read, because they are what they were.
    unread: usize,
    /// Items that are not of the kind, and parents of those that are.
    others: HashSet<String>,
    items: u64,
    pause: Option<Duration>,
    verdict: Option<Incomplete>,
    spent_until: Option<DateTime<Utc>>,
    last_request_id: Option<String>,
    requests: u32,
}

impl<'a> Walk<'a> {
    /// A walk that has not asked for anything yet, and will look at these members of items.
    pub fn new(
        session: &'a Session,
        collection: Collection,
        members: &'a Members,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            session,
            collection,
            members,
            begun_at: now,
            queue: VecDeque::from([1]),
            pages: None,
            expected: 1,
            early: Vec::new(),
            under_way: FuturesUnordered::new(),
            failures: BTreeMap::new(),
            total: None,
            per_page: u64::from(PER_PAGE),
            ids: HashSet::new(),
            remembered: None,
            unread: 0,
            others: HashSet::new(),
            items: 0,
            pause: None,
            verdict: None,
            spent_until: None,
            last_request_id: None,
            requests: 0,
        }
    }

    /// The same, where so many pages are expected: as many of them as may be under way at a time are asked for before the
    /// first one says how many there are.
    pub fn expecting(mut self, pages: usize) -> Self {
        if matches!(self.collection.paging, Paging::Numbered | Paging::Counted { .. }) {
            self.expected = u32::try_from(pages.clamp(1, IN_FLIGHT)).unwrap_or(1);
            self.queue = (1..=self.expected).collect();
        }
        self
    }

    /// From the next page that is taken on, items are not read that are what they were and still count, and what comes is
    /// remembered.
    pub fn remember(&mut self, before: Remembered) {
        self.remembered = Some((before, BTreeMap::new()));
    }

    /// Items that were not read, because they are what they were.
    pub fn unread(&self) -> usize {
        self.unread
    }

    /// What the pages held, in their order, and nothing of what was before; `None` where nothing is to be remembered.
    pub fn take_remembered(&mut self) -> Option<Remembered> {
        let (_, pages) = self.remembered.take()?;
        let mut all = Remembered::default();
        for page in pages.into_values() {
            all.append(&page);
        }
        Some(all)
    }

    /// Requests the walk could use from now on; what is under way has been paid for.
    pub fn wants(&self) -> u32 {
        u32::try_from(self.queue.len()).unwrap_or(u32::MAX)
    }

    /// Whether there is nothing left to ask and no answer to wait for.
    pub fn is_over(&self) -> bool {
        self.queue.is_empty() && self.is_quiet()
    }

    /// Whether no answer is waited for.
    pub fn is_quiet(&self) -> bool {
        self.under_way.is_empty() && (self.early.is_empty() || self.pages.is_none())
    }

    /// Requests that may be sent at this moment.
    pub fn room(&self) -> u32 {
        let free = IN_FLIGHT.saturating_sub(self.under_way.len());
        let asked_to_wait = self.pause.is_some();
        if asked_to_wait {
            0
        } else {
            u32::try_from(free).unwrap_or(0).min(self.wants())
        }
    }

    /// How long to wait before the next request, if an answer asked for it, once all that were under way have been
    /// answered. Asking takes it.
    pub fn pause(&mut self) -> Option<Duration> {
        if self.is_quiet() { self.pause.take() } else { None }
    }

    /// Requests sent so far.
    pub fn requests(&self) -> u32 {
        self.requests
    }

    /// When the token has requests again, if this walk has seen it nearly used up.
    pub fn spent_until(&self) -> Option<DateTime<Utc>> {
        self.spent_until
    }

    /// DigitalOcean's name for the last answered request.
    pub fn last_request_id(&self) -> Option<&str> {
        self.last_request_id.as_deref()
    }

    /// Asks for nothing more: what is under way may still be read, and the walk proves nothing any more.
    pub fn stop(&mut self, why: impl Into<String>) {
        self.queue.clear();
        self.verdict.get_or_insert(Incomplete::Stopped(why.into()));
    }

    /// Stops, and waits for no answer either.
    pub fn abandon(&mut self, why: impl Into<String>) {
        self.stop(why);
        self.under_way.clear();
        self.early.clear();
    }

    /// Sends up to `granted` requests, and answers how many: as many as there is room for.
    pub fn send(&mut self, granted: u32, now: DateTime<Utc>) -> u32 {
        let sent = granted.min(self.room());
        for page in self.queue.drain(..usize::try_from(sent).unwrap_or(0)) {
            let (session, collection) = (self.session, self.collection.clone());
            let asked = async move { (page, ask(session, &collection, page, now).await) };
            self.under_way.push(asked.boxed());
        }
        // They count even if the caller's time runs out before their answers come.
        self.requests += sent;
        sent
    }

    /// Waits for one answer, if one is under way: for the first page's first, unless one asks to wait. Waiting may be given
    /// up and begun again: no answer is lost.
    pub async fn answered(&mut self) -> Option<Answered> {
        let is_first_known = self.pages.is_some() || self.expected == 1;
        if is_first_known && let Some(answered) = self.early.pop() {
            return Some(answered);
        }
        loop {
            let (page, answer) = self.under_way.next().await?;
            let is_to_wait = matches!(answer, Err(Error::Burst(_)));
            let answered = Answered { page, answer };
            if page == 1 || is_first_known || is_to_wait {
                return Some(answered);
            }
            self.early.push(answered);
        }
    }

    /// Hands the items of an answer to `read`, which answers what each is.
    pub fn take(&mut self, Answered { page, answer }: Answered, read: &mut Read<'_>) {
        if self.pages.is_some_and(|pages| page > pages) {
            return self.pass_over(page, answer);
        }
        match answer {
            Ok(answer) => {
                self.last_request_id = answer.request_id.clone().or(self.last_request_id.take());
                let left = (answer.remaining, answer.reset);
                match self.accept(page, &answer, read) {
                    Ok(()) => self.spare(left),
                    Err(error) => self.failed(page, error),
                }
                self.session.reuse(answer.body);
            }
            Err(error) => self.failed(page, error),
        }
    }

    /// There is no such page after all: whatever is said instead of it is no fault, unless it holds something. Who asks to
    /// wait is heard.
    fn pass_over(&mut self, page: u32, answer: Result<Answer, Error>) {
        match answer {
            Ok(answer) => {
                let cut = Page::cut(&answer.body, self.collection.root, self.members, None);
                let items = cut.map_or(0, |page| page.items.len());
                if items > 0 {
                    self.doubt(format!("page {page}, behind the last one, holds {items} items"));
                }
                self.spare((answer.remaining, answer.reset));
            }
            Err(Error::Burst(wait)) => self.pause = Some(self.pause.unwrap_or_default().max(wait)),
            Err(Error::Exhausted(until)) => self.spent_until = Some(until),
            Err(_) => {}
        }
    }

    /// What the walk has proven.
    ///
    /// # Errors
    /// [`Incomplete`], with the first reason found.
    pub fn finish(mut self) -> Result<CompleteListing, Incomplete> {
        if let Some(verdict) = self.verdict {
            return Err(verdict);
        }
        if !self.is_over() {
            return Err(Incomplete::Stopped("pages were left".into()));
        }
        if let Some(total) = self.total
            && total != self.items
        {
            let doubt = format!("meta.total says {total} and {} different ids came", self.items);
            return Err(Incomplete::Doubt(doubt));
        }
        Ok(CompleteListing {
            ids: std::mem::take(&mut self.ids),
            begun_at: self.begun_at,
        })
    }

    fn doubt(&mut self, reason: impl Into<String>) {
        self.verdict.get_or_insert(Incomplete::Doubt(reason.into()));
    }

    /// Others share the token: stop while it still has something left.
    fn spare(&mut self, (remaining, reset): (Option<u32>, Option<DateTime<Utc>>)) {
        if remaining.is_none_or(|remaining| remaining >= LEAVE) {
            return;
        }
        let until = reset.unwrap_or(self.begun_at);
        self.spent_until = Some(until);
        if let Some(page) = self.queue.front().copied() {
            self.queue.clear();
            self.verdict.get_or_insert(Incomplete::Page {
                page,
                error: Error::Exhausted(until),
            });
        }
    }

    fn failed(&mut self, page: u32, error: Error) {
        let failures = self.failures.entry(page).or_default();
        *failures += 1;
        let (again, wait) = match &error {
            Error::Burst(wait) => (*failures < ATTEMPTS, *wait),
            error if error.is_transient() => (*failures < ATTEMPTS, backoff(*failures)),
            _ => (false, Duration::ZERO),
        };
        // A walk that has been stopped is not set going again by a page that was still under way.
        let stopped = match &self.verdict {
            Some(Incomplete::Stopped(_)) => true,
            Some(Incomplete::Page { error, .. }) => !error.is_transient(),
            _ => false,
        };
        if again && !stopped {
            self.queue.push_back(page);
            self.pause = Some(self.pause.unwrap_or_default().max(wait));
            return;
        }
        // A broken page leaves the others worth reading; a refusal of the token or the path does not.
        if !error.is_transient() {
            self.queue.clear();
        }
        if let Error::Exhausted(until) = error {
            self.spent_until = Some(until);
        }
        self.verdict.get_or_insert(Incomplete::Page { page, error });
    }

    fn accept(&mut self, page: u32, answer: &Answer, read: &mut Read<'_>) -> Result<(), Error> {
        let first = u64::from(page.saturating_sub(1)) * self.per_page;
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        let expected = self.remembered.as_ref().map(|(before, _)| before.from(first));
        let Page { items, beside } = Page::cut(&answer.body, self.collection.root, self.members, expected)?;
        self.check(page, items.len(), &beside)?;
        let mut held = Remembered::default();
        for piece in items {
            let entry = match (piece, &self.remembered) {
                (Piece::Same(place), Some((before, _))) => {
                    self.unread += 1;
                    held.copy(before, place);
                    Entry::One(before.id(place).to_owned())
                }
                (Piece::Same(_), None) => continue,
                (Piece::New(item, seal), _) => match read(&item) {
                    Ok(entry) => {
                        if let (Entry::Read(id, content), Some(seal)) = (&entry, seal) {
                            held.push(seal, id, *content);
                        }
                        entry
                    }
                    Err(unreadable) => {
                        self.doubt(format!("page {page}: {unreadable}"));
                        continue;
                    }
                },
            };
            if !self.note(entry) {
                self.doubt(format!("page {page} repeats an item"));
            }
        }
        if let Some((_, pages)) = &mut self.remembered {
            pages.insert(page, held);
        }
        Ok(())
    }

    /// Notes what came; false if some of it had come before.
    fn note(&mut self, entry: Entry) -> bool {
        let (new, within) = match entry {
            Entry::One(id) | Entry::Read(id, _) => (self.ids.insert(id), Vec::new()),
            Entry::Beside(id) => (self.others.insert(id), Vec::new()),
            Entry::Many(id, ids) => (self.others.insert(id), ids),
        };
        self.items += u64::from(new);
        within.into_iter().fold(new, |new, id| self.ids.insert(id) && new)
    }
}

async fn ask(
    session: &Session,
    collection: &Collection,
    page: u32,
    now: DateTime<Utc>,
) -> Result<Answer, Error> {
    let (page, per_page) = (page.to_string(), PER_PAGE.to_string());
    let mut query: Vec<(&str, &str)> = collection.query.to_vec();
    if collection.paging != Paging::Whole {
        query.push(("page", &page));
        query.push(("per_page", &per_page));
    }
    session.get(&collection.path, &query, now).await
}

fn backoff(failures: usize) -> Duration {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_secs(8))
        .with_max_times(ATTEMPTS)
        .with_jitter()
        .build()
        .nth(failures.saturating_sub(1))
        .unwrap_or(Duration::from_secs(8))
}
