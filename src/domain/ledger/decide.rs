//! Owns: what follows from a command: events, postings, the order's next state, the answer. A pure function of the state:
//! no I/O, no clock, no randomness; the same commands in the same order give the same ledger everywhere.
//! Refuses to know: how the state got into memory and how the writes are made durable.

use super::account::AccountPath;
use super::chain::{hex, sha256};
use super::command::{Attempt, Command, Refusal, Reply, Reserve, Settle, TopUp};
use super::event::{Event, EventKind, ReservePayload, SettlePayload, WalletPayload};
use super::order::{HoldSource, Order, OrderState, UsageSource};
use super::posting::{Posting, PostingCode};
use super::state::{OpRecord, State, Wallet, WalletKind, Writes};
use crate::base::{Money, OpId, OrderId, Timestamp};
use serde::Serialize;
use std::sync::Arc;

/// Decides one command at ledger time `now` (already monotone). Whatever `Needs::of(command)` names must be in `state`,
/// or be absent from the ledger altogether.
pub fn decide(state: &mut State, command: &Command, now: Timestamp, writes: &mut Writes) -> Reply {
    let decided = match command {
        Command::OpenWallet { op, wallet, kind, credit_limit, actor } => {
            open_wallet(state, writes, now, (*op, wallet, *kind, *credit_limit, actor))
        }
        Command::TopUp(top_up) => self::top_up(state, writes, now, top_up),
        Command::Reserve(reserve) => self::reserve(state, writes, now, reserve),
        Command::Dispatch { order, attempt } => dispatch(state, writes, *order, attempt),
        Command::Settle(settle) => self::settle(state, writes, now, settle),
        Command::Expire { order } => expire(state, writes, now, *order),
        Command::Recover { order } => recover(state, writes, now, *order),
    };
    decided.unwrap_or_else(Reply::Refused)
}

type Decided = Result<Reply, Refusal>;

/// The next event, not yet applied.
fn event(state: &State, kind: EventKind, now: Timestamp, payload: &impl Serialize, postings: Vec<Posting>) -> Event {
    let payload = serde_json::to_vec(payload).unwrap_or_default();
    Event { seq: state.last_seq + 1, kind, order: None, op: None, ts: now, payload, postings }
}

/// Applies the event's postings and appends it. An account that refuses means the amount is beyond what it can hold:
/// funds were checked before.
fn append(state: &mut State, writes: &mut Writes, event: Event) -> Result<i64, Refusal> {
    state.apply(&event).map_err(|_| Refusal::TooLarge)?;
    state.last_seq = event.seq;
    state.last_ts = event.ts;
    let seq = event.seq;
    writes.events.push(event);
    Ok(seq)
}

fn remember(state: &mut State, writes: &mut Writes, record: OpRecord) {
    writes.ops.push(record.clone());
    state.ops.insert(record.id, record);
}

/// A repetition answers as before; the same id with other content is a conflict.
fn repeated(state: &State, op: OpId, fingerprint: [u8; 32]) -> Option<Decided> {
    let record = state.ops.get(&op)?;
    Some(match record.refusal {
        _ if record.fingerprint != fingerprint => Err(Refusal::Conflict),
        Some(refusal) => Err(refusal),
        None => Ok(Reply::Done { seq: record.seq, duplicate: true }),
    })
}

fn open_wallet(
    state: &mut State,
    writes: &mut Writes,
    now: Timestamp,
    (op, name, kind, credit_limit, actor): (OpId, &Arc<str>, WalletKind, Option<Money>, &Arc<str>),
) -> Decided {
    let credit_limit_nano = credit_limit.map(Money::as_nano);
    let fingerprint = sha256(format!("{name}|{kind:?}|{credit_limit_nano:?}").as_bytes());
    if let Some(answer) = repeated(state, op, fingerprint) {
        return answer;
    }
    if state.wallets.contains_key(name) {
        return Err(Refusal::Conflict);
    }
    let payload = WalletPayload { wallet: (&**name).into(), kind, credit_limit_nano, actor: (&**actor).into() };
    let mut opened = event(state, EventKind::WalletOpened, now, &payload, Vec::new());
    opened.op = Some(op);
    let seq = append(state, writes, opened)?;
    let wallet = Wallet {
        id: state.next_wallet,
        name: Arc::clone(name),
        kind,
        credit_limit,
        frozen: false,
        cash: state.account(AccountPath::Cash(name), writes),
        held: state.account(AccountPath::Held(name), writes),
        receivable: state.account(AccountPath::Receivable(name), writes),
    };
    state.next_wallet += 1;
    state.insert_wallet(wallet.clone());
    writes.wallets.push(wallet);
    remember(state, writes, OpRecord { id: op, fingerprint, refusal: None, seq });
    Ok(Reply::Done { seq, duplicate: false })
}

