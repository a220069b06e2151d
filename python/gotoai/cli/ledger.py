"""``gotoai ledger``: what was booked, one order's story, and the proof that the books are whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gotoai.cli import options, render, session

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@click.group(
    "ledger",
    epilog=options.examples(
        "gotoai ledger spend --by day --by endpoint",
        "gotoai ledger verify",
        "gotoai ledger reconcile --provider openai usage.json costs.json",
        "gotoai ledger export books",
    ),
)
def group() -> None:
    """The ledger: entries, orders, proof."""


@group.command(
    epilog=options.examples(
        "gotoai ledger entries --limit 20",
        "gotoai ledger entries --wallet team-a --json",
        "gotoai ledger entries --after-seq 5000",
    )
)
@click.option("--wallet", help="Only what touches this wallet.")
@click.option("--order", metavar="ID", help="Only what belongs to this order.")
@click.option("--after-seq", type=click.IntRange(min=0), metavar="SEQ", help="Start behind this entry.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many at most.")
@options.store
def entries(
    wallet: str | None,
    order: str | None,
    after_seq: int | None,
    limit: int,
    data_dir: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """Lists entries with their postings, oldest first."""
    with session.connect(data_dir, config, as_json) as gateway:
        page = gateway.ask("ledger.entries", wallet=wallet, order=order, after_seq=after_seq, limit=limit)
    render.show(page, as_json, view_page)


@group.command(
    epilog=options.examples("gotoai ledger order ord_0190d3c1e5", "gotoai ledger order ord_0190d3c1e5 --json")
)
@click.argument("order_id", metavar="ID")
@options.store
def order(order_id: str, data_dir: str | None, config: str | None, as_json: bool) -> None:
    """Shows the order ID (from the header x-gotoai-order): its state, attempts, cost and entries."""
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("ledger.order", id=order_id), as_json, view_order)


@group.command(epilog=options.examples("gotoai ledger verify", "gotoai ledger verify --json"))
@options.store
def verify(data_dir: str | None, config: str | None, as_json: bool) -> None:
    """Proves the books from the first entry on: chain, balances, orders, holds. Exits with 1 when anything is found."""
    with session.connect(data_dir, config, as_json) as gateway:
        proof = gateway.watch("ledger.verify", as_json)
    render.show(proof, as_json, view_proof)
    if not proof["ok"]:
        raise click.exceptions.Exit(1)


@group.command(epilog=options.examples("gotoai ledger builders", "gotoai ledger builders --json"))
@options.store
def builders(data_dir: str | None, config: str | None, as_json: bool) -> None:
    """Lists who earns a share on calls, and what is owed to each."""
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("ledger.builders"), as_json, view_builders)


@group.command(epilog=options.examples("gotoai ledger anchor", "gotoai ledger anchor --json | jq .head"))
@options.store
def anchor(data_dir: str | None, config: str | None, as_json: bool) -> None:
    """Signs the head of the chain now and copies the anchor outside. A gateway that serves does so by itself."""
    with session.connect(data_dir, config, as_json) as gateway:
        made = gateway.ask("ledger.anchor")
    render.show(made, as_json, view_anchor)


def view_entries(title: str, shown: Iterable[Mapping[str, Any]]) -> None:
    """A row a posting; what the entry says is written on its first row only."""
    columns = ["seq>", "time", "kind", "order", "actor", "debit", "credit", "amount>", "code"]
    rows = []
    for entry in shown:
        head = [entry.get(name) for name in ("seq", "ts", "kind", "order", "actor")]
        for posting in entry.get("postings") or [{}]:
            rows.append([*head, *(posting.get(name) for name in ("debit", "credit", "amount", "code"))])
            head = [None] * len(head)
    render.table(title, columns, rows)


def view_page(page: Mapping[str, Any]) -> None:
    """A page of entries, and how to get the next one."""
    view_entries("Entries", page["entries"])
    if page.get("next_after") is not None:
        render.remark(f"more: --after-seq {page['next_after']}")


def view_order(receipt: Mapping[str, Any]) -> None:
    """One order, as its receipt tells it."""
    costs = ("cost", "cost_source", "upstream_cost", "cost_uncertain_max")
    money = ("hold", *costs, "pass_through", "fee", "builder", "charge")
    names = ("state", "wallet", "key", "model", "endpoint", "provider", *money, "usage", "usage_source", "finish")
    times = ("created_at", "finished_at")
    render.facts(f"Order {receipt['order']}", [(name, receipt.get(name)) for name in (*names, *times)])
    columns = ["n", "endpoint", "outcome", "status", "started_at", "first_byte_at", "ended_at"]
    render.line()
    render.table("Attempts", columns, [[one.get(name) for name in columns] for one in receipt.get("attempts", [])])
    render.line()
    view_entries("Entries", receipt.get("entries", []))


def view_proof(proof: Mapping[str, Any]) -> None:
    """Each check with its verdict, then every finding."""
    checks = proof["checks"]
    render.table("Checks", ["", "id", "what is checked"], [[mark(one), one["id"], one["title"]] for one in checks])
    for one in checks:
        for finding in one.get("findings", []):
            render.line(f"{one['id']}: {finding['detail']}")
    verdict = "the ledger is whole" if proof["ok"] else "the ledger has findings"
    counted = ", ".join(f"{proof[name]} {name}" for name in ("events", "postings", "orders") if name in proof)
    head = proof.get("head")
    sealed = f"; head block {head['block']}, {head['hash']}" if head else ""
    render.line(f"{verdict}: {counted}{sealed}")


def view_builders(answer: Mapping[str, Any]) -> None:
    """A row a builder, and how to pay one."""
    columns = ["builder", "account", "credited>", "debited>", "owed>"]
    names = [column.rstrip(">") for column in columns]
    render.table("Builders", columns, [[one[name] for name in names] for one in answer["builders"]])
    if answer["builders"]:
        render.remark("to note a payment: gotoai ledger adjust ACCOUNT bank:main AMOUNT --reference ... --reason ...")


def view_anchor(anchor: Mapping[str, Any]) -> None:
    """The last anchor, new or not."""
    if "n" not in anchor:
        render.line("the ledger is empty: there is nothing to anchor")
        return
    names = ("ts", "block", "last_seq", "head", "key_id", "file")
    title = f"Anchor {anchor['n']}" + ("" if anchor["made"] else ", the last: nothing was booked since")
    render.facts(title, [(name, anchor[name]) for name in names])


def mark(check: Mapping[str, Any]) -> str:
    """A check's verdict in one word."""
    return "ok" if check["ok"] else "FOUND"
