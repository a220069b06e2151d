"""Generates the price and capability book (``src/domain/catalog/prices.json``) from two public data sets.

To refresh the committed book::

    pip install -U genai-prices litellm
    python -m gotoai.price_book --out src/domain/catalog/prices.json

``litellm`` is optional and never imported: only its model map is read, so ``--litellm PATH`` may name a copy of
``model_prices_and_context_window_backup.json`` instead. ``--check`` rebuilds with the date written in the file and
reports what differs without writing.

What comes from where: ``genai-prices`` gives prices, names and context windows; the litellm map gives output limits,
modes, capabilities, and prices of the models that ``genai-prices`` lacks.

How figures are read:

* Prices are decimals and become exact rationals, ``num`` pico-units (10^-12 USD) per ``per`` units. A float is refused.
* The variant in force at the generation date and at the default service tier is taken. Where the price depends on the
  time of day, the dearest is taken, so that a call is never billed below its cost.
* Audio priced by time (transcription models only) becomes ``audio_in`` per 3600 units: one unit is one second.
* A model whose price cannot be expressed exactly is kept without a price, which the gateway refuses to sell unless the
  operator gives one. Zero is a price only where the data set declares it (``:free`` names, ``FREE_BY_DECLARATION``).
* Lines for which there is no meter of their own (cached audio, one-hour cache writes, web searches) are left out and
  listed in the summary on stderr.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

Plain = Mapping[str, Any]
Rate = tuple[int, int]
"""``num`` pico-units buy ``per`` units, in lowest terms."""
Tiers = dict[int | None, Rate]
"""Rate by the input tokens that a call must exceed; ``None`` is the base."""
Line = tuple[str, int, int] | tuple[str, int, int, int]

PICO = 10**12
NUM_MAX = 2**63 - 1
PER_MAX = 2**32 - 1


class InexpressibleError(ValueError):
    """The price cannot be written with the meters and rationals of a price sheet; the text says why."""


@dataclass(frozen=True)
class Family:
    """How gotoai's name of a provider maps to the data sets' names.

    ``namespaced`` families use model names with a slash; in the litellm map their rows always carry the provider's
    prefix, and rows without it are size classes, not models.
    """

    name: str
    genai: str
    litellm: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    namespaced: bool = False
    foreign: tuple[str, ...] = ()
    """Models of other vendors that the data set files under this provider although its API does not serve them."""


FAMILIES = (
    Family("anthropic", "anthropic", ("anthropic",), ("anthropic/",)),
    Family("deepseek", "deepseek", ("deepseek",), ("deepseek/",)),
    Family(
        "fireworks", "fireworks", ("fireworks_ai", "fireworks_ai-embedding-models"), ("fireworks_ai/",), namespaced=True
    ),
    Family("gemini", "google", ("gemini",), ("gemini/",), foreign=("claude",)),
    Family("groq", "groq", ("groq",), ("groq/",), namespaced=True),
    Family("mistral", "mistral", ("mistral",), ("mistral/",)),
    Family("openai", "openai", ("openai", "text-completion-openai"), ("openai/",)),
    Family("openrouter", "openrouter", ("openrouter",), ("openrouter/",), namespaced=True),
    Family("together", "together", ("together_ai",), ("together_ai/",), namespaced=True),
    Family("xai", "x-ai", ("xai",), ("xai/",)),
)

FREE_BY_DECLARATION = frozenset({("openai", "moderation")})
"""Models with an empty price that their vendor documents as free of charge."""

VENDORS = {
    "openai": "openai", "anthropic": "anthropic", "google": "gemini",
    "x-ai": "xai", "deepseek": "deepseek", "mistralai": "mistral",
}  # fmt: skip
"""First part of an OpenRouter name to the family whose capabilities it has."""

METERS = {
    "input_mtok": "input_uncached", "cache_read_mtok": "cache_read", "cache_write_mtok": "cache_write",
    "output_mtok": "output_text", "output_reasoning_mtok": "output_reasoning", "input_audio_mtok": "audio_in",
    "output_audio_mtok": "audio_out", "input_image_mtok": "image_in", "requests_kcount": "request",
}  # fmt: skip
BILLED_AS = {
    "cache_read": "input_uncached", "cache_write": "input_uncached", "audio_in": "input_uncached",
    "image_in": "input_uncached", "output_reasoning": "output_text", "audio_out": "output_text",
}  # fmt: skip
"""Mirrors ``Meter::billed_as``: a line equal to the one it falls back to is left out."""
METER_ORDER = (
    "input_uncached", "cache_read", "cache_write", "output_text", "output_reasoning", "audio_in", "audio_out",
    "image_in", "request",
)  # fmt: skip
HOURS = frozenset({"audio_hours", "input_audio_hours"})
COARSER = {
    "cache_write_5m_mtok": "cache_write", "cache_write_1h_mtok": "cache_write",
    "cache_audio_read_mtok": "cache_read", "cache_image_read_mtok": "cache_read",
    "cache_audio_write_mtok": "cache_write", "cache_image_write_mtok": "cache_write",
}  # fmt: skip
"""Price of a part of what a meter counts: counted at the meter's price, reported when that differs."""
UNSPLIT = {"input_video_mtok": "input_uncached", "output_image_mtok": "output_text", "output_video_mtok": "output_text"}
"""Modalities without a meter: exact only where they cost what the meter costs."""
SURCHARGES = frozenset(
    {"web_searches_kcount", "social_searches_kcount", "storage_searches_kcount", "code_executions_kcount"}
)
"""Calls of the provider's own tools: no part of token usage, so left out."""
UNITS_PER = {"requests_kcount": 1000, "audio_hours": 3600}

