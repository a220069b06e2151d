"""Owns: the command line of the generator. Refuses to know: what a price is."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gotoai.price_book.book import build, carry_dates, differences, render
from gotoai.price_book.entries import Report
from gotoai.price_book.genai import load_genai
from gotoai.price_book.litellm import load_litellm

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    old = options.out.read_text(encoding="utf-8") if options.check or options.out.exists() else ""
    dated = options.dated.isoformat() if options.dated else dt.datetime.now(dt.UTC).date().isoformat()
    if options.check and not options.dated:
        dated = json.loads(old)["dated"]
    report = Report()
    try:
        genai, credit = load_genai()
        model_map, map_credit = load_litellm(options.litellm, options.litellm_version)
        providers = options.providers.split(",") if options.providers else None
        entries = build(genai, model_map, providers, dated, report)
        if old:
            carry_dates(entries, old, dated)
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
