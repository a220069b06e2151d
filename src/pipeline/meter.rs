//! Owns: the in-flight meter of a stream without a bound: how many output tokens the hold covers, and the hold's growth while
//! they pass.
//! Refuses to know: the bytes of the stream (relay), and who may have more (ledger).

use super::reserve::OpenOrder;
use crate::base::Money;
use crate::domain::ledger::{Command, Reply, Ticket};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Output tokens that a hold covers at first, and by which it grows.
pub(super) const STEP_TOKENS: u64 = 1024;

/// The meter of one stream.
pub(super) struct Meter {
    /// Output tokens that what is held pays for.
    covered: u64,
    held: Money,
    growing: Option<Ticket>,
    /// The wallet or a budget gives no more.
    exhausted: bool,
}

/// May the stream go on?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Go {
    On,
    /// What has passed is all that is paid for.
    Stop,
}

impl Meter {
    pub(super) fn new(covered: u64, held: Money) -> Self {
        Self { covered, held, growing: None, exhausted: false }
    }

    /// `delivered` output tokens have passed. Asks for more before the hold is used up, and waits for the answer only once it
    /// is.
    pub(super) fn poll(&mut self, order: &OpenOrder, delivered: u64, cx: &mut Context<'_>) -> Poll<Go> {
        loop {
            if let Some(ticket) = &mut self.growing {
                match Pin::new(ticket).poll(cx) {
                    Poll::Ready(answer) => {
                        self.growing = None;
                        match answer {
                            Ok(Reply::Held { hold }) => self.grew(order, hold),
                            Ok(Reply::Done { .. } | Reply::Settled { .. } | Reply::Refused(_)) | Err(_) => self.exhausted = true,
                        }
                    }
                    Poll::Pending if delivered < self.covered => return Poll::Ready(Go::On),
                    Poll::Pending => return Poll::Pending,
                }
            } else if self.exhausted {
                return Poll::Ready(if delivered < self.covered { Go::On } else { Go::Stop });
            } else if delivered + STEP_TOKENS / 4 >= self.covered {
                self.grow(order);
            } else {
                return Poll::Ready(Go::On);
            }
        }
    }

    /// Asks for as much more as one step costs.
    fn grow(&mut self, order: &OpenOrder) {
        let wanted = order.bound(self.covered + STEP_TOKENS);
        let by = wanted.and_then(|wanted| wanted.checked_sub(self.held)).filter(|by| !by.is_negative() && !by.is_zero());
        match (by, &order.cx.pipeline.ledger) {
            (Some(by), Some(ledger)) => self.growing = Some(ledger.submit(Command::Extend { order: order.cx.order, by })),
            // A step that costs nothing needs no hold.
            (None, _) if wanted.is_some() => self.covered += STEP_TOKENS,
            (Some(_) | None, _) => self.exhausted = true,
        }
    }

    /// Wallets and budgets may have given less than a step.
    fn grew(&mut self, order: &OpenOrder, hold: Money) {
        self.held = hold;
        let whole = self.covered + STEP_TOKENS;
        let covered = order.affordable(hold, self.covered, whole);
        self.exhausted = covered < whole;
        self.covered = covered;
    }
}