fn top_up(state: &mut State, writes: &mut Writes, now: Timestamp, top_up: &TopUp) -> Decided {
    #[derive(Serialize)]
    struct Payload<'a> {
        wallet: &'a str,
        amount_nano: i64,
        fee_nano: i64,
        payment_provider: &'a str,
        reference: &'a str,
        actor: &'a str,
    }
    let (amount_nano, fee_nano) = (top_up.amount.as_nano(), top_up.fee.as_nano());
    let fingerprint = sha256(format!("{}|{amount_nano}|{fee_nano}|{}", top_up.wallet, top_up.payment_provider).as_bytes());
    if let Some(answer) = repeated(state, top_up.op, fingerprint) {
        return answer;
    }
    let wallet = state.wallets.get(&top_up.wallet).cloned().ok_or(Refusal::UnknownWallet)?;
    if amount_nano <= 0 || fee_nano < 0 {
        return Err(Refusal::TooLarge);
    }
    let clearing = state.account(AccountPath::PaymentClearing(&top_up.payment_provider), writes);
    let mut postings = vec![Posting { debit: clearing, credit: wallet.cash, amount_nano, code: PostingCode::TopUp }];
    if fee_nano > 0 {
        let fees = state.account(AccountPath::PaymentFee, writes);
        postings.push(Posting { debit: fees, credit: clearing, amount_nano: fee_nano, code: PostingCode::PaymentFee });
    }
    // Debt first, in the same event, from all the cash there is.
    let cash = state.balance(wallet.cash).credit_balance().saturating_add(amount_nano);
    let repaid = debt(state, &wallet).min(cash);
    if repaid > 0 {
        postings.push(Posting { debit: wallet.cash, credit: wallet.receivable, amount_nano: repaid, code: PostingCode::RepayDebt });
    }
    let payload = Payload {
        wallet: &top_up.wallet,
        amount_nano,
        fee_nano,
        payment_provider: &top_up.payment_provider,
        reference: &top_up.reference,
        actor: &top_up.actor,
    };
    let mut paid = event(state, EventKind::TopUp, now, &payload, postings);
    paid.op = Some(top_up.op);
    let seq = append(state, writes, paid)?;
    remember(state, writes, OpRecord { id: top_up.op, fingerprint, refusal: None, seq });
    Ok(Reply::Done { seq, duplicate: false })
}

/// What is owed for good. What an open hold has lent from the receivable is none: it goes back, or becomes debt, when its
/// order ends; paid back before, it could not go back any more.
fn debt(state: &State, wallet: &Wallet) -> i64 {
    let owed = state.balance(wallet.receivable).debit_balance();
    match wallet.kind {
        WalletKind::Prepaid => owed,
        WalletKind::Postpaid => owed - state.balance(wallet.held).credit_balance(),
    }
}

/// Which of the wallet's accounts a hold comes from, if it may be taken at all.
fn admit(state: &State, wallet: &Wallet, hold: Option<Money>) -> Result<HoldSource, Refusal> {
    if wallet.frozen {
        return Err(Refusal::Frozen);
    }
    let owed = state.balance(wallet.receivable).debit_balance();
    match wallet.kind {
        WalletKind::Prepaid => {
            let hold = hold.ok_or(Refusal::Unpriced)?;
            if owed > 0 {
                return Err(Refusal::Indebted { owed: Money::nano(owed) });
            }
            let available = state.balance(wallet.cash).credit_balance();
            if available < hold.as_nano() {
                return Err(Refusal::InsufficientFunds { available: Money::nano(available), hold });
            }
            Ok(HoldSource::Cash)
        }
        WalletKind::Postpaid => {
            let hold = hold.unwrap_or(Money::ZERO);
            match wallet.credit_limit {
                Some(limit) if owed.saturating_add(hold.as_nano()) > limit.as_nano() => {
                    Err(Refusal::OverCreditLimit { owed: Money::nano(owed), limit, hold })
                }
                Some(_) | None => Ok(HoldSource::Receivable),
            }
        }
    }
}

