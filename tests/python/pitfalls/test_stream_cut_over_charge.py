"""A stream is cut and too much is charged: the whole reservation, or the longest answer there could have been.

Elsewhere: a broken stream was charged by its estimate or its reservation instead of by what arrived, and a count of
zero was taken for no count and estimated (new-api #4168 #5287 #5288 #5289 #5290; litellm #37992, PR 39893). Here what
was delivered bounds the charge, a provider's own count goes before any estimate, and nothing delivered is nothing
charged.
"""

import json

import pytest

from pitfalls.tenant import INPUT, OUTPUT, Opener, administer, counted, nano
from support import Door, Step, events


def chunk(content: str | None = None, finish: str | None = None, **more: object) -> str:
    """An event of a chat stream."""
    choices = [{"index": 0, "delta": {"content": content} if content else {}, "finish_reason": finish}]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps({**head, 'choices': choices, **more})}\n\n"


def recorded(*parts: str) -> Step:
    return {"reply_text": "".join(parts), "content_type": "text/event-stream"}


@pytest.mark.parametrize("step", [{"cut_after_events": 2}, {"stall_after_events": 2}], ids=["cut", "left"])
def test_never_more_than_was_delivered(native: Door, tenant: Opener, step: Step) -> None:
    """However long an answer was allowed, and held for."""
    payer = tenant(10**9)
    native.site.twin.script({"reply_text": events(9), **step})
    with payer.stream(max_tokens=16_000) as reply:
        seen = b""
        for piece in reply.iter_raw():
            seen += piece
            if b'"1 "' in seen and "stall_after_events" in step:
                break
    booked = payer.receipt(reply)
    estimate = booked["usage"]["input_uncached"] * INPUT
    assert nano(booked["charge"]) == estimate + 2 * OUTPUT < nano(booked["hold"]) // 100


NOTHING: list[Step] = [
    {"body": {"error": {"message": "overloaded", "type": "server_error", "code": None}}},
    {"cut_after_events": 0},
    {"end_after_events": 0},
    {"stream_error_after_events": 0},
    {"garbage": True},
    # Who speaks, and not a word.
    recorded(chunk().replace('"delta": {}', '"delta": {"role": "assistant", "content": ""}')),
]


@pytest.mark.parametrize("step", NOTHING, ids=["not begun", "cut", "ended", "error", "garbage", "role only"])
def test_nothing_delivered_is_nothing_charged(native: Door, tenant: Opener, step: Step) -> None:
    """The provider may bill it; that is the platform's loss and not the customer's."""
    payer = tenant(10**9)
    native.site.twin.script({**step, "times": 0})
    with payer.stream() as reply:
        reply.read()
    booked = payer.receipt(reply)
    assert booked["charge"] in (None, "0.00")
    assert (payer.spent(), nano(payer.wallet()["cash"])) == (0, 10**9)


def test_the_providers_count_goes_before_the_estimate(native: Door, tenant: Opener) -> None:
    """Counted early, then cut: what it counted is what it bills."""
    payer = tenant(10**9)
    early = recorded(chunk("a"), chunk("b", usage=counted(10, 2)), chunk("c"))
    native.site.twin.script({**early, "cut_after_events": 3})
    booked = payer.served(stream=True)
    assert (booked["finish"], booked["usage_source"]) == ("provider_cut", "provider")
    assert nano(booked["charge"]) == 10 * INPUT + 2 * OUTPUT


def test_a_running_count_is_not_added_up(native: Door, tenant: Opener) -> None:
    """Some providers repeat the count so far in every chunk: the last one holds."""
    payer = tenant(10**9)
    running = [chunk(word, usage=counted(10, n)) for n, word in enumerate("abcd", 1)]
    native.site.twin.script(recorded(*running, chunk(finish="stop", usage=counted(10, 4)), "data: [DONE]\n\n"))
    booked = payer.served(stream=True)
    assert (booked["state"], nano(booked["charge"])) == ("finalized", 10 * INPUT + 4 * OUTPUT)


@pytest.mark.parametrize("end", [[chunk(finish="stop"), "data: [DONE]\n\n"], []], ids=["served", "cut"])
def test_a_stream_counted_as_zero_is_zero(native: Door, tenant: Opener, end: list[str]) -> None:
    payer = tenant(10**9)
    step = recorded(chunk("a", usage=counted(0, 0)), *end)
    native.site.twin.script({**step, **({} if end else {"cut_after_events": 1})})
    booked = payer.served(stream=True)
    assert (booked["usage_source"], booked["charge"]) == ("provider", "0.00")


def test_terms_say_who_bears_a_cut(native: Door, tenant: Opener) -> None:
    """A customer who agreed to pay for whole answers only pays nothing; the provider is owed all the same."""
    payer = tenant(10**9)
    settlement = {"provider_cut": {"charge": "nothing"}, "client_left": {"charge": "nothing"}}
    administer(native, "wallet.terms", wallet=payer.name, settlement=settlement, reason="contract")
    native.site.twin.script({"reply_text": events(9), "cut_after_events": 4})
    booked = payer.served(stream=True)
    assert (booked["charge"], payer.spent()) == ("0.00", 0)
    assert nano(booked["cost"]) == booked["usage"]["input_uncached"] * INPUT + 4 * OUTPUT
    paths = {posting["debit"] for entry in payer.entries("finalize") for posting in entry["postings"]}
    assert "exp:loss:undelivered" in paths
