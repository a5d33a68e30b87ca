"""The fast parser: yaml-rs, used only where it agrees with the full parser.

It either agrees or is not used: `yaml_prescan` tells when the full parser is needed, and a test
compares both on generated documents. It takes microseconds where the full parser takes
milliseconds.
"""

from __future__ import annotations

from math import isfinite
from typing import Any, Final, NamedTuple

from stoa_gitops.catalog.documents.canonical_json import quick_bytes
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

MAX_BYTES: Final = 1_000_000
"""Largest file for the fast parser: documents are smaller, and it recurses into nested values."""


class QuickParse(NamedTuple):
    """The mapping of a file, which JSON can hold, and its canonical bytes."""

    value: dict[str, Any]
    raw: bytes


def parse_quickly(data: bytes) -> QuickParse | None:
    """Return the only document of a file, None where the full parser is needed."""
    if yaml_rs is None or len(data) > MAX_BYTES:
        return None
    # CRLF is the one line break that both parsers read alike after this.
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    if needs_full_parser(data):
        return None
    value = _parse(data)
    if not isinstance(value, dict) or _has_number_as_variable(value):
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


def _parse(data: bytes) -> Any:
    """Return what yaml-rs reads from a file, None where it refuses in whatever way."""
    try:
        return yaml_rs.loads(data.decode(), parse_datetime=False)
    except (ValueError, TypeError, RecursionError):
        # TypeError: a list or a mapping as a key.
        return None
    except BaseException as error:
        # PyO3 raises a Rust panic as PanicException, which is no Exception and cannot be imported.
        # The full parser reads such a file.
        if type(error).__name__ == "PanicException":
            return None
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
    nesting is bounded all the same.
    """
    # Indentation alone is no depth: vendors indent what they continue by far more than 60 spaces.
    if (
        yaml_rs is None
        or (is_deep(data) and is_nested(data))
        or is_strange(data.translate(None, b"\r\t"))
    ):
        return None
    if has_many_digits(data):
        return None
    try:
        return _text_keyed(_parse(data))
    except OverflowError:
        return None


def _text_keyed(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(_text_keyed(key)): _text_keyed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_text_keyed(item) for item in value]
    if type(value) is int and value.bit_length() > MAX_BITS:
        raise OverflowError("an integer that nobody can hold")
    return value
