"""One visit to the core: open it for administration, ask, close it; its errors become messages and exit codes."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import click

from gotoai.cli import render

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRESS_EVERY_S = 2.0
# The caller's own mistake, as wrong options are; everything else that fails is 1.
USAGE_CODES = frozenset({"invalid_json", "invalid_request"})


class Core(Protocol):
    """The part of ``gotoai._core.Core`` that the data commands use."""

    def admin(self, operation: str, arguments: bytes) -> bytes:
        """An operation by its name: JSON object in, JSON object out."""

    def close(self) -> None:
        """Ends the visit."""


class Administration:
    """An open core, asked in Python values."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def ask(self, operation: str, **arguments: object) -> dict[str, Any]:
        """Runs ``operation``. Arguments that are ``None`` are left out. Raises ``CoreError``."""
        given = {name: value for name, value in arguments.items() if value is not None}
        answer: dict[str, Any] = json.loads(self._core.admin(operation, json.dumps(given).encode()))
        return answer

    def watch(self, operation: str, as_json: bool, **arguments: object) -> dict[str, Any]:
        """The same for work on the whole ledger: a person is told on stderr how far it is while it takes long."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(self.ask, operation, **arguments)
            while True:
                try:
                    return running.result(PROGRESS_EVERY_S)
                except TimeoutError:
                    if running.done():
                        raise
                if not as_json:
                    at = self.ask("ledger.progress")
                    render.remark(f"{at['entries']} of {at['of']} entries")


def open_core(env: dict[str, str], config: str | None) -> Core:
    """Opens the store without serving: no recovery, no background task, no provider call."""
    from gotoai._core import Core as NativeCore

    return NativeCore.open(dict(env), config=config, offline=True)


def core_error() -> type[Exception]:
    """The native error class, loaded only when an error is at hand."""
    from gotoai._core import CoreError

    return CoreError


def environment(data_dir: str | None = None, **overrides: str | None) -> dict[str, str]:
    """The environment with what the command line says on top of it."""
    given = {"GOTOAI_DATA_DIR": data_dir, **overrides}
    return {**os.environ, **{name: value for name, value in given.items() if value is not None}}


def fail(code: str, message: str, as_json: bool, exit_code: int = 1) -> NoReturn:
    """Says what went wrong and ends the command."""
    render.error(code, message, as_json)
    raise click.exceptions.Exit(exit_code)


@contextmanager
def errors_shown(as_json: bool) -> Iterator[None]:
    """What the core refuses becomes a message and an exit code; anything else is a bug and shows its traceback."""
    try:
        yield
    except ImportError as error:
        if error.name != "gotoai._core" and "_core" not in str(error):
            raise
        advice = f"the native module cannot be loaded ({error}); build it with `make build`, or reinstall gotoai"
        fail("native_module_missing", advice, as_json)
    except core_error() as error:
        code, message = error.args[:2]
        fail(code, message, as_json, 2 if code in USAGE_CODES else 1)


@contextmanager
def connect(data_dir: str | None, config: str | None, as_json: bool) -> Iterator[Administration]:
    """Opens the core for the length of a ``with`` block and shows its errors."""
    made = data_dir is not None and not Path(data_dir).exists()
    with errors_shown(as_json):
        core = open_core(environment(data_dir), config)
        if made and not as_json:
            render.remark(f"there was no data directory '{data_dir}': it was made, with a new, empty ledger")
        try:
            yield Administration(core)
        finally:
            core.close()
