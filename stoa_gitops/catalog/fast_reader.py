"""The quick way: yaml-rs, and only where it is known to agree with the slow reader.

It may agree or hand over, never differ. What makes it hand over is what a byte scan can see: characters
that YAML treats differently from place to place (tabs, controls, byte order marks), indicators of
anchors, tags and directives, document markers, times, and the spellings of numbers, keys and block
scalars on which yaml-rs and ruamel.yaml were seen to disagree. A test compares the two on generated
documents.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, Final

try:
    import yaml_rs
except ImportError:  # an accelerator that may be missing
    yaml_rs = None  # type: ignore[assignment]

MAX_BYTES: Final = 1_000_000
"""Larger files are read slowly: no document of ours is so large, and nesting stays bounded."""

_PLAIN: Final = bytes(range(0x20, 0x7F)) + b"\n"
_STRANGE: Final = re.compile(
    "[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_ANCHORS: Final = re.compile(rb"(?:^|[\s\[\]{},:?-])[&*!%=]", re.MULTILINE)
_DIRECTIVES: Final = re.compile(rb"^(?:---|\.\.\.)", re.MULTILINE)
_TIMES: Final = re.compile(rb"\d{4}-\d")
_NUMBERS: Final = re.compile(
    rb"(?:^|[\s\[{,:])[-+.]?[0-9_][0-9A-Fa-f+.xXob-]*_|_[0-9]|0[Xx_]", re.MULTILINE
)
_FLOW: Final = re.compile(rb"[:?-]\s*[\]},:]|[\[{,]\s*[-?:|>]|[\]}\"']:\S|\n\s*[\]}]|[\[{,][ ]*#")
_ESCAPES: Final = re.compile(rb"\\[^\"\\n/]")
_DEEP: Final = re.compile(rb"^[ ?:-]{60}", re.MULTILINE)
_BLOCK: Final = re.compile(rb"^([ -]*)(?:[^\n]*[ :])?[|>][-+0-9]*[ ]*(?:#[^\n]*)?\n", re.MULTILINE)
_INDENT: Final = re.compile(rb"( *)[^ \n]")
_OPENERS: Final = 60


def is_available() -> bool:
    """Whether the accelerator is installed."""
    return yaml_rs is not None


def read_quickly(data: bytes) -> Any:
    """Return the mapping in a file with one document, or None when the slow reader must look.

    The mapping is what JSON can hold: text as keys, finite numbers.
    """
    if yaml_rs is None or len(data) > MAX_BYTES:
        return None
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    if must_hand_over(data):
        return None
    try:
        value = yaml_rs.loads(data.decode(), parse_datetime=False)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and is_json(value) else None


def parse_anything(data: bytes) -> Any:
    """Return the value of a file that is no document of ours (OpenAPI), None where it does not parse.

    Keys are taken as text. Such a file is only checked, so the two readers need not agree to the letter;
    nesting is bounded all the same.
    """
    if yaml_rs is None or _DEEP.search(data):
        return None
    rest = data.translate(None, _PLAIN + b"\r\t")
    if rest and _is_strange(data.replace(b"\r", b"").replace(b"\t", b""), rest):
        return None
    try:
        return _text_keyed(yaml_rs.loads(data.decode(), parse_datetime=False))
    except (ValueError, RecursionError):
        return None


def _text_keyed(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _text_keyed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_text_keyed(item) for item in value]
    return value


def must_hand_over(data: bytes) -> bool:
    """Tell whether a byte scan sees anything on which the two readers might differ."""
    rest = data.translate(None, _PLAIN)
    if rest and _is_strange(data, rest):
        return True
    if b"<<" in data or _DIRECTIVES.search(data) or _ANCHORS.search(data):
        return True
    if _TIMES.search(data) or _DEEP.search(data):
        return True
    if (b"_" in data or b"0X" in data) and _NUMBERS.search(data):
        return True
    if b"\\" in data and _ESCAPES.search(data):
        return True
    if (b"[" in data or b"{" in data) and _is_doubtful_flow(data):
        return True
    return (b"|" in data or b">" in data) and _has_doubtful_block(data)


def _is_strange(data: bytes, rest: bytes) -> bool:
    if rest.translate(None, bytes(range(0x80, 0x100))):
        return True
    try:
        return _STRANGE.search(data.decode()) is not None
    except UnicodeDecodeError:
        return True


def _is_doubtful_flow(data: bytes) -> bool:
    return data.count(b"[") + data.count(b"{") > _OPENERS or _FLOW.search(data) is not None


def _has_doubtful_block(data: bytes) -> bool:
    """Whether a block scalar may be empty, or starts with lines that are."""
    for found in _BLOCK.finditer(data):
        indent = _INDENT.match(data, found.end())
        if indent is None or len(indent[1]) <= len(found[1]):
            return True
    return False


def is_json(value: Any) -> bool:
    """Whether JSON can hold a value; the slow reader names the part that it cannot."""
    if isinstance(value, dict):
        for key, item in value.items():
            if type(key) is not str or (type(item) is not str and not is_json(item)):
                return False
        return True
    if isinstance(value, list):
        return all(type(item) is str or is_json(item) for item in value)
    return not isinstance(value, float) or isfinite(value)
