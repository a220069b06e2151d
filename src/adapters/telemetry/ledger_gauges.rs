//! Owns: the gauges of the ledger's health, as reconciliation and the alerts' delivery set them.
//! Refuses to know: how they are found out.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CheckLabels {
    pub check: String,
    pub severity: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DriftLabels {
    pub check: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AgeLabels {
    /// `under_1m`, `under_15m` or `older`.
    pub age: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct AlertLabels {
    /// `delivered`, `failed` (and tried again) or `given_up`.
    pub outcome: &'static str,
}

/// Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct LedgerGauges {
    pub findings: Family<CheckLabels, Gauge>,
    pub drift_nano: Family<DriftLabels, Gauge>,
    pub open_holds: Family<AgeLabels, Gauge>,
    pub provisional_ratio: Gauge<f64, AtomicU64>,
    pub reconciled_age_seconds: Gauge,
    pub frozen: Gauge,
    pub wal_bytes: Gauge,
    pub alerts: Family<AlertLabels, Counter>,
    pub alerts_waiting: Gauge,
}

impl LedgerGauges {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("ledger_findings", "Findings that are open or acknowledged", self.findings.clone());
        registry.register("ledger_drift_nano", "How far money is off in the last reconciliation, in 10^-9 USD", self.drift_nano.clone());
        registry.register("ledger_open_holds", "Holds of calls that have not ended, by age", self.open_holds.clone());
        registry.register("ledger_provisional_ratio", "Share of settled orders that wait for evidence", self.provisional_ratio.clone());
        registry.register("ledger_reconciled_age_seconds", "Since the last reconciliation; -1: none", self.reconciled_age_seconds.clone());
        registry.register("ledger_frozen", "1 while a broken identity stops new calls", self.frozen.clone());
        registry.register("ledger_wal_bytes", "Size of the database's write-ahead log", self.wal_bytes.clone());
        registry.register("alerts", "Attempts to tell of something, by outcome", self.alerts.clone());
        registry.register("alerts_waiting", "Messages not delivered yet, those given up included", self.alerts_waiting.clone());
    }

    /// Open and acknowledged findings: check, severity, how many.
    pub fn set_findings(&self, counts: Vec<(String, String, i64)>) {
        self.findings.clear();
        for (check, severity, count) in counts {
            self.findings.get_or_create(&CheckLabels { check, severity }).set(count);
        }
    }

    pub fn set_open_holds(&self, age: &'static str, count: i64) {
        self.open_holds.get_or_create(&AgeLabels { age }).set(count);
    }

    /// How far money is off, by check: sums of absolute differences.
    pub fn set_drift(&self, drifts: impl Iterator<Item = (String, i64)>) {
        self.drift_nano.clear();
        for (check, nano) in drifts {
            self.drift_nano.get_or_create(&DriftLabels { check }).inc_by(nano.saturating_abs());
        }
    }
}
