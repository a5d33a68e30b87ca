"""Orders changes of APIs so that a path can move from one to another.

Only where a gateway has one API at a path: who gives it up comes before who takes it, also where
that is a deletion. Where two APIs exchange their paths each waits for the other; the adapter of
such a gateway takes one of them aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import API, Key
from stoa_gitops.model.routing import UNNESTED, RoutePattern, Router


def with_path_handovers(changes: Sequence[Change], router: Router) -> Sequence[Change]:
    """Return changes in which takers of a path wait for those that give it up."""
    if router is not UNNESTED:
        return changes
    apis = [change for change in changes if change.key.kind == API]
    given = _Given(change for change in apis if change.observed is not None)
    if not given.is_needed:
        return changes
    waits = {change.key: found for change in apis if (found := given.find_givers(change))}
    return [
        replace(change, depends_on=tuple(sorted({*change.depends_on, *waits[change.key]})))
        if change.key in waits
        else change
        for change in changes
    ]


def with_deletions_first(changes: Sequence[Change]) -> tuple[Change, ...]:
    """Return ordered changes with each deletion that a write waits for before that write.

    One that waits itself, as that of a renamed API does, keeps its place.
    """
    return tuple(_with_deletions_first(changes))


class _Given:
    """The paths that APIs give up, found by a path at, above or below them."""

    def __init__(self, changes: Iterator[Change]) -> None:
        self._at: dict[str, list[tuple[Key, RoutePattern]]] = {}
        self._below: dict[str, list[tuple[Key, RoutePattern]]] = {}
        for change in changes:
            after = _desired(change)
            for held in _observed(change):
                if not any(UNNESTED.takes(pattern, held) for pattern in after):
                    self._add(change.key, held)

    @property
    def is_needed(self) -> bool:
        """Whether any path is given up."""
        return bool(self._at)

    def _add(self, key: Key, held: RoutePattern) -> None:
        self._at.setdefault(held.path, []).append((key, held))
        for path in _above(held.path):
            self._below.setdefault(path, []).append((key, held))

    def find_givers(self, change: Change) -> frozenset[Key]:
        """Return the other APIs that give up what this one takes."""
        return frozenset(
            key
            for wanted in _desired(change)
            for key, held in self._meeting(wanted.path)
            if key != change.key and UNNESTED.takes(wanted, held)
        )

    def _meeting(self, path: str) -> Iterator[tuple[Key, RoutePattern]]:
        for one in (path, *_above(path)):
            yield from self._at.get(one, ())
        yield from self._below.get(path, ())


def _above(path: str) -> Iterator[str]:
    """Yield the paths above one: `/` and `/a` for `/a/b`."""
    if path == "/":
        return
    yield "/"
    parts = path.split("/")
    for length in range(2, len(parts)):
        yield "/".join(parts[:length])


def _desired(change: Change) -> list[RoutePattern]:
    return _patterns(change.resource.spec.value) if change.resource is not None else []


def _observed(change: Change) -> list[RoutePattern]:
    return _patterns(change.observed.spec.value) if change.observed is not None else []


def _patterns(spec: Mapping[str, Any]) -> list[RoutePattern]:
    # A gateway may report an API of which nobody can read the routes.
    routes = spec.get("routes")
    return [UNNESTED.read(route) for route in routes] if isinstance(routes, list) else []


def _with_deletions_first(changes: Sequence[Change]) -> Iterator[Change]:
    free = {c.key for c in changes if c.action is Action.DELETE and not c.depends_on}
    wanted = {
        key for c in changes if c.action is not Action.DELETE for key in c.depends_on if key in free
    }
    if not wanted:
        yield from changes
        return
    # The policies of an API go with it.
    deletions: dict[Key, list[Change]] = {}
    for change in changes:
        root = change.key.parent or change.key
        if change.action is Action.DELETE and root in wanted:
            deletions.setdefault(root, []).append(change)
    moved = {id(change) for found in deletions.values() for change in found}
    for change in changes:
        if id(change) in moved:
            continue
        for key in change.depends_on:
            yield from deletions.pop(key, ())
        yield change
