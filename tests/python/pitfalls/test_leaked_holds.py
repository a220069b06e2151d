"""Leaked holds: what was set aside for a call is not given back when the call goes wrong.

Elsewhere: reservations outlive failed, cancelled and crashed calls, so that limits refuse calls though nothing was
spent, until somebody resets a counter (litellm #27639 #36926 #40050 #38111, new-api #4429, otari #128). Here a hold
is an order: however the call ends, its order ends, and what a dead process left open goes back at the next start.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from pitfalls.tenant import OUTPUT, SHORT, Opener, Tenant, abandon, nano, restarted, serving, usd
from support import Child, Door, Site, Step, events, eventually

FAILURES: list[Step] = [
    {"status": 500},
    {"status": 429},
    {"status": 401},
    {"status": 400},
    {"status": 404},
    {"close": True},
    {"garbage": True},
    {"truncate": 30, "cut_after_events": 0},
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_no_failed_call_is_in_the_way_of_the_next(native: Door, tenant: Opener, stream: bool) -> None:
    """The budget is as large as one hold: whatever stayed held would refuse the call behind it."""
    payer = tenant()
    budget = payer.limit(amount=usd(payer.hold(stream=stream) * 2), status=429)
    administered = payer.budget(budget)
    for step in FAILURES:
        native.site.twin.script({**step, "times": 0})
        reply = payer.chat(stream=stream)
        assert reply.status_code >= 400
        assert "budget" not in reply.text, f"a phantom refusal after {step}"
        assert payer.receipt(reply)["charge"] in (None, "0.00")
        assert payer.budget(budget) == administered
    native.site.reset()
    assert payer.chat(stream=stream).status_code == 200


def test_after_a_storm_of_failures_the_whole_budget_is_there(site: Site, tenant: Opener) -> None:
    """Failing, silent and abandoned calls, many at once; then one call whose hold is the budget to the last nano-
    dollar.
    """
    impatient = {"HTTP_RESPONSE_HEADER_TIMEOUT": "300ms", "HTTP_IDLE_TIMEOUT": "300ms", "RETRY_MAX_RETRIES": "0"}
    with serving(site, **impatient) as door:
        payer = tenant(door=door)
        largest = 16_000
        cap = payer.hold() + OUTPUT * (largest - SHORT["max_tokens"])
        budget = payer.limit(amount=usd(cap))
        spent = payer.spent()
        steps = [*FAILURES, {"stall": True}, {"stall_after_events": 0}]
        site.twin.script(*(step for step in steps for _ in range(4)))
        replies = payer.storm(2 * len(steps)) + payer.storm(2 * len(steps), stream=True)
        assert all("budget" not in reply.text for reply in replies)
        site.twin.script({"stall": True, "times": 0})
        for stream in (False, True):
            abandon(payer, stream=stream)
        payer.rests()
        used = payer.budget(budget)
        assert (used["held"], used["spent_known"], nano(used["left"])) == ("0.00", "0.00", cap)
        assert (payer.wallet()["held"], payer.spent()) == ("0.00", spent)
        site.reset()
        assert nano(payer.served(max_tokens=largest)["hold"]) == cap
        assert payer.chat(max_tokens=largest).status_code == 402, "and not a nano-dollar more"


def test_what_was_in_flight_when_it_was_killed_is_given_back(site: Site, tenant: Opener) -> None:
    """Wallet and budget know after `kill -9` what they knew before, less the calls that nobody will ever answer."""
    server = Child.native(site.env)
    payer = tenant(10**9, door=Door("native", server.url, site))
    try:
        budget = payer.limit(amount="1.00")
        charges = sum(nano(payer.served()["charge"]) for _ in range(3))
        site.twin.script({"delay_ms": 60_000, "times": 0})
        callers = [threading.Thread(target=until_it_dies, args=(payer,)) for _ in range(4)]
        for caller in callers:
            caller.start()
        eventually(lambda: payer.wallet()["open_orders"] == 4)
        held = nano(payer.wallet()["held"])
        assert nano(payer.budget(budget)["held"]) == held > 0
        server.kill()
        for caller in callers:
            caller.join()
        assert nano(site.books.wallet(payer.name)["held"]) == held, "nothing happens to it while nobody is there"
        server = restarted(site, payer)
        wallet, used = payer.wallet(), payer.budget(budget)
        assert (wallet["held"], nano(wallet["available"])) == ("0.00", 10**9 - charges)
        assert (used["held"], nano(used["spent_known"]), nano(used["left"])) == ("0.00", charges, 10**9 - charges)
        assert len(payer.entries("recover")) == 4
        site.reset()
        assert payer.chat().status_code == 200
    finally:
        server.stop()


def test_a_call_keeps_its_hold_for_as_long_as_it_takes(site: Site, tenant: Opener) -> None:
    """A deadline is for calls that nobody works on: a long one neither lends its hold to others nor ends as a debt."""
    with serving(site, GOTOAI_HOLD_SECONDS="1") as door:
        payer = tenant(10**9, door=door)
        budget = payer.limit(amount="1.00")
        site.twin.script({"reply_text": events(9), "stall_after_events": 3})
        with payer.stream() as reply:
            chunks = reply.iter_raw()
            next(chunks)
            path = f"/orders/{reply.headers['x-gotoai-order']}"
            first = payer.client.get(path).json()
            eventually(lambda: payer.client.get(path).json()["expires_at"] > first["expires_at"])
            assert payer.client.get(path).json()["state"] == "reserved"
            assert payer.wallet()["held"] == payer.budget(budget)["held"] == first["hold"]
            del chunks
        eventually(lambda: payer.client.get(path).json()["state"] != "reserved")
        order = payer.receipt(reply)
        assert (order["state"], order["usage_source"]) == ("provisional", "estimated")
        charge = nano(order["charge"])
        assert 10**9 - nano(payer.wallet()["cash"]) == payer.spent() == charge > 0
        assert nano(payer.budget(budget)["spent_known"]) == charge
        assert payer.wallet()["spent_provisional"] == order["charge"], "an estimate is no certainty"


def until_it_dies(payer: Tenant) -> None:
    with pytest.raises(httpx.TransportError):
        payer.chat()


def test_streams_whose_readers_leave_hold_nothing(native: Door, tenant: Opener) -> None:
    payer = tenant()
    budget = payer.limit(amount="1.00")
    native.site.twin.script({"reply_text": events(9), "stall_after_events": 3, "times": 0})

    def leave(_: int) -> None:
        with payer.stream() as reply:
            next(reply.iter_raw())

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(leave, range(16)))
    payer.rests()
    assert (payer.wallet()["held"], payer.budget(budget)["held"]) == ("0.00", "0.00")
    assert nano(payer.budget(budget)["spent_known"]) == payer.spent() > 0