fn reserve(state: &mut State, writes: &mut Writes, now: Timestamp, reserve: &Reserve) -> Decided {
    if let Some(order) = state.orders.get(&reserve.order) {
        return Ok(Reply::Held { hold: order.hold });
    }
    let wallet = state.wallets.get(&reserve.wallet).cloned().ok_or(Refusal::UnknownWallet)?;
    let source = match admit(state, &wallet, reserve.hold) {
        Ok(source) => source,
        Err(refusal) => {
            let record = OpRecord { id: OpId(reserve.order.0), fingerprint: [0; 32], refusal: Some(refusal), seq: 0 };
            writes.ops.push(record);
            return Err(refusal);
        }
    };
    let hold = reserve.hold.unwrap_or(Money::ZERO);
    let from = if source == HoldSource::Cash { wallet.cash } else { wallet.receivable };
    let taken = Posting { debit: from, credit: wallet.held, amount_nano: hold.as_nano(), code: PostingCode::Hold };
    let postings = if hold.is_zero() { Vec::new() } else { vec![taken] };
    let payload = ReservePayload {
        wallet: (&*reserve.wallet).into(),
        key: reserve.key.map(|key| key.to_string()),
        user_path: (&*reserve.user_path).into(),
        operation: reserve.operation.into(),
        model: (&*reserve.model).into(),
        endpoint: (&*reserve.endpoint).into(),
        provider: (&*reserve.provider).into(),
        hold_nano: hold.as_nano(),
        input_cost_nano: reserve.input_cost.as_nano(),
        priced: reserve.hold.is_some(),
        stream: reserve.stream,
        expires_at_ms: reserve.expires_at.0,
        node: reserve.node,
        epoch: reserve.epoch,
    };
    let mut reserved = event(state, EventKind::Reserve, now, &payload, postings);
    reserved.order = Some(reserve.order);
    let seq = append(state, writes, reserved)?;
    let order = Order {
        id: reserve.order,
        wallet_id: wallet.id,
        state: OrderState::Reserved,
        hold,
        hold_source: source,
        charge: None,
        pass_through: None,
        fee: None,
        cost: None,
        overrun: Money::ZERO,
        provider: (&*reserve.provider).into(),
        input_cost: reserve.input_cost,
        node: reserve.node,
        epoch: reserve.epoch,
        reserve_seq: seq,
        final_seq: None,
        created_at: now,
        expires_at: reserve.expires_at,
        finished_at: None,
    };
    writes.orders_new.push(order.clone());
    state.orders.insert(reserve.order, order);
    Ok(Reply::Held { hold })
}

fn dispatch(state: &State, writes: &mut Writes, order: OrderId, attempt: &Attempt) -> Decided {
    match state.orders.get(&order) {
        Some(known) if known.state.is_open() => {
            writes.attempts.push((order, attempt.clone()));
            Ok(Reply::Done { seq: state.last_seq, duplicate: false })
        }
        Some(known) => Ok(settled(known, true)),
        None => Err(Refusal::UnknownOrder),
    }
}

fn settled(order: &Order, duplicate: bool) -> Reply {
    Reply::Settled { state: order.state, charge: order.charge, duplicate }
}

/// Where each nano-unit of a charge comes from: the hold, then cash, then debt up to the limit; the rest is absorbed.
struct Split {
    postings: Vec<Posting>,
    overrun: i64,
    absorbed: i64,
}

fn split_charge(state: &mut State, writes: &mut Writes, wallet: &Wallet, hold_nano: i64, pass_nano: i64, fee_nano: i64) -> Split {
    let charge = pass_nano + fee_nano;
    let from_hold = charge.min(hold_nano);
    let cash = match wallet.kind {
        WalletKind::Prepaid => state.balance(wallet.cash).credit_balance().clamp(0, charge - from_hold),
        WalletKind::Postpaid => 0,
    };
    let owed = state.balance(wallet.receivable).debit_balance();
    let credit = match (wallet.kind, wallet.credit_limit) {
        (WalletKind::Postpaid, None) => i64::MAX,
        (_, limit) => limit.map_or(0, |limit| limit.as_nano().saturating_sub(owed).max(0)),
    };
    let debt = (charge - from_hold - cash).min(credit);
    let (usage, fees) = (state.account(AccountPath::UsageRevenue, writes), state.account(AccountPath::FeeRevenue, writes));
    let mut rest_pass = pass_nano;
    let mut postings = Vec::with_capacity(6);
    for (from, amount) in [(wallet.held, from_hold), (wallet.cash, cash), (wallet.receivable, debt)] {
        let pass = amount.min(rest_pass);
        rest_pass -= pass;
        if pass > 0 {
            postings.push(Posting { debit: from, credit: usage, amount_nano: pass, code: PostingCode::Usage });
        }
        if amount > pass {
            postings.push(Posting { debit: from, credit: fees, amount_nano: amount - pass, code: PostingCode::Fee });
        }
    }
    Split { postings, overrun: cash + debt, absorbed: charge - from_hold - cash - debt }
}