LITELLM_PRICES = {
    "input_cost_per_token": ("input_mtok", 10**6), "output_cost_per_token": ("output_mtok", 10**6),
    "cache_read_input_token_cost": ("cache_read_mtok", 10**6),
    "cache_creation_input_token_cost": ("cache_write_mtok", 10**6),
    "cache_creation_input_token_cost_above_1hr": ("cache_write_1h_mtok", 10**6),
    "cache_read_input_audio_token_cost": ("cache_audio_read_mtok", 10**6),
    "cache_read_input_image_token_cost": ("cache_image_read_mtok", 10**6),
    "cache_creation_input_audio_token_cost": ("cache_audio_write_mtok", 10**6),
    "output_cost_per_reasoning_token": ("output_reasoning_mtok", 10**6),
    "input_cost_per_audio_token": ("input_audio_mtok", 10**6),
    "output_cost_per_audio_token": ("output_audio_mtok", 10**6),
    "input_cost_per_image_token": ("input_image_mtok", 10**6),
    "output_cost_per_image_token": ("output_image_mtok", 10**6),
    "input_cost_per_video_token": ("input_video_mtok", 10**6),
    "output_cost_per_video_token": ("output_video_mtok", 10**6),
    "input_cost_per_request": ("requests_kcount", 1000), "input_cost_per_second": ("audio_hours", 3600),
}  # fmt: skip
LITELLM_TIER = re.compile(r"^(?P<key>.+)_above_(?P<thousands>\d+)k_tokens$")
LITELLM_OTHER_TIERS = re.compile(
    r"_(batches|flex|priority|balanced|ultrafast|decisions)$|_above_\d+hr|_cache_hit$"
    r"|^(search_context|google_maps_grounding|code_interpreter|file_search|computer_use|annotation)_"
)
"""Cost keys that say nothing about a plain call: other service tiers, tools of the provider, duplicates."""
LITELLM_CAPABILITIES = {
    "supports_function_calling": "tools", "supports_parallel_function_calling": "parallel_tools",
    "supports_vision": "vision", "supports_response_schema": "json_schema", "supports_reasoning": "reasoning",
    "supports_audio_input": "audio_in", "supports_audio_output": "audio_out", "supports_video_input": "video_in",
    "supports_pdf_input": "pdf", "supports_web_search": "web_search", "supports_prompt_caching": "prompt_cache",
}  # fmt: skip
LITELLM_MODES = {
    "chat": "chat", "completion": "completion", "responses": "responses", "embedding": "embedding",
    "image_generation": "image", "image_edit": "image", "audio_transcription": "transcription",
    "audio_speech": "speech", "realtime": "realtime", "moderation": "moderation", "rerank": "rerank",
    "video_generation": "video", "ocr": "ocr",
}  # fmt: skip
MODE_BY_NAME = (
    ("embedding", re.compile(r"embed")), ("rerank", re.compile(r"rerank")), ("moderation", re.compile(r"moderation")),
    ("realtime", re.compile(r"realtime|-live(-\d|$)|grok-voice")), ("transcription", re.compile(r"whisper|transcri")),
    ("speech", re.compile(r"(^|[-/])tts($|-)|orpheus")), ("ocr", re.compile(r"(^|[-/])ocr($|-)")),
    ("image", re.compile(r"gpt-image|-image-latest|dall-e")),
)  # fmt: skip
"""For models of which no data set gives the mode; the rest are chat models."""

