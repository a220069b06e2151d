"""The in-process door, for asyncio and for callers that block."""

import asyncio
import json
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from decimal import Decimal
from multiprocessing import queues

import pytest
import uvloop

import gotoai
from gotoai._async import next_bytes
from support import CHAT, EMBEDDER, MESSAGES, MODEL, SAID, Site, events, eventually

STREAM = json.dumps({**CHAT, "stream": True}).encode()


@pytest.fixture
async def here(site: Site) -> AsyncIterator[gotoai.Gateway]:
    async with gotoai.Gateway(env=site.env) as gateway:
        yield gateway


async def test_a_chat_with_its_receipt(here: gotoai.Gateway, site: Site) -> None:
    reply = await here.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert reply.choices[0].message.content.startswith(SAID)
    assert reply["choices"][0]["message"]["content"].startswith(SAID)
    assert reply.order is not None
    booked = site.books.order(reply.order)
    assert reply.receipt == gotoai.Receipt(booked["order"], f"openai/{MODEL}", 1, Decimal(booked["charge"]))
    assert reply.charge is not None
    assert reply.charge > 0


async def test_a_marked_request_runs_once(here: gotoai.Gateway, gateway: gotoai.SyncGateway, site: Site) -> None:
    chat = [await here.chat.completions.create(model=MODEL, messages=MESSAGES, idempotency_key="one") for _ in range(2)]
    assert chat[0] == chat[1]
    assert chat[0].order == chat[1].order is not None
    orders = {gateway.embeddings.create(model=EMBEDDER, input="a", idempotency_key="two").order for _ in range(2)}
    assert len(orders) == 1
    streams = []
    for _ in range(2):
        with gateway.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True, idempotency_key="three"
        ) as stream:
            streams.append((stream.receipt.order, list(stream)))
    assert streams[0] == streams[1]
    assert len(site.calls()) == 3
    with pytest.raises(gotoai.errors.GatewayError) as reused:
        await here.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=5, idempotency_key="one")
    assert reused.value.code == "idempotency_key_reused"
    for bad in ("a b", "x" * 256, "é", ""):
        with pytest.raises(gotoai.errors.InvalidRequestError):
            gateway.chat.completions.create(model=MODEL, messages=MESSAGES, idempotency_key=bad)


async def test_a_streamed_chat(here: gotoai.Gateway, site: Site) -> None:
    stream = await here.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    text = "".join([chunk.choices[0].delta.get("content", "") async for chunk in stream])
    assert text.startswith(SAID)
    assert stream.receipt.order is not None
    booked = await asyncio.to_thread(site.books.settled, stream.receipt.order)
    assert (booked["state"], booked["finish"]) == ("finalized", "complete")
    retrieved = await here.orders.retrieve(stream.receipt.order)
    assert retrieved.charge == booked["charge"]


def test_the_same_for_callers_that_block(gateway: gotoai.SyncGateway) -> None:
    reply = gateway.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert reply.choices[0].message.content.startswith(SAID)
    with gateway.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True) as stream:
        assert "".join(chunk.choices[0].delta.get("content", "") for chunk in stream).startswith(SAID)


async def test_this_process_is_trusted(here: gotoai.Gateway) -> None:
    assert f"openai/{MODEL}" in {model.id for model in (await here.models.list()).data}


async def test_an_error_reply_is_an_exception(here: gotoai.Gateway, site: Site) -> None:
    envelope = {"error": {"message": "Slow down.", "type": "requests", "param": "model", "code": "rate_limit_exceeded"}}
    site.twin.script({"status": 429, "headers": {"retry-after": "60"}, "body": envelope})
    with pytest.raises(gotoai.errors.RateLimitError) as caught:
        await here.chat.completions.create(model=MODEL, messages=MESSAGES)
    error = caught.value
    assert (error.code, error.param, error.status, error.retry_after) == ("rate_limit_exceeded", "model", 429, 60)
    assert str(error) == "Slow down. (rate_limit_exceeded, param model, retry after 60 s)"


async def test_a_stream_that_the_provider_cuts_is_an_exception(here: gotoai.Gateway, site: Site) -> None:
    site.twin.script({"cut_after_events": 3})
    stream = await here.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    with pytest.raises(gotoai.errors.ProviderError, match="before it was complete"):
        [chunk async for chunk in stream]


async def test_a_stream_cut_by_closing_the_gateway_is_an_exception(site: Site) -> None:
    here = gotoai.Gateway(env=site.env)
    site.twin.script({"reply_text": events(2), "stall_after_events": 1})
    _, _, body = await here.request("POST", "/v1/chat/completions", STREAM)
    assert not isinstance(body, bytes)
    assert (await next_bytes(body)).startswith(b"data: ")
    await asyncio.to_thread(here._host.close)
    with pytest.raises(gotoai.GatewayError):
        await next_bytes(body)


async def test_a_bad_request_line_is_refused(here: gotoai.Gateway) -> None:
    with pytest.raises(gotoai.errors.InvalidRequestError):
        await here.request("GET", "no path")
    with pytest.raises(gotoai.errors.InvalidRequestError):
        await here.request("GET", "/health", headers=[(b"x", b"a\nb")])


