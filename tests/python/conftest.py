"""Gateways on every door, as fixtures; each on a port of its own."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import gotoai
import pytest
import uvicorn

ENV = {"GOTOAI_MASTER_KEY": "sk-test-master", "PORT": "0", "GOTOAI_DRAIN_SECONDS": "5"}


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


def eventually(probe: Callable[[], object], *, within_s: float = 10) -> None:
    """Polls across a process or thread boundary, where no event can be waited for."""
    deadline = time.monotonic() + within_s
    while not probe():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.01)


def accepts(port: int) -> bool:
    with closing(socket.socket()) as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def gateway() -> Iterator[gotoai.SyncGateway]:
    with gotoai.SyncGateway(env=ENV) as gateway:
        yield gateway


class Uvicorn:
    """uvicorn on a thread of this process, so that a test can look into the application."""

    def __init__(self, app: object, **options: object) -> None:
        self.port = free_port()
        config = uvicorn.Config(app, host="127.0.0.1", port=self.port, log_level="critical", **options)  # type: ignore[arg-type]
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run)
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Uvicorn":
        self.thread.start()
        eventually(lambda: self.server.started)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


class Child:
    """A server in a process of its own, with the tests' environment."""

    def __init__(self, *command: str, port: int) -> None:
        env = {**ENV, "PORT": str(port), "PATH": "/usr/bin:/bin"}
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [sys.executable, *command], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def __enter__(self) -> "Child":
        eventually(lambda: accepts(self.port) or self.process.poll() is not None, within_s=20)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise


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
