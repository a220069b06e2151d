"""Owns: the book as a whole: entries of all families from both data sets, its text, and what differs between two books.

Refuses to know: how a data set keys its prices.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gotoai.price_book.entries import FAMILIES, VENDORS, Entry, Family, Index, Report
from gotoai.price_book.genai import genai_entries, own_models, owner_of
from gotoai.price_book.litellm import add_facts, litellm_entry, litellm_mode, litellm_rows

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
