"""The ASGI door: mounting, lifespan, event loops, errors of its own."""

import asyncio
import json
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

import gotoai
from gotoai._asgi import target_of
from support import AUTHORIZED, CHAT, Site, Uvicorn, events, eventually

STREAM = {**CHAT, "stream": True}


@pytest.fixture
def app(gateway: gotoai.SyncGateway) -> gotoai.GatewayApp:
    return gotoai.asgi(gateway)


@pytest.mark.parametrize(
    ("scope", "target"),
    [
        ({"path": "/v1/x", "raw_path": b"/v1/x", "query_string": b"a=1"}, "/v1/x?a=1"),
        ({"path": "/ai/v1/x", "raw_path": b"/ai/v1/x", "root_path": "/ai"}, "/v1/x"),
        ({"path": "/v1/x", "raw_path": b"/v1/x", "root_path": "/ai"}, "/v1/x"),
        ({"path": "/ai", "raw_path": b"/ai", "root_path": "/ai"}, "/"),
        ({"path": "/aix/v1", "raw_path": b"/aix/v1", "root_path": "/ai"}, "/aix/v1"),
        ({"path": "/v1/a b"}, "/v1/a%20b"),
        ({"path": "/ü/v1/x", "raw_path": b"/%C3%BC/v1/x", "root_path": "/ü"}, "/v1/x"),
        ({"path": "/v1/a/b", "raw_path": b"/v1/a%2Fb"}, "/v1/a%2Fb"),
    ],
)
def test_the_target_is_what_stands_below_the_mount(scope: dict[str, Any], target: str) -> None:
    assert target_of(scope) == target


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_under_every_loop_and_parser_of_uvicorn(app: gotoai.GatewayApp, site: Site, loop: str, http: str) -> None:
    with Uvicorn(app, loop=loop, http=http) as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/health").json()["status"] == "ok"
        site.twin.script({"reply_text": events(3)})
        assert client.post("/v1/chat/completions", json=STREAM, headers=AUTHORIZED).text == events(3)


def test_mounted_in_fastapi_below_another_mount(app: gotoai.GatewayApp, site: Site, tmp_path: Path) -> None:
    """A mounted app gets no lifespan: the gateway opens at the first request."""
    second = {**site.env, "GOTOAI_DATA_DIR": str(tmp_path / "second")}
    inner = Starlette(routes=[Mount("/ai", app=gotoai.asgi(env=second))])
    outer = FastAPI()
    outer.mount("/deep", inner)
    outer.mount("/ai", app)
    with Uvicorn(outer) as server, httpx.Client(base_url=server.url) as client:
        for mount in ("/ai", "/deep/ai"):
            assert "there is no '/v1/nothing' here" in client.get(f"{mount}/v1/nothing?q=1").text
            site.twin.script({"reply_text": events(2)})
            assert client.post(f"{mount}/v1/chat/completions", json=STREAM, headers=AUTHORIZED).text == events(2)
        assert client.get("/other").status_code == 404


def test_behind_a_root_path(app: gotoai.GatewayApp) -> None:
    with Uvicorn(app, root_path="/proxy") as server:
        assert "there is no '/v1/nothing' here" in httpx.get(f"{server.url}/v1/nothing").text


def test_several_loops_use_one_gateway(app: gotoai.GatewayApp) -> None:
    async def get() -> str:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return (await client.get("/health")).text

    with Uvicorn(app) as server:
        for _ in range(3):
            assert asyncio.run(get()) == httpx.get(f"{server.url}/health").text


async def test_a_client_that_leaves_before_the_reply_ends_the_exchange(app: gotoai.GatewayApp, site: Site) -> None:
    """The provider would answer in a minute, and the server's task does not wait. The order settles all the same."""
    site.twin.script({"delay_ms": 60_000})
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    inbox.put_nowait({"type": "http.request", "body": json.dumps(CHAT).encode()})
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = [(name.encode(), value.encode()) for name, value in AUTHORIZED.items()]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers, "query_string": b""}
    exchange = asyncio.ensure_future(app(scope, inbox.get, send))
    await asyncio.to_thread(eventually, site.calls)
    inbox.put_nowait({"type": "http.disconnect"})
    async with asyncio.timeout(10):
        await exchange
    assert sent == []
    assert site.books.open_orders() == 1
    site.twin.close()
    await asyncio.to_thread(eventually, lambda: site.books.open_orders() == 0)


def test_a_reply_that_breaks_off_does_not_look_complete(gateway: gotoai.SyncGateway, site: Site) -> None:
    site.twin.script({"reply_text": events(2), "stall_after_events": 1})
    with Uvicorn(gotoai.asgi(gateway)) as server:
        url = f"{server.url}/v1/chat/completions"
        with httpx.stream("POST", url, json=STREAM, headers=AUTHORIZED) as reply:
            chunks = reply.iter_raw()
            next(chunks)
            gateway.close()
            with pytest.raises(httpx.RemoteProtocolError):
                list(chunks)


def test_a_closed_gateway_answers_that_it_is_closed(gateway: gotoai.SyncGateway, app: gotoai.GatewayApp) -> None:
    with Uvicorn(app) as server:
        assert httpx.get(f"{server.url}/health").status_code == 200
        gateway.close()
        refused = httpx.get(f"{server.url}/health")
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "shutting_down"


async def lifespan(app: gotoai.GatewayApp) -> list[dict[str, Any]]:
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    for event in ("lifespan.startup", "lifespan.shutdown"):
        inbox.put_nowait({"type": event})
    sent: list[Any] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await app({"type": "lifespan"}, inbox.get, send)
    return sent


async def test_lifespan_opens_and_closes_a_gateway_of_its_own(site: Site) -> None:
    app = gotoai.asgi(env=site.env)
    assert [m["type"] for m in await lifespan(app)] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    with pytest.raises(gotoai.errors.UnavailableError):
        app._host.core()


async def test_lifespan_leaves_a_given_gateway_open(gateway: gotoai.SyncGateway) -> None:
    await lifespan(gotoai.asgi(gateway))
    assert gateway.models.list().data


async def test_lifespan_reports_a_wrong_setting(site: Site) -> None:
    (failed,) = await lifespan(gotoai.asgi(env={**site.env, "PORT": "many"}))
    assert failed["type"] == "lifespan.startup.failed"
    assert "PORT" in failed["message"]


def test_gateway_and_settings_exclude_each_other(gateway: gotoai.SyncGateway) -> None:
    with pytest.raises(TypeError):
        gotoai.asgi(gateway, port=1)
