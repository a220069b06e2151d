"""``gotoai wallet statement``: a month of a wallet, as a table, CSV, Parquet, JSON or a page to print."""

from __future__ import annotations

import csv
import html
import io
import json
from datetime import datetime, timedelta
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
HEADS = {
    "day": "Day",
    "model": "Model",
    "orders": "Calls",
    "input_tokens": "Tokens in",
    "output_tokens": "Tokens out",
    "pass_through": "Cost passed on",
    "fee": "Fee",
    "charge": "Charge",
    "provisional": "Of it estimated",
    "refunded": "Refunded",
    "unpriced": "Calls without a price",
}
TOTALS = {
    "orders": "Calls",
    "charge": "Charged",
    "refunded": "Refunded",
    "spent_known": "Spent, known",
    "spent_provisional": "Spent, on estimates",
    "spent_uncertain_max": "Uncertain, at most",
    "held_now": "Held by open calls now",
    "open_orders_now": "Open calls now",
    "unpriced_orders": "Calls without a price",
}
STYLE = (
    "body{font:11pt/1.45 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#111;"
    "background:#fff}h1{font-size:16pt;margin:0}h2{font-size:12pt;margin:1.5rem 0 0}"
    "table{border-collapse:collapse;width:100%;margin:.5rem 0;font-variant-numeric:tabular-nums}"
    "th,td{padding:.25rem .5rem;border-bottom:1px solid #bbb;text-align:left;vertical-align:top}"
    "thead th{border-bottom:2px solid #111;font-size:9pt;vertical-align:bottom}th{font-weight:600}"
    "tbody th{font-weight:400}.n{text-align:right;white-space:nowrap}.sum{width:auto;min-width:24rem}"
    "tfoot td,tfoot th{font-weight:600;border-top:2px solid #111;border-bottom:0}.wide{overflow-x:auto}"
    "@page{size:A4 landscape;margin:15mm}"
    "@media print{body{max-width:none;margin:0;padding:0;font-size:9pt}.wide{overflow:visible}"
    "thead{display:table-header-group}tr{break-inside:avoid}h2{break-after:avoid}}"
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
    heads = [name if at < 2 else f"{name}>" for at, name in enumerate(COLUMNS)]
    render.table("Usage", heads, [[line[column] for column in COLUMNS] for line in told["usage"]])
    render.line()
    render.facts("Totals", list(told["totals"].items()))
    if not told["complete"]:
        render.remark("this month is not over: figures may still grow")


def as_csv(told: Mapping[str, Any]) -> str:
    """A row a day and model; amounts are decimal text in USD."""
    text = io.StringIO()
    rows = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    rows.writeheader()
    rows.writerows(told["usage"])
    return text.getvalue()


def as_page(told: Mapping[str, Any]) -> str:
    """A page that stands alone, reads aloud as tables with heads, and prints on A4."""
    title = html.escape(f"Statement of {told['wallet']}, {told['month']}")
    last = datetime.fromisoformat(told["to"]) - timedelta(days=1)
    span = html.escape(f"{told['from'][:10]} to {last:%Y-%m-%d}, days of UTC. Amounts in {told['currency']}.")
    note = "" if told["complete"] else "<p><strong>This month is not over: figures may still grow.</strong></p>"
    moved = "".join(two(one["kind"].replace("_", " ").capitalize(), one["amount"]) for one in told["movements"])
    # The place of a column says whether it holds text or figures: the first two name the line.
    heads = "".join(f'<th scope="col"{number(at)}>{HEADS[name]}</th>' for at, name in enumerate(COLUMNS))
    lines = "".join(row([line[name] for name in COLUMNS]) for line in told["usage"])
    lines = lines or f'<tr><td colspan="{len(COLUMNS)}">No calls.</td></tr>'
    totals = "".join(two(name, told["totals"][member]) for member, name in TOTALS.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body><main><h1>{title}</h1><p>{span}</p>{note}\n"
        f'<h2>Balance</h2><table class="sum"><tbody>{two("Opening balance", told["opening"])}{moved}</tbody>'
        f"<tfoot>{two('Closing balance', told['closing'])}</tfoot></table>\n"
        f'<h2>Use by day and model</h2><div class="wide"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>\n"
        f'<h2>Totals</h2><table class="sum"><tbody>{totals}</tbody></table>\n</main></body></html>\n'
    )


def number(at: int) -> str:
    """The mark of a column of figures."""
    return ' class="n"' if at > 1 else ""


def row(values: list[object]) -> str:
    """One line of the use; the day is its head."""
    cells = [f"<td{number(at)}>{html.escape(str(value))}</td>" for at, value in enumerate(values) if at]
    return f'<tr><th scope="row">{html.escape(str(values[0]))}</th>{"".join(cells)}</tr>'


def two(name: str, value: object) -> str:
    """A name and its figure."""
    return f'<tr><th scope="row">{html.escape(name)}</th><td class="n">{html.escape(str(value))}</td></tr>'


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
