//! Owns: from a scenario that breaks a rule to a small one that still does: fewer crashes, fewer calls, fewer faults and features, an
//! earlier death. Each step is a run of its own; their number is bounded.

use super::rule::Rule;
use super::run;
use super::scenario::Scenario;
use super::world::Violation;

/// Runs that one failure may cost.
const MOST_RUNS: u32 = 2_000;
/// With so few calls every point of death is tried, not only the one that is known.
const FEW_CALLS: usize = 3;

struct Shrink {
    rule: Rule,
    best: Scenario,
    runs_left: u32,
}

impl Shrink {
    fn fails(&mut self, scenario: &Scenario) -> bool {
        self.runs_left = self.runs_left.saturating_sub(1);
        self.runs_left > 0 && run(scenario, false).violations.first().is_some_and(|violation| violation.rule == self.rule)
    }

    /// Keeps the scenario if it fails as the first one did. Without some calls the known point of death means another
    /// moment, so with few calls every point is tried.
    fn try_keep(&mut self, scenario: Scenario) -> bool {
        if self.fails(&scenario) {
            self.best = scenario;
            return true;
        }
        if scenario.crash_at.len() != 1 || scenario.calls.len() > FEW_CALLS {
            return false;
        }
        let points = run(&Scenario { crash_at: Vec::new(), ..scenario.clone() }, false).points;
        for point in 0..points {
            let died = Scenario { crash_at: vec![point], ..scenario.clone() };
            if self.fails(&died) {
                self.best = died;
                return true;
            }
        }
        false
    }

    fn crashes(&mut self) {
        let none = Scenario { crash_at: Vec::new(), ..self.best.clone() };
        if !self.best.crash_at.is_empty() && self.fails(&none) {
            self.best = none;
        }
        for point in self.best.crash_at.clone() {
            if self.best.crash_at.len() > 1 {
                let mut fewer = self.best.clone();
                fewer.crash_at.retain(|kept| *kept != point);
                if self.fails(&fewer) {
                    self.best = fewer;
                }
            }
        }
    }

    fn calls(&mut self) {
        let mut size = self.best.calls.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < self.best.calls.len() && self.best.calls.len() > 1 {
                let mut fewer = self.best.clone();
                fewer.calls.drain(at..(at + size).min(self.best.calls.len()));
                if fewer.calls.is_empty() || !self.try_keep(fewer) {
                    at += size;
                }
            }
            size /= 2;
        }
    }

    fn faults(&mut self) {
        for fault in self.best.faults.iter().collect::<Vec<_>>() {
            let fewer = Scenario { faults: self.best.faults.without(fault), ..self.best.clone() };
            self.try_keep(fewer);
        }
    }

    fn features(&mut self) {
        for feature in self.best.features.iter().collect::<Vec<_>>() {
            let fewer = Scenario { features: self.best.features.without(feature), ..self.best.clone() };
            self.try_keep(fewer);
        }
    }

    fn earlier_death(&mut self) {
        let [point] = self.best.crash_at[..] else { return };
        for earlier in 0..point {
            let died = Scenario { crash_at: vec![earlier], ..self.best.clone() };
            if self.fails(&died) {
                self.best = died;
                return;
            }
        }
    }
}

/// The smallest scenario found that breaks the same rule.
pub(super) fn shrink(scenario: &Scenario, violation: &Violation) -> Scenario {
    let mut shrink = Shrink { rule: violation.rule, best: scenario.clone(), runs_left: MOST_RUNS };
    loop {
        let before = shrink.best.clone();
        shrink.crashes();
        shrink.calls();
        shrink.faults();
        shrink.features();
        if shrink.best == before || shrink.runs_left == 0 {
            break;
        }
    }
    shrink.earlier_death();
    shrink.best
}
