"""An overrun rolls the settlement back: the provider bills more than was reserved, and the whole booking fails.

Elsewhere: the actual cost exceeded the balance, so the settlement was rolled back and the reservation released: the
tokens were free (DEEIX #471, PR 477). Here finalizing never fails for lack of funds: the hold is used up, then cash,
then credit up to its limit; what is beyond is the platform's loss and is named, and who owes gets nothing more until
it is paid.
"""

from collections.abc import Iterator

import pytest

from pitfalls.tenant import INPUT, OUTPUT, Opener, Tenant, administer, code, counted, metric, nano, usd
from support import Door, events

# A call that was bounded to 20 tokens of output and is billed for 10 000.
BILLED = counted(1000, 10_000)
COST = 1000 * INPUT + 10_000 * OUTPUT


@pytest.fixture
def overrun(native: Door) -> Iterator[Door]:
    native.site.twin.script({"usage": BILLED})
    yield native
    native.site.reset()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_cash_pays_what_the_hold_does_not(overrun: Door, tenant: Opener, stream: bool) -> None:
    payer = tenant(10**9, hold="strict")
    order = payer.served(stream=stream)
    assert nano(order["hold"]) < COST
    assert (order["state"], nano(order["charge"]), order["absorbed"]) == ("finalized", COST, None)
    assert nano(payer.wallet()["available"]) == 10**9 - COST


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_last_of_the_money_is_taken_and_the_rest_absorbed(overrun: Door, tenant: Opener, stream: bool) -> None:
    funds = 50_000
    payer = tenant(funds, hold="strict")
    order = payer.served(stream=stream)
    assert order["state"] == "finalized", "settled, not rolled back"
    assert (nano(order["charge"]), nano(order["absorbed"]), nano(order["cost"])) == (funds, COST - funds, COST)
    wallet = payer.wallet()
    assert (wallet["available"], wallet["held"], wallet["owed"]) == ("0.00", "0.00", "0.00")
    assert code(payer.chat()) == "insufficient_funds"


def test_credit_is_used_to_its_limit_and_paid_first(overrun: Door, tenant: Opener) -> None:
    funds, limit = 50_000, 100_000
    payer = tenant(funds, hold="strict", credit_limit=usd(limit))
    order = payer.served()
    assert (nano(order["charge"]), nano(order["absorbed"])) == (funds + limit, COST - funds - limit)
    assert nano(payer.wallet()["owed"]) == limit
    refused = payer.chat()
    assert (refused.status_code, code(refused)) == (402, "insufficient_funds")
    assert len(overrun.site.calls()) == 1, "nothing more on credit"
    administer(overrun, "wallet.topup", wallet=payer.name, amount=usd(250_000), reference=f"debt of {payer.name}")
    wallet = payer.wallet()
    assert (wallet["owed"], nano(wallet["cash"])) == ("0.00", 250_000 - limit)
    assert payer.chat().status_code == 200


def test_a_budget_learns_what_was_really_spent(overrun: Door, tenant: Opener) -> None:
    """It is over its cap, and refuses the next call instead of forgetting the overrun."""
    payer = tenant()
    budget = payer.limit(amount=usd(100_000))
    assert nano(payer.served()["charge"]) == COST
    used = payer.budget(budget)
    assert (nano(used["spent_known"]), used["held"], used["left"]) == (COST, "0.00", "0.00")
    assert code(payer.chat()) == "budget_exceeded"


def test_the_metrics_tell_what_was_charged(overrun: Door, tenant: Opener) -> None:
    name = "gotoai_charged_nano_usd_total"
    payer, before = tenant(50_000, hold="strict"), metric(overrun, name)
    assert nano(payer.served()["charge"]) == metric(overrun, name) - before


def pages(payer: Tenant) -> set[int]:
    orders = [payer.client.get(f"/orders/{order}").json() for order in payer.orders()]
    return {payer.spent(), sum(nano(order["charge"]) for order in orders)}


def test_streams_that_grow_together_end_where_the_money_ends(native: Door, tenant: Opener) -> None:
    """Without a bound of their own, on holds that grow: none of them runs past what is left."""
    funds = 4000 * OUTPUT
    payer = tenant(funds, hold="metered")
    native.site.twin.script({"reply_text": events(6000), "content_type": "text/event-stream", "times": 0})
    replies = payer.storm(6, callers=6, stream=True, max_tokens=None)
    payer.rests()
    orders = [payer.receipt(reply) for reply in replies if reply.status_code == 200]
    assert {order["finish"] for order in orders} == {"cap_reached"}
    assert all(nano(order["charge"]) <= nano(order["hold"]) and order["absorbed"] is None for order in orders)
    assert pages(payer) == {funds - nano(payer.wallet()["cash"])}


def test_many_overruns_at_once_never_make_money(native: Door, tenant: Opener) -> None:
    native.site.twin.script({"usage": BILLED, "times": 0})
    funds = 3 * COST
    payer = tenant(funds, hold="strict")
    payer.storm(24)
    assert pages(payer) == {funds}
    wallet = payer.wallet()
    assert (wallet["cash"], wallet["held"], wallet["owed"]) == ("0.00", "0.00", "0.00")
    native.site.reset()
