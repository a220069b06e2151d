"""Batch jobs: a job is billed once a poll, or never, or at nothing.

Elsewhere: a batch went through as a pass-through that nobody metered, its cost was computed whenever somebody looked
at it, or its result was logged without a price (litellm #35358 #35363, PR 37050 36877 39980). This gateway has no
batch routes yet: then none may leak through, and what a caller does in bulk by hand (send, lose the answer, ask
again, look again) is one charge a job. How the ledger will settle a batch, once and by its poller only, is held in
`tests/core/ledger/batch.rs`.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pitfalls.tenant import INPUT, OUTPUT, Opener, counted, nano
from support import CHAT, Door, eventually

JOBS, POLLS = 6, 8
ROUTES = ["batches", "batches/batch_1", "batches/batch_1/cancel", "files", "files/file_1/content", "fine_tuning/jobs"]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("route", ROUTES)
def test_no_batch_goes_through_unmetered(native: Door, tenant: Opener, method: str, route: str) -> None:
    """What is not understood is not forwarded."""
    payer = tenant(10**9)
    body = {"input_file_id": "file_1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    reply = payer.client.request(method, f"/{route}", json=body if method == "POST" else None)
    assert reply.status_code in {404, 405}
    assert native.site.twin.requests() == []
    assert (payer.spent(), payer.orders()) == (0, [])


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_job_that_is_sent_and_fetched_again_is_billed_once(native: Door, tenant: Opener, stream: bool) -> None:
    """Workers that all fetch all results, some before the jobs are done."""
    payer = tenant(10**9)
    budget = payer.limit(requests=JOBS)
    native.site.twin.script({"usage": counted(100, 7), "delay_ms": 50, "times": 0})

    def fetch(n: int) -> str:
        marked = {"idempotency-key": f"{payer.name}-job-{n % JOBS}"}
        orders: list[str] = []

        def ask() -> bool:
            reply = payer.client.post("/chat/completions", json={**CHAT, "stream": stream}, headers=marked)
            assert reply.status_code in {200, 409}, reply.text
            orders.extend([reply.headers["x-gotoai-order"]] if reply.status_code == 200 else [])
            return bool(orders)

        eventually(ask)
        return orders[0]

    with ThreadPoolExecutor(16) as pool:
        orders = list(pool.map(fetch, range(JOBS * POLLS)))
    assert len(set(orders)) == JOBS == len(native.site.calls())
    each = 100 * INPUT + 7 * OUTPUT
    assert payer.spent() == 10**9 - nano(payer.wallet()["cash"]) == JOBS * each
    assert payer.budget(budget)["spent_known"] == JOBS


def test_looking_at_a_receipt_settles_nothing(native: Door, tenant: Opener) -> None:
    """While the job runs and after it: as often as anybody looks, it ends once, by itself."""
    payer = tenant(10**9)
    native.site.twin.script({"usage": counted(100, 7), "delay_ms": 200})
    with ThreadPoolExecutor(POLLS + 1) as pool:
        running = pool.submit(payer.chat)
        eventually(lambda: payer.wallet()["open_orders"] == 1)
        (order,) = payer.orders()

        def look(_: int) -> set[str]:
            states = set[str]()

            def ended() -> bool:
                states.add(payer.client.get(f"/orders/{order}").json()["state"])
                return "finalized" in states

            eventually(ended)
            return states

        seen = set[str]().union(*pool.map(look, range(POLLS)))
        assert running.result(30).headers["x-gotoai-order"] == order
    assert seen <= {"reserved", "finalized"}
    assert [entry["kind"] for entry in payer.entries() if entry["order"]] == ["reserve", "finalize"]
    assert payer.spent() == 100 * INPUT + 7 * OUTPUT
