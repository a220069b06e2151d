"""The gateway in process, for callers that block: scripts, notebooks, threads."""

from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from . import errors
from ._core import BlockingStream, CoreError
from ._host import Host
from ._ledger import Ledger
from ._reply import Events, Object, Receipt, Reply, decode_object, decode_reply, encode, encode_arguments, json_headers
from ._settings import Setting

if TYPE_CHECKING:
    from ._core import Headers


class SyncEventStream:
    """A streamed reply: ``for chunk in stream``. Leaving it early cancels the call at the provider."""

    def __init__(self, headers: list[tuple[bytes, bytes]], body: bytes | BlockingStream) -> None:
        self.receipt = Receipt.of(headers)
        self._body = body
        self._chunks = iter((body,)) if isinstance(body, bytes) else iter(body)
        self._events = Events()
        self._ready: deque[Object] = deque()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Object:
        while not self._ready:
            # To the end, not only to [DONE]: the transfer ends behind the settlement, so the receipt is there then.
            chunk = self._next_bytes()
            if not chunk:
                self.close()
                raise StopIteration
            self._ready.extend(self._events.feed(chunk))
        return self._ready.popleft()

    def _next_bytes(self) -> bytes:
        try:
            return next(self._chunks, b"")
        except CoreError as error:
            raise errors.from_core(error) from None

    def close(self) -> None:
        """The caller wants no more. Idempotent."""
        if isinstance(self._body, BlockingStream):
            self._body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SyncGateway:
    """``Gateway`` without asyncio: the same members, calls that block (other Python threads run on).

    Takes the arguments of ``Gateway``. ``with`` closes it; so does the end of the process.
    """

    def __init__(
        self, *, config: str | Path | None = None, env: Mapping[str, str] | None = None, **settings: Setting
    ) -> None:
        self._host = Host(config, env, settings)
        self.chat = SyncChat(self)
        self.embeddings = SyncEmbeddings(self)
        self.models = SyncModels(self)
        self.orders = SyncOrders(self)
        self.ledger = Ledger(_host=self._host)

    def request(
        self, method: str, target: str, body: bytes = b"", headers: "Headers" = ()
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes | BlockingStream]:
        """One exchange as over HTTP: status, headers, body, whole or as a stream. Error statuses do not raise."""
        core = self._host.core()
        try:
            return core.call(method, core.base_path + target, headers, body, trusted=True)
        except CoreError as error:
            raise errors.from_core(error) from None

    def call(self, method: str, target: str, content: object = None, *, idempotency_key: str | None = None) -> Reply:
        """One exchange with JSON both ways."""
        body = b"" if content is None else encode(content)
        status, headers, answer = self.request(method, target, body, json_headers(idempotency_key))
        return decode_reply(status, headers, _whole(answer))

    def stream(self, target: str, content: object, *, idempotency_key: str | None = None) -> SyncEventStream:
        """One exchange with a streamed reply."""
        status, headers, answer = self.request("POST", target, encode(content), json_headers(idempotency_key))
        if status >= 400:
            raise errors.from_reply(status, headers, _whole(answer))
        return SyncEventStream(headers, answer)

    def admin(self, operation: str, **arguments: object) -> Object:
        """An administrative operation by name: ``gateway.admin("keys.create", name="app")``."""
        return decode_object(self._host.admin(operation, encode_arguments(arguments)))

    def listen(self) -> str:
        """Starts the native HTTP server on threads of its own; returns its base URL. ``HOST`` and ``PORT`` apply."""
        return self._host.listen()

    def close(self) -> None:
        """Ends it for good: streams may finish for the drain time, then everything settles. Idempotent."""
        self._host.close()

    def __enter__(self) -> Self:
        self._host.core()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _whole(body: bytes | BlockingStream) -> bytes:
    if isinstance(body, bytes):
        return body
    try:
        return b"".join(body)
    except CoreError as error:
        raise errors.from_core(error) from None


class SyncChat:
    """``gateway.chat.completions``."""

    def __init__(self, gateway: SyncGateway) -> None:
        self.completions = SyncCompletions(gateway)


class SyncCompletions:
    def __init__(self, gateway: SyncGateway) -> None:
        self._gateway = gateway

    @overload
    def create(
        self,
        *,
        model: str,
        messages: Sequence[Mapping[str, Any]],
        stream: Literal[False] = False,
        idempotency_key: str | None = None,
        **members: object,
    ) -> Reply: ...
    @overload
    def create(
        self,
        *,
        model: str,
        messages: Sequence[Mapping[str, Any]],
        stream: Literal[True],
        idempotency_key: str | None = None,
        **members: object,
    ) -> SyncEventStream: ...
    def create(
        self,
        *,
        model: str,
        messages: Sequence[Mapping[str, Any]],
        stream: bool = False,
        idempotency_key: str | None = None,
        **members: object,
    ) -> Reply | SyncEventStream:
        """A chat completion, with the members of the OpenAI API. ``idempotency_key``: asked again, it runs once."""
        content: dict[str, Any] = {"model": model, "messages": messages, **members}
        if stream:
            content["stream"] = True
            return self._gateway.stream("/v1/chat/completions", content, idempotency_key=idempotency_key)
        return self._gateway.call("POST", "/v1/chat/completions", content, idempotency_key=idempotency_key)


class SyncEmbeddings:
    def __init__(self, gateway: SyncGateway) -> None:
        self._gateway = gateway

    def create(
        self,
        *,
        model: str,
        input: str | Sequence[Any],  # noqa: A002 - the API's word
        idempotency_key: str | None = None,
        **members: object,
    ) -> Reply:
        """Embeddings, with the members of the OpenAI API. ``idempotency_key``: asked again, they are made once."""
        content = {"model": model, "input": input, **members}
        return self._gateway.call("POST", "/v1/embeddings", content, idempotency_key=idempotency_key)


class SyncModels:
    def __init__(self, gateway: SyncGateway) -> None:
        self._gateway = gateway

    def list(self) -> Reply:
        """What can be called now."""
        return self._gateway.call("GET", "/v1/models")


class SyncOrders:
    def __init__(self, gateway: SyncGateway) -> None:
        self._gateway = gateway

    def retrieve(self, order: str) -> Object:
        """One settled call, as in the ledger: what ``x-gotoai-order`` named."""
        return Object(self._gateway.call("GET", f"/v1/orders/{order}"))
