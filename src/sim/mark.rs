//! Owns: what a run can come upon, by name: branches of the product that only some histories reach. A mark that no run of the tests
//! sets is a branch that they do not test.
//! Refuses to know: how each is recognised (check).

use super::named::named;

named! {
    /// Something that happened, seen at the end from outside.
    enum Mark, "mark" {
        /// A hold smaller than asked for, with the bound that it affords.
        Clamped = "clamped";
        /// A hold that grew with its stream.
        Extended = "extended";
        /// A stream that ended where its wallet or a budget did.
        CapReached = "cap reached";
        Failover = "failover";
        OwnKey = "own key";
        ClientLeft = "client left";
        ProviderCut = "provider cut";
        Undelivered = "undelivered";
        /// Settled at a part of what was used, by policy.
        ChargedInPart = "charged in part";
        ChargedNothing = "charged nothing";
        WithoutFee = "without fee";
        /// The reply said what it cost: in order, of a call without a price, and where its usage was not to be believed.
        CostTold = "cost told";
        CostToldWithoutPrice = "cost told without a price";
        CostToldBesideEstimate = "cost told beside an estimate";
        /// Used beyond the hold: from cash or on credit.
        Overrun = "overrun";
        Absorbed = "absorbed";
        InsufficientFunds = "insufficient funds";
        Frozen = "refused: frozen";
        /// A hard budget says no: payment required, or too many.
        BudgetExceeded = "refused: budget 402";
        BudgetRate = "refused: budget 429";
        /// A soft budget went beyond its cap.
        SoftBudget = "soft budget exceeded";
        /// A budget counted in more than one window.
        NextWindow = "next window";
        GrantSpent = "grant spent";
        /// One hold from a grant and from what comes after it.
        GrantAndMore = "grant and more";
        GrantExpired = "grant expired";
        /// The answer of before.
        Replayed = "replayed";
        StreamReplayed = "stream replayed";
        /// Asked again in a process after the one that answered.
        ReplayedAfterCrash = "replayed after a crash";
        StillRunning = "refused: still running";
        ReplayUnavailable = "refused: answer not kept";
        OtherBody = "refused: other body";
        /// Nothing had come of the first; the same mark ran again.
        RunAgain = "run again";
        Refunded = "refunded";
        RefundedInPart = "refunded in part";
        TruedUp = "trued up";
        TruedUpLower = "trued up lower";
        CashedOut = "cashed out";
        CashOutFailed = "cash-out failed";
        ChargedBack = "charged back";
        /// Money that was not there was charged back.
        OwedByChargeback = "owed by chargeback";
        /// Calls whose holds a power cut took with it.
        LostReserve = "reserve lost";
        /// A sync failed, and the commit was on the disk, or was not.
        SyncErrorKept = "failed sync kept";
        SyncErrorLost = "failed sync lost";
        /// A dead process had something left to write.
        ZombieWrites = "zombie refused";
    }
}
