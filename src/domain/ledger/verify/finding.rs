//! Owns: what a verification brings to light: findings with their evidence, and the report that holds them.
//! Refuses to know: where findings are kept, who is told, what is done about them.

use super::check::Check;
use crate::base::{OrderId, Timestamp};
use crate::domain::ledger::chain::{Hash, hex, sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What a finding is about. Printed, it is half of what makes two findings the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    Ledger,
    /// By path.
    Account(Box<str>),
    /// By name.
    Wallet(Arc<str>),
    Order(OrderId),
    /// By sequence number.
    Entry(i64),
    Block(i64),
    /// By what is wrong with it.
    Anchor(Box<str>),
    /// By hash, in hexadecimal.
    Price(Box<str>),
    /// A budget's number and the start of the window.
    Window(i64, i64),
    Endpoint(Arc<str>),
    /// An idempotency key's scope.
    Request(Box<str>),
    /// What is not listed because there is so much of it.
    Rest,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ledger => f.write_str("ledger"),
            Self::Account(path) => write!(f, "account {path}"),
            Self::Wallet(name) => write!(f, "wallet {name}"),
            Self::Order(id) => write!(f, "order {id}"),
            Self::Entry(seq) => write!(f, "entry {seq}"),
            Self::Block(n) => write!(f, "block {n}"),
            Self::Anchor(wrong) => f.write_str(wrong),
            Self::Price(hash) => write!(f, "price {hash}"),
            Self::Window(budget, start) => write!(f, "budget {budget} from {start}"),
            Self::Endpoint(id) => write!(f, "endpoint {id}"),
            Self::Request(scope) => write!(f, "request {scope}"),
            Self::Rest => f.write_str("the rest"),
        }
    }
}

/// A compensating entry that would answer a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compensation {
    pub debit: String,
    pub credit: String,
    pub amount_nano: i64,
    pub reason: String,
}

/// What can be done about a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Remedy {
    /// The journal is whole: the projection is made again from it.
    Rebuild,
    /// The journal itself was changed: only a copy from before has what is lost.
    Restore,
    Compensate(Vec<Compensation>),
    /// A person has to look.
    #[default]
    Look,
}

/// One thing that does not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub check: Check,
    pub subject: Subject,
    pub detail: String,
    pub expected: Option<String>,
    pub actual: Option<String>,
    /// How far money is off, where that is a number.
    pub drift_nano: Option<i64>,
    /// The one wallet that the break is confined to.
    pub wallet: Option<Arc<str>>,
    pub remedy: Remedy,
}

impl Finding {
    pub fn new(check: Check, subject: Subject, detail: String) -> Self {
        Self { check, subject, detail, expected: None, actual: None, drift_nano: None, wallet: None, remedy: Remedy::Look }
    }

    #[must_use]
    pub fn between(mut self, expected: impl fmt::Display, actual: impl fmt::Display) -> Self {
        (self.expected, self.actual) = (Some(expected.to_string()), Some(actual.to_string()));
        self
    }

    /// Two amounts that should be the same.
    #[must_use]
    pub fn off(mut self, expected_nano: i64, actual_nano: i64) -> Self {
        self.drift_nano = Some(actual_nano.saturating_sub(expected_nano));
        self.between(expected_nano, actual_nano)
    }

    #[must_use]
    pub fn with(mut self, remedy: Remedy) -> Self {
        self.remedy = remedy;
        self
    }

    #[must_use]
    pub fn within(mut self, wallet: Option<Arc<str>>) -> Self {
        self.wallet = wallet;
        self
    }

    /// One finding a cause: the same check about the same thing is the same finding.
    pub fn id(&self) -> String {
        let cause = format!("{} {}", self.check.id(), self.subject);
        format!("fnd_{}", &hex(&sha256(cause.as_bytes()))[..24])
    }
}

/// The wallet that an account belongs to. Names hold no colon.
pub(super) fn wallet_of(path: &str) -> Option<Arc<str>> {
    path.strip_prefix("wallet:")?.split(':').next().map(Arc::from)
}

/// The outcome. `ok()` means that the books are whole; `notices` are about how they are run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub findings: Vec<Finding>,
    pub notices: Vec<Finding>,
    pub events: i64,
    pub postings: i64,
    pub orders: i64,
    /// Time of the last entry.
    pub last_ts: Option<Timestamp>,
    /// Number and hash of the last block.
    pub head: Option<(i64, Hash)>,
    /// Stored anchors, and those in the file outside where it could be read.
    pub anchors: (usize, Option<usize>),
    /// Orders settled, and those of them that wait for the provider's own count.
    pub settled: i64,
    pub provisional: i64,
    /// Reading ended at a row that cannot be read: what was not found may be there all the same.
    cut_short: bool,
    /// How many there are of each check, those that are not listed included.
    counts: BTreeMap<Check, u32>,
}

impl Report {
    /// More findings of one check say nothing new, but that there are more: they are one further finding, about the rest. It is
    /// confined to no wallet, so where the check freezes, nothing goes on because its own finding did not fit.
    pub const MAX: u32 = 1000;

    pub fn ok(&self) -> bool {
        self.findings.is_empty()
    }

    pub fn all(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().chain(&self.notices)
    }

    pub fn add(&mut self, finding: Finding) {
        let check = finding.check;
        let count = self.counts.entry(check).or_default();
        *count = count.saturating_add(1);
        let listed = match *count {
            count if count <= Self::MAX => finding,
            count if count == Self::MAX + 1 => {
                let detail = format!("there are more than {} findings of this check; the others are not listed", Self::MAX);
                Finding::new(check, Subject::Rest, detail).with(finding.remedy)
            }
            _ => return,
        };
        if check.is_proof() { self.findings.push(listed) } else { self.notices.push(listed) }
    }

    /// Does it list every finding of the check? What is not in it is gone only then.
    pub fn lists_all(&self, check: Check) -> bool {
        !self.cut_short && self.counts.get(&check).is_none_or(|count| *count <= Self::MAX)
    }

    /// All that a run can say that ended at a row which cannot be read.
    pub fn cut_short(finding: Finding) -> Self {
        let mut report = Self { cut_short: true, ..Self::default() };
        report.add(finding);
        report
    }

    /// The same figures, without findings.
    pub(super) fn figures(&self) -> Self {
        let Self { events, postings, orders, last_ts, head, anchors, settled, provisional, .. } = *self;
        Self { events, postings, orders, last_ts, head, anchors, settled, provisional, ..Self::default() }
    }
}
