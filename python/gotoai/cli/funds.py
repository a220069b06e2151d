"""Money that comes, goes and is corrected: the rest of ``gotoai wallet``, and bookings of ``gotoai ledger``.

Each command asks one administrative operation and shows the wallet, or the entry, afterwards.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gotoai.cli import ledger, options, render, session, statement, wallet

if TYPE_CHECKING:
    from collections.abc import Mapping

reference = click.option(
    "--reference", required=True, help="The business fact, such as a payment's id: it counts once."
)
reason = click.option("--reason", required=True, help="Why; it stands in the journal.")
actor = click.option("--actor", help="Who does it; it stands in the journal.")
provider = click.option("--payment-provider", metavar="NAME", help="Where the money is. Default: manual.")


def milliseconds(_: click.Context, __: click.Parameter, day: datetime | None) -> int | None:
    """A day or moment, UTC, as the operations take it."""
    return None if day is None else int(day.replace(tzinfo=UTC).timestamp() * 1000)


def ask(data_dir: str | None, config: str | None, as_json: bool, operation: str, **arguments: object) -> None:
    """Runs the operation and shows what it answers: a wallet where there is one, else its members."""
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask(operation, **arguments), as_json, view)


def view(answer: Mapping[str, Any]) -> None:
    """What became of it, then the wallet."""
    if answer.get("duplicate"):
        render.line("was booked before; nothing changed")
    elif answer.get("entry_seq") is not None:
        render.line(f"is entry {answer['entry_seq']}")
    if "kind" in answer and "available" in answer:
        wallet.view_wallet(answer)
        return
    render.facts("Booked", [(name, value) for name, value in answer.items() if name not in {"entry_seq", "duplicate"}])


@wallet.group.command(epilog=options.examples("gotoai wallet grant team-a welcome 5.00 --expires 2026-12-31"))
@click.argument("name", metavar="WALLET")
@click.argument("grant")
@click.argument("amount")
@click.option("--priority", type=click.IntRange(0, 255), default=0, help="The lowest is spent first.")
@click.option("--expires", "expires_at_ms", type=click.DateTime(), callback=milliseconds, help="Day of expiry, UTC.")
@click.option("--reference", help="Tells granting again (which adds) from a repetition. Default: the grant's name.")
@actor
@options.store
def grant(
    name: str,
    grant: str,
    amount: str,
    priority: int,
    expires_at_ms: int | None,
    reference: str | None,
    actor: str | None,
    **store: Any,  # noqa: ANN401 - data_dir, config, as_json
) -> None:
    """Gives money to a wallet under the name GRANT: it is spent before cash, and expires."""
    ask(
        **store,
        operation="wallet.grant",
        wallet=name,
        grant=grant,
        amount=amount,
        priority=priority,
        expires_at_ms=expires_at_ms,
        reference=reference,
        actor=actor,
    )


@wallet.group.command(epilog=options.examples("gotoai wallet refund ord_0190d3c1e5 --reason 'wrong answer'"))
@click.argument("order")
@click.argument("amount", required=False)
@reason
@click.option("--reference", help="Tells a second refund from a repetition. Default: the reason.")
@actor
@options.store
def refund(
    order: str,
    amount: str | None,
    reason: str,
    reference: str | None,
    actor: str | None,
    **store: Any,  # noqa: ANN401
) -> None:
    """Gives the charge of ORDER back, or AMOUNT of it, to where it came from."""
    ask(**store, operation="wallet.refund", order=order, amount=amount, reason=reason, reference=reference, actor=actor)


@wallet.group.command("cash-out", epilog=options.examples("gotoai wallet cash-out team-a 10.00 --reference payout-7"))
@click.argument("name", metavar="WALLET")
@click.argument("amount")
@reference
@provider
@actor
@options.store
def cash_out(
    name: str,
    amount: str,
    reference: str,
    payment_provider: str | None,
    actor: str | None,
    **store: Any,  # noqa: ANN401
) -> None:
    """Takes cash out of a wallet; it is on its way until cash-out-end says how it ended."""
    given: dict[str, Any] = {
        "wallet": name,
        "amount": amount,
        "reference": reference,
        "payment_provider": payment_provider,
    }
    ask(**store, operation="wallet.cash_out", actor=actor, **given)


@wallet.group.command("cash-out-end", epilog=options.examples("gotoai wallet cash-out-end payout-7 paid"))
@click.argument("reference")
@click.argument("result", type=click.Choice(["paid", "failed"]))
@provider
@actor
@options.store
def cash_out_end(
    reference: str,
    result: str,
    payment_provider: str | None,
    actor: str | None,
    **store: Any,  # noqa: ANN401
) -> None:
    """Ends the cash-out REFERENCE: paid, or failed and back in the wallet."""
    given: dict[str, Any] = {"reference": reference, "result": result, "payment_provider": payment_provider}
    ask(**store, operation="wallet.cash_out_end", actor=actor, **given)


@wallet.group.command(epilog=options.examples("gotoai wallet chargeback team-a 25.00 --reference dp_1"))
@click.argument("name", metavar="WALLET")
@click.argument("amount")
@reference
@provider
@actor
@options.store
def chargeback(
    name: str,
    amount: str,
    reference: str,
    payment_provider: str | None,
    actor: str | None,
    **store: Any,  # noqa: ANN401
) -> None:
    """Books money that its payer took back; the wallet is frozen until it is thawed."""
    given: dict[str, Any] = {
        "wallet": name,
        "amount": amount,
        "reference": reference,
        "payment_provider": payment_provider,
    }
    ask(**store, operation="wallet.chargeback", actor=actor, **given)


@wallet.group.command(epilog=options.examples("gotoai wallet freeze team-a --reason 'payment disputed'"))
@click.argument("name", metavar="WALLET")
@reason
@actor
@options.store
def freeze(name: str, reason: str, actor: str | None, **store: Any) -> None:  # noqa: ANN401
    """Lets a wallet pay for nothing more until it is thawed; calls under way are settled."""
    ask(**store, operation="wallet.freeze", wallet=name, reason=reason, actor=actor)


@wallet.group.command(epilog=options.examples("gotoai wallet thaw team-a --reason 'payment came'"))
@click.argument("name", metavar="WALLET")
@reason
@actor
@options.store
def thaw(name: str, reason: str, actor: str | None, **store: Any) -> None:  # noqa: ANN401
    """Lets a frozen wallet pay again."""
    ask(**store, operation="wallet.thaw", wallet=name, reason=reason, actor=actor)


@wallet.group.command(
    epilog=options.examples(
        "gotoai wallet terms team-a",
        "gotoai wallet terms team-a --set terms.json --reason 'contract of May'",
    )
)
@click.argument("name", metavar="WALLET")
@click.option("--set", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="JSON: what changes.")
@click.option("--reason", help="Why; needed with --set.")
@actor
@options.store
def terms(name: str, path: Path | None, reason: str | None, actor: str | None, **store: Any) -> None:  # noqa: ANN401
    """Shows a wallet's terms, or changes them: hold, settlement, markup, credit_limit (docs/reference.md)."""
    changes = {} if path is None else statement.read_object(path)
    with session.connect(store["data_dir"], store["config"], store["as_json"]) as gateway:
        answer = gateway.ask("wallet.terms", **{**changes, "wallet": name, "reason": reason, "actor": actor})
    render.show(answer, store["as_json"], lambda shown: render.facts(f"Terms of {name}", list(shown.items())))


