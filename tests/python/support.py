"""What tests stand on: a twin as provider, a ledger directory, gateways behind every door, and waiting for them."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from gotoai._core import Core
from gotoai.testing import Twin

MASTER_KEY = "sk-test-master"
AUTHORIZED = {"authorization": f"Bearer {MASTER_KEY}"}
# Priced in the embedded book, as models of openai; the twin's own names are not.
MODEL, EMBEDDER, REASONER = "gpt-4o-mini", "text-embedding-3-small", "o3-mini"
MESSAGES: list[Any] = [{"role": "user", "content": "Say hello to the world."}]
# How the twin's answer to them begins.
SAID = 'You asked: "Say hello to the world."'
CHAT: dict[str, Any] = {"model": MODEL, "messages": MESSAGES}
RECORDED = Path(__file__).parents[1] / "data" / "recorded" / "openai"

Step = dict[str, Any]


def settings(twin_url: str, data_dir: Path, **more: str) -> dict[str, str]:
    """The environment of a gateway with one provider, a twin. Retries hardly pause, and no breaker opens by chance."""
    return {
        "GOTOAI_MASTER_KEY": MASTER_KEY,
        "GOTOAI_DATA_DIR": str(data_dir),
        "GOTOAI_DRAIN_SECONDS": "5",
        "PORT": "0",
        "LOG_LEVEL": "error",
        "OPENAI_API_KEY": "sk-twin",
        "OPENAI_BASE_URL": twin_url,
        "OPENAI_MODELS": ",".join((MODEL, EMBEDDER, REASONER)),
        "RETRY_INITIAL_BACKOFF": "0.01",
        "CIRCUIT_BREAKER_FAILURE_THRESHOLD": "10000",
        **more,
    }


def events(count: int) -> str:
    """A recorded stream of so many events with content, ``0``, ``1``, ..., a finish and the end mark."""
    head = '{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
    content = "".join(f'data: {head}{{"content":"{n} "}},"finish_reason":null}}]}}\n\n' for n in range(count))
    return f'{content}data: {head}{{}},"finish_reason":"stop"}}]}}\n\ndata: [DONE]\n\n'


def replay(name: str) -> Step:
    """The step that sends a recorded reply."""
    kind = "text/event-stream; charset=utf-8" if name.endswith(".txt") else "application/json"
    return {"reply_text": (RECORDED / name).read_text("utf-8"), "content_type": kind}


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])


@contextmanager
def dead_url() -> Iterator[str]:
    """The base URL of a provider that is down: its port is taken and nobody listens there."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def eventually(probe: Callable[[], object], *, within_s: float = 10) -> None:
    """Polls across a process or thread boundary, where no event can be waited for."""
    deadline = time.monotonic() + within_s
    while not probe():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.01)


def accepts(port: int) -> bool:
    with closing(socket.socket()) as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def program(name: str) -> str:
    """A command installed beside the Python that runs the tests."""
    return str(Path(sys.executable).with_name(name))


@dataclass(frozen=True)
class Site:
    """Where a gateway stands: its provider (a twin), the environment it starts with, its books."""

    twin: Twin
    env: Mapping[str, str]

    def steer(self, action: str, content: object = None) -> Any:  # noqa: ANN401 - JSON
        reply = httpx.request("POST" if action != "requests" else "GET", self._twin_root + action, json=content)
        assert reply.status_code == 200, reply.text
        return reply.json()

    @property
    def _twin_root(self) -> str:
        return self.twin.url.removesuffix("/v1") + "/twin/"

    def reset(self) -> None:
        """The twin forgets its script and its requests: what it says next is what it said first."""
        self.steer("reset")

    def calls(self) -> list[Any]:
        """The requests at the twin, model lists left out."""
        return [request for request in self.twin.requests() if request["method"] == "POST"]

    @cached_property
    def books(self) -> "Books":
        """The ledger read beside the gateway that writes it."""
        return Books(self.env)

    def run(self, *arguments: str) -> Any:  # noqa: ANN401 - JSON
        """``gotoai ARGUMENTS --json`` in a process of its own: what it prints. Fails with it."""
        return json.loads(self.run_text(*arguments, "--json"))

    def run_text(self, *arguments: str) -> str:
        """``gotoai ARGUMENTS``: what it prints for people. Fails with it."""
        argv = [program("gotoai"), *arguments]
        done = subprocess.run(argv, env=dict(self.env), capture_output=True, check=False)  # noqa: S603 - our own command
        assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
        return done.stdout.decode()

    def run_failing(self, *arguments: str) -> str:
        """``gotoai ARGUMENTS``, which fails: what it says about it."""
        argv = [program("gotoai"), *arguments]
        done = subprocess.run(argv, env=dict(self.env), capture_output=True, check=False)  # noqa: S603 - our own command
        assert done.returncode != 0, done.stdout.decode()
        return done.stderr.decode()


