"""``gotoai demo``: the whole way of a call, shown on this machine alone. The calls themselves are in ``rehearsal``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gotoai.cli import ledger, options, render, session, wallet

if TYPE_CHECKING:
    from collections.abc import Mapping


@click.command(
    short_help="See a call, a stream and two failures settled.",
    epilog=options.examples("gotoai demo", "gotoai demo --json | jq '.calls[].order.charge'"),
)
@options.as_json
def demo(as_json: bool) -> None:
    """Runs four calls against the scripted twin and shows how each is settled. Needs no key and no network."""
    from gotoai.cli.rehearsal import rehearse

    with session.errors_shown(as_json):
        report = rehearse()
    render.show(report, as_json, view)
    if not report["ok"]:
        raise click.exceptions.Exit(1)


def view(report: Mapping[str, Any]) -> None:
    """The story, call by call, then the books."""
    render.line(f"A gateway at {report['base_url']}; the twin plays the provider. Nothing leaves this machine.\n")
    for call in report["calls"]:
        order = call["order"]
        pairs = [
            ("status", call["status"]),
            ("ended", call["ended"]),
            ("reply", call["text"] or None),
            ("error", (call["error"] or {}).get("message")),
            *call["headers"].items(),
            *((name, order.get(name)) for name in ("state", "hold", "cost", "charge", "usage", "usage_source")),
        ]
        render.facts(call["title"].capitalize(), pairs)
        render.line()
    ledger.view_entries("What the ledger wrote", report["entries"])
    render.line()
    ledger.view_proof(report["verify"])
    if report["wallet"]:
        render.line()
        wallet.view_wallet(report["wallet"])
    if not report["ok"]:
        render.remark("The demo did not end as it should: see above.")
