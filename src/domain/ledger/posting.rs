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
}

impl PostingCode {
    pub const ALL: [Self; 11] = [
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
