"""What can go wrong, as exceptions. One class a kind of reaction; ``code`` says exactly what it was.

The list of codes with their HTTP status and type comes from the native module; this file only groups them.
"""

# ruff: noqa: A001, A002 - ``type`` is the envelope's own word

from collections.abc import Iterable
from json import JSONDecodeError, loads

from ._core import CoreError, error_kinds

__all__ = [
    "AuthenticationError",
    "ConfigurationError",
    "GatewayError",
    "InsufficientFundsError",
    "InternalError",
    "InvalidRequestError",
    "NotFoundError",
    "PermissionDeniedError",
    "ProviderError",
    "RateLimitError",
    "UnavailableError",
]


class GatewayError(Exception):
    """Any failure of the gateway or of a provider behind it.

    ``code``: stable and machine-readable; ``type``: the group it belongs to in the OpenAI error envelope;
    ``param``: the request member at fault; ``status``: as over HTTP; ``retry_after``: seconds, where a time is known.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        type: str | None = None,
        param: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.type = type
        self.param = param
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        notes = [self.code or self.type or f"HTTP {self.status}"]
        if self.param:
            notes.append(f"param {self.param}")
        if self.retry_after is not None:
            notes.append(f"retry after {self.retry_after:g} s")
        return f"{self.message} ({', '.join(notes)})"

    def envelope(self) -> dict[str, dict[str, str | None]]:
        """As the OpenAI API puts it on the wire."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class InvalidRequestError(GatewayError):
    """The request itself is wrong; the same request will fail again."""


class AuthenticationError(GatewayError):
    """No key, or one that is unknown, revoked or expired."""


class PermissionDeniedError(GatewayError):
    """The key is good but may not do this."""


class NotFoundError(GatewayError):
    """No such model, order or route."""


class InsufficientFundsError(GatewayError):
    """The wallet does not cover the call, or has no price to cover it by."""


class RateLimitError(GatewayError):
    """Too much at once; see ``retry_after``."""


class ProviderError(GatewayError):
    """The provider failed, and no other endpoint could answer."""


class UnavailableError(GatewayError):
    """The gateway cannot serve now; later it may."""


class ConfigurationError(GatewayError):
    """A setting is wrong; the message says which."""


class InternalError(GatewayError):
    """A fault of the gateway; its log says more."""


_BY_TYPE: dict[str, type[GatewayError]] = {
    "invalid_request_error": InvalidRequestError,
    "authentication_error": AuthenticationError,
    "permission_error": PermissionDeniedError,
    "not_found_error": NotFoundError,
    "insufficient_quota": InsufficientFundsError,
    "rate_limit_error": RateLimitError,
    "provider_error": ProviderError,
    "service_unavailable": UnavailableError,
    "internal_error": InternalError,
}
# Providers' own errors are relayed with types of their own: then the status decides.
_BY_STATUS: dict[int, type[GatewayError]] = {
    401: AuthenticationError,
    402: InsufficientFundsError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitError,
    502: ProviderError,
    503: UnavailableError,
    504: ProviderError,
}
_KINDS = {code: (status, type) for code, status, type in error_kinds()}


def _class_of(code: str | None, type: str | None, status: int | None) -> type[GatewayError]:
    if code == "configuration":
        return ConfigurationError
    if status == 404:
        return NotFoundError
    if type in _BY_TYPE:
        return _BY_TYPE[type]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return InvalidRequestError if status is not None and status < 500 else InternalError


def from_core(error: CoreError) -> GatewayError:
    """The exception for an error of the native module."""
    code, message, param, retry_after = (*error.args, None, None)[:4]
    status, type = _KINDS[code]
    kind = _class_of(code, type, status)
    return kind(message, code=code, type=type, param=param, status=status, retry_after=retry_after)


def from_reply(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> GatewayError:
    """The exception for an HTTP reply with an error status; ``body`` need not be an envelope."""
    try:
        envelope = loads(body)
    except (JSONDecodeError, UnicodeDecodeError):
        envelope = None
    if not isinstance(envelope, dict) or not isinstance(envelope.get("error"), dict):
        text = body[:200].decode("utf-8", "replace").strip()
        envelope = {"error": {"message": text or f"The request failed with HTTP status {status}."}}
    return from_envelope(envelope, status, _retry_after(headers))


def from_envelope(
    envelope: dict[str, object], status: int | None = None, retry_after: float | None = None
) -> GatewayError:
    """The exception for an OpenAI error envelope, ``{"error": {...}}``; also one that comes within a stream."""
    error = envelope.get("error")
    member = error if isinstance(error, dict) else {"message": str(error)}
    code, type, param = (str(member[name]) if member.get(name) else None for name in ("code", "type", "param"))
    message = str(member.get("message") or "The request failed.")
    if status is None and code in _KINDS:
        status = _KINDS[code][0]
    return _class_of(code, type, status)(
        message, code=code, type=type, param=param, status=status, retry_after=retry_after
    )


def _retry_after(headers: Iterable[tuple[bytes, bytes]]) -> float | None:
    for name, value in headers:
        if name == b"retry-after":
            try:
                return float(value)
            except ValueError:
                return None  # a date: rare, and the caller's own back-off does as well
    return None
