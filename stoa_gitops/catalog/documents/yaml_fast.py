"""The fast parser: yaml-rs, used only where it agrees with the full parser.

It either agrees or is not used: `yaml_prescan` tells when the full parser is needed, and a test
compares both on generated documents. It takes microseconds where the full parser takes
milliseconds.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, Final, NamedTuple

from stoa_gitops.catalog.documents.canonical_json import quick_bytes
from stoa_gitops.catalog.documents.json_strict import parse_json
from stoa_gitops.catalog.documents.yaml_bounds import (
    MAX_DOCUMENT_BYTES,
    MAX_EXPANDED,
    expanded_size,
)
from stoa_gitops.catalog.documents.yaml_prescan import (
    has_many_digits,
    is_deep,
    is_nested,
    is_strange,
    needs_full_parser,
)
from stoa_gitops.foundation.yaml.composer import MAX_BITS
from stoa_gitops.model.canonical import canonical_bytes

try:
    import yaml_rs
except ImportError:  # an accelerator that may be missing
    yaml_rs = None  # type: ignore[assignment]

AS_WRITTEN: Final = ("spec", "variables")
"""The mapping whose values are texts as they are spelled: `1.10` is a version, `72225e2` a commit.
"""


_MANY_DIGITS: Final = re.compile(rb"[0-9]{91,}+")
"""Digits that nobody means as a number: texts and numbers stay what they are with fewer."""


class QuickParse(NamedTuple):
    """The mapping of a file, which JSON can hold, and its canonical bytes."""

    value: dict[str, Any]
    raw: bytes


def parse_quickly(data: bytes) -> QuickParse | None:
    """Return the only document of a file, None where the full parser is needed."""
    if yaml_rs is None or len(data) > MAX_DOCUMENT_BYTES:
        return None
    # CRLF is the one line break that both parsers read alike after this.
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    if needs_full_parser(data):
        return None
    value = _parse(data)
    return _as_quick(value) if isinstance(value, dict) else None


def parse_json_quickly(data: bytes) -> QuickParse | None:
    """The same for a document that is JSON, which is YAML, too, though few write it so."""
    value = parse_json(data) if len(data) <= MAX_DOCUMENT_BYTES else None
    return _as_quick(value) if value is not None else None


def _as_quick(value: dict[str, Any]) -> QuickParse | None:
    if _has_number_as_variable(value):
        return None
    raw = quick_bytes(value)
    if raw is None:
        raw = canonical_bytes(value) if is_json(value) else None
    return None if raw is None else QuickParse(value, raw)


def _has_number_as_variable(value: dict[str, Any]) -> bool:
    """Whether a variable is no text: only the full parser knows how its author spelled it."""
    found: Any = value
    for name in AS_WRITTEN:
        found = found.get(name) if isinstance(found, dict) else None
    return isinstance(found, dict) and not all(type(item) is str for item in found.values())


def has_fast_parser() -> bool:
    """Whether yaml-rs is installed."""
    return yaml_rs is not None


def refusal_text(data: bytes) -> str:
    """Return why yaml-rs refuses a document, empty where it reads it or must not try."""
    if yaml_rs is None or has_many_digits(data) or (is_deep(data) and is_nested(data)):
        return ""
    return _load(data)[1]


def _parse(data: bytes) -> Any:
    """Return what yaml-rs reads from a file, None where it refuses in whatever way."""
    return _load(data)[0]


def _load(data: bytes) -> tuple[Any, str]:
    """Return what yaml-rs reads from a file, and why it refuses."""
    try:
        return yaml_rs.loads(data.decode(), parse_datetime=False), ""
    except (ValueError, TypeError, RecursionError) as error:
        # TypeError: a list or a mapping as a key.
        return None, str(error)
    except BaseException as error:
        # PyO3 raises a Rust panic as PanicException, which is no Exception and cannot be imported.
        # The full parser reads such a file.
        if type(error).__name__ == "PanicException":
            return None, ""
        raise


def is_json(value: Any) -> bool:
    """Whether JSON can hold a mapping or a list; the full parser names the part that it cannot."""
    if type(value) is dict:
        for key in value:
            if type(key) is not str:
                return False
        value = value.values()
    for item in value:
        kind = type(item)
        if kind is str or kind is bool or item is None:
            continue
        if kind is int:
            if item.bit_length() > MAX_BITS:
                return False
            continue
        if kind is float:
            if not isfinite(item):
                return False
        elif not is_json(item):
            return False
    return True


def parse_anything(data: bytes) -> Any:
    """Return the value of an OpenAPI file, None where it does not parse.

    Keys are taken as text. The value is only validated, so both parsers need not agree exactly; the
    nesting, and what aliases stand for, is bounded all the same.
    """
    # Indentation alone is no depth: vendors indent what they continue by far more than 60 spaces.
    if (
        yaml_rs is None
        or (is_deep(data) and is_nested(data))
        or is_strange(data.translate(None, b"\r\t"))
    ):
        return None
    if has_many_digits(data):
        data = _MANY_DIGITS.sub(_first_digits, data)
    if b"*" in data and expanded_size(data) > MAX_EXPANDED:
        return None
    value = _parse(data)
    try:
        return _text_keyed(value) if isinstance(value, (dict, list)) else value
    except OverflowError:
        return None


def _first_digits(found: re.Match[bytes]) -> bytes:
    return found[0][:90]


def _text_keyed(value: Any) -> Any:
    """Make texts of all keys, in place; raises OverflowError for an integer of too many digits."""
    todo = [value]
    while todo:
        container = todo.pop()
        if type(container) is dict:
            if any(type(key) is not str for key in container):
                pairs = {str(key): item for key, item in container.items()}
                container.clear()
                container.update(pairs)
            container = container.values()
        for item in container:
            kind = type(item)
            if kind is dict or kind is list:
                todo.append(item)
            elif kind is int and item.bit_length() > MAX_BITS:
                raise OverflowError("an integer that nobody can hold")
    return value
