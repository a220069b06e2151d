"""Owns: models and prices of ``genai-prices``: names, prices in force on a day, tiers, times of day, announced changes.

Refuses to know: the other data set, and how prices become lines.
"""

from __future__ import annotations

import datetime as dt
import importlib
import importlib.metadata
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gotoai.price_book.entries import Entry, Family, Index, Report, mode_by_name
from gotoai.price_book.rates import InexpressibleError, decimal_of
from gotoai.price_book.sheets import Plain, Sheet, Window, free_lines, sheet_of

if TYPE_CHECKING:
    from decimal import Decimal

FREE_BY_DECLARATION = frozenset({("openai", "moderation")})
"""Models with an empty price that their vendor documents as free of charge."""
TIERS = {
    ("service_tier", "flex"): "flex", ("service_tier", "priority"): "priority", ("service_tier", "fast"): "priority",
    ("service_tier", "ultrafast"): "ultrafast", ("processing", "batch"): "batch",
}  # fmt: skip
"""What a variant depends on, to the tier. OpenAI renamed priority processing to fast mode and takes both names."""
MOVING = "~"
"""Begins OpenRouter's names of the newest model of a line: whose price they have changes without a word."""
ORDINARY = frozenset({("service_tier", "default"), ("service_tier", "standard")})


@dataclass
class InForce:
    """The prices of a day: the ordinary ones, others for parts of the day, since when, and when they change next."""

    prices: Plain
    timed: list[tuple[Window | None, Plain]] = field(default_factory=list)
    since: str | None = None
    next_change: str | None = None


