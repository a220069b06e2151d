"""``gotoai ledger reconcile``: the books against themselves, or against what a provider bills, from its own files."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import click

from gotoai.cli import findings, ledger, options, render, session

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORMATS = ("auto", "openai", "anthropic", "openrouter", "aws-cur", "focus")
# Counters that are no tokens, and so no part of the column of tokens.
NO_TOKENS = frozenset({"image_out", "seconds", "characters", "searches"})


def pair(value: str) -> tuple[str, str]:
    """``THEIRS=OURS``, split at the last ``=``: names of ours hold none."""
    theirs, sign, ours = value.rpartition("=")
    if not (theirs and sign and ours):
        raise click.BadParameter(f"'{value}' is not THEIRS=OURS")
    return theirs, ours


@ledger.group.command(
    "reconcile",
    epilog=options.examples(
        "gotoai ledger reconcile --full",
        "gotoai ledger reconcile --provider openai usage.json costs.json",
        "gotoai ledger reconcile --provider bedrock cur.csv --since 2026-09-01 --until 2026-09-30",
        "gotoai ledger reconcile --provider openai usage.json costs.json --apply --actor ann --reason 'bill of May'",
        "gotoai ledger reconcile --provider anthropic report.json --map-key apikey_01Rj2N=key_0190d3c1e5 --json",
    ),
)
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.File(encoding="utf-8-sig"))
@click.option("--full", is_flag=True, help="Without files: from the first entry, also where this was read before.")
@click.option("--provider", help="With files: the provider by its name here, as `gotoai models` shows it.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="auto", show_default=True, help="Of the files.")
@click.option("--since", metavar="DAY", help="First day (UTC), such as 2026-09-01. [default: the files' first]")
@click.option("--until", metavar="DAY", help="Last day. [default: the files' last that is over]")
@click.option(
    "--map-key", "keys", type=pair, multiple=True, metavar="THEIRS=OURS", help="The provider's key is this key here."
)
@click.option(
    "--map-model", "models", type=pair, multiple=True, metavar="THEIRS=OURS", help="The bill's model is this one."
)
@findings.applied("With files: books what closes the gaps")
@findings.actor
@findings.reason
@options.store
def reconcile(
    files: tuple[IO[str], ...],
    full: bool,
    provider: str | None,
    form: str,
    since: str | None,
    until: str | None,
    keys: tuple[tuple[str, str], ...],
    models: tuple[tuple[str, str], ...],
    apply: bool,
    actor: str | None,
    reason: str | None,
    data_dir: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """Compares the books with themselves, or with a provider's files. Exits with 1 on a finding or gap."""
    if not files:
        if provider or apply:
            raise click.UsageError("a provider is compared by its files: name them")
        findings.reconcile(full, data_dir, config, as_json)
        return
    if not provider or full:
        raise click.UsageError("files are of a provider: name it with --provider, and leave --full out")
    try:
        content = [{"name": file.name, "content": file.read()} for file in files]
    except UnicodeDecodeError as error:
        raise click.UsageError(f"a file is no UTF-8 text: {error}") from None
    maps = {"key_map": dict(keys), "model_map": dict(models)}
    asked: dict[str, Any] = {"content": content, "from": since, "to": until, **maps}
    if apply:
        asked |= {"apply": True, "actor": actor, "reason": reason}
    with session.connect(data_dir, config, as_json) as gateway:
        report = gateway.ask("ledger.reconcile", level=1, provider=provider, format=form, **asked)
    render.show(report, as_json, view)
    if not report["ok"]:
        raise click.exceptions.Exit(1)


def view(report: Mapping[str, Any]) -> None:
    """What was booked, gaps with both sides' figures, what to book for them, the totals."""
    for one in report.get("booked", []):
        entry = f"is entry {one['entry_seq']}" if one["entry_seq"] else f"is left open: {one['left']}"
        render.line(f"{one['day']} {one['model'] or 'all'}, {one['class']} ({one['gap']}) {entry}")
    columns = ["day", "model", "key", "gap", "calls>", "ours>", "tokens>", "ours>", "cost>", "ours>", "tolerance", "id"]
    render.table("Gaps", columns, [row(gap) for gap in report["gaps"]])
    for name, meaning in {gap["class"]: gap["meaning"] for gap in report["gaps"]}.items():
        render.line(f"{name}: {meaning}")
    if report["proposals"]:
        render.line()
        names = ["debit", "credit", "amount", "reason", "finding"]
        rows = [[posting[name] for name in names] for posting in report["proposals"]]
        render.table("Proposed postings", ["debit", "credit", "amount>", "reason", "finding"], rows)
    for unread in report["unread"]:
        render.line(f"row {unread['row']}: {unread['why']}")
    render.line()
    view_totals(report)


def row(gap: Mapping[str, Any]) -> list[object]:
    """One gap, both sides beside one another."""
    theirs, ours = gap["theirs"], gap["ours"]
    calls = [theirs["requests"], ours["orders"], tokens(theirs["usage"]), tokens(ours["usage"])]
    verdict = "beyond" if gap["beyond_tolerance"] else "within"
    costs = [theirs["cost"], ours["cost"]]
    return [gap["day"], gap["model"] or "all", gap["key"], gap["class"], *calls, *costs, verdict, gap["id"]]


def tokens(usage: Mapping[str, int]) -> int | None:
    """All tokens; nothing where none are counted."""
    counted: Iterable[int] = [count for name, count in usage.items() if name not in NO_TOKENS]
    return sum(counted) if usage else None


def view_totals(report: Mapping[str, Any]) -> None:
    """The last lines: what was compared, and the verdict."""
    theirs, ours = report["totals"]["theirs"], report["totals"]["ours"]
    pairs: list[tuple[str, object]] = [
        ("days", f"{report['from']} to {report['to']}, by {', '.join(report['matched_by'])}"),
        ("calls across midnight", f"by their {report['days_by']}" if report.get("days_by") == "end" else None),
        ("rows", f"{report['rows']} read, {report['unread_rows']} not understood, {report['left_out']} of other days"),
        ("billed", theirs["cost"]),
        ("booked", ours["cost"]),
        ("difference", report["totals"]["difference"]),
        ("provisional", ours.get("provisional_cost")),
        ("in suspense, failover", ours.get("suspended_failover")),
        ("in suspense, crash", ours.get("suspended_crash")),
        ("in suspense, estimates", ours.get("suspended_estimate")),
        ("of closed gaps", ours.get("closed_cost")),
        ("unpriced orders", ours.get("unpriced_orders")),
    ]
    render.facts(f"Reconciliation with {report['provider']}", pairs)
    verdict = "the bill and the books agree" if report["ok"] else "the bill and the books differ"
    render.line(f"{verdict}: {report['matched']} of {report['compared']} matched, {len(report['gaps'])} gaps")