MONTH, DAY = r"(?:0[1-9]|1[0-2])", r"[0-3]\d"
DATED = re.compile(rf"-(?:20\d\d-{MONTH}-{DAY}|20\d\d{MONTH}{DAY}|{MONTH}{DAY}|2\d{MONTH})$", re.ASCII)
"""Suffix of a dated snapshot: -2024-07-18, -20250805, -0125, -2407. The book's reader strips the same."""


@dataclass
class Report:
    """What the book leaves out or rounds up, by reason; each value is a list of ``family/model``."""

    notes: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, family: str, model: str) -> None:
        """Notes that ``reason`` holds for a model."""
        self.notes.setdefault(reason, []).append(f"{family}/{model}")

    def lines(self) -> Iterator[str]:
        """The summary: one line a reason, most frequent first."""
        for reason, models in sorted(self.notes.items(), key=lambda item: (-len(item[1]), item[0])):
            yield f"{len(models):5} {reason}: {', '.join(sorted(models))}"


@dataclass
class Entry:
    """One model of the book while it is being made."""

    provider: str
    id: str
    names: set[str] = field(default_factory=set)
    prefixes: set[str] = field(default_factory=set)
    context_window: int | None = None
    max_output: int | None = None
    capabilities: tuple[str, ...] | None = None
    """``None`` where no data set says; an empty tuple where one says that there are none."""
    mode: str = "chat"
    lines: list[Line] = field(default_factory=list)
    source: str = ""
    effective_at: str | None = None

    def row(self) -> dict[str, Any]:
        """The JSON object, without members that say nothing (no ``mode`` means chat)."""
        full: dict[str, Any] = {
            "provider": self.provider,
            "id": self.id,
            "names": sorted(self.names - {self.id.lower()}),
            "prefixes": sorted(self.prefixes),
            "context_window": self.context_window,
            "max_output": self.max_output,
            "mode": None if self.mode == "chat" else self.mode,
            "lines": [list(line) for line in self.lines],
            "source": self.source,
            "effective_at": self.effective_at if self.lines else None,
        }
        row = {key: value for key, value in full.items() if value or value == 0}
        if self.capabilities is not None:
            row["capabilities"] = list(self.capabilities)
        return row


# --- exact prices


def decimal_of(value: object) -> Decimal:
    """A finite decimal from a ``Decimal``, an integer or a decimal string. Raises ``TypeError`` for a float."""
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise TypeError(f"a price must be a decimal, not {type(value).__name__}")
    price = Decimal(value)
    if not price.is_finite() or price < 0:
        raise InexpressibleError(f"price {price}")
    return price


def fraction_of(price: Decimal) -> Fraction:
    """The exact value, except that a long decimal is read as the small fraction it prints: 0.0833333333333333 is 1/12.

    Such decimals are a data set's rendering of a division in binary floating point, hence the precision of 10^-14.
    """
    literal = Fraction(price)
    small = literal.limit_denominator(1000)
    printed = len(price.as_tuple().digits) > 12 and abs(small - literal) * 10**14 <= literal
    return small if printed else literal


def exact_rate(price: Decimal, units: int) -> Rate:
    """``price`` USD for ``units`` units as (``num``, ``per``) in lowest terms.

    Raises ``InexpressibleError`` when ``num`` exceeds 63 bits or ``per`` 32 bits.
    """
    rate = fraction_of(price) * PICO / units
    if rate.numerator > NUM_MAX or rate.denominator > PER_MAX:
        raise InexpressibleError(f"price {price} per {units} is no rational of the sheet's size")
    return rate.numerator, rate.denominator


