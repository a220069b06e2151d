"""The gateway in process, for asyncio."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from . import errors
from ._core import CoreError, Stream
from ._doors import exchange
from ._host import Host
from ._reply import Events, Object, Receipt, Reply, decode_object, decode_reply, encode, encode_arguments, json_headers
from ._settings import Setting

if TYPE_CHECKING:
    from ._core import Headers


class EventStream:
    """A streamed reply: ``async for chunk in stream``. Leaving it early cancels the call at the provider."""

    def __init__(self, headers: list[tuple[bytes, bytes]], body: bytes | Stream) -> None:
        self.receipt = Receipt.of(headers)
        self._body = body
        self._events = Events()
        self._ready: deque[Object] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Object:
        while not self._ready:
            # To the end, not only to [DONE]: the transfer ends behind the settlement, so the receipt is there then.
            chunk = await self._next_bytes()
            if not chunk:
                await self.aclose()
                raise StopAsyncIteration
            self._ready.extend(self._events.feed(chunk))
        return self._ready.popleft()

    async def _next_bytes(self) -> bytes:
        if isinstance(self._body, bytes):
            whole, self._body = self._body, b""
            return whole
        return await next_bytes(self._body)

    async def aclose(self) -> None:
        """The caller wants no more. Idempotent."""
        if isinstance(self._body, Stream):
            self._body.close()
        self._body = b""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class Gateway:
    """A gateway in this process: no socket, no key, the same path and the same ledger as over HTTP.

    ``config``: a ``gotoai.yaml``; ``env``: variables in place of the process's own; further keywords override one
    each (``data_dir=...`` is ``GOTOAI_DATA_DIR``, ``openai_api_key=...`` is ``OPENAI_API_KEY``). It opens at the first
    use and works from any number of event loops. ``async with`` closes it; so does the end of the process.

    Every method raises ``GatewayError``.
    """

    def __init__(
        self, *, config: str | Path | None = None, env: Mapping[str, str] | None = None, **settings: Setting
    ) -> None:
        self._host = Host(config, env, settings)
        self.chat = Chat(self)
        self.embeddings = Embeddings(self)
        self.models = Models(self)
        self.orders = Orders(self)

    async def request(
        self, method: str, target: str, body: bytes = b"", headers: "Headers" = ()
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes | Stream]:
        """One exchange as over HTTP: status, headers, body, whole or as a stream. Error statuses do not raise."""
        if not self._host.is_open:
            await asyncio.to_thread(self._host.core)
        doors = self._host.doors()
        try:
            target = doors.core.base_path + target
            return await exchange(doors.here(), method, target, headers, body, trusted=True)
        except CoreError as error:
            raise errors.from_core(error) from None

    async def call(
        self, method: str, target: str, content: object = None, *, idempotency_key: str | None = None
    ) -> Reply:
        """One exchange with JSON both ways."""
        body = b"" if content is None else encode(content)
        status, headers, answer = await self.request(method, target, body, json_headers(idempotency_key))
        return decode_reply(status, headers, await _whole(answer))

    async def stream(self, target: str, content: object, *, idempotency_key: str | None = None) -> EventStream:
        """One exchange with a streamed reply."""
        status, headers, answer = await self.request("POST", target, encode(content), json_headers(idempotency_key))
        if status >= 400:
            raise errors.from_reply(status, headers, await _whole(answer))
        return EventStream(headers, answer)

    async def admin(self, operation: str, **arguments: object) -> Object:
        """An administrative operation by name: ``await gateway.admin("keys.create", name="app")``."""
        return decode_object(await asyncio.to_thread(self._host.admin, operation, encode_arguments(arguments)))

    def listen(self) -> str:
        """Starts the native HTTP server on threads of its own; returns its base URL. ``HOST`` and ``PORT`` apply."""
        return self._host.listen()

    async def aclose(self) -> None:
        """Ends it for good: streams may finish for the drain time, then everything settles. Idempotent."""
        await asyncio.to_thread(self._host.close)
        if self._host._doors is not None:
            self._host._doors.close_here()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._host.core)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


async def next_bytes(body: Stream) -> bytes:
    """What is here, or comes next; empty at the end."""
    try:
        while (chunk := body.take()) is None:
            await body.wait()
    except CoreError as error:
        raise errors.from_core(error) from None
    return chunk


async def _whole(body: bytes | Stream) -> bytes:
    if isinstance(body, bytes):
        return body
    chunks = []
    while chunk := await next_bytes(body):
        chunks.append(chunk)
    return b"".join(chunks)


class Chat:
    """``gateway.chat.completions``."""

    def __init__(self, gateway: Gateway) -> None:
        self.completions = Completions(gateway)


class Completions:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    @overload
    async def create(
        self,
        *,
        model: str,
        messages: Sequence[Mapping[str, Any]],
        stream: Literal[False] = False,
        idempotency_key: str | None = None,
        **members: object,
    ) -> Reply: ...
    @overload
    async def create(
        self,
        *,
        model: str,
        messages: Sequence[Mapping[str, Any]],
        stream: Literal[True],
        idempotency_key: str | None = None,
        **members: object,
    ) -> EventStream: ...
    async def create(
        self,
        *,
        model: str,
        messages: Sequence[Mapping[str, Any]],
        stream: bool = False,
        idempotency_key: str | None = None,
        **members: object,
    ) -> Reply | EventStream:
        """A chat completion, with the members of the OpenAI API. ``idempotency_key``: asked again, it runs once."""
        content: dict[str, Any] = {"model": model, "messages": messages, **members}
        if stream:
            content["stream"] = True
            return await self._gateway.stream("/v1/chat/completions", content, idempotency_key=idempotency_key)
        return await self._gateway.call("POST", "/v1/chat/completions", content, idempotency_key=idempotency_key)


class Embeddings:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def create(
        self,
        *,
        model: str,
        input: str | Sequence[Any],  # noqa: A002 - the API's word
        idempotency_key: str | None = None,
        **members: object,
    ) -> Reply:
        """Embeddings, with the members of the OpenAI API. ``idempotency_key``: asked again, they are made once."""
        content = {"model": model, "input": input, **members}
        return await self._gateway.call("POST", "/v1/embeddings", content, idempotency_key=idempotency_key)


class Models:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def list(self) -> Reply:
        """What can be called now."""
        return await self._gateway.call("GET", "/v1/models")


class Orders:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def retrieve(self, order: str) -> Object:
        """One settled call, as in the ledger: what ``x-gotoai-order`` named."""
        return Object(await self._gateway.call("GET", f"/v1/orders/{order}"))
