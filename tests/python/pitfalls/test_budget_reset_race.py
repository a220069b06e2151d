"""The reset of a budget races with spending: a counter is set to zero while calls add to it, and one of them is lost.

Elsewhere: a job reset the counters of a period with the values it had read before, so that spending in between
vanished or the old period's spending stayed (litellm #34733). Here nothing is reset: a new period is a new row, and a
call stays in the period in which it was admitted.
"""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from pitfalls.tenant import Opener, Tenant, administer, nano
from support import Door, events, eventually

CAP = 6


def turning_in(ms: int) -> dict[str, Any]:
    """Windows of a minute, of which one ends so soon."""
    return {"every": "custom", "span_minutes": 1, "from_ms": int(time.time() * 1000) + ms}


def turned(payer: Tenant, budget: str, before: str) -> None:
    eventually(lambda: payer.budget(budget)["window_start"] != before)


def milliseconds(time_text: str) -> int:
    return round(datetime.fromisoformat(time_text).timestamp() * 1000)


def test_calls_across_the_turn_are_each_in_one_period(native: Door, tenant: Opener) -> None:
    """Callers press on while the period turns: neither period admits more than its cap, and the new one all of it."""
    payer = tenant()
    budget = payer.limit(period=turning_in(1500), requests=CAP, status=429)
    first = payer.budget(budget)["window_start"]

    def press(_: int) -> None:
        full = 0
        while full < 3:
            reply = payer.chat()
            assert reply.status_code in {200, 429}
            full += reply.status_code == 429 and payer.budget(budget)["window_start"] != first

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(press, range(8)))
    used = payer.budget(budget)
    turn = milliseconds(used["window_start"])
    created = [milliseconds(native.site.books.order(order)["created_at"]) for order in payer.orders()]
    admitted = Counter(at >= turn for at in created)
    assert admitted == {False: CAP, True: CAP}
    assert (used["spent_known"], used["held"], used["left"]) == (CAP, 0, 0)


def test_what_began_before_the_turn_is_spent_before_it(native: Door, tenant: Opener) -> None:
    """A stream over the turn holds nothing of the new period, and its charge does not come out of it."""
    payer = tenant()
    hold = payer.hold()
    budget = payer.limit(period=turning_in(1500), amount="0.01")
    before = payer.budget(budget)["window_start"]
    native.site.twin.script({"reply_text": events(9), "stall_after_events": 3})
    with payer.stream() as reply:
        chunks = reply.iter_raw()
        next(chunks)
        assert nano(payer.budget(budget)["held"]) == hold
        turned(payer, budget, before)
        assert payer.wallet()["open_orders"] == 1
        fresh = payer.budget(budget)
        assert (fresh["held"], fresh["spent_known"], fresh["left"]) == ("0.00", "0.00", "0.01")
        charge = nano(payer.served()["charge"])
        del chunks
    assert nano(payer.receipt(reply)["charge"]) > 0
    used = payer.budget(budget)
    assert (nano(used["spent_known"]), used["held"]) == (charge, "0.00")
    # Both are in the wallet, which knows no periods.
    assert payer.spent() > charge


def test_a_refund_goes_back_to_the_period_it_came_from(native: Door, tenant: Opener) -> None:
    payer = tenant()
    budget = payer.limit(period=turning_in(1500), amount="0.01")
    before = payer.budget(budget)["window_start"]
    order = payer.served()
    turned(payer, budget, before)
    charge = nano(payer.served()["charge"])
    administer(native, "wallet.refund", order=order["order"], reason="wrong answer")
    # Whichever side of the turn the first call fell on, the second one is spent and the first one is not.
    assert nano(payer.budget(budget)["spent_known"]) == charge
