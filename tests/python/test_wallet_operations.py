"""Wallets as their administrators work with them: in process, over HTTP and on the command line."""

import csv
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

import gotoai
from gotoai.testing import Twin
from support import AUTHORIZED, CHAT, MESSAGES, MODEL, Door, Site


def spend(gateway: gotoai.SyncGateway) -> Any:  # noqa: ANN401 - a reply
    return gateway.chat.completions.create(model=MODEL, messages=MESSAGES)


def proved(gateway: gotoai.SyncGateway) -> None:
    proof = gateway.admin("ledger.verify")
    assert proof["ok"], [check for check in proof["checks"] if not check["ok"]]


def test_a_month_of_a_wallet(gateway: gotoai.SyncGateway) -> None:
    gateway.admin("wallet.topup", wallet="default", amount="25", reference="pi_1", fee="0.8", payment_provider="stripe")
    again = gateway.admin(
        "wallet.topup", wallet="default", amount="25", reference="pi_1", fee="0.8", payment_provider="stripe"
    )
    assert again["duplicate"]
    gateway.admin("wallet.grant", wallet="default", grant="welcome", amount="0.00001", priority=1)
    order = spend(gateway).order
    assert order is not None
    charge = Decimal(gateway.orders.retrieve(order)["charge"])
    granted = gateway.admin("wallet.balance", wallet="default")["grants"]
    assert Decimal(granted[0]["left"]) == max(Decimal(0), Decimal("0.00001") - charge), "grants are spent first"
    refunded = gateway.admin("wallet.refund", order=order, reason="wrong answer")
    assert Decimal(refunded["refunded"]) == charge
    assert gateway.admin("wallet.refund", order=order, reason="wrong answer")["duplicate"]
    gateway.admin("wallet.cash_out", wallet="default", amount="5", reference="po_1", payment_provider="stripe")
    gateway.admin("wallet.cash_out_end", reference="po_1", result="paid", payment_provider="stripe")
    gateway.admin("ledger.payout", amount="10", reference="payout_1", payment_provider="stripe")
    gateway.admin("ledger.invoice", provider="openai", accrued="0.001", paid="0.0009", reference="INV-1")
    gateway.admin(
        "ledger.adjust",
        debit="exp:loss:estimate",
        credit="prov:openai:payable",
        amount="0.5",
        reason="test",
        reference="a1",
    )
    proved(gateway)
    month = datetime.now(UTC).strftime("%Y-%m")
    told = gateway.admin("wallet.statement", wallet="default", month=month)
    moved = sum(Decimal(one["amount"]) for one in told["movements"])
    assert Decimal(told["opening"]) + moved == Decimal(told["closing"])
    assert Decimal(told["closing"]) == Decimal("20.00001")
    assert sum(Decimal(line["charge"]) for line in told["usage"]) == charge
    assert Decimal(told["totals"]["refunded"]) == charge
    assert gateway.admin("wallet.statement", wallet="default", month="2001-01")["closing"] == "0.00"


def test_frozen_charged_back_and_thawed(gateway: gotoai.SyncGateway) -> None:
    gateway.admin("wallet.create", wallet="team", kind="prepaid")
    gateway.admin("wallet.topup", wallet="team", amount="10", reference="pi_2")
    shown = gateway.admin("wallet.chargeback", wallet="team", amount="15", reference="dp_1")
    assert (shown["frozen"], shown["cash"], shown["owed"]) == (True, "0.00", "5.00")
    gateway.admin("wallet.thaw", wallet="team", reason="paid")
    gateway.admin("wallet.topup", wallet="team", amount="7", reference="pi_3")
    shown = gateway.admin("wallet.balance", wallet="team")
    assert (shown["frozen"], shown["cash"], shown["owed"]) == (False, "2.00", "0.00"), "debts first"
    gateway.admin("wallet.freeze", wallet="default", reason="look at it")
    with pytest.raises(gotoai.errors.GatewayError) as refused:
        spend(gateway)
    assert refused.value.code == "wallet_frozen"
    proved(gateway)


