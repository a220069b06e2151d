"""What the commands share: options that mean the same everywhere, and the examples under each help text."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Machine output on stdout; errors as JSON on stderr.")]
DataDir = Annotated[
    str | None,
    typer.Option("--data-dir", metavar="DIR", help="Where the ledger and the keys are (GOTOAI_DATA_DIR)."),
]
Config = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="Settings file, a gotoai.yaml (GOTOAI_CONFIG).")
]


def examples(*lines: str) -> str:
    """The epilog of a command's help: one example a line. A blank line between them is what keeps them apart."""
    return "\n\n".join(["Examples:", *(line.replace("[", "\\[") for line in lines)])


def group(summary: str) -> typer.Typer:
    """A command with commands below it, such as ``gotoai keys``."""
    return typer.Typer(help=summary, no_args_is_help=True, rich_markup_mode="rich")