def tiers_of(value: object, units: int) -> Tiers:
    """Rates of one price: a decimal, or ``{"base": decimal, "tiers": [{"start": tokens, "price": decimal}]}``."""
    if not isinstance(value, Mapping):
        return {None: exact_rate(decimal_of(value), units)}
    tiers: Tiers = {None: exact_rate(decimal_of(value["base"]), units)}
    for tier in value["tiers"]:
        tiers[int(tier["start"])] = exact_rate(decimal_of(tier["price"]), units)
    return tiers


def complete(meters: Iterable[str], mode: str) -> bool:
    """Whether a sheet with these meters prices both sides of a call of this mode."""
    have = set(meters)
    if mode in {"embedding", "moderation", "rerank"}:
        return bool(have & {"input_uncached", "request"})
    if mode == "transcription":
        return bool(have & {"audio_in", "input_uncached"})
    return "input_uncached" in have and bool(have & {"output_text", "audio_out"})


def sheet_lines(prices: Plain, mode: str) -> tuple[list[Line], list[str]]:
    """Lines of a price sheet from prices keyed as ``genai-prices`` keys them, and what was left out, as reasons.

    Raises ``InexpressibleError`` when the model's price would be wrong without what cannot be expressed.
    """
    meters: dict[str, Tiers] = {}
    left_out: list[str] = []
    hours = [prices[key] for key in sorted(HOURS) if key in prices]
    if hours:
        if mode != "transcription" or len(set(hours)) > 1 or "input_audio_mtok" in prices:
            raise InexpressibleError("audio priced by the hour")
        meters["audio_in"] = tiers_of(hours[0], UNITS_PER["audio_hours"])
    for key, value in prices.items():
        if key in METERS:
            meters[METERS[key]] = tiers_of(value, UNITS_PER.get(key, 10**6))
    for key, value in prices.items():
        if key in COARSER or key in UNSPLIT:
            meter = COARSER.get(key) or UNSPLIT[key]
            if tiers_of(value, 10**6) == (meters.get(meter) or meters.get(BILLED_AS.get(meter, ""))):
                continue
            if key in UNSPLIT:
                raise InexpressibleError(f"{key} has no meter")
            left_out.append(f"{key} counted as {meter}")
        elif key in SURCHARGES:
            left_out.append(f"{key} not metered")
        elif key not in METERS and key not in HOURS:
            raise InexpressibleError(f"{key} has no meter")
    if not complete(meters, mode):
        raise InexpressibleError(f"incomplete for mode {mode}: {', '.join(sorted(meters)) or 'nothing priced'}")
    redundant = {meter for meter, tiers in meters.items() if tiers == meters.get(BILLED_AS.get(meter, ""))}
    lines: list[Line] = []
    for meter in METER_ORDER:
        for above, (num, per) in sorted(meters.get(meter, {}).items(), key=lambda item: item[0] or -1):
            if meter not in redundant:
                lines.append((meter, num, per) if above is None else (meter, num, per, above))
    return lines, left_out


def free_lines() -> list[Line]:
    """The lines of a model that costs nothing by declaration."""
    return [("input_uncached", 0, 1), ("output_text", 0, 1)]


def prices_in_force(prices: object, dated: str) -> tuple[list[Plain], str | None, str | None]:
    """The prices that hold on the day ``dated`` (ISO date), as ``genai-prices`` chooses them: the last that is active.

    Returns every price of that day (more than one where the time of day decides), the date since which the choice
    holds if one is given, and the date of the next change if one is announced.
    """
    if isinstance(prices, Mapping):
        return [prices], None, None
    assert isinstance(prices, Sequence)
    timed: list[Plain] = []
    for choice in reversed(prices):
        constraint = choice.get("constraint") or {}
        if "start_time" in constraint:
            timed.append(choice["prices"])
        elif constraint.get("start_date", "") <= dated:
            starts = (c.get("constraint", {}).get("start_date", "") for c in prices if c.get("constraint"))
            later = min((start for start in starts if start > dated), default=None)
            return [choice["prices"], *timed], constraint.get("start_date"), later
    return [prices[0]["prices"], *timed], None, None


def dearest(sheets: Sequence[list[Line]]) -> list[Line]:
    """The sheet that is at least as dear as the others on every line. Raises when none is."""

    def rates(lines: list[Line]) -> dict[tuple[str, int | None], Fraction]:
        return {(line[0], line[3] if len(line) == 4 else None): Fraction(line[1], line[2]) for line in lines}

    for lines in sheets:
        mine = rates(lines)
        others = [rates(other) for other in sheets]
        if all(other.keys() == mine.keys() and all(other[key] <= mine[key] for key in mine) for other in others):
            return lines
    raise InexpressibleError("the price depends on the time of day and none is the dearest")


