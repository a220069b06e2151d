"""``gotoai keys``: virtual keys. A secret is shown when it is made, and never again."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gotoai.cli import options, render, session

if TYPE_CHECKING:
    from collections.abc import Mapping

app = options.group("Virtual keys: what applications authenticate with.")

SPAN_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@app.command(
    epilog=options.examples(
        "gotoai keys create --name checkout",
        "gotoai keys create --name ci --model 'openai/gpt-4o*' --expires-in 30d",
        "gotoai keys create --name ops --scope chat --scope org_admin --json",
    )
)
def create(
    name: Annotated[str, typer.Option(help="Who or what will use it; shown in lists and receipts.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="chat, org_admin or platform; may be repeated.", show_default="chat")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="A model it may use, globs allowed; may be repeated. Without: all.")
    ] = None,
    user_path: Annotated[str | None, typer.Option(help="Its place in the tenant tree, such as /team/app.")] = None,
    expires_in: Annotated[str | None, typer.Option(metavar="SPAN", help="A span such as 12h, 30d, 8w.")] = None,
    expires_at: Annotated[str | None, typer.Option(metavar="TIME", help="An ISO 8601 time; UTC if not said.")] = None,
    wallet: Annotated[str | None, typer.Option(help="The wallet that pays for its calls.")] = None,
    mode: Annotated[
        str | None, typer.Option(help="Routing by default: cheap, quality, latency, privacy, code.")
    ] = None,
    data_dir: options.DataDir = None,
    config: options.Config = None,
    as_json: options.AsJson = False,
) -> None:
    """Makes a key and prints its secret, once."""
    expires_at_ms = expiry_ms(expires_in, expires_at)
    with session.connect(data_dir, config, as_json) as gateway:
        key = gateway.ask(
            "keys.create",
            name=name,
            scopes=scope or ["chat"],
            models=model or [],
            user_path=user_path,
            expires_at_ms=expires_at_ms,
            wallet=wallet,
            mode=mode,
        )
    render.show(key, as_json, view_new)


@app.command("list", epilog=options.examples("gotoai keys list", "gotoai keys list --json | jq '.keys[].id'"))
def list_keys(data_dir: options.DataDir = None, config: options.Config = None, as_json: options.AsJson = False) -> None:
    """Lists the keys, without their secrets."""
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("keys.list"), as_json, view_list)


@app.command(epilog=options.examples("gotoai keys revoke key_0190d3c1"))
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, from `gotoai keys list`.")],
    data_dir: options.DataDir = None,
    config: options.Config = None,
    as_json: options.AsJson = False,
) -> None:
    """Ends a key at once. It cannot be undone."""
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("keys.revoke", id=key_id), as_json, view_revoked)


def expiry_ms(expires_in: str | None, expires_at: str | None) -> int | None:
    """Milliseconds since the epoch, from a span or a time. Raises ``BadParameter`` when neither can be read."""
    if expires_in and expires_at:
        raise typer.BadParameter("take --expires-in or --expires-at, not both")
    if expires_in:
        span = re.fullmatch(r"(\d{1,5})([mhdw])", expires_in)
        if span is None:
            raise typer.BadParameter(f"'{expires_in}' is no span: write 45m, 12h, 30d or 8w", param_hint="--expires-in")
        moment = datetime.now(UTC) + timedelta(**{SPAN_UNITS[span[2]]: int(span[1])})
    elif expires_at:
        try:
            moment = datetime.fromisoformat(expires_at)
        except ValueError:
            message = f"'{expires_at}' is no time: write 2027-01-31 or 2027-01-31T18:00+01:00"
            raise typer.BadParameter(message, param_hint="--expires-at") from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    else:
        return None
    return round(moment.timestamp() * 1000)


def view_new(key: Mapping[str, Any]) -> None:
    """The new key, its secret on a line of its own for copying."""
    render.facts("New key", [(name, key.get(name)) for name in ("id", "name", "scopes", "user_path", "wallet")])
    render.facts("", [("models", key.get("models") or "all"), ("expires_at", key.get("expires_at") or "never")])
    render.line(f"\n{key['secret']}\n")
    render.remark("This is the only time the secret is shown: store it now.")


def view_list(answer: Mapping[str, Any]) -> None:
    """All keys, a row each."""
    columns = ["id", "name", "hint", "scopes", "models", "user_path", "wallet", "mode", "expires_at", "status"]
    render.table("Keys", columns, [[key.get(name) for name in columns] for key in answer["keys"]])


def view_revoked(key: Mapping[str, Any]) -> None:
    """What was ended."""
    render.line(f"{key['id']} ({key.get('name', '')}) is revoked")
