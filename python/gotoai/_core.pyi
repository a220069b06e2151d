"""Types of the native module. Bytes in, bytes out.

Policy and JSON live in Rust, names for people in the modules beside it.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from os import PathLike
from typing import Final, final

__all__ = ["BlockingStream", "Core", "CoreError", "Door", "Stream", "Twin", "__version__", "error_kinds", "simulate"]
__version__: Final[str]

type Headers = Iterable[tuple[bytes, bytes]]

class CoreError(Exception):
    """Raised by every function of this module. ``args`` is ``(code, message, param, retry_after)``."""

def error_kinds() -> list[tuple[str, int, str]]:
    """Every error there is: ``(code, HTTP status, envelope type)``."""

def simulate(question: bytes, on_run: Callable[[int, int, int, int], object] | None = None) -> bytes:
    """Plays the simulation that ``gotoai sim`` is: JSON object in, JSON object out; see ``src/sim/report.rs``.

    Blocks, GIL released. ``on_run`` is called with the numbers of finished seeds, runs, orders and failures after each run;
    what it raises, or Ctrl-C, ends the simulation.
    """

@final
class Core:
    """A gateway: one store, one snapshot of settings, one router behind every door."""

    @staticmethod
    def open(env: dict[str, str], *, config: str | PathLike[str] | None = None, offline: bool = False) -> Core:
        """Reads settings (``config`` file < ``env``) and opens the store. Blocks; releases the GIL.

        ``offline``: for administration from the command line. No recovery, no background task, no provider call.
        """
    def serve(self, on_ready: Callable[[str], object] | None = None) -> None:
        """Runs the native server in the foreground until SIGINT, SIGTERM or ``close()``; drains, then closes.

        Releases the GIL. A second signal cuts what is in flight. ``on_ready`` is called once with the base URL
        (``http://127.0.0.1:8080``).
        """
    def listen(self) -> str:
        """Starts the native server on threads of its own and returns its base URL. ``close()`` ends it."""
    def door(self, loop: asyncio.AbstractEventLoop) -> Door:
        """An entrance for one event loop. The caller does ``loop.add_reader(door.fileno(), door.drain)``."""
    def call(
        self, method: str, target: str, headers: Headers, body: bytes, *, trusted: bool = False
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes | BlockingStream]:
        """One HTTP exchange without HTTP, blocking, GIL released. ``target`` is the raw path with its query.

        ``trusted``: the caller is the process itself; it needs no key and acts with every scope.
        """
    def admin(self, operation: str, arguments: bytes) -> bytes:
        """An administrative operation by name (``keys.create``, ``wallet.topup``, ...): JSON object in, JSON out."""
    def startup_notice(self) -> str | None:
        """The platform key when this start has made one. Returned once; never again."""
    @property
    def base_path(self) -> str:
        """The prefix before every route, without trailing slash; an in-process caller puts it before its targets."""
    @property
    def body_limit(self) -> int:
        """Bytes. Longer request bodies are refused; a door need not read further than one byte beyond it."""
    def close(self) -> None:
        """Stops accepting, drains, settles what is open, joins every task and thread. Idempotent."""

@final
class Door:
    """Futures of one event loop, settled over a file descriptor that the loop watches."""

    def fileno(self) -> int: ...
    def drain(self) -> None:
        """Settles the futures that are due. Called by the loop when ``fileno()`` is readable."""
    def submit(
        self, method: str, target: str, headers: Headers, body: bytes, *, trusted: bool = False
    ) -> asyncio.Future[tuple[int, list[tuple[bytes, bytes]], bytes | Stream]]:
        """One HTTP exchange. Who stops waiting for the future must say so by ``abandon``."""
    def abandon(self, future: asyncio.Future[tuple[int, list[tuple[bytes, bytes]], bytes | Stream]]) -> None:
        """The client left before the reply: the exchange is dropped, its order settles all the same."""
    def close(self) -> None:
        """Ends the door: what waits is woken with an error, nothing can be submitted any more."""

@final
class Stream:
    """A streamed reply body."""

    def take(self) -> bytes | None:
        """All bytes that are here; ``b""`` at the end; ``None`` when nothing is here yet (then ``await wait()``).

        Raises ``CoreError`` when the reply ended before it was complete.
        """
    def wait(self) -> asyncio.Future[None]: ...
    def close(self) -> None:
        """The client has left. Idempotent."""

@final
class BlockingStream:
    """A streamed reply body for one reading thread."""

    def __iter__(self) -> Iterator[bytes]: ...
    def __next__(self) -> bytes: ...
    def close(self) -> None:
        """The client has left; ends a read in progress. Idempotent."""

@final
class Twin:
    """The scripted provider."""

    @staticmethod
    def start(port: int = 0) -> Twin: ...
    @property
    def url(self) -> str:
        """Base URL with ``/v1``, as a provider's ``base_url``."""
    def script(self, steps: bytes) -> None:
        """Sets what the next requests meet: JSON, see ``src/twin/script.rs``."""
    def requests(self) -> bytes:
        """What was received, as JSON."""
    def close(self) -> None: ...