@ledger.group.command(
    epilog=options.examples(
        "gotoai ledger adjust prov:openai:suspense prov:openai:payable 0.0012 --reference n9 --reason billed"
    )
)
@click.argument("debit")
@click.argument("credit")
@click.argument("amount")
@click.option("--reference", help="What makes it the same correction as another: it counts once.")
@click.option("--finding", help="Or the finding it answers.")
@reason
@actor
@options.store
def adjust(
    debit: str,
    credit: str,
    amount: str,
    reference: str | None,
    finding: str | None,
    reason: str,
    actor: str | None,
    **store: Any,  # noqa: ANN401
) -> None:
    """Books a correction between two accounts, named by path. Nothing is edited: it is a further entry."""
    given: dict[str, Any] = {
        "debit": debit,
        "credit": credit,
        "amount": amount,
        "reference": reference,
        "finding": finding,
    }
    ask(**store, operation="ledger.adjust", reason=reason, actor=actor, **given)


@ledger.group.command(epilog=options.examples("gotoai ledger payout 120.00 --reference po_1 --payment-provider stripe"))
@click.argument("amount")
@reference
@provider
@actor
@options.store
def payout(
    amount: str,
    reference: str,
    payment_provider: str | None,
    actor: str | None,
    **store: Any,  # noqa: ANN401
) -> None:
    """Books money that the payment provider paid out to the bank."""
    given: dict[str, Any] = {"amount": amount, "reference": reference, "payment_provider": payment_provider}
    ask(**store, operation="ledger.payout", actor=actor, **given)


@ledger.group.command(epilog=options.examples("gotoai ledger invoice openai 41.20 41.18 --reference INV-2026-11"))
@click.argument("name", metavar="PROVIDER")
@click.argument("accrued")
@click.argument("paid")
@reference
@actor
@options.store
def invoice(
    name: str,
    accrued: str,
    paid: str,
    reference: str,
    actor: str | None,
    **store: Any,  # noqa: ANN401
) -> None:
    """Books a provider's invoice: ACCRUED is what our books say for its period, PAID what was paid."""
    given: dict[str, Any] = {"provider": name, "accrued": accrued, "paid": paid, "reference": reference}
    ask(**store, operation="ledger.invoice", actor=actor, **given)
