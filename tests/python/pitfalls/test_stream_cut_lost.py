"""A stream is cut and its spend is lost: usage comes in the last chunk, and whoever leaves before it pays nothing.

Elsewhere: cancelled and broken streams, and calls whose caller did not wait, were logged without cost although the
provider billed them (litellm #14457 #13245 #35958, PR 37558 36008 33736 30630; new-api #7062 #4344 #4463 #5235). Here
the call belongs to a task of its own, which settles however the caller or the provider goes: on the provider's count
where it can still be had, else on what was delivered.
"""

from typing import Any

import pytest

from pitfalls.tenant import INPUT, OUTPUT, Opener, Tenant, abandon, counted, nano, serving
from support import Door, Site, Step, events, eventually

DRAINED = "llama-3.1-8b-instant"  # priced, of a family that computes and bills to the end when a client leaves
EVENTS = 9


def groq(site: Site) -> dict[str, str]:
    return {"GROQ_API_KEY": "sk-twin", "GROQ_BASE_URL": site.twin.url, "GROQ_MODELS": DRAINED}


def delivered(order: Any, events_count: int) -> None:  # noqa: ANN401 - JSON
    """Charged for the input, as estimated, and for so many events of one token."""
    usage = order["usage"]
    assert usage["output_text"] == events_count
    assert nano(order["charge"]) == usage["input_uncached"] * INPUT + events_count * OUTPUT


def read_until(payer: Tenant, mark: str) -> str:
    """Reads a stream until it has said so, and leaves: the order."""
    with payer.stream() as reply:
        seen = b""
        chunks = reply.iter_raw()
        while mark.encode() not in seen:
            seen += next(chunks)
    return str(reply.headers["x-gotoai-order"])


@pytest.mark.parametrize("last", [0, EVENTS // 2, EVENTS - 1], ids=["first", "middle", "last"])
def test_who_leaves_pays_for_what_came(native: Door, tenant: Opener, last: int) -> None:
    """Where leaving ends the provider's bill."""
    payer = tenant(10**9)
    native.site.twin.script({"reply_text": events(EVENTS), "stall_after_events": last + 1})
    order = read_until(payer, f'"{last} "')
    booked = native.site.books.settled(order)
    assert (booked["state"], booked["finish"]) == ("provisional", "client_left")
    delivered(booked, last + 1)
    assert payer.spent() == nano(booked["charge"]) == 10**9 - nano(payer.wallet()["cash"])
    eventually(lambda: native.site.steer("requests")["counters"]["client_gone"] == 1)


def test_who_leaves_at_the_end_mark_pays_the_providers_count(native: Door, tenant: Opener) -> None:
    payer = tenant(10**9)
    native.site.twin.script({"usage": counted(100, 7)})
    booked = native.site.books.settled(read_until(payer, "[DONE]"))
    assert (booked["state"], booked["finish"], booked["usage_source"]) == ("finalized", "complete", "provider")
    assert nano(booked["charge"]) == 100 * INPUT + 7 * OUTPUT


def test_where_the_provider_bills_to_the_end_it_is_read_to_the_end(site: Site, tenant: Opener) -> None:
    with serving(site, **groq(site)) as door:
        payer = tenant(10**9, door=door)
        site.twin.script({"usage": counted(100, 7), "times": 0, "gap_ms": 5})
        whole = payer.served(model=DRAINED, stream=True)
        with payer.stream(model=DRAINED) as reply:
            next(reply.iter_raw())
        left = payer.receipt(reply)
        assert (left["state"], left["finish"], left["usage_source"]) == ("finalized", "client_left_drained", "provider")
        assert left["charge"] == whole["charge"] != "0.00"
        assert site.steer("requests")["counters"]["client_gone"] == 0


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_who_hangs_up_before_the_reply_pays_all_the_same(site: Site, tenant: Opener, stream: bool) -> None:
    with serving(site, **groq(site)) as door:
        payer = tenant(10**9, door=door)
        site.twin.script({"usage": counted(100, 7), "times": 0})
        charge = payer.served(model=DRAINED)["charge"]
        site.twin.script({"usage": counted(100, 7), "delay_ms": 300, "times": 0})
        abandon(payer, model=DRAINED, stream=stream)
        payer.rests()
        booked = site.books.order(payer.orders()[-1])
        assert (booked["state"], booked["charge"]) == ("finalized", charge)


@pytest.mark.parametrize("fate", ["cut_after_events", "end_after_events", "stream_error_after_events"])
@pytest.mark.parametrize("count", [1, 4, EVENTS], ids=["first", "middle", "last"])
def test_what_the_provider_cut_off_is_charged_as_far_as_it_came(
    native: Door, tenant: Opener, fate: str, count: int
) -> None:
    payer = tenant(10**9)
    step: Step = {"reply_text": events(EVENTS), fate: count}
    native.site.twin.script(step)
    booked = payer.served(stream=True)
    assert (booked["state"], booked["usage_source"]) == ("provisional", "estimated")
    delivered(booked, count)
    assert 10**9 - nano(payer.wallet()["cash"]) == nano(booked["charge"])
    assert len(native.site.calls()) == 1, "the caller has seen its beginning: too late for another attempt"
