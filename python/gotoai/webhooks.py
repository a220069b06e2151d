"""For receivers of gotoai's alerts: is this message from the gateway, whole and fresh?"""

import hmac
import json
import time
from typing import Any

__all__ = ["WebhookError", "verify_webhook"]


class WebhookError(ValueError):
    """The message is not to be trusted; it says why."""


def verify_webhook(
    payload: bytes | str, header: str, secret: str, *, tolerance_seconds: float = 300, now: float | None = None
) -> dict[str, Any]:
    """The message, once its signature has been found good.

    ``payload``: the body as it came, before any parsing; ``header``: of ``gotoai-signature``; ``secret``: as in
    ``alerts.webhook_secret``. A message may come more than once: the same ``id`` is the same message.
    """
    body = payload.encode() if isinstance(payload, str) else payload
    pairs = [part.strip().partition("=") for part in header.split(",")]
    stamp = next((value for name, _, value in pairs if name == "t"), "")
    given = [value for name, _, value in pairs if name == "v1"]
    if not (stamp.isascii() and stamp.isdigit()) or not given:
        raise WebhookError("the header gotoai-signature is not of the form t=...,v1=...")
    wanted = hmac.new(secret.encode(), stamp.encode() + b"." + body, "sha256").hexdigest()
    if not any(hmac.compare_digest(wanted.encode(), one.encode()) for one in given):
        raise WebhookError("the signature does not fit the message: another secret, or it was changed")
    if abs((time.time() if now is None else now) - int(stamp)) > tolerance_seconds:
        raise WebhookError("the message was signed too long ago, or by a clock that is wrong")
    message: dict[str, Any] = json.loads(body)
    return message
