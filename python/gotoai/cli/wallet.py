"""``gotoai wallet``: who pays. Amounts are decimal text from end to end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from gotoai.cli import options, render, session

if TYPE_CHECKING:
    from collections.abc import Mapping

# What a wallet has: ``available`` follows from the others. Then what it has spent, with its error bar.
BALANCES = (
    "currency",
    "frozen",
    "available",
    "cash",
    "granted",
    "held",
    "paying_out",
    "owed",
    "credit_limit",
    "spent_known",
    "spent_provisional",
    "spent_uncertain_max",
)


@click.group(
    "wallet",
    epilog=options.examples(
        "gotoai wallet create team-a",
        "gotoai wallet topup team-a 25.00 --reference invoice-117",
        "gotoai wallet statement team-a --month 2026-11",
    ),
)
def group() -> None:
    """Wallets: money that calls are paid from."""


@group.command(
    epilog=options.examples(
        "gotoai wallet create team-a", "gotoai wallet create partner --postpaid --credit-limit 500.00"
    )
)
@click.argument("wallet")
@click.option("--prepaid/--postpaid", default=True, help="Only what was topped up (default), or pay later.")
@click.option("--credit-limit", metavar="AMOUNT", help="Most that a postpaid wallet may owe. Without: no limit.")
@options.store
def create(
    wallet: str,
    prepaid: bool,
    credit_limit: str | None,
    data_dir: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """Makes a wallet."""
    kind = "prepaid" if prepaid else "postpaid"
    with session.connect(data_dir, config, as_json) as gateway:
        made = gateway.ask("wallet.create", wallet=wallet, kind=kind, credit_limit=credit_limit)
    render.show(made, as_json, view_wallet)


@group.command(
    epilog=options.examples(
        "gotoai wallet topup team-a 25.00 --reference invoice-2026-117",
        "gotoai wallet topup team-a 25.00 --fee 0.80 --payment-provider stripe --reference pi_3PqZ1h --json",
    )
)
@click.argument("wallet")
@click.argument("amount")
@click.option("--reference", help="The business fact, such as a payment's id: the same reference counts once.")
@click.option("--fee", metavar="AMOUNT", help="What the payment itself cost.")
@click.option("--payment-provider", metavar="NAME", help="Where the money is. Default: manual.")
@options.store
def topup(
    wallet: str,
    amount: str,
    reference: str | None,
    fee: str | None,
    payment_provider: str | None,
    data_dir: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """Puts AMOUNT, such as 25.00, into a wallet. Sent twice with the same reference, it is booked once."""
    if reference is None:
        reference = f"cli-{os.urandom(8).hex()}"
        if not as_json:
            render.remark(f"no --reference given; this top-up is {reference}, and repeating the command books another")
    with session.connect(data_dir, config, as_json) as gateway:
        given = {"amount": amount, "reference": reference, "fee": fee, "payment_provider": payment_provider}
        booked = gateway.ask("wallet.topup", wallet=wallet, **given)
    render.show({"reference": reference, **booked}, as_json, view_topup)


@group.command(epilog=options.examples("gotoai wallet balance team-a", "gotoai wallet balance team-a --json"))
@click.argument("wallet")
@options.store
def balance(wallet: str, data_dir: str | None, config: str | None, as_json: bool) -> None:
    """Shows what a wallet has, holds and has spent."""
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("wallet.balance", wallet=wallet), as_json, view_wallet)


@group.command("list", epilog=options.examples("gotoai wallet list"))
@options.store
def list_wallets(data_dir: str | None, config: str | None, as_json: bool) -> None:
    """Lists the wallets with their balances."""
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("wallet.list"), as_json, view_list)


def view_wallet(wallet: Mapping[str, Any]) -> None:
    """One wallet, in full."""
    names = ("kind", *BALANCES, "unpriced_orders", "open_orders")
    facts = [(name, shown(wallet, name)) for name in names]
    # What is seldom so is told only where it is.
    seldom = [(name, wallet[name]) for name in ("granted", "paying_out") if wallet.get(name, "0.00") != "0.00"]
    if wallet.get("frozen"):
        seldom.insert(0, ("frozen", "yes: it pays for nothing until `gotoai wallet thaw`"))
    render.facts(f"Wallet {wallet['wallet']}", [*facts[:1], *seldom, *facts[1:]])
    for one in wallet.get("grants", []):
        until = f", until {one['expires_at']}" if one["expires_at"] else ""
        render.line(f"grant {one['grant']}: {one['left']} left{until}")


def shown(wallet: Mapping[str, Any], name: str) -> object:
    """One member. Without a credit limit ``available`` of a postpaid wallet is no number; a frozen one pays nothing."""
    if name == "frozen":
        return "yes" if wallet.get(name) else "no"
    if name == "available" and wallet.get("frozen"):
        return "nothing (frozen)"
    unlimited = name == "available" and wallet.get("kind") == "postpaid" and wallet.get(name) is None
    return "no limit" if unlimited else wallet.get(name)


def view_topup(booked: Mapping[str, Any]) -> None:
    """The top-up and the balance after it."""
    said = "was booked before; nothing changed" if booked.get("duplicate") else f"is entry {booked.get('entry_seq')}"
    render.line(f"top-up {booked['reference']} {said}")
    view_wallet(booked)


def view_list(answer: Mapping[str, Any]) -> None:
    """All wallets, a row each."""
    columns = ["wallet", "kind", "frozen", *BALANCES, "open_orders"]
    heads = [name if name in {"wallet", "kind", "frozen", "currency"} else f"{name}>" for name in columns]
    render.table("Wallets", heads, [[shown(wallet, name) for name in columns] for wallet in answer["wallets"]])
