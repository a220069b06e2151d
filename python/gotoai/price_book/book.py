"""Owns: the book as a whole: entries of all families from both data sets, its text, and what differs between two books.

Refuses to know: how a data set keys its prices.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gotoai.price_book.entries import FAMILIES, VENDORS, Entry, Family, Index, Report
from gotoai.price_book.genai import genai_entries, own_models, owner_of
from gotoai.price_book.litellm import add_facts, litellm_entry, litellm_mode, litellm_rows
from gotoai.price_book.second import borrow_audio, combine, part
from gotoai.price_book.sheets import AUDIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from gotoai.price_book.sheets import Plain


def family_entries(family: Family, provider: Plain | None, model_map: Plain, dated: str, report: Report) -> list[Entry]:
    """All entries of a family from both data sets."""
    rows = litellm_rows(family, model_map)
    modes = {name: litellm_mode(row) for name, row in rows.items()}
    entries = genai_entries(family, provider, modes, dated, report) if provider else []
    models = own_models(family, provider) if provider else []
    index = Index(entries)
    rows_of: dict[str, list[Plain]] = {}

    def known(name: str) -> bool:
        return name in index.exact or owner_of(models, name) is not None

    for name, row in rows.items():
        entry = index.resolve(name)
        second = litellm_entry(family, row, report if entry is None else Report())
        if entry is not None and name == entry.id.lower():
            combine(entry, second, report)
        elif entry is None or stands_alone(entry, second, known(name), report):
            entries.append(second)
            entry = second
        rows_of.setdefault(entry.id, []).append(row)
    for entry in entries:
        add_facts(entry, rows_of.get(entry.id, []))
    return entries


def stands_alone(entry: Entry, second: Entry, known: bool, report: Report) -> bool:
    """Whether a name that finds ``entry`` is a model of its own in the second data set.

    ``known``: the first data set says that the name is this model's. Else it is at best a snapshot of another one, and
    the map may know its own price.
    """
    if known:
        return bool(second.lines) and part(entry, second, report)
    return bool(second.lines) and second.lines != entry.lines


def borrow_from_vendors(entries: Iterable[Entry], indexes: Mapping[str, Index]) -> None:
    """Gives a resold model (``vendor/model``) what its vendor's own entry says: capabilities, audio prices."""
    for entry in entries:
        vendor, _, model = entry.id.lower().partition("/")
        index = indexes.get(VENDORS.get(vendor, ""))
        found = index.resolve(model.partition(":")[0]) if index and model else None
        if found is None:
            continue
        if entry.capabilities is None:
            entry.capabilities = found.capabilities
        borrow_audio(entry, found)


def refuse_audio_as_text(entries: Iterable[Entry], report: Report) -> None:
    """Takes the price from models for audio whose audio has none: it costs many times what text does."""
    for entry in entries:
        if "audio" in entry.id and entry.lines and not any(line[0] in AUDIO for line in entry.lines):
            report.add("no price (audio at the price of text)", entry.provider, entry.id)
            entry.lines, entry.factors, entry.later = [], {}, []


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
    borrow_from_vendors(by_family.get("openrouter", []), indexes)
    for entries in by_family.values():
        refuse_audio_as_text(entries, report)
    return sorted(
        (e for entries in by_family.values() for e in entries), key=lambda e: (e.provider, e.id.lower(), e.id)
    )


def render(entries: Sequence[Entry], sources: Sequence[Plain], dated: str) -> str:
    """The book as JSON text: one entry a line, so that a refresh reads well as a diff."""
    head = json.dumps({"schema": 2, "dated": dated, "currency": "USD", "sources": list(sources)}, separators=(",", ":"))
    rows = ",\n".join(json.dumps(entry.row(), separators=(",", ":")) for entry in entries)
    return f'{head[:-1]},"entries":[\n{rows}\n]}}\n'


def carry_dates(entries: Sequence[Entry], old: str, dated: str) -> None:
    """Dates what the data sets leave undated: a price as in the old book keeps its date, another one has ``dated``."""
    rows = {(row["provider"], row["id"]): row for row in json.loads(old)["entries"]}
    for entry in entries:
        row = rows.get((entry.provider, entry.id))
        if row is None or entry.effective_at is not None or not entry.lines:
            continue
        new = json.loads(json.dumps(entry.row()))
        same = all(row.get(member) == new.get(member) for member in ("lines", "factors"))
        entry.effective_at = row.get("effective_at") if same else dated


def differences(old: str, new: str) -> Iterator[str]:
    """What changed between two books, one line an entry."""
    before, after = ({(e["provider"], e["id"]): e for e in json.loads(text)["entries"]} for text in (old, new))
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            word = "added" if key not in before else "removed" if key not in after else "changed"
            yield f"{word} {'/'.join(key)}"
