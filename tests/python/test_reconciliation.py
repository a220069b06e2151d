"""Books that do not add up: found within a run, told to people, calls stopped, and taken again once they are mended."""

import hmac
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

import gotoai
from gotoai._core import CoreError
from support import AUTHORIZED, CHAT, Child, Site, eventually, settings

SECRET = "whsec_test"


class Receiver:
    """A webhook that is down for its first two messages."""

    def __init__(self) -> None:
        self.refused: list[dict[str, Any]] = []
        self.taken: list[dict[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                message = gotoai.verify_webhook(body, self.headers["gotoai-signature"], SECRET)
                down = len(receiver.refused) < 2
                (receiver.refused if down else receiver.taken).append(message)
                self.send_response(503 if down else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/alerts"
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self) -> "Receiver":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def watched(site: Site, data_dir: Path, receiver: Receiver) -> Site:
    """The site, reconciled all the time, with a webhook."""
    alerts = {"GOTOAI_ALERT_WEBHOOK_URL": receiver.url, "GOTOAI_ALERT_WEBHOOK_SECRET": SECRET}
    more = {"GOTOAI_RECONCILE_SECONDS": "0.1", "LOG_FORMAT": "json", **alerts}
    return Site(site.twin, settings(site.twin.url, data_dir, **more))


TAMPER = """
import contextlib, sqlite3, sys
with contextlib.closing(sqlite3.connect(sys.argv[1], timeout=10)) as file, file:
    for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        file.execute(f"DROP TRIGGER {name}")
    account = "SELECT id FROM accounts WHERE path = ?"
    sql = f"UPDATE balances SET credits = credits + 1000000 WHERE account_id = ({account})"
    assert file.execute(sql, sys.argv[2:]).rowcount == 1
"""


def tamper(data_dir: Path, path: str) -> None:
    """Adds a thousandth of a dollar to an account's balance behind the gateway's back, with no trigger in the way.

    In a process of its own: two SQLite libraries in one process would drop each other's locks on the file.
    """
    argv = [sys.executable, "-c", TAMPER, str(data_dir / "gotoai.db"), path]
    subprocess.run(argv, check=True)  # noqa: S603 - our own program


def chat(child: Child, key: str | None = None) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else AUTHORIZED
    return httpx.post(f"{child.url}/v1/chat/completions", json=CHAT, headers=headers, timeout=30)


def code(reply: httpx.Response) -> str:
    return str(reply.json().get("error", {}).get("code", "served"))


@contextmanager
def serving(site: Site) -> Iterator[Child]:
    with Child.native(site.env) as child:
        yield child


def test_a_broken_balance_is_found_told_and_stops_calls(site: Site, receiver: Receiver, tmp_path: Path) -> None:
    site = watched(site, tmp_path, receiver)
    books = site.books
    with serving(site) as child:
        eventually(lambda: chat(child).status_code == 200)
        eventually(lambda: books.ask("ledger.findings")["last_run_at"])
        assert books.ask("ledger.findings")["findings"] == []
        tamper(tmp_path, "rev:usage")
        eventually(lambda: books.ask("ledger.findings")["frozen"])
        found = {one["check"]: one for one in books.ask("ledger.findings")["findings"]}
        assert found["R02"]["account"] == "rev:usage"
        assert found["R02"]["drift_nano"] == "1000000"
        assert (found["R02"]["severity"], found["R02"]["remedy"]) == ("critical", {"kind": "rebuild"})
        eventually(lambda: code(chat(child)) == "ledger_frozen")
        refused = chat(child)
        assert refused.status_code == 503
        assert found["R02"]["finding"] in refused.text
        ready = httpx.get(f"{child.url}/health/ready")
        assert ready.status_code == 503
        assert "frozen since" in ready.json()["checks"]["books"]
        metrics = httpx.get(f"{child.url}/metrics").text
        assert 'gotoai_ledger_findings{check="R02",severity="critical"} 1' in metrics
        assert 'gotoai_ledger_drift_nano{check="R02"} 1000000' in metrics
        assert "gotoai_ledger_frozen 1" in metrics
        opened = {one["finding"] for one in found.values()}
        # One of each finding and one of the freeze, those that were refused at first among them.
        eventually(lambda: len(receiver.taken) == len(opened) + 1, within_s=30)
        assert '"finding.opened"' in child.errors()
        assert {message["data"]["finding"] for message in receiver.taken} == opened
        ids = {message["id"] for message in receiver.taken}
        assert len(ids) == len(receiver.taken), "taken once each"
        assert {message["id"] for message in receiver.refused} <= ids
    # The freeze outlives the process.
    with serving(site) as child:
        assert code(chat(child)) == "ledger_frozen"
        with pytest.raises(CoreError, match="still broken"):
            books.ask("ledger.unfreeze", actor="ann", reason="hope")
        shown = books.ask("ledger.rebuild")
        assert len(shown["changes"]) == 1
        assert code(chat(child)) == "ledger_frozen"
        books.ask("ledger.rebuild", apply=True, actor="ann", reason="a balance was edited")
        assert books.ask("ledger.verify")["ok"]
        assert books.ask("ledger.findings")["findings"] == []
        assert code(chat(child)) == "ledger_frozen"
        assert books.ask("ledger.unfreeze", actor="ann", reason="rebuilt")["lifted"]
        eventually(lambda: chat(child).status_code == 200)
        eventually(lambda: "ledger.unfrozen" in {message["type"] for message in receiver.taken})
    books.close()


def test_a_break_within_a_wallet_stops_that_wallet(site: Site, receiver: Receiver, tmp_path: Path) -> None:
    site = watched(site, tmp_path, receiver)
    books = site.books
    books.ask("wallet.create", wallet="team", kind="prepaid")
    books.ask("wallet.topup", wallet="team", amount="1", reference="t1")
    with serving(site) as child:
        key = str(books.ask("keys.create", name="team", wallet="team")["secret"])
        eventually(lambda: chat(child, key).status_code == 200)
        tamper(tmp_path, "wallet:team:cash")
        eventually(lambda: books.wallet("team")["frozen"])
        assert code(chat(child, key)) == "wallet_frozen"
        assert chat(child).status_code == 200
        assert books.ask("ledger.findings")["frozen"] is None
        books.ask("ledger.rebuild", apply=True, actor="ann", reason="a balance was edited")
        assert books.ask("ledger.unfreeze", wallet="team", actor="ann", reason="rebuilt")["lifted"]
        assert chat(child, key).status_code == 200
    books.close()


def test_a_break_freezes_once_freezing_is_on(site: Site, receiver: Receiver, tmp_path: Path) -> None:
    site = watched(site, tmp_path, receiver)
    books = site.books
    books.ask("wallet.create", wallet="team", kind="prepaid")
    books.ask("wallet.topup", wallet="team", amount="1", reference="t1")
    with serving(Site(site.twin, {**site.env, "GOTOAI_FREEZE_ON_BREAK": "off"})):
        tamper(tmp_path, "wallet:team:cash")
        eventually(lambda: "R02" in {one["check"] for one in books.ask("ledger.findings")["findings"]})
        assert not books.wallet("team")["frozen"]
    with serving(site):
        eventually(lambda: books.wallet("team")["frozen"])
        # Whoever thaws it knows of the break: the next runs leave it so.
        books.ask("wallet.thaw", wallet="team", actor="ann", reason="it has to pay")
        before = books.ask("ledger.findings")["findings"][0]["seen"]
        books.ask("ledger.reconcile", full=True)
        eventually(lambda: books.ask("ledger.findings")["findings"][0]["seen"] > before)
        assert not books.wallet("team")["frozen"]
    books.close()


FINDING = """
import contextlib, sqlite3, sys
with contextlib.closing(sqlite3.connect(sys.argv[1], timeout=10)) as file, file:
    for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        file.execute(f"DROP TRIGGER {name}")
    entry = '{"debit":"exp:loss:crash","credit":"bank:main","amount_nano":5,"reason":"r"}'
    file.execute(
        "INSERT INTO findings(id, level, check_id, severity, subject, detail, evidence, remedy, status,"
        " opened_at, first_seen, last_seen, seen)"
        " VALUES ('fnd_1', 0, 'R20', 'high', 'ledger', 'd', '{}', ?, 'open', 1, 1, 1, 1)",
        ('{"kind":"compensate","entries":[' + entry + ']}',),
    )
"""


def test_a_finding_is_answered_once_and_only_while_it_is_open(site: Site, tmp_path: Path) -> None:
    books = site.books
    subprocess.run([sys.executable, "-c", FINDING, str(tmp_path / "gotoai.db")], check=True)  # noqa: S603 - our own program
    accounts = {"debit": "exp:loss:crash", "credit": "bank:main"}
    booked = {"actor": "ann", "reason": "lost"}
    first = books.ask("ledger.adjust", finding="fnd_1", amount="0.000000005", **accounts, **booked)
    found = books.ask("ledger.findings", status="repaired")["findings"][0]
    assert (found["finding"], found["repair_seq"]) == ("fnd_1", first["entry_seq"])
    # The same correction by the other way is the same entry; another one has nothing to answer any more.
    again = books.ask("ledger.repair", finding="fnd_1", apply=True, **booked)["entries"][0]
    assert (again["entry_seq"], again["duplicate"]) == (first["entry_seq"], True)
    other = {"debit": "exp:loss:failover", "credit": "bank:main"}
    with pytest.raises(CoreError, match="is repaired"):
        books.ask("ledger.adjust", finding="fnd_1", amount="0.000000005", **other, **booked)
    with pytest.raises(CoreError, match="no open finding"):
        books.ask("ledger.adjust", finding="fnd_2", amount="1", **accounts, **booked)
    books.close()


def test_a_finding_that_is_gone_is_not_repaired(site: Site, tmp_path: Path) -> None:
    books = site.books
    subprocess.run([sys.executable, "-c", FINDING, str(tmp_path / "gotoai.db")], check=True)  # noqa: S603 - our own program
    assert books.ask("ledger.reconcile", full=True)["gone"] == 1
    with pytest.raises(CoreError, match="is gone"):
        books.ask("ledger.repair", finding="fnd_1", apply=True, actor="ann", reason="late")
    assert {"adjust", "invoice"}.isdisjoint(one["kind"] for one in books.ask("ledger.entries")["entries"])
    books.close()


def test_a_misspelt_name_opens_no_account(site: Site) -> None:
    books = site.books
    booked = {"amount": "1", "reference": "r", "actor": "ann", "reason": "r"}
    with pytest.raises(CoreError, match="did you mean 'openai'"):
        books.ask("ledger.adjust", debit="exp:provider_variance", credit="prov:opnai:payable", **booked)
    with pytest.raises(CoreError, match="nothing was ever booked there"):
        books.ask("ledger.adjust", debit="builder:nobody:payable", credit="bank:main", **booked)
    with pytest.raises(CoreError, match="did you mean 'openai'"):
        books.ask("ledger.invoice", provider="opnai", accrued="1", paid="1", reference="i", actor="ann")
    assert {"adjust", "invoice"}.isdisjoint(one["kind"] for one in books.ask("ledger.entries")["entries"])
    books.close()


def test_a_finding_is_acknowledged_and_answered_by_an_entry(site: Site) -> None:
    books = site.books
    books.ask("wallet.create", wallet="team", kind="prepaid")
    books.ask("wallet.topup", wallet="team", amount="1", reference="t1")
    entry = {"finding": "gap_1", "debit": "exp:provider_variance", "credit": "prov:openai:payable", "amount": "0.25"}
    shown = books.ask("ledger.repair", **entry)
    assert (shown["applied"], shown["entries"][0]["amount_nano"]) == (False, 250_000_000)
    with pytest.raises(CoreError, match="'reason' is needed"):
        books.ask("ledger.repair", apply=True, **entry)
    booked = {"apply": True, "actor": "ann", "reason": "the bill was higher"}
    first = books.ask("ledger.repair", **entry, **booked)["entries"][0]
    assert books.ask("ledger.repair", **entry, **booked)["entries"][0] == {**first, "duplicate": True}
    with pytest.raises(CoreError, match="already recorded"):
        books.ask("ledger.repair", **{**entry, "amount": "0.30"}, **booked)
    line = books.ask("ledger.entries", after_seq=first["entry_seq"] - 1)["entries"][0]
    assert (line["actor"], line["payload"]["finding"]) == ("ann", "gap_1")
    with pytest.raises(CoreError, match="no open finding"):
        books.ask("ledger.acknowledge", finding="fnd_0", actor="ann", note="seen")
    assert books.ask("ledger.reconcile", full=True)["ok"]
    books.close()


def test_the_commands(site: Site, receiver: Receiver, tmp_path: Path) -> None:
    site = watched(site, tmp_path, receiver)
    assert site.run("ledger", "reconcile", "--full")["ok"]
    assert site.run("ledger", "findings")["findings"] == []
    assert site.run("ledger", "rebuild") == {"applied": False, "changes": [], "left": []}
    assert not site.run("ledger", "unfreeze", "--actor", "ann", "--reason", "none")["lifted"]
    receiver.refused.extend([{}, {}])
    assert site.run("alerts", "test") == {"ok": True, "webhook": "127.0.0.1", "detail": "taken"}
    assert [message["type"] for message in receiver.taken] == ["test"]


def test_only_a_fresh_message_with_the_right_signature_is_taken() -> None:
    body = json.dumps({"id": "evt_1", "type": "test"}).encode()
    tag = hmac.new(SECRET.encode(), b"1700000000." + body, "sha256").hexdigest()
    header = f"t=1700000000,v1=00,v1={tag}"
    assert gotoai.verify_webhook(body, header, SECRET, now=1700000299)["id"] == "evt_1"
    assert gotoai.verify_webhook(body.decode(), header, SECRET, now=1699999701)["id"] == "evt_1"
    for wrong in [
        (body + b" ", header, SECRET, 1700000000),
        (body, header, "other", 1700000000),
        (body, header.replace("t=17", "t=18"), SECRET, 1800000000),
        (body, header, SECRET, 1700000301),
        (body, f"v1={tag}", SECRET, 1700000000),
        (body, "t=1700000000", SECRET, 1700000000),
        (body, "t=\u0661,v1=00", SECRET, 1),
    ]:
        with pytest.raises(gotoai.WebhookError):
            gotoai.verify_webhook(*wrong[:3], now=wrong[3])
