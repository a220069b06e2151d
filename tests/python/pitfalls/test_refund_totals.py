"""A refund leaves the totals wrong: the balance is corrected, the counters beside it are not.

Elsewhere: a refunded task kept counting as used quota and as a request of its channel, and no two pages showed the
same sum (new-api #4211, PR 6795; "which page is right?", langwatch #7034). Here totals are derived from the entries,
so that every page tells the same sum, before and after a refund.
"""

import csv
from datetime import UTC, datetime
from pathlib import Path

from pitfalls.tenant import Opener, Tenant, administer, counted, metric, nano, serving
from support import MODEL, REASONER, Site, events


def month() -> str:
    return datetime.now(UTC).strftime("%Y-%m")


def receipts(payer: Tenant) -> list[int]:
    orders = [payer.client.get(f"/orders/{order}").json() for order in payer.orders()]
    return [nano(order["charge"] or "0.00") for order in orders]


def pages(payer: Tenant, budget: str, folder: Path) -> dict[str, int]:
    """What the wallet's owner has spent, net of refunds, as each page tells it."""
    site = payer.door.site
    wallet, used = payer.wallet(), payer.budget(budget)
    statement = administer(payer.door, "wallet.statement", wallet=payer.name, month=month())
    totals = statement["totals"]
    out = folder / "statement.csv"
    out.unlink(missing_ok=True)
    site.run_text("wallet", "statement", payer.name, "--month", month(), "--format", "csv", "--out", str(out))
    rows = list(csv.DictReader(out.read_text("utf-8").splitlines()))
    revenue = 0
    for posting in [posting for entry in payer.entries() for posting in entry["postings"]]:
        for side, sign in (("credit", 1), ("debit", -1)):
            revenue += sign * nano(posting["amount"]) * posting[side].startswith("rev:")
    refunded = sum(nano(posting["amount"]) for entry in payer.entries("refund") for posting in entry["postings"])
    return {
        "wallet, spent": nano(wallet["spent_known"]) + nano(wallet["spent_provisional"]),
        "wallet, missing": 10**9 - nano(wallet["cash"]) - nano(wallet["held"]),
        "budget": nano(used["spent_known"]) + nano(used["held"]),
        "statement, totals": nano(totals["spent_known"]) + nano(totals["spent_provisional"]),
        "statement, balance": 10**9 - nano(statement["closing"]),
        "statement, table": sum(nano(row["charge"]) - nano(row["refunded"]) for row in rows),
        "receipts": sum(receipts(payer)) - refunded,
        "revenue": revenue,
    }


def test_every_page_tells_the_same_sum(site: Site, tenant: Opener, tmp_path: Path) -> None:
    with serving(site, GOTOAI_FEE_PERCENT="5.5", RETRY_MAX_RETRIES="0") as door:
        payer = tenant(10**9, door=door)
        budget = payer.limit(amount="1.00")
        payer.storm(8)
        payer.served(model=REASONER)
        payer.served(stream=True)
        site.twin.script({"omit_usage": True}, {"status": 500}, {"truncate": 30}, {"usage": counted(1000, 7)})
        for _ in range(4):
            payer.chat()
        site.twin.script({"cut_after_events": 4}, {"reply_text": events(9), "stall_after_events": 3})
        for _ in range(2):
            with payer.stream() as reply:
                next(reply.iter_raw())
        payer.rests()
        told = pages(payer, budget, tmp_path)
        assert len(set(told.values())) == 1, told
        assert metric(door, "gotoai_charged_nano_usd_total") == sum(receipts(payer)) == told["wallet, spent"]
        orders = [payer.client.get(f"/orders/{order}").json() for order in payer.orders()]
        for name, side in (("input", True), ("output", False)):
            tokens = sum(
                count for one in orders for meter, count in (one["usage"] or {}).items() if is_input(meter) == side
            )
            assert metric(door, f"gotoai_{name}_tokens_total") == tokens, name

        largest = max(orders, key=lambda order: nano(order["charge"] or "0.00"))
        estimated = next(order for order in orders if order["state"] == "provisional" and order["charge"] != "0.00")
        for refunded in (orders[0], estimated):
            administer(door, "wallet.refund", order=refunded["order"], reason="wrong answer")
        administer(door, "wallet.refund", order=largest["order"], amount="0.000001", reason="late", reference="case 1")
        after = pages(payer, budget, tmp_path)
        assert len(set(after.values())) == 1, after
        assert told["budget"] - after["budget"] == nano(orders[0]["charge"]) + nano(estimated["charge"]) + 1000
        assert orders[0]["model"] == MODEL


def is_input(meter: str) -> bool | None:
    if meter == "request":
        return None
    return meter.startswith(("input", "cache"))
