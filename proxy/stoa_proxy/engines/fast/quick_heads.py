"""Heads of requests whose lines came before: each line and each shape is read once, in full.

What one head says of another: both have headers of the same names in the same order, and whatever
else decides how a head is read (`special` headers) is equal to the byte. The values of all others
are checked line by line, by the rule that `http.framing` has for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from stoa_proxy.engines.fast.request_head import Fields, parse_fields
from stoa_proxy.errors import FramingRefused
from stoa_proxy.http.framing import FIELD, Framing
from stoa_proxy.http.heads import Header, Headers

SPECIAL: Final = frozenset(
    {
        "connection", "content-length", "expect", "host", "transfer-encoding", "upgrade", "via",
    }
)  # fmt: skip
"""Headers (lower case) whose values decide how a request is read, whatever is made of it."""

# Of everything that is known all is forgotten when there is so much. A line takes 1 KiB or less, a
# head 4 KiB, for longer ones are not remembered.
MOST_KNOWN: Final = 512
LONGEST_KNOWN: Final = 1024
_MOST_LINES: Final = 4096
_LONGEST_KNOWN_LINE: Final = 256
# Longer ones take the long way, which has a bound for each header.
_LONGEST_LINE: Final = 8 * 1024

K = TypeVar("K")
V = TypeVar("V")
F = TypeVar("F", bound=object)


def remember(known: dict[K, V], key: K, value: V, most: int = MOST_KNOWN) -> None:
    """Keep a value, and forget all others where there are too many."""
    if len(known) >= most:
        known.clear()
    known[key] = value


def read_usual(data: bytes, *, is_traced: bool) -> Fields | None:
    """Return the headers of a whole head, checked in full; None for one that is not usual.

    Those of `is_traced` gateways lack the usual `traceparent` (`split_parent`), and have no other.
    """
    reader = Framing()
    try:
        head, rest = reader.read_head(data)
    except FramingRefused:
        return None
    if not head or rest or reader.is_inside_body or reader.is_last:
        return None
    fields = parse_fields(head[head.index(b"\r\n") + 2 :])
    if fields is None or fields.expects or "via" in fields.keys:
        return None
    return None if is_traced and "traceparent" in fields.keys else fields


class Line:
    """A header of a request: its `name` in lower case, `pair` as it was sent, `sent` as we send it.

    `mark` stands for it in the shape of a head: all of a special header, the name of others.
    """

    __slots__ = ("mark", "name", "pair", "raw", "sent")

    def __init__(self, raw: bytes, name: str, pair: Header, *, is_special: bool) -> None:
        self.raw = raw
        self.name = name
        self.pair = pair
        self.mark: bytes | str = raw if is_special else name
        self.sent = f"{pair[0]}: {pair[1]}\r\n".encode("utf-8", "surrogateescape")


class Head(Generic[F]):
    """The header lines of one request, and what all heads of their shape have in common."""

    __slots__ = ("form", "lines")

    def __init__(self, lines: list[Line], form: F) -> None:
        self.lines = lines
        self.form = form

    def headers(self, names: frozenset[str]) -> tuple[Headers, tuple[str, ...]]:
        """Return the headers of these names, and the names, both in their order."""
        kept = [line for line in self.lines if line.name in names]
        return tuple([line.pair for line in kept]), tuple([line.name for line in kept])

    def raw_lines(self, names: frozenset[str]) -> tuple[bytes, ...]:
        """Return the lines of headers of these names as they were sent."""
        return tuple([line.raw for line in self.lines if line.name in names]) if names else ()


class Heads(Generic[F]):
    """Reads heads. `read_form` gets a whole head, and returns None for one that is not usual."""

    def __init__(self, special: frozenset[str], read_form: Callable[[bytes], F | None]) -> None:
        self._special = special
        self._read_form = read_form
        self._lines: dict[bytes, Line] = {}
        self._forms: dict[tuple[bytes | str, ...], F | None] = {}
        self._heads: dict[bytes, Head[F] | None] = {}

    def find(self, block: bytes, data: bytes) -> Head[F] | None:
        """Return the head `data` of which `block` are the header lines; None for an unusual one."""
        try:
            return self._heads[block]
        except KeyError:
            pass
        lines = self._read_lines(block)
        form = None if lines is None else self._find_form(lines, data)
        found = None if lines is None or form is None else Head(lines, form)
        if len(block) <= LONGEST_KNOWN:
            remember(self._heads, block, found)
        return found

    def _find_form(self, lines: list[Line], data: bytes) -> F | None:
        shape = tuple([line.mark for line in lines])
        try:
            return self._forms[shape]
        except KeyError:
            pass
        form = self._read_form(data)
        if len(data) <= 4 * LONGEST_KNOWN:
            remember(self._forms, shape, form)
        return form

    def _read_lines(self, block: bytes) -> list[Line] | None:
        """Return the lines of a block that ends with an empty one, and is one head alone."""
        parts = block.split(b"\r\n")
        if parts[-2:] != [b"", b""]:
            return None
        del parts[-2:]
        lines = []
        known = self._lines
        for part in parts:
            line = known.get(part) or self._read_line(part)
            if line is None:
                return None
            lines.append(line)
        return lines

    def _read_line(self, raw: bytes) -> Line | None:
        whole = raw + b"\r\n"
        if len(whole) > _LONGEST_LINE or FIELD.fullmatch(whole) is None:
            return None
        fields = parse_fields(whole)
        if fields is None or len(fields.headers) != 1:
            return None
        name = fields.keys[0]
        line = Line(raw, name, fields.headers[0], is_special=name in self._special)
        if len(raw) <= _LONGEST_KNOWN_LINE:
            remember(self._lines, raw, line, _MOST_LINES)
        return line
