"""Which keys a finding hangs on beside its own, and so how far a change of one key reaches."""

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
    """Only keys that are tied to any other are in here.

    together  keys that are judged with this one, and this one with them: the API of a policy, what is
              held back for it, the key it had before
    needs     keys whose fate decides about this one, and not the other way round: what must be
              applied before, the APIs that an application subscribes to
    leads     the other way round: every key that has this one among its `together` or `needs`
    """

    coupled: Mapping[Key, tuple[Key, ...]]
    needs: Mapping[Key, tuple[Key, ...]]
    dependents: Mapping[Key, tuple[Key, ...]]

    @classmethod
    def of(cls, view: ClassifiedState, resources: Mapping[Key, Resource]) -> KeyGraph:
        """Find the ties of every key of both sides."""
        keys = view.wanted.keys() | view.managed.keys() | view.foreign.keys()
        alike = _Interner(keys)
        coupled = {key: alike(ends) for key, ends in _found(_coupled, keys, resources)}
        needs = {key: alike(ends) for key, ends in _found(_needs, keys, resources)}
        dependents: dict[Key, dict[Key, None]] = {}
        for ends in (coupled, needs):
            for key, far in ends.items():
                for end in far:
                    dependents.setdefault(end, {})[key] = None
        return cls(coupled, needs, {key: alike(tuple(found)) for key, found in dependents.items()})

    def renewed(self, keys: Collection[Key], resources: Mapping[Key, Resource]) -> KeyGraph:
        """Return ties in which those of `keys` are found anew."""
        coupled, needs = _found(_coupled, keys, resources), _found(_needs, keys, resources)
        return self._exchanged(keys, dict(coupled), dict(needs))

    def without(self, keys: Collection[Key]) -> KeyGraph:
        """Return ties without those of keys that no side knows any more."""
        return self._exchanged(keys, {}, {})

    def _exchanged(
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
            before, after = _ends(old, key), _ends(new, key)
            for end in before - after:
                _put(dependents, end, tuple(one for one in dependents[end] if one != key))
            for end in after - before:
                dependents[end] = (*dependents.get(end, ()), key)
        return KeyGraph(
            merge_keys(self.coupled, coupled, keys), merge_keys(self.needs, needs, keys), dependents
        )

    def reached(
        self, changed: Collection[Key], before: KeyGraph, skipped: Collection[Key]
    ) -> set[Key]:
        """Return the keys whose finding may be another one when `moved` have moved.

        before  the ties before that; those of `moved` may differ
        aside   keys that were set aside before: which one is blamed for what needs them hangs on the
                way there, so they are judged again with it
        """
        reached, fresh = set(changed), set(changed)
        while fresh:
            led = {one for key in fresh for one in self._from(key, before, skipped)}
            fresh = led - reached
            reached |= fresh
        return reached

    def _from(self, key: Key, before: KeyGraph, skipped: Collection[Key]) -> Iterator[Key]:
        yield from self.dependents.get(key, ())
        yield from self.coupled.get(key, ())
        yield from before.coupled.get(key, ())
        yield from (need for need in self.needs.get(key, ()) if need in skipped)


def merge_keys(
    before: Mapping[Key, V], part: Mapping[Key, V], keys: Collection[Key]
) -> Mapping[Key, V]:
    """Return `before` with what `part` has of these keys; `part` has no others."""
    if all(before.get(key) is part.get(key) for key in keys):
        return before
    found = dict(before)
    for key in keys:
        found.pop(key, None)
    found.update(part)
    return found


def _found(
    look: Callable[[Key, Resource | None], Iterator[Key]],
    keys: Iterable[Key],
    resources: Mapping[Key, Resource],
) -> Iterator[tuple[Key, tuple[Key, ...]]]:
    return ((key, ends) for key in keys if (ends := tuple(look(key, resources.get(key)))))


class _Interner:
    """Makes equal keys and equal ends the same objects: of 30,000 keys most lead to what others lead to."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = {key: key for key in keys}
        self._ends: dict[tuple[Key, ...], tuple[Key, ...]] = {}

    def __call__(self, ends: tuple[Key, ...]) -> tuple[Key, ...]:
        known = self._ends.get(ends)
        if known is None:
            known = self._ends[ends] = tuple(self._keys.get(end, end) for end in ends)
        return known


def _ends(graph: Iterable[Mapping[Key, tuple[Key, ...]]], key: Key) -> set[Key]:
    return {end for ends in graph for end in ends.get(key, ())}


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
