"""Durations as the catalog writes them: `500ms`, `30s`, `5m`, `24h`."""

from __future__ import annotations

import re

_FORM = re.compile(r"([1-9][0-9]{0,8})(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: object) -> float:
    """Seconds of a duration such as `30s`. Raises ValueError for anything else, zero included."""
    match = _FORM.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 500ms, 30s, 5m or 24h")
    return int(match[1]) * _SECONDS[match[2]]
