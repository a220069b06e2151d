"""The only place that prints: tables and facts for people, JSON for machines. Results go to stdout, remarks to stderr.

Cells are text as the core gave it; amounts are decimal text and stay so.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from rich.console import Console

# Without a terminal nobody resizes: wide enough that ids stay in one piece.
PIPE_COLUMNS = 180


def show(document: Mapping[str, Any], as_json: bool, view: Callable[[Mapping[str, Any]], None]) -> None:
    """Prints a result: as it came for machines, by ``view`` for people."""
    if as_json:
        line(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        view(document)


def event(document: Mapping[str, Any]) -> None:
    """One JSON object on one line, at once: for commands that go on running."""
    line(json.dumps(document, ensure_ascii=False))


def line(text: str = "") -> None:
    """Text as it is, on stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def remark(text: str) -> None:
    """Something a person should know that is not the result."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def error(code: str, message: str, as_json: bool) -> None:
    """What went wrong, on stderr."""
    remark(json.dumps({"error": {"code": code, "message": message}}) if as_json else f"error: {message} ({code})")


def cell(value: object) -> str:
    """One value as a person reads it: nothing for null, words for lists and flags."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case list() | tuple():
            return ", ".join(cell(part) for part in value)
        case dict():
            return ", ".join(f"{name} {cell(part)}" for name, part in value.items())
        case _:
            return str(value)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str = "none") -> None:
    """A table; a column whose name ends in ``>`` is aligned right. ``empty`` is printed when there are no rows."""
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False)
    for name in columns:
        grid.add_column(name.rstrip(">"), justify="right" if name.endswith(">") else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell(value)) for value in row))
    if grid.row_count:
        console().print(Text(title, style="bold"), grid, sep="\n")
    else:
        line(f"{title}: {empty}")


def facts(title: str, pairs: Iterable[tuple[str, object]]) -> None:
    """A record, one ``name value`` a line; what is null or holds nothing is left out."""
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, show_header=False)
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None and value != {}:
            grid.add_row(name, Text(cell(value)))
    # Not as the grid's own title, which would be folded to its width.
    console().print(Text(title, style="bold"), grid, sep="\n")


def console() -> Console:
    """A console on today's stdout (tests and pipes replace it)."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)
