"""Fields that somebody added to a definition of ours, told from what the server fills in. Pure.

A condition at a step, a proxy before the backend or another certificate check changes what happens
to requests, and no canonical field shows it. What a plugin's own schema has as its default was
filled in by the server; where that says nothing, what is empty or off is taken for absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from stoa_gitops.adapters.gravitee.entities.defaults import FILLED_IN, SECURITIES
from stoa_gitops.adapters.gravitee.entities.parts import GatewayInfo, JsonTree
from stoa_gitops.adapters.gravitee.entities.schemas import DEEPEST, properties_of, resolved


@dataclass(frozen=True, slots=True)
class _Schema:
    """What a plugin's schema says of a field of its configuration; `root` None: nobody knows."""

    root: JsonTree | None
    part: Any = None

    def at(self, name: str) -> list[_Schema]:
        """Return what it says of a field below, once for each alternative."""
        if self.root is None:
            return [self]
        found = (part for field, part in properties_of(self.part, self.root) if field == name)
        return [_Schema(self.root, part) for part in found]

    def fills_in(self, value: Any) -> bool:
        """Whether a value is the default, or as good as none where there is no default."""
        if self.root is None or value is None:
            return True
        part = resolved(self.part, self.root) if isinstance(self.part, Mapping) else {}
        if "default" not in part:
            return _is_nothing(value)
        default = part["default"]
        return isinstance(default, bool) == isinstance(value, bool) and bool(default == value)


_Schemas: TypeAlias = "Sequence[_Schema] | None"
"""What is said of a part of a plugin's configuration; None outside of one."""


def find_added(wanted: Any, held: Any, path: str, info: GatewayInfo) -> Iterator[str]:
    """Yield where a part of a definition has a field that was not written, dotted.

    Items of lists that only the gateway has are not among them (`unmapped_fields.differences`).
    """
    yield from _added(wanted, held, path, info, None)


def _added(
    wanted: Any, held: Any, path: str, info: GatewayInfo, schemas: _Schemas
) -> Iterator[str]:
    if isinstance(wanted, Mapping) and isinstance(held, Mapping):
        for name, item in held.items():
            at, below = f"{path}.{name}", _below(name, held, info, schemas)
            if name in wanted:
                yield from _added(wanted[name], item, at, info, below)
            elif not _is_filled_in(at, item, below, 0):
                yield at
    elif isinstance(wanted, list) and isinstance(held, list):
        for index, (one, other) in enumerate(zip(wanted, held, strict=False)):
            yield from _added(one, other, f"{path}.{index}", info, schemas)


def _below(name: str, holder: Mapping[str, Any], info: GatewayInfo, schemas: _Schemas) -> _Schemas:
    """Return the schemas of a field."""
    if schemas is not None:
        return _parts(schemas, name)
    sort = str(holder.get("type"))
    if name == "sharedConfiguration":
        plugin = f"endpoints/{sort}"
    elif name != "configuration":
        return None
    elif "policy" in holder:
        plugin = f"policies/{holder['policy']}"
    else:
        plugin = f"policies/{SECURITIES[sort]}" if sort in SECURITIES else f"resources/{sort}"
    root = info.schemas.get(plugin)
    return [_Schema(root, root)]


def _is_filled_in(path: str, value: Any, schemas: _Schemas, depth: int) -> bool:
    """Whether the server filled a field in, or it says nothing."""
    if depth > DEEPEST:
        return True
    if isinstance(value, Mapping):
        # What is switched off is not there.
        return value.get("enabled") is False or all(
            _is_filled_in(f"{path}.{name}", item, _parts(schemas, name), depth + 1)
            for name, item in value.items()
        )
    if schemas:
        return any(schema.fills_in(value) for schema in schemas)
    if schemas is not None or _is_nothing(value):
        return _is_nothing(value)
    _, parent, name = f"..{path}".rsplit(".", 2)
    for key in (name, f"{parent}.{name}"):
        if key in FILLED_IN:
            return FILLED_IN[key] in (None, value)
    return False


def _is_nothing(value: Any) -> bool:
    return value in (None, "", "NONE", False, [], {})


def _parts(schemas: _Schemas, name: str) -> _Schemas:
    return None if schemas is None else [one for schema in schemas for one in schema.at(name)]
