"""Gateways on every door, as fixtures; each on a port of its own."""

from collections.abc import Iterator

import pytest

import gotoai
from support import ENV, Child, Uvicorn, free_port


@pytest.fixture
def gateway() -> Iterator[gotoai.SyncGateway]:
    with gotoai.SyncGateway(env=ENV) as gateway:
        yield gateway


@pytest.fixture(params=["native", "uvicorn", "granian"])
def door_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The base URL of one gateway behind each HTTP door in turn."""
    if request.param == "native":
        with gotoai.SyncGateway(env=ENV) as gateway:
            yield gateway.listen()
    elif request.param == "uvicorn":
        with Uvicorn(gotoai.asgi(env=ENV)) as server:
            yield server.url
    else:
        port = free_port()
        command = ["-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), "gotoai:app"]
        with Child(*command, port=port) as server:
            yield server.url
