"""What the commands share: options that mean the same everywhere, and the examples under each help text."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

Command = TypeVar("Command", bound="Callable[..., object]")

as_json = click.option("--json", "as_json", is_flag=True, help="Machine output on stdout; errors as JSON on stderr.")
data_dir = click.option("--data-dir", metavar="DIR", help="Where the ledger and the keys are (GOTOAI_DATA_DIR).")
config = click.option("--config", metavar="FILE", help="Settings file, a gotoai.yaml (GOTOAI_CONFIG).")


def store(command: Command) -> Command:
    """The options of every command that opens the store: ``data_dir``, ``config``, ``as_json``."""
    return data_dir(config(as_json(command)))


def examples(*lines: str) -> str:
    """The epilog of a command's help: one example a line. The mark keeps the lines as they are."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])
