"""Owns: exact prices: from decimals to rationals. Refuses to know: what is priced, and who says so."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

Rate = tuple[int, int]
"""``num`` pico-units buy ``per`` units, in lowest terms."""
Tiers = dict[int | None, Rate]
"""Rate by the input tokens that a call must exceed; ``None`` is the base."""

PICO = 10**12
NUM_MAX = 2**63 - 1
PER_MAX = 2**32 - 1


class InexpressibleError(ValueError):
    """The price cannot be written with the meters and rationals of a price sheet; the text says why."""


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