def window_of(constraint: Plain) -> Window | None:
    """The minutes of the day (UTC) of a constraint on the time; ``None`` where minutes cannot say it."""
    minutes: list[int] = []
    for key in ("start_time", "end_time"):
        time = dt.time.fromisoformat(constraint[key]) if key in constraint else None
        offset = time.utcoffset() if time else None
        if time is None or offset is None or time.second or time.microsecond:
            return None
        minutes.append((time.hour * 60 + time.minute - int(offset.total_seconds()) // 60) % 1440)
    return (minutes[0], minutes[1]) if minutes[0] != minutes[1] else None


def start_of(choice: Plain) -> str:
    """The day (ISO date) from which a choice of prices holds; empty: always."""
    start: str = (choice.get("constraint") or {}).get("start_date", "")
    return start


def prices_in_force(model: Plain, dated: str) -> InForce:
    """The prices of the day ``dated`` (ISO date), as ``genai-prices`` chooses them: the last that is active."""
    prices, variants = model["prices"], model.get("price_variants") or ()
    choices: Sequence[Plain] = [{"prices": prices}] if isinstance(prices, Mapping) else prices
    starts = {start_of(choice) for choice in [*choices, *variants]} - {""}
    later = min((start for start in starts if start > dated), default=None)
    timed: list[tuple[Window | None, Plain]] = []
    for choice in reversed(choices):
        constraint = choice.get("constraint") or {}
        if "start_time" in constraint:
            timed.insert(0, (window_of(constraint), choice["prices"]))
        elif start_of(choice) <= dated:
            return InForce(choice["prices"], timed, start_of(choice) or None, later)
    return InForce(choices[0]["prices"], timed, None, later)


def with_input(prices: Plain) -> dict[str, Any]:
    """OpenRouter's prices of Gemini models, whose cache write is listed as the storage for five minutes alone.

    The input itself is billed beside it (openrouter.ai/docs/features/prompt-caching, "Google Gemini"). A write that
    costs less than the input can be nothing else.
    """
    write, read = prices.get("cache_write_mtok"), prices.get("input_mtok")
    if write is None or read is None:
        return dict(prices)
    writes, inputs = stepped(write), stepped(read)
    if writes[0] >= inputs[0]:
        return dict(prices)
    sums = {start: price_at(writes, start) + price_at(inputs, start) for start in sorted({*writes, *inputs})}
    tiers = [{"start": start, "price": price} for start, price in sums.items() if start]
    return {**prices, "cache_write_mtok": {"base": sums[0], "tiers": tiers}}


def stepped(value: object) -> dict[int, Decimal]:
    """A price by the input tokens that a call must exceed, the base at 0."""
    if not isinstance(value, Mapping):
        return {0: decimal_of(value)}
    steps = {int(tier["start"]): decimal_of(tier["price"]) for tier in value["tiers"]}
    return {0: decimal_of(value["base"]), **steps}


def price_at(steps: Mapping[int, Decimal], start: int) -> Decimal:
    """The price of a call that exceeds ``start`` and no higher threshold."""
    return steps[max(step for step in steps if step <= start)]


def matches(clause: Plain, name: str) -> bool:
    """Whether a match clause of ``genai-prices`` holds for ``name`` (lower case)."""
    kind, value = next(iter(clause.items()))
    if kind == "or":
        return any(matches(part, name) for part in value)
    if kind == "and":
        return all(matches(part, name) for part in value)
    if kind == "regex":
        return re.search(value, name) is not None
    text = value.lower()
    holds: dict[str, bool] = {
        "equals": name == text,
        "starts_with": name.startswith(text),
        "ends_with": name.endswith(text),
        "contains": text in name,
    }
    return holds[kind]


def alternatives(clause: Plain) -> Iterator[tuple[str, str]]:
    """The simple clauses of which one suffices, as (kind, text in lower case)."""
    kind, value = next(iter(clause.items()))
    if kind == "or":
        for part in value:
            yield from alternatives(part)
    elif kind not in {"and", "regex"}:
        yield kind, value.lower()


def own_models(family: Family, provider: Plain) -> list[Plain]:
    """The provider's models that the family's API serves, in the data set's order."""
    models = (model for model in provider["models"] if not model["id"].lower().startswith(family.foreign))
    return [model for model in models if model["id"] not in family.outdated]


def owner_of(models: Iterable[Plain], name: str) -> Plain | None:
    """The model to which the data set gives ``name`` (lower case): the first whose clause holds."""
    return next((model for model in models if matches(model["match"], name)), None)


def genai_entries(family: Family, provider: Plain, modes: Mapping[str, str], dated: str, report: Report) -> list[Entry]:
    """Entries of one ``genai-prices`` provider (in its plain JSON form).

    ``modes`` maps lower-case names to modes where known. A name or prefix is kept only if the data set, which takes the
    first match in its own order, gives it to the same model.
    """
    models = own_models(family, provider)

    def first_match(name: str) -> Plain | None:
        return owner_of(models, name)

    entries: list[Entry] = []
    for model in models:
        owner = first_match(model["id"].lower())
        if owner is not None and owner is not model:
            report.add(f"hidden behind {owner['id']}", family.name, model["id"])
            continue
        found = list(alternatives(model["match"]))
        entry = Entry(family.name, model["id"], source="genai-prices", context_window=model.get("context_window"))
        entry.names = {text for kind, text in found if kind in {"equals", "ends_with"} and first_match(text) is model}
        starts = {text for kind, text in found if kind in {"starts_with", "contains"}}
        entry.prefixes = {text for text in starts if first_match(text) is model}
        known = [modes[name] for name in [model["id"].lower(), *sorted(entry.names)] if name in modes]
        entry.mode = known[0] if known else mode_by_name(model["id"])
        price_genai(entry, model, dated, report)
        entries.append(entry)
    ids = {entry.id: entry for entry in entries}
    index = Index(entries)
    for name in modes:  # names known to the other data set that only a clause without a counterpart here would match
        owner = first_match(name)
        if owner is not None and owner["id"] in ids and index.resolve(name) is not ids[owner["id"]]:
            ids[owner["id"]].names.add(name)
    return entries


def price_genai(entry: Entry, model: Plain, dated: str, report: Report) -> None:
    """Prices ``entry`` from its ``genai-prices`` model, or leaves it without a price and says why."""
    now = prices_in_force(model, dated)
    entry.effective_at = now.since
    declared = entry.id.endswith(":free") or (entry.provider, entry.id) in FREE_BY_DECLARATION
    if declared and not now.prices and not any(prices for _, prices in now.timed):
        entry.lines = free_lines()
        if entry.id.endswith(":free"):
            entry.names = {name for name in entry.names if name.endswith(":free")}
        return
    try:
        sheet = sheet_with_variants(entry, model, dated, report)
    except InexpressibleError as reason:
        report.add(f"no price ({reason})", entry.provider, entry.id)
        return
    entry.lines, entry.factors = sheet.lines, sheet.factors
    for left_out in sheet.left_out:
        report.add(left_out, entry.provider, entry.id)
    while now.next_change is not None:
        date = now.next_change
        now = prices_in_force(model, date)
        try:
            later = sheet_with_variants(entry, model, date, Report())
        except InexpressibleError as reason:
            report.add(f"another price from {date} left out ({reason})", entry.provider, entry.id)
            continue
        if (later.lines, later.factors) == (sheet.lines, sheet.factors):
            continue
        sheet = later
        change: dict[str, Any] = {"effective_at": date, "lines": [list(line) for line in sheet.lines]}
        entry.later.append(change | ({"factors": sheet.factors} if sheet.factors else {}))


def sheet_with_variants(entry: Entry, model: Plain, dated: str, report: Report) -> Sheet:
    """The sheet of a day with the variants for service tiers. Of variants that price the same the first wins."""
    if entry.id.startswith(MOVING):
        raise InexpressibleError("an alias of whatever model is the newest")
    now = prices_in_force(model, dated)
    adapt = with_input if entry.provider == "openrouter" else dict
    ordinary: dict[str, Any] = {}
    tiers: dict[str, dict[str, Any]] = {}
    for variant in model.get("price_variants") or ():
        when = next(iter(variant["when"].items())) if len(variant["when"]) == 1 else None
        tier = TIERS.get(when) if when else None
        if (tier is None and when not in ORDINARY) or "start_time" in (variant.get("constraint") or {}):
            report.add(f"variant {variant['when']} left out", entry.provider, entry.id)
        elif start_of(variant) <= dated:
            prices = tiers.setdefault(tier, {}) if tier else ordinary
            prices.update({key: price for key, price in variant["prices"].items() if key not in prices})
    timed = [(window, adapt({**now.prices, **prices})) for window, prices in now.timed]
    return sheet_of(adapt({**now.prices, **ordinary}), entry.mode, tiers, timed)


def plain_clause(clause: Any) -> dict[str, Any]:
    """A match clause object of ``genai-prices`` as in its JSON form."""
    key, value = next(iter(vars(clause).items()))
    return {key.rstrip("_"): value if isinstance(value, str) else [plain_clause(part) for part in value]}


def plain_prices(prices: Any) -> dict[str, Any]:
    """A ``ModelPrice`` object as price key to decimal or tiers."""

    def plain(value: Any) -> Any:
        if hasattr(value, "tiers"):
            return {"base": value.base, "tiers": [{"start": tier.start, "price": tier.price} for tier in value.tiers]}
        return value

    return {key: plain(value) for key, value in vars(prices).items() if value is not None and not key.startswith("_")}


def plain_constraint(constraint: Any) -> dict[str, str]:
    """A constraint object with its dates and times as ISO text; empty without a constraint."""
    return {} if constraint is None else {key: value.isoformat() for key, value in vars(constraint).items()}


def plain_model(model: Any) -> dict[str, Any]:
    """A ``ModelInfo`` object in the form that ``genai_entries`` takes."""
    choices = model.prices
    return {
        "id": model.id,
        "match": plain_clause(model.match),
        "context_window": model.context_window,
        "prices": (
            [{"constraint": plain_constraint(c.constraint), "prices": plain_prices(c.prices)} for c in choices]
            if isinstance(choices, list)
            else plain_prices(choices)
        ),
        "price_variants": [
            {"when": v.when, "constraint": plain_constraint(v.constraint), "prices": plain_prices(v.prices)}
            for v in getattr(model, "price_variants", None) or ()
        ],
    }


def load_genai() -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Providers of the installed ``genai-prices`` in plain form, and the data set's credit. Raises ``ImportError``."""
    data = importlib.import_module("genai_prices.data")
    providers = [{"id": p.id, "models": [plain_model(m) for m in p.models]} for p in data.providers]
    version = importlib.metadata.version("genai-prices")
    holder = "Pydantic Services Inc. 2025 to present"
    return providers, {"name": "genai-prices", "version": version, "licence": "MIT", "copyright": holder}
