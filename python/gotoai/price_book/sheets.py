"""Owns: from prices as the data sets key them to the lines of a price sheet, with tiers and times of day.

Refuses to know: which prices hold on a day (the sources), and which model they are of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from gotoai.price_book.rates import InexpressibleError, Rate, Tiers, tiers_of

if TYPE_CHECKING:
    from gotoai.price_book.entries import Line

Plain = Mapping[str, Any]
Rates = dict[str, Tiers]
"""Rates by meter."""
Window = tuple[int, int]
"""Minutes of the day, UTC."""

METERS = {
    "input_mtok": "input_uncached", "cache_read_mtok": "cache_read", "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h", "output_mtok": "output_text", "output_reasoning_mtok": "output_reasoning",
    "input_audio_mtok": "audio_in", "output_audio_mtok": "audio_out", "input_image_mtok": "image_in",
    "images": "image_out", "characters_m": "characters", "input_mchars": "characters",
    "web_searches_kcount": "searches", "requests_kcount": "request",
}  # fmt: skip
BILLED_AS = {
    "cache_read": "input_uncached", "cache_write": "input_uncached", "cache_write_1h": "cache_write",
    "audio_in": "input_uncached", "image_in": "input_uncached", "output_reasoning": "output_text",
    "audio_out": "output_text",
}  # fmt: skip
"""Mirrors ``Meter::billed_as``: a line equal to the one it falls back to is left out."""
METER_ORDER = (
    "input_uncached", "cache_read", "cache_write", "cache_write_1h", "output_text", "output_reasoning", "audio_in",
    "audio_out", "image_in", "image_out", "seconds", "characters", "searches", "request",
)  # fmt: skip
TOKENS = frozenset(METER_ORDER[:9])
"""Meters that the factor of a tier holds for."""
AUDIO = frozenset({"audio_in", "audio_out", "seconds"})
HOURS = frozenset({"audio_hours", "input_audio_hours"})
COARSER = {
    "cache_write_5m_mtok": "cache_write", "cache_audio_read_mtok": "cache_read", "cache_image_read_mtok": "cache_read",
    "cache_audio_write_mtok": "cache_write", "cache_image_write_mtok": "cache_write",
}  # fmt: skip
"""Price of a part of what a meter counts: counted at the meter's price, reported when that differs."""
UNSPLIT = {"input_video_mtok": "input_uncached", "output_image_mtok": "output_text", "output_video_mtok": "output_text"}
"""Modalities without a meter: exact only where they cost what the meter costs."""
SURCHARGES = frozenset({"social_searches_kcount", "storage_searches_kcount", "code_executions_kcount"})
"""Calls of the provider's other tools: no part of what is counted, so left out."""
UNITS_PER = {"requests_kcount": 1000, "web_searches_kcount": 1000, "audio_hours": 3600, "images": 1}


