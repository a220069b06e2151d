"""Failing open: when the limits or the books cannot be asked, calls go through unmetered.

Elsewhere: a setting named fail-closed still admits calls whose reservation could not be written (litellm #33923).
Here a call is sent after its hold is on the disk, or not at all; what was under way when the books broke is booked
when they are back.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from pitfalls.tenant import INPUT, OUTPUT, Opener, Tenant, code, nano, serving
from support import EMBEDDER, Door, Site, events, eventually


@contextmanager
def broken(site: Site, trouble: str, repair: str) -> Iterator[None]:
    """The database as it is while ``trouble`` lasts, done to the file behind the gateway's back."""
    path = Path(site.env["GOTOAI_DATA_DIR"]) / "gotoai.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute(trouble)
    yield
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute(repair)


def unwritable(site: Site) -> AbstractContextManager[None]:
    """No commit of the ledger succeeds."""
    refuse = "BEGIN SELECT RAISE(ABORT, 'refused for the test'); END"
    return broken(site, f"CREATE TRIGGER refuse BEFORE INSERT ON blocks {refuse}", "DROP TRIGGER refuse")


def refused_unsent(door: Door, payer: Tenant) -> None:
    """Every kind of call is refused as the gateway's own failure, and the provider has heard of none."""
    sent = len(door.site.calls())
    replies = [payer.chat(), payer.chat(stream=True)]
    replies.append(payer.client.post("/embeddings", json={"model": EMBEDDER, "input": "hello"}))
    replies += payer.storm(12)
    assert {(reply.status_code, code(reply)) for reply in replies} == {(503, "ledger_unavailable")}
    assert len(door.site.calls()) == sent


def test_books_that_cannot_be_written_stop_every_call(site: Site, tenant: Opener) -> None:
    with serving(site) as door:
        prepaid, postpaid = tenant(10**9, door=door), tenant(door=door)
        with unwritable(site):
            refused_unsent(door, prepaid)
            refused_unsent(door, postpaid)
            assert door.get("/health/ready").status_code == 503
        eventually(lambda: prepaid.chat().status_code == 200)
        assert postpaid.chat().status_code == 200
        assert [len(payer.orders()) for payer in (prepaid, postpaid)] == [1, 1]


def test_a_budget_that_cannot_be_read_is_not_ignored(site: Site, tenant: Opener) -> None:
    with serving(site) as door:
        payer = tenant(door=door)
        assert payer.chat().status_code == 200
        payer.limit(amount="1.00")
        garble = "UPDATE budgets SET period = json_set(period, '$.every', '{}')"
        with broken(site, garble.format("never heard of"), garble.format("lifetime")):
            refused_unsent(door, payer)
        eventually(lambda: payer.chat().status_code == 200)


def test_a_call_that_was_under_way_is_booked_when_the_books_are_back(site: Site, tenant: Opener) -> None:
    """Its end could not be written when it came. It is neither lost nor given back."""
    site.twin.script({"reply_text": events(9), "stall_after_events": 3})
    with serving(site) as door:
        payer = tenant(10**9, door=door)
        with payer.stream() as reply:
            seen = b""
            chunks = reply.iter_raw()
            while b'"2 "' not in seen:
                seen += next(chunks)
            with unwritable(site):
                reply.close()
                eventually(lambda: site.steer("requests")["counters"]["client_gone"] == 1)
                refused_unsent(door, payer)
                assert nano(payer.wallet()["held"]) > 0
        eventually(lambda: payer.chat().status_code == 200)
        order = payer.receipt(reply)
        assert (order["state"], order["finish"]) == ("provisional", "client_left")
        assert nano(order["charge"]) == order["usage"]["input_uncached"] * INPUT + 3 * OUTPUT
