"""Compares an earlier import, the document as it is now, and a new import, field by field. Pure.

What a person changed stays; what nobody changed becomes what the new import says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

ABSENT: Final[Any] = object()
"""Stands for a field that is not there."""

_IDENTITIES: Final[Mapping[tuple[str, ...], str]] = {
    ("spec", "routes"): "path",
    ("spec", "policies"): "type",
    ("spec", "plans"): "name",
    ("spec", "subscriptions"): "api",
}
"""Lists whose items are told apart by a field; any other list is one value."""


class Item(NamedTuple):
    """An item of a list, by the field that tells it from the others."""

    field: str
    value: str


Path = tuple[str | Item, ...]


@dataclass(frozen=True, slots=True)
class Edit:
    """One field to be set, or to be removed where the value is ABSENT."""

    path: Path
    value: Any


@dataclass(frozen=True, slots=True)
class Kept:
    """One field that a person and the new import changed; the person's stays."""

    path: Path
    yours: Any
    imported: Any


def merge(base: Any, mine: Any, new: Any) -> tuple[list[Edit], list[Kept]]:
    """Return what to change in `mine`, and what would change had nobody edited it."""
    edits: list[Edit] = []
    kept: list[Kept] = []
    _merge((), base, mine, new, edits, kept)
    return edits, kept


def _merge(path: Path, base: Any, mine: Any, new: Any, edits: list[Edit], kept: list[Kept]) -> None:
    if new == base or mine == new:
        return
    before, now, after = (_fields(path, side) for side in (base, mine, new))
    if before is not None and now is not None and after is not None:
        for key in dict.fromkeys((*after, *before)):
            _merge(
                (*path, key),
                before.get(key, ABSENT),
                now.get(key, ABSENT),
                after.get(key, ABSENT),
                edits,
                kept,
            )
    elif mine == base:
        edits.append(Edit(path, new))
    else:
        kept.append(Kept(path, mine, new))


def _fields(path: Path, value: Any) -> Mapping[Any, Any] | None:
    """Return the fields of a mapping or the items of a list by identity, None for one value."""
    if isinstance(value, Mapping):
        return value
    identity = _IDENTITIES.get(tuple(step for step in path if isinstance(step, str)))
    if identity is None or not isinstance(value, list):
        return None
    items: dict[Item, Any] = {}
    for item in value:
        name = item.get(identity) if isinstance(item, Mapping) else None
        if not isinstance(name, str) or Item(identity, name) in items:
            return None
        items[Item(identity, name)] = item
    return items


def shown_path(path: Path) -> str:
    """Return a path for people: `spec.policies[api_key].config`."""
    text = ""
    for step in path:
        text += f"[{step.value}]" if isinstance(step, Item) else f".{step}"
    return text.removeprefix(".")
