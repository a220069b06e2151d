"""What is corrected after an order has ended: evidence, and prices that were wrong or came later."""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

import gotoai
from gotoai.testing import Twin
from support import AUTHORIZED, MESSAGES, MODEL, Site, eventually, program, settings

UNPRICED = "twin-small"
LIST = {"input_per_mtok": "0.15", "output_per_mtok": "0.60"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    twin = Twin()
    yield Site(twin, settings(twin.url, tmp_path, OPENAI_MODELS=f"{MODEL},{UNPRICED}", GOTOAI_FEE_PERCENT="10"))
    twin.close()


def call(gateway: gotoai.SyncGateway, model: str = MODEL) -> str:
    order = gateway.chat.completions.create(model=model, messages=MESSAGES).order
    assert order is not None
    return order


def proved(site: Site) -> None:
    proof = site.books.ask("ledger.verify")
    assert proof["ok"], [check for check in proof["checks"] if not check["ok"]]


def spent(site: Site) -> tuple[Decimal, Decimal]:
    wallet = site.books.wallet()
    return Decimal(wallet["spent_known"]), Decimal(wallet["spent_provisional"])


def cost_of(usage: dict[str, int], price: dict[str, str]) -> Decimal:
    million = Decimal(1_000_000)
    return (
        usage["input_uncached"] * Decimal(price["input_per_mtok"]) / million
        + usage["output_text"] * Decimal(price["output_per_mtok"]) / million
    ).quantize(Decimal("1e-9"))


def test_the_providers_count_settles_an_estimate(gateway: gotoai.SyncGateway, site: Site) -> None:
    site.twin.script({"omit_usage": True})
    order = call(gateway)
    before = site.books.order(order)
    assert (before["state"], spent(site)[0]) == ("provisional", Decimal(0))
    count = {"input_uncached": 3, "output_text": 2, "request": 1}
    usage = [part for name, number in count.items() for part in ("--usage", f"{name}={number}")]
    line = ("ledger", "true-up", order, *usage, "--reason", "dashboard", "--actor", "ann")
    settled = site.run(*line)
    assert (settled["state"], settled["usage"], settled["usage_source"]) == ("finalized", count, "provider")
    assert Decimal(settled["cost"]) == cost_of(count, LIST)
    assert Decimal(settled["charge"]) < Decimal(before["charge"])
    assert (settled["before"]["state"], settled["before"]["charge"]) == ("provisional", before["charge"])
    assert settled["attempts"] == before["attempts"], "what was known of it stays"
    assert spent(site) == (Decimal(settled["charge"]), Decimal(0))
    again = site.run(*line)
    assert (again["duplicate"], again["entry_seq"]) == (True, settled["entry_seq"])
    entry = site.books.order(order)["entries"][-1]
    assert (entry["kind"], entry["actor"], entry["payload"]["reference"]) == ("true_up", "ann", "dashboard")
    # More than was estimated is the platform's affair.
    url = gateway.listen()
    dearer = {"order": order, "usage": {**count, "output_text": 900}, "reason": "second look"}
    reply = httpx.post(f"{url}/admin/order.true_up", json=dearer, headers=AUTHORIZED, timeout=30)
    assert reply.status_code == 200, reply.text
    assert reply.json()["charge"] == settled["charge"]
    assert Decimal(reply.json()["cost"]) > Decimal(settled["cost"])
    proved(site)


def test_a_reported_cost_is_evidence_too(gateway: gotoai.SyncGateway, site: Site) -> None:
    site.twin.script({"omit_usage": True})
    order = call(gateway)
    before = site.books.order(order)
    told = gateway.admin("order.true_up", order=order, cost="0.0000001235", reason="generation gen-1")
    assert (told["state"], told["cost"]) == ("finalized", "0.000000124")
    assert Decimal(told["charge"]) < Decimal(before["charge"]), "a lower cost speaks for a lower charge"
    known = call(gateway)
    charge = site.books.order(known)["charge"]
    told = gateway.admin("order.true_up", order=known, cost="0.02", reason="generation gen-2")
    assert (told["charge"], told["cost"]) == (charge, "0.02"), "the pinned price is what the user pays"
    proved(site)
    notices = gateway.admin("ledger.reconcile", level=0, full=True)["checks"]
    drift = [finding["detail"] for check in notices if check["id"] == "R14" for finding in check["findings"]]
    assert any("as the provider reports it" in detail for detail in drift), notices
    for wrong in ({}, {"cost": "-1"}, {"cost": "a"}, {"usage": {"tokens": 1}}, {"losses": {"openai": "x"}}):
        with pytest.raises(gotoai.errors.InvalidRequestError):
            gateway.admin("order.true_up", order=known, reason="wrong", **wrong)
    with pytest.raises(gotoai.errors.NotFoundError):
        gateway.admin("order.true_up", order="ord_" + "0" * 32, cost="1", reason="wrong")


def test_a_failed_call_that_was_billed_is_our_cost_alone(gateway: gotoai.SyncGateway, site: Site) -> None:
    site.twin.script({"status": 400, "body": {"error": {"message": "no", "type": "invalid_request_error"}}})
    with pytest.raises(gotoai.errors.InvalidRequestError):
        call(gateway)
    order = site.books.ask("ledger.entries")["entries"][-1]["order"]
    assert site.books.order(order)["state"] == "released"
    told = gateway.admin("order.true_up", order=order, cost="0.001", reason="bill of November")
    assert (told["state"], told["charge"], told["cost"]) == ("released", "0.00", "0.001")
    posting = site.books.order(order)["entries"][-1]["postings"]
    assert [(one["debit"], one["credit"]) for one in posting] == [("exp:loss:undelivered", "prov:openai:payable")]
    proved(site)


def test_a_price_that_was_too_high_goes_back(gateway: gotoai.SyncGateway, site: Site) -> None:
    orders = [call(gateway) for _ in range(5)]
    gateway.admin("wallet.refund", order=orders[0], reason="wrong answer", amount="0.00000001")
    before = [site.books.order(order) for order in orders]
    lower = {"input_per_mtok": "0.075", "output_per_mtok": "0.30"}
    price = [part for member in lower.items() for part in ("--price", "=".join(member))]
    line = ("ledger", "rerate", "--provider", "openai", "--model", MODEL, *price)
    paid = spent(site)
    shown = site.run(*line)
    assert (shown["applied"], shown["looked_at"], shown["changed"], len(shown["left"])) == (False, 5, 4, 1)
    assert spent(site) == paid, "only shown"
    # A page, then nothing more: what stops it in the middle is made up for by asking again.
    page = gateway.admin(
        "ledger.rerate", provider="openai", model=MODEL, price=lower, apply=True, reason="May", limit=2
    )
    assert (page["looked_at"], page["next_after"]) == (2, orders[1])
    booked = site.run(*line, "--apply", "--actor", "ann", "--reason", "May")
    assert (booked["changed"], booked["unchanged"], booked["left"][0]["order"]) == (3, 1, orders[0])
    for was, order in list(zip(before, orders, strict=True))[1:]:
        now = site.books.order(order)
        assert Decimal(now["cost"]) == cost_of(now["usage"], lower)
        assert abs(Decimal(now["charge"]) * 2 - Decimal(was["charge"])) <= Decimal("2e-9")
    returned = Decimal(page["totals"]["returned"]) + Decimal(booked["totals"]["returned"])
    assert spent(site)[0] == paid[0] - returned == shown_after(shown, paid[0])
    again = site.run(*line, "--apply", "--actor", "ann", "--reason", "May")
    assert (again["changed"], again["unchanged"], spent(site)[0]) == (0, 4, paid[0] - returned)
    # What the price book says is what they were rated by at first: dearer than now, so nobody pays more.
    back = gateway.admin("ledger.rerate", provider="openai", model=MODEL, apply=True, reason="June")
    assert (back["changed"], back["totals"]["returned"]) == (4, "0.00")
    assert Decimal(back["totals"]["loss"]) > 0
    proved(site)


def test_a_re_rating_that_is_killed_is_finished_by_asking_again(gateway: gotoai.SyncGateway, site: Site) -> None:
    with ThreadPoolExecutor(8) as pool:
        orders = set(pool.map(lambda _: call(gateway), range(150)))
    price = ("--price", "input_per_mtok=0.01", "--price", "output_per_mtok=0.01")
    line = ("ledger", "rerate", "--provider", "openai", "--model", MODEL, *price, "--apply", "--reason", "May")
    before = site.books.ask("ledger.entries", limit=10_000)["entries"][-1]["seq"]

    def rated() -> list[str]:
        entries = site.books.ask("ledger.entries", after_seq=before, limit=10_000)["entries"]
        return [entry["order"] for entry in entries if entry["kind"] == "true_up"]

    # Whenever it dies, each order is rated again wholly or not at all.
    killed = subprocess.Popen([program("gotoai"), *line], env=dict(site.env), stdout=subprocess.DEVNULL)  # noqa: S603 - our own command
    eventually(rated)
    killed.kill()
    killed.wait(10)
    first = len(rated())
    proved(site)
    rest = site.run(*line)
    assert (rest["looked_at"], rest["changed"], rest["unchanged"]) == (150, 150 - first, first)
    done = rated()
    assert len(done) == len(set(done)) == 150
    assert set(done) == orders
    proved(site)


def shown_after(shown: Any, paid: Decimal) -> Decimal:  # noqa: ANN401 - JSON
    return paid - Decimal(shown["totals"]["returned"])


def test_what_had_no_price_is_charged_when_it_comes(site: Site) -> None:
    key = site.run("keys", "create", "--name", "shop", "--builder", "acme", "--builder-percent", "20")["secret"]
    with gotoai.SyncGateway(env=site.env) as gateway:
        url = gateway.listen()
        asked = {"model": UNPRICED, "messages": MESSAGES}
        headers = {"authorization": f"Bearer {key}"}
        order = httpx.post(f"{url}/v1/chat/completions", json=asked, headers=headers, timeout=30).headers[
            "x-gotoai-order"
        ]
        assert site.books.order(order)["state"] == "unpriced"
        line = {"provider": "openai", "model": UNPRICED}
        assert gateway.admin("ledger.rerate", **line)["left"][0]["order"] == order, "it has no price yet"
        with pytest.raises(gotoai.errors.GatewayError) as refused:
            gateway.admin("order.true_up", order=order, cost="1", reason="x")
        assert refused.value.code == "conflict"
        shown = gateway.admin("ledger.rerate", price=LIST, **line)
        booked = gateway.admin("ledger.rerate", price=LIST, apply=True, reason="it came", **line)
        assert booked["totals"] == shown["totals"]
        now = site.books.order(order)
        cost = Decimal(now["cost"])
        assert (now["state"], cost, now["builder"]["name"]) == ("finalized", cost_of(now["usage"], LIST), "acme")
        assert abs(Decimal(now["charge"]) - cost * Decimal("1.3")) <= Decimal("1e-9")
        assert spent(site)[0] == Decimal(now["charge"]) == Decimal(booked["totals"]["charged"])
        assert gateway.admin("ledger.rerate", price=LIST, apply=True, reason="again", **line)["unchanged"] == 1
        for wrong in (
            {"input_per_mtok": 0.15, "output_per_mtok": "1"},
            {"input_per_mtok": "1"},
            {**LIST, "x": "1"},
            {"input_per_mtok": "a", "output_per_mtok": "1"},
        ):
            with pytest.raises(gotoai.errors.InvalidRequestError):
                gateway.admin("ledger.rerate", price=wrong, **line)
        with pytest.raises(gotoai.errors.InvalidRequestError, match="reason"):
            gateway.admin("ledger.rerate", price=LIST, apply=True, **line)
    proved(site)


def test_people_see_what_happens(gateway: gotoai.SyncGateway, site: Site) -> None:
    order = call(gateway)

    def said(*line: str) -> str:
        argv = [program("gotoai"), *line]
        done = subprocess.run(argv, env=dict(site.env), capture_output=True, check=True, text=True)  # noqa: S603 - our own command
        return done.stdout

    price = ("--price", "input_per_mtok=9", "--price", "output_per_mtok=9")
    shown = said("ledger", "rerate", "--provider", "openai", "--model", MODEL, *price)
    assert order in shown
    assert "not booked: --apply" in shown
    booked = said("ledger", "true-up", order, "--cost", "0.5", "--reason", "bill")
    assert "is entry" in booked
    assert "-> 0.50" in booked
    assert json.loads(said("ledger", "order", order, "--json"))["cost"] == "0.50"
