"""``gotoai wallet``: who pays. Amounts are decimal text from end to end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gotoai.cli import options, render, session

if TYPE_CHECKING:
    from collections.abc import Mapping

app = options.group("Wallets: money that calls are paid from.")

Name = Annotated[str, typer.Argument(metavar="WALLET", help="The wallet's name.")]
BALANCES = ("currency", "available", "held", "cash", "owed", "credit_limit", "spent_known", "spent_uncertain_max")


@app.command(
    epilog=options.examples(
        "gotoai wallet create team-a", "gotoai wallet create partner --postpaid --credit-limit 500.00"
    )
)
def create(
    wallet: Name,
    postpaid: Annotated[
        bool, typer.Option("--postpaid/--prepaid", help="Pay later, or only what was topped up.")
    ] = False,
    credit_limit: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="Most that a postpaid wallet may owe. Without: no limit.")
    ] = None,
    data_dir: options.DataDir = None,
    config: options.Config = None,
    as_json: options.AsJson = False,
) -> None:
    """Makes a wallet."""
    kind = "postpaid" if postpaid else "prepaid"
    with session.connect(data_dir, config, as_json) as gateway:
        made = gateway.ask("wallet.create", wallet=wallet, kind=kind, credit_limit=credit_limit)
    render.show(made, as_json, view_wallet)


@app.command(
    epilog=options.examples(
        "gotoai wallet topup team-a 25.00 --reference invoice-2026-117",
        "gotoai wallet topup team-a 25.00 --fee 0.80 --json",
    )
)
def topup(
    wallet: Name,
    amount: Annotated[str, typer.Argument(help="Decimal amount that arrives, such as 25.00.")],
    reference: Annotated[
        str | None,
        typer.Option(help="The business fact, such as a payment's id: the same reference counts once."),
    ] = None,
    fee: Annotated[str | None, typer.Option(metavar="AMOUNT", help="What the payment itself cost.")] = None,
    data_dir: options.DataDir = None,
    config: options.Config = None,
    as_json: options.AsJson = False,
) -> None:
    """Puts money into a wallet. Sent twice with the same reference, it is booked once."""
    if reference is None:
        reference = f"cli-{os.urandom(8).hex()}"
        if not as_json:
            render.remark(f"no --reference given; this top-up is {reference}, and repeating the command books another")
    with session.connect(data_dir, config, as_json) as gateway:
        booked = gateway.ask("wallet.topup", wallet=wallet, amount=amount, reference=reference, fee=fee)
    render.show({"reference": reference, **booked}, as_json, view_topup)


@app.command(epilog=options.examples("gotoai wallet balance team-a", "gotoai wallet balance team-a --json"))
def balance(
    wallet: Name, data_dir: options.DataDir = None, config: options.Config = None, as_json: options.AsJson = False
) -> None:
    """Shows what a wallet has, holds and has spent."""
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("wallet.balance", wallet=wallet), as_json, view_wallet)


@app.command("list", epilog=options.examples("gotoai wallet list"))
def list_wallets(
    data_dir: options.DataDir = None, config: options.Config = None, as_json: options.AsJson = False
) -> None:
    """Lists the wallets with their balances."""
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("wallet.list"), as_json, view_list)


def view_wallet(wallet: Mapping[str, Any]) -> None:
    """One wallet, in full."""
    names = ("kind", *BALANCES, "unpriced_orders", "open_orders")
    render.facts(f"Wallet {wallet['wallet']}", [(name, wallet.get(name)) for name in names])


def view_topup(booked: Mapping[str, Any]) -> None:
    """The top-up and the balance after it."""
    said = "was booked before; nothing changed" if booked.get("duplicate") else f"is entry {booked.get('entry_seq')}"
    render.line(f"top-up {booked['reference']} {said}")
    view_wallet(booked)


def view_list(answer: Mapping[str, Any]) -> None:
    """All wallets, a row each."""
    columns = ["wallet", "kind", *BALANCES, "open_orders"]
    shown = [name if name in {"wallet", "kind", "currency"} else f"{name}>" for name in columns]
    render.table("Wallets", shown, [[wallet.get(name) for name in columns] for wallet in answer["wallets"]])
