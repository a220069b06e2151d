//! Owns: what a bill says, whatever its format: rows with counts and exact amounts, and what could not be read.

use crate::base::{Date, Exact};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What is counted, under the names that our ledger stores. The parts are disjoint: no token is in two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counter {
    InputUncached,
    CacheRead,
    CacheWrite,
    CacheWrite1h,
    AudioIn,
    ImageIn,
    OutputText,
    OutputReasoning,
    AudioOut,
    ImageOut,
    Seconds,
    Characters,
    Searches,
}

impl Counter {
    pub const ALL: [Self; 13] = [
        Self::InputUncached,
        Self::CacheRead,
        Self::CacheWrite,
        Self::CacheWrite1h,
        Self::AudioIn,
        Self::ImageIn,
        Self::OutputText,
        Self::OutputReasoning,
        Self::AudioOut,
        Self::ImageOut,
        Self::Seconds,
        Self::Characters,
        Self::Searches,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::InputUncached => "input_uncached",
            Self::CacheRead => "cache_read",
            Self::CacheWrite => "cache_write",
            Self::CacheWrite1h => "cache_write_1h",
            Self::AudioIn => "audio_in",
            Self::ImageIn => "image_in",
            Self::OutputText => "output_text",
            Self::OutputReasoning => "output_reasoning",
            Self::AudioOut => "audio_out",
            Self::ImageOut => "image_out",
            Self::Seconds => "seconds",
            Self::Characters => "characters",
            Self::Searches => "searches",
        }
    }

    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|counter| counter.name() == name)
    }

    /// Where a file does not count this apart, it counts it here.
    pub const fn within(self) -> Option<Self> {
        match self {
            Self::CacheWrite1h => Some(Self::CacheWrite),
            Self::CacheRead | Self::CacheWrite | Self::AudioIn | Self::ImageIn => Some(Self::InputUncached),
            Self::OutputReasoning | Self::AudioOut => Some(Self::OutputText),
            Self::InputUncached | Self::OutputText | Self::ImageOut | Self::Seconds | Self::Characters | Self::Searches => None,
        }
    }

    pub const fn is_token(self) -> bool {
        match self {
            Self::InputUncached | Self::CacheRead | Self::CacheWrite | Self::CacheWrite1h | Self::AudioIn | Self::ImageIn => true,
            Self::OutputText | Self::OutputReasoning | Self::AudioOut => true,
            Self::ImageOut | Self::Seconds | Self::Characters | Self::Searches => false,
        }
    }
}

/// Counts that are known; one that is absent is unknown, not zero.
pub type Counts = BTreeMap<Counter, u64>;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    /// Calls of a model: counts, cost, or both.
    Usage,
    /// Something sold beside the tokens: searches, sessions, storage.
    Tool,
    /// A discount, credit or refund on such a line: an amount without counts.
    Credit,
    /// Belongs to the invoice, not to the cost of calls.
    Tax,
}

impl LineKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Tool => "tool",
            Self::Credit => "credit",
            Self::Tax => "tax",
        }
    }
}

/// One row of a bill, about one UTC day.
#[derive(Clone, Debug, PartialEq)]
pub struct BillRow {
    /// Its number in the file (results of a JSON file, lines of a table), from 1.
    pub row: u64,
    pub day: Date,
    pub kind: LineKind,
    /// As the provider names it.
    pub model: Option<String>,
    /// The provider's id or name of the API key.
    pub key: Option<String>,
    /// What the key belongs to: project, workspace, account.
    pub group: Option<String>,
    pub service_tier: Option<String>,
    pub requests: Option<u64>,
    pub usage: Counts,
    /// In nano-USD, exactly as written. `None`: the file does not say.
    pub cost: Option<Exact>,
    /// What the cost is for, where the provider bills each kind of token on a line of its own.
    pub charged: Option<Counter>,
    /// The line's own text, where it has one.
    pub line: Option<String>,
}

impl BillRow {
    pub(super) fn new(row: u64, day: Date) -> Self {
        Self {
            row,
            day,
            kind: LineKind::Usage,
            model: None,
            key: None,
            group: None,
            service_tier: None,
            requests: None,
            usage: Counts::new(),
            cost: None,
            charged: None,
            line: None,
        }
    }
}

/// A row that is not taken into account, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    pub row: u64,
    pub why: String,
}

/// All that one or several files say.
#[derive(Clone, Debug, Default)]
pub struct Bill {
    pub rows: Vec<BillRow>,
    pub unread: Vec<Unread>,
    /// Rows about something else, such as other services of a cloud.
    pub foreign: u64,
    /// Rows that came before, where exports overlap: taken once.
    pub repeated: u64,
    /// First and last day that the files are about, days without any use included.
    pub days: Option<(Date, Date)>,
    /// Pages and generations that came already: exports overlap.
    seen: HashSet<String>,
    /// What lines without an id are about, each with the file that it came in first and what that says.
    lines: HashMap<String, (u64, Vec<Figures>)>,
    /// The file that is being read, from 1.
    file: u64,
    rows_read: u64,
}

/// What a line says of what it is about.
type Figures = (Option<u64>, Counts, Option<Exact>);

impl Bill {
    /// The number of the next row.
    pub(super) fn next_row(&mut self) -> u64 {
        self.rows_read += 1;
        self.rows_read
    }

    pub(super) fn cover(&mut self, day: Date) {
        let (first, last) = self.days.unwrap_or((day, day));
        self.days = Some((first.min(day), last.max(day)));
    }

    pub(super) fn next_file(&mut self) {
        self.file += 1;
    }

    /// A line that has no id, told by what it is `about`: all of it but its figures. Within a file lines may be alike; one that stood
    /// in a file before is the same line again. With other figures nobody knows which of them holds.
    pub(super) fn push_line(&mut self, about: String, row: BillRow) -> Result<(), String> {
        let figures = (row.requests, row.usage.clone(), row.cost);
        let (file, known) = self.lines.entry(about).or_insert_with(|| (self.file, Vec::new()));
        if *file == self.file {
            known.push(figures);
            self.push(row);
        } else if known.contains(&figures) {
            self.repeated += 1;
        } else {
            return Err("a file before has this line with other figures: give only the one that holds".to_owned());
        }
        Ok(())
    }

    pub(super) fn push(&mut self, row: BillRow) {
        self.cover(row.day);
        self.rows.push(row);
    }

    pub(super) fn unread(&mut self, row: u64, why: impl Into<String>) {
        self.unread.push(Unread { row, why: why.into() });
    }

    /// True the first time.
    pub(super) fn first_time(&mut self, what: String) -> bool {
        self.seen.insert(what)
    }
}
