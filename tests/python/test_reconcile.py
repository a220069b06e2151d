"""The books against a provider's bill, end to end.

The twin is the second witness: what it received is asked of it again, and its own counts, priced by the list, make the
provider's export.
"""

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

import gotoai
from gotoai._core import CoreError
from gotoai.testing import Twin
from support import CHAT, EMBEDDER, MESSAGES, MODEL, REASONER, Site, eventually, program, settings

# USD a million tokens, as the provider lists them: input, cached input, output.
PRICES = {
    MODEL: ("0.15", "0.075", "0.60"),
    REASONER: ("1.10", "0.55", "4.40"),
    EMBEDDER: ("0.02", "0.02", "0"),
}
Export = dict[str, Any]


def today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")


def usages(twin: Twin) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, model and usage of every call the twin received, by its own count."""
    for request in [one for one in twin.requests() if one["method"] == "POST"]:
        url = twin.url.removesuffix("/v1") + request["path"]
        body = {**request["body"], "stream": False}
        body.pop("stream_options", None)
        reply = httpx.post(url, json=body, headers={"authorization": "Bearer sk-witness"})
        yield request["path"], body["model"], reply.json()["usage"]


def page(day: str, results: list[Export]) -> Export:
    start = int(datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp())
    bucket = {"object": "bucket", "start_time": start, "end_time": start + 86_400, "results": results}
    return {"object": "page", "data": [bucket], "has_more": False, "next_page": None}


def export(twin: Twin, day: str) -> list[Export]:
    """Usage and costs of the twin's calls as OpenAI's administration reports them."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for path, model, usage in usages(twin):
        kind = "embeddings" if path.endswith("/embeddings") else "completions"
        sums = counts.setdefault((kind, model), Counter())
        sums["num_model_requests"] += 1
        sums["input_tokens"] += usage["prompt_tokens"]
        if kind == "completions":
            sums["input_cached_tokens"] += usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
            sums["output_tokens"] += usage["completion_tokens"]
    used, billed = [], []
    for (kind, model), sums in counts.items():
        of = {"object": f"organization.usage.{kind}.result", "model": f"{model}-2024-07-18", "api_key_id": None}
        used.append({**of, **sums})
        cached = sums["input_cached_tokens"]
        amounts = (sums["input_tokens"] - cached, cached, sums["output_tokens"])
        for what, count, price in zip(("input", "cached input", "output"), amounts, PRICES[model], strict=True):
            amount = {"value": str(count * Decimal(price) / 1_000_000), "currency": "usd"}
            line = f"{model}-2024-07-18, {what}"
            billed.append({"object": "organization.costs.result", "amount": amount, "line_item": line})
    return [page(day, used), page(day, billed)]


def reconcile(site: Site, pages: list[Export], provider: str = "openai", **more: object) -> Any:  # noqa: ANN401 - JSON
    content = "\n".join(json.dumps(one) for one in pages)
    return site.books.ask("ledger.reconcile", level=1, provider=provider, content=content, to=today(), **more)


def results(pages: list[Export], at: int) -> list[Export]:
    found: list[Export] = pages[at]["data"][0]["results"]
    return found


def of(pages: list[Export], model: str) -> list[Export]:
    """The usage of a model and its costs."""
    name = f"{model}-2024-07-18"
    both = results(pages, 0) + results(pages, 1)
    return [one for one in both if name in (one.get("model"), one.get("line_item", "").split(",")[0])]


def without(pages: list[Export], model: str) -> list[Export]:
    gone = of(pages, model)
    day = today()
    return [page(day, [one for one in results(pages, at) if one not in gone]) for at in (0, 1)]