async def test_cancelling_a_call_is_a_client_that_left(here: gotoai.Gateway, site: Site) -> None:
    """The provider's work is under way: it is paid for, although nobody waits."""
    site.twin.script({"delay_ms": 300})
    call = asyncio.ensure_future(here.chat.completions.create(model=MODEL, messages=MESSAGES))
    await asyncio.to_thread(eventually, lambda: site.books.open_orders() == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.to_thread(eventually, lambda: site.books.open_orders() == 0)
    assert site.books.wallet()["spent_known"] != "0.00"


async def test_dropping_a_stream_is_a_client_that_left(here: gotoai.Gateway, site: Site) -> None:
    site.twin.script({"reply_text": events(2), "stall_after_events": 1})
    _, _, stream = await here.request("POST", "/v1/chat/completions", STREAM)
    assert site.books.open_orders() == 1
    del stream
    # A step of the loop still holds the future.
    await asyncio.to_thread(eventually, lambda: site.books.open_orders() == 0)


async def test_a_slow_reader_holds_the_gateway_back_and_loses_nothing(here: gotoai.Gateway, site: Site) -> None:
    site.twin.script({"reply_text": events(10_000)})
    _, _, stream = await here.request("POST", "/v1/chat/completions", STREAM)
    assert not isinstance(stream, bytes)
    await stream.wait()
    biggest, total = 0, b""
    while True:
        chunk = stream.take()
        if chunk is None:
            await stream.wait()
        elif chunk:
            biggest, total = max(biggest, len(chunk)), total + chunk
        else:
            break
    assert biggest < len(total) / 4
    assert total == events(10_000).encode()


def test_one_gateway_serves_one_loop_after_another(site: Site) -> None:
    gateway = gotoai.Gateway(env=site.env)

    async def chat() -> bool:
        reply = await gateway.chat.completions.create(model=MODEL, messages=MESSAGES)
        return str(reply.choices[0].message.content).startswith(SAID)

    assert [asyncio.run(chat()) for _ in range(3)] == [True] * 3
    assert uvloop.run(chat())
    asyncio.run(gateway.aclose())


def test_loops_in_several_threads_at_once(site: Site) -> None:
    gateway = gotoai.Gateway(env=site.env)
    done: list[int] = []

    async def chats() -> None:
        replies = await asyncio.gather(
            *(gateway.chat.completions.create(model=MODEL, messages=MESSAGES) for _ in range(100))
        )
        done.append(sum(reply.choices[0].message.content.startswith(SAID) for reply in replies))

    threads = [threading.Thread(target=lambda: asyncio.run(chats())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [100] * 4
    asyncio.run(gateway.aclose())
    assert site.run("ledger", "verify")["orders"] == 400


async def test_administration_speaks_json(here: gotoai.Gateway, gateway: gotoai.SyncGateway) -> None:
    made = await here.admin("keys.create", name="app")
    assert made.name == "app"
    assert [key["id"] for key in gateway.admin("keys.list")["keys"]] == [made.id]
    with pytest.raises(gotoai.errors.NotFoundError, match="nothing"):
        gateway.admin("nothing")


def test_closing_twice_and_calling_afterwards(gateway: gotoai.SyncGateway) -> None:
    assert gateway.models.list().data
    gateway.close()
    gateway.close()
    with pytest.raises(gotoai.errors.UnavailableError):
        gateway.models.list()


def test_closing_wakes_a_thread_that_reads(gateway: gotoai.SyncGateway, site: Site) -> None:
    site.twin.script({"reply_text": events(2), "stall_after_events": 1})
    _, _, stream = gateway.request("POST", "/v1/chat/completions", STREAM)
    assert not isinstance(stream, bytes)
    assert next(stream).startswith(b"data: ")
    ended: list[object] = []
    thread = threading.Thread(target=lambda: ended.append(next(stream, None)))
    thread.start()
    stream.close()
    thread.join(10)
    assert ended == [None]


@pytest.mark.parametrize("base_path", ["", "/gw"])
def test_targets_do_not_depend_on_the_base_path(site: Site, base_path: str) -> None:
    with gotoai.SyncGateway(env=site.env, base_path=base_path) as gateway:
        assert gateway.models.list().data


def _call_in_child(gateway: gotoai.SyncGateway, answers: "queues.Queue[str]") -> None:
    try:
        answers.put(str(gateway.models.list().data))
    except gotoai.GatewayError as error:
        answers.put(str(error))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_is_told_what_to_do(gateway: gotoai.SyncGateway) -> None:
    assert gateway.models.list().data
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    child = fork.Process(target=_call_in_child, args=(gateway, answers))
    child.start()
    told = answers.get(timeout=20)
    child.join(20)
    assert "forked" in told
    assert child.exitcode == 0
    assert gateway.models.list().data, "the parent goes on"


def test_importing_costs_little() -> None:
    """Names that need asyncio or the network are loaded at their first use."""
    code = "import sys, gotoai; sys.exit('asyncio' in sys.modules or 'http' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603 - our own code
