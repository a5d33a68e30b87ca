"""Tells words of an interface from values: in paths, and among the names of a query.

Whatever is not plainly a word counts as a value, and no value is kept: a word that is taken for a
value makes a proposal less exact, a value that is taken for a word tells of a person.
"""

from __future__ import annotations

import re
from typing import Final

INTEGER: Final = "integer"
UUID: Final = "uuid"
DATE: Final = "date"
TEXT: Final = "string"

# Words of letters, joined by `-`, `_` or `.`: `line-items`, `order_lines`, `openapi.json`.
_WORD = re.compile(r"[A-Za-z]{1,20}(?:[-_.][A-Za-z]{1,20}){0,4}")
_VERSION = re.compile(r"v[0-9]{1,3}(?:\.[0-9]{1,3})?")
# One digit at the end of a short word: `oauth2`, `s3`.
_NUMBERED = re.compile(r"[A-Za-z]{1,10}[0-9]")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_DATE = re.compile(r"[0-9]{4}-[01][0-9]-[0-3][0-9]")
_HEX = re.compile(r"[0-9a-f]{8,}|[0-9A-F]{8,}")
# Capitals inside of a word: more of them than names in camel case have is a code or a key.
_CAPITALS = re.compile(r"(?<=[a-zA-Z])[A-Z]")
_MOST_CAPITALS: Final = 3
# More consonants in a row than words have (`rechtsschutz` has four sounds of them): a code of
# letters alone. Short ones are abbreviations: `xmlrpc`.
_UNSPEAKABLE = re.compile(r"(?i)(?>sch|[cpst]h|ck|[bcdfghj-np-tvwxz]){5}")
_LONGEST_ABBREVIATION: Final = 7
_PARAMETER = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]{0,39})(?:\[[A-Za-z_]{0,20}\])?")


def value_kind(segment: str) -> str | None:
    """Return what kind of value a decoded segment of a path is, None for a word."""
    if segment.isascii() and segment.isdigit():
        return INTEGER
    if _UUID.fullmatch(segment):
        return UUID
    if _DATE.fullmatch(segment):
        return DATE
    return None if _is_word(segment) else TEXT


def is_parameter(name: str) -> bool:
    """Whether the decoded name of a parameter can be one of an interface: `page`, `filter[name]`.

    What has no `=` in a query is no name, and is not asked about.
    """
    found = _PARAMETER.fullmatch(name)
    if found is None or _HEX.fullmatch(found[1]):
        return False
    digits = sum(character.isdigit() for character in name)
    return digits <= 2 and len(_CAPITALS.findall(name)) <= _MOST_CAPITALS


def _is_word(segment: str) -> bool:
    if _VERSION.fullmatch(segment) or _NUMBERED.fullmatch(segment):
        return True
    if not _WORD.fullmatch(segment) or _HEX.fullmatch(segment):
        return False
    if len(segment) > _LONGEST_ABBREVIATION and _UNSPEAKABLE.search(segment):
        return False
    return segment.isupper() or len(_CAPITALS.findall(segment)) <= _MOST_CAPITALS
