"""Owns: litellm's model map: prices, service tiers, limits and capabilities of its rows.

Refuses to know: the other data set, and how prices become lines.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gotoai.price_book.entries import Entry, Family, Report, mode_by_name
from gotoai.price_book.rates import InexpressibleError, decimal_of
from gotoai.price_book.sheets import METERS, Plain, sheet_of

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    "output_cost_per_image": ("images", 1), "input_cost_per_character": ("characters_m", 10**6),
}  # fmt: skip
LITELLM_TIER = re.compile(r"^(?P<key>.+)_above_(?P<thousands>\d+)k_tokens$")
SERVICE_TIERS = {"flex": "flex", "priority": "priority", "ultrafast": "ultrafast", "batches": "batch"}
LITELLM_SERVICE_TIER = re.compile(r"_(?P<tier>flex|priority|ultrafast|batches)(?=_above_|$)")
LITELLM_OTHER_TIERS = re.compile(
    r"_(batches|flex|priority|balanced|ultrafast|decisions)(_above_\d+k_tokens)?$|_above_\d+hr|_cache_hit$"
    r"|^(search_context|google_maps_grounding|code_interpreter|file_search|computer_use|annotation)_"
)
"""Cost keys that say nothing about a plain call: other service tiers, tools of the provider, duplicates."""
ALWAYS_SEARCHES = re.compile(r"^gpt-.*-search-(preview|api)")
"""OpenAI's search models for chat completions search before every answer, and no reply counts it: the search is part of
what the request costs (platform.openai.com/docs/guides/tools-web-search, "Chat Completions")."""
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
        if key == "search_context_cost_per_query":
            # By how much is searched, which no reply says: the dearest.
            target = "requests_kcount" if ALWAYS_SEARCHES.match(row.get("name", "")) else "web_searches_kcount"
            base[target] = max(decimal_of(cost) for cost in value.values()) * 1000
            continue
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


def litellm_tiers(row: Plain) -> dict[str, dict[str, Any]]:
    """A row's prices by service tier, each as ``litellm_prices`` gives the ordinary ones."""
    rows: dict[str, dict[str, Any]] = {}
    for key, value in row.items():
        tier = LITELLM_SERVICE_TIER.search(key)
        plain = LITELLM_SERVICE_TIER.sub("", key)
        known = LITELLM_TIER.sub(r"\g<key>", plain) in LITELLM_PRICES
        if tier and known:
            rows.setdefault(SERVICE_TIERS[tier["tier"]], {})[plain] = value
    return {tier: prices for tier, row in rows.items() if (prices := litellm_prices(row))}


def litellm_mode(row: Plain) -> str:
    """The mode of a row."""
    mode = row.get("mode")
    return mode_by_name(row["name"]) if mode is None else LITELLM_MODES.get(mode, "other")


def litellm_entry(family: Family, row: Plain, report: Report) -> Entry:
    """The entry of a model that only the map knows, without a price if that cannot be expressed or is all zero."""
    entry = Entry(family.name, row["name"], source="litellm", mode=litellm_mode(row))
    try:
        sheet = sheet_of(litellm_prices(row), entry.mode, litellm_tiers(row))
        if all(line[1] == 0 for line in sheet.lines):
            raise InexpressibleError("zero without a declaration")
    except InexpressibleError as reason:
        report.add(f"no price ({reason})", family.name, entry.id)
        return entry
    entry.lines, entry.factors = sheet.lines, sheet.factors
    for reason_left_out in sheet.left_out:
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
    return model_map, {"name": "litellm", "version": version, "licence": "MIT", "copyright": "2023 Berri AI"}