def classes(report: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - JSON
    return sorted((gap["class"], gap["model"]) for gap in report["gaps"])


@pytest.fixture
def bill(gateway: gotoai.SyncGateway, site: Site) -> list[Export]:
    """A day of calls, and the bill for it."""
    for n in range(3):
        gateway.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": f"word {n} " * (n + 1)}])
    with gateway.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True) as stream:
        assert list(stream)
    gateway.chat.completions.create(model=REASONER, messages=MESSAGES)
    gateway.embeddings.create(model=EMBEDDER, input=["one two three", "four"])
    eventually(lambda: site.books.open_orders() == 0)
    return export(site.twin, today())


def test_a_true_bill_leaves_no_gap(bill: list[Export], site: Site) -> None:
    report = reconcile(site, bill)
    assert (report["ok"], report["gaps"], report["proposals"], report["unread"]) == (True, [], [], [])
    assert (report["compared"], report["matched"]) == (3, 3)
    theirs, ours = report["totals"]["theirs"], report["totals"]["ours"]
    assert (theirs["requests"], ours["orders"]) == (6, 6)
    assert Decimal(theirs["cost"]) > 0
    assert report["totals"]["difference"] == "0.00"


def test_a_day_that_is_not_over_is_compared_only_by_name(bill: list[Export], site: Site) -> None:
    with pytest.raises(CoreError, match="a day that is not over"):
        site.books.ask("ledger.reconcile", provider="openai", content=json.dumps(bill[0]))


def test_a_misspelt_provider_is_named_and_nothing_is_booked(bill: list[Export], site: Site) -> None:
    with pytest.raises(CoreError, match="did you mean 'openai'"):
        reconcile(site, bill, "opnai", apply=True, actor="ann", reason="September")
    assert "prov:opnai" not in json.dumps(site.books.ask("ledger.entries"))


def test_a_bill_that_is_given_twice_is_refused(bill: list[Export], site: Site) -> None:
    content = "\n".join(json.dumps(one) for one in bill)
    files = [{"name": "a.json", "content": content}, {"name": "b.json", "content": content}]
    with pytest.raises(CoreError, match=r"b\.json is the same as a\.json"):
        site.books.ask("ledger.reconcile", provider="openai", content=files, to=today())


def test_each_kind_of_gap_is_named(bill: list[Export], site: Site) -> None:
    # An order that the provider does not bill, and a bill without an order.
    assert classes(reconcile(site, without(bill, REASONER))) == [("missing_there", REASONER)]
    outside = {**of(bill, MODEL)[0], "model": "gpt-4o-2024-08-06"}
    results(bill, 0).append(outside)
    assert classes(reconcile(site, bill)) == [("missing_here", "gpt-4o-2024-08-06")]
    results(bill, 0).remove(outside)

    usage, *costs = of(bill, MODEL)
    usage["input_cached_tokens"] += 5
    assert classes(reconcile(site, bill)) == [("token_class", MODEL)]
    usage["input_cached_tokens"] -= 5

    # By a cent it is rounding, by more another price.
    honest = costs[2]["amount"]["value"]
    costs[2]["amount"]["value"] = str(Decimal(honest) + Decimal("0.009"))
    report = reconcile(site, bill)
    assert (report["ok"], classes(report)) == (True, [("rounding", MODEL)])
    costs[2]["amount"]["value"] = str(Decimal(honest) + Decimal("0.02"))
    report = reconcile(site, bill)
    assert (report["ok"], classes(report)) == (False, [("price_version", MODEL)])
    posting = {"debit": "exp:provider_variance", "credit": "prov:openai:payable", "amount": "0.02"}
    assert posting.items() <= report["proposals"][0].items()
    assert report["proposals"][0]["finding"] == report["gaps"][0]["id"]
    costs[2]["amount"]["value"] = honest
    assert reconcile(site, bill)["ok"]


