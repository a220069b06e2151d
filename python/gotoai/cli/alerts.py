"""``gotoai alerts``: are people told when something is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gotoai.cli import options, render, session

if TYPE_CHECKING:
    from collections.abc import Mapping


@click.group("alerts", epilog=options.examples("gotoai alerts test"))
def group() -> None:
    """Alerts: findings and budgets, told by log and webhook."""


@group.command(epilog=options.examples("gotoai alerts test", "gotoai alerts test --config gotoai.yaml --json"))
@options.store
def test(data_dir: str | None, config: str | None, as_json: bool) -> None:
    """Sends a signed test message to the webhook at once. Exits with 1 when it is not taken."""
    with session.connect(data_dir, config, as_json) as gateway:
        outcome = gateway.ask("alerts.test")
    render.show(outcome, as_json, view)
    if not outcome["ok"]:
        raise click.exceptions.Exit(1)


def view(outcome: Mapping[str, Any]) -> None:
    """Where it went and what came of it."""
    where = f"{outcome['webhook']}: " if outcome["webhook"] else ""
    render.line(f"{where}{outcome['detail']}")
