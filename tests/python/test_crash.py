"""`kill -9` under load, again and again: what was acknowledged is there, nothing stays open, the books are whole."""

import random
import threading
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from support import AUTHORIZED, CHAT, SAID, Books, Child, Site, eventually

CRASHES = 20
CALLERS = 16
# A crash comes at a moment after so many acknowledgements: at the very first ones, or in the middle of the work.
ACKNOWLEDGED_MAX = 120


@dataclass
class Seen:
    """What callers were told: of whole replies that arrived whole the charge, of streams only that they did."""

    charges: dict[str, str] = field(default_factory=dict)
    streams: set[str] = field(default_factory=set)

    def count(self) -> int:
        return len(self.charges) + len(self.streams)


def call_until_it_dies(url: str, seen: Seen, streams: bool) -> None:
    with httpx.Client(base_url=url, headers=AUTHORIZED, timeout=10) as client:
        try:
            while True:
                reply = client.post("/v1/chat/completions", json={**CHAT, "stream": streams})
                assert reply.status_code == 200, reply.text
                order = reply.headers["x-gotoai-order"]
                if not streams:
                    seen.charges[order] = reply.headers["x-gotoai-charge"]
                elif reply.content.endswith(b"data: [DONE]\n\n"):
                    seen.streams.add(order)
        except httpx.TransportError:
            return  # killed: this reply was not acknowledged


def crash_under_load(server: Child, acknowledged: int) -> Seen:
    """Callers work until the server is killed, which happens once so many replies have been acknowledged."""
    seen = Seen()
    callers = [
        threading.Thread(target=call_until_it_dies, args=(server.url, seen, number % 4 == 0))
        for number in range(CALLERS)
    ]
    for caller in callers:
        caller.start()
    try:
        eventually(lambda: seen.count() >= acknowledged, within_s=60)
    finally:
        server.kill()
        for caller in callers:
            caller.join()
    return seen


def check(site: Site, seen: Seen) -> None:
    books = Books(site.env)
    try:
        assert books.open_orders() == 0
        for order, charge in seen.charges.items():
            booked = books.order(order)
            assert (booked["state"], booked["charge"]) == ("finalized", charge), booked
        for order in seen.streams:
            # Its charge was not told yet. Settled, or given back by the recovery: ended in any case.
            assert books.order(order)["state"] in {"finalized", "released"}
    finally:
        books.close()
    proof = site.run("ledger", "verify")
    assert proof["ok"], proof


def test_killed_under_load_it_loses_nothing_that_was_acknowledged(site: Site) -> None:
    moments = [random.randint(1, ACKNOWLEDGED_MAX) for _ in range(CRASHES)]  # noqa: S311 - no secret
    server = Child.native(site.env)
    try:
        for moment in moments:
            seen = crash_under_load(server, moment)
            server = Child.native(site.env)
            check(site, seen)
    finally:
        server.stop()


def test_what_was_in_flight_when_it_was_killed_is_given_back(site: Site) -> None:
    """Calls that wait for the provider: their holds go back at the next start, their input is the house's loss."""
    site.twin.script({"delay_ms": 60_000, "times": 0})
    server = Child.native(site.env)
    callers = [threading.Thread(target=call_until_it_dies, args=(server.url, Seen(), False)) for _ in range(4)]
    for caller in callers:
        caller.start()
    eventually(lambda: len(site.calls()) == 4)
    assert site.books.open_orders() == 4
    server.kill()
    for caller in callers:
        caller.join()
    assert site.books.open_orders() == 4
    server = Child.native(site.env)
    try:
        assert site.books.open_orders() == 0
        wallet = site.books.wallet()
        assert (wallet["held"], wallet["spent_known"]) == ("0.00", "0.00")
        entries = site.books.ask("ledger.entries", limit=1000)["entries"]
        assert [entry["kind"] for entry in entries].count("recover") == 4
        assert site.run("ledger", "verify")["ok"]
        site.reset()
        reply = httpx.post(f"{server.url}/v1/chat/completions", json=CHAT, headers=AUTHORIZED)
        assert SAID in reply.json()["choices"][0]["message"]["content"]
    finally:
        server.stop()


def test_killed_while_it_starts_it_starts_the_next_time(site: Site, tmp_path: Path) -> None:
    """As soon as it has touched the store: in a migration, in the recovery, in between."""
    for _ in range(5):
        kill_at_the_first_write(site, tmp_path)
    with Child.native(site.env) as server:
        assert httpx.get(f"{server.url}/health/ready").status_code == 200
    assert site.run("ledger", "verify")["ok"]


def kill_at_the_first_write(site: Site, directory: Path) -> None:
    def touched() -> list[int]:
        watched = (directory, directory / "gotoai.db", directory / "gotoai.db-wal")
        return [path.stat().st_mtime_ns for path in watched if path.exists()]

    before = touched()
    starting = Child.spawn(site.env)
    eventually(lambda: touched() != before)
    starting.kill()