# --- names


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


class Index:
    """Finds the entry of a name in one family exactly as the gateway does: name, dated snapshot, longest prefix."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        """An index of ``entries``; see ``add``."""
        self.exact: dict[str, Entry] = {}
        self.prefixes: dict[str, Entry] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Makes an entry's id, names and prefixes known. The first to claim a name keeps it."""
        for name in [entry.id.lower(), *sorted(entry.names)]:
            self.exact.setdefault(name, entry)
        for prefix in sorted(entry.prefixes):
            self.prefixes.setdefault(prefix, entry)

    def resolve(self, name: str) -> Entry | None:
        """The entry of ``name`` (any case), or ``None``."""
        name = name.lower()
        found = self.exact.get(name) or self.exact.get(DATED.sub("", name))
        if found is not None:
            return found
        fitting = [prefix for prefix in self.prefixes if name.startswith(prefix)]
        return self.prefixes[max(fitting, key=len)] if fitting else None


def mode_by_name(name: str) -> str:
    """The mode that a model's name tells."""
    return next((mode for mode, pattern in MODE_BY_NAME if pattern.search(name.lower())), "chat")


# --- genai-prices


def own_models(family: Family, provider: Plain) -> list[Plain]:
    """The provider's models that the family's API serves, in the data set's order."""
    return [model for model in provider["models"] if not model["id"].lower().startswith(family.foreign)]


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
    choices, entry.effective_at, later = prices_in_force(model["prices"], dated)
    for variant in model.get("price_variants") or ():
        if variant["when"] == {"service_tier": "default"} and not variant.get("constraint"):
            choices = [{**choice, **variant["prices"]} for choice in choices]
    try:
        if not any(choices) and (entry.id.endswith(":free") or (entry.provider, entry.id) in FREE_BY_DECLARATION):
            entry.lines = free_lines()
            if entry.id.endswith(":free"):
                entry.names = {name for name in entry.names if name.endswith(":free")}
            return
        sheets = [sheet_lines(choice, entry.mode) for choice in choices]
        entry.lines = dearest([lines for lines, _ in sheets])
    except InexpressibleError as reason:
        report.add(f"no price ({reason})", entry.provider, entry.id)
        return
    if any(lines != entry.lines for lines, _ in sheets):
        report.add("dearest time of day taken", entry.provider, entry.id)
    if later is not None:
        report.add(f"another price from {later}", entry.provider, entry.id)
    for left_out in sheets[0][1]:
        report.add(left_out, entry.provider, entry.id)


# --- litellm's model map


def litellm_rows(family: Family, model_map: Plain) -> dict[str, Plain]:
    """The family's rows of the map by lower-case model name. A row under the provider's prefix wins over a bare one."""
    rows: dict[str, Plain] = {}
    for key in sorted(model_map):
        row = model_map[key]
        if row.get("litellm_provider") not in family.litellm:
            continue
        prefix = next((prefix for prefix in family.prefixes if key.startswith(prefix)), "")
        name = key.removeprefix(prefix)
        if (family.namespaced and not prefix) or ("/" in name and not family.namespaced):
            continue
        if prefix or name.lower() not in rows:
            rows[name.lower()] = {**row, "name": name}
    return rows


def litellm_prices(row: Plain) -> dict[str, Any]:
    """A row's prices with the keys, units and tiers of ``genai-prices``; a key without a counterpart keeps its name."""
    base: dict[str, Decimal] = {}
    tiers: dict[str, list[dict[str, Any]]] = {}
    for key, value in row.items():
        if key in {"tiered_pricing", "off_peak_pricing"}:
            raise InexpressibleError(key)
        if "cost" not in key or (LITELLM_OTHER_TIERS.search(key) and key not in LITELLM_PRICES):
            continue
        above = LITELLM_TIER.match(key)
        target, units = LITELLM_PRICES.get(above["key"] if above else key, (key, 1))
        price = decimal_of(value) * units
        if above and target != key:
            tiers.setdefault(target, []).append({"start": int(above["thousands"]) * 1000, "price": price})
        elif price or target in METERS:
            base[target] = price
    if tiers.keys() - base.keys():
        raise InexpressibleError("a tier without a base price")
    return {key: {"base": price, "tiers": tiers[key]} if key in tiers else price for key, price in base.items()}


