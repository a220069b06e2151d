"""``gotoai models`` and ``gotoai prices``: what can be called, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gotoai.cli import options, render, session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PRICE_COLUMNS = ("input_per_mtok", "cached_input_per_mtok", "cache_write_per_mtok", "output_per_mtok")


@click.command(
    short_help="List models and providers.",
    epilog=options.examples("gotoai models", "gotoai models --json | jq -r '.models[].id'"),
)
@options.store
def models(data_dir: str | None, config: str | None, as_json: bool) -> None:
    """Lists the models that can be called, where, and the providers found in the environment and the settings."""
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("models.list"), as_json, view_models)


@click.group(
    short_help="Show or refresh the price book.",
    invoke_without_command=True,
    epilog=options.examples(
        "gotoai prices --search gpt-4o",
        "gotoai prices --provider openai --json",
        "gotoai prices refresh --path book.json",
    ),
)
@click.option("--provider", help="Only this provider's models.")
@click.option("--search", metavar="TEXT", help="Only models whose name contains this.")
@options.store
@click.pass_context
def prices(
    context: click.Context,
    provider: str | None,
    search: str | None,
    data_dir: str | None,
    config: str | None,
    as_json: bool,
) -> None:
    """The price book: what a million tokens cost, since when, and from which day the figures are."""
    if context.invoked_subcommand is not None:
        return
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("prices.list", provider=provider, search=search), as_json, view_prices)


@prices.command(epilog=options.examples("gotoai prices refresh --path book.json"))
@click.option("--path", metavar="FILE", help="The newer book. Without: reads again the one in force.")
@options.store
def refresh(path: str | None, data_dir: str | None, config: str | None, as_json: bool) -> None:
    """Replaces the price book by a newer one, which `python -m gotoai.price_book --out FILE` makes.

    A running gateway takes it at once. Orders keep the prices they were made with.
    """
    with session.connect(data_dir, config, as_json) as gateway:
        render.show(gateway.ask("prices.refresh", path=path), as_json, view_refreshed)


def view_models(answer: Mapping[str, Any]) -> None:
    """Models with their endpoints, then the providers."""
    rows = [
        [
            model["id"],
            [endpoint["provider"] for endpoint in model.get("endpoints", [])],
            model.get("context_window"),
            price(model, "input_per_mtok"),
            price(model, "output_per_mtok"),
        ]
        for model in answer["models"]
    ]
    none = "none; set a provider key such as OPENAI_API_KEY, or try `gotoai serve --twin`"
    render.table("Models", ["model", "providers", "window>", "in/Mtok>", "out/Mtok>"], rows, empty=none)
    render.line()
    columns = ["name", "family", "status"]
    render.table("Providers", columns, [[one.get(name) for name in columns] for one in answer.get("providers", [])])


def price(model: Mapping[str, Any], name: str) -> object:
    """A model's price, or that of its first endpoint; unknown is said, never shown as nothing."""
    places = [model, *model.get("endpoints", [])]
    found = (place.get("price") or place for place in places)
    return next((sheet[name] for sheet in found if sheet.get(name) is not None), "unknown")


def further(model: Mapping[str, Any]) -> Iterator[str]:
    """What else a call may cost, in short: units beside tokens, shares of tiers, and when another price holds."""
    for name, amount in model.items():
        if name.startswith("per_"):
            yield f"{name.removeprefix('per_')} {amount}"
    for tier, percent in model.get("tier_percent", {}).items():
        yield f"{tier} {percent}%"
    for tier in model.get("tiers", ()):
        words = [tier.get("service_tier"), f"{tier['from']}-{tier['to']}" if "from" in tier else None]
        words.append(f">{tier['above_input_tokens']}" if "above_input_tokens" in tier else None)
        own = tier.get("input_per_mtok") or tier.get("output_per_mtok")
        yield " ".join(word for word in [*words, f"({own})" if own else None] if word)


def view_prices(book: Mapping[str, Any]) -> None:
    """The book, a row a model."""
    title = f"Prices of {book.get('dated')}, USD per million tokens"
    tokens = (name.removesuffix("_per_mtok") + ">" for name in PRICE_COLUMNS)
    columns = ["provider", "model", *tokens, "since", "further"]
    rows = [
        [
            one["provider"],
            one["id"],
            *(one.get(name) for name in PRICE_COLUMNS),
            one.get("effective_at", "")[:10],
            ", ".join(further(one)),
        ]
        for one in book["models"]
    ]
    render.table(title, columns, rows)


def view_refreshed(answer: Mapping[str, Any]) -> None:
    """What is in force now."""
    known = answer["models"]
    count = len(known) if isinstance(known, list) else known
    render.line(
        f"prices of {answer['dated']}: {count} models, {len(answer.get('changed', []))} with other prices than before"
    )
