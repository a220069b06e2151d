"""Servers to test against, and waiting for them."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing

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
        argv, pipe = [sys.executable, *command], subprocess.PIPE
        self.process = subprocess.Popen(argv, env=env, stdout=pipe, stderr=pipe)  # noqa: S603 - our own command

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
