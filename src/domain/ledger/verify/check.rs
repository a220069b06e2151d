//! Owns: the list of checks, numbered as in the ledger law, section 6: what each says, how bad it is when it does not hold.
//! Refuses to know: how a check is made.

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Check {
    R01,
    R02,
    R03,
    R04,
    R05,
    R06,
    R07,
    R08,
    R09,
    R10,
    R12,
    R13,
    R14,
    R15,
    R20,
    R21,
    R22,
    R24,
    R25,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    Medium,
    High,
    Critical,
}

impl Severity {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl Check {
    pub const ALL: [Self; 19] = [
        Self::R01,
        Self::R02,
        Self::R03,
        Self::R04,
        Self::R05,
        Self::R06,
        Self::R07,
        Self::R08,
        Self::R09,
        Self::R10,
        Self::R12,
        Self::R13,
        Self::R14,
        Self::R15,
        Self::R20,
        Self::R21,
        Self::R22,
        Self::R24,
        Self::R25,
    ];

    pub fn id(self) -> String {
        format!("{self:?}")
    }

    pub fn by_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|check| check.id() == id)
    }

    pub const fn title(self) -> &'static str {
        match self {
            Self::R01 => "debits equal credits",
            Self::R02 => "every balance is the sum of its postings",
            Self::R03 => "limited accounts are not negative, every account is known",
            Self::R04 => "what is held is the sum of the open holds",
            Self::R05 => "what entered a hold has left it once its order ended, and what was charged was taken",
            Self::R06 => "no open order is past its deadline",
            Self::R07 => "orders, wallets and journal agree, the sequence has no gap",
            Self::R08 => "charge = pass-through + fee, and the cost follows from usage and price",
            Self::R09 => "amounts are their exact values, rounded once",
            Self::R10 => "usage is the provider's own count; estimates are few and replaced within a day",
            Self::R12 => "every budget window is the sum of its orders",
            Self::R13 => "a charge comes from one attempt, and every attempt has an outcome",
            Self::R14 => "what is served has a price",
            Self::R15 => "what is sold is not sold below its cost",
            Self::R20 => "refunds are within charges, expired grants are empty",
            Self::R21 => "hash chain, Merkle roots and anchors hold",
            Self::R22 => "every idempotency key stands for an order that exists",
            Self::R24 => "the ledger's time never runs backwards",
            Self::R25 => "the books are reconciled all the time",
        }
    }

    pub const fn severity(self) -> Severity {
        match self {
            Self::R01 | Self::R02 | Self::R03 | Self::R04 | Self::R07 | Self::R21 | Self::R25 => Severity::Critical,
            Self::R05 | Self::R06 | Self::R08 | Self::R12 | Self::R14 | Self::R20 => Severity::High,
            Self::R09 | Self::R10 | Self::R13 | Self::R15 | Self::R22 | Self::R24 => Severity::Medium,
        }
    }

    /// An identity that the whole ledger stands on: when it breaks, no new call is taken.
    pub const fn freezes(self) -> bool {
        match self {
            Self::R01 | Self::R02 | Self::R03 | Self::R04 | Self::R07 | Self::R21 => true,
            Self::R05
            | Self::R06
            | Self::R08
            | Self::R09
            | Self::R10
            | Self::R12
            | Self::R13
            | Self::R14
            | Self::R15
            | Self::R20
            | Self::R22
            | Self::R24
            | Self::R25 => false,
        }
    }

    /// Part of the proof that the books are whole. The others say how they are run: sound books may fail them.
    pub const fn is_proof(self) -> bool {
        match self {
            Self::R01
            | Self::R02
            | Self::R03
            | Self::R04
            | Self::R05
            | Self::R06
            | Self::R07
            | Self::R08
            | Self::R09
            | Self::R12
            | Self::R20
            | Self::R21
            | Self::R24 => true,
            Self::R10 | Self::R13 | Self::R14 | Self::R15 | Self::R22 | Self::R25 => false,
        }
    }
}