fn next_state(before: OrderState, settle: &Settle) -> OrderState {
    match (before, settle.usage_source, settle.amounts) {
        (OrderState::Expired, _, Some(_)) => OrderState::LateSettled,
        (_, UsageSource::None, _) => OrderState::Released,
        (_, UsageSource::Provider | UsageSource::Estimated, None) => OrderState::Unpriced,
        (_, UsageSource::Provider, Some(_)) => OrderState::Finalized,
        (_, UsageSource::Estimated, Some(_)) => OrderState::Provisional,
    }
}

/// The end of an order: charge, cost and the rest of the hold in one event. Never fails for lack of funds.
fn settle(state: &mut State, writes: &mut Writes, now: Timestamp, settle: &Settle) -> Decided {
    let Some(order) = state.orders.get(&settle.order).cloned() else { return Err(Refusal::UnknownOrder) };
    let late = order.state == OrderState::Expired && settle.usage_source != UsageSource::None;
    if !order.state.is_open() && !late {
        return Ok(settled(&order, true));
    }
    let wallet = state.wallet_of(&order).cloned().ok_or(Refusal::UnknownWallet)?;
    let hold_nano = if late { 0 } else { order.hold.as_nano() };
    let amounts = settle.amounts.unwrap_or(super::Amounts::ZERO);
    let split = split_charge(state, writes, &wallet, hold_nano, amounts.pass_through.as_nano(), amounts.fee.as_nano());
    let charge_nano = amounts.charge.as_nano() - split.absorbed;
    let pass_nano: i64 = split.postings.iter().filter(|p| p.code == PostingCode::Usage).map(|p| p.amount_nano).sum();
    let mut postings = split.postings;
    postings.extend(cost_postings(state, writes, &order, settle, amounts.cost));
    postings.extend(release_posting(&order, &wallet, hold_nano - charge_nano.min(hold_nano)));
    let next = next_state(order.state, settle);
    let kind = match next {
        _ if late => EventKind::LateSettle,
        OrderState::Released => EventKind::Release,
        OrderState::Reserved
        | OrderState::Finalized
        | OrderState::Expired
        | OrderState::LateSettled
        | OrderState::Provisional
        | OrderState::Unpriced => EventKind::Finalize,
    };
    let known = settle.amounts.is_some();
    let payload = SettlePayload {
        state: next.name().to_owned(),
        endpoint: settle.endpoint.clone(),
        provider: settle.provider.clone(),
        price: settle.price.as_ref().map(|price| hex(&price.hash)),
        usage: settle.usage,
        usage_source: settle.usage_source,
        cost_exact: known.then(|| amounts.cost_exact.to_string()),
        charge_exact: known.then(|| amounts.charge_exact.to_string()),
        charge_nano: known.then_some(charge_nano),
        pass_through_nano: known.then_some(pass_nano),
        cost_nano: known.then_some(amounts.cost.as_nano()),
        absorbed_nano: split.absorbed,
        losses: settle.losses.clone(),
        attempts: settle.attempts.clone(),
        provider_request_id: settle.provider_request_id.clone(),
        finish: settle.finish.to_owned(),
    };
    pin(state, writes, settle);
    finish(state, writes, event(state, kind, now, &payload, postings), &order, |order| {
        order.state = next;
        order.overrun = Money::nano(split.overrun);
        if known {
            order.charge = Some(Money::nano(charge_nano));
            order.pass_through = Some(Money::nano(pass_nano));
            order.fee = Some(Money::nano(charge_nano - pass_nano));
            order.cost = Some(amounts.cost);
        }
    })
}

