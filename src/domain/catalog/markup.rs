//! Owns: what is charged beyond the cost: rules by provider and model, and which of them holds for a call.
//! Refuses to know: who has which rules (settings, wallets), and amounts (ledger).

use super::{PinnedPrice, PriceSheet};
use crate::base::Ratio;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How the price that the user pays follows from what the call costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sell {
    /// The exact cost and this share on top.
    Markup(Ratio),
    /// A price list of its own, whatever the call costs.
    Sheet(Arc<PinnedPrice>),
}

/// One rule. In JSON `{"provider": "openai", "model": "gpt-4o*", "percent": "12.5"}`, or with a `price` (a price sheet)
/// in place of `percent`. `*` stands for any text; a member left out stands for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RuleJson", into = "RuleJson")]
pub struct MarkupRule {
    pub provider: Option<Box<str>>,
    pub model: Option<Box<str>>,
    pub sell: Sell,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    percent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    price: Option<PriceSheet>,
}

impl TryFrom<RuleJson> for MarkupRule {
    type Error = String;

    fn try_from(rule: RuleJson) -> Result<Self, String> {
        let sell = match (rule.percent, rule.price) {
            (Some(percent), None) => Sell::Markup(Ratio::from_percent(&percent)?),
            (None, Some(sheet)) => Sell::Sheet(PinnedPrice::of(&sheet)),
            (Some(_), Some(_)) | (None, None) => return Err("a markup rule has either a percent or a price".to_owned()),
        };
        Ok(Self { provider: rule.provider, model: rule.model, sell })
    }
}

impl From<MarkupRule> for RuleJson {
    fn from(rule: MarkupRule) -> Self {
        let (percent, price) = match rule.sell {
            Sell::Markup(share) => (Some(share.to_percent()), None),
            Sell::Sheet(pinned) => (None, Some(pinned.sheet.clone())),
        };
        Self { provider: rule.provider, model: rule.model, percent, price }
    }
}

/// How closely a pattern names something: the exact name, else the more letters the closer, else no pattern at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Closeness {
    Any,
    Pattern(usize),
    Exact,
}

/// `None`: it does not match.
fn closeness(pattern: Option<&str>, name: &str) -> Option<Closeness> {
    let Some(pattern) = pattern else { return Some(Closeness::Any) };
    if !pattern.contains('*') {
        return (pattern == name).then_some(Closeness::Exact);
    }
    matches(pattern, name).then(|| Closeness::Pattern(pattern.len() - pattern.matches('*').count()))
}

/// Does `name` match a pattern with at least one `*`? Each piece between stars is taken where it first stands, which is
/// enough: a later place leaves less for the pieces behind it.
fn matches(pattern: &str, name: &str) -> bool {
    let (Some((head, _)), Some((_, tail))) = (pattern.split_once('*'), pattern.rsplit_once('*')) else { return false };
    let Some(inner) = name.strip_prefix(head).and_then(|rest| rest.strip_suffix(tail)) else { return false };
    let between = pattern.get(head.len() + 1..pattern.len() - tail.len()).unwrap_or_default();
    let mut rest = inner;
    for piece in between.split('*') {
        let Some(at) = rest.find(piece) else { return false };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    true
}

/// The closest rule: by its model, then by its provider; of two alike the first.
fn closest<'a>(rules: &'a [MarkupRule], provider: &str, model: &str) -> Option<&'a MarkupRule> {
    let rank = |rule: &MarkupRule| Some((closeness(rule.model.as_deref(), model)?, closeness(rule.provider.as_deref(), provider)?));
    // The last of equals wins in `max_by_key`, hence backwards.
    rules.iter().rev().filter_map(|rule| Some((rank(rule)?, rule))).max_by_key(|(rank, _)| *rank).map(|(_, rule)| rule)
}

/// What holds for a call of `model` at `provider`: the organisation's own rules first, then those of the gateway, then the
/// plain fee.
pub fn sell_for(own: &[MarkupRule], global: &[MarkupRule], fee: Ratio, provider: &str, model: &str) -> Sell {
    let rule = closest(own, provider, model).or_else(|| closest(global, provider, model));
    rule.map_or(Sell::Markup(fee), |rule| rule.sell.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEE: Ratio = Ratio { num: 5, den: 100 };

    fn rules(json: &str) -> Vec<MarkupRule> {
        serde_json::from_str(json).unwrap()
    }

    fn percent(own: &[MarkupRule], global: &[MarkupRule], provider: &str, model: &str) -> String {
        match sell_for(own, global, FEE, provider, model) {
            Sell::Markup(share) => share.to_percent(),
            Sell::Sheet(pinned) => pinned.sheet.source.clone(),
        }
    }

    #[test]
    fn the_closer_rule_wins_whatever_its_place() {
        let global = rules(
            r#"[{"percent":"1"},{"provider":"openai","percent":"2"},{"model":"gpt-4o*","percent":"3"},{"model":"gpt-4o-mini","percent":"4"},
                {"provider":"azure","model":"gpt-4o-mini","percent":"6"},{"model":"gpt-4o-mini","percent":"7"}]"#,
        );
        let cases = [
            ("x", "y", "1"),
            ("openai", "o3", "2"),
            ("openai", "gpt-4o", "3"),
            ("openai", "gpt-4o-mini", "4"),
            ("azure", "gpt-4o-mini", "6"),
        ];
        for (provider, model, want) in cases {
            assert_eq!(percent(&[], &global, provider, model), want, "{provider}/{model}");
        }
        assert_eq!(percent(&[], &[], "x", "y"), "5", "the fee, where no rule says more");
    }

    #[test]
    fn the_organisations_rules_go_first() {
        let (own, global) = (rules(r#"[{"provider":"openai","percent":"0"}]"#), rules(r#"[{"model":"m","percent":"9"}]"#));
        assert_eq!(percent(&own, &global, "openai", "m"), "0");
        assert_eq!(percent(&own, &global, "groq", "m"), "9");
    }

    #[test]
    fn a_sell_price_is_pinned() {
        let json = r#"[{"model":"m","price":{"lines":[{"meter":"input_uncached","num":1,"per":1}],"source":"list","effective_at_ms":0}}]"#;
        let rules = rules(json);
        assert_eq!(percent(&rules, &[], "p", "m"), "list");
        assert_eq!(serde_json::to_string(&rules).unwrap(), json);
    }

    #[test]
    fn a_rule_says_one_thing() {
        for bad in [r#"{"model":"m"}"#, r#"{"percent":"-1"}"#, r#"{"percent":"1","x":2}"#, r#"{"percent":1}"#] {
            assert!(serde_json::from_str::<MarkupRule>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, name) in
            [("*", ""), ("a*", "a"), ("*b", "ab"), ("a*c", "abc"), ("a*b*c", "axbyc"), ("*mini*", "gpt-mini-x"), ("a**", "ab")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a*", "b"), ("a*a", "a"), ("a*b*c", "acb"), ("*x*x*", "x")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
