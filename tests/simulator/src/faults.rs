//! What can go wrong, by name.
//!
//! A fault is a kind of failure, which requests it is for, and how often. The first one that fits a request
//! fires on it; `effects` says what then happens. Added by tests or over `/_sim/faults`. A fault that only
//! makes sense for a list is kept for lists. It refuses to stack: one fault a request.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A failure and its parameters. Over JSON: `{"kind": "slow", "ms": 300}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// 429 of the minute limit: `retry-after`.
    #[serde(rename = "burst_429")]
    Burst429 {
        #[serde(default = "one")]
        retry_after: u64,
    },
    /// 429 of the hour limit: no `retry-after`, `ratelimit-reset` in this many seconds.
    #[serde(rename = "hourly_429")]
    Hourly429 {
        #[serde(default = "quarter_hour")]
        reset_in: u64,
    },
    #[serde(rename = "status_500")]
    Status500,
    /// A gateway's page, no rate limit headers.
    #[serde(rename = "status_502_html")]
    Status502Html,
    #[serde(rename = "status_503")]
    Status503,
    #[serde(rename = "status_504")]
    Status504,
    #[serde(rename = "unauthorized_401")]
    Unauthorized401,
    #[serde(rename = "not_found_404")]
    NotFound404,
    #[serde(rename = "lost_scope_403")]
    LostScope403,
    /// To another host.
    Redirect {
        #[serde(default = "other_host")]
        host: String,
    },
    /// The right answer, later.
    Slow {
        #[serde(default = "some_ms")]
        ms: u64,
    },
    /// The right answer, in pieces with pauses.
    Trickle {
        #[serde(default = "some_pieces")]
        pieces: u64,
        #[serde(default = "pause_ms")]
        pause_ms: u64,
    },
    /// No answer until the client gives up.
    Hang,
    /// Connection reset before anything is done or said.
    Reset,
    /// The request is carried out, then the connection is reset.
    LostAnswer,
    /// Whole `content-length`, half the body, then the connection is cut.
    TruncatedBody,
    /// Complete HTTP, half the JSON.
    TruncatedJson,
    /// `content-encoding: gzip`, and not all of it.
    TruncatedGzip,
    InvalidUtf8,
    WrongContentType,
    /// Valid JSON of more than this many bytes.
    OversizedBody {
        #[serde(default = "nine_mib")]
        bytes: u64,
        #[serde(default)]
        chunked: bool,
    },
    #[serde(rename = "html_200")]
    Html200,
    #[serde(rename = "empty_body_200")]
    EmptyBody200,
    /// 200 with a JSON object that has an error's members and no list.
    MissingKey,
    NullList,
    NotAnArray,
    ItemWithoutId,
    ItemNotObject,
    MissingMeta,
    TotalAsText,
    LyingTotalHigh {
        #[serde(default = "one")]
        by: u64,
    },
    LyingTotalLow {
        #[serde(default = "one")]
        by: u64,
    },
    /// Another total on every page.
    ChangingTotal,
    /// Page n shows the items of page n-1.
    RepeatedPage,
    /// `next` names the page it stands on.
    RepeatedNext,
    /// No `next` although there is more.
    MissingNext,
    ForeignNext {
        #[serde(default = "other_host")]
        host: String,
    },
    /// After the answer the listing's first item is destroyed, for real: the next page starts one later.
    ShiftingPagesDrop,
    /// After the answer an item is made at the head of the listing, for real: the next page repeats one.
    ShiftingPagesInsert,
    /// Another order for every request, so that pages overlap.
    ShuffledOrder,
    /// The page's last item is its first one again.
    DuplicateItem,
    ShortPage {
        #[serde(default = "one")]
        missing: u64,
    },
    /// 200, some rows gone, total agreeing: what a token sees that lost a scope.
    LostScopeRows {
        #[serde(default = "half")]
        permille: u64,
    },
    /// 200, well formed, nothing in it.
    EmptyList,
    /// Everything is another team's.
    OtherTeam,
}

fn one() -> u64 {
    1
}
fn half() -> u64 {
    500
}
fn quarter_hour() -> u64 {
    900
}
fn some_ms() -> u64 {
    150
}
fn some_pieces() -> u64 {
    8
}
fn pause_ms() -> u64 {
    25
}
fn nine_mib() -> u64 {
    9 * 1024 * 1024
}
fn other_host() -> String {
    "http://other-host.invalid".to_owned()
}

/// Every kind's name, so that a test can try them all.
pub const FAULT_NAMES: &[&str] = &[
    "burst_429",
    "hourly_429",
    "status_500",
    "status_502_html",
    "status_503",
    "status_504",
    "unauthorized_401",
    "not_found_404",
    "lost_scope_403",
    "redirect",
    "slow",
    "trickle",
    "hang",
    "reset",
    "lost_answer",
    "truncated_body",
    "truncated_json",
    "truncated_gzip",
    "invalid_utf8",
    "wrong_content_type",
    "oversized_body",
    "html_200",
    "empty_body_200",
    "missing_key",
    "null_list",
    "not_an_array",
    "item_without_id",
    "item_not_object",
    "missing_meta",
    "total_as_text",
    "lying_total_high",
    "lying_total_low",
    "changing_total",
    "repeated_page",
    "repeated_next",
    "missing_next",
    "foreign_next",
    "shifting_pages_drop",
    "shifting_pages_insert",
    "shuffled_order",
    "duplicate_item",
    "short_page",
    "lost_scope_rows",
    "empty_list",
    "other_team",
];

