"""``gotoai budget``: caps on money or requests, by key, user path, wallet, model and label."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from gotoai.cli import options, render, session

if TYPE_CHECKING:
    from collections.abc import Mapping

PERIODS = ("hour", "day", "week", "month", "lifetime")


@click.group(
    "budget",
    epilog=options.examples(
        "gotoai budget create team-a-month --wallet team-a --every month --amount 200.00", "gotoai budget list"
    ),
)
def group() -> None:
    """Budgets: what may be spent until when."""


def period(name: str) -> dict[str, Any]:
    """A period by its name, or as JSON with its reset settings."""
    if name in PERIODS:
        return {"every": name}
    try:
        read: dict[str, Any] = json.loads(name)
    except ValueError:
        raise click.BadParameter(
            f'one of {", ".join(PERIODS)}, or JSON such as {{"every": "day", "hour": 6}}'
        ) from None
    return read


@group.command(
    epilog=options.examples(
        "gotoai budget create team-a-month --wallet team-a --every month --amount 200.00 --alert 80",
        "gotoai budget create trial --user-path /trial --every day --requests 50 --status 429",
        """gotoai budget create shop --every '{"every": "week", "weekday": 1, "hour": 6}' --amount 9.00""",
    )
)
@click.argument("name")
@click.option("--every", required=True, help=f"{', '.join(PERIODS)}, or JSON with reset settings.")
@click.option("--amount", help="USD in each period; or --requests.")
@click.option("--requests", type=int, help="Calls in each period.")
@click.option("--key", metavar="ID", help="Calls of this key only.")
@click.option("--user-path", metavar="PATH", help="Calls of this path and all below it.")
@click.option("--wallet", help="Calls that this wallet pays.")
@click.option("--model", help="Calls of this model; * stands for any text.")
@click.option("--label", help="Calls with this label.")
@click.option("--soft", is_flag=True, help="Only tell, refuse nothing.")
@click.option("--status", type=click.Choice(["402", "429"]), help="What a refused call is answered. Default: 402.")
@click.option("--alert", "alert_percent", type=click.IntRange(1, 100), help="Tell when so many percent are used.")
@options.store
def create(name: str, every: str, status: str | None, **given: Any) -> None:  # noqa: ANN401 - options by their names
    """Sets the budget NAME. What is given must all fit a call for it to count; with nothing given every call counts."""
    store = {one: given.pop(one) for one in ("data_dir", "config", "as_json")}
    soft = given.pop("soft") or None
    number = None if status is None else int(status)
    with session.connect(**store) as gateway:
        made = gateway.ask("budget.create", name=name, period=period(every), soft=soft, status=number, **given)
    render.show(made, store["as_json"], view_one)


@group.command("list", epilog=options.examples("gotoai budget list", "gotoai budget list --wallet team-a --json"))
@click.option("--wallet", help="Only those of this wallet.")
@options.store
def list_budgets(wallet: str | None, data_dir: str | None, config: str | None, as_json: bool) -> None:
    """Lists the budgets with what the period under way has used."""
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("budget.list", wallet=wallet), as_json, view_list)


@group.command(epilog=options.examples("gotoai budget remove trial"))
@click.argument("name")
@options.store
def remove(name: str, data_dir: str | None, config: str | None, as_json: bool) -> None:
    """Ends the budget NAME. Calls under way are settled without it."""
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("budget.remove", name=name), as_json, lambda _: render.line(f"removed {name}"))


def view_one(budget: Mapping[str, Any]) -> None:
    """One budget, in full."""
    render.facts(f"Budget {budget['name']}", [(name, value) for name, value in budget.items() if name != "name"])


def view_list(answer: Mapping[str, Any]) -> None:
    """All budgets, a row each."""
    columns = ["name", "unit", "cap", "spent_known", "held", "left", "soft", "resets_at"]
    heads = [f"{name}>" if name in {"cap", "spent_known", "held", "left"} else name for name in columns]
    render.table("Budgets", heads, [[budget.get(name) for name in columns] for budget in answer["budgets"]])
