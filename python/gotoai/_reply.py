"""Replies of the in-process door: JSON as objects, receipts, and events out of a byte stream. No I/O."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import PurePath
from typing import Any

from . import errors


class Object(dict[str, Any]):
    """A JSON object whose members are also attributes: ``reply["choices"]`` is ``reply.choices``."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - JSON: whatever the member is
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the reply has no member {name!r}; it has {', '.join(self) or 'none'}") from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the ledger says of one call. ``charge`` in the currency of the wallet, where it is known already."""

    order: str | None = None
    endpoint: str | None = None
    attempts: int | None = None
    charge: Decimal | None = None

    @classmethod
    def of(cls, headers: Iterable[tuple[bytes, bytes]]) -> "Receipt":
        found = {name: value.decode("latin-1") for name, value in headers if name.startswith(b"x-gotoai-")}
        attempts, charge = found.get(b"x-gotoai-attempts"), found.get(b"x-gotoai-charge")
        return cls(
            order=found.get(b"x-gotoai-order"),
            endpoint=found.get(b"x-gotoai-endpoint"),
            attempts=int(attempts) if attempts else None,
            charge=Decimal(charge.split()[0]) if charge else None,
        )


class Reply(Object):
    """A whole reply, with its receipt."""

    __slots__ = ("receipt",)
    receipt: Receipt

    @property
    def order(self) -> str | None:
        return self.receipt.order

    @property
    def endpoint(self) -> str | None:
        return self.receipt.endpoint

    @property
    def charge(self) -> Decimal | None:
        return self.receipt.charge


def encode(value: object) -> bytes:
    """A request body. ``Decimal``, days and paths become text; what JSON has no word for is a ``TypeError``."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_text).encode()


def _text(value: object) -> str:
    match value:
        case Decimal():
            return format(value, "f")
        case date():
            return value.isoformat()
        case PurePath():
            return str(value)
        case _:
            raise TypeError(f"{value!r} is a {type(value).__name__}: JSON has no word for it")


def encode_arguments(arguments: Mapping[str, object]) -> bytes:
    """Arguments of an administrative operation. ``from_`` is its ``from``, which Python keeps for itself."""
    return encode({name.removesuffix("_"): value for name, value in arguments.items()})


def json_headers(idempotency_key: str | None = None) -> list[tuple[bytes, bytes]]:
    """Headers of a JSON request, marked where it is to run once. What is no usable mark the gateway refuses."""
    headers = [(b"content-type", b"application/json")]
    if idempotency_key is not None:
        headers.append((b"idempotency-key", idempotency_key.encode()))
    return headers


def decode(body: bytes) -> object:
    """JSON with every object as an ``Object``."""
    content: object = json.loads(body, object_hook=Object)
    return content


def decode_object(body: bytes) -> Object:
    """JSON as an ``Object``; what is none becomes its member ``data``."""
    content = decode(body)
    return content if isinstance(content, Object) else Object(data=content)


def decode_reply(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> Reply:
    """A whole reply; raises ``GatewayError`` for an error status."""
    if status >= 400:
        raise errors.from_reply(status, headers, body)
    reply = Reply(decode_object(body))
    reply.receipt = Receipt.of(headers)
    return reply


class Events:
    """Server-sent events out of bytes that are cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[Object]:
        """The events completed by ``chunk``. Raises ``GatewayError`` for one that reports an error."""
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            # Every dialect served here puts one event's JSON on one data line.
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                continue
            event = decode_object(data)
            if "error" in event and "choices" not in event:
                raise errors.from_envelope(event)
            yield event
