"""``gotoai ledger`` when something is wrong: what reconciliation finds in the books, and what is done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gotoai.cli import ledger, options, render, session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STATUSES = ("open", "acknowledged", "repaired", "gone", "all")
actor = click.option("--actor", metavar="NAME", help="Who does it; kept.")
reason = click.option("--reason", metavar="TEXT", help="Why; kept.")


def applied(what: str) -> Callable[[Any], Any]:
    """The option without which nothing is written."""
    return click.option("--apply", is_flag=True, help=f"{what}; without it they are only shown.")


def reconcile(full: bool, data_dir: str | None, config: str | None, as_json: bool) -> None:
    """Compares the books with themselves, records findings. Ends with 1 when anything is found."""
    with session.connect(data_dir, config, as_json) as gateway:
        report = gateway.watch("ledger.reconcile", as_json, level=0, full=full)
    render.show(report, as_json, view_report)
    if not report["ok"]:
        raise click.exceptions.Exit(1)


@ledger.group.command(
    epilog=options.examples("gotoai ledger findings", "gotoai ledger findings --status all --json"),
)
@click.option("--status", type=click.Choice(STATUSES), help="Which. [default: open and acknowledged]")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many at most.")
@options.store
def findings(status: str | None, limit: int, data_dir: str | None, config: str | None, as_json: bool) -> None:
    """Lists what reconciliation has found, the latest first."""
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("ledger.findings", status=status, limit=limit), as_json, view_findings)


@ledger.group.command(
    epilog=options.examples("gotoai ledger acknowledge fnd_0a1b2c --actor ann --note 'known since the move'"),
)
@click.argument("finding")
@actor
@click.option("--note", metavar="TEXT", help="What is known of it; kept.")
@options.store
def acknowledge(
    finding: str, actor: str | None, note: str | None, data_dir: str | None, config: str | None, as_json: bool
) -> None:
    """Notes that somebody has looked at FINDING."""
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("ledger.acknowledge", finding=finding, actor=actor, note=note), as_json, view_finding)


@ledger.group.command(
    epilog=options.examples(
        "gotoai ledger repair fnd_0a1b2c",
        "gotoai ledger repair fnd_0a1b2c --apply --actor ann --reason 'grant has expired'",
        "gotoai ledger repair fnd_0a1b2c --debit exp:loss:crash --credit prov:openai:payable --amount 0.25",
    ),
)
@click.argument("finding")
@click.option("--debit", metavar="ACCOUNT", help="An entry of your own in the place of the proposal.")
@click.option("--credit", metavar="ACCOUNT", help="Its other side.")
@click.option("--amount", metavar="USD", help="Its amount.")
@applied("Books the entries")
@actor
@reason
@options.store
def repair(
    finding: str,
    debit: str | None,
    credit: str | None,
    amount: str | None,
    apply: bool,
    actor: str | None,
    reason: str | None,
    data_dir: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """Answers FINDING by compensating entries; nothing that was booked is ever changed."""
    asked = {"debit": debit, "credit": credit, "amount": amount, "actor": actor, "reason": reason}
    with session.connect(data_dir, config, as_json) as gateway:
        outcome = gateway.ask("ledger.repair", finding=finding, apply=apply, **asked)
    render.show(outcome, as_json, view_repair)


@ledger.group.command(
    epilog=options.examples(
        "gotoai ledger rebuild", "gotoai ledger rebuild --apply --actor ann --reason 'balances were edited'"
    ),
)
@applied("Puts the rows in place")
@actor
@reason
@options.store
def rebuild(
    apply: bool, actor: str | None, reason: str | None, data_dir: str | None, config: str | None, as_json: bool
) -> None:
    """Makes balances, orders, wallets and budget windows again from the journal, which stays as it is."""
    with session.connect(data_dir, config, as_json) as gateway:
        outcome = gateway.watch("ledger.rebuild", as_json, apply=apply, actor=actor, reason=reason)
    render.show(outcome, as_json, view_rebuild)


@ledger.group.command(
    epilog=options.examples("gotoai ledger unfreeze --actor ann --reason 'balances rebuilt'"),
)
@click.option("--wallet", help="Only this wallet, in the place of the whole ledger.")
@click.option("--force", is_flag=True, help="Although the break is still there.")
@actor
@reason
@options.store
def unfreeze(
    wallet: str | None,
    force: bool,
    actor: str | None,
    reason: str | None,
    data_dir: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """Takes calls again, once the books add up."""
    with session.connect(data_dir, config, as_json) as gateway:
        outcome = gateway.ask("ledger.unfreeze", wallet=wallet, force=force, actor=actor, reason=reason)
    render.show(outcome, as_json, view_unfreeze)


def view_report(report: Mapping[str, Any]) -> None:
    """Each check with its verdict, then every finding."""
    verdicts = [("ok" if one["ok"] else "FOUND", one["id"], one["severity"], one["title"]) for one in report["checks"]]
    render.table("Checks", ["", "id", "severity", "what is checked"], verdicts)
    for one in report["checks"]:
        for finding in one["findings"]:
            render.line(f"{one['id']} {finding['finding']}: {finding['detail']}")
    verdict = "the books add up" if report["ok"] else "the books have findings"
    render.line(f"{verdict}: {report['events']} events, {report['postings']} postings, {report['orders']} orders")
    view_frozen(report)


def view_findings(page: Mapping[str, Any]) -> None:
    """A row a finding."""
    columns = ["finding", "check", "severity", "status", "seen>", "last seen", "detail", "remedy"]
    names = ("finding", "check", "severity", "status", "seen", "last_seen", "detail")
    rows = [[*(one[name] for name in names), one["remedy"].get("kind")] for one in page["findings"]]
    render.table("Findings", columns, rows)
    render.line(f"last run {page['last_run_at'] or 'never'}, last full run {page['last_full_run_at'] or 'never'}")
    view_frozen(page)


def view_frozen(page: Mapping[str, Any]) -> None:
    """Whether new calls are stopped, and what to do then."""
    frozen = page.get("frozen")
    if frozen:
        render.line(f"FROZEN since {frozen['since']} by {frozen['finding']}: {frozen['reason']}")
        render.line(
            "no new call is taken: mend it (`gotoai ledger rebuild`, or a backup), then `gotoai ledger unfreeze`"
        )


def view_finding(finding: Mapping[str, Any]) -> None:
    """One finding with all that is known of it."""
    render.facts(
        f"Finding {finding['finding']}", [(name, value) for name, value in finding.items() if name != "finding"]
    )


def view_repair(outcome: Mapping[str, Any]) -> None:
    """The entries, booked or only proposed."""
    columns = ["debit", "credit", "amount>", "reason", "entry>"]
    names = ("debit", "credit", "amount", "reason", "entry_seq")
    render.table("Entries", columns, [[one.get(name) for name in names] for one in outcome["entries"]])
    render.line("booked" if outcome["applied"] else "not booked: --apply with --actor and --reason does it")


def view_rebuild(outcome: Mapping[str, Any]) -> None:
    """What differs from the journal, put right or not."""
    for change in outcome["changes"]:
        render.line(change)
    for left in outcome["left"]:
        render.line(f"left as it is, no entry speaks of it: {left}")
    count = len(outcome["changes"])
    how = "put in place" if outcome["applied"] else "differ; --apply with --actor and --reason puts them in place"
    render.line(f"{count} rows {how}" if count else "every row is as the journal makes it")


def view_unfreeze(outcome: Mapping[str, Any]) -> None:
    """What was lifted."""
    what = f"wallet {outcome['wallet']}" if outcome["wallet"] else "the ledger"
    render.line(f"{what} takes calls again" if outcome["lifted"] else f"{what} was not frozen")