def test_what_is_booked_closes_its_gap(bill: list[Export], site: Site, tmp_path: Path) -> None:
    """Every kind at once: an order that is not billed, a bill without an order, other counts, another price."""
    bill = without(bill, REASONER)
    results(bill, 0).append({**of(bill, MODEL)[0], "model": "gpt-4o-2024-08-06"})
    outside = {"value": "1.25", "currency": "usd"}
    results(bill, 1).append({**of(bill, MODEL)[1], "line_item": "gpt-4o-2024-08-06, input", "amount": outside})
    of(bill, MODEL)[0]["input_cached_tokens"] += 5
    of(bill, EMBEDDER)[1]["amount"]["value"] = "0.5"
    found = reconcile(site, bill)
    assert not found["ok"]
    assert len(found["gaps"]) == 4
    with pytest.raises(CoreError, match="reason"):
        reconcile(site, bill, apply=True)
    names = [tmp_path / "usage.json", tmp_path / "costs.json"]
    for name, one in zip(names, bill, strict=True):
        name.write_text(json.dumps(one), encoding="utf-8")
    line = ("ledger", "reconcile", "--provider", "openai", *map(str, names), "--until", today())
    done = site.run(*line, "--apply", "--actor", "ann", "--reason", "bill of November")
    assert (done["ok"], done["gaps"], len(done["booked"])) == (True, [], 4)
    assert {one["gap"] for one in done["booked"]} == {gap["id"] for gap in found["gaps"]}
    clean = reconcile(site, bill)
    assert (clean["ok"], clean["gaps"], clean["totals"]["difference"]) == (True, [], "0.00")
    assert clean["totals"]["ours"]["closed_gaps"] == 4
    entries = site.books.ask("ledger.entries", limit=10_000)["entries"]
    kept = [entry for entry in entries if entry["kind"] == "gap_closed"]
    assert [(entry["actor"], entry["payload"]["day"]) for entry in kept] == [("ann", today())] * 4
    assert site.run(*line, "--apply", "--actor", "ann", "--reason", "again")["booked"] == []
    # What is billed later opens only its own difference.
    of(bill, EMBEDDER)[1]["amount"]["value"] = "0.6"
    later = reconcile(site, bill)
    assert [one["amount"] for one in later["proposals"]] == ["0.10"]
    assert site.books.ask("ledger.verify")["ok"]


def test_an_estimate_gives_way_to_the_bill(gateway: gotoai.SyncGateway, site: Site) -> None:
    site.twin.script({"omit_usage": True})
    reply = gateway.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert reply.order is not None
    assert site.books.order(reply.order)["state"] == "provisional"
    report = reconcile(site, export(site.twin, today()))
    assert classes(report) == [("uncertain_resolved", MODEL)]
    payable = Decimal(report["totals"]["ours"]["cost"])
    for posting in report["proposals"]:
        amount = Decimal(posting["amount"])
        payable += amount if posting["credit"] == "prov:openai:payable" else -amount
    assert payable == Decimal(report["totals"]["theirs"]["cost"])


def test_evidence_after_a_closed_bill_is_no_second_cost(gateway: gotoai.SyncGateway, site: Site) -> None:
    """The bill has what the order cost: what becomes known of it later goes back to the user and is owed to nobody."""
    site.twin.script({"omit_usage": True})
    reply = gateway.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert reply.order is not None
    estimate = site.books.order(reply.order)
    bill = export(site.twin, today())
    assert len(reconcile(site, bill, apply=True, reason="bill of November")["booked"]) == 1
    billed = balances(site)
    count = {"input_uncached": 3, "output_text": 2, "request": 1}
    told = site.books.ask("order.true_up", order=reply.order, usage=count, reason="dashboard")
    assert (told["state"], told["usage"]) == ("finalized", count)
    assert Decimal(told["charge"]) < Decimal(estimate["charge"])
    after = balances(site)
    owed, costs = "prov:openai:payable", ("cogs:", "exp:")
    assert after[owed] == billed[owed], "what we owe is what is billed"
    assert sum(after[path] for path in after if path.startswith(costs)) == -after[owed]
    # Again, dearer than ever, and as a price.
    site.books.ask("order.true_up", order=reply.order, cost="0.5", reason="support")
    price = {"input_per_mtok": "1", "output_per_mtok": "1"}
    site.books.ask("ledger.rerate", provider="openai", model=MODEL, price=price, apply=True, reason="contract")
    assert balances(site)[owed] == billed[owed]
    again = reconcile(site, bill)
    assert (again["ok"], again["gaps"], again["totals"]["difference"]) == (True, [], "0.00")
    with pytest.raises(CoreError, match="is closed and has this cost already"):
        site.books.ask("order.true_up", order=reply.order, losses={"openai": "0.1"}, reason="timeout")
    assert site.books.ask("ledger.verify")["ok"]
    # A bill that grows opens its own difference, no more.
    of(bill, MODEL)[1]["amount"]["value"] = str(Decimal(of(bill, MODEL)[1]["amount"]["value"]) + Decimal("0.25"))
    assert [one["amount"] for one in reconcile(site, bill)["proposals"]] == ["0.25"]


