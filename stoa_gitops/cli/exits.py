"""Exit codes; part of the public contract (docs/cli.md)."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit code of the process; docs/cli.md says what each means for each command."""

    OK = 0
    FAILED = 1
    CHANGES = 2
    INCOMPLETE = 3
    REFUSED = 4
    INVALID = 5
    USAGE = 64  # EX_USAGE of sysexits.h: argparse's own 2 is CHANGES here
    INTERRUPTED = 130  # 128 + SIGINT, as shells count
