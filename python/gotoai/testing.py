"""For tests of applications that use gotoai: a scripted provider, and a gateway in front of it.

Needs no key and no network. As a fixture::

    @pytest.fixture
    def gateway():
        with gotoai.testing.gateway_with_twin() as (gateway, twin):
            yield gateway
"""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from ._core import Twin as CoreTwin
from ._reply import decode_object, encode
from ._settings import Setting, variables
from ._sync import SyncGateway

__all__ = ["Twin", "gateway_with_twin", "twin", "twin_settings"]


class Twin:
    """A provider that does what it is told: a real HTTP server on loopback with the OpenAI routes."""

    def __init__(self, port: int = 0) -> None:
        self._core = CoreTwin.start(port)

    @property
    def url(self) -> str:
        """Base URL with ``/v1``, as a provider's ``base_url``."""
        return self._core.url

    def script(self, *steps: dict[str, Any]) -> None:
        """What the next requests meet, in order; after the last one it answers normally again."""
        self._core.script(encode(steps))

    def requests(self) -> list[Any]:
        """What it received, oldest first: ``method``, ``path``, ``headers``, ``body`` of each; the last 1000."""
        requests: list[Any] = decode_object(self._core.requests())["requests"]
        return requests

    def close(self) -> None:
        """Stops it. Idempotent."""
        self._core.close()


@contextmanager
def twin(port: int = 0) -> Iterator[Twin]:
    """A running twin; ``port`` 0 picks a free one."""
    running = Twin(port)
    try:
        yield running
    finally:
        running.close()


def twin_settings(running: Twin, data_dir: str) -> dict[str, Setting]:
    """Settings of a gateway that knows no provider but ``running`` and keeps its ledger in ``data_dir``."""
    return {"data_dir": data_dir, "openai_api_key": "sk-twin", "openai_base_url": running.url, "port": 0}


@contextmanager
def gateway_with_twin(**settings: Setting) -> Iterator[tuple[SyncGateway, Twin]]:
    """A gateway on a ledger of its own in front of a twin. For asyncio, give ``twin_settings`` to ``Gateway``."""
    with (
        twin() as running,
        TemporaryDirectory(prefix="gotoai-") as data_dir,
        SyncGateway(env=variables({}, {**twin_settings(running, data_dir), **settings})) as gateway,
    ):
        yield gateway, running
