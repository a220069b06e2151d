"""The in-process door, for asyncio and for callers that block."""

import asyncio
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
from support import ENV, eventually

MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture
async def here() -> AsyncIterator[gotoai.Gateway]:
    async with gotoai.Gateway(env=ENV) as gateway:
        yield gateway


def opened(gateway: gotoai.SyncGateway) -> int:
    body = gateway.request("GET", "/v1/open")[2]
    assert isinstance(body, bytes)
    return int(body)


async def test_a_chat_with_its_receipt(here: gotoai.Gateway) -> None:
    reply = await here.chat.completions.create(model="stub", messages=MESSAGES)
    assert reply.choices[0].message.content == "Hello"
    assert reply["choices"][0]["message"]["content"] == "Hello"
    assert reply.receipt == gotoai.Receipt("ord_1", "twin/stub", 1, Decimal("0.00125"))
    assert (reply.order, reply.charge) == ("ord_1", Decimal("0.00125"))


async def test_a_streamed_chat(here: gotoai.Gateway) -> None:
    stream = await here.chat.completions.create(model="stub", messages=MESSAGES, stream=True)
    assert stream.receipt.order == "ord_1"
    assert "".join([chunk.choices[0].delta.content async for chunk in stream]) == "Hello"


def test_the_same_for_callers_that_block(gateway: gotoai.SyncGateway) -> None:
    reply = gateway.chat.completions.create(model="stub", messages=MESSAGES)
    assert reply.choices[0].message.content == "Hello"
    with gateway.chat.completions.create(model="stub", messages=MESSAGES, stream=True) as stream:
        assert "".join(chunk.choices[0].delta.content for chunk in stream) == "Hello"


async def test_this_process_is_trusted(here: gotoai.Gateway) -> None:
    assert (await here.models.list()).data[0].id == "stub"


async def test_an_error_reply_is_an_exception(here: gotoai.Gateway) -> None:
    with pytest.raises(gotoai.errors.RateLimitError) as caught:
        await here.call("GET", "/v1/refused")
    error = caught.value
    assert (error.code, error.param, error.status, error.retry_after) == ("provider_rate_limited", "model", 429, 7)
    assert str(error) == "Slow down. (provider_rate_limited, param model, retry after 7 s)"


async def test_a_stream_that_breaks_off_is_an_exception(here: gotoai.Gateway) -> None:
    _, _, body = await here.request("GET", "/v1/cut")
    assert not isinstance(body, bytes)
    assert await next_bytes(body) == b"data: 0\n\n"
    with pytest.raises(gotoai.errors.ProviderError, match="before it was complete"):
        await next_bytes(body)


async def test_a_bad_request_line_is_refused(here: gotoai.Gateway) -> None:
    with pytest.raises(gotoai.errors.InvalidRequestError):
        await here.request("GET", "no path")
    with pytest.raises(gotoai.errors.InvalidRequestError):
        await here.request("GET", "/health", headers=[(b"x", b"a\nb")])


async def test_cancelling_a_call_is_a_client_that_left(here: gotoai.Gateway, gateway: gotoai.SyncGateway) -> None:
    call = asyncio.ensure_future(here.request("GET", "/v1/slow"))
    await asyncio.to_thread(eventually, lambda: opened(gateway) == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    eventually(lambda: opened(gateway) == 0)


async def test_dropping_a_stream_is_a_client_that_left(here: gotoai.Gateway, gateway: gotoai.SyncGateway) -> None:
    _, _, stream = await here.request("GET", "/v1/stream/2/60000")
    assert opened(gateway) == 1
    del stream
    await asyncio.to_thread(eventually, lambda: opened(gateway) == 0)  # a step of the loop still holds the future


async def test_a_slow_reader_holds_the_gateway_back_and_loses_nothing(here: gotoai.Gateway) -> None:
    _, _, stream = await here.request("GET", "/v1/stream/50000/0")
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
    assert biggest < (64 << 10) + 1024
    assert total == b"".join(b"data: %d\n\n" % n for n in range(50000))


def test_one_gateway_serves_one_loop_after_another() -> None:
    gateway = gotoai.Gateway(env=ENV)

    async def chat() -> str:
        reply = await gateway.chat.completions.create(model="stub", messages=MESSAGES)
        return str(reply.choices[0].message.content)

    assert [asyncio.run(chat()) for _ in range(3)] == ["Hello"] * 3
    assert uvloop.run(chat()) == "Hello"
    asyncio.run(gateway.aclose())


def test_loops_in_several_threads_at_once() -> None:
    gateway = gotoai.Gateway(env=ENV)
    done: list[int] = []

    async def chats() -> None:
        replies = await asyncio.gather(
            *(gateway.chat.completions.create(model="stub", messages=MESSAGES) for _ in range(200))
        )
        done.append(sum(reply.choices[0].message.content == "Hello" for reply in replies))

    threads = [threading.Thread(target=lambda: asyncio.run(chats())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [200] * 4
    asyncio.run(gateway.aclose())


async def test_administration_speaks_json(here: gotoai.Gateway, gateway: gotoai.SyncGateway) -> None:
    assert (await here.admin("echo", name="app")).name == "app"
    assert gateway.admin("echo", name="app") == {"name": "app"}
    with pytest.raises(gotoai.errors.NotFoundError, match="nothing"):
        gateway.admin("nothing")


def test_closing_twice_and_calling_afterwards(gateway: gotoai.SyncGateway) -> None:
    assert gateway.models.list().data
    gateway.close()
    gateway.close()
    with pytest.raises(gotoai.errors.UnavailableError):
        gateway.models.list()


def test_closing_wakes_a_thread_that_reads(gateway: gotoai.SyncGateway) -> None:
    _, _, stream = gateway.request("GET", "/v1/stream/2/60000")
    assert not isinstance(stream, bytes)
    assert next(stream) == b"data: 0\n\n"
    ended: list[object] = []
    thread = threading.Thread(target=lambda: ended.append(next(stream, None)))
    thread.start()
    stream.close()
    thread.join(10)
    assert ended == [None]


@pytest.mark.parametrize("base_path", ["", "/gw"])
def test_targets_do_not_depend_on_the_base_path(base_path: str) -> None:
    with gotoai.SyncGateway(env={**ENV, "BASE_PATH": base_path}) as gateway:
        assert gateway.models.list().data


def _call_in_child(gateway: gotoai.SyncGateway, answers: queues.Queue[str]) -> None:
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
