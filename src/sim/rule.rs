//! Owns: what must be true, by name. How often each rule was put to the test is part of the answer: one that is never asked proves nothing.
//! Refuses to know: how each is checked (check, life).

use super::named::named;

named! {
    /// What must be true.
    enum Rule, "rule" {
        /// The simulation itself could run.
        Simulation = "simulation";
        /// Nothing has panicked.
        Panic = "panic";
        /// Everything comes to rest.
        Liveness = "liveness";
        /// Nothing at rest holds money.
        Holds = "holds";
        /// No hold is given back while its call is under way and its time is not over.
        Early = "early";
        /// A process that was given up for dead writes nothing.
        Fence = "fence";
        /// The ledger's own proof finds nothing.
        Verify = "verify";
        /// Revenue, cost and losses are the sums of the orders.
        Accounts = "accounts";
        /// Each wallet has what was paid in less what is explained.
        Leak = "leak";
        /// Each payment counts once.
        Payments = "payments";
        /// One order for each request that was asked, one charge for each mark.
        Once = "once";
        /// Nothing is sent that no hold covers.
        HoldFirst = "hold first";
        /// No more requests than the ledger knows of.
        Attempts = "attempts";
        /// Each charge follows from usage, price and terms.
        Charge = "charge";
        /// Usage stands on what a provider said, or stays within what may be estimated.
        Evidence = "evidence";
        /// Nobody pays more than was held, unless more was used.
        Overrun = "overrun";
        /// A provider that keeps to what it was told does not use more than is held.
        Bound = "bound";
        /// What a caller was told is so.
        Promise = "promise";
        /// Asked again with the same mark, the same answer.
        Replay = "replay";
        /// A stream ends as its dialect says, and says when the hold was used up.
        Ending = "ending";
        /// What providers bill is booked, or named as uncertain.
        Cost = "cost";
        /// What providers bill lies within the error bar of what is told of the spend.
        ErrorBar = "error bar";
        /// Budgets count what the calls in their scope were charged, and allow no more than their cap.
        Budget = "budget";
        /// Grants are spent first, returned last, and end with their day.
        Grant = "grant";
        /// What is corrected goes to the user, and no further than the charge.
        Correction = "correction";
    }
}
