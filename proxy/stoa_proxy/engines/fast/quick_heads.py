"""Heads of requests whose lines came before: each line and each shape is read once, in full.

What one head says of another: both have headers of the same names in the same order, and whatever
else decides how a head is read (`special` headers) is equal to the byte. The values of all others
are checked line by line, by the rule that `http.framing` has for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar, cast

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

# Of each kind so much is known. A line takes 1 KiB or less, a head 4 KiB, for longer ones are not
# remembered.
MOST_KNOWN: Final = 512
LONGEST_KNOWN: Final = 1024
_MOST_LINES: Final = 4096
_LONGEST_KNOWN_LINE: Final = 256
# Longer ones take the long way, which has a bound for each header.
_LONGEST_LINE: Final = 8 * 1024
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*+")
_BLANKS: Final = b" \t"
_MARK: Final = attrgetter("mark")

K = TypeVar("K")
V = TypeVar("V")
F = TypeVar("F", bound=object)


class Recent(Generic[K, V]):
    """Remembers `most` values: those that were asked for or kept last, more or less.

    When half of them came anew, those that nobody asked for meanwhile are forgotten: so many that
    come once and never again do not take the place of those that come again and again. `new` is for
    readers that ask there first, and `get` where it is not found.
    """

    __slots__ = ("_half", "_old", "new")

    def __init__(self, most: int = MOST_KNOWN) -> None:
        self._half = most // 2
        self.new: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self.new) + len(self._old)

    def get(self, key: K) -> V | None:
        """Return a value, None where it is not known or None itself."""
        found = self.new.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.keep(key, found)
        return found

    def keep(self, key: K, value: V) -> None:
        """Remember a value."""
        if len(self.new) >= self._half:
            self._old, self.new = self.new, {}
        self.new[key] = value

    def forget(self, key: K) -> None:
        """Remember a value no more."""
        self.new.pop(key, None)
        self._old.pop(key, None)

    def clear(self) -> None:
        """Forget all values."""
        self.new.clear()
        self._old.clear()


def split_path(path: str) -> tuple[str, ...]:
    """Return the segments of a path that all readers see alike."""
    return tuple(path[1:].split("/"))


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


class Name:
    """The name of a header as it was sent: `key` in lower case, and how its line is written."""

    __slots__ = ("is_special", "key", "text", "written")

    def __init__(self, raw: bytes, key: str, *, is_special: bool) -> None:
        self.text = raw.decode("ascii")
        self.key = key
        self.is_special = is_special
        self.written = raw + b": "


class Line:
    """A header of a request: its `name` in lower case, its `value`, `sent` as we send it.

    `mark` stands for it in the shape of a head: all of a special header, the name of others.
    """

    __slots__ = ("_name", "mark", "name", "raw", "sent", "value")

    def __init__(self, raw: bytes, name: Name, value: bytes) -> None:
        self.raw = raw
        self.name = name.key
        self.mark: bytes | str = raw if name.is_special else name.key
        self.sent = name.written + value + b"\r\n"
        self._name = name.text
        self.value = value

    @property
    def pair(self) -> Header:
        """The header as it was sent."""
        return self._name, self.value.decode("utf-8", "surrogateescape")


class Head(Generic[F]):
    """The header lines of one request, and what all heads of their shape have in common."""

    __slots__ = ("form", "is_known", "lines")

    def __init__(self, lines: list[Line], form: F, *, is_known: bool) -> None:
        self.lines = lines
        self.form = form
        self.is_known = is_known

    def headers(self, names: frozenset[str]) -> tuple[Headers, tuple[str, ...]]:
        """Return the headers of these names, and the names, both in their order."""
        kept = [line for line in self.lines if line.name in names]
        return tuple([line.pair for line in kept]), tuple([line.name for line in kept])

    def raw_lines(self, names: frozenset[str]) -> tuple[bytes, ...]:
        """Return the lines of headers of these names as they were sent."""
        return tuple([line.raw for line in self.lines if line.name in names]) if names else ()


class AskedHead:
    """Headers of a request, for routes that ask for them; those that its form names."""

    __slots__ = ("_head",)

    def __init__(self, head: Head[Any]) -> None:
        self._head = head

    @property
    def headers(self) -> Headers:
        """Return them."""
        return self._head.headers(self._head.form.names)[0]

    @property
    def keys(self) -> tuple[str, ...]:
        """Return their names in lower case."""
        return self._head.headers(self._head.form.names)[1]


class Heads(Generic[F]):
    """Reads heads. `read_form` gets a whole head, and returns None for one that is not usual."""

    def __init__(self, special: frozenset[str], read_form: Callable[[bytes], F | None]) -> None:
        self._special = special
        self._read_form = read_form
        self._names: Recent[bytes, Name] = Recent()
        self._lines: Recent[bytes, Line] = Recent(_MOST_LINES)
        self._forms: Recent[tuple[bytes | str, ...], F] = Recent()
        self._heads: Recent[bytes, Head[F]] = Recent()

    def find(self, block: bytes, data: bytes) -> Head[F] | None:
        """Return the head `data` of which `block` are the header lines; None for an unusual one.

        It is known where all its lines came before: what differs with each request is not worth a
        place.
        """
        known = self._heads.new.get(block) or self._heads.get(block)
        if known is not None:
            return known
        # A block that ends with an empty line, and is one head alone.
        parts = block.split(b"\r\n")
        if parts[-2:] != [b"", b""]:
            return None
        del parts[-2:]
        is_known = len(block) <= LONGEST_KNOWN
        recent = list(map(self._lines.new.get, parts))
        lines = cast("list[Line]", recent)
        for number in range(len(parts)) if None in recent else ():
            if recent[number] is not None:
                continue
            line = self._lines.get(parts[number])
            if line is None:
                is_known = False
                line = self._read_line(parts[number])
                if line is None:
                    return None
            lines[number] = line
        form = self._find_form(lines, data)
        if form is None:
            return None
        head = Head(lines, form, is_known=is_known)
        if is_known:
            self._heads.keep(block, head)
        return head

    def _find_form(self, lines: list[Line], data: bytes) -> F | None:
        shape = tuple(map(_MARK, lines))
        form = self._forms.new.get(shape) or self._forms.get(shape)
        if form is None:
            form = self._read_form(data)
            if form is not None and len(data) <= 4 * LONGEST_KNOWN:
                self._forms.keep(shape, form)
        return form

    def _read_line(self, raw: bytes) -> Line | None:
        label, colon, rest = raw.partition(b":")
        name = self._names.new.get(label) or self._names.get(label) or self._read_name(label)
        if name is None or not colon or len(raw) > _LONGEST_LINE or _VALUE.fullmatch(rest) is None:
            return None
        line = Line(raw, name, rest.strip(_BLANKS))
        if len(raw) <= _LONGEST_KNOWN_LINE:
            self._lines.keep(raw, line)
        return line

    def _read_name(self, raw: bytes) -> Name | None:
        """Return the name of a header, by the rules that there are for whole lines."""
        whole = raw + b":\r\n"
        if FIELD.fullmatch(whole) is None:
            return None
        fields = parse_fields(whole)
        if fields is None or len(fields.headers) != 1:
            return None
        key = fields.keys[0]
        name = Name(raw, key, is_special=key in self._special)
        self._names.keep(raw, name)
        return name