def test_a_short_wallet_clamps_and_a_strict_one_refuses(site: Site) -> None:
    with gotoai.SyncGateway(env=site.env) as gateway:
        gateway.admin("wallet.create", wallet="short", kind="prepaid")
        gateway.admin("wallet.topup", wallet="short", amount="0.0005", reference="pi_4")
        key = gateway.admin("keys.create", name="short", wallet="short")["secret"]
        url = gateway.listen()
        asked = {"model": MODEL, "messages": MESSAGES, "max_tokens": 100_000}
        headers = {"authorization": f"Bearer {key}"}
        served = httpx.post(f"{url}/v1/chat/completions", json=asked, headers=headers, timeout=30)
        assert served.status_code == 200, served.text
        sent = (
            json.loads(site.calls()[-1]["body"])
            if isinstance(site.calls()[-1]["body"], str)
            else site.calls()[-1]["body"]
        )
        assert 16 <= sent["max_tokens"] < 100_000
        gateway.admin("wallet.terms", wallet="short", hold="strict", reason="contract")
        refused = httpx.post(f"{url}/v1/chat/completions", json=asked, headers=headers, timeout=30)
        assert (refused.status_code, refused.json()["error"]["code"]) == (402, "insufficient_funds")
        proved(gateway)


def test_a_money_budget_resets_with_its_period(site: Site) -> None:
    with gotoai.SyncGateway(env=site.env) as gateway:
        hourly = gateway.admin(
            "budget.create", name="hourly", period={"every": "hour"}, amount="0.00000001", wallet="default"
        )
        with pytest.raises(gotoai.errors.GatewayError) as refused:
            spend(gateway)
        assert refused.value.code == "budget_exceeded"
        assert refused.value.retry_after is not None
        assert 0 < refused.value.retry_after <= 3600
        assert hourly["resets_at"] in str(refused.value)


def test_administration_over_http(door: Door) -> None:
    def ask(operation: str, key: str | None = None, **arguments: object) -> httpx.Response:
        headers = AUTHORIZED if key is None else {"authorization": f"Bearer {key}"}
        return door.post(f"/admin/{operation}", json=arguments, headers=headers)

    made = ask("wallet.create", wallet=f"http-{door.name}", kind="prepaid")
    assert made.status_code == 200, made.text
    assert ask("wallet.balance", wallet=f"http-{door.name}").json()["cash"] == "0.00"
    assert ask("no.such").status_code == 404
    assert ask("wallet.balance", wallet="nobody").status_code == 404
    chat = door.key("chat")
    assert ask("wallet.balance", chat, wallet="default").json()["error"]["code"] == "insufficient_scope"
    organisation = door.key("org", scopes=["org_admin"], wallet=f"http-{door.name}")
    assert ask("wallet.balance", organisation).json()["wallet"] == f"http-{door.name}"
    assert ask("wallet.balance", organisation, wallet="default").status_code == 403
    assert ask("wallet.topup", organisation, wallet=f"http-{door.name}", amount="1", reference="x").status_code == 403
    assert httpx.post(f"{door.url}/admin/wallet.list").status_code == 401


def test_a_builder_earns_a_share_on_the_calls_of_its_key(site: Site) -> None:
    made = site.run("keys", "create", "--name", "shop", "--builder", "acme", "--builder-percent", "10")
    assert made["builder"] == {"name": "acme", "percent": "10"}
    with gotoai.SyncGateway(env=site.env) as gateway:
        headers = {"authorization": f"Bearer {made['secret']}"}
        url = gateway.listen()
        asked = {**CHAT, "stream": False}
        served = [httpx.post(f"{url}/v1/chat/completions", json=asked, headers=headers, timeout=30) for _ in range(2)]
        orders = [reply.headers["x-gotoai-order"] for reply in served]
        receipt = httpx.get(f"{url}/v1/orders/{orders[0]}", headers=headers, timeout=30).json()
        share = Decimal(receipt["builder"]["amount"])
        assert receipt["builder"]["name"] == "acme"
        assert abs(share - Decimal(receipt["cost"]) / 10) <= Decimal("0.000000001")
        assert Decimal(receipt["charge"]) == Decimal(receipt["pass_through"]) + Decimal(receipt["fee"])
        assert Decimal(gateway.admin("ledger.builders")["builders"][0]["owed"]) == 2 * share
        gateway.admin("wallet.refund", order=orders[1], reason="wrong answer")
        assert Decimal(gateway.admin("ledger.builders")["builders"][0]["owed"]) == share
        proved(gateway)
        for wrong in ({"builder": "acme"}, {"builder_percent": "10"}, {"builder": "a:b", "builder_percent": "10"}):
            with pytest.raises(gotoai.errors.InvalidRequestError):
                gateway.admin("keys.create", name="x", **wrong)
        for percent in ("0", "-1", "1001", "ten"):
            with pytest.raises(gotoai.errors.InvalidRequestError):
                gateway.admin("keys.create", name="x", builder="acme", builder_percent=percent)
    assert site.run("keys", "list")["keys"][-1]["builder"]["name"] == "acme"
    account = site.run("ledger", "builders")["builders"][0]["account"]
    paid = ("ledger", "adjust", account, "bank:main", f"{share:f}", "--reference", "out-1", "--reason", "November")
    site.run(*paid, "--actor", "me")
    assert site.run("ledger", "builders")["builders"][0]["owed"] == "0.00"
    assert site.run("ledger", "verify")["ok"]


