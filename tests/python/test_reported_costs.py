"""Costs that replies carry: what we pay is what the provider says, what the user pays is the price of before."""

import csv
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import gotoai
from gotoai.testing import Twin
from support import EMBEDDER, MESSAGES, MODEL, Site, settings

ROUTED, UNLISTED, ROUTED_EMBEDDER = f"openai/{MODEL}", "nobody/in-no-price-book", f"openai/{EMBEDDER}"
COUNT = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
# 10 in and 5 out, by the book, with a fee of a tenth.
COMPUTED, CHARGE = Decimal("0.0000045"), Decimal("0.00000495")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The twin as OpenRouter, whose replies say what they cost."""
    twin = Twin()
    routed = {"OPENROUTER_API_KEY": "sk-twin", "OPENROUTER_BASE_URL": twin.url}
    models = ",".join((ROUTED, UNLISTED, ROUTED_EMBEDDER))
    yield Site(twin, settings(twin.url, tmp_path, **routed, OPENROUTER_MODELS=models, GOTOAI_FEE_PERCENT="10"))
    twin.close()


def chat(gateway: gotoai.SyncGateway, site: Site, usage: dict[str, Any], model: str = ROUTED) -> Any:  # noqa: ANN401 - JSON
    site.twin.script({"usage": usage})
    order = gateway.chat.completions.create(model=f"openrouter/{model}", messages=MESSAGES, max_tokens=50).order
    assert order is not None
    return site.books.settled(order)


def proved(site: Site) -> None:
    proof = site.books.ask("ledger.verify")
    assert proof["ok"], [check for check in proof["checks"] if not check["ok"]]


def paid(order: dict[str, Any]) -> tuple[str, Decimal, Decimal]:
    return order["cost_source"], Decimal(order["cost"]), Decimal(order["charge"])


def test_a_reply_says_what_it_cost(gateway: gotoai.SyncGateway, site: Site) -> None:
    told = chat(gateway, site, {**COUNT, "cost": 4.75e-06, "is_byok": False})
    assert paid(told) == ("reported", Decimal("0.00000475"), CHARGE)
    assert paid(chat(gateway, site, COUNT)) == ("computed", COMPUTED, CHARGE)
    assert paid(chat(gateway, site, {**COUNT, "cost": 0})) == ("reported", Decimal(0), CHARGE), "zero is an answer"
    assert paid(chat(gateway, site, {**COUNT, "cost": -1})) == ("computed", COMPUTED, CHARGE)
    spend = gateway.admin("ledger.spend")["totals"]
    assert Decimal(spend["cost_reported"]) == Decimal("0.00000475")
    assert Decimal(spend["cost_known"]) == Decimal("0.00000475") + 2 * COMPUTED
    assert "cost_source" in site.run_text("ledger", "order", told["order"])
    assert not any("usage" in call["body"] for call in site.calls()), "nothing has to be asked for"
    proved(site)


def test_streams_and_embeddings_say_it_too(gateway: gotoai.SyncGateway, site: Site) -> None:
    site.twin.script({"usage": {**COUNT, "cost": 0.000005}})
    with gateway.chat.completions.create(model=f"openrouter/{ROUTED}", messages=MESSAGES, stream=True) as stream:
        for _ in stream:
            pass
        order = stream.receipt.order
    assert order is not None
    assert paid(site.books.settled(order)) == ("reported", Decimal("0.000005"), CHARGE)
    site.twin.script({"usage": {"prompt_tokens": 3, "total_tokens": 3, "cost": 3.75e-08}})
    order = gateway.embeddings.create(model=f"openrouter/{ROUTED_EMBEDDER}", input="a b c").order
    assert order is not None
    receipt = site.books.settled(order)
    assert (receipt["cost_source"], receipt["cost"]) == ("reported", "0.000000038")
    assert receipt["entries"][-1]["payload"]["cost_exact"] == "75/2", "exactly as it was written"
    proved(site)


def test_one_wrong_price_is_one_finding(gateway: gotoai.SyncGateway, site: Site) -> None:
    for cost in (0.000009, 0.000009, 0.0000045):
        chat(gateway, site, {**COUNT, "cost": cost})
    for seen in (1, 2):
        gateway.admin("ledger.reconcile", full=True)
        (found,) = [one for one in gateway.admin("ledger.findings")["findings"] if one["check"] == "R14"]
        told = (found["subject"], found["drift_nano"], found["seen"])
        assert told == (f"endpoint openrouter/{ROUTED} (price)", "9000", seen)
        assert "2 orders" in found["detail"]
    proved(site)


def test_without_a_price_the_cost_is_known_and_stays_so(gateway: gotoai.SyncGateway, site: Site) -> None:
    order = chat(gateway, site, {**COUNT, "cost": 0.000007}, UNLISTED)
    assert (order["state"], order["charge"], order["cost"], order["cost_source"]) == (
        "unpriced",
        None,
        "0.000007",
        "reported",
    )
    price = {"input_per_mtok": "1", "output_per_mtok": "1"}
    asked = {"provider": "openrouter", "model": UNLISTED, "price": price, "reason": "listed", "apply": True}
    assert gateway.admin("ledger.rerate", **asked)["changed"] == 1
    assert paid(site.books.order(order["order"])) == ("reported", Decimal("0.000007"), Decimal("0.0000165"))
    proved(site)


def test_the_replys_own_cost_is_no_evidence_for_a_lower_charge(gateway: gotoai.SyncGateway, site: Site) -> None:
    order = chat(gateway, site, {"cost": 0.0000001})
    assert (order["state"], order["cost"], order["cost_source"]) == ("provisional", "0.0000001", "reported")
    for evidence in ({"losses": {"groq": "0.0000002"}}, {"cost": "0.0000001"}):
        told = gateway.admin("order.true_up", order=order["order"], reason=f"{evidence}", **evidence)
        assert told["charge"] == order["charge"]
    told = gateway.admin("order.true_up", order=order["order"], reason="generation", cost="0.00000005")
    assert Decimal(told["charge"]) < Decimal(order["charge"])
    proved(site)


def test_an_export_tells_the_source(gateway: gotoai.SyncGateway, site: Site, tmp_path: Path) -> None:
    orders = [chat(gateway, site, {**COUNT, **cost})["order"] for cost in ({"cost": 0.000009}, {})]
    site.run("ledger", "export", str(tmp_path / "out"))
    with (tmp_path / "out" / "orders.csv").open() as file:
        told = {row["order"]: row["cost_source"] for row in csv.DictReader(file)}
    assert [told[order] for order in orders] == ["reported", ""]
    lines = (tmp_path / "out" / "orders.csv").read_text().replace(",reported,", ",,")
    (tmp_path / "out" / "orders.csv").write_text(lines)
    argv = [sys.executable, str(tmp_path / "out" / "verify.py"), str(tmp_path / "out")]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603 - our own program
    assert "cost_source: the entries say reported" in said.stdout + said.stderr
    assert said.returncode != 0
