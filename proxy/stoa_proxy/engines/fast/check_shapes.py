"""Shapes of checks that come often, each as one expression for all of its heads.

A head that was read in full says how others of its shape are read: whatever decides is equal to
the byte, and the values of all other headers have the characters that values may have. One match
tells whether a head is such a one, and where the target lies and what policies read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from stoa_proxy.engines.fast.quick_heads import Line
from stoa_proxy.http.targets import PLAIN_PATH

# A path that all readers see alike (`http.targets`), and maybe a query.
TARGET: Final = rb"(?=/)(%b)(?:\?([\x21\x22\x24-\x7e]*+))?" % PLAIN_PATH.encode()
# Not OPTIONS, which may be a preflight.
ENVOY_LINE: Final = rb"(DELETE|GET|HEAD|PATCH|POST|PUT) /authz%b HTTP/1\.1\r\n" % TARGET
NGINX_LINE: Final = b"GET /authz HTTP/1.1\r\n"
URI_NAME: Final = "x-original-uri"
CLIENT_NAME: Final = "x-forwarded-for"

# Making an expression takes a millisecond, so clients must not choose how many there are.
_OFTEN: Final = 64
MOST_SHAPES: Final = 64
# That have the same number of lines: each that is not the right one costs 0.3 µs.
_MOST_ALIKE: Final = 4
_LONGEST: Final = 4096
_VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*+"
_NOT_EMPTY: Final = rb"[\t ]*+[\x21-\x7e\x80-\xff]" + _VALUE

_CLIENT: Final = frozenset({CLIENT_NAME})

F = TypeVar("F")
Found = re.Match[bytes]


class Shape(Generic[F]):
    """Heads whose lines have the names of these; `form` is what is known of them all.

    Groups of a match: `method` where the request line has it (else 0), `path` and `query`; and
    `clients`, the lines that name the client.
    """

    __slots__ = ("_lines", "clients", "form", "match", "method", "path", "query")

    def __init__(self, lines: Sequence[Line], form: F, *, is_nginx: bool) -> None:
        self.form = form
        self.method, self.path, self.query = (0, 0, 0) if is_nginx else (1, 2, 3)
        count = self.query
        # The group of a line, None where it is the same in all heads or is the target's.
        self._lines: list[tuple[str, int | None]] = []
        written = [re.escape(NGINX_LINE) if is_nginx else ENVOY_LINE]
        for line in lines:
            group: int | None = None
            if isinstance(line.mark, bytes):  # special
                part = re.escape(line.raw)
            elif is_nginx and line.name == URI_NAME and not self.path:
                self.path, self.query = count + 1, count + 2
                count += 2
                part = rb"%b:[\t ]*+%b[\t ]*+" % (_label(line), TARGET)
            else:
                group = count = count + 1
                value = _NOT_EMPTY if line.name == CLIENT_NAME else _VALUE
                part = rb"(%b:%b)" % (_label(line), value)
            self._lines.append((line.name, group))
            written.append(part + rb"\r\n")
        self.clients = self.groups_of(_CLIENT)
        self.match = re.compile(b"".join(written) + rb"\r\n").fullmatch

    def groups_of(self, names: frozenset[str]) -> tuple[int, ...]:
        """Return the groups of the headers of these names (lower case) that may differ.

        That of the target is none, for it is no group as a whole.
        """
        return tuple(group for name, group in self._lines if name in names and group is not None)


class Shapes(Generic[F]):
    """Those that came often, the last used first among those of as many lines."""

    def __init__(self, *, is_nginx: bool) -> None:
        self._is_nginx = is_nginx
        self._by_count: dict[int, list[Shape[F]]] = {}
        self._count = 0
        self._seen: dict[int, tuple[F, int]] = {}

    def find(self, data: bytes) -> tuple[Shape[F], Found] | None:
        """Return the shape of a head and where its parts are, None where none is known."""
        alike = self._by_count.get(data.count(b"\n"))
        if alike is None or len(data) > _LONGEST:
            return None
        for number, shape in enumerate(alike):
            found = shape.match(data)
            if found is not None:
                if number:
                    del alike[number]
                    alike.insert(0, shape)
                return shape, found
        return None

    def note(self, lines: Sequence[Line], form: F, data: bytes) -> None:
        """Learn of a head that was read in full."""
        # The form is held beside, so that no other one gets its number.
        seen = self._seen.get(id(form), (form, 0))[1] + 1
        if seen < _OFTEN:
            if len(self._seen) >= 4 * MOST_SHAPES:
                self._seen.clear()
            self._seen[id(form)] = (form, seen)
            return
        self._seen.pop(id(form), None)
        if len(data) > _LONGEST:
            return
        if self._count >= MOST_SHAPES:
            self._by_count.clear()
            self._count = 0
        alike = self._by_count.setdefault(data.count(b"\n"), [])
        alike.insert(0, Shape(lines, form, is_nginx=self._is_nginx))
        self._count += 1
        if len(alike) > _MOST_ALIKE:
            alike.pop()
            self._count -= 1


def _label(line: Line) -> bytes:
    return re.escape(line.raw.partition(b":")[0])
