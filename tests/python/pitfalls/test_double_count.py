"""Counted twice, or as one: a call is known by an id that somebody else chose.

Elsewhere: spend rows were keyed by the provider's request id, so that calls with an empty or a repeated id were
merged, and calls that were logged in two places were added up twice (litellm #15740 #17814 #6633, PR 34675). Here an
order has an id of our own, made before anything is sent, and what providers and callers call it is a remark.
"""

import json
from collections import Counter

import pytest

from pitfalls.tenant import INPUT, OUTPUT, Opener, counted, metric, nano, serving
from support import CHAT, MODEL, Door, Site, Step

CALLS = 12


def answered_as(provider_id: str | None, *, stream: bool) -> Step:
    """A reply that calls itself so, or nothing at all."""
    named: dict[str, object] = {} if provider_id is None else {"id": provider_id}
    usage = counted(10, 2)
    if not stream:
        message = {"role": "assistant", "content": "a b"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        return {"body": {**named, "object": "chat.completion", "model": "m", "choices": choices, "usage": usage}}
    chunk = {**named, "object": "chat.completion.chunk", "model": "m"}
    said = {**chunk, "choices": [{"index": 0, "delta": {"content": "a b"}, "finish_reason": "stop"}]}
    parts = [json.dumps(said), json.dumps({**chunk, "choices": [], "usage": usage}), "[DONE]"]
    return {"reply_text": "".join(f"data: {part}\n\n" for part in parts), "content_type": "text/event-stream"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("provider_id", ["", None, "chatcmpl-always-the-same"], ids=["empty", "none", "repeated"])
def test_whatever_the_provider_calls_its_replies(
    native: Door, tenant: Opener, provider_id: str | None, stream: bool
) -> None:
    payer = tenant(10**9)
    budget = payer.limit(requests=100)
    native.site.twin.script({**answered_as(provider_id, stream=stream), "times": 0})
    replies = payer.storm(CALLS, stream=stream)
    assert len({reply.headers["x-gotoai-order"] for reply in replies}) == CALLS
    payer.rests()
    each = 10 * INPUT + 2 * OUTPUT
    assert {nano(payer.receipt(reply)["charge"]) for reply in replies} == {each}
    assert payer.spent() == 10**9 - nano(payer.wallet()["cash"]) == CALLS * each
    assert payer.budget(budget)["spent_known"] == CALLS


def test_whatever_callers_call_their_requests(tenant: Opener) -> None:
    """A request id is for log lines. It is no key."""
    payer = tenant(10**9)
    headers = {"x-request-id": "retry-of-a-retry"}
    replies = [payer.client.post("/chat/completions", json=CHAT, headers=headers) for _ in range(CALLS)]
    assert {reply.headers["x-request-id"] for reply in replies} == {"retry-of-a-retry"}
    assert len({reply.headers["x-gotoai-order"] for reply in replies}) == CALLS
    assert sum(nano(reply.headers["x-gotoai-charge"]) for reply in replies) == payer.spent()


def test_a_call_with_three_attempts_is_one_call_on_every_page(site: Site, tenant: Opener) -> None:
    with serving(site) as door:
        payer = tenant(10**9, door=door)
        budget = payer.limit(requests=100)
        steps: list[Step] = [{"status": 500}, {"close": True}, {"usage": counted(10, 2)}]
        site.twin.script(*steps * 2)
        orders = [payer.served(), payer.served(stream=True)]
        assert [len(order["attempts"]) for order in orders] == [3, 3]
        assert payer.spent() == 2 * (10 * INPUT + 2 * OUTPUT)
        assert payer.budget(budget)["spent_known"] == 2
        assert metric(door, "gotoai_calls_total") == 2
        assert metric(door, "gotoai_input_tokens_total") == 20
        assert metric(door, "gotoai_attempts_total") == 6
        assert Counter(entry["kind"] for entry in payer.entries() if entry["order"]) == {"reserve": 2, "finalize": 2}


def test_two_providers_that_use_one_id_are_two(site: Site, tenant: Opener) -> None:
    east = {"OPENAI_EAST_API_KEY": "sk-twin", "OPENAI_EAST_BASE_URL": site.twin.url, "OPENAI_EAST_MODELS": MODEL}
    with serving(site, **east) as door:
        payer = tenant(10**9, door=door)
        site.twin.script({**answered_as("the-same", stream=False), "times": 0})
        told = [payer.served(model=f"{name}/{MODEL}") for name in ("openai", "openai-east")]
        assert {order["provider_request_id"] for order in told} == {"the-same"}
        assert payer.spent() == sum(nano(order["charge"]) for order in told) == 2 * (10 * INPUT + 2 * OUTPUT)