def balances(site: Site) -> dict[str, Decimal]:
    """Credits less debits of every account, out of the entries."""
    sums: Counter[str] = Counter()
    for entry in site.books.ask("ledger.entries", limit=10_000)["entries"]:
        for one in entry["postings"]:
            sums[one["debit"]] -= Decimal(one["amount"])  # type: ignore[assignment]
            sums[one["credit"]] += Decimal(one["amount"])  # type: ignore[assignment]
    return dict(sums)  # type: ignore[arg-type]


def test_a_failed_attempt_that_was_billed_is_found(tmp_path: Path) -> None:
    """The first provider breaks off, the second serves: the first bills all the same, or it does not."""
    first, second = Twin(), Twin()
    east = {"OPENAI_EAST_API_KEY": "sk-twin", "OPENAI_EAST_BASE_URL": second.url, "OPENAI_EAST_MODELS": MODEL}
    site = Site(first, settings(first.url, tmp_path, **east, RETRY_MAX_RETRIES="0"))
    try:
        with gotoai.SyncGateway(env=site.env) as gateway:
            gateway.chat.completions.create(**CHAT)
            spared = export(first, today())
            first.script({"truncate": 40, "match": {"model": MODEL}})
            gateway.chat.completions.create(**CHAT)
        served = [one for one in second.requests() if one["method"] == "POST"]
        assert len(served) == 1
        billed = export(first, today())
        report = reconcile(site, billed)
        assert classes(report) == [("retry_unseen", MODEL)]
        assert report["proposals"][0]["debit"] == "prov:openai:suspense"
        report = reconcile(site, spared)
        assert classes(report) == [("uncertain_resolved", MODEL)]
        postings = [(one["debit"], one["credit"]) for one in report["proposals"]]
        assert postings == [("prov:openai:suspense", "exp:loss:failover")]
        assert reconcile(site, export(second, today()), "openai-east")["ok"]
        site.books.close()
    finally:
        first.close()
        second.close()


def test_the_command_reads_files_and_ends_with_1_on_a_gap(bill: list[Export], site: Site, tmp_path: Path) -> None:
    names = [tmp_path / "usage.json", tmp_path / "costs.json"]
    for name, one in zip(names, bill, strict=True):
        name.write_text(json.dumps(one), encoding="utf-8")
    line = ("ledger", "reconcile", "--provider", "openai", *map(str, names), "--until", today())
    assert site.run(*line)["ok"]
    of(bill, MODEL)[0]["output_tokens"] += 1
    names[0].write_text(json.dumps(bill[0]), encoding="utf-8")
    done = subprocess.run([program("gotoai"), *line], env=dict(site.env), capture_output=True, check=False, text=True)  # noqa: S603 - our own command
    assert done.returncode == 1, done.stderr
    assert "the bill and the books differ" in done.stdout
    assert MODEL in done.stdout
