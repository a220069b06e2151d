"""``gotoai ledger export``: the ledger as files that anybody can prove, with a word on stderr while it takes long."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gotoai.cli import ledger, options, render, session

if TYPE_CHECKING:
    from collections.abc import Mapping


@ledger.group.command(
    epilog=options.examples(
        "gotoai ledger export books-2026-11",
        "gotoai ledger export for-team-a --wallet team-a",
        "gotoai ledger export later --from 120000 --format parquet",
    )
)
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["csv", "parquet"]), default="csv", help="csv by default.")
@click.option("--from", "from_seq", type=click.IntRange(min=1), metavar="SEQ", help="Start at the block of this entry.")
@click.option("--wallet", metavar="NAME", help="Only what concerns this wallet, each entry with its own proof.")
@options.store
def export(
    directory: Path,
    form: str,
    from_seq: int | None,
    wallet: str | None,
    data_dir: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """Writes the ledger to the new folder DIR, with `verify.py`, which proves it without gotoai. Metadata only."""
    with session.connect(data_dir, config, as_json) as gateway:
        arguments = {"wallet": wallet, "from": from_seq}
        if form == "csv":
            done = gateway.watch("ledger.export", as_json, dir=str(directory), **arguments)
        else:
            done = as_parquet(gateway, as_json, directory, arguments)
    render.show(done, as_json, view)


def as_parquet(
    gateway: session.Administration, as_json: bool, directory: Path, arguments: Mapping[str, object]
) -> dict[str, Any]:
    """Exports aside, then converts."""
    from gotoai import errors, parquet

    try:
        parquet.require()
        with parquet.aside(directory) as place:
            done = gateway.watch("ledger.export", as_json, dir=str(place / "csv"), **arguments)
            parquet.convert(place / "csv", directory)
    except (errors.ConfigurationError, errors.InvalidRequestError) as error:
        session.fail(error.code or "export", error.message, as_json, 2 if error.param else 1)
    return {**done, "dir": str(directory)}


def view(done: Mapping[str, Any]) -> None:
    """What is in the folder and how to prove it."""
    counts = [(name, count) for name, count in done["counts"].items() if count]
    anchored = done["anchored_to"]
    render.facts(f"Export {done['dir']}", [*counts, ("head", done["head"]["hash"]), ("anchored to entry", anchored)])
    if done.get("unanchored"):
        render.remark(f"the head could not be anchored: {done['unanchored']}")
    render.line(f"prove it with: python {done['dir']}/verify.py {done['dir']}")
