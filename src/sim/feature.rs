//! Owns: what a scenario may have beside plain calls, by name. Each seed has some of it; leaving one out changes nothing else.
//! Refuses to know: how it is drawn (scenario) and played.

use super::named::{Set, named};

named! {
    /// A part of the product that a scenario makes use of.
    enum Feature, "feature" {
        /// Budgets of several scopes and periods.
        Budgets = "budgets";
        /// Money given, some of it for a time.
        Grants = "grants";
        /// Requests marked with `Idempotency-Key`, and sent again.
        Marks = "marks";
        /// Hold policies, settlement policies and sell prices of the wallets' own.
        Terms = "terms";
        /// Endpoints called on the caller's own key.
        OwnKeys = "own_keys";
        Refunds = "refunds";
        /// Providers' figures for what was settled on an estimate.
        TrueUps = "true_ups";
        CashOuts = "cash_outs";
        /// Payments taken back, which freezes the wallet for a while.
        Chargebacks = "chargebacks";
    }
}

/// A set of features.
pub type Features = Set<Feature>;
