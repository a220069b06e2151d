//! Owns: which budgets count a call, where more than one endpoint may serve it.

use super::commands::{open, reserving, settling};
use super::memory::Memory;
use gotoai::base::OpId;
use gotoai::domain::identity::ModelPattern;
use gotoai::domain::ledger::{Action, Command, Operation, Refund, Reply, Reserve, Settle, UsageSource, WalletKind};
use gotoai::domain::risk::{Budget, Limit, Period, Scope, Unit};

/// Of all calls of models that fit, for good.
pub(crate) fn of_model(model: &str, unit: Unit, cap: i64) -> Budget {
    Budget {
        id: 0,
        name: format!("{model} {unit:?}").into(),
        scope: Scope { model: Some(ModelPattern::new(model)), ..Scope::default() },
        period: Period::Lifetime,
        unit,
        cap,
        limit: Limit::Hard { status: 402 },
        alert_percent: None,
    }
}

/// `acme/m` comes first, then `other/m`.
fn either(n: u8, hold_nano: i64) -> Command {
    Command::Reserve(Box::new(Reserve { fallbacks: vec!["other/m".into()], ..reserving(n, "w", Some(hold_nano)) }))
}

fn served_by(n: u8, endpoint: &str, tokens: u64) -> Command {
    let provider = endpoint.split_once('/').unwrap().0.into();
    let settle = Settle { endpoint: Some(endpoint.into()), provider: Some(provider), ..settling(n, tokens, UsageSource::Provider) };
    Command::Settle(Box::new(settle))
}

fn memory(budgets: &[Budget]) -> Memory {
    let mut memory = Memory::new();
    for budget in budgets {
        memory.limit(budget.clone());
    }
    memory.run(&open(1, "w", WalletKind::Postpaid, None));
    memory
}

#[test]
fn a_budget_of_a_model_holds_for_every_candidate() {
    let mut memory = memory(&[of_model("other/*", Unit::Money, 1000)]);
    assert!(matches!(memory.run(&either(10, 600)), Reply::Held { .. }));
    assert!(matches!(memory.run(&either(11, 600)), Reply::Refused(refusal) if refusal.code() == "over_budget"));
    assert_eq!(memory.windows()[&(1, 0)], (600, 0));
}

/// Held and spent of four budgets.
fn spent(memory: &Memory) -> [(i64, i64); 4] {
    [1, 2, 3, 4].map(|id| memory.windows().get(&(id, 0)).copied().unwrap_or_default())
}

#[test]
fn it_keeps_what_its_own_endpoints_served() {
    let budgets = [of_model("acme/*", Unit::Money, 9000), of_model("other/*", Unit::Money, 9000), of_model("other/*", Unit::Requests, 9)];
    let mut memory = memory(&[&budgets[..], &[of_model("m", Unit::Money, 9000)]].concat());
    memory.run(&either(10, 1000));
    assert_eq!(spent(&memory), [(1000, 0), (1000, 0), (1, 0), (1000, 0)]);
    memory.run(&served_by(10, "other/m", 200));
    assert_eq!(spent(&memory), [(0, 0), (0, 211), (0, 1), (0, 211)]);
    memory.run(&either(11, 1000));
    memory.run(&served_by(11, "acme/m", 100));
    assert_eq!(spent(&memory), [(0, 106), (0, 211), (0, 1), (0, 317)]);
    // What goes back goes back where it was counted.
    let refund = Action::Refund(Refund { order: super::commands::order(11).to_string(), amount_nano: 106 });
    memory.run(&Command::Operate(Box::new(Operation { op: OpId([9; 16]), actor: "test".into(), reference: "r".into(), action: refund })));
    assert_eq!(spent(&memory), [(0, 0), (0, 211), (0, 1), (0, 211)]);
    assert!(memory.verify().ok());
}
