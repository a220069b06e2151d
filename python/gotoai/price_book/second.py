"""Owns: what the second data set adds to an entry of the first, and where its price is the one to trust.

Refuses to know: how either of them keys its prices.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from gotoai.price_book.sheets import AUDIO, TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gotoai.price_book.entries import Entry, Line, Report


def tier_of(line: Line) -> str | None:
    """The service tier that a line is for."""
    when = line[3] if len(line) > 3 else None
    return when.get("tier") if isinstance(when, dict) else None


def tiers_of(entry: Entry) -> set[str]:
    """The service tiers that have prices of their own."""
    return {tier for tier in map(tier_of, entry.lines) if tier} | entry.factors.keys()


def ordinary(entry: Entry) -> list[Line]:
    """What tokens cost in no tier in particular."""
    return [line for line in entry.lines if line[0] in TOKENS and tier_of(line) is None]


def dearest(lines: Iterable[Line]) -> dict[str, Fraction]:
    """The highest price of every meter below all thresholds, at whatever time of day."""
    highest: dict[str, Fraction] = {}
    for line in lines:
        long = len(line) > 3 and (isinstance(line[3], int) or "above" in line[3])
        if not long:
            highest[line[0]] = max(highest.get(line[0], Fraction(0)), Fraction(line[1], line[2]))
    return highest


def differing(entry: Entry, second: Entry) -> tuple[bool, bool]:
    """Whether the two price a meter otherwise, and whether the second is then dearer: for no meter cheaper."""
    mine, other = dearest(ordinary(entry)), dearest(ordinary(second))
    common = [meter for meter in mine.keys() & other.keys() if mine[meter] != other[meter]]
    dearer = mine.keys() <= other.keys() and all(other[meter] > mine[meter] for meter in common)
    return bool(common), bool(common) and dearer


def combine(entry: Entry, second: Entry, report: Report) -> None:
    """Puts the prices of ``second``, the same model in the second data set, beside those of ``entry``.

    A price that has risen is seen by one of them first: where the second is dearer, its sheet holds, so that nothing is
    sold below cost. Where both agree, tiers that only the second knows are added; and the price of the request itself,
    wherever only the second has one.
    """
    if not entry.lines or not second.lines:
        return
    differs, dearer = differing(entry, second)
    if dearer:
        report.add("dearer in the second data set, which is taken", entry.provider, entry.id)
        entry.lines, entry.factors, entry.later = second.lines, second.factors, []
        entry.source, entry.effective_at = second.source, None
        return
    if differs:
        report.add("the data sets disagree", entry.provider, entry.id)
    if not any(line[0] == "request" for line in entry.lines):
        entry.lines.extend(line for line in second.lines if line[0] == "request")
    if ordinary(entry) == ordinary(second):
        new = tiers_of(second) - tiers_of(entry)
        entry.lines.extend(line for line in second.lines if tier_of(line) in new)
        entry.factors |= {tier: share for tier, share in second.factors.items() if tier in new}


def part(entry: Entry, second: Entry, report: Report) -> bool:
    """Whether ``second``, one of the names of ``entry``, gets an entry of its own, which is then made possible."""
    differs, dearer = differing(entry, second)
    if differs:
        report.add(f"{'parted from' if dearer else 'disagrees with'} {entry.id}", second.provider, second.id)
    if dearer:
        entry.names.discard(second.id.lower())
    return dearer


def borrow_audio(entry: Entry, vendors: Entry) -> None:
    """Gives a resold model the audio prices of its vendor where text costs the same and nothing is said of audio.

    Else audio would be sold at the price of text.
    """
    plain, own = dearest(ordinary(entry)), dearest(ordinary(vendors))
    same = all(plain.get(meter) == own.get(meter) for meter in ("input_uncached", "output_text"))
    if plain and same and not plain.keys() & AUDIO:
        entry.lines.extend(line for line in ordinary(vendors) if line[0] in AUDIO)
