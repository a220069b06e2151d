"""The ASGI door: hands the exchange over, once, and carries the reply back. No routes, no policy.

``app.mount("/ai", gotoai.asgi(gateway))`` in FastAPI or Starlette, or alone: ``uvicorn gotoai:app``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

from . import errors
from ._async import Gateway
from ._core import CoreError, Door, Stream
from ._doors import Doors
from ._host import Host
from ._reply import encode
from ._settings import Setting
from ._sync import SyncGateway

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

# Only receive() tells that a client has left, and waiting for it takes a task. A reply that comes within this many
# seconds is spared the cost: the provider has done its work by then anyway.
WATCH_AFTER_S = 0.25


class GatewayApp:
    """An ASGI application. Works on any number of event loops, with or without lifespan (mounted apps get none)."""

    def __init__(self, host: Host, *, owned: bool) -> None:
        self._host = host
        self._owned = owned

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1000, "reason": "no such route"})
            case kind:
                raise ValueError(f"gotoai serves no ASGI scope of type {kind!r}")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await asyncio.to_thread(self._host.core)
        except errors.GatewayError as error:
            await send({"type": "lifespan.startup.failed", "message": f"gotoai: {error}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._owned:
            await asyncio.to_thread(self._host.close)
        await send({"type": "lifespan.shutdown.complete"})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            doors = await self._open()
            body = await read_body(receive, doors.core.body_limit)
            if body is not None:
                await relay(doors.here(), scope, body, receive, send)
        except CoreError as error:  # before the reply has started: a stream that breaks off raises otherwise
            await refuse(errors.from_core(error), send)

    async def _open(self) -> Doors:
        try:
            if not self._host.is_open:
                await asyncio.to_thread(self._host.core)
            return self._host.doors()
        except errors.UnavailableError as error:
            raise CoreError(error.code, error.message) from None


async def read_body(receive: Receive, limit: int) -> bytes | None:
    """The request body; ``None`` when the client left. Reads no further than the core needs to refuse its length."""
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    body = message.get("body", b"")
    if not message.get("more_body"):
        return bytes(body)
    chunks, length = [body], len(body)
    while length <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        length += len(chunks[-1])
        if not message.get("more_body"):
            break
    return b"".join(chunks)


def target_of(scope: Scope) -> str:
    """The path below the mount, as the client wrote it, with its query."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"], safe="/:@!$&'()*+,;=~").encode("ascii")
    root: str = scope.get("root_path", "")
    if root:
        prefix = quote(root.rstrip("/"), safe="/:@!$&'()*+,;=~").encode("ascii")
        # Servers differ in whether the path still has the mount in it.
        if raw == prefix or raw.startswith(prefix + b"/"):
            raw = raw[len(prefix) :] or b"/"
    query: bytes = scope.get("query_string", b"")
    return (raw + b"?" + query if query else raw).decode("latin-1")


class Watch:
    """Waits for the client to leave while something else is going on."""

    def __init__(self, receive: Receive, on_left: Callable[[], object]) -> None:
        self._receive = receive
        self._on_left = on_left
        self._task: asyncio.Task[None] | None = None
        self.left = False

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.ensure_future(self._wait())

    def then(self, on_left: Callable[[], object]) -> None:
        """What to do from now on, at once if the client is gone already."""
        self._on_left = on_left
        if self.left:
            on_left()

    async def _wait(self) -> None:
        # What is left of a request body that was refused for its length is read and dropped.
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.left = True
        self._on_left()

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()


async def relay(door: Door, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
    """One exchange and its reply."""
    future = door.submit(scope["method"], target_of(scope), scope["headers"], body)
    watch = Watch(receive, future.cancel)
    patience = asyncio.get_running_loop().call_later(WATCH_AFTER_S, watch.start)
    try:
        status, headers, reply = await future
        patience.cancel()
        if isinstance(reply, bytes):
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": reply})
            return
        watch.start()
        watch.then(reply.close)
        await relay_stream(status, headers, reply, watch, send)
    except asyncio.CancelledError:
        door.abandon(future)
        if not watch.left:
            raise
    finally:
        patience.cancel()
        watch.stop()


async def relay_stream(
    status: int, headers: list[tuple[bytes, bytes]], stream: Stream, watch: Watch, send: Send
) -> None:
    """What is here goes out at once; a reply that breaks off raises, so that the server cuts the connection."""
    try:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        while True:
            chunk = stream.take()
            if chunk is None:
                await stream.wait()
            elif chunk:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            else:
                break
        if not watch.left:
            await send({"type": "http.response.body", "body": b""})
    except CoreError as error:
        raise errors.from_core(error) from None
    finally:
        stream.close()


async def refuse(error: errors.GatewayError, send: Send) -> None:
    """The core could not answer: it is closing, or the request was not HTTP. In the envelope of every other error."""
    body = encode(error.envelope())
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.status or 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def asgi(
    gateway: Gateway | SyncGateway | None = None,
    *,
    config: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    **settings: Setting,
) -> GatewayApp:
    """An ASGI application over ``gateway``, or over one of its own, made from the same arguments as ``Gateway``.

    A gateway of its own is closed by lifespan shutdown, one that was given by whoever made it. It opens at lifespan
    startup or at the first request.
    """
    if gateway is None:
        return GatewayApp(Host(config, env, settings), owned=True)
    if config is not None or env is not None or settings:
        raise TypeError("asgi() takes a gateway or settings, not both")
    return GatewayApp(gateway._host, owned=False)


app = asgi()
"""For a server's command line, with the settings of the environment."""
