"""Check-then-spend: a limit is read, the call is sent, and the spend is written afterwards.

Elsewhere: calls that arrive together all see the same balance, so a wallet or a budget that affords ten lets sixty
through, and replicas each compare with a copy of their own (litellm #34732 #26672 #40095, new-api #5690 #6609,
sub2api #3384 #2011, one-api PR 925, open-saas #727). Here the hold is taken in the transaction that looks at the
money.
"""

from collections import Counter

import httpx
import pytest

from pitfalls.tenant import INPUT, OUTPUT, SHORT, Opener, administer, counted, nano, serving, usd
from support import EMBEDDER, Door, Site

AFFORDED, CALLS = 10, 60


def statuses(replies: list[httpx.Response]) -> dict[int, int]:
    return dict(Counter(reply.status_code for reply in replies))


def costing_all(site: Site, hold: int) -> None:
    """From now on a call costs the whole of what is held for it: then it does not matter which one ends first."""
    prompt = (hold - OUTPUT * SHORT["max_tokens"]) // INPUT
    assert prompt * INPUT + OUTPUT * SHORT["max_tokens"] == hold
    site.twin.script({"usage": counted(prompt, SHORT["max_tokens"]), "times": 0})


@pytest.mark.parametrize("short_nano", [0, 1], ids=["for ten", "one nano-dollar short"])
def test_a_wallet_admits_what_it_affords(native: Door, tenant: Opener, short_nano: int) -> None:
    hold = tenant().hold()
    costing_all(native.site, hold)
    payer = tenant(AFFORDED * hold - short_nano, hold="strict")
    served = AFFORDED - short_nano
    assert statuses(payer.storm(CALLS)) == {200: served, 402: CALLS - served}
    assert len(native.site.calls()) == served + 1, "a refused call is not sent"
    left = nano(payer.wallet()["cash"])
    assert left == (AFFORDED - served) * hold - short_nano
    assert payer.spent() == served * hold


@pytest.mark.parametrize("short_nano", [0, 1], ids=["for ten", "one nano-dollar short"])
def test_a_budget_admits_what_it_affords(native: Door, tenant: Opener, short_nano: int) -> None:
    payer = tenant()
    hold = payer.hold()
    costing_all(native.site, hold)
    budget = payer.limit(amount=usd(AFFORDED * hold - short_nano), status=429)
    served = AFFORDED - short_nano
    assert statuses(payer.storm(CALLS)) == {200: served, 429: CALLS - served}
    used = payer.budget(budget)
    assert (nano(used["spent_known"]), nano(used["held"])) == (served * hold, 0)


@pytest.mark.parametrize("short_nano", [0, 1], ids=["for ten", "one nano-dollar short"])
def test_credit_is_given_to_its_limit(native: Door, tenant: Opener, short_nano: int) -> None:
    hold = tenant().hold()
    costing_all(native.site, hold)
    payer = tenant(credit_limit=usd(AFFORDED * hold - short_nano))
    served = AFFORDED - short_nano
    assert statuses(payer.storm(CALLS)) == {200: served, 402: CALLS - served}
    assert nano(payer.wallet()["owed"]) == served * hold


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_what_is_left_is_given_once(native: Door, tenant: Opener, stream: bool) -> None:
    """Calls that ask for more than there is are sent with the bound that is left: each nano-dollar covers one."""
    funds = 6 * tenant().hold()
    payer = tenant(funds, hold="clamp")
    replies = payer.storm(CALLS, max_tokens=16_000, stream=stream)
    assert set(statuses(replies)) == {200, 402}
    orders = [payer.receipt(reply) for reply in replies if reply.status_code == 200]
    assert all(nano(order["charge"]) <= nano(order["hold"]) and order["absorbed"] is None for order in orders)
    assert nano(payer.wallet()["cash"]) == funds - payer.spent()
    bounds = [call["body"]["max_tokens"] for call in native.site.calls()[1:]]
    assert len(bounds) == len(orders)
    assert all(bound * OUTPUT < funds for bound in bounds)


def test_a_hundred_at_once_and_a_budget_for_ten(native: Door, tenant: Opener) -> None:
    payer = tenant()
    budget = payer.limit(requests=AFFORDED, status=429)
    replies = payer.storm(100, callers=50)
    assert statuses(replies) == {200: AFFORDED, 429: 100 - AFFORDED}
    refused = next(reply for reply in replies if reply.status_code == 429)
    assert refused.json()["error"]["code"] == "budget_rate_limited"
    used = payer.budget(budget)
    assert (used["spent_known"], used["held"], used["left"]) == (AFFORDED, 0, 0)
    administer(native, "budget.remove", name=budget)
    assert payer.chat().status_code == 200


def test_no_operation_goes_past_a_budget(tenant: Opener) -> None:
    payer = tenant()
    payer.limit(requests=2)
    vectors = {"model": EMBEDDER, "input": "hello"}
    assert payer.chat(stream=True).status_code == 200
    assert payer.client.post("/embeddings", json=vectors).status_code == 200
    assert payer.client.post("/embeddings", json=vectors).status_code == 402
    assert payer.chat().status_code == 402


def test_limits_are_taken_together_or_not_at_all(tenant: Opener) -> None:
    """The narrowest of three decides, and what it refuses has taken nothing of the others."""
    payer = tenant()
    budgets = [payer.limit(requests=cap) for cap in (AFFORDED + 5, AFFORDED, AFFORDED + 9)]
    assert statuses(payer.storm(CALLS)) == {200: AFFORDED, 402: CALLS - AFFORDED}
    assert [payer.budget(name)["spent_known"] for name in budgets] == [AFFORDED] * 3


def test_two_gateways_on_one_ledger_have_one_wallet(site: Site, tenant: Opener) -> None:
    """Replicas do not each compare with a balance of their own."""
    with serving(site) as one, serving(site) as other:
        hold = tenant(door=one).hold()
        costing_all(site, hold)
        payer = tenant(AFFORDED * hold, door=one, hold="strict")
        other.knows(payer.key["secret"])
        assert statuses(payer.storm(CALLS, one, other)) == {200: AFFORDED, 402: CALLS - AFFORDED}
        assert (payer.wallet()["cash"], payer.spent()) == ("0.00", AFFORDED * hold)
