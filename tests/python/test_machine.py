"""Random histories through the Python API: whatever callers do and providers answer, every wallet's figures follow from
what was paid in and from the charges that callers were told, nothing stays held, and the books prove themselves."""

import asyncio
import contextlib
import itertools
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from decimal import ROUND_UP, Decimal
from pathlib import Path
from typing import Any

import httpx
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import gotoai
from gotoai.testing import Twin
from support import CHAT, MESSAGES, MODEL, Site, Step, eventually
from support import settings as environment

REQUESTS = 6  # what the key's budget allows
OURS, TEAMS = "default", "team"

amounts = st.integers(1, 300).map(lambda cents: Decimal(cents) / 100)
wallets = st.sampled_from([OURS, TEAMS])
places = st.integers(0, 4)
# What a provider may do to a call. After three attempts in a row it has failed for good.
faults: st.SearchStrategy[list[Step]] = st.one_of(
    st.just([]),
    st.builds(
        lambda step, times: [step] * times,
        st.sampled_from(
            [
                {"status": 500},
                {"status": 429},
                {"status": 400},
                {"close": True},
                {"garbage": True},
                {"truncate": 20},
                {"omit_usage": True},
                {"usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}},
                {"usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}},
            ]
        ),
        st.integers(1, 3),
    ),
)
stream_faults: st.SearchStrategy[list[Step]] = st.one_of(
    faults,
    st.builds(
        lambda how, after: [{how: after}],
        st.sampled_from(["cut_after_events", "end_after_events", "stream_error_after_events"]),
        places,
    ),
)


class Left(Exception):  # noqa: N818 - no error: the consumer has seen enough
    """What a consumer raises in the middle of a stream."""


@dataclass
class Wallet:
    """What a wallet should be, from what was done to it."""

    paid_in: Decimal = Decimal(0)
    paying_out: Decimal = Decimal(0)
    frozen: bool = False
    # By order: what it was charged, and what of that was given back.
    charged: dict[str, Decimal] = field(default_factory=dict)
    refunded: dict[str, Decimal] = field(default_factory=dict)

    @property
    def spent(self) -> Decimal:
        return sum(self.charged.values(), Decimal(0)) - sum(self.refunded.values(), Decimal(0))


class Callers(RuleBasedStateMachine):
    """One ledger, two gateways on it: one for callers that block and for HTTP, one for asyncio."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="gotoai-"))
        self.twin = Twin()
        self.stack.callback(self.twin.close)
        env = environment(self.twin.url, Path(self.folder), GOTOAI_DURABILITY="relaxed")
        self.site = Site(self.twin, env)
        self.gateway = self.stack.enter_context(gotoai.SyncGateway(env=env))
        self.runner = self.stack.enter_context(asyncio.Runner())
        self.other = gotoai.Gateway(env=env)
        self.stack.callback(lambda: self.runner.run(self.other.aclose()))
        self.http = self.stack.enter_context(httpx.Client(base_url=self.gateway.listen(), timeout=30))
        self.references = map(str, itertools.count())
        self.wallets = {OURS: Wallet(), TEAMS: Wallet()}
        self.seen = 0
        self.cancelled = 0
        self.key = ""
        self.replies: dict[str, httpx.Response] = {}

    def admin(self, operation: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON
        return self.gateway.admin(operation, **arguments)

    @initialize(kind=st.sampled_from(["prepaid", "postpaid"]), hold=st.sampled_from(["strict", "clamp"]))
    def opened(self, kind: str, hold: str) -> None:
        limit = {"credit_limit": "0.50"} if kind == "postpaid" else {}
        self.admin("wallet.create", wallet=TEAMS, kind=kind, **limit)
        self.admin("wallet.terms", wallet=TEAMS, hold=hold, reason="contract", **limit)
        made = self.admin("keys.create", name="app", wallet=TEAMS, user_path="/team/app")
        self.key = made["secret"]
        self.admin(
            "budget.create", name="few", period={"every": "lifetime"}, requests=REQUESTS, status=429, user_path="/team"
        )
        self.admin("budget.create", name="sum", period={"every": "lifetime"}, amount="100", key=made["id"])

    # Money

    @rule(wallet=wallets, amount=amounts, again=st.booleans())
    def top_up(self, wallet: str, amount: Decimal, again: bool) -> None:
        reference = next(self.references)
        for _ in range(1 + again):
            self.admin("wallet.topup", wallet=wallet, amount=str(amount), reference=reference)
        self.wallets[wallet].paid_in += amount

    @rule(wallet=wallets, amount=amounts, grant=st.sampled_from(["g", "h"]), priority=st.integers(0, 2))
    def grant(self, wallet: str, amount: Decimal, grant: str, priority: int) -> None:
        reference = next(self.references)
        self.admin(
            "wallet.grant", wallet=wallet, grant=grant, amount=str(amount), priority=priority, reference=reference
        )
        self.wallets[wallet].paid_in += amount

    @rule(wallet=wallets, amount=amounts)
    def charge_back(self, wallet: str, amount: Decimal) -> None:
        self.admin("wallet.chargeback", wallet=wallet, amount=str(amount), reference=next(self.references))
        self.wallets[wallet].paid_in -= amount
        self.wallets[wallet].frozen = True

    @rule(wallet=wallets, amount=amounts, result=st.sampled_from(["paid", "failed", ""]))
    def cash_out(self, wallet: str, amount: Decimal, result: str) -> None:
        reference, model = next(self.references), self.wallets[wallet]
        has_it = Decimal(self.admin("wallet.balance", wallet=wallet)["cash"]) >= amount
        try:
            self.admin("wallet.cash_out", wallet=wallet, amount=str(amount), reference=reference)
        except gotoai.GatewayError:
            assert not has_it
            return
        assert has_it
        if result:
            self.admin("wallet.cash_out_end", reference=reference, result=result)
        else:
            model.paying_out += amount
        if result != "failed":
            model.paid_in -= amount

    @rule(wallet=wallets, frozen=st.booleans())
    def freeze_or_thaw(self, wallet: str, frozen: bool) -> None:
        self.admin("wallet.freeze" if frozen else "wallet.thaw", wallet=wallet, reason="looked at")
        self.wallets[wallet].frozen = frozen

    @rule(which=st.integers(0, 100), permille=st.integers(1, 1001), again=st.booleans())
    def refund(self, which: int, permille: int, again: bool) -> None:
        charged = [(model, order) for model in self.wallets.values() for order in model.charged]
        if not charged:
            return
        model, order = charged[which % len(charged)]
        left = model.charged[order] - model.refunded.get(order, Decimal(0))
        amount = (left * permille / 1000).quantize(Decimal("1e-9"), ROUND_UP) if left else Decimal("1e-9")
        reference = next(self.references)
        for _ in range(1 + again):
            try:
                self.admin("wallet.refund", order=order, amount=f"{amount:f}", reason="wrong", reference=reference)
            except gotoai.GatewayError:
                assert amount > left
                return
        assert amount <= left
        model.refunded[order] = model.refunded.get(order, Decimal(0)) + amount

    # Calls

    def booked(self, wallet: str) -> list[Any]:
        """The wallet's orders since the last look, at rest. One a call; what was cancelled may come later."""
        eventually(lambda: not any(one["open_orders"] for one in self.admin("wallet.list")["wallets"]))
        entries = self.admin("ledger.entries", after_seq=self.seen, limit=10_000)["entries"]
        orders = [self.settled(entry["order"]) for entry in entries if entry["kind"] == "reserve"]
        self.seen = max([self.seen, *(entry["seq"] for entry in entries)])
        for order in orders:
            if Decimal(order["charge"] or 0):
                self.wallets[order["wallet"]].charged[order["order"]] = Decimal(order["charge"])
        assert sum(order["wallet"] == OURS for order in orders) <= (wallet == OURS) + self.cancelled
        return [order for order in orders if order["wallet"] == wallet]

    def settled(self, order: str) -> Any:  # noqa: ANN401 - JSON
        eventually(lambda: self.admin("ledger.order", id=order)["finished_at"])
        return self.admin("ledger.order", id=order)

    @contextlib.contextmanager
    def calling(self, script: list[Step]) -> Iterator[None]:
        """Around a call of our own: an error is an answer too, and a frozen wallet's only one."""
        self.site.reset()
        self.twin.script(*script)
        code: str | None = None
        try:
            yield
        except gotoai.GatewayError as error:
            code = error.code
        except Left:
            pass
        assert code is None or (code == "wallet_frozen") == self.wallets[OURS].frozen

    @rule(script=faults)
    def call(self, script: list[Step]) -> None:
        told: list[gotoai.Receipt] = []
        with self.calling(script):
            told.append(self.gateway.chat.completions.create(model=MODEL, messages=MESSAGES).receipt)
        orders = {order["order"]: Decimal(order["charge"] or 0) for order in self.booked(OURS)}
        if told:
            # Not the last of them, if one that was cancelled comes late.
            assert [orders.get(one.order) for one in told] == [one.charge for one in told]
        elif self.wallets[OURS].frozen:
            assert len(orders) <= self.cancelled

    @rule(script=stream_faults, chunks=places, how=st.sampled_from(["read", "close", "raise"]))
    def stream(self, script: list[Step], chunks: int, how: str) -> None:
        with (
            self.calling(script),
            self.gateway.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True) as stream,
        ):
            for n, _ in enumerate(stream):
                if n == chunks and how == "raise":
                    raise Left
                if n == chunks and how == "close":
                    break
        self.booked(OURS)

    @rule(script=faults, steps=st.integers(0, 60))
    def call_is_cancelled(self, script: list[Step], steps: int) -> None:
        async def cancelled() -> None:
            call = asyncio.ensure_future(self.other.chat.completions.create(model=MODEL, messages=MESSAGES))
            for _ in range(steps):
                await asyncio.sleep(0)
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await call

        with self.calling(script):
            self.runner.run(cancelled())
        self.cancelled += 1
        self.booked(OURS)

    @rule(script=stream_faults, chunks=places, how=st.sampled_from(["read", "close", "raise", "cancel", "drop"]))
    def stream_of_asyncio(self, script: list[Step], chunks: int, how: str) -> None:
        async def read() -> None:
            stream = await self.other.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
            if how == "drop":
                return
            async with stream:
                async for n, _ in counted(stream):
                    if n == chunks and how == "raise":
                        raise Left
                    if n == chunks and how == "close":
                        return
                    if n == chunks and how == "cancel":
                        task = asyncio.current_task()
                        assert task is not None
                        task.cancel()

        async def apart() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.ensure_future(read())

        with self.calling(script):
            self.runner.run(apart())
        self.booked(OURS)

    @rule(script=faults, mark=st.sampled_from([None, "k1", "k2"]), max_tokens=st.sampled_from([None, 16, 1000]))
    def call_of_the_team(self, script: list[Step], mark: str | None, max_tokens: int | None) -> None:
        """With a key over HTTP: its wallet, its budgets, and its marks."""
        self.site.reset()
        self.twin.script(*script)
        model, used = self.wallets[TEAMS], self.used()
        body = CHAT | ({"max_tokens": max_tokens} if max_tokens else {})
        headers = {"authorization": f"Bearer {self.key}"}
        before = self.replies.get(f"{mark}-{max_tokens}")
        if mark:
            headers["idempotency-key"] = f"{mark}-{max_tokens}"
        reply = self.http.post("/v1/chat/completions", json=body, headers=headers)
        orders = self.booked(TEAMS)
        if before is not None:
            assert (reply.content, reply.headers["idempotent-replayed"], orders) == (before.content, "true", [])
            return
        if reply.status_code == 200:
            assert len(orders) == 1
            assert Decimal(reply.headers["x-gotoai-charge"]) == Decimal(orders[0]["charge"])
            assert not model.frozen
            assert used < REQUESTS
            if mark:
                self.replies[f"{mark}-{max_tokens}"] = reply
        code = reply.json().get("error", {}).get("code") if reply.status_code != 200 else None
        if model.frozen:
            assert (reply.status_code, code, orders) == (403, "wallet_frozen", []), reply.text
        elif code == "insufficient_funds":
            # Nothing it may cost without a bound is more than this.
            assert Decimal(self.admin("wallet.balance", wallet=TEAMS)["available"] or 0) < Decimal("0.05")
        elif code not in {"idempotency_running", "replay_unavailable"}:
            assert (code == "budget_rate_limited") == (used >= REQUESTS)

    def used(self) -> int:
        return int(self.budget("few")["spent_known"])

    def budget(self, name: str) -> Any:  # noqa: ANN401 - JSON
        return next(one for one in self.admin("budget.list")["budgets"] if one["name"] == name)

    # What always holds

    @invariant()
    def figures_are_explained(self) -> None:
        # A cancelled call may still be on its way to its order, so one look decides: at the next one it may have come.
        looks: list[list[Any]] = []

        def is_explained() -> bool:
            looks.append(self.unexplained())
            return not looks[-1]

        with contextlib.suppress(AssertionError):
            eventually(is_explained)
        assert looks[-1] == []

    def unexplained(self) -> list[Any]:
        self.booked(TEAMS)
        pairs: list[tuple[object, object]] = []
        for name, model in self.wallets.items():
            shown = self.admin("wallet.balance", wallet=name)
            has = Decimal(shown["cash"]) + Decimal(shown["granted"]) - Decimal(shown["owed"])
            spent = Decimal(shown["spent_known"]) + Decimal(shown["spent_provisional"])
            pairs += [
                (shown["frozen"], model.frozen),
                ((shown["open_orders"], Decimal(shown["held"])), (0, 0)),
                (has, model.paid_in - model.spent),
                (spent, model.spent),
                (Decimal(shown["paying_out"]), model.paying_out),
            ]
        pairs.append((Decimal(self.budget("sum")["spent_known"]), self.wallets[TEAMS].spent))
        return [pair for pair in pairs if pair[0] != pair[1]]

    def teardown(self) -> None:
        try:
            proof = self.admin("ledger.verify")
            assert proof["ok"], [check for check in proof["checks"] if not check["ok"]]
            assert self.admin("ledger.rebuild", reason="looked at")["changes"] == []
        finally:
            self.stack.close()


async def counted(stream: AsyncIterator[Any]) -> AsyncIterator[tuple[int, Any]]:
    n = 0
    async for chunk in stream:
        yield n, chunk
        n += 1


Callers.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestCallers: Callable[..., Any] = Callers.TestCase
