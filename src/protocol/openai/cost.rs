//! Owns: what a call cost, as vendors write it into the usage object of a reply: an exact amount, read from its text.
//! Refuses to know: which vendor writes which form (the families), prices, and who bears a cost.

use crate::base::{Exact, Money, Rounding};
use crate::protocol::decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

/// How a vendor says what a call cost. Only what its own documentation promises for every reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CostForm {
    /// `cost`, a number of credits, which are USD. Where `is_byok` says that the account's own key at another provider was used,
    /// that provider bills `cost_details.upstream_inference_cost` besides; otherwise this member only repeats the cost.
    Credits,
    /// `cost_in_usd_ticks`, in 10^-10 USD.
    Ticks,
}

/// What a reply says that its call cost, in nano-units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportedCost {
    Told {
        /// By the provider that was called.
        billed: Exact,
        /// By providers behind it, to keys that its account keeps there. `None`: something, and it is not said how much.
        passed_on: Option<Exact>,
    },
    /// Negative, no number, or more than any call costs: a mistake of the provider. It is as if nothing had been said.
    Absurd,
}

impl ReportedCost {
    /// The provider says that it bills something.
    pub fn is_billed(self) -> bool {
        match self {
            Self::Told { billed, .. } => !billed.is_zero(),
            Self::Absurd => false,
        }
    }
}

/// More than this is a mistake of the provider, not the cost of one call: 10 000 USD.
const MAX_COST: Money = Money::nano(10_000_000_000_000);

/// The members of a usage object that tell a cost. Absent and null are not zero.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CostMembers<'a> {
    pub(super) cost: Option<&'a RawValue>,
    pub(super) cost_details: Option<&'a RawValue>,
    pub(super) is_byok: Option<&'a RawValue>,
    pub(super) cost_in_usd_ticks: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Details<'a> {
    #[serde(borrow)]
    upstream_inference_cost: Option<&'a RawValue>,
}

/// A figure that no call has.
struct Mistake;

impl CostMembers<'_> {
    /// `None`: it says none in this form.
    pub(super) fn read(self, form: CostForm) -> Option<ReportedCost> {
        let told = match form {
            CostForm::Credits => amount(self.cost?, decimal::USD).and_then(|billed| Ok((billed, self.passed_on()?))),
            CostForm::Ticks => amount(self.cost_in_usd_ticks?, decimal::TICKS).map(|billed| (billed, Some(Exact::ZERO))),
        };
        Some(match told {
            Ok((billed, passed_on)) => ReportedCost::Told { billed, passed_on },
            Err(Mistake) => ReportedCost::Absurd,
        })
    }

    fn passed_on(self) -> Result<Option<Exact>, Mistake> {
        let details = self.cost_details.and_then(|raw| serde_json::from_str::<Details<'_>>(raw.get()).ok());
        let upstream = details.and_then(|details| details.upstream_inference_cost);
        match (self.is_byok.map(RawValue::get), upstream) {
            (Some("false"), _) | (None, None) => Ok(Some(Exact::ZERO)),
            (Some("true"), Some(upstream)) => amount(upstream, decimal::USD).map(Some),
            (Some(_), _) | (None, Some(_)) => Ok(None),
        }
    }
}

/// Zero or more, within reason. A number in a string is one too.
fn amount(raw: &RawValue, unit: i32) -> Result<Exact, Mistake> {
    let exact = decimal::text_of(raw).and_then(|text| decimal::amount(&text, unit)).ok_or(Mistake)?;
    let fits = exact.round(Rounding::Up).is_some_and(|cost| cost <= MAX_COST);
    if fits && !exact.is_negative() { Ok(exact) } else { Err(Mistake) }
}

#[cfg(test)]
mod tests {
    use super::super::usage::read_usage;
    use super::*;
    use proptest::prelude::*;

    fn read(form: CostForm, json: &str) -> Option<ReportedCost> {
        read_usage(json.as_bytes(), Some(form)).cost
    }

    fn told(nano: &str) -> Option<ReportedCost> {
        nano.parse().ok().map(|billed| ReportedCost::Told { billed, passed_on: Some(Exact::ZERO) })
    }

