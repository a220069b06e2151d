"""Owns: the models of the book while it is made: families, entries, and how a name finds its entry.

Refuses to know: where entries come from, and what they cost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Line = tuple[str, int, int] | tuple[str, int, int, int] | tuple[str, int, int, dict[str, Any]]
"""Meter, ``num``, ``per``, and what the line depends on: a threshold of input tokens alone, or an object."""


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
    outdated: tuple[str, ...] = ()
    """Models whose vendor has changed the price since and the first data set has not: the second one's holds."""


FAMILIES = (
    Family("anthropic", "anthropic", ("anthropic",), ("anthropic/",)),
    # Off-peak prices of these two ended in September 2025 (api-docs.deepseek.com/quick_start/pricing).
    Family("deepseek", "deepseek", ("deepseek",), ("deepseek/",), outdated=("deepseek-chat", "deepseek-reasoner")),
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

VENDORS = {
    "openai": "openai", "anthropic": "anthropic", "google": "gemini",
    "x-ai": "xai", "deepseek": "deepseek", "mistralai": "mistral",
}  # fmt: skip
"""First part of an OpenRouter name to the family whose capabilities it has."""

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
    factors: dict[str, list[int]] = field(default_factory=dict)
    """Tiers that cost this share (numerator, denominator) of the ordinary price."""
    later: list[dict[str, Any]] = field(default_factory=list)
    """Announced changes: rows with ``effective_at``, ``lines`` and perhaps ``factors``."""
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
            "factors": self.factors,
            "source": self.source,
            "effective_at": self.effective_at if self.lines else None,
            "later": self.later,
        }
        row = {key: value for key, value in full.items() if value or value == 0}
        if self.capabilities is not None:
            row["capabilities"] = list(self.capabilities)
        return row


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
