"""Generates the price and capability book (``src/domain/catalog/prices.json``) from two public data sets.

To refresh the committed book::

    pip install -U genai-prices litellm
    python -m gotoai.price_book --out src/domain/catalog/prices.json

``litellm`` is optional and never imported: only its model map is read, so ``--litellm PATH`` may name a copy of
``model_prices_and_context_window_backup.json`` instead. ``--check`` rebuilds with the date written in the file and
reports what differs without writing.

What comes from where: ``genai-prices`` gives prices, names and context windows; the litellm map gives output limits,
modes, capabilities, and prices of the models that ``genai-prices`` lacks. Where both price a model and the map is the
dearer, the map's price is taken, so that a price that has risen is not missed; where they agree, service tiers that
only the map knows are added (``second.py``). The summary on stderr names every model on which they disagree.

How figures are read:

* Prices are decimals and become exact rationals, ``num`` pico-units (10^-12 USD) per ``per`` units. A float is refused.
* The variant in force at the generation date is taken, and every announced change with its date. Another price for a
  part of the day becomes lines with a window; where that cannot be said exactly, the dearest is taken, so that a call
  is never billed below its cost.
* Service tiers (flex, priority, batch) become a factor where all of a tier's prices are the same share of the ordinary
  ones, else lines of their own.
* A price that would be below cost is no price: a moving alias (``~vendor/model-latest``), a model for audio whose audio
  has no price of its own. OpenRouter's Gemini cache writes are listed as storage alone; the input is added.
* A model that searches before every answer (OpenAI's ``-search-`` models) has the search in its price per request,
  because no reply counts it.
* Audio priced by time becomes ``seconds``, images ``image_out``, speech priced by its text ``characters``, web searches
  ``searches`` (where the price depends on how much is searched, the dearest).
* A model whose price cannot be expressed exactly is kept without a price, which the gateway refuses to sell unless the
  operator gives one. Zero is a price only where the data set declares it (``:free`` names, ``FREE_BY_DECLARATION``).
* Lines for which there is no meter of their own (cached audio, other tools of the provider) are left out and listed in
  the summary on stderr.
* A price that differs from that of the book being replaced, and has no date of its own, is dated with the new book.
"""

from gotoai.price_book.book import build, carry_dates, differences, render
from gotoai.price_book.entries import DATED, FAMILIES, Entry, Report
from gotoai.price_book.genai import prices_in_force
from gotoai.price_book.litellm import litellm_prices, litellm_tiers
from gotoai.price_book.rates import InexpressibleError, decimal_of, exact_rate
from gotoai.price_book.sheets import sheet_lines

__all__ = [
    "DATED",
    "FAMILIES",
    "Entry",
    "InexpressibleError",
    "Report",
    "build",
    "carry_dates",
    "decimal_of",
    "differences",
    "exact_rate",
    "litellm_prices",
    "litellm_tiers",
    "prices_in_force",
    "render",
    "sheet_lines",
]
