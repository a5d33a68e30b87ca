"""Reads JSON where no two parsers can differ: no key twice, no number that only some can hold."""

from __future__ import annotations

import json
from typing import Any, Final

_DIGITS: Final = 300
"""Most digits of an integer in JSON: a double has 309."""


def parse_json(data: bytes) -> dict[str, Any] | None:
    """Return the mapping of a JSON document, None where it is none or says a key twice.

    JSON takes characters that YAML refuses (RFC 8259 §7: all but U+0000 to U+001F), and is read
    much faster.
    """
    if data.lstrip(b" \t\r\n\xef\xbb\xbf")[:1] != b"{":
        return None
    try:
        text = data.decode("utf-8-sig")
        value = json.loads(
            text, object_pairs_hook=_once, parse_int=_integer, parse_constant=_refuse
        )
        if "\\ud" in text or "\\uD" in text:
            # Half a surrogate pair is no character: the parser of YAML says where it stands.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key is written twice")
    return mapping


def _integer(text: str) -> int:
    # Python takes time that grows with the square of the digits.
    if len(text) > _DIGITS:
        raise ValueError("an integer that nobody can hold")
    return int(text)


def _refuse(constant: str) -> Any:
    raise ValueError(f"JSON has no {constant}")
