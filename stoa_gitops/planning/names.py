"""Decides which wanted APIs are held for their names, where a gateway knows no tenants. Pure.

There an API is called `<tenant>-<name>`, so that those of two tenants may have one name. Who is on
the gateway keeps it; of two newcomers neither gets it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.resources import Resource


def held_names(
    resources: Mapping[Key, Resource], there: Iterable[Key], is_there: Container[Key]
) -> dict[Key, str]:
    """Return why APIs are held, by key; `there` are the keys of what is on the gateway."""
    users: dict[str, set[Key]] = {}
    for key in (*resources, *there):
        if key.kind == API:
            users.setdefault(f"{key.tenant}-{key.name}", set()).add(key)
    held: dict[Key, str] = {}
    for name, keys in users.items():
        holders = {key for key in keys if key in is_there}
        for key in sorted(keys - holders) if len(keys) > 1 else ():
            if key in resources:
                held[key] = _message(name, key, min(holders or keys - {key}), is_held=bool(holders))
    return held


def _message(name: str, key: Key, other: Key, *, is_held: bool) -> str:
    whose = "is that of" if is_held else "would be that of"
    why = "who is on the gateway keeps it" if is_held else "neither is there yet"
    return f"name.collision: {name} {whose} {other.short}, too, and {why}; rename {key.short}"
