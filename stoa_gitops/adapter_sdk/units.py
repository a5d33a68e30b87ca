"""Groups the changes of a plan to units: what belongs to one API meets requests together. Pure.

For gateways that write several objects as one change (`Granularity.UNIT`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from stoa_gitops.model.changes import Change
from stoa_gitops.model.keys import API, APPLICATION, POLICY, Key

MAX_UNIT: Final = 100
"""Changes of one unit. A larger one is split into its APIs with their policies, and the rest."""

MAX_CALL: Final = 50
"""Changes that are sent together, where the first unit is not larger: what a gateway works off in
some 10 ms, between two turns of its requests."""

_OF_API: Final = frozenset({API, POLICY})

Unit = tuple[Change, ...]


def split_units(changes: Sequence[Change]) -> list[Unit]:
    """Return the units of a plan in the order of their first changes; each in the plan's order.

    An API and its policies are one unit, together with changed applications of its tenant that
    subscribe to it, did so, or wait for it, and with those among which a key may pass on. Those of
    other tenants are not: what is wrong with them must not hold up the API.
    """
    found: list[Unit] = []
    for unit in _group(changes, _links):
        found += [unit] if len(unit) <= MAX_UNIT else _group(unit, _api_links)
    order = {id(change): index for index, change in enumerate(changes)}
    return sorted(found, key=lambda unit: order[id(unit[0])])


def pack(units: Iterable[Sequence[Change]]) -> Iterator[list[Change]]:
    """Yield the changes of several units at a time, no unit split; MAX_CALL where units allow."""
    packed: list[Change] = []
    for unit in units:
        if packed and len(packed) + len(unit) > MAX_CALL:
            yield packed
            packed = []
        packed = [*packed, *unit]
    if packed:
        yield packed


def _group(changes: Sequence[Change], links: Callable[[Change], Iterable[Key]]) -> list[Unit]:
    """Return the changes that are linked with each other, directly or by others."""
    roots: dict[Key, Key] = {}

    def root_of(key: Key) -> Key:
        root = key
        while roots.setdefault(root, root) != root:
            root = roots[root]
        while roots[key] != root:
            roots[key], key = root, roots[key]
        return root

    for change in changes:
        for other in links(change):
            roots[root_of(other)] = root_of(change.key)
    grouped: dict[Key, list[Change]] = {}
    for change in changes:
        grouped.setdefault(root_of(change.key), []).append(change)
    return [tuple(group) for group in grouped.values()]


def _links(change: Change) -> Iterator[Key]:
    yield from _api_links(change)
    if change.key.kind != APPLICATION:
        yield from change.depends_on
        return
    own = change.key.tenant
    yield Key(APPLICATION, own, "")
    yield from (key for key in change.depends_on if key.tenant == own)
    for side in (change.resource, change.observed):
        if side is not None:
            yield from (key for key in _subscribed(own, side.spec.value) if key.tenant == own)


def _api_links(change: Change) -> Iterator[Key]:
    is_of_api = change.key.kind in _OF_API
    if change.key.kind == POLICY and change.key.parent is not None:
        yield change.key.parent
    # A credential passes from one application to another, a path from one API to another.
    yield from (key for key in change.depends_on if (key.kind in _OF_API) == is_of_api)


def _subscribed(tenant: str, spec: Mapping[str, Any]) -> Iterator[Key]:
    """Yield the APIs of a spec's subscriptions; a gateway may report anything there."""
    listed = spec.get("subscriptions")
    for item in listed if isinstance(listed, list) else ():
        name = item.get("api") if isinstance(item, dict) else None
        if isinstance(name, str):
            yield Key.parse_name(API, name, tenant)