class Books:
    """A ledger for reading, opened as the command line opens it."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._core = Core.open(dict(env), offline=True)

    def ask(self, operation: str, **arguments: object) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self._core.admin(operation, json.dumps(arguments).encode()))

    def wallet(self, name: str = "default") -> Any:  # noqa: ANN401 - JSON
        return self.ask("wallet.balance", wallet=name)

    def order(self, order: str) -> Any:  # noqa: ANN401 - JSON
        return self.ask("ledger.order", id=order)

    def open_orders(self) -> int:
        return sum(wallet["open_orders"] for wallet in self.ask("wallet.list")["wallets"])

    def settled(self, order: str) -> Any:  # noqa: ANN401 - JSON
        """The order once it has ended; a stream settles a moment after its last byte."""
        eventually(lambda: self.order(order)["finished_at"])
        return self.order(order)

    def close(self) -> None:
        self._core.close()


@dataclass(frozen=True)
class Door:
    """An HTTP door that is open. ``url``: where its routes begin, without ``/v1``."""

    name: str
    url: str
    site: Site
    authorization: Mapping[str, str] = field(default_factory=lambda: AUTHORIZED)

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def post(self, path: str = "/v1/chat/completions", **options: Any) -> httpx.Response:  # noqa: ANN401 - of httpx
        return httpx.post(self.url + path, **{"headers": self.authorization, "timeout": 30, **options})

    def get(self, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - of httpx
        return httpx.get(self.url + path, **{"headers": self.authorization, **options})

    def stream(self, **members: object) -> Any:  # noqa: ANN401 - httpx's own context manager
        """A streamed chat, to be used in ``with``."""
        content = {**CHAT, "stream": True, **members}
        return httpx.stream("POST", f"{self.base_url}/chat/completions", json=content, headers=self.authorization)

    def key(self, name: str, **members: object) -> str:
        """A new virtual key: its secret, once this door knows it."""
        secret = str(self.site.books.ask("keys.create", name=name, **members)["secret"])
        self.knows(secret)
        return secret

    def knows(self, secret: str) -> None:
        headers = {"authorization": f"Bearer {secret}"}
        eventually(lambda: "invalid_api_key" not in self.get("/v1/models", headers=headers).text)


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
    """A server in a process of its own, with the environment of a site and nothing else."""

    url: str

    def __init__(self, argv: list[str], env: Mapping[str, str]) -> None:
        # Into a file: a pipe that nobody reads would stop a server that has much to say.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process lives
        home = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parent)}
        self.process = subprocess.Popen(  # noqa: S603 - our own command
            argv, env={**home, **env}, stdout=subprocess.PIPE, stderr=self._errors
        )

    @classmethod
    def spawn(cls, env: Mapping[str, str]) -> "Child":
        """``gotoai serve``, on its way."""
        return cls([program("gotoai"), "serve", "--json"], env)

    @classmethod
    def native(cls, env: Mapping[str, str]) -> "Child":
        """``gotoai serve``, listening."""
        child = cls.spawn(env)
        assert child.process.stdout is not None
        ready = child.process.stdout.readline()
        assert ready, child.errors()
        child.url = json.loads(ready)["url"]
        return child

    @classmethod
    def module(cls, env: Mapping[str, str], *arguments: str) -> "Child":
        """``python -m ARGUMENTS --port PORT``, accepting connections."""
        port = free_port()
        child = cls([sys.executable, "-m", *arguments, "--host", "127.0.0.1", "--port", str(port)], env)
        child.url = f"http://127.0.0.1:{port}"
        eventually(lambda: accepts(port) or child.process.poll() is not None, within_s=30)
        assert child.process.poll() is None, child.errors()
        return child

    def errors(self) -> str:
        """What it wrote to stderr so far."""
        self._errors.seek(0)
        return self._errors.read().decode()

    def kill(self) -> None:
        """At once, without a chance to say goodbye."""
        self.process.kill()
        self._reap()

    def stop(self) -> None:
        """As an operator stops it; fails unless it ends well and in time."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self._reap()

    def _reap(self) -> None:
        self.process.communicate()
        self._errors.close()

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._errors.closed:
            self.stop()


COMMANDS: dict[str, tuple[str, ...]] = {
    "uvicorn": ("uvicorn", "mounted:app", "--log-level", "error"),
    "granian": ("granian", "mounted:app", "--interface", "asgi", "--log-level", "error"),
}


@contextmanager
def open_door(name: str, data_dir: Path, **more: str) -> Iterator[Door]:
    """A gateway with a twin behind one HTTP door, in a process of its own: ``native``, or an ASGI server's name."""
    twin = Twin()
    site = Site(twin, settings(twin.url, data_dir, **more))
    child = Child.native(site.env) if name == "native" else Child.module(site.env, *COMMANDS[name])
    try:
        with child:
            door = Door(name, child.url if name == "native" else f"{child.url}/ai", site)
            # Until the model list has been fetched, a request more or less at the twin would change what it says.
            eventually(lambda: "twin-small" in door.get("/v1/models").text)
            yield door
            site.books.close()
    finally:
        twin.close()
