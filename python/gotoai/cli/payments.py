"""``gotoai payments``: money that a payment provider has reported, beside what its webhook books by itself."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import click

from gotoai.cli import options, render, session, wallet

if TYPE_CHECKING:
    from collections.abc import Mapping


@click.group(
    "payments", epilog=options.examples("gotoai payments unassigned", "gotoai payments assign pi_3PqZ1h team-a")
)
def group() -> None:
    """Payments: what came and has no wallet yet, and what the webhook has missed."""


@group.command(epilog=options.examples("gotoai payments unassigned"))
@options.store
def unassigned(data_dir: str | None, config: str | None, as_json: bool) -> None:
    """Lists payments that named no wallet, or none that there is. Their money waits in an account of its own."""
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("payments.unassigned"), as_json, view_unassigned)


def view_unassigned(answer: Mapping[str, Any]) -> None:
    """A row a payment, oldest first."""
    rows = [[one["payment"], one["payment_provider"], one["left"]] for one in answer["payments"]]
    render.table("Payments without a wallet", ["payment", "at", "left>"], rows)


@group.command(epilog=options.examples("gotoai payments assign pi_3PqZ1h team-a"))
@click.argument("payment")
@click.argument("name", metavar="WALLET")
@click.option("--actor", help="Who does it; it stands in the journal.")
@options.store
def assign(
    payment: str,
    name: str,
    actor: str | None,
    data_dir: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """Gives what is left of PAYMENT to WALLET. Once: after that it is that wallet's."""
    with session.connect(data_dir, config, as_json) as gateway:
        booked = gateway.ask("payments.assign", payment=payment, wallet=name, actor=actor)
    render.show({"reference": payment, **booked}, as_json, wallet.view_topup)


@group.command(
    epilog=options.examples("gotoai payments replay events.json", "gotoai payments replay balance_transactions.json")
)
@click.argument("file", type=click.File(encoding="utf-8-sig"))
@click.option("--actor", help="Who does it; it stands in the journal.")
@options.store
def replay(
    file: IO[str],
    actor: str | None,
    data_dir: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """Books a FILE of Stripe's events or balance transactions, each once. Exits with 1 when one is refused."""
    try:
        content = file.read()
    except UnicodeDecodeError as error:
        raise click.UsageError(f"the file is no UTF-8 text: {error}") from None
    with session.connect(data_dir, config, as_json) as gateway:
        told = gateway.ask("payments.replay", content=content, actor=actor)
    render.show(told, as_json, view_replay)
    if not told["ok"]:
        raise click.exceptions.Exit(1)


def view_replay(told: Mapping[str, Any]) -> None:
    """What was booked, then what was not, and why."""
    columns = ["what", "reference", "wallet", "entry_seq"]
    lines = [line for answer in told["answers"] for line in answer["booked"] if not line["duplicate"]]
    render.table(
        "Booked", ["what", "reference", "wallet", "entry>"], [[line[name] for name in columns] for line in lines]
    )
    for refused in told["refused"]:
        render.line(f"not booked: {refused['error']}")
    for missing in told["missing_there"]:
        what, amount = f"{missing['what']} {missing['reference']}", missing["amount"]
        render.line(f"not in the file: {what}, {amount} USD, entry {missing['entry_seq']}")
    render.line(f"{told['events']} read, {told['booked']} bookings, {told['booked_before']} booked before")
