//! Owns: the one form in which money moves. A posting is (debit, credit, amount): it cannot be unbalanced.

use super::AccountId;

/// Why money moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PostingCode {
    TopUp = 1,
    PaymentFee = 2,
    RepayDebt = 3,
    Hold = 10,
    Usage = 20,
    Fee = 21,
    Cost = 22,
    Release = 23,
    FailoverLoss = 24,
    UndeliveredLoss = 25,
    CrashLoss = 26,
    BuilderFee = 27,
    EstimateLoss = 28,
    Refund = 40,
    TrueUp = 41,
    CashOut = 42,
    Chargeback = 45,
    Grant = 50,
    GrantExpired = 51,
    Payout = 70,
    Invoice = 71,
    Variance = 72,
    Adjust = 80,
}

impl PostingCode {
    pub const ALL: [Self; 23] = [
        Self::TopUp,
        Self::PaymentFee,
        Self::RepayDebt,
        Self::Hold,
        Self::Usage,
        Self::Fee,
        Self::Cost,
        Self::Release,
        Self::FailoverLoss,
        Self::UndeliveredLoss,
        Self::CrashLoss,
        Self::BuilderFee,
        Self::EstimateLoss,
        Self::Refund,
        Self::TrueUp,
        Self::CashOut,
        Self::Chargeback,
        Self::Grant,
        Self::GrantExpired,
        Self::Payout,
        Self::Invoice,
        Self::Variance,
        Self::Adjust,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::TopUp => "top_up",
            Self::PaymentFee => "payment_fee",
            Self::RepayDebt => "repay_debt",
            Self::Hold => "hold",
            Self::Usage => "usage",
            Self::Fee => "fee",
            Self::Cost => "cost",
            Self::Release => "release",
            Self::FailoverLoss => "failover_loss",
            Self::UndeliveredLoss => "undelivered_loss",
            Self::CrashLoss => "crash_loss",
            Self::BuilderFee => "builder_fee",
            Self::EstimateLoss => "estimate_loss",
            Self::Refund => "refund",
            Self::TrueUp => "true_up",
            Self::CashOut => "cash_out",
            Self::Chargeback => "chargeback",
            Self::Grant => "grant",
            Self::GrantExpired => "grant_expired",
            Self::Payout => "payout",
            Self::Invoice => "invoice",
            Self::Variance => "variance",
            Self::Adjust => "adjust",
        }
    }

    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|code| *code as i64 == number)
    }
}

/// `amount_nano` (> 0) is added to the debits of one account and to the credits of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    pub debit: AccountId,
    pub credit: AccountId,
    pub amount_nano: i64,
    pub code: PostingCode,
}
