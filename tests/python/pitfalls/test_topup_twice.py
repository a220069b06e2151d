"""A top-up counts twice, or never: the payment is known by its delivery instead of by itself.

Elsewhere: webhooks were delivered again and every delivery was credited, or a delivery that failed was marked as seen
and its money never came (opencode #28402, llmgateway #1713, pollinations #10621, Lago #5870, open-saas #688,
LibreChat PR 13812). Here the booking is named after the payment and written with the money: the same payment counts
once whoever reports it, and one that could not be written may be reported again.
"""

import sqlite3
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx

from pitfalls.tenant import Opener, nano, restarted, serving
from support import AUTHORIZED, Child, Door, Site, eventually

AMOUNT = "5.000000001"
AT_ONCE = 24


def pay(door: Door, wallet: str, reference: str, **changed: str) -> httpx.Response:
    arguments = {"wallet": wallet, "amount": AMOUNT, "reference": reference, **changed}
    return door.post("/admin/wallet.topup", json=arguments)


def test_one_payment_reported_by_everybody_counts_once(site: Site, tenant: Opener) -> None:
    """At two gateways at once, and later on the command line."""
    with serving(site) as one, serving(site) as other:
        payer = tenant(0, door=one)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            told = list(pool.map(lambda n: pay((one, other)[n % 2], payer.name, "pi_1"), range(AT_ONCE)))
        assert {reply.status_code for reply in told} == {200}
        assert Counter(reply.json()["duplicate"] for reply in told) == {False: 1, True: AT_ONCE - 1}
        assert len({reply.json()["entry_seq"] for reply in told}) == 1, "each is told which entry it was"
        assert site.run("wallet", "topup", payer.name, AMOUNT, "--reference", "pi_1")["duplicate"]
        assert payer.wallet()["cash"] == AMOUNT


def test_what_is_not_the_same_payment_is_refused_or_another(native: Door, tenant: Opener) -> None:
    payer, neighbour = tenant(0), tenant(0)
    reference = f"pi_of_{payer.name}"
    assert pay(native, payer.name, reference).status_code == 200
    for changed in ({"amount": "500"}, {"wallet": neighbour.name}, {"fee": "1"}):
        assert pay(native, **{"wallet": payer.name, **changed}, reference=reference).status_code == 409, changed
    assert pay(native, payer.name, reference, payment_provider="adyen").json()["duplicate"] is False
    assert (nano(payer.wallet()["cash"]), neighbour.wallet()["cash"]) == (2 * nano(AMOUNT), "0.00")


def test_a_payment_that_could_not_be_written_is_not_marked_as_seen(site: Site, tenant: Opener) -> None:
    path = Path(site.env["GOTOAI_DATA_DIR"]) / "gotoai.db"
    with serving(site) as door:
        payer = tenant(0, door=door)
        with closing(sqlite3.connect(path, isolation_level=None)) as file:
            file.execute("CREATE TRIGGER refuse BEFORE UPDATE ON balances BEGIN SELECT RAISE(ABORT, 'no'); END")
            assert [pay(door, payer.name, "pi_1").status_code for _ in range(3)] == [503] * 3
            assert payer.wallet()["cash"] == "0.00"
            file.execute("DROP TRIGGER refuse")
        eventually(lambda: pay(door, payer.name, "pi_1").status_code == 200)
        assert pay(door, payer.name, "pi_1").json()["duplicate"]
        assert payer.wallet()["cash"] == AMOUNT


def test_reported_until_it_is_acknowledged_each_payment_counts_once(site: Site, tenant: Opener) -> None:
    """A processor repeats what was not answered; the gateway is killed meanwhile, three times."""
    server = Child.native(site.env)
    try:
        payer = tenant(0, door=Door("native", server.url, site))
        payments, acknowledged = 60, set[int]()
        lock = threading.Lock()

        def report(start: int) -> None:
            for n in range(start, payments, 6):
                while n not in acknowledged:
                    try:
                        url = f"{payer.door.url}/admin/wallet.topup"
                        arguments = {"wallet": payer.name, "amount": AMOUNT, "reference": f"pi_{n}"}
                        reply = httpx.post(url, json=arguments, headers=AUTHORIZED, timeout=30, verify=False)  # noqa: S501 - loopback
                        assert reply.status_code == 200, reply.text
                        with lock:
                            acknowledged.add(n)
                    except httpx.TransportError:
                        continue  # not answered: it may have been booked, or not

        def reached(count: int) -> bool:
            return len(acknowledged) >= count

        with ThreadPoolExecutor(6) as pool:
            reporting = [pool.submit(report, n) for n in range(6)]
            for moment in (payments // 8, payments // 3, payments // 2):
                eventually(partial(reached, moment), within_s=30)
                server.kill()
                server = restarted(site, payer)
            for one in reporting:
                one.result(60)
        assert len(acknowledged) == payments
        assert nano(payer.wallet()["cash"]) == payments * nano(AMOUNT)
        assert len(payer.entries("top_up")) == payments
    finally:
        server.stop()
