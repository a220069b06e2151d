"""``gotoai ledger spend``: what calls have come to, every figure with what may still be added to it."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING, Any

import click

from gotoai.cli import ledger, options, render, session

if TYPE_CHECKING:
    from collections.abc import Mapping

DIMENSIONS = ("day", "provider", "endpoint", "wallet", "key", "user_path")
FIGURES = (
    "orders",
    "open_orders",
    "unpriced_orders",
    "input_tokens",
    "output_tokens",
    "spent_known",
    "spent_provisional",
    "spent_uncertain_max",
    "held",
    "fee",
    "refunded",
    "cost_known",
    "cost_reported",
    "cost_estimated",
    "cost_uncertain_max",
)


@ledger.group.command(
    epilog=options.examples(
        "gotoai ledger spend",
        "gotoai ledger spend --by day --by endpoint --from 2026-11-01 --to 2026-12-01",
        "gotoai ledger spend --by key --wallet team-a --csv > team-a.csv",
    )
)
@click.option("--by", multiple=True, type=click.Choice(DIMENSIONS), help="A row for each. Default: provider.")
@click.option("--from", "from_", metavar="DAY", help="First day, UTC. Default: the first of this month.")
@click.option("--to", metavar="DAY", help="The day after the last one. Default: tomorrow.")
@click.option("--wallet", help="Only calls that this wallet pays.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV on stdout, all figures.")
@options.store
def spend(
    by: tuple[str, ...],
    from_: str | None,
    to: str | None,
    wallet: str | None,
    as_csv: bool,
    data_dir: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """What calls have come to: what users spent, what providers cost, and how much more either may be at most."""
    asked = {"from": from_, "to": to, "wallet": wallet, "by": list(by) or None}
    with session.connect(data_dir, config, as_json) as gateway:
        told = gateway.ask("ledger.spend", **asked)
    if as_csv and not as_json:
        out = csv.DictWriter(sys.stdout, (*told["by"], *FIGURES), lineterminator="\n")
        out.writeheader()
        out.writerows(told["rows"])
    else:
        render.show(told, as_json, view)


def view(told: Mapping[str, Any]) -> None:
    """A row a group and the totals, then what the columns mean where something is uncertain."""
    shown = ("orders", "spent_known", "spent_uncertain_max", "cost_known", "cost_estimated", "cost_uncertain_max")
    heads = ("orders>", "spent>", "at most +>", "cost>", "estimated>", "at most +>")
    by = told["by"]
    rows = [[*(row[name] for name in by), *(row[name] for name in shown)] for row in told["rows"]]
    totals = told["totals"]
    rows.append([*("total" if at == 0 else "" for at, _ in enumerate(by)), *(totals[name] for name in shown)])
    title = f"Spend from {told['from'][:10]} until {told['to'][:10]}, USD"
    render.table(title, [*by, *heads], rows)
    if totals["open_orders"]:
        render.line(f"{totals['open_orders']} calls are open; they hold {totals['held']} USD.")
    if totals["unpriced_orders"]:
        render.line(f"{totals['unpriced_orders']} calls have no price: nobody knows what they come to.")
    if totals["cost_uncertain_max"] != "0.00":
        render.line(
            "Open calls, and attempts that told no usage, may cost more. What providers bill lies between cost and "
            "cost + at most; their files settle it: gotoai ledger reconcile --provider NAME FILE."
        )
