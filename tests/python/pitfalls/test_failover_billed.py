"""Failing over after an attempt that was billed: the caller pays for both, or nobody knows of the first.

Elsewhere: an attempt that had begun to answer was repeated at another provider, again and again, each time at full
cost and without a trace (llm_proxy #4). Here the charge comes from the one attempt that served, the cost from all
that may bill: what the others may cost waits in suspense as the platform's loss. Attempts are bounded, and nothing is
repeated once the caller has seen a beginning.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gotoai.testing import Twin
from pitfalls.tenant import INPUT, OUTPUT, Opener, Tenant, counted, nano, serving
from support import MODEL, Door, Site, Step


@pytest.fixture
def second() -> Iterator[Twin]:
    twin = Twin()
    yield twin
    twin.close()


@pytest.fixture
def twice(site: Site, second: Twin) -> Iterator[Door]:
    """A gateway with two providers of the same model."""
    east = {"OPENAI_EAST_API_KEY": "sk-twin", "OPENAI_EAST_BASE_URL": second.url, "OPENAI_EAST_MODELS": MODEL}
    impatient = {"HTTP_RESPONSE_HEADER_TIMEOUT": "300ms", "HTTP_IDLE_TIMEOUT": "300ms"}
    with serving(site, **east, **impatient) as door:
        yield door


def moved(payer: Tenant, kind: str) -> list[tuple[str, str, int]]:
    (entry,) = payer.entries(kind)
    return [(one["debit"], one["credit"], nano(one["amount"])) for one in entry["postings"]]


def posts(twin: Twin) -> list[Any]:
    return [request for request in twin.requests() if request["method"] == "POST"]


# Some vendors send it with status 200.
ERROR: Step = {"body": {"error": {"message": "overloaded", "type": "server_error", "code": None}}}
# The provider had begun, and may bill.
BEGUN: list[tuple[Step, bool]] = [
    (ERROR, False),
    (ERROR, True),
    ({"truncate": 40}, False),
    ({"garbage": True}, False),
    ({"stall": True}, False),
    ({"cut_after_events": 0}, True),
    ({"stall_after_events": 0}, True),
]


@pytest.mark.parametrize(("step", "stream"), BEGUN, ids=[next(iter(step)) for step, _ in BEGUN])
def test_the_caller_pays_for_one_and_the_other_is_known(
    site: Site, second: Twin, twice: Door, tenant: Opener, step: Step, stream: bool
) -> None:
    payer = tenant(10**9, door=twice)
    site.twin.script(step)
    second.script({"usage": counted(100, 7)})
    order = payer.served(stream=stream)
    assert order["endpoint"] == f"openai-east/{MODEL}"
    assert (len(posts(site.twin)), len(posts(second))) == (1, 1)
    charge = 100 * INPUT + 7 * OUTPUT
    assert nano(order["charge"]) == nano(order["cost"]) == payer.spent() == charge
    postings = moved(payer, "finalize")
    assert ("cogs:openai-east", "prov:openai-east:payable", charge) in postings
    (loss,) = [posting for posting in postings if posting[0] == "exp:loss:failover"]
    assert loss[1] == "prov:openai:suspense"
    assert loss[2] > 0


def test_the_hold_is_the_dearest_attempt_and_not_all_of_them(
    site: Site, second: Twin, twice: Door, tenant: Opener
) -> None:
    payer = tenant(door=twice)
    both, one = payer.served(), payer.served(model=f"openai/{MODEL}")
    longer_name = len(f"openai/{MODEL}") - len(MODEL)
    assert abs(nano(both["hold"]) - nano(one["hold"])) <= longer_name * INPUT
    assert not posts(second)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_when_all_have_failed_the_caller_pays_nothing(
    site: Site, second: Twin, twice: Door, tenant: Opener, stream: bool
) -> None:
    payer = tenant(10**9, door=twice)
    budget = payer.limit(amount="0.50")
    step: Step = {"cut_after_events": 0} if stream else {"truncate": 40}
    site.twin.script({**step, "times": 0})
    second.script({**step, "times": 0})
    reply = payer.chat(stream=stream)
    assert reply.status_code == 502
    order = payer.receipt(reply)
    assert (order["charge"], payer.spent(), payer.budget(budget)["spent_known"]) == ("0.00", 0, "0.00")
    tried = len(posts(site.twin)) + len(posts(second))
    assert tried == len(order["attempts"]) == 6, "two endpoints, and two retries each"
    owed = {credit: amount for debit, credit, amount in moved(payer, "finalize") if debit.startswith("exp:loss:")}
    assert set(owed) == {"prov:openai:suspense", "prov:openai-east:suspense", "prov:openai-east:payable"}


@pytest.mark.parametrize("fate", ["cut_after_events", "stall_after_events", "stream_error_after_events"])
def test_nothing_is_repeated_once_it_has_been_seen(
    site: Site, second: Twin, twice: Door, tenant: Opener, fate: str
) -> None:
    payer = tenant(10**9, door=twice)
    site.twin.script({fate: 2})
    with payer.stream() as reply:
        text = reply.read().decode()
    assert text.count('"error"') == 1
    assert json.loads(text.strip().split("\n\n")[-1].removeprefix("data: "))["error"]
    assert (len(posts(site.twin)), len(posts(second))) == (1, 0)
    order = payer.receipt(reply)
    assert len(order["attempts"]) == 1
    assert payer.spent() == nano(order["charge"]) > 0


def test_attempts_that_cannot_bill_are_no_loss(site: Site, second: Twin, twice: Door, tenant: Opener) -> None:
    """Refused with a status: it never began."""
    payer = tenant(10**9, door=twice)
    site.twin.script({"status": 429, "headers": {"retry-after": "60"}}, {"status": 503})
    payer.served()
    assert not [posting for posting in moved(payer, "finalize") if posting[0].startswith("exp:loss:")]
