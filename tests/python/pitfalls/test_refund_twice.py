"""Refunded twice: a cleanup or a refund runs again, and money comes out of nothing.

Elsewhere: a failed task's quota was returned by its poller, its timeout and its handler, because amount and status
were written apart; cleanup after a failure gave the same reservation back twice (litellm #35569, new-api #5556, PR
6089). Here an order ends once, in the transaction that moves the money, and refunds of it never come to more than it
was charged.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from pitfalls.tenant import Opener, Tenant, abandon, counted, nano, serving, usd
from support import Door, Site

AT_ONCE = 24


def refunds(order: str, doors: list[Door], asked: list[dict[str, Any]]) -> list[httpx.Response]:
    """Asked for at the same time, at each door in turn."""

    def ask(n: int) -> httpx.Response:
        return doors[n % len(doors)].post("/admin/wallet.refund", json={"order": order, **asked[n]})

    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(ask, range(len(asked))))


def charged(payer: Tenant, door: Door) -> tuple[str, int]:
    """A call of 100 000 nano-dollars and a little."""
    door.site.twin.script({"usage": counted(600, 20)})
    order = payer.served()
    return order["order"], nano(order["charge"])


def test_the_same_refund_from_everywhere_counts_once(site: Site, tenant: Opener) -> None:
    with serving(site) as one, serving(site) as other:
        payer = tenant(10**9, door=one)
        order, charge = charged(payer, one)
        asked = [{"reason": "wrong answer"}] * AT_ONCE
        replies = refunds(order, [one, other], asked)
        assert {reply.status_code for reply in replies} == {200}
        assert Counter(reply.json()["duplicate"] for reply in replies) == {False: 1, True: AT_ONCE - 1}
        assert nano(payer.wallet()["cash"]) == 10**9
        assert len(payer.entries("refund")) == 1
        assert charge > 0


def test_different_refunds_never_come_to_more_than_the_charge(native: Door, tenant: Opener) -> None:
    payer = tenant(10**9)
    order, charge = charged(payer, native)
    part = charge // 4
    asked = [{"reason": "goodwill", "reference": f"case {n}", "amount": usd(part)} for n in range(AT_ONCE)]
    statuses = Counter(reply.status_code for reply in refunds(order, [native], asked))
    assert statuses == {200: charge // part, 400: AT_ONCE - charge // part}
    assert nano(payer.wallet()["cash"]) == 10**9 - charge + charge // part * part


def test_what_was_never_charged_is_not_refunded(native: Door, tenant: Opener) -> None:
    payer = tenant(10**9)
    native.site.twin.script({"status": 400})
    failed = payer.chat().headers["x-gotoai-order"]
    (reply,) = refunds(failed, [native], [{"reason": "it failed"}])
    assert (reply.status_code, nano(payer.wallet()["cash"])) == (409, 10**9)


def test_a_call_that_fails_while_its_caller_leaves_ends_once(site: Site, tenant: Opener) -> None:
    """The provider's failure, its silence and the leaving caller each end the order. One of them does."""
    with serving(site, HTTP_IDLE_TIMEOUT="300ms", HTTP_RESPONSE_HEADER_TIMEOUT="300ms", RETRY_MAX_RETRIES="0") as door:
        payer = tenant(10**9, door=door)
        steps = [
            {"cut_after_events": 2},
            {"stall_after_events": 1},
            {"stream_error_after_events": 1},
            {"end_after_events": 1},
        ]
        site.twin.script(*steps * 8)

        def leave(_: int) -> None:
            with payer.stream() as reply:
                next(reply.iter_raw())

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(leave, range(4 * 8)))
        site.twin.script({"stall": True, "times": 0})
        abandon(payer)
        payer.rests()
        ends = Counter(entry["order"] for entry in payer.entries() if entry["order"])
        orders = payer.orders()
        assert len(orders) == 4 * 8 + 1
        assert ends == dict.fromkeys(orders, 2), "one reserve, one end"
        charges = sum(nano(site.books.order(order)["charge"] or "0.00") for order in orders)
        assert nano(payer.wallet()["cash"]) == 10**9 - charges
