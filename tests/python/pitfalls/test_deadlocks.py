"""Deadlocks: writers lock the same rows in different orders, and what the database gives up on is dropped.

Elsewhere: increments of key, user, team and organisation met each other crosswise; the transaction that lost took its
spend with it, or everything waited (litellm #27989 #6895, PR 34887 27221). Here one writer a file decides a batch
after the other, and processes take turns: whatever comes together, all of it ends, and all of it is booked.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from pitfalls.tenant import Opener, administer, nano, serving, usd
from support import AUTHORIZED, CHAT, Door, Site

CALLERS, CALLS = 4, 6
TOPUPS, TOPUP = 12, 1_000_000
# Far more than it takes: who is not back by then waits for somebody who waits for it.
PATIENCE_S = 60


def test_crossing_wallets_budgets_and_administrators_all_come_through(site: Site, tenant: Opener) -> None:
    """Two processes on one file; every call counts in the same budgets in another order, while people change wallets
    and budgets.
    """
    with serving(site) as one, serving(site) as other:
        payers = [tenant(10**9, door=one) for _ in range(3)]
        for payer in payers:
            other.knows(payer.key["secret"])
        scopes = [{"user_path": "/"}, {"model": "*"}, *({"wallet": payer.name} for payer in payers), {"label": "x"}]
        for n, scope in enumerate(scopes):
            period = {"every": "lifetime"}
            administer(one, "budget.create", name=f"b{n}", period=period, amount="100", **scope)
        bodies = {False: CHAT, True: {**CHAT, "stream": True}}

        def call(number: int) -> None:
            for n in range(CALLS):
                payer, door = payers[(number + n) % 3], (one, other)[(number + n) % 2]
                headers = {"authorization": f"Bearer {payer.key['secret']}", "x-gotoai-labels": "x"}
                reply = door.post(json=bodies[n % 3 == 0], headers=headers)
                assert reply.status_code == 200, reply.text

        def pay(door: Door, n: int) -> None:
            for payer in payers if n % 2 else reversed(payers):
                reference = f"{payer.name} {n}"
                administer(door, "wallet.topup", wallet=payer.name, amount=usd(TOPUP), reference=reference)

        def change(door: Door, n: int) -> None:
            name = f"passing-{n}"
            administer(door, "budget.create", name=name, period={"every": "hour"}, amount="100")
            administer(door, "wallet.terms", wallet=payers[n % 3].name, hold="strict", reason="contract")
            administer(door, "budget.remove", name=name)

        def look(door: Door) -> None:
            assert administer(door, "ledger.verify")["ok"]
            assert administer(door, "ledger.reconcile", level=0, full=True)["ok"]

        work = [partial(call, number) for number in range(CALLERS)]
        work += [partial(pay, (one, other)[n % 2], n) for n in range(TOPUPS)]
        work += [partial(change, (one, other)[n % 2], n) for n in range(6)]
        work += [partial(look, door) for door in (one, other)]
        with ThreadPoolExecutor(len(work)) as pool:
            for done in [pool.submit(job) for job in work]:
                done.result(PATIENCE_S)

        spent = [payer.spent() for payer in payers]
        paid_in = 10**9 + TOPUPS * TOPUP
        assert [nano(payer.wallet()["cash"]) for payer in payers] == [paid_in - one_spent for one_spent in spent]
        assert sum(len(payer.orders()) for payer in payers) == CALLERS * CALLS
        budgets = {budget["name"]: budget for budget in administer(one, "budget.list")["budgets"]}
        told = [nano(budgets[f"b{n}"]["spent_known"]) for n in range(len(scopes))]
        assert told == [sum(spent), sum(spent), *spent, sum(spent)]
        assert {budget["held"] for budget in budgets.values()} == {"0.00"}


def test_a_long_reader_stops_nobody(site: Site, tenant: Opener) -> None:
    """An export, a statement or a proof that is being read does not wait for writers, nor they for it."""
    with serving(site) as door:
        payer = tenant(10**9, door=door)
        done = threading.Event()

        def read() -> int:
            rounds = 0
            while not done.is_set():
                assert door.post("/admin/ledger.verify", json={}, headers=AUTHORIZED).json()["ok"]
                rounds += 1
            return rounds

        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            try:
                replies = payer.storm(60, callers=8)
            finally:
                done.set()
            assert all(reader.result(PATIENCE_S) > 0 for reader in readers)
        assert {reply.status_code for reply in replies} == {200}
        assert sum(nano(reply.headers["x-gotoai-charge"]) for reply in replies) == payer.spent()
