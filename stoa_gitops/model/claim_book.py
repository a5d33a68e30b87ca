"""All claims on one gateway, and which of them are at fault; changed API by API."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

from stoa_gitops.model.keys import Key
from stoa_gitops.model.place_index import Claim, PlaceIndex, is_blamed
from stoa_gitops.model.routing import Router

_MOST_SHARED: Final = 20
"""Newcomers that one claim holds back with itself; it is held by the first of them already."""


class Fault(NamedTuple):
    """A claim that is not live yet, and one of which it would take requests.

    is_shared  both are new and none is the stronger one: both are at fault
    """

    taker: Claim
    victim: Claim
    is_shared: bool


class ClaimBook:
    """Claims by API.

    faults  by the API whose claims take from others
    """

    def __init__(self, router: Router) -> None:
        self.faults: dict[Key, tuple[Fault, ...]] = {}
        self._index = PlaceIndex(router)
        self._claims: dict[Key, tuple[Claim, ...]] = {}

    def add_foreign(self, claims: Iterable[Claim]) -> None:
        """Add claims of nobody's API, before all others."""
        for claim in claims:
            self._index.add(claim)

    def replace(self, key: Key, claims: Iterable[Claim]) -> Iterator[Claim]:
        """Replace the claims of an API; yields those that are gone or new."""
        before, after = self._claims.pop(key, ()), tuple(claims)
        for claim in before:
            self._index.remove(claim)
        if after:
            self._claims[key] = after
        for claim in after:
            self._index.add(claim)
        yield from before
        yield from after

    def affected(self, changed: Collection[Claim]) -> set[Key]:
        """Return the APIs that may be at fault towards these claims, or were."""
        return {taker.key for claim in changed for taker in self._index.takers(claim) if taker.key}

    def check(self, keys: Iterable[Key]) -> None:
        """Find the faults of some APIs anew."""
        for key in keys:
            faults = tuple(self._faults_of(key))
            if faults:
                self.faults[key] = faults
            else:
                self.faults.pop(key, None)

    def _faults_of(self, key: Key) -> Iterator[Fault]:
        for claim in self._claims.get(key, ()):
            if claim.is_live:
                continue
            yield from self._faults_towards(claim)

    def _faults_towards(self, claim: Claim) -> Iterator[Fault]:
        shared = 0
        for victim in self._index.victims(claim):
            if victim.allows(claim):
                continue
            blames_taker, blames_victim = is_blamed(claim, victim)
            if not blames_taker:
                continue
            yield Fault(claim, victim, is_shared=blames_victim)
            shared += blames_victim
            if not blames_victim or shared == _MOST_SHARED:
                return