def litellm_mode(row: Plain) -> str:
    """The mode of a row."""
    mode = row.get("mode")
    return mode_by_name(row["name"]) if mode is None else LITELLM_MODES.get(mode, "other")


def litellm_entry(family: Family, row: Plain, report: Report) -> Entry:
    """The entry of a model that only the map knows, without a price if that cannot be expressed or is all zero."""
    entry = Entry(family.name, row["name"], source="litellm", mode=litellm_mode(row))
    try:
        entry.lines, left_out = sheet_lines(litellm_prices(row), entry.mode)
        if all(line[1] == 0 for line in entry.lines):
            entry.lines = []
            raise InexpressibleError("zero without a declaration")
    except InexpressibleError as reason:
        report.add(f"no price ({reason})", family.name, entry.id)
        return entry
    for reason_left_out in left_out:
        report.add(reason_left_out, family.name, entry.id)
    return entry


def add_facts(entry: Entry, rows: Sequence[Plain]) -> None:
    """Adds limits and capabilities from the entry's rows: its own row, else what all of them grant."""
    own = [row for row in rows if row["name"].lower() == entry.id.lower()]
    rows = own or rows
    if not rows:
        return
    windows = [row["max_input_tokens"] for row in rows if isinstance(row.get("max_input_tokens"), int)]
    outputs = [row["max_output_tokens"] for row in rows if isinstance(row.get("max_output_tokens"), int)]
    entry.context_window = entry.context_window or min(windows, default=None)
    entry.max_output = min(outputs, default=None)
    if any(any(key.startswith("supports_") for key in row) for row in rows):
        granted = {name for key, name in LITELLM_CAPABILITIES.items() if all(row.get(key) is True for row in rows)}
        entry.capabilities = tuple(name for name in LITELLM_CAPABILITIES.values() if name in granted)


# --- the book


def family_entries(family: Family, provider: Plain | None, model_map: Plain, dated: str, report: Report) -> list[Entry]:
    """All entries of a family from both data sets."""
    rows = litellm_rows(family, model_map)
    modes = {name: litellm_mode(row) for name, row in rows.items()}
    entries = genai_entries(family, provider, modes, dated, report) if provider else []
    models = own_models(family, provider) if provider else []
    index = Index(entries)
    rows_of: dict[str, list[Plain]] = {}
    for name, row in rows.items():
        entry = index.resolve(name)
        if entry is None or (name not in index.exact and owner_of(models, name) is None):
            # Known to genai-prices at best as a snapshot of another model: the map may know its own price.
            alone = litellm_entry(family, row, Report() if entry else report)
            if entry is None or (alone.lines and alone.lines != entry.lines):
                entries.append(alone)
                entry = alone
        rows_of.setdefault(entry.id, []).append(row)
    for entry in entries:
        add_facts(entry, rows_of.get(entry.id, []))
    return entries


def borrow_capabilities(entries: Iterable[Entry], indexes: Mapping[str, Index]) -> None:
    """Gives a resold model (``vendor/model``) the capabilities that its vendor's own entry has."""
    for entry in entries:
        vendor, _, model = entry.id.lower().partition("/")
        index = indexes.get(VENDORS.get(vendor, ""))
        found = index.resolve(model.partition(":")[0]) if index and model else None
        if entry.capabilities is None and found is not None:
            entry.capabilities = found.capabilities


