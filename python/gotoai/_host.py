"""A gateway as this process holds it: opened at the first use, again after a fork, closed at the latest at exit."""

import atexit
import os
import sys
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ._core import Core, CoreError
from ._settings import Setting, variables
from .errors import from_core

if TYPE_CHECKING:
    from ._doors import Doors


class Host:
    """What every kind of gateway object shares: settings, and the core they lead to."""

    def __init__(
        self,
        config: str | Path | None,
        env: Mapping[str, str] | None,
        settings: Mapping[str, Setting],
        *,
        offline: bool = False,
    ) -> None:
        self._config = config
        self._env = variables(env, settings)
        self._offline = offline
        self._lock = threading.Lock()
        self._opened: Core | None = None
        self._doors: Doors | None = None
        self._closed = False
        _hosts.add(self)

    @property
    def is_open(self) -> bool:
        return self._opened is not None

    def core(self) -> Core:
        """The open core; opens it at the first use, which reads settings and the store and so may take a moment."""
        if self._opened is not None:
            return self._opened
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> Core:
        try:
            if self._closed:
                raise CoreError("shutting_down", "The gateway is closed.")
            core = Core.open(self._env, config=self._config, offline=self._offline)
        except CoreError as error:
            raise from_core(error) from None
        notice = core.startup_notice()
        if notice is not None:
            sys.stderr.write(f"gotoai: made a platform key, shown only this once: {notice}\n")
        return core

    def doors(self) -> "Doors":
        """The doors for event loops. Costs the import of asyncio, which a synchronous caller is spared."""
        doors = self._doors
        if doors is None:
            from ._doors import Doors

            doors = Doors(self.core())
            with self._lock:
                # Two threads may have come here at once: one table for both.
                doors = self._doors = self._doors or doors
        return doors

    def listen(self) -> str:
        """Starts the native server in the background; the base URL."""
        try:
            return self.core().listen()
        except CoreError as error:
            raise from_core(error) from None

    def admin(self, operation: str, arguments: bytes) -> bytes:
        try:
            return self.core().admin(operation, arguments)
        except CoreError as error:
            raise from_core(error) from None

    def close(self) -> None:
        """Ends it for good; blocks while it drains. Idempotent."""
        with self._lock:
            self._closed = True
            core, self._opened = self._opened, None
        if core is not None:
            try:
                core.close()
            except CoreError as error:
                raise from_core(error) from None

    def forget(self) -> None:
        """After a fork: the core belongs to the parent. The child opens its own at the next use."""
        self._lock = threading.Lock()  # another thread of the parent may have held it
        self._opened = self._doors = None


_hosts: "weakref.WeakSet[Host]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Orders that are open settle now rather than at the recovery of the next start."""
    for host in list(_hosts):
        host.close()


def _forget_all() -> None:
    for host in list(_hosts):
        host.forget()


os.register_at_fork(after_in_child=_forget_all)
