"""gotoai: the control plane for model access.

    import gotoai

    app.mount("/ai", gotoai.asgi())                     # in a FastAPI or Starlette app; or alone: `uvicorn gotoai:app`
    async with gotoai.Gateway() as gateway:             # in process
        reply = await gateway.chat.completions.create(model="gpt-4o-mini", messages=[...])

The public names are listed here once. They are loaded at their first use: importing the package costs milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from . import errors
from ._core import __version__
from .errors import GatewayError

if TYPE_CHECKING:
    from ._asgi import GatewayApp, app, asgi
    from ._async import Gateway
    from ._ledger import Bar, Ledger, Spend, Statement, Table
    from ._reply import Object, Receipt, Reply
    from ._sync import SyncGateway
    from .webhooks import WebhookError, verify_webhook

__all__ = [
    "Bar",
    "Gateway",
    "GatewayApp",
    "GatewayError",
    "Ledger",
    "Object",
    "Receipt",
    "Reply",
    "Spend",
    "Statement",
    "SyncGateway",
    "Table",
    "WebhookError",
    "__version__",
    "app",
    "asgi",
    "errors",
    "verify_webhook",
]

_HOMES = {
    "Bar": "_ledger",
    "Gateway": "_async",
    "GatewayApp": "_asgi",
    "Ledger": "_ledger",
    "Object": "_reply",
    "Receipt": "_reply",
    "Reply": "_reply",
    "Spend": "_ledger",
    "Statement": "_ledger",
    "SyncGateway": "_sync",
    "Table": "_ledger",
    "WebhookError": "webhooks",
    "app": "_asgi",
    "asgi": "_asgi",
    "verify_webhook": "webhooks",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
