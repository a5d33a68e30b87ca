"""Decides from the bytes of a file whether the fast YAML parser may read it.

Runs over every byte of a catalog, so it is made of `bytes.translate` and `in`, which take 1 us for
a document where a regular expression takes 20.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from stoa_gitops.foundation.yaml.composer import MAX_DIGITS

_PLAIN: Final = bytes(range(0x20, 0x7F)) + b"\n"
_INDICATING: Final = b"&*!%<=\\|>"
_HARMLESS: Final = _PLAIN.translate(None, _INDICATING)
_HIGH: Final = bytes(range(0x80, 0x100))
_STRANGE: Final = re.compile(
    "[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_INDICATORS: Final = re.compile(rb"(?<![^\s\[\]{},:?-])[&*!%]")
_ESCAPES: Final = re.compile(rb"\\[^\"\\n/]")
_BLOCK: Final = re.compile(rb"[|>][-+0-9]*[ ]*(?:#[^\n]*)?\n")
_INDENT: Final = re.compile(rb"( *)[^ \n]")
_OPENING: Final = re.compile(rb"^( *)((?:[-?:] +)*)(?=[^ \n])", re.MULTILINE)
_LEAD: Final = re.compile(rb"[ -]*")

_FLOW: Final = re.compile(rb"[:?-]\s*[\]},:]|[\[{,:]\s*[-?:|>#]|[\]}\"']:\S")
_EQUALS: Final = re.compile(rb"=(?:[\n \]},]|\Z)")


def _classes(groups: dict[str, str]) -> bytes:
    """Return a translation table that maps the members of each group to one character."""
    table = bytearray(range(256))
    for character, members in groups.items():
        for member in members:
            table[ord(member)] = ord(character)
    return bytes(table)


# yaml-rs reads an integer in time by the square of its length. A quarter of the digits that an
# integer may have is no integer that anybody means; 99 is the longest text that `in` finds without
# a table of its own.
_MANY_DIGITS: Final = b"0" * 99
_DIGITS: Final = _classes({"0": "123456789"})
_NESTING: Final = _classes({" ": "?:-"})
_BREAKS: Final = _classes({" ": "\n[]{},:\"'"})
_NO_BRACKETS: Final = bytes(byte for byte in range(256) if byte not in b"[]{}")
_LETTERS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz$/#")
# 60 of the 128 levels that the full parser admits: deep enough for every real document.
_DEEP: Final = b" " * 60
_OPENERS: Final = 60


def has_many_digits(data: bytes) -> bool:
    """Whether a file may hold an integer of more digits than a fast parser should see."""
    return len(data) > MAX_DIGITS and _MANY_DIGITS in data.translate(_DIGITS)


def needs_full_parser(data: bytes) -> bool:
    """Whether a file holds anything that yaml-rs and ruamel.yaml might read differently.

    These are characters whose meaning depends on the context (tabs, controls, byte order marks),
    indicators of anchors, tags, merges and directives (YAML 1.2.2 §5.3), document markers, times,
    deep nesting, and the spellings of numbers, flow collections and block scalars that differed in
    tests.
    """
    rest = data.translate(None, _HARMLESS)
    if rest and _has_doubtful_character(data, rest):
        return True
    if (b"---" in data or b"..." in data) and _has_marker(data):
        return True
    digits = data.translate(_DIGITS)
    if b"0000-0" in digits or (b"X" in data and b"0X" in data):
        return True
    # Indentation alone is no depth: texts are continued far to the right.
    if is_deep(data) and is_nested(data):
        return True
    if len(data) > MAX_DIGITS and _MANY_DIGITS in digits:
        return True
    if b"_" in data and _has_doubtful_number(data):
        return True
    if (b"[" in data or b"{" in data) and _has_doubtful_flow(data):
        return True
    return _has_adjacent_value(data)


def _has_marker(data: bytes) -> bool:
    """Whether a line begins with a document marker, `---` or `...` (YAML 1.2.2 §9.1.2)."""
    return b"\n---" in data or b"\n..." in data or data.startswith((b"---", b"..."))


def is_deep(data: bytes) -> bool:
    """Whether blocks may be nested deeper than a recursive parser should see."""
    return _DEEP in data.translate(_NESTING)


def is_nested(data: bytes) -> bool:
    """Whether blocks are nested deeper than 60 levels, by the indents that are open in each line.

    Lines of block scalars count as if they were blocks, so the answer may be a false yes.
    """
    opened: list[int] = []
    for found in _OPENING.finditer(data):
        indent, markers = len(found[1]), found[2]
        while opened and opened[-1] >= indent:
            opened.pop()
        opened.append(indent)
        if markers:
            # `- - a` opens a block at each dash.
            opened.extend(
                indent + place + 1 for place, byte in enumerate(markers) if byte in b"?:-"
            )
        if len(opened) > _OPENERS:
            return True
    return False


def is_strange(data: bytes) -> bool:
    """Whether a file has characters that are not printable or break lines, or invalid UTF-8.

    YAML 1.2.2 §5.1 and §5.4: U+0085, U+2028 and U+2029 broke lines in YAML 1.1.
    """
    rest = data.translate(None, _PLAIN)
    return bool(rest) and _is_strange(data, rest)


def _is_strange(data: bytes, rest: bytes) -> bool:
    if rest.translate(None, _HIGH):
        return True
    try:
        return _STRANGE.search(data.decode()) is not None
    except UnicodeDecodeError:
        return True


def _has_doubtful_character(data: bytes, rest: bytes) -> bool:
    """Check the context of characters that may be indicators."""
    others = rest.translate(None, b"=")
    if others:
        strange = others.translate(None, _INDICATING)
        if strange and _is_strange(data, strange):
            return True
        if b"<<" in data or _INDICATORS.search(data):
            return True
        if b"\\" in others and _ESCAPES.search(data):
            return True
        if (b"|" in others or b">" in others) and _has_doubtful_block(data):
            return True
    return b"=" in rest and _has_doubtful_equals(data)


def _has_doubtful_equals(data: bytes) -> bool:
    """Whether `=` may be a value of its own: YAML 1.1 gave it a type (tag:yaml.org,2002:value)."""
    first = data.find(b"=")
    if first < 0:
        return False
    # A usual file has one, in the comment that names its schema.
    if data.rfind(b"=") == first:
        return _EQUALS.match(data, first) is not None
    return _EQUALS.search(data, first) is not None


def _has_doubtful_number(data: bytes) -> bool:
    """Whether an underscore is in a possible number: YAML 1.1 allowed 1_000, 1.2 reads a text."""
    flat = data.translate(_BREAKS)
    position = flat.find(b"_")
    while position >= 0:
        start = flat.rfind(b" ", 0, position) + 1
        if flat[start] not in _LETTERS:
            return True
        end = flat.find(b" ", position)
        position = flat.find(b"_", end) if end >= 0 else -1
    return False


def _has_doubtful_flow(data: bytes) -> bool:
    """Whether a flow collection spans lines, is deep, or has entries that the parsers read
    differently.
    """
    lines = list(_flow_lines(data))
    for line in lines:
        lists, maps = line.count(b"["), line.count(b"{")
        if lists != line.count(b"]") or maps != line.count(b"}"):
            return True
        # A line that closes what it opens is nested no deeper than it has brackets.
        if lists + maps > _OPENERS and _is_deep_flow(line):
            return True
    return _FLOW.search(b"\n".join(lines)) is not None


def _is_deep_flow(line: bytes) -> bool:
    """Whether brackets may be nested deeper than a recursive parser should see."""
    depth = 0
    for byte in line.translate(None, _NO_BRACKETS):
        depth += 1 if byte in b"[{" else -1
        if depth > _OPENERS:
            return True
    return False


def _flow_lines(data: bytes) -> Iterator[bytes]:
    """Yield each line in which a flow collection opens, from there to the end of the line."""
    lists, maps = data.find(b"["), data.find(b"{")
    while lists >= 0 or maps >= 0:
        start = lists if maps < 0 or 0 <= lists < maps else maps
        end = data.find(b"\n", start)
        if end < 0:
            end = len(data)
        yield data[start:end]
        if 0 <= lists < end:
            lists = data.find(b"[", end)
        if 0 <= maps < end:
            maps = data.find(b"{", end)


def _has_adjacent_value(data: bytes) -> bool:
    """Whether a value follows a quoted key without a space, as JSON may have it (§7.4.2, YAML
    1.2.2).
    """
    for quote, pair in ((b'"', b'":'), (b"'", b"':")):
        if (
            quote in data
            and pair in data
            and data.count(pair) != (data.count(pair + b" ") + data.count(pair + b"\n"))
        ):
            return True
    return False


def _has_doubtful_block(data: bytes) -> bool:
    """Whether a block scalar may be empty, starts with empty lines, or has no final line break."""
    if not data.endswith(b"\n"):
        return True
    for found in _BLOCK.finditer(data):
        start = data.rfind(b"\n", 0, found.start()) + 1
        lead = _LEAD.match(data, start)
        indent = _INDENT.match(data, found.end())
        if indent is None or lead is None or len(indent[1]) <= lead.end() - start:
            return True
    return False
