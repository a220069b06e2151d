"""``gotoai``: the program. Puts the commands together; knows none of their work."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from gotoai.cli import options, render, session

if TYPE_CHECKING:
    from collections.abc import Sequence


# Where each command is: its module and its name there, then the modules that add commands to it as they are read.
# Nothing is read before it is asked for: the server neither waits for the other commands nor keeps them in memory.
COMMANDS = {
    "alerts": ("alerts:group",),
    "budget": ("budget:group",),
    "demo": ("demo:demo",),
    "doctor": ("doctor:doctor",),
    "keys": ("keys:group",),
    "ledger": ("ledger:group", "findings", "reconcile", "export", "funds", "spend", "corrections"),
    "models": ("catalog:models",),
    "payments": ("payments:group",),
    "prices": ("catalog:prices",),
    "serve": ("serve:serve",),
    "sim": ("sim:sim",),
    "wallet": ("wallet:group", "funds", "statement"),
}


def read(name: str) -> click.Command:
    """A command with all that belongs to it."""
    (home, attribute), *additions = (place.split(":") for place in COMMANDS[name])
    command: click.Command = getattr(import_module(f"gotoai.cli.{home}"), attribute)
    for (addition,) in additions:
        import_module(f"gotoai.cli.{addition}")
    return command


class Program(click.Group):
    """The commands, read when they are asked for.

    With ``--json`` a wrong command line is told as JSON too, so that a script has one thing to parse.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 # the base's signature
        """Their names, read or not."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Reads the command first; where none has that name, all of them, for the base to guess what was meant."""
        for name in [cmd_name] if cmd_name in COMMANDS else COMMANDS:
            if name not in self.commands:
                self.add_command(read(name))
        return super().get_command(ctx, cmd_name)

    def main(  # type: ignore[override] # the overloads of the base only tie the flag to the result
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,  # noqa: ANN401 # the base's own signature
    ) -> object:
        """Runs the program; exits with 2 on wrong usage."""
        arguments = sys.argv[1:] if args is None else list(args)
        as_json = standalone_mode and "--json" in arguments
        if not as_json:
            return super().main(
                arguments, prog_name, complete_var, standalone_mode, windows_expand_args=windows_expand_args, **extra
            )
        try:
            status = super().main(arguments, prog_name, complete_var, standalone_mode=False, **extra)
        except click.ClickException as wrong:
            render.error("usage", wrong.format_message(), as_json)
            status = wrong.exit_code
        sys.exit(status if isinstance(status, int) else 0)

    def invoke(self, ctx: click.Context) -> object:
        """Runs the command; a file of the user's that cannot be written or read is told, not shown as a traceback."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.filename is None:
                raise
            raise click.FileError(str(error.filename), error.strerror) from None


def print_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    """Prints the version and ends."""
    if wanted:
        with session.errors_shown(as_json=False):
            from gotoai._core import __version__

            render.line(f"gotoai {__version__}")
        context.exit()


@click.group(
    "gotoai",
    cls=Program,
    epilog=options.examples("gotoai demo", "gotoai serve", "gotoai keys create --name my-app", "gotoai ledger verify"),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=print_version, help="Print the version."
)
def program() -> None:
    """The control plane for model access: one gateway to many providers, every call settled in a ledger."""


def run() -> None:
    """The entry point of the ``gotoai`` script."""
    program(prog_name="gotoai")
