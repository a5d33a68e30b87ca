"""Canonical JSON written and read again by orjson, and only where it is known to agree with the
standard library.

It may agree or hand over, never differ: floats are spelled otherwise by it, NaN and infinities
become null, numbers beyond 64 bits and lone surrogates are refused or read otherwise. A test
compares the two.
"""

from __future__ import annotations

import json
from typing import Any, Final

from stoa_gitops.model.canonical import Json, canonical_bytes

try:
    import orjson
except ImportError:  # an accelerator that may be missing
    is_quick = False
else:
    is_quick = True

_OPTIONS: Final = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    if is_quick
    else 0
)
_STARTS: Final = bytes.maketrans(b"[,en", b"::..")
_NUMBER: Final = b"-0123456789"
_ZEROS: Final = bytes.maketrans(b"123456789", b"000000000")
_LONG: Final = b"0" * 19
"""The shortest number that may not fit into 64 bits has so many digits."""


def quick_bytes(value: object) -> bytes | None:
    """Return the canonical bytes of a mapping, a list or a text; None where the standard library
    must say what they are.

    Bytes are proof that JSON can hold the value: text as keys, numbers that are finite.
    """
    if not is_quick:
        return None
    try:
        raw = orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        return None
    # Without digits a float begins with its point or exponent, and null with its n: one search for all of them.
    if b":." in raw.translate(_STARTS, _NUMBER):
        return None
    # A copy: what orjson returns keeps the room that it was written in, ten times its length.
    return bytes(memoryview(raw))


def to_bytes(value: Json) -> bytes:
    """Return what `canonical_bytes` does of a mapping, a list or a text, sooner; raises ValueError
    on NaN.
    """
    raw = quick_bytes(value)
    return canonical_bytes(value) if raw is None else raw


def to_tree(raw: bytes) -> Any:
    """Return a fresh tree of canonical bytes."""
    if is_quick and _LONG not in raw.translate(_ZEROS):
        try:
            return orjson.loads(raw)
        except ValueError:
            pass  # a lone surrogate, or nesting that is deep
    return json.loads(raw)
