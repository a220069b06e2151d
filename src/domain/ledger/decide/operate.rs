//! Owns: what people and payment providers do to wallets and to the platform's own accounts, once per business fact.
//! Refuses to know: orders (`order`, `correct`).

use super::funds::debt;
use super::{Decided, Desk, MAX_POSTINGS, posting};
use crate::base::{Money, Timestamp};
use crate::domain::ledger::account::{AccountId, AccountPath};
use crate::domain::ledger::chain::Hash;
use crate::domain::ledger::command::{Refusal, Reply};
use crate::domain::ledger::event::{Event, EventKind, GrantEndPayload};
use crate::domain::ledger::operation::{
    Action, Adjust, AssignPayment, CloseGap, GrantMoney, Invoice, OpenWallet, Operation, Payment, Payout, SetTerms, TopUp,
    UnassignedPayment,
};
use crate::domain::ledger::posting::{Posting, PostingCode};
use crate::domain::ledger::state::{Grant, OpRecord, Wallet};
use std::sync::Arc;

impl Desk<'_> {
    /// A repetition answers as before; the same id with other content is a conflict.
    fn repeated(&self, operation: &Operation, fingerprint: Hash) -> Option<Decided> {
        let record = self.state.ops.get(&operation.op)?;
        let is_same = record.fingerprint == fingerprint;
        Some(if is_same { Ok(Reply::Done { seq: record.seq, duplicate: true }) } else { Err(Refusal::Conflict) })
    }

    pub(super) fn operate(&mut self, operation: &Operation) -> Decided {
        let fingerprint = operation.fingerprint();
        if let Some(answer) = self.repeated(operation, fingerprint) {
            return answer;
        }
        let seq = match &operation.action {
            Action::OpenWallet(open) => self.open_wallet(operation, open),
            Action::SetTerms(set) => self.set_terms(operation, set),
            Action::Freeze(named) => self.freeze(operation, &named.wallet, true),
            Action::Thaw(named) => self.freeze(operation, &named.wallet, false),
            Action::TopUp(top_up) => self.top_up(operation, top_up),
            Action::Grant(grant) => self.grant(operation, grant),
            Action::Refund(refund) => self.refund(operation, refund),
            Action::TrueUp(true_up) => self.true_up(operation, true_up),
            Action::CashOut(payment) => self.cash_out(operation, payment),
            Action::CashOutPaid(payment) => self.end_cash_out(operation, payment, true),
            Action::CashOutFailed(payment) => self.end_cash_out(operation, payment, false),
            Action::Chargeback(payment) => self.chargeback(operation, payment),
            Action::PaidBack(payment) => self.paid_back(operation, payment),
            Action::Unassigned(unassigned) => self.unassigned(operation, unassigned),
            Action::Assign(assign) => self.assign(operation, assign),
            Action::Payout(payout) => self.payout(operation, payout),
            Action::Invoice(invoice) => self.invoice(operation, invoice),
            Action::Adjust(adjust) => self.adjust(operation, adjust),
            Action::CloseGap(close) => self.close_gap(operation, close),
        }?;
        self.move_across(&operation.action);
        let record = OpRecord { id: operation.op, fingerprint, seq };
        self.writes.ops.push(record.clone());
        self.state.ops.insert(operation.op, record);
        Ok(Reply::Done { seq, duplicate: false })
    }

    /// Notes what the last entry has moved across the border of the wallets that the action names, unless it corrects an order:
    /// then it is part of what was spent.
    fn move_across(&mut self, action: &Action) {
        if action.order().is_none() {
            let adjusted = action.adjusted_wallets().into_iter().map(Arc::from);
            let mut names: Vec<Arc<str>> = action.wallet().cloned().into_iter().chain(adjusted).collect();
            names.dedup();
            for name in &names {
                self.move_in(name);
            }
        }
    }

    fn move_in(&mut self, name: &Arc<str>) {
        let (Some(wallet), Some(entry)) = (self.state.wallets.get(name), self.writes.events.last()) else { return };
        let leaving = self.state.accounts.get(AccountPath::CashOut(name).to_string().as_str()).copied();
        let own = |account: AccountId| {
            [wallet.cash, wallet.held, wallet.receivable].contains(&account)
                || leaving == Some(account)
                || wallet.grants.iter().any(|grant| grant.account == account)
        };
        let sign = |posting: &Posting| i64::from(own(posting.credit)) - i64::from(own(posting.debit));
        let moved = entry.postings.iter().fold(0_i64, |sum, posting| sum.saturating_add(sign(posting) * posting.amount_nano));
        if moved != 0 {
            let mut wallet = wallet.clone();
            wallet.moved_nano = wallet.moved_nano.saturating_add(moved);
            self.keep_wallet(wallet);
        }
    }

    pub(super) fn entry(&self, operation: &Operation, postings: Vec<Posting>) -> Event {
        Event {
            seq: self.state.last_seq + 1,
            kind: operation.action.kind(),
            order: None,
            op: Some(operation.op),
            ts: self.now,
            payload: operation.payload(),
            postings,
        }
    }

    fn post(&mut self, operation: &Operation, postings: Vec<Posting>) -> Result<i64, Refusal> {
        let entry = self.entry(operation, postings);
        self.append(entry)
    }

    fn wallet(&self, name: &Arc<str>) -> Result<Wallet, Refusal> {
        self.state.wallets.get(name).cloned().ok_or(Refusal::UnknownWallet)
    }

    fn keep_wallet(&mut self, wallet: Wallet) {
        self.writes.wallets_changed.insert(Arc::clone(&wallet.name));
        self.state.insert_wallet(wallet);
    }

    fn open_wallet(&mut self, operation: &Operation, open: &OpenWallet) -> Result<i64, Refusal> {
        if self.state.wallets.contains_key(&open.wallet) {
            return Err(Refusal::Conflict);
        }
        let seq = self.post(operation, Vec::new())?;
        let name = Arc::clone(&open.wallet);
        let wallet = Wallet {
            id: self.state.next_wallet,
            kind: open.kind,
            credit_limit: open.credit_limit_nano.map(Money::nano),
            frozen: false,
            terms: Arc::default(),
            cash: self.account(AccountPath::Cash(&name)),
            held: self.account(AccountPath::Held(&name)),
            receivable: self.account(AccountPath::Receivable(&name)),
            moved_nano: 0,
            grants: Vec::new(),
            name,
        };
        self.state.next_wallet += 1;
        self.state.insert_wallet(wallet.clone());
        self.writes.wallets.push(wallet);
        Ok(seq)
    }

    fn set_terms(&mut self, operation: &Operation, set: &SetTerms) -> Result<i64, Refusal> {
        let mut wallet = self.wallet(&set.wallet)?;
        let limit_nano = wallet.credit_limit.map(Money::as_nano);
        if set.replaces.as_ref().is_some_and(|agreed| (agreed.credit_limit_nano, &agreed.terms) != (limit_nano, &wallet.terms)) {
            return Err(Refusal::Conflict);
        }
        let seq = self.post(operation, Vec::new())?;
        wallet.credit_limit = set.credit_limit_nano.map(Money::nano);
        wallet.terms = Arc::clone(&set.terms);
        self.keep_wallet(wallet);
        Ok(seq)
    }

    fn freeze(&mut self, operation: &Operation, name: &Arc<str>, frozen: bool) -> Result<i64, Refusal> {
        let mut wallet = self.wallet(name)?;
        let seq = self.post(operation, Vec::new())?;
        wallet.frozen = frozen;
        self.keep_wallet(wallet);
        Ok(seq)
    }

    fn top_up(&mut self, operation: &Operation, top_up: &TopUp) -> Result<i64, Refusal> {
        let wallet = self.wallet(&top_up.wallet)?;
        let (amount_nano, fee_nano) = (top_up.amount_nano, top_up.fee_nano);
        if amount_nano <= 0 || fee_nano < 0 {
            return Err(Refusal::TooLarge);
        }
        let clearing = self.account(AccountPath::PaymentClearing(&top_up.payment_provider));
        let mut postings = Vec::with_capacity(3);
        postings.extend(posting(clearing, wallet.cash, amount_nano, PostingCode::TopUp));
        if fee_nano > 0 {
            let fees = self.account(AccountPath::PaymentFee);
            postings.extend(posting(fees, clearing, fee_nano, PostingCode::PaymentFee));
        }
        postings.extend(self.repayment(&wallet, amount_nano));
        self.post(operation, postings)
    }

    /// Debt first, from all the cash there is after `amount_nano` came: an earlier release may have brought some back.
    fn repayment(&self, wallet: &Wallet, amount_nano: i64) -> Option<Posting> {
        let cash = self.state.balance(wallet.cash).credit_balance().saturating_add(amount_nano);
        posting(wallet.cash, wallet.receivable, debt(self.state, wallet).min(cash), PostingCode::RepayDebt)
    }

    /// Money that nobody knows the wallet of is owed all the same, so that what is at the payment provider stays true.
    fn unassigned(&mut self, operation: &Operation, unassigned: &UnassignedPayment) -> Result<i64, Refusal> {
        if unassigned.amount_nano <= 0 {
            return Err(Refusal::TooLarge);
        }
        let clearing = self.account(AccountPath::PaymentClearing(&unassigned.payment_provider));
        let waiting = self.account(AccountPath::Unassigned(&unassigned.payment_provider, &unassigned.payment));
        self.post(operation, posting(clearing, waiting, unassigned.amount_nano, PostingCode::TopUp).into_iter().collect())
    }

    /// All that is left of it: some may have been given back meanwhile.
    fn assign(&mut self, operation: &Operation, assign: &AssignPayment) -> Result<i64, Refusal> {
        let wallet = self.wallet(&assign.wallet)?;
        let path = AccountPath::Unassigned(&assign.payment_provider, &assign.payment).to_string();
        let waiting = self.state.accounts.get(path.as_str()).copied().ok_or(Refusal::BadAccount)?;
        let left = self.state.balance(waiting).credit_balance();
        let moved = posting(waiting, wallet.cash, left, PostingCode::TopUp).ok_or(Refusal::Exceeds { left: Money::ZERO })?;
        let postings = [Some(moved), self.repayment(&wallet, left)];
        self.post(operation, postings.into_iter().flatten().collect())
    }

    fn grant(&mut self, operation: &Operation, grant: &GrantMoney) -> Result<i64, Refusal> {
        let mut wallet = self.wallet(&grant.wallet)?;
        if grant.amount_nano <= 0 {
            return Err(Refusal::TooLarge);
        }
        let (promo, account) = (self.account(AccountPath::Promo), self.account(AccountPath::Grant(&grant.wallet, &grant.grant)));
        let given = posting(promo, account, grant.amount_nano, PostingCode::Grant);
        let seq = self.post(operation, given.into_iter().collect())?;
        wallet.place(Grant {
            name: Arc::clone(&grant.grant),
            account,
            priority: grant.priority,
            expires_at: grant.expires_at_ms.map(Timestamp),
        });
        self.keep_wallet(wallet);
        Ok(seq)
    }

    /// What is left of a grant whose day has come. Money that open orders hold comes back to it and expires with the next call.
    pub(super) fn expire_grant(&mut self, name: &Arc<str>, grant: &Arc<str>) -> Decided {
        let wallet = self.wallet(name)?;
        let grant = wallet.grants.iter().find(|known| known.name == *grant).ok_or(Refusal::UnknownGrant)?;
        let left = self.state.balance(grant.account).credit_balance();
        if left == 0 || grant.expires_at.is_none_or(|at| at > self.now) {
            return Ok(Reply::Done { seq: self.state.last_seq, duplicate: true });
        }
        let promo = self.account(AccountPath::Promo);
        let payload = GrantEndPayload { wallet: Arc::clone(name), grant: Arc::clone(&grant.name), amount_nano: left };
        let gone = posting(grant.account, promo, left, PostingCode::GrantExpired);
        let event = self.event(EventKind::GrantExpired, &payload, gone.into_iter().collect());
        let seq = self.append(event)?;
        self.move_in(name);
        Ok(Reply::Done { seq, duplicate: false })
    }

    /// Cash leaves the wallet at once; it reaches the payment provider's account when the provider says that it was paid.
    fn cash_out(&mut self, operation: &Operation, payment: &Payment) -> Result<i64, Refusal> {
        let wallet = self.wallet(&payment.wallet)?;
        let left = self.state.balance(wallet.cash).credit_balance();
        if payment.amount_nano <= 0 || payment.amount_nano > left {
            return Err(Refusal::Exceeds { left: Money::nano(left) });
        }
        let leaving = self.account(AccountPath::CashOut(&payment.wallet));
        self.post(operation, posting(wallet.cash, leaving, payment.amount_nano, PostingCode::CashOut).into_iter().collect())
    }

    fn end_cash_out(&mut self, operation: &Operation, payment: &Payment, paid: bool) -> Result<i64, Refusal> {
        let wallet = self.wallet(&payment.wallet)?;
        let leaving = self.account(AccountPath::CashOut(&payment.wallet));
        let left = self.state.balance(leaving).credit_balance();
        if payment.amount_nano <= 0 || payment.amount_nano > left {
            return Err(Refusal::Exceeds { left: Money::nano(left) });
        }
        let to = if paid { self.account(AccountPath::PaymentClearing(&payment.payment_provider)) } else { wallet.cash };
        self.post(operation, posting(leaving, to, payment.amount_nano, PostingCode::CashOut).into_iter().collect())
    }

    /// The payer took the money back: from cash, the rest is owed; the wallet is frozen until someone has looked at it.
    fn chargeback(&mut self, operation: &Operation, payment: &Payment) -> Result<i64, Refusal> {
        let mut wallet = self.wallet(&payment.wallet)?;
        if payment.amount_nano <= 0 {
            return Err(Refusal::TooLarge);
        }
        let clearing = self.account(AccountPath::PaymentClearing(&payment.payment_provider));
        let postings = self.taken_back(&wallet, clearing, payment.amount_nano, PostingCode::Chargeback);
        let seq = self.post(operation, postings)?;
        wallet.frozen = true;
        self.keep_wallet(wallet);
        Ok(seq)
    }

    /// The payment provider has given money back already: like a chargeback, but by our own side, so nothing is frozen.
    fn paid_back(&mut self, operation: &Operation, payment: &Payment) -> Result<i64, Refusal> {
        let wallet = self.wallet(&payment.wallet)?;
        if payment.amount_nano <= 0 {
            return Err(Refusal::TooLarge);
        }
        let clearing = self.account(AccountPath::PaymentClearing(&payment.payment_provider));
        let postings = self.taken_back(&wallet, clearing, payment.amount_nano, PostingCode::CashOut);
        self.post(operation, postings)
    }

    /// From cash, the rest is owed.
    fn taken_back(&self, wallet: &Wallet, clearing: AccountId, amount_nano: i64, code: PostingCode) -> Vec<Posting> {
        let from_cash = self.state.balance(wallet.cash).credit_balance().clamp(0, amount_nano);
        let taken = [(wallet.cash, from_cash), (wallet.receivable, amount_nano - from_cash)];
        taken.into_iter().filter_map(|(from, amount)| posting(from, clearing, amount, code)).collect()
    }

    fn payout(&mut self, operation: &Operation, payout: &Payout) -> Result<i64, Refusal> {
        if payout.amount_nano <= 0 {
            return Err(Refusal::TooLarge);
        }
        let (bank, clearing) = (self.account(AccountPath::Bank), self.account(AccountPath::PaymentClearing(&payout.payment_provider)));
        self.post(operation, posting(bank, clearing, payout.amount_nano, PostingCode::Payout).into_iter().collect())
    }

    /// What was accrued is settled by what was paid; the difference is variance, either way.
    fn invoice(&mut self, operation: &Operation, invoice: &Invoice) -> Result<i64, Refusal> {
        if invoice.accrued_nano < 0 || invoice.paid_nano < 0 || (invoice.accrued_nano, invoice.paid_nano) == (0, 0) {
            return Err(Refusal::TooLarge);
        }
        let (payable, bank) = (self.account(AccountPath::Payable(&invoice.provider)), self.account(AccountPath::Bank));
        let mut postings = Vec::with_capacity(2);
        let difference = invoice.accrued_nano - invoice.paid_nano;
        if difference != 0 {
            let variance = self.account(AccountPath::ProviderVariance);
            postings.extend(posting(payable, variance, difference, PostingCode::Variance));
            postings.extend(posting(variance, payable, -difference, PostingCode::Variance));
        }
        postings.extend(posting(payable, bank, invoice.paid_nano, PostingCode::Invoice));
        self.post(operation, postings)
    }

    /// A compensating entry. Held accounts are the sum of their orders, so no correction may touch them.
    fn adjust(&mut self, operation: &Operation, adjust: &Adjust) -> Result<i64, Refusal> {
        let account = |desk: &mut Self, path: &str| match AccountPath::parse(path).ok_or(Refusal::BadAccount)? {
            AccountPath::Held(_) => Err(Refusal::BadAccount),
            AccountPath::Cash(_) | AccountPath::Receivable(_) | AccountPath::Grant(..) | AccountPath::CashOut(_) => {
                desk.state.accounts.get(path).copied().or_else(|| desk.state.wallet_account(path)).ok_or(Refusal::BadAccount)
            }
            other => Ok(desk.account(other)),
        };
        let (debit, credit) = (account(self, &adjust.debit)?, account(self, &adjust.credit)?);
        if debit == credit {
            return Err(Refusal::BadAccount);
        }
        if adjust.amount_nano <= 0 {
            return Err(Refusal::TooLarge);
        }
        if let Some(AccountPath::Receivable(name)) = AccountPath::parse(&adjust.credit) {
            // Only what is owed for good: what open holds have lent goes back when their orders end.
            let left = debt(self.state, &self.wallet(&name.into())?);
            if adjust.amount_nano > left {
                return Err(Refusal::Exceeds { left: Money::nano(left) });
            }
        }
        self.post(operation, posting(debit, credit, adjust.amount_nano, PostingCode::Adjust).into_iter().collect())
    }

    /// What a provider bills otherwise than we booked it: between the provider's accounts and the platform's own, never a wallet's.
    /// Where only counts differ nothing moves.
    fn close_gap(&mut self, operation: &Operation, close: &CloseGap) -> Result<i64, Refusal> {
        if self.state.last_true_up_seq > close.as_of_seq {
            return Err(Refusal::Conflict);
        }
        let account = |desk: &mut Self, path: &str| match AccountPath::parse(path).ok_or(Refusal::BadAccount)? {
            AccountPath::Cash(_)
            | AccountPath::Held(_)
            | AccountPath::Receivable(_)
            | AccountPath::Grant(..)
            | AccountPath::CashOut(_)
            | AccountPath::PaymentClearing(_)
            | AccountPath::Unassigned(..)
            | AccountPath::PaymentFee
            | AccountPath::Bank
            | AccountPath::Promo
            | AccountPath::Builder(_)
            | AccountPath::UsageRevenue
            | AccountPath::FeeRevenue => Err(Refusal::BadAccount),
            other @ (AccountPath::Payable(_)
            | AccountPath::Suspense(_)
            | AccountPath::Cogs(_)
            | AccountPath::ProviderVariance
            | AccountPath::LossFailover
            | AccountPath::LossUndelivered
            | AccountPath::LossCrash
            | AccountPath::LossEstimate) => Ok(desk.account(other)),
        };
        if close.moves.len() > MAX_POSTINGS || close.moves.iter().any(|one| one.amount_nano <= 0) {
            return Err(Refusal::TooLarge);
        }
        let mut postings = Vec::with_capacity(close.moves.len());
        for one in &close.moves {
            let (debit, credit) = (account(self, &one.debit)?, account(self, &one.credit)?);
            if debit == credit {
                return Err(Refusal::BadAccount);
            }
            postings.extend(posting(debit, credit, one.amount_nano, PostingCode::Adjust));
        }
        self.post(operation, postings)
    }
}
