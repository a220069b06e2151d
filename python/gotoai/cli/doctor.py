"""``gotoai doctor``: is this installation able to serve, and if not, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gotoai.cli import options, render, session

if TYPE_CHECKING:
    from collections.abc import Mapping


@click.command(
    short_help="Check the installation, say what to do.",
    epilog=options.examples("gotoai doctor", "gotoai doctor --config gotoai.yaml --json"),
)
@options.store
def doctor(data_dir: str | None, config: str | None, as_json: bool) -> None:
    """Checks configuration, providers, store and clock, and says what to do. Exits with 1 when something fails."""
    with session.errors_shown(as_json):
        report = examine(data_dir, config)
    render.show(report, as_json, view)
    if not report["ok"]:
        raise click.exceptions.Exit(1)


def examine(data_dir: str | None, config: str | None) -> dict[str, Any]:
    """The core's own report. A core that does not even open is a finding like any other, not an error."""
    try:
        core = session.open_core(session.environment(data_dir), config)
    except session.core_error() as error:
        code, message = error.args[:2]
        advice = "mend what the message names; `gotoai doctor` again shows the rest"
        check = {"id": code, "title": "Settings and store open", "status": "fail", "detail": message, "advice": advice}
        return {"ok": False, "checks": [check]}
    try:
        return session.Administration(core).ask("doctor")
    finally:
        core.close()


def view(report: Mapping[str, Any]) -> None:
    """Each check with its verdict, then what to do about those that are not well."""
    checks = report["checks"]
    rows = [[one["status"], one["title"], one.get("detail")] for one in checks]
    render.table("Checks", ["", "what is checked", "found"], rows)
    for one in checks:
        if one["status"] != "ok" and one.get("advice"):
            render.line(f"{one['title']}: {one['advice']}")
