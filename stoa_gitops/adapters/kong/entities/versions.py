"""Versions of Kong that change what is written or read, and those that this adapter supports."""

from __future__ import annotations

from typing import Final

Version = tuple[int, int, int]

OLDEST: Final = (3, 0, 0)
"""2.8 rejects `_format_version: "3.0"`."""

NEWEST_MINOR: Final = (3, 9)
"""The newest minor that this adapter was run against; a later one gets a note beside its name."""

NEWEST_TESTED: Final = (3, 9, 1)
"""Stands in for the node where none is asked: `render`, and files of decK."""

RELIABLE_EMPTY_HASH: Final = (3, 2, 0)
"""Before, `/status` could show zeros after a valid load, too (Kong #9911)."""

NESTED_REDIS: Final = (3, 6, 0)
"""From here on `redis` is a record; the flat names are echoed, and refused when the two differ."""

NEWER_TOKENS: Final = (3, 7, 0)
"""From here on the jwt plugin knows ES512, EdDSA and PS256 to PS512 (Kong #12638, #12726)."""

COUNTED_CHUNKS: Final = (3, 8, 0)
"""From here on request-size-limiting measures bodies that are buffered in a file, which are those
without Content-Length (Kong 3.8 changelog; contract kong.md R.7: 200 on 3.4.2, 413 on 3.9.1).
"""
