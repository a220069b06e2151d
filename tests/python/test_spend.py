"""Spend with an error bar: what attempts without a usage may still cost, and that every page says the same."""

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

import gotoai.testing
from gotoai.testing import twin
from support import MESSAGES, MODEL, Site, Step


def call(gateway: gotoai.SyncGateway, **more: Any) -> Any:  # noqa: ANN401 - a reply or a stream
    return gateway.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=50, **more)


def totals(gateway: gotoai.SyncGateway, **asked: object) -> dict[str, Any]:
    told: dict[str, Any] = gateway.admin("ledger.spend", **asked)["totals"]
    return told


def today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


def east(second: gotoai.testing.Twin) -> dict[str, str]:
    """A second provider with the same models."""
    return {"OPENAI_EAST_API_KEY": "sk-twin", "OPENAI_EAST_BASE_URL": second.url, "OPENAI_EAST_MODELS": MODEL}


def amount(told: dict[str, Any], name: str) -> Decimal:
    return Decimal(told[name])


def test_what_was_counted_is_known(gateway: gotoai.SyncGateway) -> None:
    call(gateway)
    told = totals(gateway)
    assert told["orders"] == 1
    assert amount(told, "spent_known") == amount(told, "cost_known") > 0
    assert {name: told[name] for name in told if "uncertain" in name or name == "cost_estimated"} == {
        "spent_uncertain_max": "0.00",
        "cost_estimated": "0.00",
        "cost_uncertain_max": "0.00",
    }


# What the provider does, and of how many of the three attempts nobody knows what they cost.
@pytest.mark.parametrize(
    ("step", "unknown"),
    [({"status": 500}, 3), ({"status": 429}, 0), ({"status": 400}, 0), ({"close": True}, 3)],
    ids=["500", "429", "400", "close"],
)
def test_an_attempt_that_told_no_usage_is_never_zero(site: Site, step: Step, unknown: int) -> None:
    site.twin.script({**step, "times": 3})
    with gotoai.SyncGateway(env=site.env) as gateway:
        with pytest.raises(gotoai.errors.GatewayError):
            call(gateway)
        entries = gateway.admin("ledger.entries", limit=1000)["entries"]
        receipt = gateway.admin("ledger.order", id=next(entry["order"] for entry in entries if entry.get("order")))
        bound = Decimal(receipt["hold"]) * unknown
        assert Decimal(receipt["cost_uncertain_max"]) == bound
        told = totals(gateway)
        assert amount(told, "cost_uncertain_max") == bound
        assert amount(told, "cost_known") == amount(told, "spent_known") == 0
        assert amount(told, "cost_estimated") <= bound


def test_a_failover_costs_at_both_and_is_charged_once(site: Site) -> None:
    with twin() as second, gotoai.SyncGateway(env={**site.env, **east(second)}) as gateway:
        site.twin.script({"close": True, "times": 1})
        call(gateway)
        first, east_row = gateway.admin("ledger.spend", by=["provider"])["rows"]
    assert (first["provider"], east_row["provider"]) == ("openai", "openai-east")
    assert (first["orders"], east_row["orders"]) == (0, 1)
    assert (first["spent_known"], first["cost_known"]) == ("0.00", "0.00")
    assert amount(first, "cost_uncertain_max") > amount(first, "cost_estimated") > 0
    assert amount(east_row, "cost_known") == amount(east_row, "spent_known") > 0
    assert (east_row["cost_uncertain_max"], east_row["spent_uncertain_max"]) == ("0.00", "0.00")


def test_a_stream_without_a_count_is_charged_on_an_estimate_and_says_so(site: Site) -> None:
    site.twin.script({"omit_usage": True})
    with gotoai.SyncGateway(env=site.env) as gateway:
        for _ in call(gateway, stream=True):
            pass
        told = totals(gateway)
        wallet = gateway.admin("wallet.balance", wallet="default")
    assert (told["spent_known"], told["cost_known"]) == ("0.00", "0.00")
    assert amount(told, "spent_uncertain_max") == amount(told, "spent_provisional") > 0
    assert wallet["spent_uncertain_max"] == told["spent_uncertain_max"]
    assert amount(told, "cost_uncertain_max") > amount(told, "cost_estimated") > 0


def test_every_page_says_the_same(site: Site) -> None:
    with gotoai.SyncGateway(env=site.env) as gateway:
        gateway.admin("wallet.create", wallet="team", kind="prepaid")
        orders = [call(gateway).order for _ in range(3)]
        gateway.admin("wallet.refund", order=orders[0], reason="wrong", amount="0.000001")
        told = totals(gateway)
        parts = gateway.admin("ledger.spend", by=["day", "provider", "endpoint", "wallet", "key", "user_path"])
        assert [{name: row[name] for name in told} for row in parts["rows"]] == [told]
        row = parts["rows"][0]
        assert (row["day"], row["endpoint"], row["wallet"]) == (today(), f"openai/{MODEL}", "default")
        month = gateway.admin("wallet.statement", wallet="default", month=today()[:7])["totals"]
        wallet = gateway.admin("wallet.balance", wallet="default")
        for name in ("spent_known", "spent_provisional", "spent_uncertain_max"):
            assert told[name] == month[name] == wallet[name]
        receipts = [gateway.admin("ledger.order", id=order) for order in orders]
        assert sum(Decimal(receipt["charge"]) for receipt in receipts) == amount(told, "spent_known") + Decimal(
            "0.000001"
        )
        assert totals(gateway, wallet="team")["orders"] == 0
        assert totals(gateway, **{"from": "2001-01-01", "to": "2001-02-01"})["orders"] == 0
    assert site.run("ledger", "spend")["totals"] == told
    lines = list(csv.DictReader(io.StringIO(site.run_text("ledger", "spend", "--by", "endpoint", "--csv"))))
    assert [(line["endpoint"], line["spent_known"]) for line in lines] == [(f"openai/{MODEL}", told["spent_known"])]
    assert told["spent_known"] in site.run_text("ledger", "spend")


@pytest.mark.parametrize(
    "asked",
    [{"from": "yesterday"}, {"from": "2026-11-02", "to": "2026-11-02"}, {"by": ["colour"]}, {"wallet": "nobody"}],
    ids=str,
)
def test_a_wrong_question_is_told_what_is_wrong(gateway: gotoai.SyncGateway, asked: dict[str, Any]) -> None:
    with pytest.raises(gotoai.errors.GatewayError) as refused:
        gateway.admin("ledger.spend", **asked)
    assert refused.value.code in {"invalid_request", "not_found"}