    #[test]
    fn a_cost_is_as_exact_as_its_text() {
        let credits = |cost: &str| read(CostForm::Credits, &format!(r#"{{"cost":{cost},"is_byok":false}}"#));
        assert_eq!(credits("0.00215798"), told("2157980"));
        assert_eq!(credits("3.75e-08"), told("75/2"));
        assert_eq!(credits("3.75E-8"), told("75/2"));
        assert_eq!(credits("0.1"), told("100000000"), "not the nearest binary fraction");
        assert_eq!(credits("0.13080438340307526"), told("6540219170153763/50000000"));
        assert_eq!(credits(r#""0.5""#), told("500000000"));
        assert_eq!(credits("10000"), told("10000000000000"));
        let ticks = |ticks: &str| read(CostForm::Ticks, &format!(r#"{{"cost_in_usd_ticks":{ticks}}}"#));
        assert_eq!(ticks("37756000"), told("3775600"));
        assert_eq!(ticks("7"), told("7/10"));
    }

    #[test]
    fn zero_is_a_cost_and_nothing_is_not() {
        for zero in ["0", "0.0", "0e9", "-0"] {
            assert_eq!(read(CostForm::Credits, &format!(r#"{{"cost":{zero}}}"#)), told("0"), "{zero}");
        }
        for nothing in ["{}", r#"{"cost":null}"#, r#"{"cost_in_usd_ticks":5}"#, r#"{"cost_details":{"upstream_inference_cost":5}}"#] {
            assert_eq!(read(CostForm::Credits, nothing), None, "{nothing}");
        }
        assert_eq!(read(CostForm::Ticks, r#"{"cost":0.5}"#), None, "another vendor's member");
    }

    #[test]
    fn what_no_call_costs_is_no_cost() {
        for absurd in ["-0.1", "-1e-12", "10000.000001", "1e60", "1e999", "true", "[1]", r#"{"total_cost":1}"#, r#""free""#, r#""""#] {
            assert_eq!(read(CostForm::Credits, &format!(r#"{{"cost":{absurd}}}"#)), Some(ReportedCost::Absurd), "{absurd}");
        }
        assert_eq!(read(CostForm::Ticks, r#"{"cost_in_usd_ticks":-5}"#), Some(ReportedCost::Absurd));
    }

    #[test]
    fn what_is_passed_on_is_told_apart_from_what_is_repeated() {
        let of = |rest: &str| read(CostForm::Credits, &format!(r#"{{"cost":0.002,{rest}}}"#));
        let passed = |nano: Option<i128>| {
            let passed_on = nano.map(|nano| Exact::new(nano, 1).unwrap());
            Some(ReportedCost::Told { billed: Exact::new(2_000_000, 1).unwrap(), passed_on })
        };
        let upstream = r#""cost_details":{"upstream_inference_cost":0.04}"#;
        assert_eq!(of(&format!(r#""is_byok":false,{upstream}"#)), passed(Some(0)), "repeats the cost");
        assert_eq!(of(&format!(r#""is_byok":true,{upstream}"#)), passed(Some(40_000_000)));
        assert_eq!(of(r#""is_byok":true"#), passed(None));
        assert_eq!(of(r#""is_byok":true,"cost_details":null"#), passed(None));
        assert_eq!(of(upstream), passed(None), "nobody says whether it is repeated");
        assert_eq!(of(r#""is_byok":true,"cost_details":{"upstream_inference_cost":-1}"#), Some(ReportedCost::Absurd));
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(nano in 0..10_000_000_000_000_u64, exponent in 0..12_u32) {
            let shifted = format!(r#"{{"cost":{nano}e-{}}}"#, 9 + exponent);
            let want = Exact::new(nano.into(), 10_i128.pow(exponent)).unwrap();
            prop_assert_eq!(read(CostForm::Credits, &shifted), told(&want.to_string()));
            prop_assert_eq!(read(CostForm::Credits, &format!(r#"{{"cost":{}}}"#, Money::nano(i64::try_from(nano).unwrap()))), told(&nano.to_string()));
        }

        #[test]
        fn no_text_panics_and_no_cost_is_out_of_bounds(text in "-?[0-9]{1,45}(\\.[0-9]{1,45})?([eE][-+]?[0-9]{1,4})?") {
            for (form, name) in [(CostForm::Credits, "cost"), (CostForm::Ticks, "cost_in_usd_ticks")] {
                // What JSON does not take for a number is never a cost.
                let Ok(members) = serde_json::from_str::<&RawValue>(&text).map(|raw| CostMembers { cost: Some(raw), cost_in_usd_ticks: Some(raw), ..CostMembers::default() }) else { return Ok(()) };
                if let Some(ReportedCost::Told { billed, .. }) = members.read(form) {
                    prop_assert!(!billed.is_negative() && billed.round(Rounding::Up).unwrap() <= MAX_COST, "{} {}", name, text);
                }
            }
        }
    }
}