@dataclass
class Sheet:
    """The lines of a price sheet, the factors of its tiers, and what was left out, as reasons."""

    lines: list[Line]
    factors: dict[str, list[int]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def complete(meters: Iterable[str], mode: str) -> bool:
    """Whether a sheet with these meters prices both sides of a call of this mode."""
    have = set(meters)
    if mode in {"embedding", "moderation", "rerank"}:
        return bool(have & {"input_uncached", "request"})
    if mode == "transcription":
        return bool(have & {"seconds", "audio_in", "input_uncached"})
    if mode == "image" and "image_out" in have:
        return True
    if mode == "speech" and "characters" in have:
        return True
    return "input_uncached" in have and bool(have & {"output_text", "audio_out"})


def metered(prices: Plain, mode: str) -> tuple[Rates, list[str]]:
    """Rates by meter from prices keyed as ``genai-prices`` keys them, and what was left out.

    Raises ``InexpressibleError`` when the model's price would be wrong without what cannot be expressed.
    """
    rates: Rates = {}
    left_out: list[str] = []
    hours = [prices[key] for key in sorted(HOURS) if key in prices]
    if hours:
        if mode != "transcription" or len(set(hours)) > 1 or "input_audio_mtok" in prices:
            raise InexpressibleError("audio priced by the hour")
        rates["seconds"] = tiers_of(hours[0], UNITS_PER["audio_hours"])
    if "cache_write_5m_mtok" in prices and "cache_write_mtok" not in prices:
        prices = {**prices, "cache_write_mtok": prices["cache_write_5m_mtok"]}
    for key, value in prices.items():
        if key in METERS:
            rates[METERS[key]] = tiers_of(value, UNITS_PER.get(key, 10**6))
    if not any(num for num, _ in rates.get("cache_write", {}).values()):
        rates.pop("cache_write", None)  # no fee for writing: what is written is still input
    for key, value in prices.items():
        if key in COARSER or key in UNSPLIT:
            meter = COARSER.get(key) or UNSPLIT[key]
            if tiers_of(value, 10**6) == (rates.get(meter) or fallback(rates, meter)):
                continue
            if key in UNSPLIT:
                raise InexpressibleError(f"{key} has no meter")
            left_out.append(f"{key} counted as {meter}")
        elif key in SURCHARGES:
            left_out.append(f"{key} not metered")
        elif key not in METERS and key not in HOURS:
            raise InexpressibleError(f"{key} has no meter")
    if "image_out" in rates and rates.keys() & {"output_text", "audio_out"}:
        raise InexpressibleError("images priced by number and by token")
    return rates, left_out


def fallback(rates: Rates, meter: str) -> Tiers | None:
    """The rates of the meter that this one is billed as."""
    other = BILLED_AS.get(meter)
    return None if other is None else rates.get(other) or fallback(rates, other)


def sheet_of(
    prices: Plain,
    mode: str,
    tiers: Mapping[str, Plain] | None = None,
    windows: Sequence[tuple[Window | None, Plain]] = (),
) -> Sheet:
    """The sheet of a model: its prices, those of service tiers where they differ, and those of parts of the day.

    Raises ``InexpressibleError`` as ``metered`` does, and when a side of the call has no price.
    """
    rates, left_out = metered(prices, mode)
    timed = [(window, metered({**prices, **other}, mode)[0]) for window, other in windows]
    if not all(window is not None and same_shape(rates, other) for window, other in timed):
        rates, timed = dearest([rates, *(other for _, other in timed)]), []
        left_out.append("dearest time of day taken")
    if not complete(rates, mode):
        raise InexpressibleError(f"incomplete for mode {mode}: {', '.join(sorted(rates)) or 'nothing priced'}")
    sheet = Sheet([], left_out=left_out)
    plain = {meter: rates[meter] for meter in rates if rates[meter] != fallback(rates, meter)}
    for meter in METER_ORDER:
        for above, rate in ordered(plain.get(meter, {})):
            sheet.lines.append(line(meter, rate, above))
    for window, other in timed:
        assert window is not None
        sheet.lines.extend(window_lines(plain, other, window))
    for tier, own in sorted((tiers or {}).items()):
        add_tier(sheet, plain, metered(own, mode)[0], tier)
    return sheet


def line(meter: str, rate: Rate, above: int | None, **when: object) -> Line:
    """One line in its shortest form."""
    num, per = rate
    if when:
        return meter, num, per, ({} if above is None else {"above": above}) | when
    return (meter, num, per) if above is None else (meter, num, per, above)


def ordered(tiers: Tiers) -> list[tuple[int | None, Rate]]:
    """The base rate, then those above thresholds."""
    return sorted(tiers.items(), key=lambda item: -1 if item[0] is None else item[0])


def same_shape(rates: Rates, others: Rates) -> bool:
    """Whether both price the same meters at the same thresholds."""
    return {meter: set(rates[meter]) for meter in rates} == {meter: set(others[meter]) for meter in others}


def window_lines(plain: Rates, others: Rates, window: Window) -> list[Line]:
    """Lines for what costs something else at a time of day. ``plain``: the meters that have lines of their own."""
    lines: list[Line] = []
    for meter in METER_ORDER:
        usual = plain.get(meter) or fallback(others, meter)
        for above, rate in ordered(others.get(meter, {})):
            if usual is None or usual.get(above) != rate:
                lines.append(line(meter, rate, above, window=list(window)))
    return lines


def dearest(sheets: Sequence[Rates]) -> Rates:
    """The rates that are at least as dear as the others for every meter. Raises when there are none."""

    def flat(rates: Rates) -> dict[tuple[str, int | None], Fraction]:
        return {(meter, above): Fraction(*rate) for meter in rates for above, rate in rates[meter].items()}

    for rates in sheets:
        mine = flat(rates)
        others = [flat(other) for other in sheets]
        if all(other.keys() == mine.keys() and all(other[key] <= mine[key] for key in mine) for other in others):
            return rates
    raise InexpressibleError("the price depends on the time of day and none is the dearest")


def add_tier(sheet: Sheet, plain: Rates, own: Rates, tier: str) -> None:
    """Adds a tier's prices: as one factor where they all are the same share of the ordinary ones, else as lines."""
    for meter in own:
        # A long call in this tier is at least as dear as a short one, and as an ordinary long one.
        for above, rate in plain.get(meter, {}).items():
            own[meter].setdefault(above, max(rate, own[meter][None], key=lambda rate: Fraction(*rate)))
    share = common_share(plain, own)
    if share is not None:
        if share != 1:
            sheet.factors[tier] = [share.numerator, share.denominator]
        return
    for meter in METER_ORDER:
        usual = plain.get(meter) or fallback({**plain, **own}, meter)
        if meter in own and own[meter] != usual:
            sheet.lines.extend(line(meter, rate, above, tier=tier) for above, rate in ordered(own[meter]))


def common_share(plain: Rates, own: Rates) -> Fraction | None:
    """The share that a tier's rates are of the ordinary ones; ``None`` if there is no such single share."""
    shares = set()
    for meter, tiers in plain.items():
        if meter not in TOKENS:
            if own.get(meter, tiers) != tiers:
                return None
        elif meter not in own and not any(num for num, _ in tiers.values()):
            continue  # nothing of nothing
        elif meter not in own or own[meter].keys() != tiers.keys():
            return None
        else:
            shares |= {Fraction(*own[meter][above]) / Fraction(*rate) for above, rate in tiers.items() if rate[0]}
            if any(own[meter][above][0] for above, rate in tiers.items() if not rate[0]):
                return None
    # What has no line of its own is billed as another meter, and must be in the tier as well.
    strays = (meter for meter in own.keys() - plain.keys() if own[meter] != fallback(own, meter))
    return shares.pop() if len(shares) == 1 and not any(strays) else None


def sheet_lines(prices: Plain, mode: str) -> tuple[list[Line], list[str]]:
    """The lines of plain prices, and what was left out."""
    sheet = sheet_of(prices, mode)
    return sheet.lines, sheet.left_out


def free_lines() -> list[Line]:
    """The lines of a model that costs nothing by declaration."""
    return [("input_uncached", 0, 1), ("output_text", 0, 1)]
