//! Owns: defects put into the ledger on purpose, to see that the rules find them.
//! Refuses to know: how the ledger comes by them (store).

use super::named::named;

named! {
    /// A defect put into the ledger on purpose, to see that the checks find it.
    enum Sabotage, "sabotage" {
        /// Settlements are answered and forgotten.
        LostSettlement = "lost_settlement";
        /// The rest of a hold is kept as fee.
        KeptHold = "kept_hold";
        /// What was settled is reserved and settled once more under another id.
        DoubleCharge = "double_charge";
        /// Settlements are answered before they are committed.
        EarlyAnswer = "early_answer";
        /// Holds are kept for a moment only, and are not put off while the call is under way.
        ShortHold = "short_hold";
        /// Reserves do not say whose they are, so no budget counts them.
        UncountedBudget = "uncounted_budget";
        /// Budgets are kept with a cap far above what was asked for.
        UncappedBudget = "uncapped_budget";
        /// Grants are opened as if their day had come: nothing is spent of them.
        UnspentGrant = "unspent_grant";
        /// What is left of a grant stays after its day.
        LastingGrant = "lasting_grant";
        /// The caller's mark of a request is forgotten: asked again, it is run again.
        ForgottenMark = "forgotten_mark";
        /// The answer to a marked request is not kept.
        LostReplay = "lost_replay";
        /// A hold that should grow is said to have grown.
        EmptyExtension = "empty_extension";
        /// A refund is booked once more under another name.
        DoubleRefund = "double_refund";
        /// What a reply says that it cost is not handed on.
        UntoldCost = "untold_cost";
        /// A failed sync is answered as if it had succeeded.
        IgnoredSync = "ignored_sync";
        /// Under a power cut's durability settlements too are answered before the sync.
        UnsyncedAnswer = "unsynced_answer";
        /// Evidence does not say which settlement it follows, so what that told of the attempts is lost.
        BlindEvidence = "blind_evidence";
        /// Nobody fences off a process that was given up for dead.
        NoFence = "no_fence";
    }
}
