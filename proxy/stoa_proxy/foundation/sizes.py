"""Sizes as the catalog writes them: `512KiB`, `10MB`, or a number of bytes."""

from __future__ import annotations

import re

_FORM = re.compile(r"([0-9]{1,15})(B|kB|KB|MB|GB|KiB|MiB|GiB)?")
_BYTES = {
    None: 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
}  # fmt: skip


def parse_size(value: object) -> int:
    """Bytes of a size such as `512KiB`. Raises ValueError for anything else, zero included."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    match = _FORM.fullmatch(text) if isinstance(text, str) else None
    size = int(match[1]) * _BYTES[match[2]] if match is not None else 0
    if size < 1:
        raise ValueError(f"{value!r} is not a size such as 512KiB, 10MB or a number of bytes")
    return size
