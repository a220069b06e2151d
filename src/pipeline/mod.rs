//! Floor 3: the one request path, one file a step. Read `Pipeline::run`: it is the table of contents.
//!
//! Every exit reaches settlement and the record. From the reserve on the call runs in a task of its own, which owns the
//! order: a client that leaves takes nothing with it.

mod authenticate;
mod call;
mod context;
mod execute;
mod gate;
mod guard;
mod in_flight;
mod meter;
mod quote;
mod recall;
mod record;
mod relay;
mod replay;
mod reserve;
mod resolve;
mod route;
mod settle;

pub use call::{Call, Credential, Reply, ReplyBody};
pub use guard::Guardrail;
pub use in_flight::InFlight;
pub use recall::ResponseCache;
pub use relay::Relay;

use crate::base::{Clock, Error, ErrorKind, Ratio, Result};
use crate::domain::catalog::{Catalog, MarkupRule};
use crate::domain::identity::KeyRing;
use crate::domain::ledger::{Ledger, WalletTerms};
use crate::domain::usage::Recorder;
use arc_swap::{ArcSwap, ArcSwapOption};
use context::Context;
use execute::Executed;
use in_flight::Flight;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What a call needs of the configuration. A call keeps the one it began with to its end.
pub struct Snapshot {
    pub catalog: Catalog,
    /// The platform's share on top of the provider's cost.
    pub fee: Ratio,
    /// The platform's own rules by provider and model; an organisation's stand in its wallet's terms.
    pub markup: Vec<MarkupRule>,
    pub hold_timeout: Duration,
    /// How long the answer to a marked request is kept, and how large it may be; 0: none is kept.
    pub answer_lifetime: Duration,
    pub answer_limit_bytes: usize,
    /// No call is served.
    pub kill_switch: bool,
    /// Nobody needs a key (loopback only).
    pub open: bool,
    pub guardrails: Vec<Arc<dyn Guardrail>>,
}

/// The path, with what every call shares.
pub struct Pipeline {
    pub clock: Clock,
    pub snapshot: ArcSwap<Snapshot>,
    pub keys: ArcSwap<KeyRing>,
    /// By wallet.
    pub terms: ArcSwap<HashMap<Arc<str>, WalletTerms>>,
    /// `None`: a pure proxy that books nothing.
    pub ledger: Option<Arc<dyn Ledger>>,
    /// Why no new call is taken: reconciliation has found the books broken.
    pub frozen: ArcSwapOption<String>,
    pub cache: Option<Arc<dyn ResponseCache>>,
    pub recorder: Arc<dyn Recorder>,
    pub in_flight: InFlight,
}

impl Pipeline {
    /// One request, from the door to the ledger. Every operation, every dialect and all doors come through here.
    pub async fn run(self: &Arc<Self>, call: Call) -> Reply {
        let mut cx = Box::new(Context::begin(Arc::clone(self), call));
        if let Err(error) = self.identify(&mut cx) {
            return cx.refuse(error);
        }
        match self.replay(&mut cx).await {
            Ok(None) => {}
            Ok(Some(reply)) => return cx.recalled(reply),
            Err(error) => return cx.refuse(error),
        }
        if let Err(error) = self.admit(&mut cx) {
            return cx.refuse(error);
        }
        if let Some(reply) = self.recall(&cx) {
            return cx.recalled(reply);
        }
        if let Err(error) = self.route(&mut cx) {
            return cx.refuse(error);
        }
        // Not awaited in place: dropping this future (the client left) must not drop the exchange with the provider.
        // Boxed, because the runtime moves a task's future several times and this one is large.
        let order = cx.order;
        let flight = self.in_flight.enter(order);
        #[expect(clippy::disallowed_methods, reason = "counted in flight: closing the gateway waits for the count")]
        let served = tokio::spawn(Box::pin(serve(cx, flight)));
        self.in_flight.carry(order, served.abort_handle());
        match served.await {
            Ok(reply) => reply,
            Err(stopped) if stopped.is_cancelled() => Reply::error(&stopping()),
            Err(panic) => {
                tracing::error!(%panic, "a request's task ended by panic; its order was settled on the way");
                Reply::error(&Error::new(ErrorKind::Internal, "the gateway failed on this request"))
            }
        }
    }

    fn identify(&self, cx: &mut Context) -> Result<()> {
        self.authenticate(cx)?;
        self.resolve(cx)
    }

    fn admit(&self, cx: &mut Context) -> Result<()> {
        self.guard(cx)?;
        self.gate(cx)
    }
}

fn stopping() -> Error {
    Error::new(ErrorKind::ShuttingDown, "the gateway shuts down; what was used so far is settled")
}

/// From the reserve on.
async fn serve(cx: Box<Context>, flight: Flight) -> Reply {
    let mut order = match reserve::reserve(cx, flight).await {
        Ok(order) => order,
        Err(reply) => return reply,
    };
    match execute::execute(&mut order).await {
        Executed::Whole(whole) => order.deliver(whole).await,
        Executed::Stream(stream) => order.relay(stream),
        Executed::Rejected(rejected) => order.reject(rejected).await,
        Executed::Failed(error) => order.fail(error).await,
    }
}
