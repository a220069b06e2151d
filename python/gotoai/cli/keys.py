"""``gotoai keys``: virtual keys. A secret is shown when it is made, and never again."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from gotoai.cli import options, render, session

if TYPE_CHECKING:
    from collections.abc import Mapping

SPAN_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@click.group(
    "keys",
    epilog=options.examples("gotoai keys create --name checkout --wallet team-a --expires-in 30d", "gotoai keys list"),
)
def group() -> None:
    """Virtual keys: what applications authenticate with."""


@group.command(
    epilog=options.examples(
        "gotoai keys create --name checkout",
        "gotoai keys create --name ci --model 'openai/gpt-4o*' --expires-in 30d",
        "gotoai keys create --name ops --scope chat --scope org_admin --json",
        "gotoai keys create --name shop --builder acme --builder-percent 10",
    )
)
@click.option("--name", required=True, help="Who or what will use it; shown in lists and receipts.")
@click.option("--scope", multiple=True, default=["chat"], help="chat (default), org_admin or platform; repeatable.")
@click.option("--model", multiple=True, help="A model it may use, globs allowed; repeatable. Without: all.")
@click.option("--user-path", metavar="PATH", help="Its place in the tenant tree, such as /team/app.")
@click.option("--expires-in", metavar="SPAN", help="A span such as 45m, 12h, 30d, 8w.")
@click.option("--expires-at", metavar="TIME", help="An ISO 8601 time; UTC if it does not say.")
@click.option("--wallet", help="The wallet that pays for its calls.")
@click.option("--mode", help="Routing by default: cheap, quality, latency, privacy or code.")
@click.option("--builder", metavar="NAME", help="Who made the application, and earns a share on its calls.")
@click.option("--builder-percent", metavar="PERCENT", help="That share: of the provider's cost, on top of it.")
@options.store
def create(
    name: str,
    scope: tuple[str, ...],
    model: tuple[str, ...],
    user_path: str | None,
    expires_in: str | None,
    expires_at: str | None,
    wallet: str | None,
    mode: str | None,
    builder: str | None,
    builder_percent: str | None,
    data_dir: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """Makes a key and prints its secret, once."""
    expires_at_ms = expiry_ms(expires_in, expires_at)
    with session.connect(data_dir, config, as_json) as gateway:
        key = gateway.ask(
            "keys.create",
            name=name,
            scopes=scope,
            models=model,
            user_path=user_path,
            expires_at_ms=expires_at_ms,
            wallet=wallet,
            mode=mode,
            builder=builder,
            builder_percent=builder_percent,
        )
    render.show(key, as_json, view_new)


@group.command("list", epilog=options.examples("gotoai keys list", "gotoai keys list --json | jq '.keys[].id'"))
@options.store
def list_keys(data_dir: str | None, config: str | None, as_json: bool) -> None:
    """Lists the keys, without their secrets."""
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("keys.list"), as_json, view_list)


@group.command(epilog=options.examples("gotoai keys revoke key_0190d3c1"))
@click.argument("key_id", metavar="ID")
@options.store
def revoke(key_id: str, data_dir: str | None, config: str | None, as_json: bool) -> None:
    """Ends the key ID (from `gotoai keys list`) at once. It cannot be undone."""
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("keys.revoke", id=key_id), as_json, view_revoked)


def expiry_ms(expires_in: str | None, expires_at: str | None) -> int | None:
    """Milliseconds since the epoch, from a span or a time. Raises ``BadParameter`` when neither can be read."""
    if expires_in and expires_at:
        raise click.BadParameter("take --expires-in or --expires-at, not both")
    if expires_in:
        span = re.fullmatch(r"(\d{1,5})([mhdw])", expires_in)
        if span is None:
            raise click.BadParameter(f"'{expires_in}' is no span: write 45m, 12h, 30d or 8w", param_hint="--expires-in")
        moment = datetime.now(UTC) + timedelta(**{SPAN_UNITS[span[2]]: int(span[1])})
    elif expires_at:
        try:
            moment = datetime.fromisoformat(expires_at)
        except ValueError:
            message = f"'{expires_at}' is no time: write 2027-01-31 or 2027-01-31T18:00+01:00"
            raise click.BadParameter(message, param_hint="--expires-at") from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    else:
        return None
    return round(moment.timestamp() * 1000)


def view_new(key: Mapping[str, Any]) -> None:
    """The new key, its secret on a line of its own for copying."""
    said = {**key, "models": key.get("models") or "all", "expires_at": key.get("expires_at") or "never"}
    names = ("id", "name", "scopes", "models", "user_path", "wallet", "mode", "builder", "expires_at")
    render.facts("New key", [(name, said.get(name)) for name in names])
    render.line(f"\n{key['secret']}\n")
    render.remark("This is the only time the secret is shown: store it now.")


def view_list(answer: Mapping[str, Any]) -> None:
    """All keys, a row each."""
    limits = ["scopes", "models", "user_path", "wallet", "mode", "builder", "expires_at"]
    columns = ["id", "name", "hint", *limits, "status"]
    render.table("Keys", columns, [[key.get(name) for name in columns] for key in answer["keys"]])


def view_revoked(key: Mapping[str, Any]) -> None:
    """What was ended."""
    render.line(f"{key['id']} ({key.get('name', '')}) is revoked")
