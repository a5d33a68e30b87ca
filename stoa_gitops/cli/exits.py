"""Exit codes; part of the public contract (docs/cli.md)."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the process says to its caller."""

    OK = 0
    FAILED = 1
    CHANGES = 2
    INCOMPLETE = 3
    REFUSED = 4
    INVALID = 5
    USAGE = 64
    INTERRUPTED = 130
