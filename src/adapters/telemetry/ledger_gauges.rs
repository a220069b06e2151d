//! Owns: the gauges of the ledger's health, as reconciliation and the alerts' delivery set them.
//! Refuses to know: how they are found out.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
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
