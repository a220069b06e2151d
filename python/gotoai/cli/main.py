"""``gotoai``: the program. Puts the commands together; knows none of their work."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from gotoai.cli import catalog, demo, doctor, keys, ledger, options, render, serve, session, wallet

if TYPE_CHECKING:
    from collections.abc import Sequence


class Program(TyperGroup):
    """With ``--json`` a wrong command line is told as JSON too, so that a script has one thing to parse."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: object,
    ) -> object:
        """Runs the program; exits with 2 on wrong usage."""
        arguments = sys.argv[1:] if args is None else list(args)
        as_json = standalone_mode and "--json" in arguments
        standalone_mode = standalone_mode and not as_json
        try:
            status = super().main(arguments, prog_name, complete_var, standalone_mode, windows_expand_args, **extra)
        except typer.TyperException as wrong:
            if not as_json:
                raise
            render.error("usage", wrong.format_message(), as_json)
            status = wrong.exit_code
        if as_json:
            sys.exit(status if isinstance(status, int) else 0)
        return status


app = typer.Typer(
    name="gotoai",
    cls=Program,
    help="The control plane for model access: one gateway to many providers, every call settled in a ledger.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    # A traceback with local variables could show a secret.
    pretty_exceptions_enable=False,
    epilog=options.examples("gotoai demo", "gotoai serve", "gotoai keys create --name my-app", "gotoai ledger verify"),
    context_settings={"help_option_names": ["-h", "--help"]},
)


def print_version(wanted: bool) -> None:
    """Prints the version and ends."""
    if wanted:
        with session.errors_shown(as_json=False):
            from gotoai._core import __version__

            render.line(f"gotoai {__version__}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """The options before any command."""
    del version  # acted upon by its callback


app.command("serve", epilog=serve.EXAMPLES)(serve.serve)
app.command("demo", epilog=demo.EXAMPLES)(demo.demo)
app.add_typer(keys.app, name="keys")
app.add_typer(wallet.app, name="wallet")
app.add_typer(ledger.app, name="ledger")
app.command("models", epilog=catalog.MODELS_EXAMPLES)(catalog.models)
app.add_typer(catalog.prices_app, name="prices")
app.command("doctor", epilog=doctor.EXAMPLES)(doctor.doctor)


def run() -> None:
    """The entry point of the ``gotoai`` script."""
    app()