def test_on_the_command_line(site: Site, tmp_path: Path) -> None:
    with gotoai.SyncGateway(env=site.env) as gateway:
        spend(gateway)
    site.run("wallet", "create", "cli")
    site.run("wallet", "topup", "cli", "3.00", "--reference", "r1")
    granted = site.run("wallet", "grant", "cli", "welcome", "1.00", "--expires", "2099-01-01")
    assert granted["granted"] == "1.00"
    site.run("wallet", "freeze", "cli", "--reason", "test", "--actor", "me")
    assert site.run("wallet", "thaw", "cli", "--reason", "test")["frozen"] is False
    terms = tmp_path / "terms.json"
    terms.write_text(json.dumps({"hold": "metered", "markup": [{"model": "gpt-4o*", "percent": "12.5"}]}))
    changed = site.run("wallet", "terms", "cli", "--set", str(terms), "--reason", "contract")
    assert (changed["hold"], changed["markup"][0]["percent"]) == ("metered", "12.5")
    site.run("budget", "create", "b1", "--every", "month", "--amount", "5.00", "--wallet", "cli", "--alert", "80")
    assert [one["name"] for one in site.run("budget", "list")["budgets"]] == ["b1"]
    month = datetime.now(UTC).strftime("%Y-%m")
    page, table = tmp_path / "s.html", tmp_path / "s.csv"
    for form, out in (("html", page), ("csv", table)):
        site.run_text("wallet", "statement", "default", "--month", month, "--format", form, "--out", str(out))
    text = page.read_text("utf-8")
    assert re.search(r'<th scope="row">Closing balance</th><td class="n">-?\d', text)
    assert "This month is not over" in text
    # Tables that are read aloud have heads, and a page that is printed repeats them.
    assert text.count('scope="col"') == len(table.read_text("utf-8").splitlines()[0].split(","))
    assert "table-header-group" in text
    assert all(
        len(re.findall(rf"<{tag}\b", text)) == text.count(f"</{tag}>") for tag in ("table", "tbody", "tr", "th", "td")
    )
    lost = site.run_failing(
        "wallet", "statement", "default", "--month", month, "--format", "csv", "--out", str(tmp_path / "no" / "s.csv")
    )
    assert "No such file" in lost
    assert "Traceback" not in lost
    rows = list(csv.DictReader(table.read_text("utf-8").splitlines()))
    assert rows[0]["model"] == f"openai/{MODEL}"


def test_a_metered_stream_ends_cleanly_at_its_cap(tmp_path: Path) -> None:
    from support import events, settings

    twin = Twin()
    site = Site(twin, settings(twin.url, tmp_path))
    with gotoai.SyncGateway(env=site.env) as gateway:
        gateway.admin("wallet.create", wallet="meter", kind="prepaid")
        gateway.admin("wallet.topup", wallet="meter", amount="0.0008", reference="pi_5")
        gateway.admin("wallet.terms", wallet="meter", hold="metered", reason="contract")
        key = gateway.admin("keys.create", name="meter", wallet="meter")["secret"]
        url = gateway.listen()
        twin.script({"reply_text": events(6000), "content_type": "text/event-stream"})
        reply = httpx.post(
            f"{url}/v1/chat/completions",
            json={"model": MODEL, "messages": MESSAGES, "stream": True},
            headers={"authorization": f"Bearer {key}"},
            timeout=60,
        )
        assert reply.status_code == 200, reply.text
        lines = [line for line in reply.text.split("\n\n") if line.startswith("data: ")]
        assert lines[-1] == "data: [DONE]"
        last = json.loads(lines[-2].removeprefix("data: "))
        assert last["choices"][0]["finish_reason"] == "length"
        assert last["gotoai"]["type"] == "cap_reached"
        wallet = gateway.admin("wallet.balance", wallet="meter")
        assert wallet["held"] == "0.00"
        assert Decimal(wallet["cash"]) + Decimal(wallet["spent_provisional"]) == Decimal("0.0008")
        proved(gateway)
    twin.close()
