"""Parse durations (`500ms`, `30s`, `5m`, `24h`) and sizes (`512KiB`, `10MB`) of configurations."""

from __future__ import annotations

import re

# What the catalog's schema admits (999999999999d in hours has 14 digits), and far from any overflow
# of a float.
_DURATION = re.compile(r"([1-9][0-9]{0,13})(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"([0-9]{1,15})(B|kB|KB|MB|GB|KiB|MiB|GiB)?")
_BYTES = {
    None: 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
}  # fmt: skip


def parse_duration(text: object) -> float:
    """Return the seconds of a duration such as `30s`.

    Raises ValueError for anything else, zero included.
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 500ms, 30s, 5m or 24h")
    return int(match[1]) * _SECONDS[match[2]]


def parse_size(value: object) -> int:
    """Return the bytes of a size such as `512KiB`, or of a number of bytes.

    Raises ValueError for anything else, zero included.
    """
    # bool is a subclass of int, and `true` is no number of bytes.
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    size = int(match[1]) * _BYTES[match[2]] if match is not None else 0
    if size < 1:
        raise ValueError(f"{value!r} is not a size such as 512KiB, 10MB or a number of bytes")
    return size
