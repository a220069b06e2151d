"""Cached tokens counted twice: as part of the input and once more beside it, or at the wrong one of two prices.

Elsewhere: bills were off by up to eleven times, because the cached part of the input was charged at the full price as
well, and hidden reasoning was added to an output that held it already (litellm #14849 #6215 #11364, aider #5516,
browser-use #5305). Here a provider's count is taken apart into meters that no token is in twice; a count that does
not add up is charged as far as it goes and marked.
"""

from typing import Any

import pytest

from pitfalls.tenant import CACHED, INPUT, OUTPUT, Opener, administer, counted, nano
from support import MODEL, REASONER, Door

# Nano-USD a token of the reasoning model.
REASONER_INPUT, REASONER_OUTPUT = 1100, 4400

COUNTS: list[tuple[str, dict[str, Any], dict[str, int], int]] = [
    (
        "cached",
        counted(1000, 10, prompt_tokens_details={"cached_tokens": 800}),
        {"input_uncached": 200, "cache_read": 800, "output_text": 10},
        200 * INPUT + 800 * CACHED + 10 * OUTPUT,
    ),
    (
        "all cached",
        counted(1000, 10, prompt_tokens_details={"cached_tokens": 1000}),
        {"cache_read": 1000, "output_text": 10},
        1000 * CACHED + 10 * OUTPUT,
    ),
    (
        "hit and miss",
        counted(1000, 10, prompt_cache_hit_tokens=800, prompt_cache_miss_tokens=200),
        {"input_uncached": 200, "cache_read": 800, "output_text": 10},
        200 * INPUT + 800 * CACHED + 10 * OUTPUT,
    ),
    (
        "both ways",
        counted(1000, 10, prompt_tokens_details={"cached_tokens": 800}, prompt_cache_hit_tokens=800),
        {"input_uncached": 200, "cache_read": 800, "output_text": 10},
        200 * INPUT + 800 * CACHED + 10 * OUTPUT,
    ),
    (
        "other names",
        {
            "input_tokens": 1000,
            "output_tokens": 10,
            "total_tokens": 1010,
            "input_tokens_details": {"cached_tokens": 800},
        },
        {"input_uncached": 200, "cache_read": 800, "output_text": 10},
        200 * INPUT + 800 * CACHED + 10 * OUTPUT,
    ),
    (
        "written",
        counted(1000, 10, prompt_tokens_details={"cached_tokens": 500, "cache_write_tokens": 300}),
        {"input_uncached": 200, "cache_read": 500, "cache_write": 300, "output_text": 10},
        (200 + 300) * INPUT + 500 * CACHED + 10 * OUTPUT,
    ),
    (
        "null details",
        counted(1000, 10, prompt_tokens_details=None, completion_tokens_details=None),
        {"input_uncached": 1000, "output_text": 10},
        1000 * INPUT + 10 * OUTPUT,
    ),
]


def metered(order: Any) -> dict[str, int]:  # noqa: ANN401 - JSON
    """What the receipt counts, the call itself left out."""
    return {meter: count for meter, count in order["usage"].items() if meter != "request"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("usage", "meters", "charge"), [row[1:] for row in COUNTS], ids=[row[0] for row in COUNTS])
def test_every_token_is_in_one_meter(
    native: Door, tenant: Opener, usage: dict[str, Any], meters: dict[str, int], charge: int, stream: bool
) -> None:
    payer = tenant(10**9)
    native.site.twin.script({"usage": usage})
    order = payer.served(stream=stream)
    assert (order["state"], metered(order), nano(order["charge"])) == ("finalized", meters, charge)
    assert payer.spent() == charge
    statement = administer(native, "wallet.statement", wallet=payer.name, month=order["created_at"][:7])
    (line,) = statement["usage"]
    assert (line["input_tokens"], line["output_tokens"]) == (1000, 10)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_reasoning_is_part_of_the_output(native: Door, tenant: Opener, stream: bool) -> None:
    payer = tenant(10**9)
    native.site.twin.script({"usage": counted(100, 70, completion_tokens_details={"reasoning_tokens": 64})})
    order = payer.served(model=REASONER, stream=stream)
    assert metered(order) == {"input_uncached": 100, "output_text": 6, "output_reasoning": 64}
    assert nano(order["charge"]) == 100 * REASONER_INPUT + 70 * REASONER_OUTPUT


def test_reasoning_beside_the_output_is_not_lost(native: Door, tenant: Opener) -> None:
    """One provider counts it apart and says so by its total."""
    payer = tenant(10**9)
    beside = {**counted(100, 6), "total_tokens": 170, "completion_tokens_details": {"reasoning_tokens": 64}}
    native.site.twin.script({"usage": beside})
    order = payer.served(model=REASONER)
    assert metered(order) == {"input_uncached": 100, "output_text": 6, "output_reasoning": 64}
    assert nano(order["charge"]) == 100 * REASONER_INPUT + 70 * REASONER_OUTPUT


IMPOSSIBLE: list[tuple[dict[str, Any], int]] = [
    # More cached than there was: all of it is cached, and none of the input is below zero.
    (counted(1000, 10, prompt_tokens_details={"cached_tokens": 1500}), 1000 * CACHED + 10 * OUTPUT),
    # More thought than said.
    (counted(1000, 10, completion_tokens_details={"reasoning_tokens": 15}), 1000 * INPUT + 10 * OUTPUT),
]


@pytest.mark.parametrize(("usage", "charge"), IMPOSSIBLE, ids=["cached", "reasoning"])
def test_what_does_not_add_up_is_bounded_and_marked(
    native: Door, tenant: Opener, usage: dict[str, Any], charge: int
) -> None:
    payer = tenant(10**9)
    native.site.twin.script({"usage": usage})
    order = payer.served()
    assert (order["state"], nano(order["charge"])) == ("provisional", charge)
    assert nano(payer.wallet()["spent_provisional"]) == charge


def test_tokens_of_images_are_input_too(native: Door, tenant: Opener) -> None:
    """The other way to be wrong: a token that is in no meter at all is free."""
    payer = tenant(10**9)
    native.site.twin.script({"usage": counted(1000, 10, prompt_tokens_details={"image_tokens": 900})})
    order = payer.served(model=MODEL)
    assert metered(order) == {"input_uncached": 100, "image_in": 900, "output_text": 10}
    assert nano(order["charge"]) == 1000 * INPUT + 10 * OUTPUT
