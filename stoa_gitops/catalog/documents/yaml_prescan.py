"""What a look at the bytes of a document says about how to read it.

Runs over every byte of a catalog, so it is built from `translate` and `in`, which cost a
microsecond for a document where a regular expression costs twenty.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

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
_LEAD: Final = re.compile(rb"[ -]*")

_FLOW: Final = re.compile(rb"[:?-]\s*[\]},:]|[\[{,:]\s*[-?:|>#]|[\]}\"']:\S")
_AFTER_EQUALS: Final = frozenset(b"\n ]},")


def _classes(groups: dict[str, str]) -> bytes:
    """Return a table that writes one character for each of a group."""
    table = bytearray(range(256))
    for character, members in groups.items():
        for member in members:
            table[ord(member)] = ord(character)
    return bytes(table)


_DIGITS: Final = _classes({"0": "123456789"})
_NESTING: Final = _classes({" ": "?:-"})
_BREAKS: Final = _classes({" ": "\n[]{},:\"'"})
_LETTERS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz$/#")
_DEEP: Final = b" " * 60
_OPENERS: Final = 60


def needs_full_parser(data: bytes) -> bool:
    """Tell whether a file holds anything on which yaml-rs and ruamel.yaml might differ.

    Those are characters that YAML treats differently from place to place (tabs, controls, byte
    order marks), indicators of anchors, tags, merges and directives, document markers, times, deep
    nesting, and the spellings of numbers, flow collections and block scalars on which the two were
    seen to differ.
    """
    rest = data.translate(None, _HARMLESS)
    if rest and _has_doubtful_character(data, rest):
        return True
    if (b"---" in data or b"..." in data) and _has_marker(data):
        return True
    if b"0000-0" in data.translate(_DIGITS) or is_deep(data) or (b"X" in data and b"0X" in data):
        return True
    if b"_" in data and _has_doubtful_number(data):
        return True
    if (b"[" in data or b"{" in data) and _has_doubtful_flow(data):
        return True
    return _has_adjacent_value(data)


def _has_marker(data: bytes) -> bool:
    """Whether a line begins as one does that parts documents."""
    return b"\n---" in data or b"\n..." in data or data.startswith((b"---", b"..."))


def is_deep(data: bytes) -> bool:
    """Whether blocks may be nested so deep that a parser which recurses should not see them."""
    return _DEEP in data.translate(_NESTING)


def is_strange(data: bytes) -> bool:
    """Whether characters occur that YAML forbids or takes for line breaks, or bytes that are no
    UTF-8.
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
    """Look closer at a file in which characters occur that may mean something else than themselves."""
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
    """Whether an equals sign may stand alone, where YAML once had a meaning for it."""
    position = data.find(b"=")
    while position >= 0:
        if position + 1 == len(data) or data[position + 1] in _AFTER_EQUALS:
            return True
        position = data.find(b"=", position + 1)
    return False


def _has_doubtful_number(data: bytes) -> bool:
    """Whether an underscore stands in something that starts as numbers do, and not as names do."""
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
    """Whether a flow collection goes over several lines, is deep, or has entries that may be read
    otherwise.
    """
    lines = list(_flow_lines(data))
    openers = 0
    for line in lines:
        lists, maps = line.count(b"["), line.count(b"{")
        if lists != line.count(b"]") or maps != line.count(b"}"):
            return True
        openers += lists + maps
    return openers > _OPENERS or _FLOW.search(b"\n".join(lines)) is not None


def _flow_lines(data: bytes) -> Iterator[bytes]:
    """Yield each line in which a flow collection opens, from there to its end."""
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
    """Whether a value follows a quoted key without a space."""
    for quote, pair in ((b'"', b'":'), (b"'", b"':")):
        if (
            quote in data
            and pair in data
            and data.count(pair) != (data.count(pair + b" ") + data.count(pair + b"\n"))
        ):
            return True
    return False


def _has_doubtful_block(data: bytes) -> bool:
    """Whether a block scalar may be empty, starts with lines that are, or ends without a line
    break.
    """
    if not data.endswith(b"\n"):
        return True
    for found in _BLOCK.finditer(data):
        start = data.rfind(b"\n", 0, found.start()) + 1
        lead = _LEAD.match(data, start)
        indent = _INDENT.match(data, found.end())
        if indent is None or lead is None or len(indent[1]) <= lead.end() - start:
            return True
    return False
