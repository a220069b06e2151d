"""``gotoai ledger true-up`` and ``rerate``: orders that have ended are rated again, each by a further entry."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from gotoai.cli import ledger, options, render, session
from gotoai.cli.findings import actor, applied, reason

if TYPE_CHECKING:
    from collections.abc import Mapping

# What the command keeps and shows of the orders; the totals are over all of them.
LISTED = 1000


def pairs(_: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """``NAME=VALUE``, repeated."""
    found = {}
    for value in values:
        name, sign, content = value.partition("=")
        if not (name and sign and content):
            raise click.BadParameter(f"'{value}' is not {option.metavar}")
        found[name] = content
    return found


def counts(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, int] | None:
    """``METER=COUNT``, repeated."""
    found = pairs(context, option, values)
    if any(not count.isdecimal() for count in found.values()):
        raise click.BadParameter("a count is a whole number")
    return {name: int(count) for name, count in found.items()} or None


@ledger.group.command(
    "true-up",
    epilog=options.examples(
        "gotoai ledger true-up ord_0190d3c1e5 --usage input_uncached=812 --usage output_text=64 --reason 'dashboard'",
        "gotoai ledger true-up ord_0190d3c1e5 --cost 0.00041 --reason 'generation gen-1'",
        "gotoai ledger true-up ord_0190d3c1e5 --loss openai-east=0.0012 --reason 'bill of November'",
    ),
)
@click.argument("order", metavar="ORDER")
@click.option(
    "--usage", multiple=True, metavar="METER=COUNT", callback=counts, help="The provider's count, all meters of it."
)
@click.option("--cost", metavar="USD", help="What the provider says that the call cost, however fine.")
@click.option(
    "--loss",
    "losses",
    multiple=True,
    metavar="PROVIDER=USD",
    callback=pairs,
    help="What an attempt that did not serve really cost.",
)
@click.option("--reason", required=True, help="Why; it stands in the journal.")
@click.option("--reference", help="Tells further evidence from a repetition. Default: the reason.")
@click.option("--actor", help="Who does it; it stands in the journal.")
@options.store
def true_up(
    order: str,
    usage: dict[str, int] | None,
    cost: str | None,
    losses: dict[str, str],
    reason: str,
    reference: str | None,
    actor: str | None,
    data_dir: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """Books evidence for ORDER: rated as the order was, in the user's favour only. A higher cost is ours."""
    given = {"usage": usage, "cost": cost, "losses": losses or None, "reason": reason, "reference": reference}
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("order.true_up", order=order, actor=actor, **given), as_json, view_true_up)


@ledger.group.command(
    epilog=options.examples(
        "gotoai ledger rerate --provider openai --model gpt-4o-mini --since 2026-11-01",
        "gotoai ledger rerate --provider custom-house --model small "
        "--price input_per_mtok=0.10 --price output_per_mtok=0.40",
        "gotoai ledger rerate --provider openai --model gpt-4o-mini --apply --actor ann --reason 'price list of May'",
    )
)
@click.option("--provider", required=True, help="The provider by its name here, as `gotoai models` shows it.")
@click.option("--model", required=True, help="The provider's own name of the model.")
@click.option("--since", metavar="DAY", help="First day (UTC) of the calls, such as 2026-11-01. [default: the first]")
@click.option("--until", metavar="DAY", help="Last day. [default: the last]")
@click.option(
    "--price",
    multiple=True,
    metavar="MEMBER=USD",
    callback=pairs,
    help="The price, by the members of models[].price; repeatable. [default: the one in force at each call]",
)
@applied("Books them")
@actor
@reason
@options.store
def rerate(
    provider: str,
    model: str,
    since: str | None,
    until: str | None,
    price: dict[str, str],
    apply: bool,
    actor: str | None,
    reason: str | None,
    data_dir: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """Rates the orders of a model again: its price was wrong, or came later. Repeated, it goes on where it stopped."""
    given = {"provider": provider, "model": model, "from": since, "to": until, "price": price or None}
    with session.connect(data_dir, config, as_json) as gateway:
        whole = Whole()
        after: str | None = None
        while whole.pages == 0 or after:
            page = gateway.ask("ledger.rerate", apply=apply, actor=actor, reason=reason, after=after, **given)
            whole.add(page)
            after = page["next_after"]
            if after and sys.stderr.isatty():
                render.remark(f"{whole.report['looked_at']} orders looked at, {whole.report['changed']} differ")
    render.show(whole.report, as_json, view_rerate)


class Whole:
    """The pages of a re-rating as one report; of the orders it keeps the first ones only."""

    def __init__(self) -> None:
        self.pages = 0
        self.report: dict[str, Any] = {}

    def add(self, page: dict[str, Any]) -> None:
        """Adds a page's figures."""
        self.pages += 1
        if self.pages == 1:
            self.report = {**page, "orders": page["orders"][:LISTED], "left": page["left"][:LISTED], "next_after": None}
            return
        report = self.report
        for name in ("looked_at", "changed", "unchanged"):
            report[name] += page[name]
        for name in ("orders", "left"):
            report[name] = (report[name] + page[name])[:LISTED]
        report["totals"] = sums(report["totals"], page["totals"])


def sums(one: Any, other: Any) -> Any:  # noqa: ANN401 - JSON: decimal text, or an object of it
    """Amounts added member by member."""
    if isinstance(one, dict):
        return {name: sums(amount, other[name]) for name, amount in one.items()}
    return None if one is None or other is None else f"{Decimal(one) + Decimal(other):f}"


def view_true_up(answer: Mapping[str, Any]) -> None:
    """What became of the evidence, then the order."""
    before = answer["before"]
    if answer["duplicate"]:
        render.line("was booked before; nothing changed")
    else:
        render.line(f"is entry {answer['entry_seq']}")
        for name in ("state", "charge", "cost"):
            if before[name] != answer[name]:
                render.line(f"{name}: {render.cell(before[name])} -> {render.cell(answer[name])}")
    ledger.view_order({**answer, "entries": []})


def view_rerate(report: Mapping[str, Any]) -> None:
    """A row an order, before and after; then the totals."""
    columns = ["order", "time", "wallet", "state", "cost>", "now>", "charge>", "now>", "entry>"]
    rows = []
    for one in report["orders"]:
        amounts = [one[name][when] for name in ("cost", "charge") for when in ("before", "after")]
        rows.append([one["order"], one["created_at"], one["wallet"], one["state"], *amounts, one["entry_seq"]])
    render.table("Orders", columns, rows)
    if report["changed"] > len(rows):
        render.line(f"and {report['changed'] - len(rows)} more")
    for one in report["left"]:
        render.line(f"left as it is: {one['order']}: {one['why']}")
    totals = report["totals"]
    told = [(name, f"{totals[name]['before']} -> {totals[name]['after']}") for name in ("cost", "charge")]
    names = {"returned": "back to wallets", "charged": "charged now, had no price", "loss": "cost nobody is charged"}
    told += [(names[name], totals[name]) for name in ("returned", "charged", "loss")]
    counted = f"{report['looked_at']} looked at, {report['changed']} differ, {report['unchanged']} do not"
    render.facts(f"Rated again: {report['provider']}/{report['model']}", [("orders", counted), *told])
    render.line("booked" if report["applied"] else "not booked: --apply with --actor and --reason does it")
