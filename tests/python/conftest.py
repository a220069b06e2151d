"""Gateways on every door, as fixtures. Servers that all tests can share are started once, at their first use."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import gotoai
from gotoai.testing import Twin
from support import Door, Site, open_door, settings


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A twin and an empty ledger, for a gateway of the test's own."""
    twin = Twin()
    yield Site(twin, settings(twin.url, tmp_path))
    twin.close()


@pytest.fixture
def gateway(site: Site) -> Iterator[gotoai.SyncGateway]:
    with gotoai.SyncGateway(env=site.env) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Door]]:
    """Doors in processes of their own, by name, shared by all tests."""
    opened: dict[str, Door] = {}
    with ExitStack() as stack:

        def door(name: str) -> Door:
            if name not in opened:
                opened[name] = stack.enter_context(open_door(name, tmp_path_factory.mktemp(name)))
            opened[name].site.reset()
            return opened[name]

        yield door


@pytest.fixture(params=["native", "uvicorn", "granian"])
def any_door(request: pytest.FixtureRequest, doors: Callable[[str], Door]) -> Door:
    """Every kind of HTTP server in turn."""
    return doors(request.param)


@pytest.fixture(params=["native", "uvicorn"])
def door(request: pytest.FixtureRequest, doors: Callable[[str], Door]) -> Door:
    """Both HTTP doors in turn: gotoai's own server, and ASGI mounted in FastAPI."""
    return doors(request.param)


@pytest.fixture
def native(doors: Callable[[str], Door]) -> Door:
    return doors("native")
