"""Spend queued in memory is lost: a call is answered first and its cost written some time later, by a queue.

Elsewhere: the queue died with the process at every deployment, with its database's failures and with a cancelled
task, and the spend in it was never seen again (litellm #34805 #38157 #35531 #34820). Here nothing is answered before
it is on the disk, so there is nothing to lose.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from pitfalls.tenant import Opener, Tenant, nano, restarted
from support import CHAT, Child, Door, Site, eventually

CRASHES = 12
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


def call_until_it_ends(payer: Tenant, seen: Seen, streams: bool) -> None:
    with payer.at(payer.door) as client:
        try:
            while True:
                reply = client.post("/chat/completions", json={**CHAT, "stream": streams})
                if reply.status_code == 503:
                    return  # a shutdown has begun: this call was refused, in words
                assert reply.status_code == 200, reply.text
                order = reply.headers["x-gotoai-order"]
                if not streams:
                    seen.charges[order] = reply.headers["x-gotoai-charge"]
                elif reply.content.endswith(b"data: [DONE]\n\n"):
                    seen.streams.add(order)
        except httpx.TransportError:
            return  # killed: this reply was not acknowledged


def end_under_load(payer: Tenant, acknowledged: int, end: Callable[[], None]) -> Seen:
    """Callers work until the server is ended, which happens once so many replies have been acknowledged."""
    seen = Seen()
    callers = [
        threading.Thread(target=call_until_it_ends, args=(payer, seen, number % 4 == 0)) for number in range(CALLERS)
    ]
    for caller in callers:
        caller.start()
    try:
        eventually(lambda: seen.count() >= acknowledged, within_s=60)
    finally:
        end()
        for caller in callers:
            caller.join()
    return seen


def check(site: Site, seen: Seen, *states_of_streams: str) -> None:
    assert site.books.open_orders() == 0
    for order, charge in seen.charges.items():
        booked = site.books.order(order)
        assert (booked["state"], booked["charge"]) == ("finalized", charge), booked
    for order in seen.streams:
        assert site.books.order(order)["state"] in states_of_streams
    proof = site.books.ask("ledger.verify")
    assert proof["ok"], proof


def test_killed_under_load_it_loses_nothing_that_was_acknowledged(site: Site, tenant: Opener) -> None:
    moments = [random.randint(1, ACKNOWLEDGED_MAX) for _ in range(CRASHES)]  # noqa: S311 - no secret
    server = Child.native(site.env)
    try:
        payer = tenant(10**12, door=Door("native", server.url, site))
        told = 0
        for moment in moments:
            seen = end_under_load(payer, moment, server.kill)
            server = restarted(site, payer)
            # The charge of a stream was not told yet: settled, or given back by the recovery, it has ended.
            check(site, seen, "finalized", "released")
            told += sum(nano(charge) for charge in seen.charges.values())
        assert 10**12 - nano(payer.wallet()["cash"]) == payer.spent() >= told
    finally:
        server.stop()


def test_stopped_under_load_every_call_is_booked(site: Site, tenant: Opener) -> None:
    """A deployment: what was taken is answered, and what was answered is in the books before the process is gone."""
    server = Child.native(site.env)
    payer = tenant(10**12, door=Door("native", server.url, site))
    seen = end_under_load(payer, ACKNOWLEDGED_MAX, server.stop)
    check(site, seen, "finalized")
    wallet = site.books.wallet(payer.name)
    charges = [site.books.order(order)["charge"] for order in [*seen.charges, *seen.streams]]
    assert sum(map(nano, charges)) <= nano(wallet["spent_known"]) == 10**12 - nano(wallet["cash"])
    answered = seen.count()
    orders = site.books.ask("ledger.verify")["orders"]
    assert answered <= orders <= answered + CALLERS, "at most the calls whose answer was cut off are more"