/// What the providers bill: the one that served, and those that failed and may bill all the same.
fn cost_postings(state: &mut State, writes: &mut Writes, order: &Order, settle: &Settle, cost: Money) -> Vec<Posting> {
    let mut postings = Vec::with_capacity(1 + settle.losses.len());
    if cost.as_nano() > 0 {
        let provider = settle.provider.as_deref().unwrap_or(&order.provider);
        let (expense, code) = if settle.undelivered {
            (AccountPath::LossUndelivered, PostingCode::UndeliveredLoss)
        } else {
            (AccountPath::Cogs(provider), PostingCode::Cost)
        };
        let debit = state.account(expense, writes);
        let credit = state.account(AccountPath::Payable(provider), writes);
        postings.push(Posting { debit, credit, amount_nano: cost.as_nano(), code });
    }
    for loss in settle.losses.iter().filter(|loss| loss.cost_nano > 0) {
        let debit = state.account(AccountPath::LossFailover, writes);
        let credit = state.account(AccountPath::Suspense(&loss.provider), writes);
        postings.push(Posting { debit, credit, amount_nano: loss.cost_nano, code: PostingCode::FailoverLoss });
    }
    postings
}

/// The price sheet an order refers to is kept for ever, once.
fn pin(state: &mut State, writes: &mut Writes, settle: &Settle) {
    if let Some(price) = &settle.price
        && !state.prices.contains_key(&price.hash)
    {
        state.prices.insert(price.hash, Arc::clone(price));
        writes.prices.push(Arc::clone(price));
    }
}

fn release_posting(order: &Order, wallet: &Wallet, amount_nano: i64) -> Option<Posting> {
    let to = match order.hold_source {
        HoldSource::Cash => wallet.cash,
        HoldSource::Receivable => wallet.receivable,
    };
    (amount_nano > 0).then_some(Posting { debit: wallet.held, credit: to, amount_nano, code: PostingCode::Release })
}

/// Appends the event that ends (or re-opens for good) an order, and moves the order with it.
fn finish(state: &mut State, writes: &mut Writes, mut ended: Event, order: &Order, change: impl FnOnce(&mut Order)) -> Decided {
    ended.order = Some(order.id);
    let (seq, now) = (ended.seq, ended.ts);
    append(state, writes, ended)?;
    let mut order = order.clone();
    change(&mut order);
    order.final_seq = Some(seq);
    order.finished_at = Some(now);
    writes.orders_changed.insert(order.id);
    let reply = settled(&order, false);
    state.orders.insert(order.id, order);
    Ok(reply)
}

fn expire(state: &mut State, writes: &mut Writes, now: Timestamp, id: OrderId) -> Decided {
    let Some(order) = state.orders.get(&id).cloned() else { return Err(Refusal::UnknownOrder) };
    if !order.state.is_open() || order.expires_at > now {
        return Ok(settled(&order, true));
    }
    let wallet = state.wallet_of(&order).ok_or(Refusal::UnknownWallet)?;
    let postings = release_posting(&order, wallet, order.hold.as_nano()).into_iter().collect();
    let payload = without_usage(OrderState::Expired, "deadline");
    finish(state, writes, event(state, EventKind::Expire, now, &payload, postings), &order, |order| order.state = OrderState::Expired)
}

/// A dead node's order: the user gets the hold back and is charged nothing; what the provider may bill for the input is
/// accrued as our loss until evidence comes.
fn recover(state: &mut State, writes: &mut Writes, now: Timestamp, id: OrderId) -> Decided {
    let Some(order) = state.orders.get(&id).cloned() else { return Err(Refusal::UnknownOrder) };
    if !order.state.is_open() {
        return Ok(settled(&order, true));
    }
    let wallet = state.wallet_of(&order).cloned().ok_or(Refusal::UnknownWallet)?;
    let mut postings: Vec<Posting> = release_posting(&order, &wallet, order.hold.as_nano()).into_iter().collect();
    if order.input_cost.as_nano() > 0 {
        let debit = state.account(AccountPath::LossCrash, writes);
        let credit = state.account(AccountPath::Suspense(&order.provider), writes);
        postings.push(Posting { debit, credit, amount_nano: order.input_cost.as_nano(), code: PostingCode::CrashLoss });
    }
    let payload = without_usage(OrderState::Released, "crash");
    finish(state, writes, event(state, EventKind::Recover, now, &payload, postings), &order, |order| order.state = OrderState::Released)
}

fn without_usage(state: OrderState, finish: &str) -> SettlePayload {
    SettlePayload {
        state: state.name().to_owned(),
        endpoint: None,
        provider: None,
        price: None,
        usage: crate::domain::catalog::Usage::default(),
        usage_source: UsageSource::None,
        cost_exact: None,
        charge_exact: None,
        charge_nano: None,
        pass_through_nano: None,
        cost_nano: None,
        absorbed_nano: 0,
        losses: Vec::new(),
        attempts: Vec::new(),
        provider_request_id: None,
        finish: finish.to_owned(),
    }
}
