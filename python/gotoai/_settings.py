"""Keyword arguments of a gateway as the environment variables that the core reads. No defaults and no meaning here."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

Setting: TypeAlias = str | int | float | bool | Path | Iterable[str] | None

# Variables without the prefix, as their names are customary.
_BARE = {"HOST", "PORT", "BASE_PATH", "BODY_SIZE_LIMIT", "LOG_LEVEL", "LOG_FORMAT"}
_BARE_STARTS = ("GOTOAI_", "RETRY_", "CIRCUIT_BREAKER_", "HTTP_", "CACHE_", "CONFIGURED_")
_PROVIDER_ENDS = ("_API_KEY", "_API_KEYS", "_BASE_URL", "_MODELS", "_API_VERSION")


def variables(env: Mapping[str, str] | None, settings: Mapping[str, Setting]) -> dict[str, str]:
    """The environment (``env``, or the process's own) with ``settings`` on top; ``None`` leaves a variable as it is.

    ``data_dir`` becomes ``GOTOAI_DATA_DIR``, ``port`` ``PORT``, ``openai_api_key`` ``OPENAI_API_KEY``. Lists are joined
    by commas, truth is ``true`` or ``false``.
    """
    merged = dict(os.environ if env is None else env)
    for name, value in settings.items():
        if value is not None:
            merged[_variable(name)] = _text(value)
    return merged


def _variable(name: str) -> str:
    upper = name.upper()
    if upper in _BARE or upper.startswith(_BARE_STARTS) or upper.endswith(_PROVIDER_ENDS):
        return upper
    return f"GOTOAI_{upper}"


def _text(value: Setting) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float | Path):
        return str(value)
    return ",".join(value or ())
