"""Values of field changes: on one line of text, and as JSON that is safe to publish."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from stoa_gitops.model.canonical import SECRET_FIELD, Json
from stoa_gitops.model.changes import FieldChange
from stoa_gitops.model.secret import SecretRef
from stoa_gitops.report.style import Style, shorten

NOT_SET: Final = "(not set)"
"""Stands for an absent value; a string of that spelling is shown in quotes."""

SET: Final = "set"
"""Note of a field of an object that is created: it has a value and never had another."""

WITHHELD: Final = "***"

_ARROW: Final = " -> "
_MIN_VALUE: Final = 24
"""Characters that a value keeps on any terminal."""
_CONTEXT: Final = 10
"""Characters shown before the first difference of two values that begin alike."""


def secret_reference(value: Json) -> str | None:
    """Return the reference that `value` is, `***` for a malformed one, None for any other value."""
    if not isinstance(value, Mapping) or len(value) != 1 or SECRET_FIELD not in value:
        return None
    text = value[SECRET_FIELD]
    try:
        return SecretRef.parse(text).shown if isinstance(text, str) else WITHHELD
    except ValueError:
        # A person may have written the secret itself where its reference belongs: it must not
        # show up in a build log.
        return WITHHELD


def mask_broken_references(value: Json) -> Json:
    """Return the tree with `***` for every malformed reference; everything else is unchanged."""
    reference = secret_reference(value)
    if reference is not None:
        return {SECRET_FIELD: reference}
    if isinstance(value, Mapping):
        return {name: mask_broken_references(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [mask_broken_references(item) for item in value]
    return value


def value_text(value: Json, style: Style) -> str:
    """Return JSON on one line, with secret references as `env:NAME` and nothing as `(not set)`."""
    return NOT_SET if value is None else style.safe(_compact(value))


def _compact(value: Json) -> str:
    reference = secret_reference(value)
    if reference is not None:
        return reference
    if isinstance(value, Mapping):
        inside = (f"{_scalar(name)}: {_compact(item)}" for name, item in value.items())
        return "{" + ", ".join(inside) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_compact(item) for item in value) + "]"
    return _scalar(value)


def _scalar(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def value_texts(field: FieldChange, style: Style, room: int = 0) -> tuple[str, str]:
    """Return both values of a field that is not sensitive, in `room` characters together."""
    before, after = value_text(field.before, style), value_text(field.after, style)
    if room <= 0 or len(before) + len(after) <= room:
        return before, after
    half = max(room // 2, _MIN_VALUE)
    # A short value leaves the rest of its half to the other one.
    room_before = max(half, room - len(after))
    room_after = max(half, room - len(before))
    left, right = shorten(before, room_before, style.mark), shorten(after, room_after, style.mark)
    if left != right:
        return left, right
    # Cut in the middle, both look the same: show where they begin to differ.
    start = max(0, _common_prefix(before, after) - _CONTEXT)
    return _window(before, start, half, style.mark), _window(after, start, half, style.mark)


def _common_prefix(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _window(text: str, start: int, room: int, mark: str) -> str:
    head = mark if start else ""
    rest = text[start:]
    keep = max(room - len(head) - len(mark), _CONTEXT + 4)
    return head + (rest if len(rest) <= keep else rest[:keep] + mark)


def sensitive_text(field: FieldChange) -> str:
    """Return what stands for the values of a sensitive field."""
    return f"(sensitive, {field.note})" if field.note else "(sensitive)"


def field_text(field: FieldChange, style: Style, room: int = 0) -> str:
    """Return `before -> after` in about `room` characters, or what stands for a sensitive field."""
    if field.sensitive:
        return style.safe(sensitive_text(field))
    before, after = value_texts(field, style, max(room - len(_ARROW), 1) if room > 0 else 0)
    return after if field.note == SET else before + _ARROW + after
