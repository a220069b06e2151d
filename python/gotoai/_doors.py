"""One native door per event loop, found by the running loop."""

import asyncio
import weakref
from typing import TYPE_CHECKING, TypeAlias

from ._core import Core, Door, Stream

if TYPE_CHECKING:
    from ._core import Headers

Answer: TypeAlias = tuple[int, list[tuple[bytes, bytes]], bytes | Stream]


class Doors:
    """The doors of one core. A loop that has been closed takes its door with it."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Door] = weakref.WeakKeyDictionary()

    def here(self) -> Door:
        """The door of the running loop."""
        loop = asyncio.get_running_loop()
        door = self._by_loop.get(loop)
        return self._open(loop) if door is None else door

    def _open(self, loop: asyncio.AbstractEventLoop) -> Door:
        for other in [other for other in self._by_loop if other.is_closed()]:
            self._by_loop.pop(other).close()
        door = self.core.door(loop)
        loop.add_reader(door.fileno(), door.drain)
        self._by_loop[loop] = door
        return door

    def close_here(self) -> None:
        """Closes the door of the running loop; what waits in it is woken with an error."""
        loop = asyncio.get_running_loop()
        door = self._by_loop.pop(loop, None)
        if door is not None:
            loop.remove_reader(door.fileno())
            door.close()


async def exchange(door: Door, method: str, target: str, headers: "Headers", body: bytes, *, trusted: bool) -> Answer:
    """One exchange; cancelling it is a client that left."""
    future = door.submit(method, target, headers, body, trusted=trusted)
    try:
        return await future
    except asyncio.CancelledError:
        door.abandon(future)
        raise
