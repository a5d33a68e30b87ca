"""Sorts changes: what others need comes first, deletions come last and in reverse order."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence

from stoa_gitops.model.changes import Action, Change
from stoa_gitops.model.keys import Key
from stoa_gitops.model.kinds import LAST_RANK, kind_info


def rank(key: Key) -> int:
    """Return the position of a kind in the order of writes; unknown kinds come last."""
    info = kind_info(key.kind)
    return LAST_RANK if info is None else info.rank


def sort_changes(changes: Iterable[Change]) -> tuple[Change, ...]:
    """Sort writes topologically by `depends_on`, ties by rank and key; then deletions.

    Keys that depend on each other in a circle come in the order of their rank.
    """
    writes: list[Change] = []
    deletes: list[Change] = []
    for change in changes:
        (deletes if change.action is Action.DELETE else writes).append(change)
    deletes.sort(key=lambda change: (-rank(change.key), change.key))
    return (*_sort_topologically(writes), *deletes)


def _sort_topologically(writes: Sequence[Change]) -> list[Change]:
    by_key = {change.key: change for change in writes}
    waits = {key: {need for need in by_key[key].depends_on if need in by_key} for key in by_key}
    needed_by: dict[Key, list[Key]] = {}
    for key, needs in waits.items():
        for need in needs:
            needed_by.setdefault(need, []).append(key)
    ready = [(rank(key), key) for key, needs in waits.items() if not needs]
    heapq.heapify(ready)
    done: dict[Key, Change] = {}
    while len(done) < len(by_key):
        if ready:
            _, key = heapq.heappop(ready)
        else:
            # A circle: the lowest key of what is left breaks it.
            key = min(by_key.keys() - done.keys(), key=lambda k: (rank(k), k))
        if key in done:  # a circle was broken at it, and its turn came as well
            continue
        done[key] = by_key[key]
        for other in needed_by.get(key, ()):
            waits[other].discard(key)
            if not waits[other] and other not in done:
                heapq.heappush(ready, (rank(other), other))
    return list(done.values())
