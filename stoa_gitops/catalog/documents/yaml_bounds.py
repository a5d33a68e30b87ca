"""How much YAML each parser takes, so that the time and memory per document are bounded.

The fast parser takes 10 ms per 100 KiB whatever is in it, the full one 1 to 4 s: it reads small
documents only.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

MAX_DOCUMENT_BYTES: Final = 1_000_000
"""Largest document of the catalog; usual ones have a few kB."""

MAX_DOCUMENTS: Final = 10_000
"""Most documents of one file."""

MAX_EXPANDED: Final = 50_000_000
"""Most bytes that the aliases of one file may stand for."""

_FULL_BYTES: Final = 65_536
_FULL_VALUES: Final = 5_000
_FULL_DOCUMENTS: Final = 100
_WITHOUT_FAST: Final = 20

_ENDS_VALUE: Final = b"\n,:[{"
_ANCHOR: Final = re.compile(rb"(?<![^\s\[\]{},:?-])([&*])([^\s\[\]{},]+)")
_LINE: Final = re.compile(rb"^[ \t]*+(?=[^\s#])", re.MULTILINE)


class Allowance:
    """What the full parser may still read of one file.

    `times` is how many times as much it may read where there is no fast parser.
    """

    def __init__(self, *, has_fast_parser: bool = True) -> None:
        times = 1 if has_fast_parser else _WITHOUT_FAST
        self._bytes = _FULL_BYTES * times
        self._values = _FULL_VALUES * times
        self._documents = _FULL_DOCUMENTS * times

    def take(self, data: bytes) -> bool:
        """Take one document off the allowance; False where it is too large for what is left."""
        if self._documents <= 0 or len(data) > self._bytes:
            return False
        # Each value of a document has a line, a comma, a colon or a bracket of its own.
        values = len(data) - len(data.translate(None, _ENDS_VALUE))
        if values > self._values:
            return False
        self._documents -= 1
        self._bytes -= len(data)
        self._values -= values
        return True


def expanded_size(data: bytes) -> int:
    """Return how many bytes the aliases of a file stand for at most, nested ones included.

    What an anchor stands for ends before the next line that is indented no further than its own.
    """
    if b"&" not in data or b"*" not in data:
        return 0
    starts, ends = _blocks(data)
    total = 0
    sizes: dict[bytes, int] = {}
    opened: list[tuple[int, int, int, bytes]] = []
    for token in _ANCHOR.finditer(data):
        start = token.start()
        while opened and opened[-1][0] <= start:
            end, begin, before, name = opened.pop()
            sizes[name] = min(end - begin + total - before, MAX_EXPANDED)
        if token[1] == b"*":
            total += sizes.get(token[2], 0)
            if total > MAX_EXPANDED:
                break
            continue
        line = bisect_right(starts, start) - 1
        end = ends[line] if line >= 0 else len(data)
        # Until the block is over, an alias on the same line stands for the rest of it.
        sizes[token[2]] = end - start
        opened.append((end, start, total, token[2]))
    return total


def _blocks(data: bytes) -> tuple[list[int], list[int]]:
    """Return where each line starts that has more than a comment, and where its block ends."""
    lines = [(line.start(), line.end() - line.start()) for line in _LINE.finditer(data)]
    ends = [len(data)] * len(lines)
    opened: list[int] = []
    for number, (start, indent) in enumerate(lines):
        while opened and lines[opened[-1]][1] >= indent:
            ends[opened.pop()] = start
        opened.append(number)
    return [start for start, _ in lines], ends
