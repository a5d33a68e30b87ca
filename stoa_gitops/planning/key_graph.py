"""Dependency graph between keys: which decisions to make again when a key changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from stoa_gitops.model.keys import APPLICATION, Key
from stoa_gitops.model.resources import Resource
from stoa_gitops.planning.classification import ClassifiedState
from stoa_gitops.planning.subscriptions import subscribed

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class KeyGraph:
    """Edges between keys; keys without any are left out.

    coupled     keys that are decided together with this one: the API of a policy, the API that it
                guards, the key it had before a rename
    needs       keys whose decision influences this one, but not the reverse: `depends_on`, the APIs
                that an application subscribes to
    dependents  the reverse of both: every key that has this one among its `coupled` or `needs`
    """

    coupled: Mapping[Key, tuple[Key, ...]]
    needs: Mapping[Key, tuple[Key, ...]]
    dependents: Mapping[Key, tuple[Key, ...]]

    @classmethod
    def of(cls, view: ClassifiedState, resources: Mapping[Key, Resource]) -> KeyGraph:
        """Return the graph of every key of both sides."""
        keys = view.wanted.keys() | view.managed.keys() | view.foreign.keys()
        intern = _Interner(keys)
        coupled = {key: intern(ends) for key, ends in _edges(_coupled, keys, resources)}
        needs = {key: intern(ends) for key, ends in _edges(_needs, keys, resources)}
        dependents: dict[Key, dict[Key, None]] = {}
        for ends in (coupled, needs):
            for key, far in ends.items():
                for end in far:
                    dependents.setdefault(end, {})[key] = None
        return cls(coupled, needs, {key: intern(tuple(found)) for key, found in dependents.items()})

    def renewed(self, keys: Collection[Key], resources: Mapping[Key, Resource]) -> KeyGraph:
        """Return a graph with the edges of `keys` replaced by current ones."""
        coupled, needs = _edges(_coupled, keys, resources), _edges(_needs, keys, resources)
        return self._replaced(keys, dict(coupled), dict(needs))

    def without(self, keys: Collection[Key]) -> KeyGraph:
        """Return a graph without the edges of keys that neither side has any more."""
        return self._replaced(keys, {}, {})

    def _replaced(
        self,
        keys: Collection[Key],
        coupled: Mapping[Key, tuple[Key, ...]],
        needs: Mapping[Key, tuple[Key, ...]],
    ) -> KeyGraph:
        old, new = (self.coupled, self.needs), (coupled, needs)
        if all(was.get(k) == now.get(k) for was, now in zip(old, new, strict=True) for k in keys):
            return self
        dependents = dict(self.dependents)
        for key in keys:
            before, after = _ends_of(old, key), _ends_of(new, key)
            for end in before - after:
                _put(dependents, end, tuple(other for other in dependents[end] if other != key))
            for end in after - before:
                dependents[end] = (*dependents.get(end, ()), key)
        return KeyGraph(
            merge_keys(self.coupled, coupled, keys), merge_keys(self.needs, needs, keys), dependents
        )

    def reached(
        self, changed: Collection[Key], before: KeyGraph, skipped: Collection[Key]
    ) -> set[Key]:
        """Return the keys whose decision may be another one when `changed` have changed.

        before   the graph before the change; the edges of `changed` may differ
        skipped  keys that were skipped before: the reason of a key names one of the skipped keys
                 that it needs, found along the chain, so these are decided again with it
        """
        reached, fresh = set(changed), set(changed)
        while fresh:
            next_keys = {other for key in fresh for other in self._neighbours(key, before, skipped)}
            fresh = next_keys - reached
            reached |= fresh
        return reached

    def _neighbours(self, key: Key, before: KeyGraph, skipped: Collection[Key]) -> Iterator[Key]:
        yield from self.dependents.get(key, ())
        yield from self.coupled.get(key, ())
        yield from before.coupled.get(key, ())
        yield from (need for need in self.needs.get(key, ()) if need in skipped)


def merge_keys(
    before: Mapping[Key, V], part: Mapping[Key, V], keys: Collection[Key]
) -> Mapping[Key, V]:
    """Return `before` with the entries of `part` for these keys; `part` has no others."""
    # The identical mapping tells later stages that nothing has changed, and spares a copy of
    # 30,000.
    if all(before.get(key) is part.get(key) for key in keys):
        return before
    merged = dict(before)
    for key in keys:
        merged.pop(key, None)
    merged.update(part)
    return merged


def _edges(
    find_ends: Callable[[Key, Resource | None], Iterator[Key]],
    keys: Iterable[Key],
    resources: Mapping[Key, Resource],
) -> Iterator[tuple[Key, tuple[Key, ...]]]:
    return ((key, ends) for key in keys if (ends := tuple(find_ends(key, resources.get(key)))))


class _Interner:
    """Makes equal keys and equal tuples of keys the same objects."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = {key: key for key in keys}
        # The policies of an API have the same ends: of 30,000 tuples most are copies of another.
        self._ends: dict[tuple[Key, ...], tuple[Key, ...]] = {}

    def __call__(self, ends: tuple[Key, ...]) -> tuple[Key, ...]:
        interned = self._ends.get(ends)
        if interned is None:
            interned = self._ends[ends] = tuple(self._keys.get(end, end) for end in ends)
        return interned


def _ends_of(edges: Iterable[Mapping[Key, tuple[Key, ...]]], key: Key) -> set[Key]:
    return {end for ends in edges for end in ends.get(key, ())}


def _put(ends: dict[Key, tuple[Key, ...]], key: Key, found: tuple[Key, ...]) -> None:
    if found:
        ends[key] = found
    else:
        del ends[key]


def _coupled(key: Key, resource: Resource | None) -> Iterator[Key]:
    owner = key.parent
    if owner is not None:
        yield owner
    if resource is None:
        return
    hints = resource.hints
    for other in (hints.guarded_api, hints.moved_from):
        if other is not None and other not in (key, owner):
            yield other


def _needs(key: Key, resource: Resource | None) -> Iterator[Key]:
    if resource is not None:
        yield from resource.hints.depends_on
        if key.kind == APPLICATION:
            yield from subscribed(resource)