impl FaultKind {
    /// One of each, with its default parameters.
    pub fn all() -> Vec<Self> {
        FAULT_NAMES.iter().filter_map(|name| Self::named(name)).collect()
    }

    pub fn named(name: &str) -> Option<Self> {
        serde_json::from_value(json!({ "kind": name })).ok()
    }

    pub fn name(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        value
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }

    /// Whether it only means something where a list is answered.
    pub fn needs_list(&self) -> bool {
        matches!(
            self,
            Self::NullList
                | Self::NotAnArray
                | Self::ItemWithoutId
                | Self::ItemNotObject
                | Self::MissingMeta
                | Self::TotalAsText
                | Self::LyingTotalHigh { .. }
                | Self::LyingTotalLow { .. }
                | Self::ChangingTotal
                | Self::RepeatedPage
                | Self::RepeatedNext
                | Self::MissingNext
                | Self::ForeignNext { .. }
                | Self::ShiftingPagesDrop
                | Self::ShiftingPagesInsert
                | Self::ShuffledOrder
                | Self::DuplicateItem
                | Self::ShortPage { .. }
                | Self::LostScopeRows { .. }
                | Self::EmptyList
        )
    }
}

/// Which requests a fault is for. Everything not given fits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Matcher {
    /// Start of the path; with `exact` the whole of it.
    pub path: String,
    pub exact: bool,
    pub method: Option<String>,
    /// A part of the query string, e.g. `type=gpus`.
    pub query: Option<String>,
    pub page: Option<u64>,
    /// Name of a token.
    pub token: Option<String>,
}

/// A fault as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    #[serde(flatten)]
    pub kind: FaultKind,
    #[serde(default)]
    pub on: Matcher,
    /// Fitting requests to let through first.
    #[serde(default)]
    pub skip: u64,
    /// How often it fires; none: for ever.
    #[serde(default)]
    pub times: Option<u64>,
}

impl Fault {
    /// On every request, for ever, until narrowed.
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            on: Matcher::default(),
            skip: 0,
            times: None,
        }
    }

    #[must_use]
    pub fn on(mut self, path: &str) -> Self {
        path.clone_into(&mut self.on.path);
        self
    }

    #[must_use]
    pub fn exactly_on(mut self, path: &str) -> Self {
        self.on.exact = true;
        self.on(path)
    }

    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.on.method = Some(method.to_owned());
        self
    }

    #[must_use]
    pub fn query(mut self, part: &str) -> Self {
        self.on.query = Some(part.to_owned());
        self
    }

    #[must_use]
    pub fn page(mut self, page: u64) -> Self {
        self.on.page = Some(page);
        self
    }

    #[must_use]
    pub fn token(mut self, name: &str) -> Self {
        self.on.token = Some(name.to_owned());
        self
    }

    #[must_use]
    pub fn skip(mut self, requests: u64) -> Self {
        self.skip = requests;
        self
    }

    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }
}

/// A fault in place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Placed {
    pub id: u64,
    #[serde(flatten)]
    pub fault: Fault,
    pub seen: u64,
    pub fired: u64,
}

/// What of a request faults look at.
pub struct Subject<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub page: u64,
    pub token: &'a str,
    pub list: bool,
}

#[derive(Debug, Default)]
pub struct Faults {
    placed: Vec<Placed>,
    last: u64,
}

impl Faults {
    pub fn add(&mut self, fault: Fault) -> u64 {
        self.last += 1;
        self.placed.push(Placed {
            id: self.last,
            fault,
            seen: 0,
            fired: 0,
        });
        self.last
    }

    pub fn all(&self) -> &[Placed] {
        &self.placed
    }

    pub fn clear(&mut self) {
        self.placed.clear();
    }

    pub fn remove(&mut self, id: u64) -> bool {
        let before = self.placed.len();
        self.placed.retain(|placed| placed.id != id);
        self.placed.len() < before
    }

    /// The fault that fires on this request, counted.
    pub fn pick(&mut self, subject: &Subject<'_>) -> Option<FaultKind> {
        for placed in &mut self.placed {
            if placed.fault.times.is_some_and(|times| placed.fired >= times) || !fits(&placed.fault, subject)
            {
                continue;
            }
            placed.seen += 1;
            if placed.seen > placed.fault.skip {
                placed.fired += 1;
                return Some(placed.fault.kind.clone());
            }
        }
        None
    }
}

fn fits(fault: &Fault, subject: &Subject<'_>) -> bool {
    let on = &fault.on;
    let path = if on.exact {
        subject.path == on.path
    } else {
        subject.path.starts_with(&on.path)
    };
    path && (subject.list || !fault.kind.needs_list())
        && on
            .method
            .as_ref()
            .is_none_or(|method| method.eq_ignore_ascii_case(subject.method))
        && on.query.as_ref().is_none_or(|part| subject.query.contains(part))
        && on.page.is_none_or(|page| page == subject.page)
        && on.token.as_ref().is_none_or(|token| token == subject.token)
}