def build(
    genai: Sequence[Plain], model_map: Plain, providers: Sequence[str] | None, dated: str, report: Report
) -> list[Entry]:
    """All entries, sorted. ``genai`` is the list of providers in plain form; ``providers`` are family names or ids of
    ``genai-prices`` providers, ``None`` meaning the families gotoai knows. Raises ``LookupError`` for an unknown one.
    """
    by_id = {provider["id"]: provider for provider in genai}
    known = {family.name: family for family in FAMILIES}
    served = {family.genai for family in FAMILIES}
    known |= {name: Family(name, name, namespaced=True) for name in by_id if name not in served and name not in known}
    chosen = [family.name for family in FAMILIES] if providers is None else list(providers)
    if chosen == ["all"]:
        chosen = sorted(known)
    unknown = sorted(set(chosen) - known.keys())
    if unknown:
        raise LookupError(f"unknown providers: {', '.join(unknown)}")
    by_family = {
        name: family_entries(known[name], by_id.get(known[name].genai), model_map, dated, report) for name in chosen
    }
    indexes = {name: Index(entries) for name, entries in by_family.items()}
    borrow_capabilities(by_family.get("openrouter", []), indexes)
    return sorted(
        (e for entries in by_family.values() for e in entries), key=lambda e: (e.provider, e.id.lower(), e.id)
    )


def render(entries: Sequence[Entry], sources: Sequence[Plain], dated: str) -> str:
    """The book as JSON text: one entry a line, so that a refresh reads well as a diff."""
    head = json.dumps({"schema": 1, "dated": dated, "currency": "USD", "sources": list(sources)}, separators=(",", ":"))
    rows = ",\n".join(json.dumps(entry.row(), separators=(",", ":")) for entry in entries)
    return f'{head[:-1]},"entries":[\n{rows}\n]}}\n'


# --- reading the data sets


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
    return providers, {"name": "genai-prices", "version": importlib.metadata.version("genai-prices"), "licence": "MIT"}


def load_litellm(path: Path | None, version: str | None) -> tuple[dict[str, Any], dict[str, str] | None]:
    """The model map at ``path``, else of the installed ``litellm``, else an empty one, and the data set's credit."""
    if path is None:
        spec = importlib.util.find_spec("litellm")
        if spec is None or spec.origin is None:
            return {}, None
        path = Path(spec.origin).parent / "model_prices_and_context_window_backup.json"
        version = version or importlib.metadata.version("litellm")
    raw = path.read_bytes()
    model_map: dict[str, Any] = json.loads(raw, parse_float=Decimal)
    model_map.pop("sample_spec", None)
    version = version or f"sha256:{hashlib.sha256(raw).hexdigest()[:12]}"
    return model_map, {"name": "litellm", "version": version, "licence": "MIT"}


# --- command line


def differences(old: str, new: str) -> Iterator[str]:
    """What changed between two books, one line an entry."""
    before, after = ({(e["provider"], e["id"]): e for e in json.loads(text)["entries"]} for text in (old, new))
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            word = "added" if key not in before else "removed" if key not in after else "changed"
            yield f"{word} {'/'.join(key)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns 0, 1 if ``--check`` finds the file different, 2 if a data set or provider is missing."""
    parser = argparse.ArgumentParser(prog="python -m gotoai.price_book", description="Generate the price book.")
    parser.add_argument("--out", type=Path, required=True, help="the book's JSON file")
    parser.add_argument("--providers", help="comma-separated families, or 'all' (default: the families gotoai knows)")
    parser.add_argument("--litellm", type=Path, help="litellm's model map (default: that of the installed litellm)")
    parser.add_argument("--litellm-version", help="version of the map given with --litellm")
    parser.add_argument("--dated", type=dt.date.fromisoformat, help="day whose prices are taken (default: today, UTC)")
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    options = parser.parse_args(argv)
    old = options.out.read_text(encoding="utf-8") if options.check else ""
    dated = options.dated.isoformat() if options.dated else dt.datetime.now(dt.UTC).date().isoformat()
    if options.check and not options.dated:
        dated = json.loads(old)["dated"]
    report = Report()
    try:
        genai, credit = load_genai()
        model_map, map_credit = load_litellm(options.litellm, options.litellm_version)
        providers = options.providers.split(",") if options.providers else None
        entries = build(genai, model_map, providers, dated, report)
    except (ImportError, LookupError, OSError) as error:
        print(f"price_book: {error}", file=sys.stderr)
        return 2
    text = render(entries, [credit, *([map_credit] if map_credit else [])], dated)
    if options.check:
        for line in differences(old, text):
            print(line)
        return int(old != text)
    options.out.write_text(text, encoding="utf-8")
    priced = sum(1 for entry in entries if entry.lines)
    print(f"{options.out}: {len(entries)} models, {priced} priced, {len(text)} bytes, dated {dated}", file=sys.stderr)
    for line in report.lines():
        print(line, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
