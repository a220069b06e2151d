"""``gotoai wallet statement``: a month of a wallet, as a table, CSV, Parquet, JSON or a page to print."""

from __future__ import annotations

import csv
import html
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gotoai.cli import options, render, session, wallet

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS = (
    "day",
    "model",
    "orders",
    "input_tokens",
    "output_tokens",
    "pass_through",
    "fee",
    "charge",
    "provisional",
    "refunded",
    "unpriced",
)
MONEY = ("pass_through", "fee", "charge", "provisional", "refunded")
STYLE = (
    "body{font:11pt/1.4 system-ui,sans-serif;max-width:46rem;margin:2rem auto;color:#111}h1{font-size:16pt;margin:0}"
    "table{border-collapse:collapse;width:100%;margin:1rem 0;font-variant-numeric:tabular-nums}"
    "th,td{padding:.25rem .4rem;border-bottom:1px solid #ccc;text-align:left}.n{text-align:right}"
    "tfoot td{font-weight:600;border-top:2px solid #111}@page{size:A4;margin:18mm}"
)


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file, or a message that says what is wrong."""
    try:
        read = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{path}: {error}") from None
    if not isinstance(read, dict):
        raise click.BadParameter(f"{path}: must hold a JSON object")
    return read


@wallet.group.command(
    epilog=options.examples(
        "gotoai wallet statement team-a --month 2026-11",
        "gotoai wallet statement team-a --month 2026-11 --format html --out november.html",
    )
)
@click.argument("name", metavar="WALLET")
@click.option("--month", required=True, metavar="YYYY-MM", help="A calendar month, UTC.")
@click.option("--format", "form", type=click.Choice(["csv", "html", "json", "parquet"]), help="Default: a table.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file. Default: standard output.")
@options.store
def statement(
    name: str,
    month: str,
    form: str | None,
    out: Path | None,
    data_dir: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """What a wallet had, what came and went, what each model cost on each day, what it has."""
    with session.connect(data_dir, config, as_json) as gateway:
        told = gateway.ask("wallet.statement", wallet=name, month=month)
    if form == "parquet":
        if out is None:
            raise click.UsageError("Parquet needs --out FILE")
        write_parquet(told, out)
    elif form is None or form == "json":
        if out is not None:
            out.write_text(json.dumps(told, indent=2) + "\n", "utf-8")
        else:
            render.show(told, as_json or form == "json", view)
    else:
        text = as_csv(told) if form == "csv" else as_page(told)
        if out is None:
            click.echo(text, nl=False)
        else:
            out.write_text(text, "utf-8")


def view(told: Mapping[str, Any]) -> None:
    """The statement on a terminal."""
    render.facts(
        f"Statement of {told['wallet']}, {told['month']} (USD)",
        [
            ("opening", told["opening"]),
            *((one["kind"], one["amount"]) for one in told["movements"]),
            ("closing", told["closing"]),
        ],
    )
    render.line()
    render.table("Usage", list(COLUMNS), [[line[column] for column in COLUMNS] for line in told["usage"]])
    render.line()
    render.facts("Totals", list(told["totals"].items()))


def as_csv(told: Mapping[str, Any]) -> str:
    """A row a day and model; amounts are decimal text in USD."""
    text = io.StringIO()
    rows = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    rows.writeheader()
    rows.writerows(told["usage"])
    return text.getvalue()


def as_page(told: Mapping[str, Any]) -> str:
    """A page that stands alone and prints on A4."""

    def cell(value: object, number: bool) -> str:
        return f'<td class="n">{html.escape(str(value))}</td>' if number else f"<td>{html.escape(str(value))}</td>"

    def row(values: list[object]) -> str:
        return "<tr>" + "".join(cell(value, at > 1) for at, value in enumerate(values)) + "</tr>"

    def two(name: object, value: object) -> str:
        return f'<tr><td>{html.escape(str(name))}</td><td class="n">{html.escape(str(value))}</td></tr>'

    title = html.escape(f"Statement {told['wallet']} {told['month']}")
    moved = "".join(two(one["kind"].replace("_", " "), one["amount"]) for one in told["movements"])
    heads = "".join(
        f"<th{' class=n' if at > 1 else ''}>{name.replace('_', ' ')}</th>" for at, name in enumerate(COLUMNS)
    )
    lines = "".join(row([line[column] for column in COLUMNS]) for line in told["usage"])
    totals = "".join(two(name.replace("_", " "), value) for name, value in told["totals"].items())
    span = html.escape(f"{told['from'][:10]} to {told['to'][:10]}")
    note = "" if told["complete"] else "<p>This month is not over: figures may still grow.</p>"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
        f"<h1>{title}</h1><p>{span}, UTC. Amounts in USD.</p>{note}"
        f"<table>{two('opening balance', told['opening'])}{moved}"
        f"<tfoot>{two('closing balance', told['closing'])}</tfoot></table>"
        f"<table><thead><tr>{heads}</tr></thead>{lines}</table><table>{totals}</table></html>\n"
    )


def write_parquet(told: Mapping[str, Any], out: Path) -> None:
    """The usage lines; amounts as decimal128(19, 9)."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise click.ClickException("Parquet needs pyarrow: pip install 'gotoai[parquet]'") from None
    from decimal import Decimal

    def column(name: str) -> Any:  # noqa: ANN401 - pyarrow has no types
        values = [line[name] for line in told["usage"]]
        if name in MONEY:
            return pa.array([Decimal(value) for value in values], pa.decimal128(19, 9))
        return pa.array(values, pa.string() if name in {"day", "model"} else pa.int64())

    pq.write_table(pa.table({name: column(name) for name in COLUMNS}), out)
