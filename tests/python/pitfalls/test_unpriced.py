"""An unpriced success settles at zero: nobody knows the price, so the call is free.

Elsewhere: a model missing from the price map is served and booked as $0, which no budget ever sees (litellm #35525,
PR 37927). Here a price is needed before the call is sent where somebody has paid in advance or a limit counts money;
a postpaid wallet is served, and what that cost is shown as unknown, never as nothing.
"""

from pitfalls.tenant import INPUT, OUTPUT, Opener, code, counted, nano, serving
from support import MODEL, Door, Site

UNPRICED = "in-no-price-book"


def test_who_pays_in_advance_gets_nothing_that_has_no_price(site: Site, tenant: Opener) -> None:
    with serving(site, OPENAI_MODELS=f"{MODEL},{UNPRICED}") as door:
        prepaid, limited = tenant(10**9, door=door), tenant(door=door)
        budget = limited.limit(amount="1.00")
        for payer in (prepaid, limited):
            for stream in (False, True):
                reply = payer.chat(model=UNPRICED, stream=stream)
                assert (reply.status_code, code(reply)) == (402, "model_unpriced")
        assert site.calls() == [], "nothing is sent that cannot be priced"
        assert (prepaid.spent(), limited.budget(budget)["spent_known"]) == (0, "0.00")


def test_on_account_it_is_served_and_the_spend_is_unknown(site: Site, tenant: Opener) -> None:
    with serving(site, OPENAI_MODELS=f"{MODEL},{UNPRICED}") as door:
        payer = tenant(door=door)
        requests = payer.limit(requests=2)
        reply = payer.chat(model=UNPRICED)
        assert reply.status_code == 200
        assert "x-gotoai-charge" not in reply.headers
        order = payer.receipt(reply)
        assert (order["state"], order["charge"], order["cost"]) == ("unpriced", None, None)
        assert order["usage"]["output_text"] > 0, "what was used is known; only its price is not"
        assert payer.wallet()["unpriced_orders"] == 1
        assert payer.budget(requests)["spent_known"] == 1
        assert payer.served()["state"] == "finalized"
        assert payer.chat(model=UNPRICED).status_code == 402, "a limit on requests counts it all the same"


def test_a_price_is_not_lost_by_failing_over(site: Site, tenant: Opener) -> None:
    """The same model at a provider whose price nobody knows is no substitute."""
    house = {"CUSTOM_HOUSE_BASE_URL": site.twin.url, "CUSTOM_HOUSE_MODELS": MODEL, "RETRY_MAX_RETRIES": "0"}
    with serving(site, **house) as door:
        payer = tenant(10**9, door=door)
        site.twin.script({"status": 500})
        reply = payer.chat()
        assert (reply.status_code, len(site.calls())) == (500, 1)
        assert code(payer.chat(model=f"custom-house/{MODEL}")) == "model_unpriced"


def test_free_by_declaration_is_a_price(site: Site, tenant: Opener) -> None:
    """A provider of one's own costs nothing because its owner says so: known, and needing no money."""
    own = {"OLLAMA_BASE_URL": site.twin.url, "OLLAMA_MODELS": "home-made", "OLLAMA_API_KEY": "sk-twin"}
    with serving(site, **own) as door:
        order = tenant(0, door=door).served(model="home-made")
        assert (order["state"], order["charge"], order["cost"]) == ("finalized", "0.00", "0.00")


def test_a_provider_that_counts_nothing_is_not_free(native: Door, tenant: Opener) -> None:
    payer = tenant(10**9)
    native.site.twin.script({"omit_usage": True, "times": 0})
    for stream in (False, True):
        order = payer.served(stream=stream)
        assert (order["state"], order["usage_source"]) == ("provisional", "estimated")
        usage = order["usage"]
        assert nano(order["charge"]) == usage["input_uncached"] * INPUT + usage["output_text"] * OUTPUT
        assert usage["output_text"] > 0 < usage["input_uncached"]


def test_an_explicit_zero_is_a_count(native: Door, tenant: Opener) -> None:
    """Not the same as no count: nothing is estimated."""
    payer = tenant(10**9)
    native.site.twin.script({"usage": counted(0, 0), "times": 0})
    for stream in (False, True):
        order = payer.served(stream=stream)
        assert (order["state"], order["usage_source"], order["charge"]) == ("finalized", "provider", "0.00")
    assert (payer.spent(), payer.wallet()["held"]) == (0, "0.00")
